//! A provider that switched to a WebSocket: raw bytes both ways, one read here, one write there.
//!
//! FIN towards the hub says that the provider's direction ended properly: between two frames, by
//! the end of TLS or behind a close frame. Everything else is a reset. The user's FIN becomes the
//! end of what the provider is sent, and of nothing else: that is a half-close. Nothing of either
//! direction is kept; what frames hold is never looked at.

use super::call::request_failed;
use super::stream::not_written;
use super::{Ended, Served};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weft_proto::codes::AbortCode;
use weft_proto::tables::headers::upgrade_response_headers;
use weft_proto::websocket::FrameFollower;
use weft_proto::wire::head::SwitchedHead;
use weft_transport::exchange::{AnswerWriter, RequestReader};

/// Most bytes of one read off a provider's connection: one record of TLS.
const READ_BYTES_MAX: usize = 16 * 1024;

/// Sends the head, then carries bytes until both directions have ended.
pub(super) async fn carry<I>(
    io: I,
    headers: &HeaderMap,
    body: RequestReader,
    answer: &mut AnswerWriter,
) -> Result<Served, Ended>
where
    I: AsyncRead + AsyncWrite,
{
    let head = SwitchedHead { headers: upgrade_response_headers(headers) };
    answer.switched(&head).await.map_err(|error| not_written(&error))?;
    let (from_provider, to_provider) = tokio::io::split(io);
    let mut down = pin!(downward(from_provider, answer));
    let mut up = pin!(upward(body, to_provider));
    let (mut sent, mut up_ended) = (None, false);
    loop {
        tokio::select! {
            biased;
            end = &mut down, if sent.is_none() => sent = Some(end?),
            end = &mut up, if !up_ended => {
                // What the user still had to say to a provider that has ended is no loss.
                if sent.is_none() {
                    end?;
                }
                up_ended = true;
            }
        }
        if let (Some(answer_bytes), true) = (sent, up_ended) {
            let status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
            return Ok(Served { status, answer_bytes });
        }
    }
}

/// From the provider to the hub; how many bytes there were.
async fn downward<R>(mut from_provider: R, answer: &mut AnswerWriter) -> Result<u64, Ended>
where
    R: AsyncRead + Unpin,
{
    let mut follower = FrameFollower::default();
    let mut buffer = vec![0; READ_BYTES_MAX];
    let mut sent = 0;
    loop {
        let bytes = match from_provider.read(&mut buffer).await {
            Ok(0) if follower.at_boundary() => 0,
            // Servers that have closed often go without the end of TLS.
            Err(_) if follower.at_boundary() && follower.closed() => 0,
            Ok(0) => return Err(truncated("the provider's connection ended inside a frame")),
            Err(error) => {
                tracing::debug!(%error, "a provider's WebSocket broke off");
                return Err(truncated("the provider's connection broke off"));
            }
            Ok(bytes) => bytes,
        };
        if bytes == 0 {
            answer.finish(None).await.map_err(|error| not_written(&error))?;
            return Ok(sent);
        }
        let read = &buffer[..bytes];
        follower.pass(read);
        sent += bytes as u64;
        // A copy: what waits for the hub must not cost more than its bytes.
        let read = Bytes::copy_from_slice(read);
        answer.send(read).await.map_err(|error| not_written(&error))?;
    }
}

/// From the hub to the provider.
async fn upward<W>(mut body: RequestReader, mut to_provider: W) -> Result<(), Ended>
where
    W: AsyncWrite + Unpin,
{
    loop {
        let Some(bytes) = body.next().await.map_err(|error| request_failed(&error))? else {
            // A provider that is gone by now shows it in its own direction.
            drop(to_provider.shutdown().await);
            return Ok(());
        };
        let written = async {
            to_provider.write_all(&bytes).await?;
            to_provider.flush().await
        };
        if written.await.is_err() {
            // The provider takes no more; what it has sent says why.
            body.stop(AbortCode::Enough);
            return Ok(());
        }
    }
}

fn truncated(why: &'static str) -> Ended {
    Ended::new(AbortCode::UpstreamTruncated, why)
}
