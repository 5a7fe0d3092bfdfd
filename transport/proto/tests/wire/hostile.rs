//! Hostile bytes: no decoder panics, none takes what a limit forbids, none says yes to a part.

use crate::samples::{DRAIN, answer_head, hello, join_answer, own_account, page, request_head};
use bytes::BytesMut;
use http::StatusCode;
use proptest::collection::vec;
use proptest::prelude::*;
use weft_proto::limits::{
    ACCOUNTS_PER_PAGE_MAX, HEAD_BYTES_MAX, HEADER_LINES_MAX, MESSAGE_BYTES_MAX,
    MODELS_PER_ACCOUNT_MAX, SLOTS_MAX, TEXT_BYTES_MAX,
};
use weft_proto::wire::control::{
    AgentMessage, ControlMessage as _, Deployment, HubMessage, PermittedUse,
};
use weft_proto::wire::framed::{Frame, FrameDecoder};
use weft_proto::wire::head::{AnswerHead, RequestHead};
use weft_proto::wire::join::{JoinAnswer, JoinRequest};
use weft_proto::wire::{Malformed, prefix, varint};

/// Bytes that are often nearly right: a real message with a few bytes changed, cut or added.
fn nearly(message: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let tail = vec(any::<u8>(), 0..6);
    (changes, any::<prop::sample::Index>(), any::<bool>(), tail).prop_map(
        move |(changes, cut, cuts, tail)| {
            let mut bytes = message.clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cuts {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes.extend(tail);
            bytes
        },
    )
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    let accounts = AgentMessage::Accounts(page(vec![own_account(); 3]));
    prop_oneof![
        vec(any::<u8>(), 0..300),
        nearly(AgentMessage::Hello(hello()).encode().unwrap()),
        nearly(accounts.encode().unwrap()),
        nearly(HubMessage::Drain(DRAIN).encode().unwrap()),
        nearly(request_head().encode().unwrap()),
        nearly(answer_head().encode().unwrap()),
        nearly(join_answer().encode().unwrap()),
    ]
}

proptest! {
    /// Whatever passes keeps the limits, and is sent again without a fault.
    #[test]
    fn no_decoder_panics_and_what_passes_can_be_sent_on(bytes in anything()) {
        if let Ok(message) = AgentMessage::decode(&bytes) {
            if let AgentMessage::Accounts(page) = &message {
                prop_assert!(page.accounts.len() <= ACCOUNTS_PER_PAGE_MAX);
            }
            prop_assert_eq!(AgentMessage::decode(&message.encode().unwrap()), Ok(message));
        }
        if let Ok(message) = HubMessage::decode(&bytes) {
            prop_assert_eq!(HubMessage::decode(&message.encode().unwrap()), Ok(message));
        }
        if let Ok(head) = RequestHead::decode(&bytes) {
            prop_assert!(head.headers.len() <= HEADER_LINES_MAX);
            prop_assert_eq!(RequestHead::decode(&head.encode().unwrap()), Ok(head));
        }
        if let Ok(head) = AnswerHead::decode(&bytes) {
            prop_assert!(!head.status.is_informational());
            prop_assert_eq!(AnswerHead::decode(&head.encode().unwrap()), Ok(head));
        }
        if let Ok(request) = JoinRequest::decode(&bytes) {
            prop_assert!(JoinRequest::decode(&request.encode().unwrap()) == Ok(request));
        }
        if let Ok(answer) = JoinAnswer::decode(&bytes) {
            prop_assert_eq!(JoinAnswer::decode(&answer.encode().unwrap()), Ok(answer));
        }
    }

    /// A part of a block is no block, and what was read of it is kept for the rest.
    #[test]
    fn a_truncated_block_waits_and_keeps_its_bytes(
        block in vec(any::<u8>(), 0..20_000),
        kept in any::<prop::sample::Index>(),
    ) {
        let mut whole = BytesMut::new();
        prefix::encode(&block, HEAD_BYTES_MAX, &mut whole).unwrap();
        let part = kept.index(whole.len());
        let mut input = BytesMut::from(&whole[..part]);
        prop_assert_eq!(prefix::decode(&mut input, HEAD_BYTES_MAX), Ok(None));
        prop_assert_eq!(&input[..], &whole[..part]);
        input.extend_from_slice(&whole[part..]);
        let read = prefix::decode(&mut input, HEAD_BYTES_MAX).unwrap().unwrap();
        prop_assert_eq!(&read[..], &block[..]);
    }

    /// A length over its limit is refused as soon as it is known, again and again, and in front of
    /// it nothing is taken.
    #[test]
    fn a_forbidden_length_is_refused_at_once_and_for_good(
        length in (HEAD_BYTES_MAX as u64 + 1)..=varint::MAX,
        skip in 0_usize..3,
    ) {
        let mut input = BytesMut::from(&[0x10; 3][..skip]);
        varint::encode(length, &mut input).unwrap();
        let before = input.clone();
        for _ in 0..2 {
            let refused = prefix::decode_behind(skip, &mut input, HEAD_BYTES_MAX);
            prop_assert_eq!(refused, Err(Malformed("block length")));
        }
        prop_assert_eq!(input, before);
    }

    /// However hostile, a framed body buffers no more than a frame and one read.
    #[test]
    fn a_framed_body_gives_no_more_than_it_got_and_fails_for_good(
        reads in vec(vec(prop_oneof![Just(0_u8), Just(1), Just(5), any::<u8>()], 0..200), 0..20)
    ) {
        let mut decoder = FrameDecoder::default();
        let (mut pushed, mut given, mut failed) = (0, 0, None);
        for read in reads {
            decoder.push(&read);
            pushed += read.len();
            loop {
                match decoder.next_frame() {
                    Ok(Some(Frame::Data(data))) => {
                        prop_assert!(failed.is_none() && !data.is_empty());
                        given += data.len();
                    }
                    Ok(Some(Frame::Trailers(_))) => prop_assert!(failed.is_none()),
                    Ok(None) => {
                        prop_assert!(failed.is_none());
                        break;
                    }
                    Err(error) => {
                        prop_assert_eq!(decoder.finish(), Err(error));
                        prop_assert!(failed.is_none_or(|before| before == error));
                        failed = Some(error);
                        break;
                    }
                }
            }
            prop_assert!(given <= pushed);
        }
    }

    #[test]
    fn a_header_name_in_any_other_spelling_is_refused(name in "[a-z]{0,8}[A-Z][a-z-]{0,8}") {
        let head = |name: &str| {
            let length = u8::try_from(name.len()).unwrap();
            let line = [&[0x0a, length], name.as_bytes(), b"\x12\x01v"].concat();
            let length = u8::try_from(line.len()).unwrap();
            AnswerHead::decode(&[&[0x08, 0xc8, 0x01, 0x12, length], &line[..]].concat())
        };
        prop_assert_eq!(head(&name), Err(Malformed("header name")));
        prop_assert!(head(&name.to_ascii_lowercase()).is_ok());
    }
}

#[test]
fn an_answer_of_1xx_is_no_answer_and_is_never_written() {
    for status in 100..200_u16 {
        let bytes =
            [0x08, u8::try_from(status & 0x7f).unwrap() | 0x80, u8::try_from(status >> 7).unwrap()];
        assert_eq!(AnswerHead::decode(&bytes), Err(Malformed("status")), "{status}");
        let mut head = answer_head();
        head.status = StatusCode::from_u16(status).unwrap();
        assert_eq!(head.encode(), Err(Malformed("status")));
    }
    for bytes in [&[0x08, 0x63][..], &[0x08, 0xe8, 0x07], &[0x08, 0x80, 0x80, 0x80, 0x01], &[]] {
        assert_eq!(AnswerHead::decode(bytes), Err(Malformed("status")));
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let long = vec![0; MESSAGE_BYTES_MAX + 1];
    let refused = Malformed("message length");
    assert_eq!(AgentMessage::decode(&long), Err(refused));
    assert_eq!(HubMessage::decode(&long), Err(refused));
    assert!(JoinRequest::decode(&long) == Err(refused));
    assert_eq!(JoinAnswer::decode(&long), Err(refused));
    let long = vec![0; HEAD_BYTES_MAX + 1];
    let refused = Malformed("head length");
    assert_eq!(RequestHead::decode(&long), Err(refused));
    assert_eq!(AnswerHead::decode(&long), Err(refused));
}

/// Two bytes a line, 32 thousand lines: the count is refused, not stored.
#[test]
fn a_flood_of_empty_header_lines_is_refused() {
    let mut bytes = vec![0x08, 0xc8, 0x01];
    bytes.extend([0x12, 0x00].repeat(HEADER_LINES_MAX + 1));
    assert_eq!(AnswerHead::decode(&bytes), Err(Malformed("header lines")));
    let mut accounts = [0x0a, 0x00].repeat(ACCOUNTS_PER_PAGE_MAX + 1);
    accounts.splice(0..0, [0x12, u8::try_from(accounts.len()).unwrap()]);
    assert_eq!(AgentMessage::decode(&accounts), Err(Malformed("accounts on a page")));
}

/// A fault of this end shows at this end, and not as a tunnel that the peer closes.
#[test]
fn what_the_peer_would_refuse_is_never_written() {
    let refused = |account| AgentMessage::Accounts(page(vec![account])).encode().unwrap_err();
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let mut account = own_account();
    account.label.clone_from(&long);
    assert_eq!(refused(account), Malformed("text"));
    let mut account = own_account();
    account.label = "two\nlines".to_owned();
    assert_eq!(refused(account), Malformed("text"));
    let mut account = own_account();
    account.permitted_use = PermittedUse::Licensed { reference: long };
    assert_eq!(refused(account), Malformed("text"));
    let mut account = own_account();
    let (name, model) = ("d".to_owned(), "m".to_owned());
    account.deployments = vec![Deployment { name, model }; MODELS_PER_ACCOUNT_MAX + 1];
    assert_eq!(refused(account), Malformed("models of an account"));

    let mut greeting = hello();
    greeting.slot = SLOTS_MAX;
    let refused = AgentMessage::Hello(greeting).encode();
    assert_eq!(refused, Err(Malformed("slot")));

    let mut head = request_head();
    head.ticket.attempt = 0;
    assert_eq!(head.encode(), Err(Malformed("attempt")));
    let mut head = request_head();
    head.target = "v1/models".to_owned();
    assert_eq!(head.encode(), Err(Malformed("request target")));

    let chain = vec![vec![0x30]; 5];
    let joined = JoinAnswer::Joined { agent: hello().agent, chain };
    assert_eq!(joined.encode(), Err(Malformed("certificate chain")));
}
