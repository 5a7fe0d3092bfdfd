//! What the kernel says of a process: its CPU time and its memory.
//!
//! Reads `/proc` and nothing else; Linux only.

use serde::Serialize;
use std::fs;
use std::io;
use std::time::Duration;

/// The unit of `/proc/PID/stat` and `/proc/stat`: `USER_HZ`, which Linux has fixed at 100.
const TICKS_PER_SECOND: u64 = 100;
/// Where `utime` stands behind the closing bracket of a process's name; `stime` follows it.
const UTIME_FIELD: usize = 11;

/// One process: by its id, or this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The process that asks.
    Own,
    /// The process with this id.
    Pid(u32),
}

impl Who {
    fn read(self, file: &str) -> io::Result<String> {
        match self {
            Self::Own => fs::read_to_string(format!("/proc/self/{file}")),
            Self::Pid(pid) => fs::read_to_string(format!("/proc/{pid}/{file}")),
        }
    }

    /// CPU time spent since its start, in user and kernel mode. Whole hundredths of a second.
    ///
    /// # Errors
    /// Where the process is gone, or the kernel's text is not understood.
    pub(crate) fn cpu(self) -> io::Result<Duration> {
        let text = self.read("stat")?;
        cpu_of(&text).ok_or_else(|| unknown("stat"))
    }

    /// What it holds in memory now.
    ///
    /// # Errors
    /// Where the process is gone, or the kernel's text is not understood.
    pub(crate) fn memory(self) -> io::Result<Memory> {
        let text = self.read("smaps_rollup")?;
        Memory::of(&text).ok_or_else(|| unknown("smaps_rollup"))
    }

    /// How many files and sockets it may have open.
    ///
    /// # Errors
    /// Where the kernel's text is not understood.
    pub(crate) fn open_files_max(self) -> io::Result<u64> {
        let text = self.read("limits")?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
        let soft = line.and_then(|line| line.split_whitespace().next());
        match soft {
            Some("unlimited") => Ok(u64::MAX),
            Some(number) => number.parse().map_err(|_| unknown("limits")),
            None => Err(unknown("limits")),
        }
    }
}

/// Memory of one process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Resident: every page that it has mapped and that is in memory, shared ones too.
    pub(crate) rss_kib: u64,
    /// Its proportional share: a page that n processes map counts 1/n.
    pub(crate) pss_kib: u64,
}

impl Memory {
    fn of(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        Some(Self { rss_kib: field("Rss:")?, pss_kib: field("Pss:")? })
    }
}

/// CPU time that the whole machine has spent on work of any process since it came up.
///
/// # Errors
/// Where the kernel's text is not understood.
pub(crate) fn machine_cpu() -> io::Result<Duration> {
    machine_cpu_of(&fs::read_to_string("/proc/stat")?).ok_or_else(|| unknown("stat"))
}

/// The load averages over 1, 5 and 15 minutes, as the kernel writes them.
///
/// # Errors
/// Where the kernel gives none.
pub(crate) fn load_average() -> io::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

fn cpu_of(stat: &str) -> Option<Duration> {
    // The name may hold spaces and brackets of its own.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(UTIME_FIELD);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(ticks(user + kernel))
}

fn machine_cpu_of(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal: waiting is no work.
    let &[user, nice, system, _, _, irq, softirq, ..] = fields.as_slice() else { return None };
    Some(ticks(user + nice + system + irq + softirq))
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * (1_000 / TICKS_PER_SECOND))
}

fn unknown(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc: {file} is not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 90 0 0 0 150 50 0 0 20 0 3 0 1 2 3";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_of("7 (a) S 1"), None);
    }

    #[test]
    fn idle_and_waiting_are_no_work_of_the_machine() {
        let stat = "cpu  100 0 50 9000 800 10 40 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(machine_cpu_of(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn memory_is_read_in_kib() {
        let text = "5581-7ffe ---p 00000000 00:00 0 [rollup]\nRss:       9024 kB\nPss:  4512 kB\n\
            Pss_Dirty: 1 kB\n";
        assert_eq!(Memory::of(text), Some(Memory { rss_kib: 9_024, pss_kib: 4_512 }));
        assert_eq!(Memory::of("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        assert!(Who::Own.memory().expect("memory").rss_kib > 0);
        assert!(Who::Own.open_files_max().expect("limits") > 0);
        assert!(machine_cpu().expect("machine") >= Who::Own.cpu().expect("own"));
    }
}
