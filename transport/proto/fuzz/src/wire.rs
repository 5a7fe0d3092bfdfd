//! The wire: what passes keeps its limits and can be sent on; nothing that is cut passes for whole.

use weft_proto::limits::{
    ACCOUNTS_PER_PAGE_MAX, FRAMED_CHUNK_BYTES_MAX, HEAD_BYTES_MAX, HEADER_LINES_MAX,
    MESSAGE_BYTES_MAX, MODELS_PER_ACCOUNT_MAX, RECEIPT_BYTES_MAX, TEXT_BYTES_MAX,
};
use weft_proto::wire::control::{AgentMessage, ControlMessage, HubMessage};
use weft_proto::wire::framed::{Frame, FrameDecoder};
use weft_proto::websocket::{CloseStatus, FrameFollower, close_frame};
use weft_proto::wire::head::{AnswerHead, RequestHead, SwitchedHead};
use weft_proto::wire::join::{JoinAnswer, JoinRequest};
use weft_proto::wire::receipts::Receipt;
use weft_proto::wire::{prefix, varint};

/// A control message from an agent.
pub fn control_agent(input: &[u8]) {
    let Ok(message) = AgentMessage::decode(input) else {
        return;
    };
    if let AgentMessage::Accounts(page) = &message {
        assert!(page.accounts.len() <= ACCOUNTS_PER_PAGE_MAX);
        for account in &page.accounts {
            assert!(account.label.len() <= TEXT_BYTES_MAX);
            assert!(account.models.iter().count() <= MODELS_PER_ACCOUNT_MAX);
            assert!(account.deployments.len() <= MODELS_PER_ACCOUNT_MAX);
        }
    }
    sent_on(&message);
}

/// A control message from a hub.
pub fn control_hub(input: &[u8]) {
    if let Ok(message) = HubMessage::decode(input) {
        sent_on(&message);
    }
}

fn sent_on<M: ControlMessage + PartialEq>(message: &M) {
    let bytes = message.encode().expect("what was read can be written");
    assert!(bytes.len() <= MESSAGE_BYTES_MAX);
    assert_eq!(&M::decode(&bytes).expect("what was written is read"), message);
}

/// The head of a request.
pub fn head_request(input: &[u8]) {
    let Ok(head) = RequestHead::decode(input) else {
        return;
    };
    assert!(head.headers.len() <= HEADER_LINES_MAX && head.target.starts_with('/'));
    let bytes = head.encode().expect("what was read can be written");
    assert_eq!(RequestHead::decode(&bytes), Ok(head));
}

/// The head of an answer.
pub fn head_answer(input: &[u8]) {
    if let Ok(head) = SwitchedHead::decode(input) {
        assert!(head.headers.len() <= HEADER_LINES_MAX && AnswerHead::decode(input).is_err());
        let bytes = head.encode().expect("what was read can be written");
        assert_eq!(SwitchedHead::decode(&bytes), Ok(head));
    }
    let Ok(head) = AnswerHead::decode(input) else {
        return;
    };
    assert!(head.headers.len() <= HEADER_LINES_MAX && !head.status.is_informational());
    let bytes = head.encode().expect("what was read can be written");
    assert_eq!(AnswerHead::decode(&bytes), Ok(head));
}

/// A request to join.
pub fn join_request(input: &[u8]) {
    let Ok(request) = JoinRequest::decode(input) else {
        return;
    };
    assert!(!format!("{request:?}").contains("token"), "a token in a log");
    let bytes = request.encode().expect("what was read can be written");
    assert!(JoinRequest::decode(&bytes) == Ok(request));
}

/// An answer to a request to join.
pub fn join_answer(input: &[u8]) {
    let Ok(answer) = JoinAnswer::decode(input) else {
        return;
    };
    let bytes = answer.encode().expect("what was read can be written");
    assert_eq!(JoinAnswer::decode(&bytes), Ok(answer));
}

/// The first byte is how many bytes each read brings; however the rest is cut, it reads the same.
pub fn framed(input: &[u8]) {
    let Some((step, body)) = input.split_first() else {
        return;
    };
    let cut = read_framed(body, usize::from(*step).max(1));
    let whole = read_framed(body, body.len().max(1));
    assert_eq!(cut, whole, "cutting a body must change nothing");
    assert!(whole.0.len() <= body.len());
}

/// The body, how many trailers came, and whether it ended properly.
fn read_framed(body: &[u8], step: usize) -> (Vec<u8>, usize, bool) {
    let (mut decoder, mut read, mut trailers) = (FrameDecoder::default(), Vec::new(), 0);
    for part in body.chunks(step) {
        decoder.push(part);
        while let Ok(Some(frame)) = decoder.next_frame() {
            match frame {
                Frame::Data(data) => {
                    assert!(!data.is_empty() && data.len() <= FRAMED_CHUNK_BYTES_MAX);
                    read.extend_from_slice(&data);
                }
                Frame::Trailers(lines) => {
                    assert!(lines.len() <= HEADER_LINES_MAX);
                    trailers += 1;
                }
            }
        }
    }
    let proper = decoder.finish().is_ok();
    assert!(trailers <= 1 && proper <= (trailers == 1));
    (read, trailers, proper)
}

/// The stream of receipts: every frame keeps its limit and is written again as it was read, and what
/// is cut never passes for whole.
pub fn receipts(input: &[u8]) {
    let mut rest = bytes::BytesMut::from(input);
    let mut written = bytes::BytesMut::new();
    while let Ok(Some(receipt)) = Receipt::take(&mut rest) {
        let from = written.len();
        receipt.encode(&mut written).expect("what was read can be written");
        assert!(written.len() - from <= RECEIPT_BYTES_MAX + 5);
    }
    assert!(written.len() + rest.len() <= input.len());
    let mut again = written.clone();
    let mut frames = 0;
    while let Ok(Some(_)) = Receipt::take(&mut again) {
        frames += 1;
    }
    assert!(again.is_empty() && (frames > 0 || written.is_empty()));
}

/// Blocks behind length prefixes: each is at most its limit, and none is made of missing bytes.
pub fn prefixed(input: &[u8]) {
    if let Some((value, length)) = varint::decode(input) {
        assert!(value <= varint::MAX && matches!(length, 1 | 2 | 4 | 8));
        let mut shortest = Vec::new();
        varint::encode(value, &mut shortest).expect("a value that fits");
        assert!(shortest.len() <= length);
        assert_eq!(varint::decode(&shortest), Some((value, shortest.len())));
    }
    for max in [MESSAGE_BYTES_MAX, HEAD_BYTES_MAX] {
        let mut rest = bytes::BytesMut::from(input);
        let mut taken = 0;
        loop {
            let before = rest.clone();
            match prefix::decode(&mut rest, max) {
                Ok(Some(block)) => {
                    assert!(block.len() <= max);
                    taken += before.len() - rest.len();
                    assert!(rest.len() < before.len());
                }
                Ok(None) | Err(_) => {
                    assert_eq!(rest, before, "bytes of an unread block are gone");
                    break;
                }
            }
        }
        assert_eq!(taken + rest.len(), input.len());
    }
}

/// The frames of a WebSocket, in two splits: the same places, and no byte that ends it.
pub fn websocket(input: &[u8]) {
    let (mut whole, mut split) = (FrameFollower::default(), FrameFollower::default());
    whole.pass(input);
    for byte in input {
        split.pass(std::slice::from_ref(byte));
    }
    assert_eq!(whole.at_boundary(), split.at_boundary());
    assert_eq!(whole.closed(), split.closed());
    if whole.at_boundary() {
        whole.pass(&close_frame(CloseStatus::InternalError, "fuzz"));
        assert!(whole.at_boundary() && whole.closed(), "a frame at a boundary is a frame");
    }
}
