//! Settings of a run: `agent.toml` in the data directory, then `WEFT_…` environment, then flags.
//!
//! No setting names a host, a proxy or a root certificate: where the agent may go is compiled in.

use crate::datadir::DataDir;
use crate::telemetry::LogFormat;
use crate::upstream::UpstreamSettings;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest time that a drain may be given, in seconds.
const DRAIN_SECONDS_MAX: u64 = 3_600;
/// Longest time that connecting to a provider may be given, in seconds.
const CONNECT_SECONDS_MAX: u64 = 120;

/// The settings, with their defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// Shape of the logs. `WEFT_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// Filter of the logs. `WEFT_LOG`.
    pub log: String,
    /// How long streams may finish after a stop, in seconds. `WEFT_DRAIN_SECONDS`.
    pub drain_seconds: u64,
    /// Limit on resolving, connecting and TLS towards a provider, in seconds.
    /// `WEFT_CONNECT_SECONDS`.
    pub connect_seconds: u64,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log: "info".to_owned(),
            drain_seconds: 30,
            connect_seconds: 10,
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A source is malformed, or names something unknown.
    #[error("settings: {0}")]
    Source(#[from] config::ConfigError),
    /// A value is out of its range.
    #[error("{name} must be from 1 to {max}")]
    Range {
        /// The setting.
        name: &'static str,
        /// Its largest value.
        max: u64,
    },
}

/// What flags may override.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Instead of `log_format`.
    pub log_format: Option<LogFormat>,
    /// Instead of `log`.
    pub log: Option<String>,
    /// Instead of `drain_seconds`.
    pub drain_seconds: Option<u64>,
}

impl AgentConfig {
    /// Reads the settings of a data directory, the environment and the flags.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot be used.
    pub fn load(data: &DataDir, flags: Overrides) -> Result<Self, ConfigError> {
        Self::from_sources(data, config::Environment::with_prefix("WEFT"), flags)
    }

    /// Reads the settings file alone.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of_file(data: &DataDir) -> Result<Self, ConfigError> {
        let nothing = config::Environment::with_prefix("WEFT").source(Some(config::Map::new()));
        Self::from_sources(data, nothing, Overrides::default())
    }

    fn from_sources(
        data: &DataDir,
        environment: config::Environment,
        flags: Overrides,
    ) -> Result<Self, ConfigError> {
        let file =
            config::File::from(data.config_file()).format(config::FileFormat::Toml).required(false);
        // Only the names below are taken from the environment: WEFT_… has other uses too.
        let environment =
            config::Config::builder().add_source(environment.try_parsing(true)).build()?;
        let mut builder = config::Config::builder().add_source(file);
        for name in ["log_format", "log", "drain_seconds", "connect_seconds"] {
            if let Ok(value) = environment.get::<config::Value>(name) {
                builder = builder.set_override(name, value)?;
            }
        }
        let mut loaded: Self = builder.build()?.try_deserialize()?;
        loaded.log_format = flags.log_format.unwrap_or(loaded.log_format);
        loaded.log = flags.log.unwrap_or(loaded.log);
        loaded.drain_seconds = flags.drain_seconds.unwrap_or(loaded.drain_seconds);
        in_range("drain_seconds", loaded.drain_seconds, DRAIN_SECONDS_MAX)?;
        in_range("connect_seconds", loaded.connect_seconds, CONNECT_SECONDS_MAX)?;
        Ok(loaded)
    }

    /// How long streams may finish after a stop.
    #[must_use]
    pub const fn drain_deadline(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// What the upstream client needs to know.
    #[must_use]
    pub const fn upstream(&self) -> UpstreamSettings {
        UpstreamSettings { connect_timeout: Duration::from_secs(self.connect_seconds) }
    }
}

const fn in_range(name: &'static str, value: u64, max: u64) -> Result<(), ConfigError> {
    if value == 0 || value > max { Err(ConfigError::Range { name, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        toml: &str,
        environment: &[(&str, &str)],
        flags: Overrides,
    ) -> Result<AgentConfig, ConfigError> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let data = DataDir::open(dir.path()).expect("data");
        std::fs::write(data.config_file(), toml).expect("write");
        let variables = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let source = config::Environment::with_prefix("WEFT").source(Some(variables.collect()));
        AgentConfig::from_sources(&data, source, flags)
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "drain_seconds = 5\nlog = \"warn\"\nconnect_seconds = 7\n";
        let environment = [("WEFT_LOG", "debug"), ("WEFT_DRAIN_SECONDS", "9"), ("WEFT_OTHER", "x")];
        let flags = Overrides { drain_seconds: Some(11), ..Overrides::default() };
        let loaded = load(file, &environment, flags).expect("load");
        assert_eq!(loaded.drain_seconds, 11);
        assert_eq!(loaded.log, "debug");
        assert_eq!(loaded.connect_seconds, 7);
        assert_eq!(loaded.log_format, LogFormat::Text);
    }

    #[test]
    fn an_unknown_setting_and_one_out_of_range_are_refused() {
        assert!(load("host = \"evil.example\"", &[], Overrides::default()).is_err());
        assert!(load("proxy = \"http://evil\"", &[], Overrides::default()).is_err());
        assert!(load("drain_seconds = 0", &[], Overrides::default()).is_err());
        assert!(load("", &[("WEFT_CONNECT_SECONDS", "9999")], Overrides::default()).is_err());
    }
}
