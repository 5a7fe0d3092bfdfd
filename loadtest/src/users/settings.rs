//! What a run is told, checked as a whole: behind this file no setting contradicts another.
//!
//! Every refusal is a sentence that says what to write instead.

use super::kind::{Kind, Work};
use super::target::{NoTarget, Target};
use super::trust::Trust;
use crate::link::amount::Share;
use clap::ValueEnum;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The longest that anything of a run may last.
pub(super) const LASTS_MAX: Duration = Duration::from_secs(2 * 3_600);
/// The longest that one request may take.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// What a request may take beyond what its pace needs, where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Requests under way at a time, in both kinds of load.
pub(super) const IN_FLIGHT_MAX: u32 = 65_536;
/// Where nothing is said: fewer where the machine gives fewer files.
pub(super) const IN_FLIGHT: u32 = 2_048;
/// Connections that are opened ahead.
pub(super) const CONNECTIONS_MAX: u32 = 8_192;
/// Event loops.
pub(super) const THREADS_MAX: u32 = 64;
/// Arrivals a second.
pub(super) const RATE_MAX: f64 = 1_000_000.0;
/// Files that a run needs beside its connections.
const FILES_BESIDE: u64 = 64;

/// Settings that cannot be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Impossible {
    /// The target.
    #[error(transparent)]
    Target(#[from] NoTarget),
    /// Said in a sentence.
    #[error("{0}")]
    Said(String),
}

fn refused<T>(said: impl Into<String>) -> Result<T, Impossible> {
    Err(Impossible::Said(said.into()))
}

/// The version of HTTP that is spoken. WebSockets always begin over HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Http {
    /// HTTP/1.1: a request at a time on each connection
    H1,
    /// HTTP/2; without TLS by prior knowledge
    H2,
    /// HTTP/3
    H3,
}

impl Http {
    /// Its name for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::H1 => "HTTP/1.1",
            Self::H2 => "HTTP/2",
            Self::H3 => "HTTP/3",
        }
    }
}

/// Whose API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dialect {
    /// `OpenAI`'s, and whoever speaks it
    Openai,
    /// Anthropic's
    Anthropic,
}

/// How a simulated provider is told what to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Sim {
    /// By the header x-weft-sim
    Header,
    /// In brackets behind the model's name, for gateways that drop headers
    Model,
    /// Not at all
    None,
}

/// How closely answers are compared with those of the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Check {
    /// As closely as two probes agree
    Auto,
    /// Byte by byte
    Exact,
    /// The deltas' texts
    Text,
    /// Their number and the end alone; nothing is probed
    Frames,
}

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Load {
    /// At a constant rate, whatever is answered.
    Open {
        /// A second.
        rate: f64,
        /// Under way at a time; what comes beyond is shed.
        max_in_flight: u32,
    },
    /// So many under way at any time.
    Closed {
        /// How many.
        concurrency: u32,
    },
}

impl Load {
    /// The most that are under way at a time.
    pub(super) const fn in_flight_max(self) -> u32 {
        match self {
            Self::Open { max_in_flight, .. } => max_in_flight,
            Self::Closed { concurrency } => concurrency,
        }
    }
}

/// How long it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Extent {
    /// So long.
    #[serde(serialize_with = "seconds")]
    Seconds(Duration),
    /// So many requests.
    Requests(u64),
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// Everything that a run is told.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    #[serde(serialize_with = "url")]
    pub(super) target: Target,
    pub(super) load: Load,
    pub(super) extent: Extent,
    /// The longest that so many requests may take.
    #[serde(serialize_with = "seconds", rename = "at_most_seconds")]
    pub(super) at_most: Duration,
    #[serde(serialize_with = "seconds", rename = "warm_up_seconds")]
    pub(super) warm_up: Duration,
    #[serde(serialize_with = "seconds", rename = "drain_seconds")]
    pub(super) drain: Duration,
    #[serde(serialize_with = "seconds", rename = "timeout_seconds")]
    pub(super) timeout: Duration,
    pub(super) threads: u32,
    pub(super) seed: u64,
    pub(super) http: Http,
    pub(super) connections: u32,
    pub(super) fresh: bool,
    #[serde(skip)]
    pub(super) trust: Trust,
    /// The name that the other end proves, where it is not the target's host.
    pub(super) server_name: Option<String>,
    pub(super) dialect: Dialect,
    pub(super) model: String,
    pub(super) embedding_model: String,
    pub(super) realtime_model: String,
    pub(super) kinds: Vec<Kind>,
    pub(super) sim: Sim,
    pub(super) sim_more: Option<String>,
    pub(super) check: Check,
    #[serde(serialize_with = "maybe_url")]
    pub(super) learn_from: Option<Target>,
    #[serde(serialize_with = "share", rename = "abort_percent")]
    pub(super) abort: Share,
    pub(super) headers: Vec<Header>,
}

fn url<S: serde::Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&target.url())
}

fn maybe_url<S: serde::Serializer>(
    target: &Option<Target>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    target.as_ref().map(Target::url).serialize(serializer)
}

fn share<S: serde::Serializer>(share: &Share, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(f64::from(share.millionths()) / 1e4)
}

/// A header that every request has beside its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

/// Headers that hold keys, or that are part of how a request is sent.
const HEADERS_REFUSED: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
];

impl FromStr for Header {
    type Err = Impossible;

    fn from_str(text: &str) -> Result<Self, Impossible> {
        let parsed = text.split_once(':').and_then(|(name, value)| {
            Some(Self { name: name.trim().parse().ok()?, value: value.trim().parse().ok()? })
        });
        let Some(header) = parsed else {
            return refused(format!("{text:?} is no header: write NAME:VALUE"));
        };
        if HEADERS_REFUSED.contains(&header.name.as_str()) {
            return refused(format!(
                "the header {} is the harness's own, and keys never stand on the command line",
                header.name
            ));
        }
        Ok(header)
    }
}

impl Serialize for Header {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = String::from_utf8_lossy(self.value.as_bytes());
        serializer.collect_str(&format_args!("{}:{value}", self.name))
    }
}

/// What was written, before it is judged as a whole.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) rate: Option<f64>,
    pub(super) concurrency: Option<u32>,
    pub(super) max_in_flight: Option<u32>,
    pub(super) requests: Option<u64>,
    pub(super) seconds: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) ca: Option<PathBuf>,
    pub(super) pin: Option<weft_certs::SpkiHash>,
    pub(super) model: Option<String>,
    /// What needs no second look.
    pub(super) rest: Settings,
}

impl Draft {
    /// The settings, with `files` that this process may have open.
    ///
    /// # Errors
    /// [`Impossible`], with the first contradiction.
    pub(super) fn settle(self, files: u64) -> Result<Settings, Impossible> {
        let mut settings = self.rest;
        settings.load = match (self.rate, self.concurrency) {
            (Some(rate), None) => {
                if !(rate > 0.0 && rate <= RATE_MAX) {
                    return refused(format!("a rate is above 0 and at most {RATE_MAX} a second"));
                }
                let spare = files.saturating_sub(FILES_BESIDE + u64::from(settings.connections));
                let spare = u32::try_from(spare).unwrap_or(u32::MAX).max(1);
                let max_in_flight = self.max_in_flight.unwrap_or_else(|| IN_FLIGHT.min(spare));
                Load::Open { rate, max_in_flight }
            }
            (None, Some(concurrency)) => {
                if self.max_in_flight.is_some() {
                    return refused(
                        "--max-in-flight belongs to --rate: --concurrency says it already",
                    );
                }
                Load::Closed { concurrency }
            }
            (Some(_), Some(_)) | (None, None) => {
                return refused("say either --rate (open loop) or --concurrency (closed loop)");
            }
        };
        settings.extent = match (self.requests, self.seconds) {
            (Some(_), Some(_)) => return refused("say either --seconds or --requests"),
            (Some(requests), None) => Extent::Requests(requests),
            (None, seconds) => Extent::Seconds(seconds.unwrap_or(Duration::from_secs(10))),
        };
        settings.trust = match (self.ca, self.pin) {
            (Some(_), Some(_)) => return refused("say either --ca or --pin"),
            (Some(ca), None) => Trust::Ca(ca),
            (None, Some(pin)) => Trust::Pin(pin),
            (None, None) => Trust::Web,
        };
        settings.model = self.model.unwrap_or_else(|| default_model(settings.dialect).to_owned());
        let longest = settings.kinds.iter().map(Kind::lasts).max().unwrap_or_default();
        settings.timeout = self.timeout.unwrap_or_else(|| (TIMEOUT + longest).min(TIMEOUT_MAX));
        settings.check_http()?;
        settings.check_kinds()?;
        settings.check_time()?;
        settings.check_files(files)?;
        Ok(settings)
    }
}

const fn default_model(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Openai => "gpt-4o",
        Dialect::Anthropic => "claude-sonnet-5",
    }
}

impl Settings {
    fn check_http(&self) -> Result<(), Impossible> {
        let pinned = !matches!(self.trust, Trust::Web) || self.server_name.is_some();
        if !self.target.secure && pinned {
            return refused(
                "--ca, --pin and --server-name say something about https:// targets alone",
            );
        }
        if self.http == Http::H3 && !self.target.secure {
            return refused("HTTP/3 always has TLS: give an https:// target");
        }
        if self.fresh && self.http != Http::H1 {
            return refused("--fresh is for HTTP/1.1: other versions share their connections");
        }
        if self.check == Check::Frames && self.learn_from.is_some() {
            return refused("--check frames compares with nothing: leave --learn-from away");
        }
        Ok(())
    }

    fn check_kinds(&self) -> Result<(), Impossible> {
        let names: BTreeSet<_> = self.kinds.iter().map(|kind| kind.name).collect();
        if names.len() < self.kinds.len() {
            return refused(
                "each kind once: two of one name could not be told apart in the report",
            );
        }
        for kind in &self.kinds {
            let openai_only = matches!(kind.work, Work::Embeddings { .. } | Work::Websocket { .. });
            if self.dialect == Dialect::Anthropic && openai_only {
                return refused(format!("Anthropic's API has no {}", kind.name));
            }
            if kind.lasts() >= self.timeout {
                return refused(format!(
                    "{} lasts {:?} at its pace, and --timeout gives up after {:?}",
                    kind.name,
                    kind.lasts(),
                    self.timeout
                ));
            }
        }
        if self.sim == Sim::None && self.sim_more.is_some() {
            return refused("--sim-more is told to nobody with --sim none");
        }
        Ok(())
    }

    fn check_time(&self) -> Result<(), Impossible> {
        let Load::Open { rate, max_in_flight } = self.load else { return Ok(()) };
        if let Extent::Requests(requests) = self.extent
            && requests as f64 / rate > self.at_most.as_secs_f64()
        {
            return refused(format!(
                "{requests} requests at {rate} a second take longer than --at-most {:?}",
                self.at_most
            ));
        }
        // Little's law: what the pace alone keeps under way.
        let weights: f64 = self.kinds.iter().map(|kind| f64::from(kind.weight)).sum();
        let lasts =
            self.kinds.iter().map(|kind| kind.lasts().as_secs_f64() * f64::from(kind.weight));
        let under_way = rate * lasts.sum::<f64>() / weights.max(1.0);
        if under_way > f64::from(max_in_flight) {
            return refused(format!(
                "at {rate} a second {under_way:.0} answers are under way by their pace alone, and \
                 --max-in-flight is {max_in_flight}"
            ));
        }
        Ok(())
    }

    fn check_files(&self, files: u64) -> Result<(), Impossible> {
        let sockets = match self.http {
            Http::H1 => self.load.in_flight_max().max(self.connections),
            Http::H2 => self.connections,
            Http::H3 => 0,
        };
        let websockets = self.kinds.iter().any(Kind::is_websocket);
        let apart = if websockets { self.load.in_flight_max() } else { 0 };
        let needed = u64::from(sockets.max(apart)) + FILES_BESIDE;
        if needed > files {
            return refused(format!(
                "so many connections need {needed} open files, and this process may have {files}: \
                 raise it (ulimit -n) or send less at a time"
            ));
        }
        Ok(())
    }

    /// How many of `whole` are for event loop `index`.
    pub(super) fn part(&self, whole: u32, index: u32) -> u32 {
        whole / self.threads + u32::from(index < whole % self.threads)
    }
}
