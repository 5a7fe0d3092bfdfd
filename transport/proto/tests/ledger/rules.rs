//! Every rule of the verifier: a ledger that breaks it, and the name under which it is found.

use crate::chain::Chain;
use std::collections::BTreeSet;
use weft_proto::ids::AgentId;
use weft_proto::ledger::verify::{Check, Trust, Verifier};
use weft_proto::ledger::{Body, Checkpoint, End, Entry, Hash, HeadOf, Position, Verdict, Why};
use weft_proto::money::NanoUsd;

fn found(entries: &[Vec<u8>], trust: Trust) -> BTreeSet<Check> {
    let mut verifier = Verifier::new(trust);
    for entry in entries {
        // What is no entry is a finding too.
        drop(verifier.push(entry));
    }
    verifier.finish(true);
    verifier.findings().iter().map(|finding| finding.check).collect()
}

/// What is found in the chain that `make` breaks.
fn broken(make: impl FnOnce(&mut Chain)) -> BTreeSet<Check> {
    let mut chain = Chain::new();
    chain.served();
    make(&mut chain);
    found(&chain.entries, Trust::default())
}

fn only(check: Check) -> BTreeSet<Check> {
    BTreeSet::from([check])
}

#[test]
fn a_ledger_with_everything_in_it_holds() {
    let all = broken(|chain| {
        let (at, close) = chain.served();
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Later, 0)])));
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Disputed, 0)])));
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 3_999)])));
        // The same word again says nothing new.
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 3_999)])));
        let statement = chain.checkpoint();
        chain.put(Body::Cosigned(chain.cosigned(&statement)));
        let (at, open) = chain.open();
        chain.begin(Why::Restored);
        let mut close = Chain::closed(at, &open);
        (close.end, close.list, close.income) = (End::Interrupted, None, NanoUsd::new(9_000));
        chain.put(Body::Close(close));
        chain.checkpoint();
    });
    assert_eq!(all, BTreeSet::new());
}

#[test]
fn every_edit_of_the_past_is_found() {
    let mut chain = Chain::new();
    let mut served = Vec::new();
    for _ in 0..20 {
        served.push(chain.served());
    }
    chain.checkpoint();
    for at in 0..chain.entries.len() {
        let mut without = chain.entries.clone();
        without.remove(at);
        // The last one can be cut without a trace inside the log: that is what cosigning is for.
        if at + 1 < chain.entries.len() {
            assert!(found(&without, Trust::default()).contains(&Check::ChainBroken), "{at}");
        }
        let mut twice = chain.entries.clone();
        twice.insert(at, twice[at].clone());
        assert!(!found(&twice, Trust::default()).is_empty(), "{at}");
        let mut swapped = chain.entries.clone();
        swapped.swap(at, (at + 1) % chain.entries.len());
        assert!(!found(&swapped, Trust::default()).is_empty(), "{at}");
        for byte in 0..chain.entries[at].len() {
            let mut changed = chain.entries.clone();
            changed[at][byte] ^= 0x10;
            let last = at + 1 == chain.entries.len();
            let is_time = (18..26).contains(&byte);
            // The time of the very last entry is under no hash that this log holds.
            assert!(
                (last && is_time) || !found(&changed, Trust::default()).is_empty(),
                "{at} {byte}"
            );
        }
    }
}

#[test]
fn a_log_that_was_cut_or_rewritten_is_not_the_one_that_was_cosigned() {
    let mut chain = Chain::new();
    chain.served();
    let Position { epoch, seq: _ } = chain.served().0;
    let head = HeadOf { epoch, size: chain.tree.size(), root: chain.tree.root() };
    let trust = || Trust { heads: vec![head], ..Trust::default() };
    assert_eq!(found(&chain.entries, trust()), BTreeSet::new());
    let cut = &chain.entries[..chain.entries.len() - 1];
    assert_eq!(
        found(cut, trust()),
        BTreeSet::from([Check::HeadNotReached, Check::OpenWithoutClose])
    );
    let mut other = Chain::new();
    other.open();
    other.served();
    other.served();
    assert!(found(&other.entries, trust()).contains(&Check::HeadMismatch));
    chain.begin(Why::Restored);
    assert_eq!(found(&chain.entries, trust()), BTreeSet::new(), "an epoch may end there");
}

#[test]
fn opens_and_closes_go_together() {
    assert_eq!(broken(|chain| drop(chain.open())), only(Check::OpenWithoutClose));
    let twice = broken(|chain| {
        let (_, close) = chain.served();
        chain.put(Body::Close(close));
    });
    assert_eq!(twice, only(Check::CloseWithoutOpen));
    let other = broken(|chain| {
        let (at, _) = chain.open();
        let stranger = chain.ticket();
        chain.put(Body::Close(Chain::closed(at, &stranger)));
    });
    assert_eq!(other, only(Check::CloseWithoutOpen));
    let again = broken(|chain| {
        let (at, open) = chain.open();
        chain.put(Body::Close(Chain::closed(at, &open)));
        let at = chain.put(Body::Open(open.clone()));
        chain.put(Body::Close(Chain::closed(at, &open)));
    });
    assert_eq!(again, only(Check::OpenedTwice));
}

#[test]
fn a_claim_is_what_list_price_and_ticket_give_and_no_more() {
    let claim = |end: End, listed: bool, income: i64, free: bool| {
        broken(|chain| {
            let mut open = chain.ticket();
            if free {
                open.ticket.terms = None;
                open.ticket.mac = [0; 32];
            }
            let at = chain.put(Body::Open(open.clone()));
            let mut close = Chain::closed(at, &open);
            (close.end, close.income) = (end, NanoUsd::new(income));
            if !listed {
                close.list = None;
            }
            chain.put(Body::Close(close));
        })
    };
    let cut = End::Cut { code: 1 };
    for (end, listed, most, free) in [
        (End::Proper, true, 4_000, false),
        (cut, true, 4_000, false),
        (End::Proper, false, 9_000, false),
        (End::Interrupted, false, 9_000, false),
        (End::Proper, true, 0, true),
    ] {
        assert_eq!(claim(end, listed, most, free), BTreeSet::new(), "{end:?} {most}");
        assert_eq!(claim(end, listed, most + 1, free), only(Check::ClaimAboveTerms), "{end:?}");
    }
}

#[test]
fn words_of_the_hub_answer_a_close_once_and_within_its_claim() {
    let word = |make: fn(&mut Chain)| broken(make);
    let above = word(|chain| {
        let (at, close) = chain.served();
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 4_001)])));
    });
    assert_eq!(above, only(Check::AckAboveClaim));
    let twice = word(|chain| {
        let (at, close) = chain.served();
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 4_000)])));
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 3_000)])));
    });
    assert_eq!(twice, only(Check::AckedTwice));
    let nothing = word(|chain| {
        let (at, close) = chain.served();
        let at = Position { seq: at.seq - 1, ..at };
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 1)])));
    });
    assert_eq!(nothing, only(Check::AckWithoutClose));
    let another = word(|chain| {
        let (at, mut close) = chain.served();
        close.attempt = 2;
        chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 1)])));
    });
    assert_eq!(another, only(Check::AckWithoutClose));
    let forged = word(|chain| {
        let (at, close) = chain.served();
        let mut acks = chain.acks(&[(at, &close, Verdict::Paid, 1_000)]);
        acks.batch.acks[0].amount = NanoUsd::new(4_000);
        chain.put(Body::Acks(acks));
    });
    assert_eq!(forged, only(Check::BadAckSignature));
}

#[test]
fn a_key_that_is_not_the_hubs_is_named_where_the_hubs_is_known() {
    let mut chain = Chain::new();
    let (at, close) = chain.served();
    chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 4_000)])));
    let known = |key| Trust { hub_keys: vec![key], ..Trust::default() };
    assert_eq!(found(&chain.entries, known(chain.hub_key.public())), BTreeSet::new());
    assert_eq!(found(&chain.entries, known(chain.key.public())), only(Check::UnknownHubKey));
}

#[test]
fn checkpoints_cover_what_stands_before_them_and_are_signed() {
    let root = broken(|chain| {
        let mut statement = chain.statement();
        statement.root = Hash::new([1; 32]);
        let checkpoint = Checkpoint::sign(&statement, &chain.key);
        chain.put(Body::Checkpoint(checkpoint));
    });
    assert_eq!(root, only(Check::CheckpointRoot));
    let size = broken(|chain| {
        let mut statement = chain.statement();
        statement.size -= 1;
        let checkpoint = Checkpoint::sign(&statement, &chain.key);
        chain.put(Body::Checkpoint(checkpoint));
    });
    assert_eq!(size, only(Check::CheckpointSize));
    let signature = broken(|chain| {
        let checkpoint = Checkpoint::sign(&chain.statement(), &chain.hub_key);
        chain.put(Body::Checkpoint(checkpoint));
    });
    assert_eq!(signature, only(Check::BadSignature));
    let nothing = broken(|chain| {
        let cosigned = chain.cosigned(&chain.statement());
        chain.put(Body::Cosigned(cosigned));
    });
    assert_eq!(nothing, only(Check::CosignatureWithoutCheckpoint));
    let forged = broken(|chain| {
        let mut statement = chain.checkpoint();
        let size = statement.size;
        statement.size += 1;
        let mut cosigned = chain.cosigned(&statement);
        cosigned.size = size;
        chain.put(Body::Cosigned(cosigned));
    });
    assert_eq!(forged, only(Check::BadCosignature));
}

#[test]
fn epochs_come_in_order_and_stay_with_one_agent() {
    let first_again = broken(|chain| {
        chain.begin(Why::First);
    });
    assert_eq!(first_again, only(Check::EpochOrder));
    let back = broken(|chain| {
        chain.epoch = 0;
        chain.begin(Why::Restored);
    });
    assert_eq!(back, only(Check::EpochOrder));
    let stranger = broken(|chain| {
        let hub = weft_proto::ids::HubId::from_slice(&[1; 16]).expect("id");
        chain.hub = hub;
        chain.begin(Why::Restored);
    });
    assert_eq!(stranger, only(Check::Stranger));
    let chain = Chain::new();
    let agent = Some(AgentId::from_slice(&[2; 16]).expect("id"));
    let trust = Trust { agent, ..Trust::default() };
    assert_eq!(found(&chain.entries, trust), only(Check::Stranger));
    let mut chain = Chain::new();
    chain.served();
    let headless = found(&chain.entries[1..], Trust::default());
    assert!(headless.contains(&Check::NoEpoch));
    let gap = broken(|chain| {
        let open = chain.ticket();
        let position = Position { epoch: 1, seq: 77 };
        let at = weft_proto::time::Timestamp::from_secs(1);
        let entry = Entry { position, at, prev: chain.last, body: Body::Open(open.clone()) };
        chain.raw(entry.encode().expect("encode"));
        chain.put(Body::Close(Chain::closed(position, &open)));
    });
    assert_eq!(gap, only(Check::Gap));
    let junk = broken(|chain| {
        let mut bytes = chain.entries[1].clone();
        bytes[0] = 9;
        chain.entries.push(bytes);
    });
    assert_eq!(junk, only(Check::Unreadable));
}
