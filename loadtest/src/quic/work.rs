//! The work on a connection: what the hub's end does with a stream, and what the agents' end does
//! with it in turn.
//!
//! The first byte of a stream says what it is for, so that both ends need no other agreement.

use anyhow::Context;
use bytes::{Buf, Bytes};
use hdrhistogram::Histogram;
use quinn::{Connection, RecvStream, SendStream};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_transport::stream::{RecvHalf, SendHalf};

/// Bytes of a small message: a delta of a token stream.
const SMALL_BYTES: usize = 64;
/// Bytes of one write of a large one.
const PIECE_BYTES: usize = 64 * 1_024;
/// Bytes of a large message.
const LARGE_BYTES: u64 = 64 * 1_024 * 1_024;
/// Streams at a time, where there are many: below what quinn grants by itself.
const MANY: usize = 64;
/// The longest time that is told apart from a longer one.
const MICROS_MAX: u64 = 60_000_000;

/// A stream that gives back what it gets.
const ECHO: u8 = b'e';
/// A stream that counts what it gets and answers with the count.
const SINK: u8 = b's';
/// A stream that gives as many bytes as it is asked for.
const SOURCE: u8 = b'g';

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// One stream after the other: opened, 64 bytes there and back, ended.
    Streams,
    /// The same, 64 at a time.
    ManyStreams,
    /// 64 bytes there and back on one stream, again and again.
    RoundTrips,
    /// Bodies of 64 MiB, hub to agent.
    Down,
    /// Bodies of 64 MiB, agent to hub.
    Up,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Streams, messages, bodies or handshakes.
    pub(super) count: u64,
    /// Bytes of messages and bodies, in the direction that is measured.
    pub(super) bytes: u64,
    /// From the first to the last.
    pub(super) micros: u64,
    /// Of one of them: half took at most this.
    pub(super) p50_micros: u64,
    /// 99 of a hundred took at most this.
    pub(super) p99_micros: u64,
}

/// A clock for many things that take some time each.
pub(super) struct Watch {
    began: Instant,
    end: Instant,
    each: Histogram<u64>,
}

impl Watch {
    pub(super) fn start(within: Duration) -> anyhow::Result<Self> {
        let began = Instant::now();
        let each = Histogram::new_with_bounds(1, MICROS_MAX, 3)?;
        Ok(Self { began, end: began + within, each })
    }

    pub(super) fn runs(&self) -> bool {
        Instant::now() < self.end
    }

    pub(super) fn took(&mut self, time: Duration) {
        self.each.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn figures(&self, bytes: u64) -> Figures {
        Figures {
            count: self.each.len(),
            bytes,
            micros: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            p50_micros: self.each.value_at_quantile(0.5),
            p99_micros: self.each.value_at_quantile(0.99),
        }
    }
}

/// Does it at the hub's end, for about `within`.
pub(super) async fn work(
    connection: &Connection,
    kind: Kind,
    within: Duration,
) -> anyhow::Result<Figures> {
    let watch = Watch::start(within)?;
    match kind {
        Kind::Streams => streams(connection, watch, 1).await,
        Kind::ManyStreams => streams(connection, watch, MANY).await,
        Kind::RoundTrips => round_trips(connection, watch).await,
        Kind::Down => bodies(connection, watch, down).await,
        Kind::Up => bodies(connection, watch, up).await,
    }
}

async fn streams(
    connection: &Connection,
    mut watch: Watch,
    at_once: usize,
) -> anyhow::Result<Figures> {
    let mut under_way = JoinSet::new();
    loop {
        while watch.runs() && under_way.len() < at_once {
            let connection = connection.clone();
            under_way.spawn(async move { one_stream(&connection).await });
        }
        let Some(done) = under_way.join_next().await else { break };
        watch.took(done??);
    }
    Ok(watch.figures(watch.each.len() * SMALL_BYTES as u64))
}

async fn one_stream(connection: &Connection) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let (mut send, mut receive) = open(connection).await?;
    send.write(Bytes::from_iter(std::iter::once(ECHO).chain([7; SMALL_BYTES]))).await?;
    send.finish()?;
    let got = drain(&mut receive).await?;
    anyhow::ensure!(got == SMALL_BYTES as u64, "{got} bytes came back of {SMALL_BYTES}");
    Ok(began.elapsed())
}

async fn round_trips(connection: &Connection, mut watch: Watch) -> anyhow::Result<Figures> {
    let (mut send, mut receive) = open(connection).await?;
    send.write(Bytes::from_static(&[ECHO])).await?;
    let message = Bytes::from_static(&[7; SMALL_BYTES]);
    while watch.runs() {
        let began = Instant::now();
        send.write(message.clone()).await?;
        let mut back = 0;
        while back < SMALL_BYTES {
            back += receive.chunk().await?.context("the stream ended early")?.len();
        }
        watch.took(began.elapsed());
    }
    send.finish()?;
    drain(&mut receive).await?;
    Ok(watch.figures(watch.each.len() * SMALL_BYTES as u64))
}

async fn bodies(
    connection: &Connection,
    mut watch: Watch,
    one: impl AsyncFn(&Connection) -> anyhow::Result<()>,
) -> anyhow::Result<Figures> {
    while watch.runs() {
        let began = Instant::now();
        one(connection).await?;
        watch.took(began.elapsed());
    }
    Ok(watch.figures(watch.each.len() * LARGE_BYTES))
}

async fn down(connection: &Connection) -> anyhow::Result<()> {
    let (mut send, mut receive) = open(connection).await?;
    send.write(Bytes::from_static(&[SINK])).await?;
    give(&mut send, LARGE_BYTES).await?;
    send.finish()?;
    let mut count = Vec::new();
    while let Some(chunk) = receive.chunk().await? {
        count.extend_from_slice(&chunk);
    }
    let count = u64::from_le_bytes(count.try_into().ok().context("no count")?);
    anyhow::ensure!(count == LARGE_BYTES, "{count} bytes arrived of {LARGE_BYTES}");
    Ok(())
}

async fn up(connection: &Connection) -> anyhow::Result<()> {
    let (mut send, mut receive) = open(connection).await?;
    let mut ask = vec![SOURCE];
    ask.extend(LARGE_BYTES.to_le_bytes());
    send.write(ask.into()).await?;
    send.finish()?;
    let got = drain(&mut receive).await?;
    anyhow::ensure!(got == LARGE_BYTES, "{got} bytes arrived of {LARGE_BYTES}");
    Ok(())
}

async fn open(connection: &Connection) -> anyhow::Result<(SendHalf, RecvHalf)> {
    let (send, receive) = connection.open_bi().await?;
    Ok((SendHalf::new(send), RecvHalf::new(receive)))
}

async fn drain(receive: &mut RecvHalf) -> anyhow::Result<u64> {
    let mut bytes = 0;
    while let Some(chunk) = receive.chunk().await? {
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}

async fn give(send: &mut SendHalf, mut bytes: u64) -> anyhow::Result<()> {
    let piece = Bytes::from_static(&[7; PIECE_BYTES]);
    while bytes > 0 {
        let length = usize::try_from(bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        send.write(piece.slice(..length)).await?;
        bytes -= length as u64;
    }
    Ok(())
}

/// Serves one stream at the agents' end.
pub(super) async fn serve(send: SendStream, receive: RecvStream) -> anyhow::Result<()> {
    let (mut send, mut receive) = (SendHalf::new(send), RecvHalf::new(receive));
    let mut first = receive.chunk().await?.context("an empty stream")?;
    match first.get_u8() {
        ECHO => {
            let mut next = Some(first);
            while let Some(chunk) = next {
                if !chunk.is_empty() {
                    send.write(chunk).await?;
                }
                next = receive.chunk().await?;
            }
        }
        SINK => {
            let count = first.len() as u64 + drain(&mut receive).await?;
            send.write(Bytes::copy_from_slice(&count.to_le_bytes())).await?;
        }
        SOURCE => {
            anyhow::ensure!(first.len() == 8, "a source that is not told how much");
            give(&mut send, first.get_u64_le().min(LARGE_BYTES)).await?;
        }
        other => anyhow::bail!("a stream for `{other}`"),
    }
    Ok(send.finish()?)
}
