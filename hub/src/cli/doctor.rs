//! `weft-hub doctor`: looks at a hub and all it stands on, and says what to do about it.
//!
//! It changes nothing but for one small file that it writes, syncs and removes. Every check runs
//! beside the others, has its own limit of time, and gives at least one finding; a check that hangs
//! is a finding. Where a hub runs, its doors are tried as users and agents try them.

mod doors;
mod machine;
mod place;
mod state;
mod trust;

use super::output::{Output, time_text};
use serde::Serialize;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use weft_hub::app::{Addresses, Holder, announced, holder};
use weft_hub::config::{ConfigError, HubConfig, Overrides};
use weft_proto::time::{Clock, SystemClock, Timestamp};

/// How long one check may take.
const CHECK_MAX: Duration = Duration::from_secs(20);

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-hub doctor --data ./weft-hub")]
pub(super) struct Doctor {}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warn,
    /// It does not work, or soon will not.
    Fail,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    saw: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, saw: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, saw: saw.into(), remedy: None }
    }

    fn warn(check: &'static str, saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, saw: saw.into(), remedy: Some(remedy.into()) }
    }

    fn fail(check: &'static str, saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, saw: saw.into(), remedy: Some(remedy.into()) }
    }
}

/// What all checks look at.
#[derive(Debug)]
struct Subject {
    data: PathBuf,
    /// The settings; where they cannot be read, the defaults stand in for what needs some.
    config: HubConfig,
    settings: Result<(), ConfigError>,
    /// The hub that runs on the directory.
    holder: Option<Holder>,
    /// Where its doors are.
    addresses: Option<Addresses>,
    clock: Arc<dyn Clock>,
    now: Timestamp,
}

impl Subject {
    fn of(data: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (config, settings) = match HubConfig::load(data, &Overrides::default()) {
            Ok(config) => (config, Ok(())),
            Err(error) => (HubConfig { data: data.to_owned(), ..HubConfig::default() }, Err(error)),
        };
        // A lock that cannot be looked at is a finding of its own: see `place`.
        let holder = holder(data).unwrap_or_default();
        let addresses = holder.and_then(|_| announced(data));
        let now = clock.now();
        Self { data: data.to_owned(), config, settings, holder, addresses, clock, now }
    }

    /// The process of the hub that runs.
    fn process(&self) -> Option<u32> {
        self.holder.and_then(|holder| holder.process)
    }
}

impl Doctor {
    pub(super) async fn run(self, data: &Path, out: &mut Output) -> anyhow::Result<ExitCode> {
        let subject = Arc::new(Subject::of(data));
        let mut checks = JoinSet::new();
        let mut begin = |order: usize, name: &'static str, check: Check| {
            checks.spawn(async move { (order, within(name, check).await) });
        };
        let blocking = |look: fn(&Subject) -> Vec<Finding>| -> Check {
            let subject = Arc::clone(&subject);
            Box::pin(async move {
                // A disk that hangs must not keep the other checks from being told.
                let looked = tokio::task::spawn_blocking(move || look(&subject)).await;
                looked.unwrap_or_else(|panic| {
                    vec![Finding::fail("doctor", panic.to_string(), "report this defect")]
                })
            })
        };
        begin(0, "directory", blocking(place::directory));
        begin(1, "disk", blocking(place::disk));
        begin(2, "settings", blocking(state::settings));
        begin(4, "certificates", blocking(trust::certificates));
        begin(6, "machine", blocking(machine::look));
        let about = Arc::clone(&subject);
        begin(3, "database", Box::pin(async move { state::database(&about).await }));
        let about = Arc::clone(&subject);
        begin(7, "users' door", Box::pin(async move { doors::users(&about).await }));
        let about = Arc::clone(&subject);
        begin(8, "agents' door", Box::pin(async move { doors::agents(&about).await }));
        let about = Arc::clone(&subject);
        begin(9, "admin door", Box::pin(async move { doors::admin(&about).await }));

        let mut found = checks.join_all().await;
        found.sort_by_key(|(order, _)| *order);
        let findings: Vec<Finding> = found.into_iter().flat_map(|(_, found)| found).collect();
        let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        out.report(
            &serde_json::json!({
                "data": data,
                "at": time_text(subject.now),
                "running": subject.holder.is_some(),
                "level": worst,
                "findings": findings,
            }),
            &findings,
            ["LEVEL", "CHECK", "SAW", "REMEDY"],
            |finding| {
                [
                    finding.level.name().to_owned(),
                    finding.check.to_owned(),
                    finding.saw.clone(),
                    finding.remedy.clone().unwrap_or_default(),
                ]
            },
        )?;
        Ok(if worst == Level::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

type Check = std::pin::Pin<Box<dyn Future<Output = Vec<Finding>> + Send>>;

async fn within(name: &'static str, check: Check) -> Vec<Finding> {
    tokio::time::timeout(CHECK_MAX, check).await.unwrap_or_else(|_| {
        let seen = format!("no result within {} s", CHECK_MAX.as_secs());
        vec![Finding::fail(name, seen, "see whether the disk or the network hangs")]
    })
}
