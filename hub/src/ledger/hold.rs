//! A hold: what an exchange may cost, set aside until it is settled.
//!
//! Dropped before it was settled, it is released: nothing is charged, and the journal says so.

use super::purse::{self, Part};
use super::purses::{Pocket, Taken};
use super::settler::{Place, Settling};
use super::spending::{Counted, SpendHold};
use super::tickets::{OpenTicket, Record, Ticketed, TicketsError};
use super::{HoldRefused, Ledger, Payer};
use std::sync::Arc;
use weft_proto::codes::EndReason;
use weft_proto::ids::{ExchangeId, LeaseId};
use weft_proto::money::NanoUsd;
use weft_store::{Bearer, Draw, Metered, Outcome, Outlay, Posting, Served, Settlement};

/// How the user's side of an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserLeg {
    /// Who served it; `None` where nobody did.
    pub served: Option<Served>,
    /// What was metered.
    pub metered: Metered,
    /// How it ended.
    pub end: EndReason,
    /// The amounts.
    pub outlay: Outlay,
    /// Whether the owner who served is linked to the user: then promotional credit pays it nothing.
    pub linked: bool,
}

/// What one exchange holds of its user's credit.
#[derive(Debug)]
#[must_use]
pub struct Hold {
    lease: LeaseId,
    /// Until it is settled.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    ledger: Ledger,
    payer: Payer,
    exchange: ExchangeId,
    pocket: Arc<Pocket>,
    parts: Vec<Part>,
    number: u64,
    spend: SpendHold,
    place: Place,
    /// Whether the journal knows of it.
    ticketed: bool,
}

impl Hold {
    pub(super) fn new(
        ledger: Ledger,
        payer: Payer,
        exchange: ExchangeId,
        taken: Taken,
        spend: SpendHold,
        place: Place,
    ) -> Self {
        let Taken { lease, pocket, parts, number } = taken;
        let ticketed = false;
        let held = Held { ledger, payer, exchange, pocket, parts, number, spend, place, ticketed };
        Self { lease, held: Some(held) }
    }

    /// The lease that it was taken from first.
    #[must_use]
    pub const fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Its number at this node, from 1.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.number)
    }

    /// How much is held.
    #[must_use]
    pub fn amount(&self) -> NanoUsd {
        self.held.as_ref().map_or(NanoUsd::ZERO, |held| purse::sum(&held.parts))
    }

    /// Holds `more`, where what is leased has room and the key's limit allows it: waits for nobody.
    pub fn grow(&mut self, more: NanoUsd) -> bool {
        let Some(held) = &mut self.held else { return false };
        if !held.spend.grow(more) {
            return false;
        }
        let grown = held.ledger.0.purses.grow_now(&held.pocket, &mut held.parts, more);
        held.grown(grown, more);
        grown
    }

    /// Holds `more`, and asks the store where what is leased has no room.
    ///
    /// # Errors
    /// [`HoldRefused`]; the hold stays as it was.
    ///
    /// # Cancel safety
    /// A dropped call leaves the hold as it was.
    pub async fn grow_or_wait(&mut self, more: NanoUsd) -> Result<(), HoldRefused> {
        if self.grow(more) {
            return Ok(());
        }
        let Some(held) = &mut self.held else { return Err(HoldRefused::Unavailable) };
        let purses = Arc::clone(&held.ledger.0.purses);
        purses.grow(&held.pocket, &mut held.parts, more).await?;
        // The limit is looked at last, for it can be given back without waiting.
        let refused = held.spend.refused(more);
        if !held.spend.grow(more) {
            let mut kept = NanoUsd::ZERO;
            let mut over = Vec::new();
            let keep = purse::sum(&held.parts).saturating_sub(more);
            for part in &mut held.parts {
                let stays = part.amount.min(keep.saturating_sub(kept));
                kept = kept.saturating_add(stays);
                let amount = part.amount.saturating_sub(stays);
                over.push(Part { lease: part.lease, amount });
                part.amount = stays;
            }
            held.pocket.purse().release(&over);
            return Err(refused);
        }
        held.grown(true, NanoUsd::ZERO);
        Ok(())
    }

    /// Writes a ticket to the journal: to be called before each dispatch. Says yes once the write
    /// is with the operating system; the disk has it a few milliseconds later.
    ///
    /// # Errors
    /// [`TicketsError`] where the journal cannot be written: nothing may be dispatched then.
    pub fn open_ticket(&mut self, ticket: &OpenTicket) -> Result<(), TicketsError> {
        let Some(held) = &mut self.held else { return Err(TicketsError::Over) };
        let shared = &held.ledger.0;
        shared.tickets.append(&Record::Opened(Ticketed {
            exchange: held.exchange,
            user: held.payer.user,
            key: held.payer.key,
            number: held.number,
            parts: held.parts.clone(),
            ticket: ticket.clone(),
            at: shared.clock.now(),
        }))?;
        held.ticketed = true;
        Ok(())
    }

    /// Settles the exchange: draws the charge from what is held, from what else is leased where
    /// that is not enough, and gives the settlement to the writer. Never waits.
    pub fn settle(self, leg: UserLeg) {
        self.settle_recorded(leg, None);
    }

    /// The same, and how it ended is recorded with it, where that is not recorded apart.
    pub(crate) fn settle_recorded(mut self, leg: UserLeg, outcome: Option<Box<Outcome>>) {
        let Some(held) = self.held.take() else { return };
        let Held { ledger, payer, exchange, pocket, parts, number, mut spend, place, .. } = held;
        let shared = &ledger.0;
        let draws = pocket.purse().draw(&parts, leg.outlay.charge);
        let posting = posting(&ledger, &payer, exchange, &parts, number, draws, leg);
        let counted = spend.spend(posting.settlement.outlay.charge, posting.settlement.settled_at);
        let ended = outcome.clone().map(Record::Ended);
        let settled = Record::Settled(Box::new(posting.clone()));
        for record in ended.into_iter().chain([settled]) {
            if let Err(error) = shared.tickets.append(&record) {
                // The journal's own task ends the process; what is in memory is still written.
                tracing::error!(%error, %exchange, "the end of an exchange is not in the journal");
            }
        }
        place.send(Settling { posting, outcome, pocket, counted });
    }
}

impl Hold {
    /// Who pays.
    #[must_use]
    pub(crate) fn payer(&self) -> Option<Payer> {
        self.held.as_ref().map(|held| held.payer)
    }

    /// Settles the exchange, which has cost nothing itself, and keeps what it held for another:
    /// nothing of it is free in between. `None` where no settlement can wait any more: then the hold
    /// is over.
    pub(crate) fn settle_apart(mut self, leg: UserLeg) -> Option<Self> {
        let held = self.held.as_mut()?;
        let Some(place) = held.ledger.0.settler.reserve() else {
            self.settle(leg);
            return None;
        };
        let Held { ledger, payer, exchange, pocket, number, .. } = held;
        let posting = posting(ledger, payer, *exchange, &[], *number, Vec::new(), leg);
        let recorded = ledger.0.tickets.append(&Record::Settled(Box::new(posting.clone())));
        if let Err(error) = recorded {
            tracing::error!(%error, %exchange, "a settlement is not in the journal");
        }
        let pocket = Arc::clone(pocket);
        held.ticketed = false;
        let (outcome, counted) = (None, Counted::nothing());
        let settling = Settling { posting, outcome, pocket, counted };
        std::mem::replace(&mut held.place, place).send(settling);
        Some(self)
    }

    /// The same hold, for another exchange: one that was not handed to anybody.
    pub(crate) fn for_exchange(mut self, exchange: ExchangeId) -> Self {
        if let Some(held) = self.held.as_mut().filter(|held| !held.ticketed) {
            held.exchange = exchange;
        }
        self
    }
}

impl Held {
    /// What follows a growth that was tried.
    fn grown(&mut self, grown: bool, more: NanoUsd) {
        if !grown {
            self.spend.shrink(more);
            return;
        }
        if !self.ticketed {
            return;
        }
        let record = Record::Grown { exchange: self.exchange, parts: self.parts.clone() };
        if let Err(error) = self.ledger.0.tickets.append(&record) {
            tracing::error!(%error, "the growth of a hold is not in the journal");
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        held.pocket.purse().release(&held.parts);
        if held.ticketed {
            let released = Record::Released { exchange: held.exchange };
            if let Err(error) = held.ledger.0.tickets.append(&released) {
                tracing::error!(%error, "the end of a hold is not in the journal");
            }
        }
    }
}

/// What the settlement of an exchange is, with what the ledger itself knows filled in.
pub(super) fn posting(
    ledger: &Ledger,
    payer: &Payer,
    exchange: ExchangeId,
    parts: &[Part],
    number: u64,
    draws: Vec<Draw>,
    leg: UserLeg,
) -> Posting {
    let shared = &ledger.0;
    let money = shared.money.now();
    let at = shared.clock.now();
    let UserLeg { served, metered, end, mut outlay, linked } = leg;
    if linked && outlay.bearer == Bearer::User {
        let promo = shared.purses.promo_in(payer.user, &draws);
        outlay.income = unlinked_income(&outlay, promo);
    }
    let settlement = Settlement {
        exchange,
        user: payer.user,
        key: payer.key,
        served,
        metered,
        end,
        outlay,
        node: shared.node,
        hold: parts.first().map(|part| (part.lease, number)),
        held: purse::sum(parts),
        settled_at: at,
        claim_until: at.after(money.claim_window),
    };
    Posting { settlement, draws, overdraft_max: money.overdraft_max }
}

/// What of the income is not paid by promotional credit: that part of it which the paid share of
/// the charge is of all of it, rounded down.
fn unlinked_income(outlay: &Outlay, promo: NanoUsd) -> NanoUsd {
    let (charge, income) = (i128::from(outlay.charge.nanos()), i128::from(outlay.income.nanos()));
    let paid = charge - i128::from(promo.nanos());
    if charge <= 0 || paid >= charge {
        return outlay.income;
    }
    let part = income * paid.max(0) / charge;
    NanoUsd::new(i64::try_from(part).unwrap_or(0))
}
