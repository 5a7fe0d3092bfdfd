//! A request's body over HTTP/3: pumped from the stream to whoever reads it, one part at a time.
//!
//! The stream is read by the task of its request and by nobody else, so that the user's reset is
//! seen there even while nobody reads the body. What is read on for nobody is nothing: a part is
//! taken off the stream only when there is room for it.
//!
//! Invariants: a body that did not end properly, or has another length than was announced, never
//! looks as if it had ended.

use super::quic::{RecvHalf, Watch};
use bytes::{Buf, Bytes, BytesMut};
use h3::error::{Code, StreamError};
use h3::server::RequestStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc;

/// How many bytes of a body that are there already are handed on together: packets are small.
const GATHER_BYTES: usize = 16 * 1024;

/// How often a stream is looked at whose body is not read: bytes that wait hide its reset.
const PAUSED_LOOK: Duration = Duration::from_millis(250);

/// The reading half of a request.
pub(super) type Reader = RequestStream<RecvHalf, Bytes>;

/// One step of a body.
enum Part {
    Data(Bytes),
    End,
}

/// The body as the handlers read it.
#[derive(Debug)]
pub(super) struct Upload {
    parts: mpsc::Receiver<Part>,
    /// What is still to come, where it was announced.
    left: Option<u64>,
    ended: bool,
}

/// Where the body goes.
#[derive(Debug)]
pub(super) struct Pump {
    parts: mpsc::Sender<Part>,
    left: Option<u64>,
}

/// Why a request is over before it is answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The user has reset it.
    #[error("the user has left")]
    Left,
    /// It has another length than was announced.
    #[error("the body has another length than content-length says")]
    Length,
    /// Its stream or its connection failed, or broke the rules.
    #[error("the body cannot be read")]
    Stream(#[from] StreamError),
}

impl Broken {
    /// With which code its answer ends; `None` where the stream knows better.
    pub(super) const fn code(&self) -> Option<Code> {
        match self {
            Self::Left => Some(Code::H3_REQUEST_CANCELLED),
            Self::Length => Some(Code::H3_MESSAGE_ERROR),
            Self::Stream(_) => None,
        }
    }
}

/// The length that `headers` announce.
///
/// # Errors
/// [`Broken::Length`] where they announce none that is one.
pub(super) fn announced(headers: &HeaderMap) -> Result<Option<u64>, Broken> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let digits = first.as_bytes();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let length = first.to_str().ok().filter(|_| plain).and_then(|text| text.parse().ok());
    if values.any(|other| other != first) {
        return Err(Broken::Length);
    }
    length.map(Some).ok_or(Broken::Length)
}

/// A body of `announced` bytes, and the pump that fills it.
pub(super) fn upload(announced: Option<u64>) -> (Upload, Pump) {
    let (sender, receiver) = mpsc::channel(1);
    let upload = Upload { parts: receiver, left: announced, ended: false };
    (upload, Pump { parts: sender, left: announced })
}

impl Pump {
    /// Pumps until the request is broken; after its proper end, waits for nothing for ever.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped pump leaves a body that fails.
    pub(super) async fn run(mut self, reader: &mut Reader, watch: &Watch) -> Broken {
        loop {
            let room = tokio::select! {
                biased;
                room = self.parts.reserve() => room,
                () = reset(watch) => return Broken::Left,
            };
            let Ok(room) = room else {
                // Nobody reads it any more, and the answer may go on.
                reset(watch).await;
                return Broken::Left;
            };
            let mut first = match poll_fn(|context| poll_bytes(reader, context)).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) if self.left.is_some_and(|left| left > 0) => return Broken::Length,
                Ok(None) => {
                    room.send(Part::End);
                    return std::future::pending().await;
                }
                Err(error) => return error.into(),
            };
            let mut after = None;
            if first.len() < GATHER_BYTES {
                let mut gathered = BytesMut::new();
                poll_fn(|context| {
                    while first.len() + gathered.len() < GATHER_BYTES {
                        match poll_bytes(reader, context) {
                            Poll::Ready(Ok(Some(bytes))) => {
                                if gathered.is_empty() {
                                    gathered.reserve(GATHER_BYTES);
                                    gathered.extend_from_slice(&first);
                                    first = Bytes::new();
                                }
                                gathered.extend_from_slice(&bytes);
                            }
                            Poll::Ready(other) => {
                                after = Some(other.map(|_| ()));
                                break;
                            }
                            Poll::Pending => break,
                        }
                    }
                    Poll::Ready(())
                })
                .await;
                if !gathered.is_empty() {
                    first = gathered.freeze();
                }
            }
            if let Some(left) = &mut self.left {
                match left.checked_sub(first.len() as u64) {
                    Some(rest) => *left = rest,
                    None => return Broken::Length,
                }
            }
            room.send(Part::Data(first));
            match after {
                None => {}
                Some(Ok(())) if self.left.is_some_and(|left| left > 0) => return Broken::Length,
                Some(Ok(())) => {
                    // Nobody who has stopped reading wants to know of the end either.
                    drop(self.parts.send(Part::End).await);
                    return std::future::pending().await;
                }
                Some(Err(error)) => return error.into(),
            }
        }
    }
}

/// What of the body is there; `None` at its end. Trailers end it, and are not passed on.
fn poll_bytes(
    reader: &mut Reader,
    context: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, StreamError>> {
    let data = ready!(reader.poll_recv_data(context))?;
    Poll::Ready(Ok(data.map(|mut data| data.copy_to_bytes(data.remaining()))))
}

/// Waits for the user's reset.
async fn reset(watch: &Watch) {
    loop {
        let look = poll_fn(|context| watch.poll_reset(context));
        if tokio::time::timeout(PAUSED_LOOK, look).await.is_ok() {
            return;
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.parts.poll_recv(context)) {
            Some(Part::Data(bytes)) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Part::End) => {
                self.ended = true;
                Poll::Ready(None)
            }
            None => {
                self.ended = true;
                let why = "the request's body broke off";
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        if self.ended {
            return SizeHint::with_exact(0);
        }
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http_body_util::BodyExt;

    #[test]
    fn a_length_is_one_number_however_often_it_is_said() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            announced(&headers).ok()
        };
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&["17"]), Some(Some(17)));
        assert_eq!(of(&["17", "17"]), Some(Some(17)));
        for bad in [
            &["17", "18"][..],
            &[""],
            &["+1"],
            &["1 "],
            &["-1"],
            &["0x1"],
            &["99999999999999999999"],
        ] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_body_whose_pump_is_dropped_fails_and_one_with_an_end_does_not() {
        let (body, pump) = upload(Some(4));
        pump.parts.send(Part::Data(Bytes::from_static(b"half"))).await.unwrap();
        drop(pump);
        assert_eq!(body.collect().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

        let (body, pump) = upload(None);
        let filling = async {
            pump.parts.send(Part::Data(Bytes::from_static(b"whole"))).await.unwrap();
            pump.parts.send(Part::End).await.unwrap();
        };
        let (body, ()) = tokio::join!(body.collect(), filling);
        assert_eq!(body.unwrap().to_bytes(), "whole");
    }
}
