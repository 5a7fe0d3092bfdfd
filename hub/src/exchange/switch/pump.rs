//! Both directions of a switched exchange, side by side, until both have ended or one broke.
//!
//! Each read becomes one write. A direction that ended properly leaves the other one open: that is
//! a half-close, and the next hop sees it as one. Silence is counted over both together, for a
//! WebSocket may well speak in one direction only.

use super::super::dispatch::why;
use super::super::settle::Record;
use crate::tunnel::Slip;
use bytes::{Buf, Bytes};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;
use weft_proto::codes::AbortCode;
use weft_proto::exchange::Break;
use weft_proto::websocket::FrameFollower;
use weft_transport::exchange::{BodyReader, Piece, RequestWriter};
use weft_transport::stream::StreamError;

/// Most bytes of one read off a user's connection: one record of TLS.
const READ_BYTES_MAX: usize = 16 * 1024;

/// How long a user may take to end its direction once the provider has closed and ended.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How a switched exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// By a close of the WebSocket, or with both directions ended properly.
    Complete,
    /// Otherwise.
    Broke(Break),
}

/// All that two directions need.
pub(super) struct Pump<'a, S> {
    pub(super) record: &'a mut Record,
    pub(super) taken: Arc<AtomicU64>,
    pub(super) slip: &'a Slip,
    pub(super) writer: &'a mut RequestWriter,
    pub(super) reader: &'a mut BodyReader,
    pub(super) from_user: &'a mut ReadHalf<S>,
    pub(super) to_user: &'a mut WriteHalf<S>,
    /// What went from the user to the agent.
    pub(super) up: &'a mut FrameFollower,
    /// What went from the agent to the user.
    pub(super) down: &'a mut FrameFollower,
    /// Longest silence of both directions together.
    pub(super) idle: Duration,
    /// Longest wait for the agent to take a read.
    pub(super) stall: Duration,
    /// The moment at which the exchange has run for as long as one may.
    pub(super) ends_at: Instant,
}

/// How the user's direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpEnd {
    /// Properly, and the agent was told so.
    Ended,
    /// The agent takes no more: the other direction says why.
    Unwanted,
    /// Not properly.
    Broke(Break),
}

/// How the provider's direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DownEnd {
    /// Properly, and the user's connection was told so.
    Ended { closed: bool },
    /// Not properly.
    Broke(Break),
}

/// When something last went through, in either direction.
#[derive(Debug)]
struct Heard {
    began: Instant,
    at_ms: AtomicU64,
}

impl Heard {
    fn now(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_ms.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.at_ms.load(Ordering::Relaxed))
    }
}

impl<S: AsyncRead + AsyncWrite> Pump<'_, S> {
    /// Runs both directions to their end.
    pub(super) async fn run(self, first: Bytes) -> Over {
        let Self { record, taken, slip, writer, reader, from_user, to_user, up, down, .. } = self;
        let heard = Heard { began: Instant::now(), at_ms: AtomicU64::new(0) };
        let mut upward = pin!(upward(from_user, writer, first, up, &taken, &heard, self.stall));
        let mut downward = pin!(downward(reader, to_user, down, record, slip, &heard));
        let (mut up_end, mut down_end) = (None, None);
        let mut patience = pin!(tokio::time::sleep_until(self.ends_at));
        patience.as_mut().reset((heard.last() + self.idle).min(self.ends_at));
        let mut close_by = self.ends_at;
        loop {
            tokio::select! {
                biased;
                end = &mut downward, if down_end.is_none() => {
                    down_end = Some(end);
                    close_by = close_by.min(Instant::now() + CLOSE_WAIT_MAX);
                }
                end = &mut upward, if up_end.is_none() => up_end = Some(end),
                () = &mut patience => {
                    let until = (heard.last() + self.idle).min(self.ends_at);
                    if until <= Instant::now() {
                        return Over::Broke(Break::Deadline);
                    }
                    patience.as_mut().reset(until);
                }
                // The conversation is over; only the user's connection is not closed yet.
                () = tokio::time::sleep_until(close_by), if said_all(down_end, up_end) => {
                    return Over::Complete;
                }
            }
            match (down_end, up_end) {
                (Some(DownEnd::Broke(why)), _) => return Over::Broke(why),
                (Some(DownEnd::Ended { .. }), Some(UpEnd::Ended | UpEnd::Unwanted)) => {
                    return Over::Complete;
                }
                // The provider closed and ended, and the user's client did not wait to be asked.
                (Some(DownEnd::Ended { closed: true }), Some(UpEnd::Broke(Break::UserGone))) => {
                    return Over::Complete;
                }
                (_, Some(UpEnd::Broke(why))) => return Over::Broke(why),
                (None, _) | (Some(DownEnd::Ended { .. }), None) => {}
            }
        }
    }
}

/// Whether the provider's direction has ended with a close frame while the user's still stands.
const fn said_all(down: Option<DownEnd>, up: Option<UpEnd>) -> bool {
    matches!((down, up), (Some(DownEnd::Ended { closed: true }), None))
}

/// From the user to the agent.
async fn upward<S: AsyncRead + AsyncWrite>(
    from_user: &mut ReadHalf<S>,
    writer: &mut RequestWriter,
    first: Bytes,
    follower: &mut FrameFollower,
    taken: &AtomicU64,
    heard: &Heard,
    stall: Duration,
) -> UpEnd {
    let mut buffer = vec![0; READ_BYTES_MAX];
    let mut read = first;
    loop {
        if !read.is_empty() {
            heard.now();
            taken.fetch_add(read.len() as u64, Ordering::Relaxed);
            follower.pass(&read);
            match tokio::time::timeout(stall, writer.send(read)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return unwanted(&error),
                Err(_) => return UpEnd::Broke(Break::Deadline),
            }
        }
        match one_read(from_user, &mut buffer, follower).await {
            // A copy: what waits for the agent must not cost more than its bytes.
            Ok(Some(bytes)) => read = Bytes::copy_from_slice(bytes),
            Ok(None) => {
                return match writer.finish() {
                    Ok(()) => UpEnd::Ended,
                    Err(error) => unwanted(&error),
                };
            }
            Err(why) => return UpEnd::Broke(why),
        }
    }
}

/// One read off a user's connection; `None` where its direction ended properly, which is never
/// inside a frame.
async fn one_read<'a, R: AsyncRead + Unpin>(
    from_user: &mut R,
    buffer: &'a mut [u8],
    before: &FrameFollower,
) -> Result<Option<&'a [u8]>, Break> {
    match from_user.read(buffer).await {
        Ok(0) if before.at_boundary() => Ok(None),
        Ok(0) => Err(Break::UserGone),
        Ok(bytes) => Ok(Some(&buffer[..bytes])),
        // Clients that have said all often go without the end of TLS.
        Err(_) if before.closed() => Ok(None),
        Err(_) => Err(Break::UserGone),
    }
}

/// What it means that the agent takes no more of the user's bytes.
const fn unwanted(error: &StreamError) -> UpEnd {
    match error {
        StreamError::Aborted(AbortCode::Enough) => UpEnd::Unwanted,
        StreamError::Aborted(_)
        | StreamError::TunnelLost(_)
        | StreamError::Malformed(_)
        | StreamError::TimedOut => UpEnd::Broke(why(error)),
    }
}

/// From the agent to the user.
async fn downward<S: AsyncRead + AsyncWrite>(
    reader: &mut BodyReader,
    to_user: &mut WriteHalf<S>,
    follower: &mut FrameFollower,
    record: &mut Record,
    slip: &Slip,
    heard: &Heard,
) -> DownEnd {
    loop {
        let piece = reader.next().await;
        slip.heard();
        heard.now();
        let mut bytes = match piece {
            Ok(Some(Piece::Data(bytes))) => bytes,
            Ok(Some(Piece::Trailers(_))) => return DownEnd::Broke(Break::Malformed),
            Ok(None) => {
                // A user that is gone by now has missed nothing but the end.
                drop(to_user.shutdown().await);
                return DownEnd::Ended { closed: follower.closed() };
            }
            Err(error) => return DownEnd::Broke(why(&error)),
        };
        while !bytes.is_empty() {
            match to_user.write(&bytes).await {
                Ok(0) => return DownEnd::Broke(Break::UserGone),
                Ok(written) => {
                    follower.pass(&bytes[..written]);
                    record.answered(written);
                    if record.passed(&bytes[..written]).await.is_err() {
                        return DownEnd::Broke(Break::Exhausted);
                    }
                    bytes.advance(written);
                }
                Err(error) => return DownEnd::Broke(not_taken(&error)),
            }
        }
        if let Err(error) = to_user.flush().await {
            return DownEnd::Broke(not_taken(&error));
        }
        heard.now();
    }
}

/// What it means that the user's connection takes no bytes: it errs so when its user took none for
/// the stall limit.
fn not_taken(error: &io::Error) -> Break {
    if error.kind() == ErrorKind::TimedOut { Break::SlowReader } else { Break::UserGone }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::websocket::{CloseStatus, close_frame};

    /// A connection that its peer has reset.
    struct Reset;

    impl AsyncRead for Reset {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
        }
    }

    /// What the end of the user's bytes comes to, behind `sent`.
    async fn end_behind(sent: &[u8]) -> Result<Option<&'static [u8]>, Break> {
        let mut follower = FrameFollower::default();
        follower.pass(sent);
        let mut buffer = [0; 8];
        let read = one_read(&mut tokio::io::empty(), &mut buffer, &follower).await;
        read.map(|read| read.map(|_| &b"bytes"[..]))
    }

    #[tokio::test]
    async fn a_user_s_direction_ends_properly_between_two_frames_and_nowhere_else() {
        let frame = close_frame(CloseStatus::GoingAway, "bye");
        assert_eq!(end_behind(b"").await, Ok(None));
        assert_eq!(end_behind(&frame).await, Ok(None));
        for cut in 1..frame.len() {
            assert_eq!(end_behind(&frame[..cut]).await, Err(Break::UserGone), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_behind_a_close_frame_has_ended_and_any_other_has_not() {
        let mut follower = FrameFollower::default();
        for (sent, ended) in [
            (&b""[..], Err(Break::UserGone)),
            (&close_frame(CloseStatus::GoingAway, "bye"), Ok(None)),
        ] {
            follower.pass(sent);
            assert_eq!(one_read(&mut Reset, &mut [0; 8], &follower).await, ended);
        }
    }
}
