//! Bodies of journal entries: canonical text, one `key=value` a line, in the order given.
//!
//! Keys are words of the program; values come from types that hold no line break (ids, amounts,
//! names, memos), so that no body can be read in two ways.

use weft_store::{JOURNAL_BODY_BYTES_MAX, Transfer};

/// The body of `facts`. What no type forbids is dropped here: line breaks, and all that is too long.
pub(super) fn body(facts: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in facts {
        text.push_str(key);
        text.push('=');
        text.extend(value.chars().filter(|character| !character.is_control()));
        text.push('\n');
    }
    let mut end = text.len().min(JOURNAL_BODY_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.into_bytes()
}

/// The body of a transfer.
pub(super) fn of_transfer(transfer: &Transfer) -> Vec<u8> {
    let memo = transfer.memo.as_ref().map_or("", |memo| memo.as_str());
    body(&[
        ("act", transfer.key.leg.name()),
        ("subject", &transfer.key.subject.to_string()),
        ("debit", &transfer.debit.to_string()),
        ("credit", &transfer.credit.to_string()),
        ("amount", &transfer.amount.to_string()),
        ("memo", memo),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_a_line_for_each_fact_and_no_value_makes_another() {
        assert_eq!(body(&[("a", "1"), ("b", "x\ny")]), b"a=1\nb=xy\n");
        let long = "ü".repeat(JOURNAL_BODY_BYTES_MAX);
        assert!(body(&[("a", &long)]).len() <= JOURNAL_BODY_BYTES_MAX);
    }
}
