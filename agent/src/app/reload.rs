//! What a running agent takes over from its files without a restart: settings, accounts, identity.
//!
//! Nothing that runs is touched. A request that was lent a key ends with that key, a tunnel ends
//! with the certificate that it began with; what is new holds for what comes next. A file that
//! cannot be used leaves what was in force, and the log says so.

use crate::account::Account;
use crate::config::{AgentConfig, Overrides};
use crate::datadir::DataDir;
use crate::limits::AccountLimits;
use crate::telemetry::LogFilter;
use crate::uplink::{HubRecord, IdentityFiles};
use crate::upstream::Upstream;
use crate::vault::Vault;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use weft_certs::AgentIdentity;

/// The accounts of a run, and everybody who must hear when they change.
#[derive(Debug, Clone)]
pub(super) struct Accounts {
    pub(super) vault: Arc<Vault>,
    pub(super) published: watch::Sender<Vec<Arc<Account>>>,
    pub(super) limits: AccountLimits,
    pub(super) upstream: Upstream,
}

impl Accounts {
    /// Reads the vault again. Blocks on the disk.
    pub(super) fn refresh(&self) {
        match self.vault.reload() {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => {
                let known = self.vault.accounts();
                tracing::info!(
                    accounts = known.len(),
                    added = changes.added.len(),
                    removed = changes.removed.len(),
                    changed = changes.changed.len(),
                    "the vault has changed"
                );
                // What an account was paused for may be what its owner has just mended.
                for account in &changes.changed {
                    self.limits.forgive(*account);
                }
                self.published.send_replace(known);
                self.upstream.forget_unused();
            }
            Err(error) => {
                tracing::error!(%error, "the changed vault cannot be used: what was known stays");
            }
        }
    }
}

/// Takes an agent's files over while it runs.
#[derive(Debug)]
pub struct Reloader {
    pub(super) data: DataDir,
    pub(super) accounts: Accounts,
    pub(super) drain: watch::Sender<Duration>,
    pub(super) identity: watch::Sender<Arc<AgentIdentity>>,
    pub(super) record: watch::Sender<Arc<HubRecord>>,
    pub(super) in_force: Mutex<AgentConfig>,
    pub(super) flags: Overrides,
    pub(super) logs: Option<LogFilter>,
}

impl Reloader {
    /// Reads settings, vault and identity again, and takes over what can be. Blocks on the disk.
    pub fn reload(&self) {
        tracing::info!("reloading");
        self.settings();
        self.accounts.refresh();
        self.identity();
    }

    fn settings(&self) {
        let fresh = match AgentConfig::load(&self.data, self.flags.clone()) {
            Ok(fresh) => fresh,
            Err(error) => {
                tracing::error!(%error, "the settings cannot be used: the old ones stay");
                return;
            }
        };
        let mut old = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.log != old.log
            && let Some(logs) = &self.logs
        {
            if let Err(error) = logs.set(&fresh.log) {
                tracing::error!(%error, "the settings cannot be used: the old ones stay");
                return;
            }
            tracing::info!(from = old.log, to = fresh.log, "the log filter has changed");
        }
        if fresh.drain_seconds != old.drain_seconds {
            self.drain.send_replace(fresh.drain_deadline());
            let (from, to) = (old.drain_seconds, fresh.drain_seconds);
            tracing::info!(from, to, "drain_seconds has changed");
        }
        if fresh.connect_seconds != old.connect_seconds {
            self.accounts.upstream.set_connect_timeout(fresh.upstream().connect_timeout);
            let (from, to) = (old.connect_seconds, fresh.connect_seconds);
            tracing::info!(from, to, "connect_seconds has changed");
        }
        if fresh.log_format != old.log_format {
            tracing::warn!("log_format has changed: it needs a restart");
        }
        // The format in force is the one of the start, until there is another start.
        *old = AgentConfig { log_format: old.log_format, ..fresh };
    }

    fn identity(&self) {
        let (identity, record) = match IdentityFiles::new(self.data.clone()).load() {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(%error, "the identity cannot be used: the old one stays");
                return;
            }
        };
        let (old, old_record) = (self.identity.borrow().clone(), self.record.borrow().clone());
        if identity.agent() != old.agent() || record.hub != old_record.hub {
            tracing::warn!("the files are another agent's, or another hub's: it needs a restart");
            return;
        }
        if identity.chain().certs() != old.chain().certs() {
            tracing::info!("the certificate has changed: the next connection uses it");
            self.identity.send_replace(Arc::new(identity));
        }
        if record != *old_record {
            tracing::info!(
                "the hub's addresses or pins have changed: the next connection uses them"
            );
            self.record.send_replace(Arc::new(record));
        }
    }
}
