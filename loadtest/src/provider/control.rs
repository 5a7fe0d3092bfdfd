//! The little language in which a request says how it wants to be answered.
//!
//! A control is a list of items divided by `,` or `;`. An item is `key=value`, or a bare word: a
//! flag, or the name of a fault. It comes in the header `x-weft-sim`, in the query parameter
//! `weft-sim`, or in brackets behind the model's name (`sim[pace=20ms,deltas=64]`), because a
//! gateway on the way may drop headers. Settings of the process come first, then the model's,
//! then the query's, then the header's; the later one wins, item by item.
//!
//! An item that is not understood is an error, never ignored: a test that asks for a misspelt
//! fault must not pass without it.

use std::str::FromStr;
use std::time::Duration;
use weft_proto::provider::Provider;
use weft_proto::usage::{Class, Usage};

/// Deltas in one answer.
pub const DELTAS_MAX: u32 = 1_000_000;
/// Bytes of text in one delta.
pub const DELTA_BYTES_MAX: u32 = 1_024 * 1_024;
/// Bytes of text in one answer: deltas times their bytes.
pub const TEXT_BYTES_MAX: u64 = 256 * 1_024 * 1_024;
/// The longest time between two deltas, or before the head.
pub const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// Keep-alive comments ahead of an answer.
pub const KEEP_ALIVES_MAX: u32 = 10_000;
/// Units of one class of usage.
pub const UNITS_MAX: u64 = 1_000_000_000_000;
/// Hosted calls that an answer lists one by one.
pub const CALLS_MAX: u64 = 256;
/// Times that a background response is asked for before it is there.
pub const POLLS_MAX: u32 = 1_000;
/// Characters of one control.
pub const CONTROL_CHARS_MAX: usize = 1_024;

/// What goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 400 with the dialect's ordinary complaint.
    BadRequest,
    /// 401 that quotes a fragment of the key where the provider does.
    Unauthorized,
    /// 402, no balance.
    PaymentRequired,
    /// 403, unsupported country.
    Forbidden,
    /// 429, a rate limit; names the organisation.
    RateLimited,
    /// 429, the account's quota is used up.
    QuotaExceeded,
    /// 500.
    Internal,
    /// 503.
    Unavailable,
    /// 529, overloaded.
    Overloaded,
    /// 400 of Azure's content filter.
    ContentFilter,
    /// 413 at once, while the upload still runs, without reading it.
    Early,
    /// A chunked answer that breaks off inside an event, without the last chunk.
    Cut,
    /// An answer with a `content-length` that it does not reach.
    CutLength,
    /// Silence after some events; the connection stays open.
    Stall,
    /// Silence instead of a head; the connection stays open.
    StallHead,
    /// A TCP reset inside an event.
    Reset,
    /// A TCP reset instead of a head.
    ResetHead,
    /// The connection ends properly where a head should come.
    CloseHead,
    /// An error event inside a stream that had begun well, which then ends properly.
    ErrorEvent,
}

impl Fault {
    /// All faults with the names that controls use.
    pub const NAMES: [(&'static str, Self); 19] = [
        ("400", Self::BadRequest),
        ("401", Self::Unauthorized),
        ("402", Self::PaymentRequired),
        ("403", Self::Forbidden),
        ("429", Self::RateLimited),
        ("429-quota", Self::QuotaExceeded),
        ("500", Self::Internal),
        ("503", Self::Unavailable),
        ("529", Self::Overloaded),
        ("content-filter", Self::ContentFilter),
        ("early", Self::Early),
        ("cut", Self::Cut),
        ("cut-length", Self::CutLength),
        ("stall", Self::Stall),
        ("stall-head", Self::StallHead),
        ("reset", Self::Reset),
        ("reset-head", Self::ResetHead),
        ("close-head", Self::CloseHead),
        ("error-event", Self::ErrorEvent),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }
}

/// Why the answer ends where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Finish {
    /// The model has said all.
    #[default]
    Stop,
    /// The limit of output is reached.
    Length,
    /// A filter broke it off; it costs what it costs.
    ContentFilter,
    /// The model failed: `response.failed`. Of use for responses only.
    Failed,
}

/// Oddities in the way an answer tells its cost. All of them were seen at real providers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// `finish=length`, `finish=content-filter`, `finish=failed`, `finish=stop`.
    pub finish: Finish,
    /// `tier=flex`: the service tier told.
    pub tier: Option<String>,
    /// `geo=us`: Anthropic's geography told.
    pub geo: Option<String>,
    /// `fast`: Anthropic's `speed`.
    pub fast: bool,
    /// `late-input`: Anthropic tells the whole input only in its last delta.
    pub late_input: bool,
    /// `no-cache-split`: Anthropic tells cache writes without their lifetimes.
    pub no_cache_split: bool,
    /// `usage-not-last`: a chunk follows the one with the usage.
    pub usage_not_last: bool,
    /// `async-filter`: Azure's annotations come after the text, in chunks without an id.
    pub async_filter: bool,
    /// `echo`: a response repeats tools and metadata that look like usage.
    pub echo: bool,
    /// Whether a response is made in the background; the request says so.
    pub background: bool,
}

/// A control that cannot be understood or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Longer than [`CONTROL_CHARS_MAX`].
    #[error("a control has at most {CONTROL_CHARS_MAX} characters")]
    TooLong,
    /// No such key, flag or fault.
    #[error("unknown control {0:?}")]
    Unknown(String),
    /// A value that the key does not take, or that is past its limit.
    #[error("control {key:?} does not take {value:?}")]
    Value {
        /// The key.
        key: String,
        /// The value that was given.
        value: String,
    },
}

/// How one request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// `pace=20ms`: the time from one delta to the next. A schedule: a late delta does not move
    /// those after it.
    pub pace: Duration,
    /// `first=1s`: silence before the head.
    pub first: Duration,
    /// `deltas=64`: pieces of text, or chunks of a binary answer.
    pub deltas: u32,
    /// `delta-bytes=12`: bytes of text in each delta; one word where it is not given.
    pub delta_bytes: Option<u32>,
    /// `keep-alive=3`: comment lines ahead of a stream, blank lines ahead of JSON; paced.
    pub keep_alives: u32,
    /// `fault=cut`, or the bare name; `fault=none` takes a default away.
    pub fault: Option<Fault>,
    /// `at=5`: whole events sent before the fault. It comes inside the last event at the latest.
    pub at: u32,
    /// `gzip`: compressed if the request accepts it, flushed after every event.
    pub gzip: bool,
    /// `split`: one byte per write.
    pub split: bool,
    /// `trailers`: a trailer with the digest of the body. HTTP/1.1 needs `te: trailers`.
    pub trailers: bool,
    /// `close-delimited`: HTTP/1.0's way to end a body; HTTP/2 does not know it.
    pub close_delimited: bool,
    /// `no-usage`: nothing about tokens, whatever the request asks for.
    pub no_usage: bool,
    /// `input=100`, `output=7`, and so on with the names of all classes of usage: what the answer
    /// costs. Once one is named, those that are not are nothing.
    pub usage: Option<Usage>,
    /// How the cost is told.
    pub shape: Shape,
    /// `polls=2`: how often a background response, or a batch, is asked for before it is there.
    pub polls: u32,
    /// `reading=2s`: how long a response that has been made keeps each of its readers waiting.
    pub reading: Duration,
    /// `errored=2`: requests at the end of a batch that fail.
    pub errored: u32,
    /// `seed=7`: in place of the seed from the request's bytes.
    pub seed: Option<u64>,
    /// `dialect=deepseek`: in place of what path, headers and model tell.
    pub dialect: Option<Provider>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            pace: Duration::ZERO,
            first: Duration::ZERO,
            deltas: 16,
            delta_bytes: None,
            keep_alives: 0,
            fault: None,
            at: 3,
            gzip: false,
            split: false,
            trailers: false,
            close_delimited: false,
            no_usage: false,
            usage: None,
            shape: Shape::default(),
            polls: 1,
            reading: Duration::ZERO,
            errored: 0,
            seed: None,
            dialect: None,
        }
    }
}

impl Control {
    /// This control with the items of `text` laid over it.
    ///
    /// # Errors
    /// [`ControlError`] for the first item that is unknown or out of its limits.
    pub fn overlaid(&self, text: &str) -> Result<Self, ControlError> {
        if text.len() > CONTROL_CHARS_MAX {
            return Err(ControlError::TooLong);
        }
        let mut control = self.clone();
        for item in text.split([',', ';']).map(str::trim).filter(|item| !item.is_empty()) {
            match item.split_once('=') {
                Some((key, value)) => control.set(key.trim(), value.trim())?,
                None => control.word(item)?,
            }
        }
        let bytes = u64::from(control.deltas) * u64::from(control.delta_bytes.unwrap_or(1));
        if bytes > TEXT_BYTES_MAX {
            return Err(wrong("deltas", &format!("{bytes} bytes of text")));
        }
        Ok(control)
    }

    fn word(&mut self, word: &str) -> Result<(), ControlError> {
        if let Some(flag) = self.flag(word) {
            *flag = true;
        } else {
            let fault = Fault::named(word).ok_or_else(|| ControlError::Unknown(word.to_owned()))?;
            self.fault = Some(fault);
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ControlError> {
        if let Some(flag) = self.flag(key) {
            *flag = match value {
                "on" => true,
                "off" => false,
                _ => return Err(wrong(key, value)),
            };
            return Ok(());
        }
        match key {
            "pace" => self.pace = pause(key, value)?,
            "first" => self.first = pause(key, value)?,
            "reading" => self.reading = pause(key, value)?,
            "deltas" => self.deltas = number(key, value, DELTAS_MAX)?,
            "delta-bytes" => self.delta_bytes = Some(number(key, value, DELTA_BYTES_MAX)?.max(1)),
            "keep-alive" => self.keep_alives = number(key, value, KEEP_ALIVES_MAX)?,
            "at" => self.at = number(key, value, DELTAS_MAX)?,
            "seed" => self.seed = Some(value.parse().map_err(|_| wrong(key, value))?),
            "dialect" => {
                self.dialect = Some(Provider::from_str(value).map_err(|_| wrong(key, value))?);
            }
            "polls" => self.polls = number(key, value, POLLS_MAX)?,
            "errored" => self.errored = number(key, value, DELTAS_MAX)?,
            "finish" => self.shape.finish = finish(key, value)?,
            "tier" => self.shape.tier = Some(word_of(key, value)?),
            "geo" => self.shape.geo = Some(word_of(key, value)?),
            "fault" if value == "none" => self.fault = None,
            "fault" => match self.flag(value) {
                Some(flag) => *flag = true,
                None => self.fault = Some(Fault::named(value).ok_or_else(|| wrong(key, value))?),
            },
            _ => {
                let class = Class::from_name(key);
                let class = class.ok_or_else(|| ControlError::Unknown(key.to_owned()))?;
                let calls = [Class::WebSearch, Class::WebFetch, Class::FileSearch];
                let max = if calls.contains(&class) { CALLS_MAX } else { UNITS_MAX };
                let units = value.parse().ok().filter(|units| *units <= max);
                let units = units.ok_or_else(|| wrong(key, value))?;
                self.usage.get_or_insert_default().set(class, units);
            }
        }
        Ok(())
    }

    fn flag(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "gzip" => Some(&mut self.gzip),
            "split" => Some(&mut self.split),
            "trailers" => Some(&mut self.trailers),
            "close-delimited" => Some(&mut self.close_delimited),
            "no-usage" => Some(&mut self.no_usage),
            "fast" => Some(&mut self.shape.fast),
            "late-input" => Some(&mut self.shape.late_input),
            "no-cache-split" => Some(&mut self.shape.no_cache_split),
            "usage-not-last" => Some(&mut self.shape.usage_not_last),
            "async-filter" => Some(&mut self.shape.async_filter),
            "echo" => Some(&mut self.shape.echo),
            _ => None,
        }
    }
}

/// The control in brackets behind a model's name, if there is one.
pub(crate) fn in_model(model: &str) -> Option<&str> {
    model.strip_suffix(']')?.split_once('[').map(|(_, control)| control)
}

fn wrong(key: &str, value: &str) -> ControlError {
    ControlError::Value { key: key.to_owned(), value: value.to_owned() }
}

fn number(key: &str, value: &str, max: u32) -> Result<u32, ControlError> {
    value.parse().ok().filter(|number| *number <= max).ok_or_else(|| wrong(key, value))
}

fn finish(key: &str, value: &str) -> Result<Finish, ControlError> {
    match value {
        "stop" => Ok(Finish::Stop),
        "length" => Ok(Finish::Length),
        "content-filter" => Ok(Finish::ContentFilter),
        "failed" => Ok(Finish::Failed),
        _ => Err(wrong(key, value)),
    }
}

/// A short word that needs no escaping.
fn word_of(key: &str, value: &str) -> Result<String, ControlError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let fits = (1..=32).contains(&value.len()) && value.chars().all(plain);
    if fits { Ok(value.to_owned()) } else { Err(wrong(key, value)) }
}

/// A duration in `us`, `ms` or `s`; milliseconds where no unit is given.
fn pause(key: &str, value: &str) -> Result<Duration, ControlError> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().map_err(|_| wrong(key, value))?;
    let pause = match &value[digits.len()..] {
        "us" => Duration::from_micros(count),
        "ms" | "" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        _ => return Err(wrong(key, value)),
    };
    if pause > PAUSE_MAX { Err(wrong(key, value)) } else { Ok(pause) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_may_be_divided_by_commas_or_semicolons_and_the_later_one_wins() {
        let control = Control::default()
            .overlaid("pace=20ms; deltas=64, delta-bytes=12; fault=cut;at=5; split; deltas=8")
            .unwrap();
        assert_eq!(control.pace, Duration::from_millis(20));
        assert_eq!((control.deltas, control.delta_bytes, control.at), (8, Some(12), 5));
        assert_eq!(control.fault, Some(Fault::Cut));
        assert!(control.split && !control.gzip);
    }

    #[test]
    fn a_flag_may_be_asked_for_like_a_fault_and_taken_back() {
        let control = Control::default().overlaid("fault=gzip;fault=trailers;stall").unwrap();
        assert!(control.gzip && control.trailers);
        let control = control.overlaid("gzip=off;fault=none").unwrap();
        assert!(!control.gzip && control.trailers && control.fault.is_none());
    }

    #[test]
    fn what_is_not_understood_or_too_large_is_an_error() {
        for bad in [
            "fualt=cut",
            "fault=cutt",
            "deltas=x",
            "deltas=1000001",
            "pace=1h",
            "pace=2h",
            "zip",
            "pace=999999s",
            "deltas=1000000,delta-bytes=1048576",
            "gzip=yes",
            "dialect=acme",
            "inputs=3",
            "input=-1",
            "output=1000000000001",
            "web_search=257",
            "finish=late",
            "tier=a\"b",
        ] {
            assert!(Control::default().overlaid(bad).is_err(), "{bad}");
        }
        assert_eq!(Control::default().overlaid(&"x".repeat(2_000)), Err(ControlError::TooLong));
    }

    #[test]
    fn the_cost_of_an_answer_is_named_class_by_class() {
        let control = Control::default().overlaid("input=100,output=7;cache_read=3").unwrap();
        let usage = control.usage.unwrap();
        assert_eq!((usage.input_total(), usage.output_total()), (103, 7));
        let control = control.overlaid("finish=length,late-input,tier=flex").unwrap();
        assert_eq!(control.shape.finish, Finish::Length);
        assert!(control.shape.late_input && control.usage == Some(usage));
        assert_eq!(control.shape.tier.as_deref(), Some("flex"));
    }

    #[test]
    fn every_fault_is_found_by_its_name() {
        for (name, fault) in Fault::NAMES {
            assert_eq!(Control::default().overlaid(name).unwrap().fault, Some(fault));
        }
    }

    #[test]
    fn a_model_carries_a_control_in_brackets() {
        assert_eq!(in_model("sim[pace=20ms,deltas=64]"), Some("pace=20ms,deltas=64"));
        assert_eq!(in_model("sim-echo"), None);
        assert_eq!(in_model("sim[open"), None);
    }
}
