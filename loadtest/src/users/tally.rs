//! What was counted and timed: by one event loop for itself, then added up.

use super::fault::Fault;
use super::follow::Frames;
use super::schedule::Arrival;
use crate::bench::figure::Samples;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Seconds of the timeline that are kept: more than a run may last.
const SECONDS_MAX: usize = 4 * 3_600;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With its whole answer.
    Done,
    /// Given up, as it was to be.
    Aborted {
        /// Whether the answer's head had come.
        begun: bool,
    },
    /// In a fault.
    Failed(Fault),
}

/// Something of the window's own seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Second {
    /// Which, from the window's beginning.
    pub(super) second: u64,
    /// Whole answers that ended in it.
    pub(super) done: u64,
    /// Faults in it.
    pub(super) failed: u64,
    /// Frames that came with those that ended in it.
    pub(super) frames: u64,
    /// Bytes that did.
    pub(super) bytes: u64,
}

/// What ended inside the window, whenever it began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Inside {
    pub(super) requests: u64,
    pub(super) frames: u64,
    pub(super) down: u64,
    pub(super) up: u64,
}

/// What is known of one kind.
#[derive(Debug, Clone)]
pub(super) struct KindTally {
    pub(super) started: u64,
    pub(super) done: u64,
    pub(super) aborted_before_head: u64,
    pub(super) aborted_in_body: u64,
    pub(super) failed: u64,
    pub(super) shed: u64,
    pub(super) faults: BTreeMap<Fault, u64>,
    pub(super) frames: Frames,
    pub(super) stalls: u64,
    pub(super) down: u64,
    pub(super) up: u64,
    pub(super) inside: Inside,
    pub(super) connect: Samples,
    pub(super) head: Samples,
    pub(super) first: Samples,
    pub(super) total: Samples,
    pub(super) gap: Samples,
    pub(super) behind: Samples,
}

impl KindTally {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never; the histogram's own.
    pub(super) fn new() -> anyhow::Result<Self> {
        let none = Samples::new()?;
        Ok(Self {
            started: 0,
            done: 0,
            aborted_before_head: 0,
            aborted_in_body: 0,
            failed: 0,
            shed: 0,
            faults: BTreeMap::new(),
            frames: Frames::default(),
            stalls: 0,
            down: 0,
            up: 0,
            inside: Inside::default(),
            connect: none.clone(),
            head: none.clone(),
            first: none.clone(),
            total: none.clone(),
            gap: none.clone(),
            behind: none,
        })
    }

    /// Adds all of `other`.
    ///
    /// # Errors
    /// Never; the histogram's own.
    pub(super) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.started += other.started;
        self.done += other.done;
        self.aborted_before_head += other.aborted_before_head;
        self.aborted_in_body += other.aborted_in_body;
        self.failed += other.failed;
        self.shed += other.shed;
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        self.frames.add(&other.frames);
        self.stalls += other.stalls;
        self.down += other.down;
        self.up += other.up;
        self.inside.requests += other.inside.requests;
        self.inside.frames += other.inside.frames;
        self.inside.down += other.inside.down;
        self.inside.up += other.inside.up;
        self.connect.merge(&other.connect)?;
        self.head.merge(&other.head)?;
        self.first.merge(&other.first)?;
        self.total.merge(&other.total)?;
        self.gap.merge(&other.gap)?;
        self.behind.merge(&other.behind)
    }

    /// Requests that were given up.
    pub(super) const fn aborted(&self) -> u64 {
        self.aborted_before_head + self.aborted_in_body
    }

    /// Requests that had no ending when the run was over.
    pub(super) const fn unfinished(&self) -> u64 {
        self.started - self.done - self.aborted() - self.failed
    }
}

/// The part of a run that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// When the warm-up begins.
    pub(super) begin: Instant,
    /// When the window does.
    pub(super) from: Instant,
    /// When it ends, where a time was asked for.
    pub(super) until: Option<Instant>,
}

impl Window {
    /// Whether `now` is inside.
    pub(super) fn holds(&self, now: Instant) -> bool {
        now >= self.from && self.until.is_none_or(|until| now < until)
    }

    /// The moment of `arrival`.
    pub(super) fn moment(&self, arrival: &Arrival) -> Instant {
        self.begin + arrival.at
    }
}

/// What one event loop saw.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// By the number of their kind.
    pub(super) kinds: Vec<KindTally>,
    /// How late the generator itself was.
    pub(super) late: Samples,
    /// How long the event loop took to come round.
    pub(super) lag: Samples,
    /// By the time of the end.
    pub(super) timeline: Vec<Second>,
    /// When the last request that counts ended.
    pub(super) last_end: Option<Instant>,
}

/// One request that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) kind: usize,
    pub(super) counts: bool,
    pub(super) ending: Ending,
    pub(super) frames: Frames,
    pub(super) down: u64,
    pub(super) up: u64,
    pub(super) took: Duration,
}

impl Tally {
    /// Nothing yet, of so many kinds.
    ///
    /// # Errors
    /// Never; the histogram's own.
    pub(super) fn new(kinds: usize) -> anyhow::Result<Self> {
        Ok(Self {
            kinds: vec![KindTally::new()?; kinds],
            late: Samples::new()?,
            lag: Samples::new()?,
            timeline: Vec::new(),
            last_end: None,
        })
    }

    /// Adds what another event loop saw.
    ///
    /// # Errors
    /// Never; the histogram's own.
    pub(super) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        for (kind, other) in self.kinds.iter_mut().zip(&other.kinds) {
            kind.add(other)?;
        }
        self.late.merge(&other.late)?;
        self.lag.merge(&other.lag)?;
        for second in &other.timeline {
            if let Some(own) = self.second(second.second) {
                own.done += second.done;
                own.failed += second.failed;
                own.frames += second.frames;
                own.bytes += second.bytes;
            }
        }
        self.last_end = self.last_end.max(other.last_end);
        Ok(())
    }

    /// All kinds in one.
    ///
    /// # Errors
    /// Never; the histogram's own.
    pub(super) fn total(&self) -> anyhow::Result<KindTally> {
        let mut total = KindTally::new()?;
        for kind in &self.kinds {
            total.add(kind)?;
        }
        Ok(total)
    }

    /// Notes how a request ended.
    pub(super) fn end(&mut self, window: &Window, ended: &Ended) {
        let now = Instant::now();
        let is_done = ended.ending == Ending::Done;
        let is_failed = matches!(ended.ending, Ending::Failed(_));
        if window.holds(now) {
            let inside = &mut self.kinds[ended.kind].inside;
            inside.requests += u64::from(is_done);
            inside.frames += ended.frames.arrived;
            inside.down += ended.down;
            inside.up += if is_done { ended.up } else { 0 };
        }
        if now >= window.from
            && let Some(second) = self.second((now - window.from).as_secs())
        {
            second.done += u64::from(is_done);
            second.failed += u64::from(is_failed);
            second.frames += ended.frames.arrived;
            second.bytes += ended.down;
        }
        if !ended.counts {
            return;
        }
        self.last_end = Some(now);
        let kind = &mut self.kinds[ended.kind];
        kind.frames.add(&ended.frames);
        kind.down += ended.down;
        match ended.ending {
            Ending::Done => {
                kind.done += 1;
                kind.up += ended.up;
                kind.total.add(ended.took);
            }
            Ending::Aborted { begun: false } => kind.aborted_before_head += 1,
            Ending::Aborted { begun: true } => kind.aborted_in_body += 1,
            Ending::Failed(fault) => {
                kind.failed += 1;
                *kind.faults.entry(fault).or_default() += 1;
            }
        }
    }

    fn second(&mut self, second: u64) -> Option<&mut Second> {
        let index = usize::try_from(second).ok().filter(|index| *index < SECONDS_MAX)?;
        while self.timeline.len() <= index {
            let second = self.timeline.len() as u64;
            self.timeline.push(Second { second, ..Second::default() });
        }
        self.timeline.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_loops_saw_adds_up_and_warm_up_does_not_count() {
        let begin = Instant::now();
        let from = begin + Duration::from_secs(1);
        let window = Window { begin, from, until: Some(from + Duration::from_secs(5)) };
        let ended = |counts, ending| Ended {
            kind: 1,
            counts,
            ending,
            frames: Frames { expected: 2, arrived: 2, ..Frames::default() },
            down: 10,
            up: 3,
            took: Duration::from_millis(7),
        };
        let mut tallies = vec![Tally::new(2).expect("one"), Tally::new(2).expect("other")];
        tallies[0].end(&window, &ended(false, Ending::Done));
        tokio::time::advance(Duration::from_millis(3_500)).await;
        for tally in &mut tallies {
            tally.kinds[1].started += 4;
            tally.end(&window, &ended(true, Ending::Done));
            tally.end(&window, &ended(true, Ending::Aborted { begun: true }));
            tally.end(&window, &ended(true, Ending::Failed(Fault::Status(503))));
        }
        let mut sum = Tally::new(2).expect("a sum");
        for tally in &tallies {
            sum.add(tally).expect("of one kind");
        }
        let total = sum.total().expect("a total");
        assert_eq!((total.started, total.done, total.aborted(), total.failed), (8, 2, 2, 2));
        assert_eq!((total.unfinished(), total.total.count(), total.up), (2, 2, 6));
        assert_eq!(total.faults[&Fault::Status(503)], 2);
        assert_eq!((total.inside.requests, total.inside.frames), (2, 12));
        let Second { second, done, failed, .. } = sum.timeline[2];
        assert_eq!((second, done, failed, sum.timeline.len()), (2, 2, 2, 3));
    }
}
