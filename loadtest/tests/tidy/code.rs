//! Reads Rust text as far as the rules need: without its comments and tests, as words and paths.
//!
//! This is no parser. It knows comments, string and character literals, and the two shapes of
//! an import that rustfmt leaves: `crate::a::b` and `crate::{a, b::c}`.

use std::collections::BTreeSet;

/// Whether a file holds nothing but tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}

/// The text before its trailing `#[cfg(test)] mod …`.
pub(crate) fn without_test_tail(text: &str) -> &str {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let is_module = |next: &&str| next.starts_with("mod ") || next.starts_with("#[");
        if line.trim_end() == "#[cfg(test)]" && lines.peek().is_some_and(is_module) {
            return &text[..at];
        }
        at += line.len();
    }
    text
}

/// The text with comments and the insides of literals blanked out, line ends kept.
pub(crate) fn bare(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skip = literal_or_comment(rest, out.chars().next_back());
        if skip == 0 {
            let c = rest.chars().next().expect("not at the end");
            out.push(c);
            at += c.len_utf8();
        } else {
            out.push(' ');
            out.extend(rest[..skip].chars().filter(|c| *c == '\n'));
            at += skip;
        }
    }
    out
}

/// How many bytes at the start of `rest` are a comment or a literal.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = &raw[hashes + 1..];
            let end = body.find(&close).map_or(body.len(), |at| at + close.len());
            return 1 + hashes + 1 + end;
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    // A lifetime has no closing quote one (or one escape) further.
    let mut chars = rest.chars();
    if chars.next() == Some('\'') && !in_word {
        let first = chars.next();
        if first == Some('\\') || chars.next() == Some('\'') {
            return quoted(rest, '\'');
        }
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// Whether `word` stands in bare text as a whole identifier or path.
pub(crate) fn has_word(bare: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    bare.match_indices(word).any(|(at, _)| {
        !bare[..at].chars().next_back().is_some_and(joins)
            && !bare[at + word.len()..].chars().next().is_some_and(joins)
    })
}

/// The top-level modules that bare text names, by `crate::` or by enough `super::` for a file
/// `depth` modules below the crate's root.
pub(crate) fn modules_named(bare: &str, depth: usize) -> BTreeSet<String> {
    let climb = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for prefix in ["crate::", climb.as_str()] {
        for (at, _) in bare.match_indices(prefix) {
            let before = bare[..at].chars().next_back();
            // `$crate::` and `super::super::` are met from their own start.
            if before.is_none_or(|c| !c.is_alphanumeric() && !"_:$".contains(c)) {
                found.extend(first_segments(&bare[at + prefix.len()..]));
            }
        }
    }
    found
}

/// The first segment of a path, or of each path in a `{…}` group.
fn first_segments(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return identifier(rest).into_iter().collect();
    };
    let mut found = Vec::new();
    let mut depth = 0_u32;
    let mut wants_name = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => wants_name = true,
            _ if wants_name && !c.is_whitespace() => {
                found.extend(identifier(&group[at..]));
                wants_name = false;
            }
            _ => {}
        }
    }
    found
}

fn identifier(rest: &str) -> Option<String> {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, depth: usize) -> Vec<String> {
        modules_named(&bare(text), depth).into_iter().collect()
    }

    #[test]
    fn an_import_is_seen_alone_in_a_group_and_inside_a_path() {
        assert_eq!(named("use crate::auth::Key;", 1), ["auth"]);
        assert_eq!(
            named("use crate::{\n    auth::{A, B},\n    limits,\n};", 1),
            ["auth", "limits"]
        );
        assert_eq!(named("fn f() -> crate::tunnel::Id {}", 2), ["tunnel"]);
    }

    #[test]
    fn an_import_by_super_counts_only_where_it_reaches_the_root() {
        assert_eq!(named("use super::auth;", 1), ["auth"]);
        assert!(named("use super::auth;", 2).is_empty());
        assert_eq!(named("use super::super::auth;", 2), ["auth"]);
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = r##"
            //! See [`crate::auth`].
            /* crate::limits /* nested */ crate::limits */
            let text = "crate::ledger \" // not a comment"; let c = '"'; let d = '\'';
            let raw = r#"crate::audit " "#;
            fn f<'a>(x: &'a str) -> crate::real::T {}
        "##;
        assert_eq!(named(text, 1), ["real"]);
    }

    #[test]
    fn a_test_module_at_the_end_is_not_counted() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(without_test_tail(text), "fn a() {}\n\n");
        let text = "#[cfg(test)]\nfn only_for_tests() {}\nfn a() {}\n";
        assert_eq!(without_test_tail(text), text);
    }

    #[test]
    fn a_word_is_not_found_inside_another() {
        assert!(has_word("use tokio::net;", "tokio"));
        assert!(!has_word("use my_tokio::net;", "tokio"));
    }
}
