//! Notices that another process has changed the vault, so that `account add` needs no restart.

use super::Vault;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often the vault's file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one version of the file from the next: every write is a new file.
type Version = Option<(u64, u64, i64, i64)>;

fn version(path: &Path) -> Version {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Calls `changed` whenever the vault's file is another one than before, for as long as it is
/// polled; and once at first, for nobody looked between the vault's opening and this.
pub(crate) async fn follow(vault: Arc<Vault>, changed: impl Fn() + Send) {
    let mut seen = None;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Some(version(&vault.path));
        if now != seen {
            seen = now;
            changed();
        }
    }
}
