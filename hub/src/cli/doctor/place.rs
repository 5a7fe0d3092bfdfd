//! The data directory and the disk under it.

use super::{Finding, Subject};
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use weft_hub::admin::TOKEN_FILE;
use weft_hub::app::{CERTS_DIR, LEDGER_DIR, RESET_KEY_FILE, holder};
use weft_hub::config::CONFIG_FILE;
use weft_hub::ledger::claims::TICKET_KEY_FILE;
use weft_hub::ledger_key::LEDGER_KEY_FILE;
use weft_proto::causes::causes;

/// Free space below which the hub is about to stop recording, bytes.
const FREE_BYTES_FAIL: u64 = 64 * 1024 * 1024;
/// Free space below which somebody should act, bytes.
const FREE_BYTES_WARN: u64 = 1024 * 1024 * 1024;
/// Free inodes below which somebody should act.
const FREE_INODES_WARN: u64 = 1_000;
/// A write with its sync that takes longer is slow: each outcome waits for one.
const SYNC_WARN: Duration = Duration::from_millis(100);
/// Bytes of the probe that is written.
const PROBE_BYTES: usize = 4 * 1024;
/// Permission bits that let others in.
const FOREIGN_MODE: u32 = 0o077;

const DIRECTORY: &str = "directory";
const DISK: &str = "disk";

/// Owner and modes of the directory and its secrets, and who holds it.
pub(super) fn directory(subject: &Subject) -> Vec<Finding> {
    let data = subject.data.as_path();
    let shown = data.display();
    let mut found = Vec::new();
    let owner = match std::fs::metadata(data) {
        Ok(meta) if meta.is_dir() => meta.uid(),
        Ok(_) => {
            let seen = format!("{shown} is no directory");
            return vec![Finding::fail(DIRECTORY, seen, "give another one with --data")];
        }
        Err(error) => {
            let seen = format!("{shown}: {error}");
            let remedy = format!("make a hub with \"weft-hub init --data {shown}\"");
            return vec![Finding::fail(DIRECTORY, seen, remedy)];
        }
    };
    let own = rustix::process::geteuid().as_raw();
    if owner == own {
        found.push(Finding::ok(DIRECTORY, format!("{shown} belongs to this user ({own})")));
    } else {
        let seen = format!("{shown} belongs to user {owner}, and this is user {own}");
        let remedy = "run the hub and its commands as the owner, or chown the directory";
        found.push(Finding::warn(DIRECTORY, seen, remedy));
    }
    let secrets = [
        ".",
        CONFIG_FILE,
        TOKEN_FILE,
        RESET_KEY_FILE,
        LEDGER_KEY_FILE,
        TICKET_KEY_FILE,
        LEDGER_DIR,
        CERTS_DIR,
    ];
    found.extend(secrets.iter().filter_map(|name| exposed(data, name)));
    found.push(match holder(data) {
        Ok(Some(holder)) => Finding::ok(DIRECTORY, format!("held: {holder} runs on it")),
        Ok(None) => Finding::ok(DIRECTORY, "no hub runs on it"),
        Err(error) => Finding::fail(
            DIRECTORY,
            causes(&error),
            "let this user read hub.lock, or run doctor as the hub's user",
        ),
    });
    found
}

fn exposed(data: &Path, name: &str) -> Option<Finding> {
    let path = data.join(name);
    let meta = std::fs::metadata(&path).ok()?;
    let mode = meta.mode() & 0o777;
    (mode & FOREIGN_MODE != 0).then(|| {
        let path = path.display();
        let right = if meta.is_dir() { 700 } else { 600 };
        let seen = format!("{path} can be reached by other users (mode {mode:03o})");
        Finding::warn(DIRECTORY, seen, format!("chmod {right} {path}"))
    })
}

/// Free space and inodes where the hub writes, and how long a write takes to be safe.
pub(super) fn disk(subject: &Subject) -> Vec<Finding> {
    let mut folders = vec![subject.data.clone()];
    if let Some(folder) = subject.config.database().file().and_then(Path::parent)
        && folder != subject.data
    {
        folders.push(folder.to_owned());
    }
    folders.iter().flat_map(|folder| [space(folder), probe(folder)]).collect()
}

fn space(folder: &Path) -> Finding {
    let shown = folder.display();
    let stat = match statvfs(folder) {
        Ok(stat) => stat,
        Err(error) => {
            return Finding::fail(DISK, format!("{shown}: {error}"), "see whether it is mounted");
        }
    };
    if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let remedy = "mount it for writing: nothing can be recorded";
        return Finding::fail(DISK, format!("{shown} is mounted read-only"), remedy);
    }
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    // Some file systems make inodes as they go and say 0 of 0.
    let inodes_few = stat.f_files > 0 && stat.f_favail < FREE_INODES_WARN;
    let seen = format!("{} MiB free under {shown}", free_bytes / (1024 * 1024));
    let remedy = "make room: without it outcomes wait in memory, then requests are refused";
    if free_bytes < FREE_BYTES_FAIL {
        Finding::fail(DISK, seen, remedy)
    } else if inodes_few {
        Finding::warn(DISK, format!("{seen}, {} inodes", stat.f_favail), remedy)
    } else if free_bytes < FREE_BYTES_WARN {
        Finding::warn(DISK, seen, remedy)
    } else {
        Finding::ok(DISK, seen)
    }
}

fn probe(folder: &Path) -> Finding {
    let path = folder.join(format!(".doctor.{}.probe", std::process::id()));
    let began = Instant::now();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(&[0; PROBE_BYTES]).and_then(|()| file.sync_all()));
    let took = began.elapsed();
    // Gone in either case; where it cannot be removed it could not be made.
    drop(std::fs::remove_file(&path));
    let shown = folder.display();
    let seen = format!("{PROBE_BYTES} bytes written and synced under {shown} in {took:.1?}");
    match written {
        Err(error) => Finding::fail(
            DISK,
            format!("nothing can be written under {shown}: {error}"),
            "make room, mount it for writing, or give it to the hub's user",
        ),
        Ok(()) if took > SYNC_WARN => {
            Finding::warn(DISK, seen, "put the data directory on a faster disk")
        }
        Ok(()) => Finding::ok(DISK, seen),
    }
}
