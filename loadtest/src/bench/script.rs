//! One request that is sent again and again, with the answer that each of them must get.
//!
//! The simulated provider answers the same bytes to the same bytes. So the answer is learnt once
//! from the provider itself, and every later one is compared with it byte by byte as it arrives: a
//! frame that is lost, altered or out of order cannot go unnoticed, whichever way it came.

use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem;
use serde_json::json;
use std::ops::Range;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A chat completion as one document.
    Whole,
    /// A chat completion as a stream of `deltas`, one each `pace_ms`; 0 sends them back to back.
    Streamed {
        /// Deltas of text.
        deltas: u32,
        /// Milliseconds from one to the next.
        pace_ms: u32,
    },
}

impl Shape {
    /// The body of the request.
    pub(crate) fn body(self) -> Bytes {
        let value = json!({
            "model": "sim",
            "stream": self != Self::Whole,
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Tell me in a few words how a bridge carries its load."},
            ],
        });
        Bytes::from(value.to_string())
    }

    /// What the simulated provider is told beside it; the mesh passes the header on.
    pub(crate) fn control(self) -> anyhow::Result<HeaderValue> {
        Ok(match self {
            Self::Whole => HeaderValue::from_static("deltas=16"),
            Self::Streamed { deltas, pace_ms } => {
                HeaderValue::try_from(format!("deltas={deltas};pace={pace_ms}ms"))?
            }
        })
    }
}

/// A request with the answer it must get.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    body: Bytes,
    control: HeaderValue,
    answer: Bytes,
    /// Where each frame of the answer ends, in bytes. One frame where the answer is no stream.
    ends: Vec<usize>,
}

impl Script {
    /// A script from what the provider answered.
    ///
    /// # Errors
    /// Where `answer` is not of the shape that was asked for.
    pub(crate) fn learnt(shape: Shape, answer: Bytes) -> anyhow::Result<Self> {
        let ends: Vec<usize> = match shape {
            Shape::Whole => vec![answer.len()],
            Shape::Streamed { .. } => {
                memmem::find_iter(&answer, b"\n\n").map(|at| at + 2).collect()
            }
        };
        // A role ahead of the deltas, a finish and `[DONE]` behind them.
        let whole = match shape {
            Shape::Whole => answer.starts_with(b"{") && answer.ends_with(b"}"),
            Shape::Streamed { deltas, .. } => {
                ends.len() == deltas as usize + 3 && answer.ends_with(b"data: [DONE]\n\n")
            }
        };
        anyhow::ensure!(
            whole,
            "the simulated provider answered something else: {}",
            String::from_utf8_lossy(&answer[..answer.len().min(200)])
        );
        Ok(Self { body: shape.body(), control: shape.control()?, answer, ends })
    }

    /// The request's body.
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// What the simulated provider is told beside it.
    pub(crate) fn control(&self) -> HeaderValue {
        self.control.clone()
    }

    /// How many frames an answer has.
    pub(crate) fn frames(&self) -> usize {
        self.ends.len()
    }

    /// Which frames are deltas, counted from 0: all but the role ahead of them, and the finish and
    /// `[DONE]` behind them.
    pub(crate) fn deltas(&self) -> Range<usize> {
        1..self.ends.len().saturating_sub(2)
    }
}

/// Follows one answer.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    script: &'a Script,
    at: usize,
    frames: usize,
    differs: bool,
}

impl<'a> Follower<'a> {
    /// At the answer's beginning.
    pub(crate) fn new(script: &'a Script) -> Self {
        Self { script, at: 0, frames: 0, differs: false }
    }

    /// Takes what has arrived, and returns the frames that are whole with it, counted from 0.
    /// Frames from the first wrong byte on are never whole.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Range<usize> {
        let before = self.frames;
        let rest = &self.script.answer[self.at..];
        if self.differs || !rest.starts_with(bytes) {
            // As far as it was right: the frames before the fault have arrived.
            let right = rest.iter().zip(bytes).take_while(|(one, other)| one == other).count();
            self.at += if self.differs { 0 } else { right };
            self.differs = true;
        } else {
            self.at += bytes.len();
        }
        let ends = &self.script.ends[before..];
        self.frames += ends.iter().take_while(|end| **end <= self.at).count();
        before..self.frames
    }

    /// How many frames have not arrived as they should.
    pub(crate) fn missing(&self) -> u64 {
        let missing = self.script.frames() - self.frames;
        // Bytes behind the last frame are a fault too, though every frame is there.
        (missing as u64).max(u64::from(self.differs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        let answer = "data: role\n\ndata: a\n\ndata: b\n\ndata: stop\n\ndata: [DONE]\n\n";
        let shape = Shape::Streamed { deltas: 2, pace_ms: 0 };
        Script::learnt(shape, Bytes::from(answer)).expect("an answer")
    }

    #[test]
    fn an_answer_in_any_pieces_has_all_its_frames() {
        let script = script();
        for size in 1..=script.answer.len() {
            let mut follower = Follower::new(&script);
            let frames: usize =
                script.answer.chunks(size).map(|piece| follower.take(piece).len()).sum();
            assert_eq!((frames, follower.missing()), (5, 0), "pieces of {size}");
        }
    }

    #[test]
    fn a_lost_a_swapped_and_an_altered_frame_are_missed() {
        let script = script();
        for bad in [
            "data: role\n\ndata: b\n\ndata: stop\n\ndata: [DONE]\n\n",
            "data: role\n\ndata: b\n\ndata: a\n\ndata: stop\n\ndata: [DONE]\n\n",
            "data: role\n\ndata: A\n\ndata: b\n\ndata: stop\n\ndata: [DONE]\n\n",
        ] {
            let mut follower = Follower::new(&script);
            assert_eq!(follower.take(bad.as_bytes()), 0..1);
            assert_eq!(follower.take(b"data: a\n\n"), 1..1);
            assert_eq!(follower.missing(), 4, "{bad}");
        }
    }

    #[test]
    fn a_cut_answer_and_one_that_goes_on_are_faults() {
        let script = script();
        let mut follower = Follower::new(&script);
        follower.take(b"data: role\n\ndata: a\n");
        assert_eq!(follower.missing(), 4);
        let mut follower = Follower::new(&script);
        follower.take(&script.answer);
        follower.take(b"more");
        assert_eq!(follower.missing(), 1);
    }

    #[test]
    fn an_answer_of_another_shape_is_not_learnt() {
        let shape = Shape::Streamed { deltas: 3, pace_ms: 0 };
        assert!(Script::learnt(shape, script().answer).is_err());
        assert!(Script::learnt(Shape::Whole, Bytes::from("busy")).is_err());
    }

    #[test]
    fn deltas_stand_between_the_role_and_the_finish() {
        assert_eq!(script().deltas(), 1..3);
    }
}
