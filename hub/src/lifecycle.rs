//! The life of the process: who owns its tasks, and the order in which they stop.
//!
//! Tasks belong to a [`Stage`]. A stop walks the stages in order: new work is refused and running
//! work may finish up to the drain limit, then what carried the work goes, then what recorded it.
//! A second request to stop, or the drain limit, cuts the work short; records always
//! get their grace, so that an outcome is written even for an exchange that was cut.
//!
//! Invariants: this is the only place of the hub that spawns; every task ends before
//! [`Lifecycle::run`] returns, or is counted as left behind; a critical task that ends before it was
//! asked to stops the whole hub, and the process exits with a failure. It never knows what the
//! tasks do.

mod readiness;
mod signals;
#[cfg(test)]
mod tests;

pub use readiness::{NotReady, Readiness};
pub use signals::Signals;

use futures_util::FutureExt;
use signals::Signal;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tunnels and doors get to close once the work has ended, seconds.
const CARRIERS_GRACE_SECONDS: u64 = 5;
/// How long writers get to flush once nothing is left to record, seconds.
const RECORDS_GRACE_SECONDS: u64 = 10;
/// How long tasks that were cut off get to unwind, seconds.
const KILLED_GRACE_SECONDS: u64 = 2;

/// When a task is asked to stop, in the order of a graceful stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Accepts or does users' work: the users' door, exchanges. Asked first, waited for up to the
    /// drain limit.
    Work = 0,
    /// Carries work: tunnels, the agents' door, the admin door. Asked once no work is left.
    Carriers = 1,
    /// Records what happened: writers of outcomes. Asked last, when nothing can add a record.
    Records = 2,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Work, Self::Carriers, Self::Records];
}

/// How a run of the hub ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Ended {
    /// A critical task ended, failed or panicked before it was asked to stop.
    pub failed: bool,
    /// Some work was cut: the drain limit passed, or a second signal came.
    pub forced: bool,
}

impl Ended {
    /// The exit code that a service manager should see.
    #[must_use]
    pub fn exit_code(self) -> std::process::ExitCode {
        if self.failed { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS }
    }
}

/// Spawns tasks and asks them to stop. Cheap to clone; every clone means the same hub.
#[derive(Clone)]
pub struct Tasks(Arc<Shared>);

struct Shared {
    stages: [StageTasks; 3],
    /// Cancelled by the first request to stop, whoever makes it.
    asked: CancellationToken,
    /// Cancelled by the second.
    forced: CancellationToken,
    failed: AtomicBool,
}

#[derive(Default)]
struct StageTasks {
    tracker: TaskTracker,
    /// Child of `kill`: who is cut off also reads as asked to stop.
    stop: CancellationToken,
    kill: CancellationToken,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = Stage::ALL.map(|stage| self.stage(stage).tracker.len());
        f.debug_struct("Tasks")
            .field("running", &running)
            .field("stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}

impl Tasks {
    /// Tasks of a hub that was not asked to stop yet.
    #[must_use]
    pub fn new() -> Self {
        let stages = Stage::ALL.map(|_| {
            let kill = CancellationToken::new();
            StageTasks { tracker: TaskTracker::new(), stop: kill.child_token(), kill }
        });
        Self(Arc::new(Shared {
            stages,
            asked: CancellationToken::new(),
            forced: CancellationToken::new(),
            failed: AtomicBool::new(false),
        }))
    }

    /// Runs `future` as a task of `stage`. It is dropped where it stands when its stage is cut off;
    /// a panic in it is logged and ends nothing else.
    pub fn spawn<F>(&self, stage: Stage, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let kill = self.stage(stage).kill.clone();
        self.spawn_tracked(stage, async move {
            tokio::select! {
                biased;
                () = kill.cancelled() => tracing::debug!(task = name, "task cut off"),
                ended = AssertUnwindSafe(future).catch_unwind() => {
                    if ended.is_err() {
                        tracing::error!(task = name, "task panicked");
                    }
                }
            }
        });
    }

    /// Runs `future` as a task without which the hub must not go on: when it returns, fails or
    /// panics before its stage was asked to stop, the whole hub stops with a failure.
    pub fn spawn_critical<F, E>(&self, stage: Stage, name: &'static str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send,
    {
        let tasks = self.clone();
        let kill = self.stage(stage).kill.clone();
        self.spawn_tracked(stage, async move {
            let ended = tokio::select! {
                biased;
                () = kill.cancelled() => return,
                ended = AssertUnwindSafe(future).catch_unwind() => ended,
            };
            match ended {
                Ok(Ok(())) if tasks.stage(stage).stop.is_cancelled() => return,
                Ok(Ok(())) => tracing::error!(task = name, "critical task ended early"),
                Ok(Err(error)) => tracing::error!(task = name, %error, "critical task failed"),
                Err(_) => tracing::error!(task = name, "critical task panicked"),
            }
            tasks.0.failed.store(true, Ordering::Release);
            tasks.stop();
        });
    }

    /// The token that is cancelled when tasks of `stage` should stop by themselves.
    #[must_use]
    pub fn stopping(&self, stage: Stage) -> CancellationToken {
        self.stage(stage).stop.clone()
    }

    /// The token that is cancelled when tasks of `stage` are dropped where they stand.
    #[must_use]
    pub fn cutting_off(&self, stage: Stage) -> CancellationToken {
        self.stage(stage).kill.clone()
    }

    /// Whether the hub was asked to stop: readiness is off from this moment.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.asked.is_cancelled()
    }

    /// Asks the hub to stop gracefully. Asking twice changes nothing: see [`Tasks::force`].
    pub fn stop(&self) {
        self.0.asked.cancel();
    }

    /// Cuts running work off, as a second signal does. Records are still written.
    pub fn force(&self) {
        self.0.asked.cancel();
        self.0.forced.cancel();
    }

    fn stage(&self, stage: Stage) -> &StageTasks {
        &self.0.stages[stage as usize]
    }

    #[expect(clippy::disallowed_methods, reason = "every other part spawns through here")]
    fn spawn_tracked<F>(&self, stage: Stage, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // The tracker is what waits for the task; a panic was already caught inside of it.
        drop(tokio::spawn(self.stage(stage).tracker.track_future(future)));
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for the reason to stop, then stops everything in order.
pub struct Lifecycle {
    tasks: Tasks,
    drain: Box<dyn Fn() -> Duration + Send + Sync>,
    on_reload: Vec<Box<dyn Fn() + Send>>,
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("tasks", &self.tasks)
            .field("drain", &(self.drain)())
            .finish_non_exhaustive()
    }
}

impl Lifecycle {
    /// A life whose work may run on after the request to stop for what `drain` says then.
    #[must_use]
    pub fn new(tasks: Tasks, drain: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { tasks, drain: Box::new(drain), on_reload: Vec::new() }
    }

    /// Adds what a SIGHUP should do. It runs on the lifecycle's own task: it must not block.
    pub fn on_reload(&mut self, reload: impl Fn() + Send + 'static) {
        self.on_reload.push(Box::new(reload));
    }

    /// Runs until a signal, [`Tasks::stop`] or the death of a critical task, then stops in order.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the tasks running and the order of the stop to nobody.
    pub async fn run(self, mut signals: Signals) -> Ended {
        let tasks = &self.tasks;
        loop {
            tokio::select! {
                biased;
                () = tasks.0.asked.cancelled() => break,
                signal = signals.next() => match signal {
                    Signal::Stop => tasks.stop(),
                    Signal::Reload => self.on_reload.iter().for_each(|reload| reload()),
                },
            }
        }
        let drain = (self.drain)();
        tracing::info!(drain_seconds = drain.as_secs(), "stopping: draining");

        // Readiness is off (it reads `asked`). Doors stop accepting, agents are sent DRAIN, and
        // exchanges run on: this is the only wait that users feel, so only it takes a second signal.
        let forced = !tokio::select! {
            biased;
            () = second_stop(&mut signals, &tasks.0.forced) => false,
            drained = tasks.wind_down(Stage::Work, drain) => drained,
        };
        if forced {
            tracing::warn!("stopping: cutting off what still runs");
            tasks.cut_off(Stage::Work).await;
        }

        // Only now the tunnels: while an exchange ran, it needed one to end properly.
        if !tasks.wind_down(Stage::Carriers, Duration::from_secs(CARRIERS_GRACE_SECONDS)).await {
            tasks.cut_off(Stage::Carriers).await;
        }

        // Every exchange has had its end by now, proper or cut: what is queued is all there is.
        let flushed =
            tasks.wind_down(Stage::Records, Duration::from_secs(RECORDS_GRACE_SECONDS)).await;
        if !flushed {
            tracing::error!("records were still being written when their grace ended");
            tasks.cut_off(Stage::Records).await;
        }
        let failed = tasks.0.failed.load(Ordering::Acquire) || !flushed;
        tracing::info!(forced, failed, "stopped");
        Ended { failed, forced }
    }
}

impl Tasks {
    /// Asks the tasks of `stage` to stop and waits for them; false where `limit` passed first.
    async fn wind_down(&self, stage: Stage, limit: Duration) -> bool {
        let tasks = self.stage(stage);
        tasks.stop.cancel();
        tasks.tracker.close();
        tokio::time::timeout(limit, tasks.tracker.wait()).await.is_ok()
    }

    /// Drops the tasks of `stage` where they stand.
    async fn cut_off(&self, stage: Stage) {
        let tasks = self.stage(stage);
        tasks.kill.cancel();
        tasks.tracker.close();
        let grace = Duration::from_secs(KILLED_GRACE_SECONDS);
        if tokio::time::timeout(grace, tasks.tracker.wait()).await.is_err() {
            tracing::error!(?stage, left = tasks.tracker.len(), "tasks did not unwind in time");
        }
    }
}

/// Waits for a second request to stop, by signal or by [`Tasks::force`].
async fn second_stop(signals: &mut Signals, forced: &CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = forced.cancelled() => return,
            signal = signals.next() => match signal {
                Signal::Stop => return,
                Signal::Reload => {}
            },
        }
    }
}
