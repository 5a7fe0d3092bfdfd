//! Ends the processes of a link, those of a run that is on and those that a dead run left behind.
//!
//! Whatever is started in a link carries its owner's name in its environment: the process that laid
//! the link, and when it was started. That name is all there is to find leftovers by; nothing is
//! written to a disk. Namespaces and devices need no sweeping: the kernel takes them down when
//! their last process is gone. A process is signalled by a descriptor that cannot come to mean
//! another one.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::Instant;

/// The variable that says whose process it is.
pub(super) const OWNER: &str = "WEFT_LINK_OWNER";

/// Bytes of a process's environment that are searched.
const ENVIRONMENT_BYTES_MAX: u64 = 4 * 1_024 * 1_024;
/// How often processes that were asked to end are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the kernel may take to end those that were not asked.
const FORCED_WITHIN: Duration = Duration::from_secs(5);
/// Where the time of a process's start stands in its `stat`, behind the closing bracket.
const START_FIELD: usize = 19;

/// A process that lays links: its id, and its start in ticks since the machine's, because ids are
/// given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pid: Pid,
    started: u64,
}

impl Owner {
    /// This process.
    pub(super) fn own() -> io::Result<Self> {
        let pid = rustix::process::getpid();
        let started = started(pid).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pid, started })
    }

    fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pid, self.started)
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (pid, started) = text.split_once('.').ok_or(())?;
        Ok(Self { pid: pid_in(pid).ok_or(())?, started: started.parse().map_err(drop)? })
    }
}

/// Which processes are meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose<'a> {
    /// All in these namespaces, by their inodes.
    In(&'a [u64]),
    /// Those whose owner is dead, in namespaces that are not this process's.
    Orphans,
}

impl Whose<'_> {
    fn has(self, pid: Pid) -> bool {
        let Some(network) = network(Some(pid)) else { return false };
        match self {
            Self::In(inodes) => inodes.contains(&network),
            Self::Orphans => {
                network_of_own() != Some(network) && owner(pid).is_some_and(|owner| !owner.lives())
            }
        }
    }

    /// All of them that run now; this process is none of them.
    pub(super) fn all(self) -> Vec<Pid> {
        let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
        let own = rustix::process::getpid();
        let pids = folder.flatten().filter_map(|entry| pid_in(entry.file_name().to_str()?));
        pids.filter(|pid| *pid != own && self.has(*pid)).collect()
    }

    /// Sends them a signal; returns how many there were.
    pub(super) fn signal(self, signal: Signal) -> usize {
        let pids = self.all();
        for pid in &pids {
            let Ok(descriptor) = pidfd_open(*pid, PidfdFlags::empty()) else { continue };
            // Looked at again: the id may have been given away before it was held.
            if self.has(*pid)
                && let Err(error) = pidfd_send_signal(&descriptor, signal)
            {
                tracing::debug!(%error, %pid, "a process of a link took no signal");
            }
        }
        pids.len()
    }

    /// Asks them to end, forces those that still run after `grace`, and returns how many there
    /// were in the beginning, and how many nothing could end.
    ///
    /// # Cancel safety
    /// Dropped, some may run on.
    pub(super) async fn end(self, grace: Duration) -> (usize, usize) {
        let found = self.signal(Signal::TERM);
        if found == 0 || self.gone(grace).await {
            return (found, 0);
        }
        let began = Instant::now();
        // Again and again: what forks while it is forced has a child.
        while self.signal(Signal::KILL) > 0 && began.elapsed() < FORCED_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        (found, self.all().len())
    }

    async fn gone(self, within: Duration) -> bool {
        let began = Instant::now();
        while !self.all().is_empty() {
            if began.elapsed() > within {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }
}

/// The process id in `text`: a number above zero.
fn pid_in(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok().filter(|pid| *pid > 0)?)
}

/// The network namespace of a process, or of this one's first thread.
fn network(pid: Option<Pid>) -> Option<u64> {
    let who = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    Some(std::fs::metadata(format!("/proc/{who}/ns/net")).ok()?.ino())
}

fn network_of_own() -> Option<u64> {
    network(None)
}

fn owner(pid: Pid) -> Option<Owner> {
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment).ok()?;
    owner_in(&environment)
}

fn owner_in(environment: &[u8]) -> Option<Owner> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables
        .find_map(|variable| variable.strip_prefix(OWNER.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn started(pid: Pid) -> Option<u64> {
    started_in(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn started_in(stat: &str) -> Option<u64> {
    // The name may hold spaces and brackets of its own.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(START_FIELD)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_names_its_owner_and_knows_whether_it_lives() {
        let own = Owner::own().expect("a process");
        assert!(own.lives());
        assert_eq!(own.to_string().parse(), Ok(own));
        // The same id, started at another time, is somebody else.
        assert!(!Owner { started: own.started + 1, ..own }.lives());
        for text in ["", "7", "0.7", "-4.7", "7.", "7.x", ".7"] {
            assert!(text.parse::<Owner>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_owner_is_found_in_an_environment_and_nowhere_else() {
        let found = |environment: &[u8]| owner_in(environment).map(|owner| owner.to_string());
        assert_eq!(found(b"A=1\0WEFT_LINK_OWNER=12.34\0B=2\0"), Some("12.34".to_owned()));
        assert_eq!(found(b"X=WEFT_LINK_OWNER=12.34\0"), None);
        assert_eq!(found(b"WEFT_LINK_OWNERS=12.34\0"), None);
        assert_eq!(found(b""), None);
    }

    #[test]
    fn the_start_is_found_behind_a_name_with_brackets() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 90 0 0 0 150 50 0 0 20 0 3 0 4711 2 3";
        assert_eq!(started_in(stat), Some(4_711));
        assert_eq!(started_in("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_neither_an_orphan_nor_its_own_prey() {
        assert!(!Whose::Orphans.has(rustix::process::getpid()));
        let own = network_of_own().expect("a namespace");
        assert!(!Whose::In(&[own]).all().contains(&rustix::process::getpid()));
    }
}
