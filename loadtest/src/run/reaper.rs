//! Ends what a run has started when the run itself is gone: after a crash, a SIGKILL, a power cut
//! of its terminal.
//!
//! A second process of this program holds the reading end of a pipe. The run tells it every process
//! that it starts; when the pipe closes, whatever of those still runs is ended with all its
//! descendants, and the run's directory is removed. After a proper end there is nothing left to do.
//! Processes are known by id and start, because ids are given again; those that carry the run's
//! name in their environment are found even if they were not told of.

use super::kernel::Census;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The variable that says whose process it is. Not one of the product's own, which refuses those
/// that it does not know.
pub(crate) const OWNER: &str = "LOADTEST_RUN_OWNER";
/// How long processes are given to end by themselves.
const GRACE: Duration = Duration::from_secs(3);
/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Where the time of a process's start stands in its `stat`, behind the closing bracket.
const START_FIELD: usize = 19;
/// Processes that one run may tell of.
const TOLD_MAX: usize = 100_000;

/// A process by its id and its start in ticks since the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    pid: u32,
    started: u64,
}

impl Known {
    fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let started = fields.split_whitespace().nth(START_FIELD)?.parse().ok()?;
        Some(Self { pid, started })
    }

    fn parse(line: &str) -> Option<Self> {
        let (pid, started) = line.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// The run's end of the pipe.
#[derive(Debug, Clone)]
pub(crate) struct Reaper {
    pipe: Arc<Mutex<ChildStdin>>,
    owner: Arc<str>,
    _process: Arc<Mutex<Child>>,
}

impl Reaper {
    /// Starts the process that ends what is left; `dir` is removed then.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let owner: Arc<str> = format!("{}.{}", std::process::id(), dir.display()).into();
        let mut child = Command::new(program)
            .args(["run", "--reap", &owner])
            .arg("--reap-dir")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("the process that ends what a crash would leave")?;
        let pipe = child.stdin.take().context("its standard input")?;
        Ok(Self { pipe: Arc::new(Mutex::new(pipe)), owner, _process: Arc::new(Mutex::new(child)) })
    }

    /// What [`OWNER`] is to be in the environment of what is started.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Tells of a process that runs.
    pub(crate) fn mind(&self, pid: u32) {
        let Some(known) = Known::of(pid) else { return };
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(pipe, "{} {}", known.pid, known.started) {
            tracing::warn!(%error, "nobody would end what a crash leaves behind");
        }
    }
}

/// The other end: waits until the pipe closes, then ends what is left.
pub(crate) fn reap(owner: &str, dir: Option<PathBuf>) {
    let mut known = Vec::new();
    for line in std::io::stdin().lock().lines().take(TOLD_MAX) {
        let Ok(line) = line else { break };
        known.extend(Known::parse(&line));
    }
    let census = Census::take();
    let left = known.iter().filter(|known| known.lives());
    let mut left: Vec<u32> = left.flat_map(|known| census.family(known.pid)).collect();
    left.extend(census.family_of_owner(OWNER, owner));
    left.retain(|pid| *pid != std::process::id());
    end(&left, GRACE);
    if let Some(dir) = dir.filter(|dir| is_ours(dir)) {
        drop(std::fs::remove_dir_all(dir));
    }
}

/// Whether `dir` can be a run's: nothing else is ever removed.
fn is_ours(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(super::DIR_PREFIX))
}

/// Asks `pids` to end and forces those that still run after `grace`. Blocks for that long at most.
pub(crate) fn end(pids: &[u32], grace: Duration) {
    let mut left: Vec<Known> = pids.iter().filter_map(|pid| Known::of(*pid)).collect();
    signal(&left, Signal::TERM);
    let looks = grace.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        left.retain(|known| known.lives() && !is_zombie(known.pid));
        if left.is_empty() {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    signal(&left, Signal::KILL);
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('Z'))
}

fn signal(whom: &[Known], signal: Signal) {
    for known in whom.iter().filter(|known| known.lives()) {
        let Some(pid) = i32::try_from(known.pid).ok().and_then(Pid::from_raw) else { continue };
        if let Err(error) = kill_process(pid, signal) {
            tracing::debug!(%error, pid = known.pid, "a process took no signal");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_too() {
        let own = Known::of(std::process::id()).expect("this process");
        assert!(own.lives());
        assert!(!Known { started: own.started + 1, ..own }.lives());
        assert_eq!(Known::parse("7 12\n"), Some(Known { pid: 7, started: 12 }));
        assert_eq!(Known::parse("7"), None);
    }

    #[test]
    fn a_deaf_process_is_forced_to_end() {
        let mut deaf = Command::new("/bin/sh")
            .args(["-c", "trap '' TERM; while :; do sleep 0.1; done"])
            .spawn()
            .expect("a shell");
        std::thread::sleep(Duration::from_millis(200));
        let family = Census::take().family(deaf.id());
        end(&family, Duration::from_millis(200));
        assert!(!deaf.wait().expect("ended").success());
    }

    #[test]
    fn only_directories_of_runs_are_removed() {
        assert!(is_ours(Path::new("/tmp/weft-run-Xy12")));
        assert!(!is_ours(Path::new("/tmp")) && !is_ours(Path::new("/")));
    }
}
