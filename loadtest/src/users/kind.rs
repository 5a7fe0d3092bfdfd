//! The kinds of requests, and how a mix of them is written: `stream,weight=8,deltas=64,pace=20ms`.
//!
//! A kind is parsed once, at the edge; behind it every size and number is within its limits.

use crate::link::amount;
use crate::provider::control::{DELTA_BYTES_MAX, DELTAS_MAX};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The highest weight of a kind.
pub(super) const WEIGHT_MAX: u32 = 1_000;
/// The longest time from one delta to the next.
const PACE_MAX: Duration = Duration::from_secs(60);
/// The smallest image of an upload, in bytes.
const UPLOAD_BYTES_MIN: u64 = 1_024;
/// The largest.
const UPLOAD_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Sizes of uploads that one run tells apart.
const VARIANTS_MAX: u64 = 16;
/// Bytes of a document that is asked for as a whole.
const JSON_BYTES_MAX: u64 = 1_024 * 1_024;
/// Texts of one request for embeddings.
const INPUTS_MAX: u64 = 256;
/// Messages on one WebSocket.
const TURNS_MAX: u64 = 100_000;
/// Bytes of one of them.
const MESSAGE_BYTES_MAX: u64 = 1_024 * 1_024;

/// Why a text is no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoKind {
    /// No such kind.
    #[error("there is no kind {0:?}: write stream, long, json, embeddings, upload or websocket")]
    Unknown(String),
    /// No such key, or not one of this kind.
    #[error("the kind {kind} has no {key:?}")]
    Key {
        /// The kind.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// A value that the key does not take.
    #[error("{key}={value} will not do: {wanted}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What would.
        wanted: String,
    },
}

/// How fast deltas should come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// One each so often; the simulated provider is asked for it. Nothing is no pace at all.
    Asked(Duration),
    /// As the server does by itself: the median gap of the probe.
    Server,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A streamed answer.
    Stream {
        /// Its deltas.
        deltas: u32,
        /// How fast they come.
        pace: Pace,
        /// Bytes of text in each; a word where it is not said.
        delta_bytes: Option<u32>,
    },
    /// An answer as one document.
    Json {
        /// Its length, and the question's, or so.
        bytes: u32,
    },
    /// Embeddings of so many texts.
    Embeddings {
        /// How many.
        inputs: u32,
    },
    /// A question about an image that comes with it.
    Upload {
        /// Bytes of the smallest.
        from: u64,
        /// Bytes of the largest.
        to: u64,
        /// How many sizes between them, the two included.
        variants: u32,
    },
    /// A WebSocket on which numbered messages are echoed.
    Websocket {
        /// How many.
        turns: u32,
        /// How often one is sent.
        pace: Duration,
        /// Bytes of each.
        bytes: u32,
    },
}

/// One kind of a mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// Its name.
    pub(super) name: &'static str,
    /// Its part of the mix.
    pub(super) weight: u32,
    /// What it asks for.
    pub(super) work: Work,
}

impl Kind {
    /// The pace at which frames are expected, as far as it is known before a probe.
    pub(super) const fn pace(&self) -> Option<Duration> {
        match self.work {
            Work::Stream { pace: Pace::Asked(pace), .. } | Work::Websocket { pace, .. } => {
                if pace.is_zero() { None } else { Some(pace) }
            }
            Work::Stream { pace: Pace::Server, .. }
            | Work::Json { .. }
            | Work::Embeddings { .. }
            | Work::Upload { .. } => None,
        }
    }

    /// How long an answer takes by its pace alone.
    pub(super) fn lasts(&self) -> Duration {
        let count = match self.work {
            Work::Stream { deltas, .. } => deltas,
            Work::Websocket { turns, .. } => turns,
            Work::Json { .. } | Work::Embeddings { .. } | Work::Upload { .. } => 0,
        };
        self.pace().unwrap_or_default() * count
    }

    /// Whether it opens a connection of its own.
    pub(super) const fn is_websocket(&self) -> bool {
        matches!(self.work, Work::Websocket { .. })
    }
}

impl FromStr for Kind {
    type Err = NoKind;

    fn from_str(text: &str) -> Result<Self, NoKind> {
        let mut items = text.split(',').map(str::trim);
        let named = items.next().unwrap_or_default();
        let paced = Pace::Asked(Duration::from_millis(20));
        let (name, work) = match named {
            "stream" => ("stream", Work::Stream { deltas: 64, pace: paced, delta_bytes: None }),
            "long" => ("long", Work::Stream { deltas: 1_500, pace: paced, delta_bytes: None }),
            "json" => ("json", Work::Json { bytes: 1_024 }),
            "embeddings" => ("embeddings", Work::Embeddings { inputs: 4 }),
            "upload" => {
                ("upload", Work::Upload { from: 1 << 20, to: UPLOAD_BYTES_MAX, variants: 4 })
            }
            "websocket" => {
                let pace = Duration::from_millis(20);
                ("websocket", Work::Websocket { turns: 16, pace, bytes: 64 })
            }
            _ => return Err(NoKind::Unknown(named.to_owned())),
        };
        let mut kind = Self { name, weight: 1, work };
        for item in items.filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            kind.set(key.trim(), value.trim())?;
        }
        Ok(kind)
    }
}

impl Kind {
    fn set(&mut self, key: &str, value: &str) -> Result<(), NoKind> {
        let given = Given { key, value };
        match (&mut self.work, key) {
            (_, "weight") => self.weight = given.number(1, WEIGHT_MAX.into())?,
            (Work::Stream { deltas, .. }, "deltas") => {
                *deltas = given.number(1, DELTAS_MAX.into())?
            }
            (Work::Stream { pace, .. }, "pace") if value == "server" => *pace = Pace::Server,
            (Work::Stream { pace, .. }, "pace") => *pace = Pace::Asked(given.pace()?),
            (Work::Stream { delta_bytes, .. }, "delta-bytes") => {
                *delta_bytes = Some(given.number(1, DELTA_BYTES_MAX.into())?);
            }
            (Work::Json { bytes }, "bytes") => *bytes = given.size(1, JSON_BYTES_MAX)?,
            (Work::Embeddings { inputs }, "inputs") => *inputs = given.number(1, INPUTS_MAX)?,
            (Work::Upload { from, to, .. }, "size") => (*from, *to) = given.sizes()?,
            (Work::Upload { variants, .. }, "variants") => {
                *variants = given.number(1, VARIANTS_MAX)?;
            }
            (Work::Websocket { turns, .. }, "turns") => *turns = given.number(1, TURNS_MAX)?,
            (Work::Websocket { pace, .. }, "pace") => *pace = given.pace()?,
            (Work::Websocket { bytes, .. }, "bytes") => {
                *bytes = given.size(1, MESSAGE_BYTES_MAX)?
            }
            _ => return Err(NoKind::Key { kind: self.name, key: key.to_owned() }),
        }
        Ok(())
    }
}

/// A key with its value, as they were written.
struct Given<'a> {
    key: &'a str,
    value: &'a str,
}

impl Given<'_> {
    fn refused(&self, wanted: impl Into<String>) -> NoKind {
        let (key, value) = (self.key.to_owned(), self.value.to_owned());
        NoKind::Value { key, value, wanted: wanted.into() }
    }

    fn within(&self, number: Option<u64>, min: u64, max: u64, unit: &str) -> Result<u64, NoKind> {
        let inside = number.filter(|number| (min..=max).contains(number));
        inside.ok_or_else(|| self.refused(format!("write {min} to {max}{unit}")))
    }

    fn number(&self, min: u64, max: u64) -> Result<u32, NoKind> {
        let number = self.within(self.value.parse().ok(), min, max, "")?;
        u32::try_from(number).map_err(|_| self.refused(format!("write {min} to {max}")))
    }

    fn size(&self, min: u64, max: u64) -> Result<u32, NoKind> {
        let size = self.within(amount::size(self.value).ok(), min, max, " bytes")?;
        u32::try_from(size).map_err(|_| self.refused(format!("write {min} to {max} bytes")))
    }

    /// One size, or two with `..` between them.
    fn sizes(&self) -> Result<(u64, u64), NoKind> {
        let (from, to) = self.value.split_once("..").unwrap_or((self.value, self.value));
        let size = |text: &str| {
            let size = amount::size(text.trim()).ok();
            self.within(size, UPLOAD_BYTES_MIN, UPLOAD_BYTES_MAX, " bytes, such as 1MiB..64MiB")
        };
        let (from, to) = (size(from)?, size(to)?);
        if from > to {
            return Err(self.refused("write the smaller size first"));
        }
        Ok((from, to))
    }

    fn pace(&self) -> Result<Duration, NoKind> {
        let pace = match self.value {
            "0" => Some(Duration::ZERO),
            value => amount::duration(value).ok(),
        };
        let whole = |pace: &Duration| pace.subsec_nanos().is_multiple_of(1_000_000);
        pace.filter(|pace| *pace <= PACE_MAX && whole(pace)).ok_or_else(|| {
            self.refused(
                "write a duration of whole milliseconds and at most a minute, such as 20ms",
            )
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},weight={}", self.name, self.weight)?;
        match self.work {
            Work::Stream { deltas, pace, delta_bytes } => {
                write!(f, ",deltas={deltas}")?;
                match pace {
                    Pace::Asked(pace) => write!(f, ",pace={}", Millis(pace))?,
                    Pace::Server => f.write_str(",pace=server")?,
                }
                match delta_bytes {
                    Some(bytes) => write!(f, ",delta-bytes={bytes}"),
                    None => Ok(()),
                }
            }
            Work::Json { bytes } => write!(f, ",bytes={bytes}"),
            Work::Embeddings { inputs } => write!(f, ",inputs={inputs}"),
            Work::Upload { from, to, variants } => {
                write!(f, ",size={from}..{to},variants={variants}")
            }
            Work::Websocket { turns, pace, bytes } => {
                write!(f, ",turns={turns},pace={},bytes={bytes}", Millis(pace))
            }
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration as kinds and controls write it.
pub(super) struct Millis(pub(super) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Result<Kind, NoKind> {
        text.parse()
    }

    #[test]
    fn a_kind_reads_back_as_it_is_written() {
        for text in [
            "stream",
            "stream,weight=8,deltas=5,pace=7ms,delta-bytes=40",
            "stream,pace=server",
            "long,deltas=3",
            "json,bytes=2KiB",
            "embeddings,inputs=9",
            "upload,size=1MiB..64MiB,variants=3",
            "upload,size=20MiB",
            "websocket,turns=4,pace=0,bytes=100",
        ] {
            let read = kind(text).expect(text);
            assert_eq!(kind(&read.to_string()).expect("again"), read, "{text} as {read}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_sentence() {
        for (text, said) in [
            ("streams", "there is no kind"),
            ("stream,weight=0", "write 1 to 1000"),
            ("stream,deltas=0", "write 1 to"),
            ("stream,pace=20", "duration"),
            ("stream,pace=2m", "minute"),
            ("json,deltas=3", "has no \"deltas\""),
            ("json,bytes", "bytes"),
            ("upload,size=1MiB..65MiB", "1MiB..64MiB"),
            ("upload,size=2MiB..1MiB", "smaller size first"),
            ("websocket,turns=many", "write 1 to"),
        ] {
            let refused = kind(text).expect_err(text).to_string();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }

    #[test]
    fn the_pace_says_how_long_an_answer_lasts() {
        assert_eq!(kind("stream").expect("a kind").lasts(), Duration::from_millis(1_280));
        assert_eq!(kind("json").expect("a kind").lasts(), Duration::ZERO);
        assert_eq!(kind("stream,pace=0").expect("a kind").pace(), None);
    }
}
