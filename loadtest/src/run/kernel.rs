//! What the kernel says of processes and their descendants: CPU time, memory, open files.
//!
//! Peers fork: a server has workers, a daemon a process for each connection. So whatever is asked
//! of a process is asked of all that descend from it. Reads `/proc` and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// The unit of `/proc/PID/stat`: `USER_HZ`, which Linux has fixed at 100.
const TICK_MILLIS: u64 = 10;
/// Where fields stand in `stat`, behind the closing bracket of the name.
const PARENT: usize = 1;
const UTIME: usize = 11;
const STIME: usize = 12;
const CHILDREN_UTIME: usize = 13;
const CHILDREN_STIME: usize = 14;
const RESIDENT_PAGES: usize = 21;

/// One process, as `stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Its own time, and that of its children that have ended.
    ticks: u64,
    pages: u64,
}

impl Stat {
    fn of(text: &str) -> Option<Self> {
        // The name may hold spaces and brackets of its own.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let ticks =
            number(UTIME)? + number(STIME)? + number(CHILDREN_UTIME)? + number(CHILDREN_STIME)?;
        let parent = u32::try_from(number(PARENT)?).ok()?;
        Some(Self { parent, ticks, pages: number(RESIDENT_PAGES)? })
    }
}

/// All processes of the machine at one moment.
#[derive(Debug)]
pub(crate) struct Census(BTreeMap<u32, Stat>);

impl Census {
    /// Looks at all of them.
    pub(crate) fn take() -> Self {
        let folder = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = folder.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let stat = |pid: u32| {
            Some((pid, Stat::of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
        };
        Self(pids.filter_map(stat).collect())
    }

    /// `root` and all that descend from it, and run.
    pub(crate) fn family(&self, root: u32) -> Vec<u32> {
        let mut found = vec![root];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            let children = self.0.iter().filter(|(_, stat)| stat.parent == parent);
            found.extend(children.map(|(pid, _)| *pid).filter(|pid| *pid != root));
            at += 1;
        }
        found.retain(|pid| self.0.contains_key(pid));
        found
    }

    /// Those that carry `variable=value` in their environment, each with its descendants.
    pub(crate) fn family_of_owner(&self, variable: &str, value: &str) -> Vec<u32> {
        let wanted = format!("{variable}={value}");
        let carries = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|each| each == wanted.as_bytes())
        };
        let roots: Vec<u32> = self.0.keys().copied().filter(carries).collect();
        roots.into_iter().flat_map(|root| self.family(root)).collect()
    }

    /// What all of `roots` and their descendants have used until now.
    pub(crate) fn used(&self, roots: &[u32]) -> Used {
        let page_kib = rustix::param::page_size() as u64 / 1_024;
        let mut used = Used::default();
        for pid in roots.iter().flat_map(|root| self.family(*root)) {
            let Some(stat) = self.0.get(&pid) else { continue };
            used.cpu += Duration::from_millis(stat.ticks * TICK_MILLIS);
            used.resident_kib += stat.pages * page_kib;
        }
        used
    }
}

/// What processes have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Used {
    /// CPU time since their start, in hundredths of a second.
    pub(crate) cpu: Duration,
    /// Resident memory now, pages that are shared counted each time.
    pub(crate) resident_kib: u64,
}

/// Open files and threads of one process now; nothing where it is gone.
pub(crate) fn held(pid: u32) -> Option<Held> {
    let entries = |folder: &str| {
        Some(fs::read_dir(format!("/proc/{pid}/{folder}")).ok()?.flatten().count() as u64)
    };
    Some(Held { files: entries("fd")?, threads: entries("task")? })
}

/// What a process holds besides memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Open descriptors.
    pub(crate) files: u64,
    /// Threads.
    pub(crate) threads: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_children_that_ended_counts() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 90 0 0 0 150 50 3 7 20 0 3 0 1 2 33 4";
        assert_eq!(Stat::of(stat), Some(Stat { parent: 1, ticks: 210, pages: 33 }));
        assert_eq!(Stat::of("7 (a) S 1"), None);
    }

    #[test]
    fn descendants_are_found_however_deep_and_strangers_are_not() {
        let stat = |parent| Stat { parent, ticks: 1, pages: 1 };
        let census =
            Census([(1, stat(0)), (5, stat(1)), (6, stat(5)), (9, stat(6)), (7, stat(1))].into());
        assert_eq!(census.family(5), vec![5, 6, 9]);
        assert_eq!(census.used(&[5]).cpu, Duration::from_millis(30));
        assert!(census.family(4).is_empty());
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let own = std::process::id();
        assert!(Census::take().used(&[own]).resident_kib > 0);
        assert!(held(own).is_some_and(|held| held.files > 2 && held.threads > 0));
    }
}
