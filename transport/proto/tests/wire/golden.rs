//! Golden vectors: what each value looks like on the wire, byte for byte, for ever.
//!
//! A vector is a file of hexadecimal bytes; `#` begins a comment. They were made from
//! `docs/wire.md`, not by this codec. A vector that fails is a broken wire: mend the code, never
//! the file. The `future-` vectors hold what a later minor version may send.

use crate::receipts;
use crate::samples::{
    DRAIN, answer_head, azure_account, fields, hello, id, join_answer, join_request, own_account,
    page, placed_account, renewal, request_head, small_request_head, switched_head, upgrade_head,
    welcome,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use weft_proto::limits::{HEAD_BYTES_MAX, MESSAGE_BYTES_MAX, PRICE_BOOK_BYTES_MAX};
use weft_proto::wire::control::{
    AgentMessage, ControlMessage as _, Health, HubMessage, Refuse, RefuseCause,
};
use weft_proto::wire::framed::{Frame, FrameDecoder, encode_data, encode_trailers};
use weft_proto::wire::head::{AnswerHead, RequestHead, SwitchedHead};
use weft_proto::wire::join::{JoinAnswer, JoinRefusal, JoinRequest};
use weft_proto::wire::receipts::Receipt;
use weft_proto::wire::{AnswerKind, StreamKind, prefix};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn vector(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let digits: Vec<u8> = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| line.bytes().filter(|byte| !byte.is_ascii_whitespace()))
        .collect();
    assert!(digits.len().is_multiple_of(2), "{name}: half a byte");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[track_caller]
fn assert_bytes(name: &str, written: &[u8]) {
    let hex =
        |bytes: &[u8]| -> Vec<String> { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    assert_eq!(hex(written).join(" "), hex(&vector(name)).join(" "), "{name}");
}

fn agent_messages() -> Vec<(&'static str, AgentMessage)> {
    let health = |paused_for| AgentMessage::Health(Health { account: id(6), paused_for });
    vec![
        ("agent-hello", AgentMessage::Hello(hello())),
        ("agent-accounts", AgentMessage::Accounts(page(vec![own_account(), azure_account()]))),
        ("agent-accounts-place", AgentMessage::Accounts(page(vec![placed_account()]))),
        ("agent-accounts-none", AgentMessage::Accounts(page(Vec::new()))),
        ("agent-health", health(Duration::from_secs(30))),
        ("agent-health-serves", health(Duration::ZERO)),
        ("agent-pong", AgentMessage::Pong(0x0102_0304_0506_0708)),
        ("agent-drain", AgentMessage::Drain(DRAIN)),
        ("agent-ledger", AgentMessage::Ledger(receipts::agent_ledger())),
        ("agent-ledger-new", AgentMessage::Ledger(receipts::new_ledger())),
    ]
}

fn hub_messages() -> Vec<(&'static str, HubMessage)> {
    let refuse = Refuse {
        cause: RefuseCause::DuplicateIdentity,
        retry_after: Duration::from_secs(300),
        permanent: true,
    };
    vec![
        ("hub-welcome", HubMessage::Welcome(welcome())),
        ("hub-refuse", HubMessage::Refuse(refuse)),
        ("hub-ping", HubMessage::Ping(1)),
        ("hub-drain", HubMessage::Drain(DRAIN)),
        ("hub-revoked", HubMessage::Revoked),
        ("hub-ledger", HubMessage::Ledger(receipts::hub_ledger())),
        ("hub-prices", HubMessage::Prices(receipts::offer())),
        ("hub-ack", HubMessage::Ack(receipts::acks())),
        ("hub-cosigned", HubMessage::Cosigned(receipts::cosigned())),
        ("hub-ledger-fault", HubMessage::LedgerFault(receipts::FAULT)),
    ]
}

fn answer_heads() -> Vec<(&'static str, AnswerHead)> {
    let framed =
        AnswerHead { headers: fields(&[("trailer", b"x-sum")]), framed: true, ..answer_head() };
    let fault = AnswerHead {
        status: StatusCode::UNAUTHORIZED,
        headers: fields(&[("retry-after", b"1")]),
        account_fault: true,
        framed: false,
    };
    vec![
        ("answer-head", answer_head()),
        ("answer-head-framed", framed),
        ("answer-head-fault", fault),
    ]
}

fn trailers() -> HeaderMap {
    fields(&[("x-sum", b"7"), ("x-sum", b"\xff")])
}

#[test]
fn every_control_message_has_its_frozen_bytes() {
    for (name, message) in agent_messages() {
        assert_bytes(name, &message.encode().unwrap());
        assert_eq!(AgentMessage::decode(&vector(name)), Ok(message), "{name}");
    }
    for (name, message) in hub_messages() {
        assert_bytes(name, &message.encode().unwrap());
        assert_eq!(HubMessage::decode(&vector(name)), Ok(message), "{name}");
    }
}

#[test]
fn every_head_has_its_frozen_bytes() {
    assert_bytes("request-head", &request_head().encode().unwrap());
    let read = RequestHead::decode(&vector("request-head"));
    assert_eq!(read, Ok(request_head()));
    for (name, head) in answer_heads() {
        assert_bytes(name, &head.encode().unwrap());
        assert_eq!(AnswerHead::decode(&vector(name)), Ok(head), "{name}");
    }
    assert_bytes("request-head-upgrade", &upgrade_head().encode().unwrap());
    assert_eq!(RequestHead::decode(&vector("request-head-upgrade")), Ok(upgrade_head()));
    let with_terms = receipts::head_with_terms();
    assert_bytes("request-head-terms", &with_terms.encode().unwrap());
    assert_eq!(RequestHead::decode(&vector("request-head-terms")), Ok(with_terms));
    let with_place = receipts::head_with_place();
    assert_bytes("request-head-place", &with_place.encode().unwrap());
    assert_eq!(RequestHead::decode(&vector("request-head-place")), Ok(with_place));
    assert_bytes("switched-head", &switched_head().encode().unwrap());
    assert_eq!(SwitchedHead::decode(&vector("switched-head")), Ok(switched_head()));
}

#[test]
fn a_framed_body_has_its_frozen_bytes() {
    for (name, data, trailers) in [
        ("framed-body", &b"hello, world"[..], trailers()),
        ("framed-body-empty", b"", HeaderMap::new()),
    ] {
        let mut written = BytesMut::new();
        encode_data(data, &mut written).unwrap();
        encode_trailers(&trailers, &mut written).unwrap();
        assert_bytes(name, &written);

        let mut decoder = FrameDecoder::default();
        decoder.push(&vector(name));
        if !data.is_empty() {
            let frame = Frame::Data(data.to_vec().into());
            assert_eq!(decoder.next_frame(), Ok(Some(frame)));
        }
        assert_eq!(decoder.next_frame(), Ok(Some(Frame::Trailers(trailers))));
        assert_eq!(decoder.next_frame(), Ok(None));
        assert_eq!(decoder.finish(), Ok(()));
    }
}

#[test]
fn joining_has_its_frozen_bytes() {
    assert_bytes("join-request", &join_request().encode().unwrap());
    let read = JoinRequest::decode(&vector("join-request"));
    assert!(read == Ok(join_request()));
    assert_bytes("renewal", &renewal().encode().unwrap());
    assert!(JoinRequest::decode(&vector("renewal")) == Ok(renewal()));
    for (name, answer) in [
        ("join-answer", join_answer()),
        ("join-answer-refused", JoinAnswer::Refused(JoinRefusal::Used)),
    ] {
        assert_bytes(name, &answer.encode().unwrap());
        assert_eq!(JoinAnswer::decode(&vector(name)), Ok(answer), "{name}");
    }
}

#[test]
fn whole_streams_have_their_frozen_bytes() {
    let stream = |kind: u8, block: &[u8], max: usize| {
        let mut out = BytesMut::new();
        out.put_u8(kind);
        prefix::encode(block, max, &mut out).unwrap();
        out
    };
    let hello = AgentMessage::Hello(hello()).encode().unwrap();
    let mut control = stream(StreamKind::Control as u8, &hello, MESSAGE_BYTES_MAX);
    let none = AgentMessage::Accounts(page(Vec::new())).encode().unwrap();
    prefix::encode(&none, MESSAGE_BYTES_MAX, &mut control).unwrap();
    assert_bytes("stream-control", &control);

    let head = small_request_head().encode().unwrap();
    let mut request = stream(StreamKind::Exchange as u8, &head, HEAD_BYTES_MAX);
    request.put_slice(br#"{"model":"o3"}"#);
    assert_bytes("stream-request", &request);

    let head =
        AnswerHead { headers: fields(&[("content-type", b"application/json")]), ..answer_head() };
    let mut answer = stream(AnswerKind::Final as u8, &head.encode().unwrap(), HEAD_BYTES_MAX);
    answer.put_slice(br#"{"id":"resp_1"}"#);
    assert_bytes("stream-answer", &answer);

    let head = switched_head().encode().unwrap();
    let mut switched = stream(AnswerKind::Switched as u8, &head, HEAD_BYTES_MAX);
    switched.put_slice(b"\x81\x02hi");
    assert_bytes("stream-switched", &switched);

    let join = join_request().encode().unwrap();
    let join = stream(StreamKind::Join as u8, &join, MESSAGE_BYTES_MAX);
    assert_bytes("stream-join", &join);

    let mut sent = BytesMut::new();
    sent.put_u8(StreamKind::Receipts as u8);
    let (open, close) = (Bytes::from_static(b"op"), Bytes::from_static(b"clo"));
    for receipt in [Receipt::Entry(Bytes::from_static(b"abc")), Receipt::Claim { open, close }] {
        receipt.encode(&mut sent).unwrap();
    }
    assert_bytes("stream-receipts", &sent);
    let book = stream(StreamKind::Prices as u8, b"book", PRICE_BOOK_BYTES_MAX);
    assert_bytes("stream-prices", &book);
}

#[test]
fn what_a_later_minor_version_adds_is_skipped() {
    let agent = |name: &str| AgentMessage::decode(&vector(name)).unwrap();
    assert_eq!(agent("future-agent-hello"), AgentMessage::Hello(hello()));
    let accounts = AgentMessage::Accounts(page(vec![own_account()]));
    assert_eq!(agent("future-agent-accounts"), accounts);
    assert_eq!(agent("future-agent-message"), AgentMessage::Unknown);
    let hub = |name: &str| HubMessage::decode(&vector(name)).unwrap();
    assert_eq!(hub("future-hub-welcome"), HubMessage::Welcome(welcome()));
    assert_eq!(hub("future-hub-message"), HubMessage::Unknown);
    assert_eq!(hub("future-hub-message-empty"), HubMessage::Unknown);
    let request = RequestHead::decode(&vector("future-request-head"));
    assert_eq!(request, Ok(request_head()));
    let answer = AnswerHead::decode(&vector("future-answer-head"));
    assert_eq!(answer, Ok(answer_head()));
    let request = JoinRequest::decode(&vector("future-join-request"));
    assert!(request == Ok(join_request()));
    let answer = JoinAnswer::decode(&vector("future-join-answer"));
    assert_eq!(answer, Ok(join_answer()));
}

/// A vector that no test reads would prove nothing.
#[test]
fn every_vector_is_read_by_a_test_of_this_file() {
    let source = include_str!("golden.rs");
    let names: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        // Ledger entries and price books have pages and tests of their own.
        .filter(|name| !name.starts_with("ledger-") && !name.starts_with("price_"))
        .collect();
    assert!(names.len() >= 39);
    for name in names {
        assert!(source.contains(&format!("\"{name}\"")), "{name}.hex");
    }
}
