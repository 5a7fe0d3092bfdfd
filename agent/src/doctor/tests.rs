//! The doctor on directories that are whole and directories that are not.

use super::*;
use crate::uplink::{HubRecord, IdentityFiles};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use weft_certs::{AGENT_LIFETIME, Authority};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AgentId, HubId};
use weft_proto::tables::hosts::HostTable;
use weft_proto::time::{Clock, ManualClock, SystemClock, Timestamp};

fn joined() -> (tempfile::TempDir, DataDir) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let hub = HubId::generate(&SystemClock, &OsEntropy);
    let ca = dir.path().join("ca");
    let authority = Authority::create(&ca, hub, &[], &SystemClock, &OsEntropy).expect("authority");
    let data = DataDir::open(dir.path().join("agent")).expect("data");
    let files = IdentityFiles::new(data.clone());
    let key = files.joining_key(&OsEntropy).expect("key");
    let agent = AgentId::generate(&SystemClock, &OsEntropy);
    let chain = authority.sign_agent(&key.csr_der(), agent, &SystemClock).expect("sign");
    let addresses = vec!["127.0.0.1:9".parse().expect("address")];
    files.save(&chain, &HubRecord { hub, pins: authority.pins(), addresses }).expect("save");
    (dir, data)
}

fn at(data: &DataDir, now: Timestamp) -> Vec<Finding> {
    identity::look(data, &ManualClock::new(now)).1
}

fn level(findings: &[Finding], check: &str) -> Level {
    findings.iter().find(|one| one.check == check).unwrap_or_else(|| panic!("{check}")).level
}

#[test]
fn a_certificate_is_told_by_its_days_and_a_clock_by_what_was_written() {
    let (_dir, data) = joined();
    let now = SystemClock.now();
    let fresh = at(&data, now);
    assert_eq!(level(&fresh, "identity"), Level::Ok);
    assert_eq!(level(&fresh, "certificate"), Level::Ok);
    assert_eq!(level(&fresh, "clock"), Level::Ok);
    assert!(fresh[1].saw.contains("13 days left") || fresh[1].saw.contains("14 days left"));
    let due = at(&data, now.after(AGENT_LIFETIME - Duration::from_secs(86_400)));
    assert_eq!(level(&due, "certificate"), Level::Warn);
    let late = at(&data, now.after(AGENT_LIFETIME * 2));
    assert_eq!(level(&late, "certificate"), Level::Warn);
    let too_late = at(&data, now.after(AGENT_LIFETIME * 10));
    assert_eq!(level(&too_late, "certificate"), Level::Fail);
    let hour = 3_600;
    let behind = at(&data, Timestamp::from_secs(now.as_secs() - hour));
    assert_eq!(level(&behind, "clock"), Level::Fail);
    // The certificate was made in time; a file here is of a time to come.
    let touched = fs::File::options().append(true).open(data.identity_dir().join("agent.pem"));
    let ahead = std::time::UNIX_EPOCH + Duration::from_secs(now.as_secs() + hour);
    touched.expect("open").set_modified(ahead).expect("touch");
    assert_eq!(level(&at(&data, now), "clock"), Level::Warn);
}

#[test]
fn a_broken_identity_is_a_finding_with_a_remedy() {
    let (_dir, data) = joined();
    fs::remove_file(data.identity_dir().join("agent.pem")).expect("remove");
    let (known, findings) = identity::look(&data, &SystemClock);
    assert!(known.is_none());
    assert_eq!(level(&findings, "identity"), Level::Fail);
    assert!(findings[0].remedy.as_deref().is_some_and(|remedy| remedy.contains("join")));
}

#[test]
fn files_that_others_can_read_are_found() {
    let (_dir, data) = joined();
    assert_eq!(level(&machine::directory(&data), "permissions"), Level::Ok);
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    chmod(data.root(), 0o755);
    assert_eq!(level(&machine::directory(&data), "permissions"), Level::Warn);
    chmod(data.root(), 0o700);
    chmod(&data.identity_dir().join("agent.key"), 0o640);
    let findings = machine::directory(&data);
    assert_eq!(level(&findings, "permissions"), Level::Fail);
    for check in ["data directory", "disk", "lock"] {
        assert_ne!(level(&findings, check), Level::Fail, "{check}");
    }
    let lock = data.lock_run().expect("lock");
    let held = machine::directory(&data);
    assert!(held.iter().any(|one| one.check == "lock" && one.saw.contains("an agent runs")));
    drop(lock);
    assert!(!data.root().join("doctor.new").exists());
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = dir.path().join("none");
    let findings = examine(&root, Parts::system(HostTable::official())).await;
    assert_eq!(level(&findings, "data directory"), Level::Fail);
    assert!(!root.exists());
}

#[tokio::test]
async fn a_hub_that_does_not_answer_fails_in_time_and_says_what_to_do() {
    let (_dir, data) = joined();
    let examining = examine(data.root(), Parts::system(HostTable::official()));
    let findings = tokio::time::timeout(Duration::from_secs(40), examining).await.expect("bounded");
    let hub = findings.iter().find(|one| one.check == "hub 127.0.0.1:9").expect("hub");
    assert_eq!(hub.level, Level::Fail);
    assert!(hub.remedy.as_deref().is_some_and(|remedy| remedy.contains("UDP")));
    assert_eq!(level(&findings, "vault"), Level::Warn);
    assert_eq!(level(&findings, "identity"), Level::Ok);
}
