//! The journal over restarts: what comes back, what is torn, what is deleted, what is signed.

mod signed;

use super::super::purse::Part;
use super::frame::{Piece, Pieces};
use super::*;
use crate::ledger_key::LedgerKey;
use proptest::prelude::*;
use std::fs::{self, OpenOptions};
use std::io::Seek;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, AgentId, KeyId, LeaseId, NodeId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::provider::Provider;
use weft_proto::time::{ManualClock, Timestamp};
use weft_proto::usage::{Basis, Class, Usage};
use weft_store::{Bearer, Draw, Metered, Outlay, Served, Settlement};

fn exchange(number: u8) -> ExchangeId {
    ExchangeId::from_slice(&[number; 16]).expect("an id")
}

fn parts(amount: i64) -> Vec<Part> {
    let lease = LeaseId::from_slice(&[5; 16]).expect("an id");
    vec![Part { lease, amount: NanoUsd::new(amount) }]
}

fn served() -> Served {
    Served {
        agent: AgentId::from_slice(&[6; 16]).expect("an id"),
        owner: OwnerId::from_slice(&[7; 16]).expect("an id"),
        account: AccountId::from_slice(&[8; 16]).expect("an id"),
        attempt: 1,
    }
}

fn opened(number: u8) -> Record {
    Record::Opened(Ticketed {
        exchange: exchange(number),
        user: UserId::from_slice(&[2; 16]).expect("an id"),
        key: KeyId::from_slice(&[3; 16]).expect("an id"),
        number: u64::from(number),
        parts: parts(100),
        ticket: OpenTicket { served: served(), cap: NanoUsd::new(90), terms: vec![1, 2, 3] },
        at: Timestamp::from_secs(77),
    })
}

fn posting(number: u8) -> Posting {
    let lease = LeaseId::from_slice(&[5; 16]).expect("an id");
    Posting {
        settlement: Settlement {
            exchange: exchange(number),
            user: UserId::from_slice(&[2; 16]).expect("an id"),
            key: KeyId::from_slice(&[3; 16]).expect("an id"),
            served: Some(served()),
            metered: Metered {
                provider: Some(Provider::Anthropic),
                model: Some("claude-sonnet-4-5".parse().expect("a model")),
                usage: Usage::NONE.with(Class::Input, 7).with(Class::Reasoning, u64::MAX),
                basis: Basis::Estimated,
                service: 4,
                geo: 2,
                book: Some([9; 32]),
                priced_at: Timestamp::from_secs(70),
                zone: Ratio::ONE,
                tier: Ratio::from_ppm(700_000),
            },
            end: EndReason::UserAbort,
            outlay: Outlay {
                charge: NanoUsd::new(80),
                income: NanoUsd::new(60),
                rounding: NanoUsd::new(1),
                bearer: Bearer::User,
            },
            node: NodeId::from_slice(&[4; 16]).expect("an id"),
            hold: Some((lease, 12)),
            held: NanoUsd::new(100),
            settled_at: Timestamp::from_secs(78),
            claim_until: Timestamp::from_secs(99),
        },
        draws: vec![Draw { lease, amount: NanoUsd::new(80) }],
        overdraft_max: NanoUsd::new(500),
    }
}

fn outcome(number: u8) -> Outcome {
    let user = UserId::from_slice(&[2; 16]).expect("an id");
    let key = KeyId::from_slice(&[3; 16]).expect("an id");
    Outcome {
        agent: Some(served().agent),
        account: Some(served().account),
        provider: Some(Provider::Anthropic),
        route: "anthropic.messages".to_owned(),
        model: Some(ModelName::parse("a-model").expect("a name")),
        attempts: 2,
        status: Some(529),
        end: EndReason::UpstreamTruncated,
        abort: Some(AbortCode::UpstreamTruncated),
        request_bytes: u64::MAX,
        response_bytes: 5,
        dispatched_after_us: Some(6),
        head_after_us: Some(7),
        first_byte_after_us: Some(8),
        ended_after_us: 9,
        ..Outcome::begun(exchange(number), user, key, Timestamp::from_secs(78))
    }
}

fn ended(number: u8) -> Record {
    Record::Ended(Box::new(outcome(number)))
}

fn settled(number: u8) -> Record {
    Record::Settled(Box::new(posting(number)))
}

/// The same at every call.
fn signer() -> Signer {
    let dir = tempfile::tempdir().expect("a folder");
    let key = LedgerKey::open(dir.path(), &SeededEntropy::new(9)).expect("a key");
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    Signer { node: NodeId::from_slice(&[4; 16]).expect("an id"), key, clock }
}

fn reopened(dir: &Path) -> (Tickets, Left) {
    let (tickets, left) = Tickets::open(dir, signer(), true).expect("the journal opens");
    assert_eq!(left.found, []);
    (tickets, left)
}

/// Goes on in another segment, as if the current one were full.
fn rotated(tickets: &Tickets) {
    let mut sealing = tickets.sealing();
    let mut files = tickets.files();
    tickets.write_out(&mut files).expect("written");
    tickets.sign(&mut sealing, &mut files).expect("signed");
    tickets.rotate(&mut sealing, &mut files).expect("rotated");
}

/// The records of whole frames at the beginning, and how many bytes they have.
fn whole(bytes: &[u8]) -> (usize, Vec<Record>) {
    let mut read = (0, Vec::new());
    for (_, end, piece) in Pieces::new(bytes) {
        let Piece::Whole(record, _) = piece else { break };
        read.0 = usize::try_from(end).expect("a length");
        read.1.push(record);
    }
    read
}

fn ids(left: &Left) -> (Vec<u8>, Vec<u8>) {
    let first = |id: &ExchangeId| id.as_bytes()[0];
    (
        left.open.iter().map(|orphan| first(&orphan.exchange)).collect(),
        left.unposted.iter().map(|posting| first(&posting.settlement.exchange)).collect(),
    )
}

#[test]
fn every_record_comes_back_as_it_went_in() {
    let mut bare = posting(1);
    bare.settlement.served = None;
    bare.settlement.hold = None;
    bare.settlement.metered.provider = None;
    bare.settlement.metered.model = None;
    bare.settlement.metered.book = None;
    bare.draws.clear();
    let records = [
        opened(1),
        Record::Grown { exchange: exchange(1), parts: parts(250) },
        Record::Released { exchange: exchange(1) },
        ended(2),
        Record::Ended(Box::new(Outcome::begun(
            exchange(3),
            posting(3).settlement.user,
            posting(3).settlement.key,
            Timestamp::from_secs(1),
        ))),
        settled(2),
        Record::Settled(Box::new(bare)),
        Record::Posted { exchanges: vec![exchange(1), exchange(2)] },
        Record::Checkpoint(Box::new(signer().sign(
            checkpoint::Place { segment: 3, offset: 9 },
            checkpoint::Place { segment: 2, offset: u64::MAX },
            checkpoint::Chain { records: 5, tickets: 4, ..checkpoint::Chain::START },
        ))),
    ];
    let mut bytes = Vec::new();
    for record in &records {
        frame::write(record, &mut bytes).expect("a frame");
    }
    assert_eq!(whole(&bytes), (bytes.len(), records.to_vec()));
}

#[test]
fn what_was_not_over_comes_back_with_its_growth_and_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, left) = reopened(dir.path());
    assert_eq!(ids(&left), (vec![], vec![]));
    for record in [
        opened(1),
        opened(2),
        opened(3),
        opened(4),
        Record::Grown { exchange: exchange(2), parts: parts(250) },
        settled(4),
        settled(3),
        Record::Released { exchange: exchange(1) },
        settled(9),
        Record::Posted { exchanges: vec![exchange(9)] },
    ] {
        tickets.append(&record).expect("appended");
    }
    tickets.flush().expect("written");
    drop(tickets);
    // Twice: what is written down anew is the same.
    for _ in 0..2 {
        let (_, left) = reopened(dir.path());
        assert_eq!(ids(&left), (vec![2], vec![4, 3]));
        assert_eq!(left.open[0].held, NanoUsd::new(250));
        assert_eq!(left.unposted[1], posting(3));
        let files = segments::list(&dir.path().join(FOLDER)).expect("listed");
        assert_eq!(files.len(), 1, "what was read is deleted");
    }
}

#[test]
fn how_an_exchange_ended_comes_back_until_the_store_has_it_or_it_is_released() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    for record in [
        opened(1),
        opened(2),
        opened(3),
        opened(4),
        ended(1),
        settled(1),
        ended(2),
        settled(2),
        // The settlement behind it was not written any more: its claim will decide.
        ended(3),
        ended(4),
        Record::Posted { exchanges: vec![exchange(2)] },
        Record::Released { exchange: exchange(4) },
    ] {
        tickets.append(&record).expect("appended");
    }
    tickets.flush().expect("written");
    drop(tickets);
    for _ in 0..2 {
        let (_, left) = reopened(dir.path());
        assert_eq!(ids(&left), (vec![3], vec![1]));
        assert_eq!(left.ended, [outcome(1), outcome(3)]);
    }
}

#[test]
fn a_file_cut_or_bent_anywhere_gives_what_was_whole_before() {
    let records = [opened(1), settled(1), opened(2), Record::Released { exchange: exchange(2) }];
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for record in &records {
        frame::write(record, &mut bytes).expect("a frame");
        ends.push(bytes.len());
    }
    for cut in 0..=bytes.len() {
        let (used, read) = whole(&bytes[..cut]);
        let left = ends.iter().rposition(|end| *end <= cut).expect("the first is zero");
        assert_eq!((used, &read[..]), (ends[left], &records[..left]), "cut at {cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut bent = bytes.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let (_, read) = whole(&bent);
        let hit = ends.iter().rposition(|end| *end <= bit / 8).expect("the first is zero");
        assert_eq!(&read[..], &records[..hit], "bit {bit}");
    }
}

#[test]
fn a_torn_segment_does_not_hide_the_next() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    tickets.append(&opened(1)).expect("appended");
    tickets.append(&opened(2)).expect("appended");
    rotated(&tickets);
    tickets.append(&settled(1)).expect("appended");
    tickets.flush().expect("written");
    let first = tickets.path(1);
    drop(tickets);
    // In the second ticket, behind which the segment's last checkpoint stands.
    let bytes = fs::read(&first).expect("there");
    let second = Pieces::new(&bytes).nth(2).expect("two tickets").1;
    let file = OpenOptions::new().write(true).open(&first).expect("opened");
    file.set_len(second - 3).expect("torn");
    drop(file);
    let (_, left) = reopened(dir.path());
    assert_eq!(ids(&left), (vec![], vec![1]), "the second ticket was being written");
}

#[test]
fn segments_go_in_order_once_everything_that_began_in_them_is_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    let there = |tickets: &Tickets| {
        let found = segments::list(&tickets.dir).expect("listed");
        found.into_iter().map(|(number, _)| number).collect::<Vec<_>>()
    };
    tickets.append(&opened(1)).expect("appended");
    rotated(&tickets);
    tickets.append(&opened(2)).expect("appended");
    rotated(&tickets);
    tickets.append(&Record::Released { exchange: exchange(2) }).expect("appended");
    tickets.sync_now(false).expect("synced");
    assert_eq!(there(&tickets), [1, 2, 3], "the first still runs");
    tickets.append(&settled(1)).expect("appended");
    tickets.sync_now(false).expect("synced");
    assert_eq!(there(&tickets), [1, 2, 3], "it is not posted");
    tickets.append(&Record::Posted { exchanges: vec![exchange(1)] }).expect("appended");
    tickets.sync_now(false).expect("synced");
    assert_eq!(there(&tickets), [3]);
    drop(tickets);
    let (_, left) = reopened(dir.path());
    assert_eq!(ids(&left), (vec![], vec![]));
}

#[tokio::test]
async fn after_a_write_that_failed_nothing_is_appended_and_the_task_ends_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    let tickets = Arc::new(tickets);
    let read_only = File::open(tickets.path(1)).expect("opened");
    tickets.files().current = Arc::new(read_only);
    let failed = tickets.append(&opened(1));
    assert!(matches!(failed, Err(TicketsError::File { .. })), "{failed:?}");
    assert!(matches!(tickets.append(&opened(2)), Err(TicketsError::Failed)));
    let ended = Arc::clone(&tickets).keep_synced(CancellationToken::new()).await;
    assert!(matches!(ended, Err(TicketsError::Failed)), "{ended:?}");
}

#[test]
fn terms_that_are_too_long_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    let Record::Opened(mut long) = opened(1) else { unreachable!("it is one") };
    long.ticket.terms = vec![0; TICKET_TERMS_BYTES_MAX + 1];
    assert!(matches!(tickets.append(&Record::Opened(long)), Err(TicketsError::TooLong)));
    tickets.flush().expect("nothing is written");
    let mut file = File::open(tickets.path(1)).expect("opened");
    let begun = tickets.files().bytes;
    assert_eq!(file.seek(io::SeekFrom::End(0)).expect("a length"), begun);
    tickets.append(&opened(2)).expect("it goes on");
}

proptest! {
    #[test]
    fn bytes_that_are_no_journal_are_no_records(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(whole(&bytes).0 <= bytes.len());
        if let Some(record) = Record::decode(&bytes) {
            let mut frame = Vec::new();
            frame::write(&record, &mut frame).expect("a frame");
            prop_assert_eq!(&frame[8..], &bytes[..]);
        }
    }
}
