//! Who the agent is, for how long yet, and whether the clock can be right.

use super::Finding;
use crate::datadir::DataDir;
use crate::uplink::{HubRecord, IdentityFiles, IdentityFilesError};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use weft_certs::{AGENT_LIFETIME, AgentIdentity};
use weft_proto::causes::causes;
use weft_proto::time::{Clock, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);
/// How long after its end a certificate may still be renewed; the hub's rule.
const LATE_RENEWAL: Duration = Duration::from_secs(90 * 86_400);
/// How far the clock may be behind something that was written before.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// An identity that loads, and its hub.
pub(super) struct Known {
    pub(super) identity: AgentIdentity,
    pub(super) record: HubRecord,
}

pub(super) fn look(data: &DataDir, clock: &dyn Clock) -> (Option<Known>, Vec<Finding>) {
    let (identity, record) = match IdentityFiles::new(data.clone()).load() {
        Ok(loaded) => loaded,
        Err(error) => {
            let remedy = match &error {
                IdentityFilesError::NotJoined { .. } => "ask the hub's operator for an invite",
                IdentityFilesError::JoinedAlready { .. }
                | IdentityFilesError::File(_)
                | IdentityFilesError::Identity(_)
                | IdentityFilesError::Record { .. }
                | IdentityFilesError::System { .. } => {
                    "restore a backup, or remove identity/ and join with a fresh invite"
                }
            };
            return (None, vec![Finding::fail("identity", causes(&error), remedy)]);
        }
    };
    let saw = format!(
        "agent {} of hub {}; key and certificate belong together; pins {}",
        identity.agent(),
        record.hub,
        record.pins
    );
    let now = clock.now();
    let findings = vec![
        Finding::ok("identity", saw),
        certificate(data, identity.not_after(), identity.renewal_due(now), now),
        clock_of(data, identity.not_after(), now),
    ];
    (Some(Known { identity, record }), findings)
}

fn certificate(data: &DataDir, not_after: Timestamp, due: bool, now: Timestamp) -> Finding {
    let check = "certificate";
    let path = data.identity_dir().join("agent.pem");
    let dates = weft_certs::summaries(&path).ok().and_then(|all| {
        all.first().map(|one| format!("valid from {} until {}", one.not_before, one.not_after))
    });
    let dates = dates.unwrap_or_else(|| "it does not tell its dates".to_owned());
    if now > not_after {
        let ago = now.since(not_after);
        let saw = format!("{dates}: ended {} days ago", ago.as_secs() / DAY.as_secs());
        return if ago < LATE_RENEWAL {
            Finding::warn(check, saw, "run the agent: it renews by its key as soon as it connects")
        } else {
            let remedy = "too late to be renewed: join again with a fresh invite";
            Finding::fail(check, saw, remedy)
        };
    }
    let left = not_after.since(now).as_secs() / DAY.as_secs();
    let saw = format!("{dates}: {left} days left");
    if due {
        let remedy = "it should be renewed by now: let the agent run, and look into its log";
        Finding::warn(check, saw, remedy)
    } else {
        Finding::ok(check, saw)
    }
}

/// A clock can be seen to be wrong where something was certified or written after now.
fn clock_of(data: &DataDir, not_after: Timestamp, now: Timestamp) -> Finding {
    let remedy = "set the clock and keep it set: `timedatectl set-ntp true`";
    let issued =
        Timestamp::from_micros(not_after.as_micros().saturating_sub(micros(AGENT_LIFETIME)));
    if issued > now.after(SKEW_MAX) {
        let behind = issued.since(now).as_secs();
        let saw = format!("{behind} s before the hub made this agent's certificate");
        return Finding::fail("clock", saw, remedy);
    }
    let files = [data.vault_file(), data.status_file(), data.identity_dir().join("agent.pem")];
    let newest = files
        .iter()
        .filter_map(|path| u64::try_from(fs::metadata(path).ok()?.mtime()).ok())
        .max()
        .map_or(now, Timestamp::from_secs);
    if newest > now.after(SKEW_MAX) {
        let behind = newest.since(now).as_secs();
        return Finding::warn("clock", format!("{behind} s before the newest file here"), remedy);
    }
    Finding::ok("clock", "after everything that was certified or written here")
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
