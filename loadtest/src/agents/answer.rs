//! What a light agent answers: a chat completion, streamed or whole, that is the same for everybody.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, StatusCode};
use memchr::memmem;
use weft_proto::wire::head::AnswerHead;
use weft_transport::exchange::{self, Incoming};
use weft_transport::stream::StreamError;

/// Deltas of a streamed answer.
const DELTAS: usize = 16;
/// Bytes of a request that are looked at for its wish.
const LOOKED_AT_BYTES: usize = 64 * 1_024;

/// The whole answer of one that does not stream.
const WHOLE: &str = concat!(
    r#"{"id":"chatcmpl-light","object":"chat.completion","created":1700000000,"model":"light","#,
    r#""choices":[{"index":0,"message":{"role":"assistant","content":"light"},"#,
    r#""finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}"#
);
/// One delta of a stream.
const DELTA: &str = concat!(
    r#"data: {"id":"chatcmpl-light","object":"chat.completion.chunk","created":1700000000,"#,
    r#""model":"light","choices":[{"index":0,"delta":{"content":"light "},"finish_reason":null}]}"#,
    "\n\n"
);
/// What ends a stream.
const LAST: &str = concat!(
    r#"data: {"id":"chatcmpl-light","object":"chat.completion.chunk","created":1700000000,"#,
    r#""model":"light","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-light","object":"chat.completion.chunk","created":1700000000,"#,
    r#""model":"light","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":16,"#,
    r#""total_tokens":24}}"#,
    "\n\ndata: [DONE]\n\n"
);

/// Serves one exchange.
///
/// # Errors
/// Where its user gave it up, or the tunnel was lost.
///
/// # Cancel safety
/// A dropped call resets the stream.
pub(super) async fn one(
    send: quinn::SendStream,
    recv: quinn::RecvStream,
) -> Result<(), StreamError> {
    let Incoming { mut body, mut answer, .. } = exchange::accept(send, recv).await?;
    let mut start = Vec::new();
    while let Some(read) = body.next().await? {
        let room = LOOKED_AT_BYTES.saturating_sub(start.len());
        start.extend_from_slice(read.get(..room).unwrap_or(&read));
    }
    if wants_stream(&start) {
        answer.head(&head("text/event-stream")).await?;
        for _ in 0..DELTAS {
            answer.send(Bytes::from_static(DELTA.as_bytes())).await?;
        }
        answer.send(Bytes::from_static(LAST.as_bytes())).await?;
    } else {
        answer.head(&head("application/json")).await?;
        answer.send(Bytes::from_static(WHOLE.as_bytes())).await?;
    }
    answer.finish(None).await
}

/// Whether the request asks for a stream: as clients write it, with or without a space. A prompt
/// that quotes it gets a stream, too, which harms nobody here.
fn wants_stream(body: &[u8]) -> bool {
    [&b"\"stream\":true"[..], b"\"stream\": true"]
        .into_iter()
        .any(|wish| memmem::find(body, wish).is_some())
}

fn head(kind: &'static str) -> AnswerHead {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    AnswerHead { status: StatusCode::OK, headers, account_fault: false, framed: false }
}
