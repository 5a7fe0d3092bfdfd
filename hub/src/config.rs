//! The hub's settings: `hub.toml`, below `WEFT_…` environment variables, below flags.
//!
//! Everything has a default with a name, so that an empty file is a working hub. A key that no
//! setting has is an error, and every error names the key and where it came from. Values are
//! parsed into the types that the rooms use: nothing is checked again later.
//!
//! `WEFT_LIMITS__DRAIN_SECONDS=5` sets `drain_seconds` in `[limits]`: a section, two underscores,
//! a key. Lists are separated by commas. Variables without a section (`WEFT_DATA`) are flags'.
//!
//! Never read after start, but for what a reload takes: [`changes()`] says which keys, [`LiveLimits`]
//! is how the rooms see them.

mod changes;
mod doors;
mod limits;
mod live;
mod money;
mod store;
mod template;
#[cfg(test)]
mod tests;
mod webhook;

pub use changes::{Change, changes};
pub use doors::{AdminDoor, AgentsDoor, OwnCertificate, UsersDoor, agents_door_of};
pub use limits::{ANSWER_BYTES_MAX, EXCHANGE_BYTES_MAX, H2_SEND_BUFFER_BYTES, Limits};
pub use live::{Live, LiveLimits, LiveMoney};
pub use money::{HiddenOutput, Money, OnAbort, OnAborts, Unpriced};
pub use store::{Database, StoreConfig};
pub use template::render_initial;
pub use webhook::WebhookConfig;

use config::{Environment, File, FileFormat};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use weft_certs::MAX_INVITE_ADDRESSES;

/// The file of settings inside the data directory.
pub const CONFIG_FILE: &str = "hub.toml";
/// What an environment variable of the hub begins with.
const ENV_PREFIX: &str = "WEFT_";
/// What stands between section and key in an environment variable.
const ENV_SECTION: &str = "__";
/// What is logged, unless told otherwise.
const LOG_LEVEL_DEFAULT: &str = "info";

/// All settings of one hub.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HubConfig {
    /// The users' door.
    pub users: UsersDoor,
    /// The agents' door.
    pub agents: AgentsDoor,
    /// The admin door.
    pub admin: AdminDoor,
    /// What the hub spends at most.
    pub limits: Limits,
    /// How the hub charges.
    pub money: Money,
    /// Who is told of events.
    pub webhook: WebhookConfig,
    /// Where the hub keeps its state.
    pub store: StoreConfig,
    /// What the hub says about itself.
    pub log: LogConfig,
    /// The data directory: keys, certificates, `hub.toml`, database. Not a setting of the file.
    #[serde(skip)]
    pub data: PathBuf,
}

/// What the hub says about itself, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A level (`info`), or directives such as `info,weft_hub=debug`.
    pub level: String,
    /// For people or for machines.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LOG_LEVEL_DEFAULT.to_owned(), format: LogFormat::default() }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What flags set above file and environment.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Overrides {
    /// Address of the users' door; may be given several times
    #[arg(long, value_name = "IP:PORT")]
    pub users: Vec<SocketAddr>,
    /// Address of the agents' door; may be given several times
    #[arg(long, value_name = "IP:PORT")]
    pub agents: Vec<SocketAddr>,
    /// Address of the admin door
    #[arg(long, value_name = "IP:PORT")]
    pub admin: Option<SocketAddr>,
    /// Level or directives of the log
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Form of the log
    #[arg(long, value_name = "FORM")]
    pub log_format: Option<LogFormat>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No data directory was made here.
    #[error("{path} does not exist: run \"weft-hub init --data {data}\" first")]
    NotInitialised {
        /// The file that was looked for.
        path: PathBuf,
        /// The data directory that was given.
        data: PathBuf,
    },
    /// The file is not TOML.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A key is unknown, or its value is not what it takes.
    #[error("setting {key}: {reason}")]
    Setting {
        /// The key, as `section.key`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl HubConfig {
    /// Loads the settings of the data directory `data`.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key.
    pub fn load(data: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            // What is not UTF-8 is no setting of ours.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::load_from(data, environment.collect(), overrides)
    }

    /// Loads settings with the environment given as a value.
    fn load_from(
        data: &Path,
        environment: HashMap<String, String>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let path = data.join(CONFIG_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ConfigError::NotInitialised { path, data: data.to_owned() });
            }
            Err(error) => {
                return Err(ConfigError::Unreadable { path, reason: error.to_string() });
            }
        };
        // Parsed alone first: only this error knows the line.
        if let Err(error) = toml::from_str::<toml::Table>(&text) {
            return Err(ConfigError::Unreadable { path, reason: error.to_string() });
        }
        let sectioned = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENV_PREFIX) && name.contains(ENV_SECTION))
            .collect();
        let environment = Environment::with_prefix(ENV_PREFIX.trim_end_matches('_'))
            .prefix_separator("_")
            .separator(ENV_SECTION)
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("users.addresses")
            .with_list_parse_key("agents.addresses")
            .with_list_parse_key("agents.public")
            .source(Some(sectioned));
        let mut builder = config::Config::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .add_source(environment);
        for (key, value) in overrides.values() {
            builder = builder.set_override(key, value).map_err(|error| setting(key, &error))?;
        }
        let merged = builder.build().map_err(|error| setting("?", &error))?;
        let merged: serde_json::Value =
            merged.try_deserialize().map_err(|error| setting("?", &error))?;
        let mut settings: Self = serde_path_to_error::deserialize(merged)
            .map_err(|error| setting(&error.path().to_string(), error.inner()))?;
        settings.data = data.to_owned();
        settings.check()?;
        Ok(settings)
    }

    /// These settings with what may change while the hub runs taken from `new`.
    #[must_use]
    pub fn with_live_of(&self, new: &Self) -> Self {
        let mut settings = self.clone();
        settings.limits = self.limits.with_live_of(&new.limits);
        settings.money = self.money.with_live_of(&new.money);
        settings.users.certificate.clone_from(&new.users.certificate);
        settings.webhook.clone_from(&new.webhook);
        settings.log.level.clone_from(&new.log.level);
        settings
    }

    /// The database that the hub keeps its state in.
    #[must_use]
    pub fn database(&self) -> Database {
        self.store.database(&self.data)
    }

    /// What no single value can tell.
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, reason: &str| {
            Err(ConfigError::Setting { key: key.to_owned(), reason: reason.to_owned() })
        };
        if self.users.addresses.is_empty() {
            return refuse("users.addresses", "the users' door needs at least one address");
        }
        if self.agents.addresses.is_empty() {
            return refuse("agents.addresses", "the agents' door needs at least one address");
        }
        let same_udp = |user: &SocketAddr, agent: &SocketAddr| {
            let one_ip = user.ip() == agent.ip()
                || (user.ip().is_unspecified() || agent.ip().is_unspecified());
            user.port() == agent.port() && user.port() != 0 && one_ip
        };
        let shared = self
            .users
            .addresses
            .iter()
            .any(|user| self.agents.addresses.iter().any(|agent| same_udp(user, agent)));
        if self.users.h3 && shared {
            let reason = "HTTP/3 of the users' door takes the UDP port of the same number: \
                          give one of the two another port, or set h3 = false in [users]";
            return refuse("agents.addresses", reason);
        }
        if self.agents.public.len() > MAX_INVITE_ADDRESSES {
            return refuse("agents.public", "an invite has at most 4 addresses to dial");
        }
        if !self.admin.address.ip().is_loopback() && !self.admin.allow_remote {
            let reason = "this address can be reached from other machines; \
                          set allow_remote = true in [admin] where that is meant";
            return refuse("admin.address", reason);
        }
        self.money.check()?;
        self.limits.check()
    }
}

impl Overrides {
    fn values(&self) -> Vec<(&'static str, config::Value)> {
        let list = |addresses: &[SocketAddr]| -> Option<config::Value> {
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            (!texts.is_empty()).then(|| texts.into())
        };
        let format = self.log_format.map(|format| match format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        });
        [
            ("users.addresses", list(&self.users)),
            ("agents.addresses", list(&self.agents)),
            ("admin.address", self.admin.map(|address| address.to_string().into())),
            ("log.level", self.log_level.clone().map(Into::into)),
            ("log.format", format.map(Into::into)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

fn setting(key: &str, error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Setting { key: key.to_owned(), reason: error.to_string() }
}
