//! A WebSocket as a user of the realtime API has one: numbered messages are sent at a pace, and an
//! echo of each is expected.
//!
//! The simulated provider echoes what it does not know. Behind the last message goes a close, whose
//! answer comes behind the last echo: so it is known what was lost without waiting for it.

use super::exchange::Track;
use super::fault::Fault;
use super::follow::{Followed, Frames, Order};
use super::wire::{Dial, Stream};
use crate::link::dice::draw_at;
use crate::provider::websocket::accept;
use crate::provider::websocket::frame::{Frame, opcode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

/// Bytes of an answer's head that are taken.
const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Everything before the number of a message.
const BEFORE: &str = "{\"type\":\"weft.users\",\"session\":";

/// What is done on a WebSocket.
#[derive(Debug)]
pub(super) struct Talk {
    /// Path and query.
    pub(super) target: String,
    /// Headers of the handshake, credentials among them.
    pub(super) headers: HeaderMap,
    /// Messages.
    pub(super) turns: u32,
    /// How often one is sent.
    pub(super) pace: Duration,
    /// Bytes of each, or so.
    pub(super) bytes: u32,
    /// The numbers of all messages.
    pub(super) numbers: Vec<u64>,
}

/// One session under way.
struct Session<'a> {
    talk: &'a Talk,
    number: u64,
    to: Mutex<WriteHalf<Box<dyn Stream>>>,
}

impl Talk {
    /// Holds session `number`, and says what became of its messages in `frames` as they come.
    ///
    /// # Errors
    /// [`Fault`].
    ///
    /// # Cancel safety
    /// A dropped call closes the connection.
    pub(super) async fn hold(
        &self,
        dial: &Dial,
        number: u64,
        track: &mut Track<'_>,
        frames: &mut Frames,
    ) -> Result<Followed, Fault> {
        let opened = Instant::now();
        let stream = dial.websocket().await.map_err(|unsent| Fault::of_unsent(&unsent))?;
        track.connected(opened);
        let (from, to) = tokio::io::split(stream);
        let mut from = BufReader::new(from);
        let session = Session { talk: self, number, to: Mutex::new(to) };
        session.shake(&mut from).await?;
        track.head_came(Instant::now());
        let broken = |error: io::Error| Fault::of_io(&error, true);
        let sent = async { session.send().await.map_err(broken) };
        let came = session.receive(&mut from, track, frames);
        let ((), closed) = tokio::try_join!(sent, came)?;
        let numbers = u64::from(self.turns);
        frames.lost += numbers.saturating_sub(closed);
        frames.expected = numbers;
        Ok(Followed { frames: *frames, is_whole: true })
    }

    fn message(&self, session: u64, number: u64) -> String {
        let pad = "~".repeat(self.bytes as usize);
        format!("{BEFORE}{session},\"n\":{number},\"pad\":\"{pad}\"}}")
    }
}

impl Session<'_> {
    async fn shake(&self, from: &mut BufReader<ReadHalf<Box<dyn Stream>>>) -> Result<(), Fault> {
        let broken = |error: io::Error| Fault::of_io(&error, false);
        let random = [draw_at(self.number, 0), draw_at(self.number, 1)].map(u64::to_le_bytes);
        let key = STANDARD.encode(random.concat());
        let opening = format!(
            "GET {} HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n",
            self.talk.target
        );
        // Of its whole length at once: what holds a key does not move.
        let mut head = Zeroizing::new(Vec::with_capacity(HEAD_BYTES_MAX));
        head.extend_from_slice(opening.as_bytes());
        for (name, value) in &self.talk.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"\r\n");
        self.write(&head).await.map_err(broken)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == HEAD_BYTES_MAX {
                return Err(Fault::Protocol);
            }
            answer.push(from.read_u8().await.map_err(broken)?);
        }
        let text = String::from_utf8(answer).map_err(|_| Fault::Protocol)?;
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        match status.ok_or(Fault::Protocol)? {
            101 => {}
            status => return Err(Fault::Status(status)),
        }
        let accepted = accept(&key);
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let proven = lines.any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accepted
        });
        if proven { Ok(()) } else { Err(Fault::Protocol) }
    }

    async fn send(&self) -> io::Result<()> {
        let began = Instant::now();
        for number in 0..self.talk.turns {
            sleep_until(began + self.talk.pace * number).await;
            let message = self.talk.message(self.number, number.into());
            self.frame(&Frame::whole(opcode::TEXT, message)).await?;
        }
        self.frame(&Frame::close(1_000, "")).await
    }

    /// Reads until the close, and returns how far the numbers have come.
    async fn receive(
        &self,
        from: &mut BufReader<ReadHalf<Box<dyn Stream>>>,
        track: &mut Track<'_>,
        frames: &mut Frames,
    ) -> Result<u64, Fault> {
        let broken = |error: io::Error| Fault::of_io(&error, true);
        let mut order = Order::default();
        loop {
            let frame = Frame::read(from).await.map_err(broken)?.ok_or(Fault::Short)?;
            let now = Instant::now();
            match frame.opcode() {
                opcode::CLOSE => return Ok(order.next as u64),
                opcode::PING => {
                    let pong = Frame::whole(opcode::PONG, frame.payload);
                    self.frame(&pong).await.map_err(broken)?;
                }
                opcode::PONG => {}
                _ => {
                    track.bytes_came(now, frame.payload.len());
                    if let Some(number) = self.echoed(&frame.payload) {
                        track.deltas_came(now, 1);
                        frames.arrived += 1;
                        order.judge(&self.talk.numbers, number, frames);
                    }
                }
            }
        }
    }

    /// The number of an echo; one that no message has where it was altered.
    fn echoed(&self, payload: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(payload).ok()?;
        let (_, rest) = text.strip_prefix(BEFORE)?.split_once(",\"n\":")?;
        let number = rest.split(',').next()?.parse().unwrap_or(u64::MAX);
        let same = text == self.talk.message(self.number, number);
        Some(if same { number } else { u64::MAX })
    }

    async fn frame(&self, frame: &Frame) -> io::Result<()> {
        let [a, b, c, d, ..] = draw_at(self.number, u64::from(frame.first)).to_le_bytes();
        self.write(&frame.bytes(Some([a, b, c, d]))).await
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut to = self.to.lock().await;
        to.write_all(bytes).await?;
        to.flush().await
    }
}
