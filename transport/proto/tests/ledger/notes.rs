//! Signed notes: what is opened, and what is refused.

use crate::chain::Chain;
use weft_proto::ledger::note::{Cosignature, SignedNote};
use weft_proto::ledger::{Hash, HubHead, Shown};
use weft_proto::wire::receipts::Showing;

fn note(journal: bool) -> (Chain, String) {
    let mut chain = Chain::new();
    chain.served();
    let mut statement = chain.statement();
    statement.hub = Some(HubHead { size: 5, root: Hash::new([4; 32]) });
    let shown = journal.then(|| {
        let head = HubHead { size: 7, root: Hash::new([6; 32]) };
        Shown::new(head, Showing::Grown, &[Hash::new([1; 32]), Hash::new([2; 32])])
    });
    let cosignature = Some(Cosignature::sign(&statement, 1_790_000_000, shown, &chain.hub_key));
    let note = SignedNote { statement, signature: statement.sign(&chain.key), cosignature };
    let text = note.text(&chain.key.public(), Some((chain.hub, &chain.hub_key.public())));
    (chain, text)
}

#[test]
fn a_note_opens_with_the_right_keys_alone() {
    for journal in [false, true] {
        opens(journal);
    }
}

fn opens(journal: bool) {
    let (chain, text) = note(journal);
    let (agent, hub_key) = (chain.key.public(), chain.hub_key.public());
    let both =
        SignedNote::open(text.as_bytes(), &agent, Some((chain.hub, &hub_key))).expect("note");
    assert_eq!(both.cosignature.expect("cosigned").journal.is_some(), journal);
    let one = SignedNote::open(text.as_bytes(), &agent, None).expect("note");
    assert!(one.cosignature.is_none(), "nobody vouches for it");
    assert!(SignedNote::open(text.as_bytes(), &hub_key, None).is_err());
    let stranger = SignedNote::open(text.as_bytes(), &agent, Some((chain.hub, &agent)));
    assert!(stranger.expect("of another").cosignature.is_none());
}

#[test]
fn no_changed_byte_of_a_note_passes() {
    for journal in [false, true] {
        holds_byte_for_byte(journal);
    }
}

fn holds_byte_for_byte(journal: bool) {
    let (chain, text) = note(journal);
    let (agent, hub_key) = (chain.key.public(), chain.hub_key.public());
    let hub = Some((chain.hub, &hub_key));
    let whole = SignedNote::open(text.as_bytes(), &agent, hub).expect("note");
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        // A line of a name that nobody knows is skipped: then a signature is missing.
        if let Ok(opened) = SignedNote::open(&bytes, &agent, hub) {
            assert_eq!(opened.statement, whole.statement, "byte {at}");
            assert!(opened.cosignature.is_none(), "byte {at}");
        }
        assert!(
            SignedNote::open(&text.as_bytes()[..at], &agent, hub).is_err() || at > text.len() / 2
        );
    }
}
