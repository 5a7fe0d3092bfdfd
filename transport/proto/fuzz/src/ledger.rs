//! The ledger: what is read as an entry or a note has one form, and no bytes crash a verifier.

use weft_proto::ledger::note::SignedNote;
use weft_proto::ledger::verify::{Trust, Verifier};
use weft_proto::ledger::{Entry, SigningKey};

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
