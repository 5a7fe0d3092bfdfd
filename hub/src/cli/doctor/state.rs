//! Settings, database, and whether the clock agrees with what was recorded.
//!
//! A file is looked at as a file; of a server is asked what serves, how durably, and how far the
//! tables are. Whether a server's own files are sound, its own tools know.

use super::super::output::time_text;
use super::{Finding, Subject};
use std::path::Path;
use std::time::Duration;
use weft_hub::config::Database;
use weft_proto::causes::causes;
use weft_proto::time::Timestamp;
use weft_store::sqlite::upkeep::{Examined, UpkeepError, examine};
use weft_store::{MysqlUrl, mysql};

/// How far the clock may be behind the newest row before something is wrong with it.
const CLOCK_SLACK: Duration = Duration::from_secs(5 * 60);

const SETTINGS: &str = "settings";
const DATABASE: &str = "database";
const CLOCK: &str = "clock";

/// Whether `hub.toml` and the environment are understood.
pub(super) fn settings(subject: &Subject) -> Vec<Finding> {
    vec![match &subject.settings {
        Ok(()) => Finding::ok(SETTINGS, "hub.toml and the environment are understood"),
        Err(error) => Finding::fail(
            SETTINGS,
            causes(error),
            "correct the key that is named; the hub does not start, a reload is refused",
        ),
    }]
}

/// Whether the database is sound, of this version, and older than the clock.
pub(super) async fn database(subject: &Subject) -> Vec<Finding> {
    match subject.config.database() {
        Database::Sqlite(path) => file(&path, subject.now).await,
        Database::Mysql(url) => server(&url, subject.now).await,
    }
}

async fn file(path: &Path, now: Timestamp) -> Vec<Finding> {
    let shown = path.display();
    let mut found = Vec::new();
    let examined = match examine(path).await {
        Ok(examined) => examined,
        Err(error @ UpkeepError::Missing { .. }) => {
            let remedy = "nothing to do where the hub was never started; else look for the file";
            return vec![Finding::warn(DATABASE, causes(&error), remedy)];
        }
        Err(error) => {
            let remedy = "restore the last backup with \"weft-hub restore\"";
            return vec![Finding::fail(DATABASE, causes(&error), remedy)];
        }
    };
    if examined.faults.is_empty() {
        found.push(Finding::ok(DATABASE, format!("{shown} is sound")));
    } else {
        let seen = format!("{shown} is damaged: {}", examined.faults.join("; "));
        let remedy = "stop the hub, keep the file, restore the last backup";
        found.push(Finding::fail(DATABASE, seen, remedy));
    }
    let (version, safe) = &examined.sqlite;
    if !safe {
        let seen = format!("SQLite {version} can lose acknowledged writes");
        let remedy = format!("use a build with SQLite {} or newer", Examined::sqlite_min());
        found.push(Finding::fail(DATABASE, seen, remedy));
    }
    let (had, newest) = (examined.migrated_to, examined.newest);
    found.push(tables(had, newest, examined.from_elsewhere, &format!("SQLite {version}")));
    found.extend(examined.newest_row_at.map(|newest| clock(newest, now)));
    found
}

async fn server(url: &MysqlUrl, now: Timestamp) -> Vec<Finding> {
    let examined = match mysql::upkeep::examine(url).await {
        Ok(examined) => examined,
        Err(error) => {
            let remedy =
                "see whether the server runs, and the user, password and ssl-mode of store.url";
            return vec![Finding::fail(DATABASE, causes(&error), remedy)];
        }
    };
    let mut found = vec![Finding::ok(DATABASE, format!("{url} answers"))];
    let (version, fit) = &examined.server;
    if !fit {
        let seen = format!("the server is {version}: older than what Weft was made for");
        found.push(Finding::fail(DATABASE, seen, "use MariaDB 10.6 or MySQL 8.0.16, or newer"));
    }
    if !examined.durable {
        let seen = "the server says a commit is done before it is on its disk";
        let remedy = "set innodb_flush_log_at_trx_commit = 1, unless a cluster holds the copies";
        found.push(Finding::warn(DATABASE, seen, remedy));
    }
    if let Some(number) = examined.half_done {
        let seen = format!("migration {number} was begun and not ended");
        let remedy = "restore the server's backup of before, then start this version again";
        found.push(Finding::fail(DATABASE, seen, remedy));
    }
    let (had, newest) = (examined.migrated_to, examined.newest);
    found.push(tables(had, newest, examined.from_elsewhere, version));
    found.extend(examined.newest_row_at.map(|newest| clock(newest, now)));
    found
}

fn clock(newest: Timestamp, now: Timestamp) -> Finding {
    let seen = format!("{}, newest record of {}", time_text(now), time_text(newest));
    if newest > now.after(CLOCK_SLACK) {
        let remedy = "set the clock right (NTP): records of the future sort after all others";
        Finding::fail(CLOCK, format!("behind its own records: {seen}"), remedy)
    } else {
        Finding::ok(CLOCK, seen)
    }
}

fn tables(had: i64, newest: i64, from_elsewhere: bool, by: &str) -> Finding {
    if from_elsewhere {
        let seen = format!("tables are at {had}, of another version of Weft (this knows {newest})");
        return Finding::fail(DATABASE, seen, "run the version that made them, or a newer one");
    }
    let seen = format!("tables are at {had} of {newest}, {by}");
    if had < newest {
        Finding::warn(DATABASE, seen, "back up: the next start of this version brings them up")
    } else {
        Finding::ok(DATABASE, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use std::sync::Arc;
    use weft_hub::config::HubConfig;
    use weft_proto::codes::EndReason;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::ids::{ExchangeId, KeyId, UserId};
    use weft_proto::time::ManualClock;
    use weft_store::{Outcome, SqliteStore, Store};

    /// One outcome of an exchange that was admitted `at`.
    fn outcome(at: Timestamp) -> Outcome {
        let (clock, entropy) = (ManualClock::new(at), SeededEntropy::new(1));
        Outcome {
            end: EndReason::Complete,
            ..Outcome::begun(
                ExchangeId::generate(&clock, &entropy),
                UserId::generate(&clock, &entropy),
                KeyId::generate(&clock, &entropy),
                at,
            )
        }
    }

    #[tokio::test]
    async fn a_clock_behind_the_newest_record_is_a_failure_and_a_little_drift_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let newest = Timestamp::from_secs(1_900_000_000);
        let config = HubConfig { data: dir.path().to_owned(), ..HubConfig::default() };
        let store = SqliteStore::open(&dir.path().join("hub.sqlite")).await.unwrap();
        store.outcomes().append(&[outcome(newest)]).await.unwrap();
        store.close().await;
        for (behind_s, level) in [(0, Level::Ok), (60, Level::Ok), (86_400, Level::Fail)] {
            let now = Timestamp::from_secs(newest.as_secs() - behind_s);
            let subject = Subject {
                data: dir.path().to_owned(),
                config: config.clone(),
                settings: Ok(()),
                holder: None,
                addresses: None,
                clock: Arc::new(ManualClock::new(now)),
                now,
            };
            let found = database(&subject).await;
            let clock = found.iter().find(|finding| finding.check == CLOCK).unwrap();
            assert_eq!(clock.level, level, "{behind_s} s behind: {clock:?}");
            assert!(found.iter().all(|one| one.check == CLOCK || one.level == Level::Ok));
        }
    }
}
