//! Every number of the wire, written out a second time: a changed one is a broken wire.

use weft_proto::codes::{AbortCode, CloseCode};
use weft_proto::limits;
use weft_proto::provider::Provider;
use weft_proto::wire::control::{Features, RefuseCause};
use weft_proto::wire::join::JoinRefusal;
use weft_proto::wire::receipts::{ChainFault, Verdict};
use weft_proto::wire::{AnswerKind, StreamKind};

#[test]
fn abort_codes_keep_their_numbers_and_names() {
    let frozen = [
        (0x01, "user_abort"),
        (0x02, "deadline"),
        (0x03, "draining"),
        (0x04, "refused_busy"),
        (0x05, "not_sent"),
        (0x06, "upstream_truncated"),
        (0x07, "upstream_unreachable"),
        (0x08, "slow_reader"),
        (0x09, "gate"),
        (0x0a, "malformed"),
        (0x0b, "internal"),
        (0x0c, "replaced"),
        (0x0d, "enough"),
        (0x0e, "balance_exhausted"),
    ];
    assert_eq!(AbortCode::ALL.map(|code| (code.number(), code.name())), frozen);
}

#[test]
fn only_three_codes_prove_that_nothing_was_sent() {
    let proving: Vec<_> = AbortCode::ALL.into_iter().filter(|code| code.proves_unsent()).collect();
    let expected = [AbortCode::Draining, AbortCode::RefusedBusy, AbortCode::NotSent];
    assert_eq!(proving, expected);
}

#[test]
fn close_codes_keep_their_numbers() {
    let frozen = [
        (CloseCode::Done, 0x00),
        (CloseCode::Replaced, 0x01),
        (CloseCode::Revoked, 0x02),
        (CloseCode::NoCertificate, 0x03),
        (CloseCode::Malformed, 0x04),
        (CloseCode::Timeout, 0x05),
        (CloseCode::Internal, 0x06),
        (CloseCode::Refused, 0x07),
        (CloseCode::Unresponsive, 0x08),
    ];
    assert_eq!(CloseCode::ALL.map(|code| (code, code.number())), frozen);
}

#[test]
fn kinds_causes_and_providers_keep_their_numbers() {
    let kinds = [
        StreamKind::Control,
        StreamKind::Exchange,
        StreamKind::Join,
        StreamKind::Receipts,
        StreamKind::Prices,
    ];
    assert_eq!(kinds.map(|kind| kind as u8), [1, 2, 3, 4, 5]);
    assert_eq!([AnswerKind::Final, AnswerKind::Switched].map(|kind| kind as u8), [0x10, 0x11]);
    assert_eq!(Features::WEBSOCKET, Features(1 << 0));
    assert_eq!(Features::LEDGER, Features(1 << 1));
    assert_eq!(Verdict::ALL.map(|verdict| verdict as u8), [1, 2, 3, 4]);
    assert_eq!(ChainFault::ALL.map(|fault| fault as u8), [1, 2, 3, 4, 5]);
    for byte in 0..=u8::MAX {
        assert_eq!(StreamKind::from_byte(byte).is_ok(), (1..=5).contains(&byte));
        assert_eq!(AnswerKind::from_byte(byte).is_ok(), (0x10..=0x11).contains(&byte));
    }
    let causes = [
        (RefuseCause::UnknownAgent, 1),
        (RefuseCause::Revoked, 2),
        (RefuseCause::Stale, 3),
        (RefuseCause::DuplicateIdentity, 4),
        (RefuseCause::Draining, 5),
        (RefuseCause::Busy, 6),
    ];
    assert_eq!(RefuseCause::ALL.map(|cause| (cause, cause as u32)), causes);
    let refusals = [
        (JoinRefusal::UnknownToken, 1),
        (JoinRefusal::Expired, 2),
        (JoinRefusal::Used, 3),
        (JoinRefusal::BadRequest, 4),
        (JoinRefusal::Revoked, 5),
        (JoinRefusal::Unavailable, 6),
        (JoinRefusal::UnknownKey, 7),
        (JoinRefusal::Lapsed, 8),
    ];
    assert_eq!(JoinRefusal::ALL.map(|why| (why, why as u32)), refusals);
    let providers = [
        (Provider::OpenAi, 1),
        (Provider::Azure, 2),
        (Provider::Anthropic, 3),
        (Provider::DeepSeek, 4),
    ];
    assert_eq!(Provider::ALL.map(|provider| (provider, provider.number())), providers);
}

/// Both ends count on these: raising one is a new minor version, lowering one a new major.
#[test]
fn the_limits_that_both_ends_must_share_are_those_of_the_document() {
    assert_eq!(limits::HEAD_BYTES_MAX, 65_536);
    assert_eq!(limits::MESSAGE_BYTES_MAX, 16_384);
    assert_eq!(limits::FRAMED_CHUNK_BYTES_MAX, 65_536);
    assert_eq!(limits::HEADER_LINES_MAX, 256);
    assert_eq!(limits::ACCOUNTS_MAX, 1_024);
    assert_eq!(limits::ACCOUNTS_PER_PAGE_MAX, 32);
    assert_eq!(limits::MODELS_PER_ACCOUNT_MAX, 64);
    assert_eq!(limits::TEXT_BYTES_MAX, 256);
    assert_eq!(limits::SLOTS_MAX, 8);
    assert_eq!(limits::RECEIPT_BYTES_MAX, 17_408);
    assert_eq!(limits::NOTE_BYTES_MAX, 4_096);
    assert_eq!(limits::ACKS_PER_BATCH_MAX, 200);
    assert_eq!(limits::RECEIPTS_IN_FLIGHT_MAX, 4_096);
    assert_eq!(limits::PRICE_BOOK_BYTES_MAX, 4_194_304);
    assert_eq!(limits::BOOKS_MAX, 16);
}

#[test]
fn tunnel_windows_hold_every_granted_stream() {
    let granted =
        u64::from(limits::EXCHANGE_STREAMS + limits::AGENT_BIDI_STREAMS + limits::UNI_STREAMS);
    let window = u64::from(limits::STREAM_WINDOW_BYTES);
    assert!(limits::TUNNEL_WINDOW_BYTES >= granted * window);
    // A head always fits its stream's window: writing one never waits for the reader.
    assert!(limits::HEAD_BYTES_MAX + 9 <= limits::STREAM_WINDOW_BYTES as usize);
}
