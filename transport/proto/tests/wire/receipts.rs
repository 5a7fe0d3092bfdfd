//! Values of the ledger on the wire, and the promises of its frames.

use crate::samples::{id, small_request_head};
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use weft_proto::ids::AgentId;
use weft_proto::limits::{
    ACKS_PER_BATCH_MAX, BOOKS_MAX, HANDOVERS_MAX, JOURNAL_NODES_MAX, PRICE_BOOK_BYTES_MAX,
    RECEIPT_BYTES_MAX,
};
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::prices::{BookHash, Label};
use weft_proto::time::Timestamp;
use weft_proto::wire::Malformed;
use weft_proto::wire::control::{AgentMessage, ControlMessage as _, HubMessage};
use weft_proto::wire::head::{RequestHead, Terms};
use weft_proto::wire::receipts::{
    Accepted, Ack, AckBatch, AgentLedger, ChainFault, ChainHead, Cosigned, Handover, HubLedger,
    JournalHead, LedgerFault, PricesOffer, Receipt, Showing, Verdict,
};

const HEAD: ChainHead = ChainHead { epoch: 2, size: 300, leaf: [0x33; 32] };

pub(crate) fn agent_ledger() -> AgentLedger {
    AgentLedger {
        key: [0x11; 32],
        handover: Some(Handover { from: [0x55; 32], signature: [0x22; 64] }),
        head: Some(HEAD),
        books: vec![BookHash::from_bytes([0x44; 32])],
    }
}

pub(crate) fn new_ledger() -> AgentLedger {
    AgentLedger { key: [0x11; 32], handover: None, head: None, books: Vec::new() }
}

pub(crate) fn hub_ledger() -> HubLedger {
    let accepted = Some(Accepted { head: HEAD, signature: [0x22; 64] });
    let handovers = vec![Handover { from: [0x55; 32], signature: [0x22; 64] }];
    HubLedger { key: [0x11; 32], handovers, accepted }
}

pub(crate) fn offer() -> PricesOffer {
    let hash = BookHash::from_bytes([0x44; 32]);
    PricesOffer { hash, size: 70_000, signature: [0x22; 64], active: true }
}

pub(crate) fn acks() -> AckBatch {
    let paid = Ack {
        exchange: id(5),
        attempt: 1,
        seq: 7,
        verdict: Verdict::Paid,
        amount: NanoUsd::new(123_456_789),
    };
    let disputed = Ack {
        exchange: id(6),
        attempt: 2,
        seq: 9,
        verdict: Verdict::Disputed,
        amount: NanoUsd::ZERO,
    };
    AckBatch {
        agent: id::<AgentId>(1),
        epoch: 2,
        at: Timestamp::from_secs(1_700_000_000),
        acks: vec![paid, disputed],
        signature: [0x22; 64],
    }
}

pub(crate) fn cosigned() -> Cosigned {
    Cosigned {
        epoch: 2,
        size: 300,
        at_secs: 1_700_000_000,
        signature: [0x22; 64],
        journal: JournalHead { size: 90_210, root: [0x33; 32] },
        how: Showing::Grown,
        nodes: vec![[0x44; 32], [0x55; 32]],
    }
}

pub(crate) const FAULT: LedgerFault = LedgerFault { fault: ChainFault::Fork, epoch: 2, seq: 300 };

pub(crate) fn head_with_terms() -> RequestHead {
    let mut head = small_request_head();
    head.ticket.terms = Some(Terms {
        lease: id(8),
        counter: 41,
        book: BookHash::from_bytes([0x44; 32]),
        model: "gpt-4o".to_owned(),
        place: None,
        tier: Ratio::from_ppm(800_000),
        cap: NanoUsd::new(5_000_000),
    });
    head.ticket.mac = [0x33; 32];
    head
}

pub(crate) fn head_with_place() -> RequestHead {
    let mut head = head_with_terms();
    if let Some(terms) = &mut head.ticket.terms {
        terms.place = Label::parse("eu").ok();
    }
    head
}

#[test]
fn a_place_that_no_price_book_can_name_is_refused() {
    let mut written = head_with_place().encode().expect("a head");
    let at = written.windows(4).position(|part| part == b"\x42\x02eu").expect("the place");
    written[at + 2] = b'E';
    assert_eq!(RequestHead::decode(&written), Err(Malformed("place")));
}

#[test]
fn what_no_reader_takes_no_writer_sends() {
    let refused = |message: &HubMessage| message.encode().unwrap_err();
    let empty = HubMessage::Ack(AckBatch { acks: Vec::new(), ..acks() });
    assert_eq!(refused(&empty), Malformed("acknowledgements of a batch"));
    let full = AckBatch { acks: vec![acks().acks[0]; ACKS_PER_BATCH_MAX], ..acks() };
    let written = HubMessage::Ack(full.clone()).encode().expect("the largest batch fits");
    assert_eq!(HubMessage::decode(&written), Ok(HubMessage::Ack(full)));
    let over = vec![acks().acks[0]; ACKS_PER_BATCH_MAX + 1];
    let over = HubMessage::Ack(AckBatch { acks: over, ..acks() });
    assert_eq!(refused(&over), Malformed("acknowledgements of a batch"));
    let negative = Ack { amount: NanoUsd::new(-1), ..acks().acks[0] };
    let negative = HubMessage::Ack(AckBatch { acks: vec![negative], ..acks() });
    assert_eq!(refused(&negative), Malformed("income"));
    for size in [0, PRICE_BOOK_BYTES_MAX as u32 + 1] {
        let message = HubMessage::Prices(PricesOffer { size, ..offer() });
        assert_eq!(refused(&message), Malformed("price book length"));
    }
    let most = Cosigned { nodes: vec![[1; 32]; JOURNAL_NODES_MAX], ..cosigned() };
    let written = HubMessage::Cosigned(most.clone()).encode().expect("all nodes fit");
    assert_eq!(HubMessage::decode(&written), Ok(HubMessage::Cosigned(most)));
    let over = Cosigned { nodes: vec![[1; 32]; JOURNAL_NODES_MAX + 1], ..cosigned() };
    assert_eq!(refused(&HubMessage::Cosigned(over)), Malformed("journal's nodes"));
    let handovers = vec![hub_ledger().handovers[0]; HANDOVERS_MAX];
    let most = HubLedger { handovers: handovers.clone(), ..hub_ledger() };
    HubMessage::Ledger(most).encode().expect("all keys fit");
    let over = [handovers, hub_ledger().handovers].concat();
    let over = HubMessage::Ledger(HubLedger { handovers: over, ..hub_ledger() });
    assert_eq!(refused(&over), Malformed("ledger keys"));
    let books = vec![BookHash::from_bytes([1; 32]); BOOKS_MAX + 1];
    let message = AgentMessage::Ledger(AgentLedger { books, ..new_ledger() });
    assert_eq!(message.encode(), Err(Malformed("price books")));
    let mut head = head_with_terms();
    if let Some(terms) = &mut head.ticket.terms {
        terms.cap = NanoUsd::new(-1);
    }
    assert_eq!(head.encode(), Err(Malformed("cap")));
}

#[test]
fn no_two_tickets_have_the_same_bytes_under_their_mac() {
    let base = head_with_terms().ticket;
    let input = base.mac_input().expect("terms");
    let changed = |change: fn(&mut Terms)| {
        let mut ticket = base.clone();
        change(ticket.terms.as_mut().expect("terms"));
        ticket.mac_input().expect("terms")
    };
    for other in [
        changed(|terms| terms.counter += 1),
        changed(|terms| terms.cap = NanoUsd::ZERO),
        changed(|terms| terms.tier = Ratio::ONE),
        changed(|terms| terms.model.clear()),
        changed(|terms| terms.book = BookHash::from_bytes([0; 32])),
        changed(|terms| terms.lease = id(9)),
        changed(|terms| terms.place = Label::parse("eu").ok()),
    ] {
        assert_ne!(input, other);
    }
    assert_eq!(small_request_head().ticket.mac_input(), None);
}

fn receipt() -> impl Strategy<Value = Receipt> {
    let bytes = |max| vec(any::<u8>(), 1..max).prop_map(Bytes::from);
    prop_oneof![
        bytes(600).prop_map(Receipt::Entry),
        (bytes(300), bytes(300)).prop_map(|(open, close)| Receipt::Claim { open, close }),
    ]
}

proptest! {
    #[test]
    fn receipts_come_out_whole_however_the_bytes_are_split(
        receipts in vec(receipt(), 0..8),
        step in 1usize..90,
    ) {
        let mut wire = BytesMut::new();
        for receipt in &receipts {
            receipt.encode(&mut wire).expect("within the limits");
        }
        let (mut input, mut read) = (BytesMut::new(), Vec::new());
        for part in wire.chunks(step) {
            input.extend_from_slice(part);
            while let Some(receipt) = Receipt::take(&mut input).expect("what was written") {
                read.push(receipt);
            }
        }
        prop_assert_eq!(read, receipts);
        prop_assert!(input.is_empty());
    }

    #[test]
    fn no_frame_panics_or_keeps_more_than_its_limit(bytes in vec(any::<u8>(), 0..400)) {
        let mut input = BytesMut::from(&bytes[..]);
        while let Ok(Some(receipt)) = Receipt::take(&mut input) {
            let mut again = BytesMut::new();
            receipt.encode(&mut again).expect("what was read can be written");
            prop_assert!(again.len() <= RECEIPT_BYTES_MAX + 5);
        }
    }
}
