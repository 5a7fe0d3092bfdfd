//! A body under way: pieces, coded, cut into frames, with waits between them as the seed says.
//!
//! Both ends of an identity run send through it, so that no place where bytes could be joined or
//! split is left untried.

use super::coding::{Coding, Encoder};
use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// The pieces of a body, in order.
pub type Pieces = Box<dyn Iterator<Item = Bytes> + Send + Sync>;

/// Frames of a single byte at the beginning of a dribble; a whole one would take for ever.
const DRIBBLE_BYTES: u64 = 192;
/// Sleeps of one body.
const SLEEPS_MAX: u32 = 12;
/// The longest sleep between two frames.
const SLEEP_MAX: Duration = Duration::from_millis(4);

/// How a body is cut into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// As its pieces come.
    Pieces,
    /// At random, up to so many bytes as this power of two.
    Random(u32),
    /// Byte by byte at its beginning, then at random.
    Dribble,
}

/// What is waited for between frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breath {
    /// Nothing: the connection gathers frames as it likes.
    None,
    /// Each frame is written out before the next.
    Flush,
    /// Some are, and some are slept after.
    Random,
}

/// A body under way.
pub(crate) struct Flow {
    pieces: Pieces,
    encoder: Option<Encoder>,
    flush: bool,
    split: Split,
    breath: Breath,
    chance: ChaCha8Rng,
    rest: Bytes,
    sent: u64,
    sleeps: u32,
    sleeping: Option<Pin<Box<Sleep>>>,
    /// Whether the connection has had the chance to write out the last frame.
    flushed: bool,
}

impl Flow {
    pub(crate) fn new(
        pieces: Pieces,
        (coding, flush): (Coding, bool),
        (split, breath): (Split, Breath),
        seed: u64,
    ) -> Self {
        Self {
            pieces,
            encoder: Some(Encoder::new(coding)),
            flush,
            split,
            breath,
            chance: ChaCha8Rng::seed_from_u64(seed),
            rest: Bytes::new(),
            sent: 0,
            sleeps: 0,
            sleeping: None,
            flushed: true,
        }
    }

    /// All bytes at once, for a length that has to be known.
    pub(super) fn all_of(
        mut pieces: Pieces,
        coding: Coding,
        flush: bool,
    ) -> io::Result<Vec<Bytes>> {
        let mut encoder = Encoder::new(coding);
        let mut all = Vec::new();
        for piece in &mut pieces {
            all.push(encoder.push(piece, flush)?);
        }
        all.push(encoder.finish()?);
        Ok(all)
    }

    /// The next frame; never an empty one.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(sleeping) = &mut self.sleeping {
            ready!(sleeping.as_mut().poll(cx));
            self.sleeping = None;
        }
        if !self.flushed {
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.rest.is_empty() {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            let more = match self.pieces.next() {
                Some(piece) => encoder.push(piece, self.flush),
                None => self.encoder.take().map_or(Ok(Bytes::new()), Encoder::finish),
            };
            match more {
                Ok(more) => self.rest = more,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let length = self.cut();
        let frame = self.rest.split_to(length);
        self.sent += frame.len() as u64;
        self.breathe();
        Poll::Ready(Some(Ok(frame)))
    }

    fn cut(&mut self) -> usize {
        let random = |chance: &mut ChaCha8Rng, bits: u32| {
            let bits = chance.random_range(0..=bits);
            chance.random_range(1..=1_usize << bits)
        };
        let most = match self.split {
            Split::Pieces => self.rest.len(),
            Split::Random(bits) => random(&mut self.chance, bits),
            Split::Dribble if self.sent < DRIBBLE_BYTES => 1,
            Split::Dribble => random(&mut self.chance, 17),
        };
        most.min(self.rest.len())
    }

    fn breathe(&mut self) {
        match self.breath {
            Breath::None => {}
            Breath::Flush => self.flushed = false,
            Breath::Random => {
                let dice = self.chance.next_u32();
                self.flushed = !dice.is_multiple_of(3);
                if dice.is_multiple_of(13) && self.sleeps < SLEEPS_MAX {
                    self.sleeps += 1;
                    let most = SLEEP_MAX.as_micros() as u64;
                    let nap = Duration::from_micros(self.chance.random_range(0..most));
                    self.sleeping = Some(Box::pin(sleep(nap)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn however_a_body_is_cut_its_bytes_are_the_same() {
        let whole: Vec<u8> =
            (0..200_000_u32).map(|n| n.wrapping_mul(2_654_435_761) as u8).collect();
        for split in [Split::Pieces, Split::Random(12), Split::Dribble] {
            for breath in [Breath::None, Breath::Flush, Breath::Random] {
                let pieces: Vec<_> = whole.chunks(7_001).map(Bytes::copy_from_slice).collect();
                let coding = (Coding::Identity, false);
                let mut flow = Flow::new(Box::new(pieces.into_iter()), coding, (split, breath), 7);
                let (mut sent, mut frames) = (Vec::new(), 0);
                while let Some(frame) = poll_fn(|cx| flow.poll_next(cx)).await {
                    let frame = frame.unwrap();
                    assert!(!frame.is_empty());
                    sent.extend_from_slice(&frame);
                    frames += 1;
                }
                assert!(sent == whole, "{split:?} {breath:?}");
                assert!(split != Split::Dribble || frames > DRIBBLE_BYTES, "{frames}");
            }
        }
    }
}
