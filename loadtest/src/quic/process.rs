//! What an end has cost so far: its CPU time and its memory, as the kernel counts them.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;

/// Costs of one process since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Usage {
    /// CPU time of all its threads, in user and kernel mode.
    pub(super) cpu_micros: u64,
    /// Resident memory now.
    pub(super) rss_kib: u64,
}

impl Usage {
    /// This process's.
    pub(super) fn own() -> io::Result<Self> {
        let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status")?;
        let rss_kib = resident(&status).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { cpu_micros: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX), rss_kib })
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_kib() {
        assert_eq!(resident("VmHWM:\t 9 kB\nVmRSS:\t    4711 kB\n"), Some(4_711));
        assert_eq!(resident("VmRSS:\t4711\n"), None);
        assert!(Usage::own().expect("this process").rss_kib > 0);
    }
}
