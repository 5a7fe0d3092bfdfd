//! Logs on standard error, as text for people or JSON for machines.
//!
//! What they never hold: a secret, a header's value, a query, any byte of a prompt or an answer.
//! Levels: `error` somebody has to act; `warn` something works less well than it should; `info`
//! what an operator wants to find tomorrow; `debug` one line per exchange.

use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

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

/// Sets the process's logs up; once, from a binary.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|_| TelemetryError::Filter { filter: filter.to_owned() })?;
    // Colours are for a person's terminal: in a file they are noise.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| TelemetryError::Twice)
}
