//! Money: whether the hub charges, how far it trusts, and how long things stay open. Each default
//! has a name here.
//!
//! Amounts are decimal USD in quotes (`"0.50"`), parsed into whole nano-USD, never through floats.

use super::ConfigError;
use super::limits::{as_seconds, seconds};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;
use weft_proto::money::NanoUsd;
use weft_proto::provider::Provider;

/// How far below nothing one exchange's overrun may take a balance: fifty cents.
const OVERDRAFT_MAX: NanoUsd = NanoUsd::new(500_000_000);
/// What a node takes of a balance at once: a dollar.
const LEASE: NanoUsd = NanoUsd::new(1_000_000_000);
/// The smallest lease that makes sense: a cent. Below it every exchange would ask the database.
const LEASE_MIN: NanoUsd = NanoUsd::new(10_000_000);
/// The most that any amount here may be set to: a million USD.
const AMOUNT_MAX: NanoUsd = NanoUsd::new(1_000_000_000_000_000);
/// How long a hold waits for the receipt that proves it, seconds.
const CLAIM_WINDOW_SECONDS: u64 = 24 * 3_600;
/// How long an income can be disputed before it is the owner's, seconds.
const DISPUTE_WINDOW_SECONDS: u64 = 7 * 24 * 3_600;
/// How long an answer is read on without a reader, seconds.
const DRAIN_MAX_SECONDS: u64 = 2;
/// The longest such drain: each holds a place at the agent and at its provider.
const DRAIN_SECONDS_MAX: u64 = 60;
/// The longest window, seconds: a year.
const WINDOW_SECONDS_MAX: u64 = 366 * 86_400;
/// The shortest window, seconds: agents must be able to come back from a restart.
const WINDOW_SECONDS_MIN: u64 = 60;

/// What is done with a request whose price is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unpriced {
    /// It is refused.
    #[default]
    Refuse,
    /// It is served and charged nothing.
    Free,
}

/// What is done with a stream that hides part of its output and is not asked for usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HiddenOutput {
    /// It is refused, with a hint at `stream_options`.
    #[default]
    Refuse,
    /// It is served; what can be seen of it is counted.
    Estimate,
}

/// What is done at a provider whose user went away in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAbort {
    /// Its call is cancelled at once.
    #[default]
    Cancel,
    /// It is read on, for the longest drain: it bills the whole answer all the same.
    Drain,
}

/// [`OnAbort`], provider by provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnAborts {
    openai: OnAbort,
    azure: OnAbort,
    anthropic: OnAbort,
    deepseek: OnAbort,
}

impl OnAborts {
    /// What is done at `provider`.
    #[must_use]
    pub const fn at(&self, provider: Provider) -> OnAbort {
        match provider {
            Provider::OpenAi => self.openai,
            Provider::Azure => self.azure,
            Provider::Anthropic => self.anthropic,
            Provider::DeepSeek => self.deepseek,
        }
    }
}

/// How the hub charges.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Money {
    /// Whether exchanges are charged at all.
    pub charging: bool,
    /// Requests without a known price.
    pub unpriced: Unpriced,
    /// Streams that hide output and tell no usage.
    pub hidden_output: HiddenOutput,
    /// How far below nothing the overrun of one exchange may take a balance.
    #[serde(deserialize_with = "amount", serialize_with = "as_amount")]
    pub overdraft_max: NanoUsd,
    /// What a node takes of a balance at once, so that single exchanges need not ask the database.
    #[serde(deserialize_with = "amount", serialize_with = "as_amount")]
    pub lease: NanoUsd,
    /// How long a hold waits for the receipt that proves it.
    #[serde(
        rename = "claim_window_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub claim_window: Duration,
    /// How long an income can be disputed before it is the owner's.
    #[serde(
        rename = "dispute_window_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub dispute_window: Duration,
    /// How long an answer is read on without a reader, for its last figures.
    #[serde(
        rename = "drain_max_seconds",
        deserialize_with = "seconds",
        serialize_with = "as_seconds"
    )]
    pub drain_max: Duration,
    /// What is done at a provider whose user went away in the middle of an answer.
    pub on_abort: OnAborts,
}

impl Default for Money {
    fn default() -> Self {
        Self {
            charging: true,
            unpriced: Unpriced::default(),
            hidden_output: HiddenOutput::default(),
            overdraft_max: OVERDRAFT_MAX,
            lease: LEASE,
            claim_window: Duration::from_secs(CLAIM_WINDOW_SECONDS),
            dispute_window: Duration::from_secs(DISPUTE_WINDOW_SECONDS),
            drain_max: Duration::from_secs(DRAIN_MAX_SECONDS),
            on_abort: OnAborts::default(),
        }
    }
}

impl Money {
    /// These settings with what may change while the hub runs taken from `new`: all but whether it
    /// charges at all. The keys are named in [`super::changes()`].
    #[must_use]
    pub(super) fn with_live_of(&self, new: &Self) -> Self {
        Self { charging: self.charging, ..new.clone() }
    }

    /// Refuses amounts and times that nobody can mean.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, reason: String| {
            Err(ConfigError::Setting { key: format!("money.{key}"), reason })
        };
        if self.overdraft_max.is_negative() || self.overdraft_max > AMOUNT_MAX {
            return refuse("overdraft_max", format!("want 0 to {AMOUNT_MAX} USD"));
        }
        if self.lease < LEASE_MIN || self.lease > AMOUNT_MAX {
            return refuse("lease", format!("want {LEASE_MIN} to {AMOUNT_MAX} USD"));
        }
        let window = WINDOW_SECONDS_MIN..=WINDOW_SECONDS_MAX;
        for (key, time) in [
            ("claim_window_seconds", self.claim_window),
            ("dispute_window_seconds", self.dispute_window),
        ] {
            if !window.contains(&time.as_secs()) {
                let range = format!("want {WINDOW_SECONDS_MIN} to {WINDOW_SECONDS_MAX} seconds");
                return refuse(key, range);
            }
        }
        if self.drain_max.as_secs() > DRAIN_SECONDS_MAX {
            let range = format!("want 0 to {DRAIN_SECONDS_MAX} seconds: each drain holds a place");
            return refuse("drain_max_seconds", range);
        }
        Ok(())
    }
}

/// Decimal USD. A bare number is taken as it is written.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NanoUsd, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let text = match &value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => String::new(),
    };
    text.parse().map_err(serde::de::Error::custom)
}

fn as_amount<S: Serializer>(amount: &NanoUsd, serializer: S) -> Result<S::Ok, S::Error> {
    amount.to_string().serialize(serializer)
}
