//! Watches processes while they work: CPU time and memory, some times a second.
//!
//! The load is another process that warms up, measures and drains; its document says between which
//! two moments it measured. So what the contestants used is looked at all the time and read off at
//! those moments afterwards.

use super::kernel::{Census, Used};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use weft_proto::time::{Clock, SystemClock};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(50);
/// Looks that are kept; from then on every other one goes.
const LOOKS_MAX: usize = 40_000;

/// One look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// UNIX time in milliseconds.
    pub(crate) at_ms: f64,
    /// What was used until then.
    pub(crate) used: Used,
}

/// A thread that looks.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: SyncSender<()>,
    looking: JoinHandle<Vec<Look>>,
}

impl Watch {
    /// Begins to look at `roots` and their descendants.
    ///
    /// # Errors
    /// Where the machine gives no thread.
    pub(crate) fn begin(roots: Vec<u32>) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let looking = Builder::new().name("watch".to_owned()).spawn(move || {
            let mut looks = vec![look(&roots)];
            let mut every = EVERY;
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                looks.push(look(&roots));
                if looks.len() >= LOOKS_MAX {
                    let mut keep = false;
                    looks.retain(|_| {
                        keep = !keep;
                        keep
                    });
                    every *= 2;
                }
            }
            looks.push(look(&roots));
            looks
        })?;
        Ok(Self { stop, looking })
    }

    /// Ends it; what was seen.
    pub(crate) fn end(self) -> Seen {
        drop(self.stop);
        Seen(self.looking.join().unwrap_or_default())
    }
}

fn look(roots: &[u32]) -> Look {
    let at_ms = SystemClock.now().as_millis() as f64;
    Look { at_ms, used: Census::take().used(roots) }
}

/// What a watch has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen(Vec<Look>);

impl Seen {
    /// CPU time between two moments, in seconds: straight lines between looks.
    pub(crate) fn cpu_seconds(&self, from_ms: f64, until_ms: f64) -> f64 {
        (self.cpu_at(until_ms) - self.cpu_at(from_ms)).max(0.0)
    }

    fn cpu_at(&self, at_ms: f64) -> f64 {
        let behind = self.0.partition_point(|look| look.at_ms <= at_ms);
        let of = |look: &Look| look.used.cpu.as_secs_f64();
        match (behind.checked_sub(1).and_then(|at| self.0.get(at)), self.0.get(behind)) {
            (Some(one), Some(other)) if other.at_ms > one.at_ms => {
                let part = (at_ms - one.at_ms) / (other.at_ms - one.at_ms);
                of(one) + part * (of(other) - of(one))
            }
            (Some(look), _) | (None, Some(look)) => of(look),
            (None, None) => 0.0,
        }
    }

    /// The most memory seen, in KiB.
    pub(crate) fn resident_kib_max(&self) -> u64 {
        self.0.iter().map(|look| look.used.resident_kib).max().unwrap_or(0)
    }

    /// Memory over time: seconds since the first look, MiB.
    pub(crate) fn memory(&self) -> Vec<[f64; 2]> {
        let began = self.0.first().map_or(0.0, |look| look.at_ms);
        let point =
            |look: &Look| [(look.at_ms - began) / 1e3, look.used.resident_kib as f64 / 1_024.0];
        self.0.iter().map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(looks: &[(f64, u64)]) -> Seen {
        let look = |(at_ms, cpu_ms): &(f64, u64)| Look {
            at_ms: *at_ms,
            used: Used { cpu: Duration::from_millis(*cpu_ms), resident_kib: *cpu_ms },
        };
        Seen(looks.iter().map(look).collect())
    }

    #[test]
    fn cpu_time_is_read_between_looks() {
        let seen = seen(&[(0.0, 0), (100.0, 50), (200.0, 150)]);
        assert!((seen.cpu_seconds(50.0, 150.0) - 0.075).abs() < 1e-9);
        assert!((seen.cpu_seconds(-9.0, 900.0) - 0.150).abs() < 1e-9);
        assert!(Seen::default().cpu_seconds(0.0, 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_watch_sees_this_process_work() {
        let watch = Watch::begin(vec![std::process::id()]).expect("a thread");
        std::thread::sleep(2 * EVERY);
        let seen = watch.end();
        assert!(seen.resident_kib_max() > 0 && seen.memory().len() >= 2);
    }
}
