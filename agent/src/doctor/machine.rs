//! What the machine gives: the directory, its space, its lock, UDP buffers.

use super::Finding;
use crate::datadir::DataDir;
use rustix::fs::statvfs;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use weft_proto::causes::causes;
use weft_transport::endpoint;

/// Below so many free bytes an agent is about to fail, and below so many it soon may.
const FREE_BYTES: (u64, u64) = (16 << 20, 256 << 20);
/// The same of inodes: an agent's files are replaced by new ones.
const FREE_INODES: (u64, u64) = (16, 1_024);
/// UDP buffers that are asked for, in bytes.
const UDP_BUFFER_BYTES: usize = 8 << 20;
/// Permission bits that nobody but the owner needs.
const OTHERS_MASK: u32 = 0o077;
/// The file that is made and removed to see whether files can be.
const TRIAL_FILE: &str = "doctor.new";
/// Files whose secrets the agent refuses when others may read them.
const SECRET_FILES: [&str; 2] = ["vault.key", "identity/agent.key"];
/// Files that are made for their owner alone.
const PRIVATE_FILES: [&str; 3] = ["vault", "identity/hub.json", "status.json"];

/// Everything about the directory that can be seen without its contents.
pub(super) fn directory(data: &DataDir) -> Vec<Finding> {
    vec![modes(data), writable(data), space(data), lock(data)]
}

fn mode_of(path: &std::path::Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

fn modes(data: &DataDir) -> Finding {
    let root = data.root();
    let check = "permissions";
    let open = |name: &str| {
        let mode = mode_of(&root.join(name)).ok().filter(|mode| mode & OTHERS_MASK != 0)?;
        Some(format!("{name} is {mode:03o}"))
    };
    let exposed: Vec<String> = SECRET_FILES.iter().filter_map(|name| open(name)).collect();
    let remedy = format!(
        "run `chmod -R go= {}`, and think about whether the keys were seen",
        root.display()
    );
    if !exposed.is_empty() {
        return Finding::fail(check, exposed.join(", "), remedy);
    }
    let others: Vec<String> = match mode_of(root) {
        Ok(mode) if mode & OTHERS_MASK != 0 => vec![format!("the directory is {mode:03o}")],
        Ok(_) | Err(_) => Vec::new(),
    };
    let others: Vec<String> =
        others.into_iter().chain(PRIVATE_FILES.iter().filter_map(|name| open(name))).collect();
    if others.is_empty() {
        Finding::ok(check, "the directory and its files are their owner's alone")
    } else {
        Finding::warn(check, others.join(", "), remedy)
    }
}

fn writable(data: &DataDir) -> Finding {
    let trial = data.root().join(TRIAL_FILE);
    let tried = crate::datadir::replace_file(&trial, b"").and_then(|()| fs::remove_file(&trial));
    match tried {
        Ok(()) => {
            Finding::ok("data directory", format!("{} can be written", data.root().display()))
        }
        Err(error) => Finding::fail(
            "data directory",
            format!("{} cannot be written: {error}", data.root().display()),
            "run this as the agent's user; make the file system writable and the user its owner",
        ),
    }
}

fn space(data: &DataDir) -> Finding {
    let check = "disk";
    let seen = match statvfs(data.root()) {
        Ok(seen) => seen,
        Err(error) => {
            let remedy = "look at the file system by hand: `df` and `df -i`";
            return Finding::warn(check, format!("it does not tell: {error}"), remedy);
        }
    };
    let free = seen.f_bavail.saturating_mul(seen.f_frsize);
    // File systems without a table of inodes say that there are none at all.
    let inodes = if seen.f_files == 0 { u64::MAX } else { seen.f_favail };
    let saw = match seen.f_files {
        0 => format!("{} MiB free", free >> 20),
        _ => format!("{} MiB and {inodes} inodes free", free >> 20),
    };
    let remedy = "free some space: a full disk loses the next account, key or certificate";
    if free < FREE_BYTES.0 || inodes < FREE_INODES.0 {
        Finding::fail(check, saw, remedy)
    } else if free < FREE_BYTES.1 || inodes < FREE_INODES.1 {
        Finding::warn(check, saw, remedy)
    } else {
        Finding::ok(check, saw)
    }
}

fn lock(data: &DataDir) -> Finding {
    match data.is_running() {
        Ok(true) => Finding::ok("lock", "an agent runs on this directory"),
        Ok(false) => Finding::ok("lock", "no agent runs on this directory"),
        Err(error) => {
            Finding::fail("lock", causes(&error), "run this as the agent's user, or mend run.lock")
        }
    }
}

/// The UDP buffers that the system gives.
pub(super) fn buffers() -> Finding {
    let check = "UDP buffers";
    match endpoint::bind_udp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))) {
        Ok((udp, got)) => {
            drop(udp);
            let least = got.receive.min(got.send);
            let kib = |bytes: usize| bytes / 1024;
            let saw = format!("receive {} KiB, send {} KiB", kib(got.receive), kib(got.send));
            if least >= UDP_BUFFER_BYTES {
                return Finding::ok(check, saw);
            }
            let remedy = format!(
                "for fast links: `sysctl -w net.core.rmem_max={UDP_BUFFER_BYTES} \
                 net.core.wmem_max={UDP_BUFFER_BYTES}`, and the same lines in /etc/sysctl.d"
            );
            Finding::warn(check, saw, remedy)
        }
        Err(error) => Finding::fail(
            check,
            format!("no UDP socket: {error}"),
            "allow UDP sockets: the hub is reached over QUIC",
        ),
    }
}
