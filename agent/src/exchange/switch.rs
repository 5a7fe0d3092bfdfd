//! A provider that switched to a WebSocket: raw bytes both ways, one read here, one write there.
//!
//! FIN towards the hub says that the provider's direction ended properly: between two frames, by
//! the end of TLS or behind a close frame. Everything else is a reset. The user's FIN becomes the
//! end of what the provider is sent, and of nothing else: that is a half-close. Nothing of either
//! direction is kept; what the provider's frames hold only the meter reads, in a copy.

use super::call::request_failed;
use super::record::Record;
use super::stream::not_written;
use super::{Ended, Served};
use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weft_proto::codes::AbortCode;
use weft_proto::tables::headers::upgrade_response_headers;
use weft_proto::websocket::FrameFollower;
use weft_proto::wire::head::SwitchedHead;
use weft_transport::exchange::{AnswerWriter, RequestReader};

/// Most bytes of one read off a provider's connection: one record of TLS.
const READ_BYTES_MAX: usize = 16 * 1024;

/// How long a provider may take nothing of what its user sends. The hub's patience is shorter, but
/// once the provider's direction has ended the hub has no other way to be heard here.
const STALL_MAX: Duration = Duration::from_secs(5 * 60);

/// Sends the head, then carries bytes until both directions have ended.
pub(super) async fn carry<I>(
    io: I,
    headers: &HeaderMap,
    body: RequestReader,
    answer: &mut AnswerWriter,
    record: &Record,
) -> Result<Served, Ended>
where
    I: AsyncRead + AsyncWrite,
{
    let head = SwitchedHead { headers: upgrade_response_headers(headers) };
    answer.switched(&head).await.map_err(|error| not_written(&error))?;
    let (from_provider, to_provider) = tokio::io::split(io);
    let mut down = pin!(downward(from_provider, answer, record));
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
async fn downward<R>(
    mut from_provider: R,
    answer: &mut AnswerWriter,
    record: &Record,
) -> Result<u64, Ended>
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
        record.came(read.clone());
        answer.send(read).await.map_err(|error| not_written(&error))?;
        record.passed_on();
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
            drop(patiently(to_provider.shutdown()).await);
            return Ok(());
        };
        match hand_over(&mut to_provider, bytes).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                return Err(truncated("the provider takes nothing of what the user sends"));
            }
            Err(_) => {
                // The provider takes no more; what it has sent says why.
                body.stop(AbortCode::Enough);
                return Ok(());
            }
        }
    }
}

/// Writes all of `bytes`; a provider that takes none of them for [`STALL_MAX`] has timed out.
async fn hand_over<W>(to_provider: &mut W, mut bytes: Bytes) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    while !bytes.is_empty() {
        match patiently(to_provider.write(&bytes)).await? {
            0 => return Err(ErrorKind::WriteZero.into()),
            taken => bytes.advance(taken),
        }
    }
    patiently(to_provider.flush()).await
}

async fn patiently<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| Err(ErrorKind::TimedOut.into());
    tokio::time::timeout(STALL_MAX, step).await.unwrap_or_else(late)
}

fn truncated(why: &'static str) -> Ended {
    Ended::new(AbortCode::UpstreamTruncated, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let (mut near, far) = tokio::io::duplex(4);
        let stuck = hand_over(&mut near, Bytes::from_static(b"more than it has room for")).await;
        assert_eq!(stuck.expect_err("nobody reads").kind(), ErrorKind::TimedOut);
        drop(far);

        let (mut near, mut far) = tokio::io::duplex(4);
        let reading = async {
            let mut read = [0; 24];
            for part in read.chunks_mut(4) {
                tokio::time::sleep(STALL_MAX * 9 / 10).await;
                far.read_exact(part).await.expect("written");
            }
            read
        };
        let whole = Bytes::from_static(b"four bytes at a time, ok");
        let (written, read) = tokio::join!(hand_over(&mut near, whole.clone()), reading);
        written.expect("taken");
        assert_eq!(&read[..], &whole);
    }
}
