//! Follows one answer and says which frames came as they should: in order, once, unaltered.
//!
//! What is expected was learnt by a probe. Where two probes agreed byte by byte, an answer is
//! compared with them as it arrives, at the cost of a comparison; only from the first difference on
//! is it taken apart, to tell a lost frame from one that came late, twice or altered. Where probes
//! differ, as behind gateways that write their own ids, the deltas' texts are compared; where those
//! differ too, frames are counted.

use super::text::{Cutter, Reader, is_comment};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many frames ahead a frame is looked for before it counts as altered.
const AHEAD: usize = 64;

/// What became of the frames of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Frames {
    /// How many should have come, in answers that ended properly; what came, in others.
    pub(super) expected: u64,
    /// How many came.
    pub(super) arrived: u64,
    /// Never came, though others came behind them or the answer ended properly.
    pub(super) lost: u64,
    /// Came behind one that should follow them.
    pub(super) reordered: u64,
    /// Came again.
    pub(super) duplicated: u64,
    /// Came as something that was not expected at all.
    pub(super) altered: u64,
}

impl Frames {
    /// Adds those of `other`.
    pub(super) const fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.arrived += other.arrived;
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.duplicated += other.duplicated;
        self.altered += other.altered;
    }

    /// Whether all came as they should.
    pub(super) const fn are_sound(&self) -> bool {
        self.lost == 0 && self.reordered == 0 && self.duplicated == 0 && self.altered == 0
    }
}

/// The answer to one request, as it is expected.
#[derive(Debug, Clone)]
pub(super) enum Expected {
    /// A stream of these bytes.
    Exact {
        /// All of it.
        answer: Bytes,
        /// Where each frame ends.
        ends: Vec<usize>,
        /// Which of them are deltas.
        deltas: Vec<bool>,
        /// Which frame each is.
        keys: Vec<u64>,
    },
    /// A stream with deltas of these texts.
    Texts {
        /// Which text each is.
        keys: Vec<u64>,
    },
    /// A stream of so many deltas, where that is known.
    Deltas(Option<u32>),
    /// A document of these bytes.
    Document(Bytes),
    /// Some document.
    AnyDocument,
}

/// What a frame is recognised by.
pub(super) fn key(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

impl Expected {
    /// A stream that is `answer` byte by byte.
    pub(super) fn exact(answer: Bytes, reader: &Reader) -> Self {
        let (mut ends, mut deltas, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let mut end = 0;
        Cutter::default().take(&answer, |event| {
            end += event.len();
            ends.push(end);
            deltas.push(reader.text(event).is_some());
            keys.push(key(event));
        });
        Self::Exact { answer, ends, deltas, keys }
    }

    /// A stream with the texts of `answer`.
    pub(super) fn texts(answer: &[u8], reader: &Reader) -> Self {
        let mut keys = Vec::new();
        Cutter::default().take(answer, |event| keys.extend(reader.text(event).map(key)));
        Self::Texts { keys }
    }

    /// Whether it is a stream.
    pub(super) const fn has_deltas(&self) -> bool {
        matches!(self, Self::Exact { .. } | Self::Texts { .. } | Self::Deltas(_))
    }

    const fn keys(&self) -> &[u64] {
        match self {
            Self::Exact { keys, .. } | Self::Texts { keys } => keys.as_slice(),
            Self::Deltas(_) | Self::Document(_) | Self::AnyDocument => &[],
        }
    }
}

/// How an answer ended, as its bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Followed {
    /// What became of its frames.
    pub(super) frames: Frames,
    /// Whether it is whole: a stream's last event came, a document is closed.
    pub(super) is_whole: bool,
}

/// Follows one answer.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    expected: &'a Expected,
    reader: &'a Reader,
    /// Bytes that came as expected, from the beginning on.
    at: usize,
    /// Whole frames among them.
    whole: usize,
    /// From the first difference on.
    apart: Option<(Cutter, Order)>,
    frames: Frames,
    deltas: u64,
    last_came: bool,
    /// The first and the last byte that is no white space.
    edges: (u8, u8),
}

impl<'a> Follower<'a> {
    /// At the beginning of an answer.
    pub(super) fn new(expected: &'a Expected, reader: &'a Reader) -> Self {
        let apart = match expected {
            Expected::Texts { .. } | Expected::Deltas(_) => {
                Some((Cutter::default(), Order::default()))
            }
            Expected::Exact { .. } | Expected::Document(_) | Expected::AnyDocument => None,
        };
        Self {
            expected,
            reader,
            at: 0,
            whole: 0,
            apart,
            frames: Frames::default(),
            deltas: 0,
            last_came: false,
            edges: (0, 0),
        }
    }

    /// Takes what came, and returns how many deltas are whole with it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> u64 {
        let before = self.deltas;
        match self.expected {
            Expected::Exact { answer, ends, deltas, .. } if self.apart.is_none() => {
                let rest = &answer[self.at..];
                let right = if rest.starts_with(bytes) {
                    bytes.len()
                } else {
                    rest.iter().zip(bytes).take_while(|(one, other)| one == other).count()
                };
                self.at += right;
                while ends.get(self.whole).is_some_and(|end| *end <= self.at) {
                    self.frames.arrived += 1;
                    self.deltas += u64::from(deltas[self.whole]);
                    self.whole += 1;
                }
                self.last_came |= self.whole == ends.len();
                if right < bytes.len() {
                    let begin = self.whole.checked_sub(1).map_or(0, |last| ends[last]);
                    let order = Order { next: self.whole, ..Order::default() };
                    self.apart = Some((Cutter::within(&answer[begin..self.at]), order));
                    self.taken_apart(&bytes[right..]);
                }
            }
            Expected::Exact { .. } | Expected::Texts { .. } | Expected::Deltas(_) => {
                self.taken_apart(bytes);
            }
            Expected::Document(answer) => {
                let rest = &answer[self.at.min(answer.len())..];
                self.frames.altered |= u64::from(!rest.starts_with(bytes));
                self.at += bytes.len();
            }
            Expected::AnyDocument => self.see_edges(bytes),
        }
        self.deltas - before
    }

    fn see_edges(&mut self, bytes: &[u8]) {
        let bytes = bytes.trim_ascii();
        if let (Some(first), Some(last)) = (bytes.first(), bytes.last()) {
            if self.edges.0 == 0 {
                self.edges.0 = *first;
            }
            self.edges.1 = *last;
        }
    }

    fn taken_apart(&mut self, bytes: &[u8]) {
        let Some((cutter, order)) = &mut self.apart else { return };
        let (frames, deltas, last) = (&mut self.frames, &mut self.deltas, &mut self.last_came);
        let (expected, reader) = (self.expected, self.reader);
        cutter.take(bytes, |event| {
            *last |= reader.is_last(event);
            let text = reader.text(event);
            *deltas += u64::from(text.is_some());
            match expected {
                Expected::Exact { keys, .. } => {
                    frames.arrived += 1;
                    order.judge(keys, key(event), frames);
                }
                Expected::Texts { keys } => {
                    if let Some(text) = text {
                        frames.arrived += 1;
                        order.judge(keys, key(text), frames);
                    }
                }
                Expected::Deltas(_) => frames.arrived += u64::from(!is_comment(event)),
                Expected::Document(_) | Expected::AnyDocument => {}
            }
        });
    }

    /// What there is to say once nothing more comes; `proper` says that the protocol ended it well.
    pub(super) fn end(mut self, proper: bool) -> Followed {
        let is_whole = proper && self.is_whole();
        self.frames.expected = self.frames.arrived;
        if proper {
            match self.expected {
                Expected::Exact { keys, .. } | Expected::Texts { keys } => {
                    let next = self.apart.as_ref().map_or(self.whole, |(_, order)| order.next);
                    // What an answer that breaks off has not brought is its error, told apart.
                    if is_whole {
                        self.frames.lost += keys.len().saturating_sub(next) as u64;
                    }
                    self.frames.expected = keys.len() as u64;
                }
                Expected::Deltas(Some(deltas)) if is_whole => {
                    let lost = u64::from(*deltas).saturating_sub(self.deltas);
                    self.frames.lost = lost;
                    self.frames.expected = self.frames.arrived + lost;
                }
                Expected::Deltas(_) => {}
                Expected::Document(_) | Expected::AnyDocument => {
                    self.frames.expected = 1;
                    self.frames.arrived = u64::from(is_whole);
                }
            }
        }
        Followed { frames: self.frames, is_whole }
    }

    fn is_whole(&self) -> bool {
        match self.expected {
            Expected::Exact { .. } | Expected::Texts { .. } | Expected::Deltas(_) => {
                let rest = self.apart.as_ref().is_some_and(|(cutter, _)| cutter.has_rest());
                self.last_came && !rest
            }
            Expected::Document(answer) => self.at >= answer.len(),
            Expected::AnyDocument => matches!(self.edges, (b'{', b'}') | (b'[', b']')),
        }
    }
}

/// The order of frames, once it is in doubt.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The frame that should come next.
    pub(super) next: usize,
    /// Frames that were passed over: lost, unless they still come.
    passed: BTreeSet<usize>,
    /// Whether the one before was altered: it may have stood in for the next, or been one too many.
    altered: bool,
}

impl Order {
    /// Judges the frame with this `key`.
    pub(super) fn judge(&mut self, keys: &[u64], key: u64, frames: &mut Frames) {
        let altered = std::mem::take(&mut self.altered);
        if keys.get(self.next) == Some(&key) {
            self.next += 1;
            return;
        }
        if altered && self.next > 0 && keys.get(self.next - 1) == Some(&key) {
            // The altered one was one too many.
            return;
        }
        if let Some(&passed) = self.passed.iter().find(|passed| keys[**passed] == key) {
            self.passed.remove(&passed);
            frames.lost -= 1;
            frames.reordered += 1;
            return;
        }
        let behind =
            &keys[self.next.saturating_sub(AHEAD).min(keys.len())..self.next.min(keys.len())];
        if behind.last() == Some(&key) {
            frames.duplicated += 1;
            return;
        }
        let ahead = &keys[self.next.min(keys.len())..keys.len().min(self.next + AHEAD)];
        if let Some(skipped) = ahead.iter().position(|other| *other == key) {
            frames.lost += skipped as u64;
            self.passed.extend(self.next..self.next + skipped);
            self.next += skipped + 1;
            return;
        }
        if behind.contains(&key) {
            frames.duplicated += 1;
            return;
        }
        frames.altered += 1;
        self.altered = true;
        self.next = (self.next + 1).min(keys.len());
    }
}

/// The frames of `expected`, for what is learnt from them.
pub(super) fn count(expected: &Expected) -> usize {
    expected.keys().len()
}

#[cfg(test)]
#[path = "follow/tests.rs"]
mod tests;
