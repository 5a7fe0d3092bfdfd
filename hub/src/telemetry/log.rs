//! The log: to standard error, as text or JSON, its level changeable while the hub runs.

use crate::config::{LogConfig, LogFormat};
use std::fmt;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt as lines, reload};

/// The log as it was started; changes its level.
pub struct Log {
    set_filter: Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// Why the log did not start, or did not change.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error("setting log.level: {level:?} is neither a level nor a list of directives")]
    Level {
        /// What the settings say.
        level: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// This process logs already.
    #[error("the log was started before")]
    Started(#[source] tracing_subscriber::util::TryInitError),
    /// The log has ended.
    #[error("the log's level cannot be changed any more")]
    Gone(#[source] reload::Error),
}

impl Log {
    /// Starts the log of this process. Binaries do so once; libraries and tests never.
    ///
    /// # Errors
    /// [`LogError`] for a level that is none, or a second start.
    pub fn start(config: &LogConfig) -> Result<Self, LogError> {
        let (filter, handle) = reload::Layer::new(filter(config)?);
        let registry = tracing_subscriber::registry().with(filter);
        let started = match config.format {
            LogFormat::Text => {
                let colours = std::io::stderr().is_terminal();
                let lines = lines::layer().with_ansi(colours).with_writer(std::io::stderr);
                registry.with(lines).try_init()
            }
            LogFormat::Json => registry
                .with(lines::layer().json().flatten_event(true).with_writer(std::io::stderr))
                .try_init(),
        };
        started.map_err(LogError::Started)?;
        Ok(Self { set_filter: Box::new(move |filter| handle.reload(filter)) })
    }

    /// Whether `config` has a level that a log can take.
    ///
    /// # Errors
    /// [`LogError::Level`] for a level that is none.
    pub fn check(config: &LogConfig) -> Result<(), LogError> {
        filter(config).map(drop)
    }

    /// Puts the level of `config` in force; its form stays as it was started.
    ///
    /// # Errors
    /// [`LogError`] for a level that is none; the old one then stays.
    pub fn set_level(&self, config: &LogConfig) -> Result<(), LogError> {
        (self.set_filter)(filter(config)?).map_err(LogError::Gone)
    }
}

fn filter(config: &LogConfig) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(&config.level)
        .map_err(|source| LogError::Level { level: config.level.clone(), source })
}
