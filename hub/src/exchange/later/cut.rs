//! Answers that were cut although their provider keeps the response: whoever asked can read all of it
//! again, at no cost, so that what was handed on is not what it has cost.
//!
//! Such an answer is not charged at once. The hub reads the response itself, until it has ended: what
//! it tells is billed by one more read, as of a response that was made later, and the answer itself
//! is settled at nothing. Where it tells no figures (its provider cancelled it, or did not keep it),
//! the answer is charged as every cut answer is, by what was handed on.

use super::Later;
use crate::ledger::{Hold, UserLeg};
use crate::telemetry::Metrics;
use std::fmt;
use std::sync::{Arc, OnceLock};
use weft_proto::codes::EndReason;
use weft_proto::usage::{Basis, Usage};
use weft_store::{Metered, Outlay, PendingBill};

/// The response that an answer has made known, once it has, as the bill that it may need.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Made(Arc<OnceLock<Box<PendingBill>>>);

impl Made {
    /// The answer has told which response it is of. The first stands.
    pub(super) fn known(&self, bill: PendingBill) {
        drop(self.0.set(Box::new(bill)));
    }

    /// The bill of that response, where an answer that ended for `reason` was cut.
    pub(in super::super) fn cut(&self, reason: EndReason) -> Option<PendingBill> {
        // A hub that stops will not be there to ask for another.
        let is_cut = !reason.is_whole() && reason != EndReason::Shutdown;
        self.0.get().filter(|_| is_cut).map(|bill| (**bill).clone())
    }
}

/// An answer that was cut. Dropped, it is charged by what was handed on.
pub(in super::super) struct Cut {
    pub(super) bill: PendingBill,
    /// Whether its bill is in the store.
    pub(super) is_kept: bool,
    /// What it holds, and how it is charged by what was handed on.
    charge: Option<(Hold, UserLeg)>,
    metrics: Metrics,
}

impl Cut {
    pub(in super::super) const fn new(
        bill: PendingBill,
        hold: Hold,
        leg: UserLeg,
        metrics: Metrics,
    ) -> Self {
        Self { bill, is_kept: false, charge: Some((hold, leg)), metrics }
    }

    /// Settles the answer at nothing: what it holds is for the read that bills it. `None` where no
    /// settlement can wait.
    pub(in super::super) fn give_up(mut self) -> Option<Hold> {
        let (hold, leg) = self.charge.take()?;
        let metered = Metered { usage: Usage::NONE, basis: Basis::Reported, ..leg.metered };
        hold.settle_apart(UserLeg { metered, outlay: Outlay::NONE, ..leg })
    }
}

impl Later {
    /// Lets answers that were cut wait, until what comes back is dropped.
    pub(in super::super) fn takes_cuts(&self) -> TakesCuts {
        self.state().runs = true;
        TakesCuts(self.clone())
    }

    /// Whether the answer that made the response of this bill was cut, and waits.
    pub(super) fn has_cut(&self, bill: &PendingBill) -> bool {
        self.state().cuts.contains_key(&bill.made_by)
    }

    /// The answer that made it, which waits no more.
    pub(in super::super) fn take_cut(&self, bill: &PendingBill) -> Option<Cut> {
        self.state().cuts.remove(&bill.made_by)
    }

    /// Its bill is in the store.
    pub(super) fn kept_cut(&self, bill: &PendingBill) {
        if let Some(cut) = self.state().cuts.get_mut(&bill.made_by) {
            cut.is_kept = true;
        }
    }

    /// This node looks after `open`, and no others: takes the answers that were cut whose bills are
    /// others' to look after, or closed.
    pub(in super::super) fn of_others(&self, open: &[PendingBill]) -> Vec<Cut> {
        let is_ours = |made_by| open.iter().any(|bill| bill.made_by == made_by);
        let mut state = self.state();
        state.open = open.len();
        let lost = state.cuts.extract_if(.., |made_by, cut| cut.is_kept && !is_ours(*made_by));
        lost.map(|(_, cut)| cut).collect()
    }
}

/// While it lives, answers that were cut can wait; then they are charged by what was handed on.
#[derive(Debug)]
#[must_use]
pub(in super::super) struct TakesCuts(Later);

impl Drop for TakesCuts {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.runs = false;
        let cuts = std::mem::take(&mut state.cuts);
        drop(state);
        drop(cuts);
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("made_by", &self.bill.made_by).finish_non_exhaustive()
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some((hold, leg)) = self.charge.take() {
            self.metrics.charged(leg.outlay.charge, leg.metered.basis);
            hold.settle(leg);
        }
    }
}
