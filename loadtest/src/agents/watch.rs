//! What the kernel says of the hub and of this process, and how far a run has come.

use super::report::{HubFigures, Own, millis};
use super::settings::Impossible;
use crate::bench::process::Who;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Nothing is drawn for what takes no longer.
const QUIET: Duration = Duration::from_secs(2);

/// The hub's process.
#[derive(Debug)]
pub(super) struct HubWatch {
    pid: u32,
    figures: HubFigures,
    since: Duration,
}

impl HubWatch {
    /// Looks at the process before there are agents.
    ///
    /// # Errors
    /// [`Impossible::Process`] where it cannot be looked at.
    pub(super) fn begin(pid: u32) -> Result<Self, Impossible> {
        let who = Who::Pid(pid);
        let (Ok(before), Ok(since)) = (who.memory(), who.cpu()) else {
            return Err(Impossible::Process(pid));
        };
        let figures = HubFigures {
            pid,
            before,
            with_agents: None,
            at_end: None,
            kib_per_agent: None,
            open_cpu_ms: None,
            hold_cpu_ms: None,
        };
        Ok(Self { pid, figures, since })
    }

    /// CPU time since the last look.
    fn spent(&mut self) -> io::Result<Duration> {
        let now = Who::Pid(self.pid).cpu()?;
        let spent = now.saturating_sub(self.since);
        self.since = now;
        Ok(spent)
    }

    /// Looks again, now that `count` agents are in service.
    ///
    /// # Errors
    /// Where the process is gone.
    pub(super) fn with_agents(&mut self, count: usize) -> io::Result<()> {
        self.figures.open_cpu_ms = Some(millis(self.spent()?));
        let memory = Who::Pid(self.pid).memory()?;
        self.figures.with_agents = Some(memory);
        let grown = memory.rss_kib as f64 - self.figures.before.rss_kib as f64;
        self.figures.kib_per_agent = (count > 0).then(|| grown / count as f64);
        Ok(())
    }

    /// Looks again after a hold, and returns its CPU time.
    ///
    /// # Errors
    /// Where the process is gone.
    pub(super) fn held(&mut self) -> io::Result<Duration> {
        let spent = self.spent()?;
        self.figures.hold_cpu_ms = Some(millis(spent));
        Ok(spent)
    }

    /// What was seen.
    pub(super) fn figures(&self) -> HubFigures {
        HubFigures { at_end: Who::Pid(self.pid).memory().ok(), ..self.figures }
    }
}

/// What this process costs.
pub(super) fn own() -> Own {
    Own {
        rss_kib: Who::Own.memory().map_or(0, |memory| memory.rss_kib),
        cpu_ms: Who::Own.cpu().map_or(0.0, millis),
        open_files: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
    }
}

/// Memory that may be had without taking another's, in KiB; none where the kernel does not say.
pub(super) fn free_kib() -> Option<u64> {
    available(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A bar on standard error, where that is a terminal and something takes long.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    began: Instant,
}

impl Bar {
    /// Nothing is drawn yet.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len} {elapsed}")
        {
            bar.set_style(style);
        }
        Self { bar, began: Instant::now() }
    }

    /// Something of `of` steps begins.
    pub(super) fn begin(&self, what: &str, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(0);
        self.bar.set_message(what.to_owned());
        tracing::debug!(what, of, "agents");
    }

    /// It has come so far.
    pub(super) fn at(&self, done: usize) {
        if self.bar.is_hidden() && self.began.elapsed() > QUIET {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done as u64);
    }

    /// Nothing more is drawn.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_free_is_read_in_kib() {
        let text = "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:   23456 kB\n";
        assert_eq!(available(text), Some(23_456));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_refused_with_its_id() {
        let error = HubWatch::begin(u32::MAX).expect_err("nobody");
        assert!(error.to_string().contains(&u32::MAX.to_string()));
    }
}
