//! Everything that an agent needs, looked at: what was seen, how good it is, what to do.
//!
//! ```text
//!  machine    directory, modes, space, lock, settings, UDP buffers      at once
//!  identity   files, certificate, clock                                 at once
//!  hub        handshake, round trip, MTU, own certificate     ┐ together, each within
//!  providers  a connection by each account's own way out      ┘ its own limit
//! ```
//! It changes nothing, disturbs no running agent, and sends neither a request nor a key to anyone:
//! a provider sees a TLS handshake that ends. No finding holds a secret.

mod hub;
mod identity;
mod machine;
mod providers;

use crate::app::Parts;
use crate::config::AgentConfig;
use crate::datadir::DataDir;
use crate::vault::Vault;
use serde::Serialize;
use std::path::Path;
use weft_proto::causes::causes;

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works less well than it could, or will not for long.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How good it is.
    pub level: Level,
    /// What was seen.
    pub saw: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: impl Into<String>, saw: impl Into<String>) -> Self {
        Self { check: check.into(), level: Level::Ok, saw: saw.into(), remedy: None }
    }

    fn warn(check: impl Into<String>, saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { check: check.into(), level: Level::Warn, saw: saw.into(), remedy }
    }

    fn fail(check: impl Into<String>, saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(check, saw, remedy) }
    }
}

/// Looks at everything that the agent of the directory `root` needs, over the network of `parts`.
/// Takes at most half a minute, and a second or two where all is well.
///
/// # Cancel safety
/// Cancel safe: what was opened is closed.
pub async fn examine(root: &Path, parts: Parts) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(machine::buffers());
    let Ok(data) = DataDir::existing(root) else {
        let remedy = format!("run `weft-agent join INVITE --data {}`", root.display());
        findings.push(Finding::fail("data directory", format!("no {}", root.display()), remedy));
        return findings;
    };
    findings.extend(machine::directory(&data));
    let config = match AgentConfig::load(&data, crate::config::Overrides::default()) {
        Ok(config) => {
            findings.push(Finding::ok("settings", "they parse"));
            config
        }
        Err(error) => {
            let remedy = "mend agent.toml or the WEFT_ variable; the defaults are fine without";
            findings.push(Finding::fail("settings", causes(&error), remedy));
            AgentConfig::default()
        }
    };
    let (known, about) = identity::look(&data, parts.clock.as_ref());
    findings.extend(about);
    let vault = match Vault::open(&data) {
        Ok(vault) => {
            let count = vault.accounts().len();
            findings.push(if count == 0 {
                let remedy = "add one: `weft-agent account add --provider openai --label main`";
                Finding::warn("vault", "no account", remedy)
            } else {
                Finding::ok("vault", format!("accounts: {count}; every key opens"))
            });
            Some(vault)
        }
        Err(error) => {
            findings.push(Finding::fail("vault", causes(&error), "do as it says"));
            None
        }
    };
    let running = data.is_running().unwrap_or(false);
    let hub = async {
        match &known {
            Some(known) => hub::look(known, running, &parts).await,
            None => Vec::new(),
        }
    };
    let providers = async {
        match &vault {
            Some(vault) => providers::look(vault, &config, &parts).await,
            None => Vec::new(),
        }
    };
    let (hub, providers) = tokio::join!(hub, providers);
    findings.extend(hub);
    findings.extend(providers);
    findings
}

#[cfg(test)]
mod tests;
