//! Logs on standard error, as text for people or JSON for machines.
//!
//! What they never hold: a secret, a header's value, a query, any byte of a prompt or an answer.
//! Levels: `error` somebody has to act; `warn` something works less well than it should; `info`
//! what an operator wants to find tomorrow; `debug` one line per exchange.

use serde::{Deserialize, Serialize};
use std::io::{self, IsTerminal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log filter cannot be used, or logs were set up before.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is malformed.
    #[error("log filter {filter:?} is malformed: want such as `info` or `weft_agent=debug`")]
    Filter {
        /// What was given.
        filter: String,
    },
    /// Something set logs up before.
    #[error("logs are set up already")]
    Twice,
}

/// The filter of the process's logs, which can be changed while they are written.
#[derive(Debug, Clone)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Puts `filter` in the place of the one in force.
    ///
    /// # Errors
    /// [`TelemetryError::Filter`]; the old one stays.
    pub fn set(&self, filter: &str) -> Result<(), TelemetryError> {
        self.0
            .reload(parse(filter)?)
            .map_err(|_| TelemetryError::Filter { filter: filter.to_owned() })
    }
}

/// Sets the process's logs up; once, from a binary.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(format: LogFormat, filter: &str) -> Result<LogFilter, TelemetryError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let registry = tracing_subscriber::registry().with(filter);
    // Colours are for a person's terminal: in a file they are noise.
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(|_| TelemetryError::Twice)?;
    Ok(LogFilter(handle))
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|_| TelemetryError::Filter { filter: filter.to_owned() })
}
