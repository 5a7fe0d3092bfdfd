//! Golden vectors: what each entry looks like on the disk, byte for byte, for ever.
//!
//! They were made from `agent/docs/ledger-format.md`, not by this code, hashes and signatures too. A
//! vector that fails is a broken ledger: mend the code, never the file.

use std::path::PathBuf;
use weft_proto::ids::HubId;
use weft_proto::ledger::note::SignedNote;
use weft_proto::ledger::verify::{Trust, Verifier};
use weft_proto::ledger::{Body, End, Entry, Frontier, Hash, SigningKey, Verdict, Why};
use weft_proto::prices::Label;
use weft_proto::usage::{Basis, Class, Geo, ServiceTier};

/// The entries in the order of their chain; the last one begins the second epoch.
const ENTRIES: [&str; 9] = [
    "ledger-epoch",
    "ledger-open",
    "ledger-close",
    "ledger-open-free",
    "ledger-close-cut",
    "ledger-acks",
    "ledger-checkpoint",
    "ledger-cosignature",
    "ledger-epoch-restored",
];

fn vector(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join(format!("{name}.hex"))).expect(name);
    let digits = text.lines().filter_map(|line| line.split('#').next());
    let digits: String = digits.flat_map(str::split_whitespace).collect();
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn entry(name: &str) -> Entry {
    Entry::decode(&vector(name)).expect(name)
}

#[test]
fn every_vector_reads_and_writes_back_to_its_bytes() {
    for name in ENTRIES {
        assert_eq!(entry(name).encode().expect(name), vector(name), "{name}");
    }
}

/// It stands in no chain here: the chain's hashes were made before places.
#[test]
fn an_open_at_a_place_reads_and_writes_back_and_needs_a_place() {
    let bytes = vector("ledger-open-place");
    let placed = entry("ledger-open-place");
    assert_eq!(placed.encode().expect("an entry"), bytes);
    let (Body::Open(placed), Body::Open(open)) = (placed.body, entry("ledger-open").body) else {
        panic!("opens")
    };
    let (placed, open) = (placed.ticket.terms.expect("terms"), open.ticket.terms.expect("terms"));
    assert_eq!(placed.place.as_ref().map(Label::as_str), Some("eu"));
    assert_eq!(weft_proto::wire::head::Terms { place: None, ..placed }, open);
    let at = bytes.windows(3).position(|part| part == b"\x02eu").expect("the place");
    let without = [&bytes[..at], &[0], &bytes[at + 3..]].concat();
    let refused = Entry::decode(&without).expect_err("a place of no letters");
    assert!(refused.to_string().contains("place"), "{refused}");
}

/// Of the same checkpoint as the one in the chain, and with the head of the hub's journal.
#[test]
fn a_cosignature_with_a_journal_reads_writes_back_and_is_signed_as_the_page_says() {
    let bytes = vector("ledger-cosignature-journal");
    let cosigned = entry("ledger-cosignature-journal");
    assert_eq!(cosigned.encode().expect("an entry"), bytes);
    let (Body::Cosigned(cosigned), Body::Checkpoint(checkpoint), Body::Epoch(epoch)) =
        (cosigned.body, entry("ledger-checkpoint").body, entry("ledger-epoch").body)
    else {
        panic!("a cosignature of a checkpoint")
    };
    let statement = checkpoint.statement(epoch.agent, 1);
    assert!(cosigned.cosignature.holds(&statement, &cosigned.key));
    let head = cosigned.cosignature.journal.expect("a journal").head;
    assert_eq!((head.size, cosigned.nodes.len()), (90_212, 2));

    let note = vector("ledger-note-journal");
    let opened = SignedNote::open(&note, &epoch.key, Some((epoch.hub, &cosigned.key)));
    let opened = opened.expect("a note");
    assert_eq!(opened.cosignature, Some(cosigned.cosignature));
    let again = opened.text(&epoch.key, Some((epoch.hub, &cosigned.key)));
    assert_eq!(again.as_bytes(), note);
}

#[test]
fn leaves_and_roots_are_those_that_the_page_gives() {
    let expected = vector("ledger-leaves");
    let (expected, _) = expected.as_chunks::<32>();
    let leaves: Vec<Hash> = ENTRIES.iter().map(|name| Hash::leaf(&vector(name))).collect();
    for (leaf, expected) in leaves.iter().zip(expected) {
        assert_eq!(leaf.as_bytes(), expected);
    }
    let tree: Frontier = leaves[..8].iter().copied().collect();
    assert_eq!(tree.root().as_bytes(), &expected[9]);
}

#[test]
fn the_vectors_are_a_ledger_that_holds() {
    let mut verifier = Verifier::new(Trust::default());
    for name in ENTRIES {
        verifier.push(&vector(name)).expect(name);
    }
    verifier.finish(true);
    assert_eq!(verifier.findings(), []);
    let totals = verifier.totals();
    assert_eq!((totals.opened, totals.paid, totals.pending_words), (2, 1, 1));
    assert_eq!((totals.claimed_nanos, totals.income_nanos), (4_000, 4_000));
    assert_eq!((totals.checkpoints, totals.cosigned, totals.epochs), (1, 1, 2));
}

#[test]
fn the_vectors_say_what_the_page_says() {
    let Body::Open(open) = entry("ledger-open").body else { panic!("an open") };
    let terms = open.ticket.terms.expect("terms");
    assert_eq!((terms.model.as_str(), terms.counter), ("gpt-5.2", 17));
    assert_eq!((terms.tier.ppm(), terms.cap.nanos()), (800_000, 9_000_000));
    let Body::Close(close) = entry("ledger-close").body else { panic!("a close") };
    assert_eq!((close.end, close.status, close.basis), (End::Proper, 200, Basis::Reported));
    assert!(close.finish_marker && close.usage_seen && !close.charged_although_refused);
    assert_eq!((close.bytes_up, close.bytes_down), (321, 6_543));
    assert_eq!(close.usage.get(Class::CacheRead), 24);
    assert_eq!(close.list.map(|list| list.pico()), Some(5_000_000));
    let Body::Close(cut) = entry("ledger-close-cut").body else { panic!("a close") };
    assert_eq!((cut.end.name(), cut.tier, cut.geo), ("user_abort", ServiceTier::Priority, Geo::Us));
    assert!(cut.charged_although_refused && cut.list.is_none());
    let Body::Acks(acks) = entry("ledger-acks").body else { panic!("acks") };
    assert!(acks.is_signed());
    assert_eq!(acks.batch.acks[1].verdict, Verdict::Disputed);
    let Body::Epoch(epoch) = entry("ledger-epoch-restored").body else { panic!("an epoch") };
    assert_eq!((epoch.why, epoch.before.map(|head| head.size)), (Why::Restored, Some(8)));
}

#[test]
fn the_note_is_the_text_that_the_page_shows() {
    let note = vector("ledger-note");
    let agent = SigningKey::from_seed(&[7; 32]).expect("key").public();
    let hub_key = SigningKey::from_seed(&[9; 32]).expect("key").public();
    let Body::Epoch(epoch) = entry("ledger-epoch").body else { panic!("an epoch") };
    let hub: (HubId, _) = (epoch.hub, &hub_key);
    let opened = SignedNote::open(&note, &agent, Some(hub)).expect("a note");
    assert!(opened.cosignature.is_some());
    assert_eq!(opened.text(&agent, Some(hub)).as_bytes(), note);
    let Body::Checkpoint(checkpoint) = entry("ledger-checkpoint").body else { panic!() };
    assert_eq!(opened.statement, checkpoint.statement(epoch.agent, 1));
    assert_eq!(opened.signature, checkpoint.signature);
}
