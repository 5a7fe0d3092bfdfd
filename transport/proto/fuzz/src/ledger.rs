//! Money: what is read as an entry, a note or a price book has one form, and no bytes crash whoever
//! verifies it or prices with it.

use weft_proto::ledger::note::SignedNote;
use weft_proto::ledger::verify::{Trust, Verifier};
use weft_proto::ledger::{Entry, SigningKey};
use weft_proto::model::ModelName;
use weft_proto::prices::{PriceBook, Wanted};
use weft_proto::usage::{Class, Geo, Usage};

/// An entry of an agent's ledger.
pub fn ledger_entry(input: &[u8]) {
    let mut verifier = Verifier::new(Trust::default());
    if let Ok(entry) = Entry::decode(input) {
        assert_eq!(entry.encode().as_deref(), Ok(input), "one form");
        assert_eq!(verifier.push(input), Ok(entry));
    } else {
        assert!(verifier.push(input).is_err());
    }
    verifier.finish(true);
}

/// A signed checkpoint.
pub fn ledger_note(input: &[u8]) {
    let key = SigningKey::from_seed(&[7; 32]).expect("a key").public();
    if let Ok(note) = SignedNote::open(input, &key, None) {
        let text = note.text(&key, None);
        assert_eq!(SignedNote::open(text.as_bytes(), &key, None), Ok(note));
    }
}

/// A price book, and what it makes of a usage: a dearer class is never cheaper for more of it.
pub fn price_book(input: &[u8]) {
    let Ok(book) = PriceBook::parse(input) else {
        return;
    };
    assert_eq!(book.canonical(), input, "one form");
    let again = PriceBook::parse(book.canonical()).expect("a book");
    assert_eq!((again.hash(), again.rows()), (book.hash(), book.rows()));
    for row in book.rows() {
        let name = row.model.as_str().replace('*', "x");
        let Ok(model) = ModelName::parse(&name) else {
            continue;
        };
        let wanted = Wanted {
            provider: row.provider,
            model: model.as_str(),
            place: None,
            at: row.from,
            tier: row.tier,
            geo: Geo::default(),
        };
        let Some(rates) = book.rates(&wanted) else {
            continue;
        };
        for units in [1, u64::from(u32::MAX), u64::MAX] {
            let less = Usage::NONE.with(Class::Output, units / 2);
            let more = Usage::NONE.with(Class::Output, units);
            if let (Some(less), Some(more)) = (rates.list(&less), rates.list(&more)) {
                assert!(less <= more, "{units} units cost less than half of them");
            }
        }
    }
}
