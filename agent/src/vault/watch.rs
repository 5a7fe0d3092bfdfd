//! Notices that another process has changed the vault, so that `account add` needs no restart.

use super::Vault;
use crate::account::Account;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the vault's file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one version of the file from the next: every write is a new file.
type Version = Option<(u64, u64, i64, i64)>;

fn version(path: &Path) -> Version {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Reloads the vault whenever its file has changed and publishes the accounts, for as long as it
/// is polled. A file that does not open leaves the known accounts in use.
pub(crate) async fn follow(vault: Arc<Vault>, accounts: watch::Sender<Vec<Arc<Account>>>) {
    let mut seen = version(&vault.path);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = version(&vault.path);
        if now == seen {
            continue;
        }
        seen = now;
        match vault.reload() {
            Ok(()) => {
                let known = vault.accounts();
                tracing::info!(accounts = known.len(), "the vault has changed");
                accounts.send_replace(known);
            }
            Err(error) => tracing::error!(%error, "the changed vault cannot be used"),
        }
    }
}
