//! The tab of one exchange: from its hold to its one user leg.
//!
//! A tab is opened before an agent is asked, goes through the exchange beside its record, and is
//! settled when it is dropped, wherever that happens: by the table of [`settlement`], with the
//! figures of its meters. The meters see copies of bytes that have been handed on; nothing of the
//! exchange waits for them, but an answer whose hold is used up waits until it has grown.
//!
//! [`settlement`]: super::super::settlement

use super::super::later::{Cut, Facts, Later, Made};
use super::super::settlement::{Cause, Charge, End, Stage, Upstream, Verdict};
use super::estimate::{expected, outlay, price_of, price_of_session};
use super::{Till, metered, promise};
use crate::config::OnAbort;
use crate::ledger::{Hold, HoldRefused, OpenTicket, UserLeg};
use crate::pricing::Quote;
use http::{HeaderMap, StatusCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use weft_proto::codes::EndReason;
use weft_proto::ids::{ExchangeId, OwnerId};
use weft_proto::meter::{self, AnswerFacts, AnswerMeter, Asked, Metered, RequestMeter, Taken};
use weft_proto::model::ModelName;
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::prices::Label;
use weft_proto::tables::routes::{Metering, Route};
use weft_proto::usage::{Basis, Class, Usage};
use weft_proto::wire::head::{Terms, Ticket};
use weft_store::{Outcome, Outlay, Served};

/// Tokens of output by which the hold of a growing answer grows.
const STEP: u64 = 1_024;

/// The same, where the balance has no more for a whole step.
const LAST_STEP: u64 = 32;

/// The longest that an answer waits for its hold to grow.
const CARRY_MAX: Duration = Duration::from_secs(2);

/// The meter of one request, as its upload and its tab share it.
#[derive(Debug, Clone)]
pub(in super::super) struct Reading(Arc<Mutex<Read>>);

#[derive(Debug)]
struct Read {
    meter: RequestMeter,
    whole: bool,
}

impl Reading {
    pub(in super::super) fn new(meter: RequestMeter) -> Self {
        Self(Arc::new(Mutex::new(Read { meter, whole: false })))
    }

    /// Bytes that came from the user.
    pub(in super::super) fn feed(&self, bytes: &[u8]) {
        self.lock().meter.feed(bytes);
    }

    /// The body has ended.
    pub(in super::super) fn finish(&self) {
        let mut read = self.lock();
        if !read.whole {
            read.whole = true;
            read.meter.finish();
        }
    }

    /// What is asked, as far as it has been read.
    pub(in super::super) fn asked(&self) -> Asked {
        self.lock().meter.asked().clone()
    }

    /// Whether the answer is to be streamed.
    fn is_streamed(&self) -> bool {
        self.lock().meter.asked().stream
    }

    /// Whether that is all.
    pub(super) fn is_whole(&self) -> bool {
        self.lock().whole
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the exchange came, as far as money is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Planned,
    /// An agent has the ticket.
    Dispatched,
    /// The last agent vouches that it did not call.
    Unsent,
    /// The head of an answer has come.
    Answering(StatusCode),
}

/// Nothing carries the answer any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Exhausted;

/// One exchange's money. Dropped, it is settled.
#[derive(Debug)]
pub(in super::super) struct Tab {
    pub(super) till: Till,
    pub(super) exchange: ExchangeId,
    pub(super) hold: Option<Hold>,
    pub(super) quote: Quote,
    pub(super) reading: Reading,
    pub(super) metering: Metering,
    pub(super) route: &'static Route,
    pub(super) on_abort: OnAbort,
    pub(super) drain_max: Duration,
    /// The owner whose house the user belongs to.
    pub(super) member_of: Option<OwnerId>,
    /// What it may be charged at most, where that was bounded before.
    pub(super) bound: Option<NanoUsd>,
    /// The request names its model behind what was read before it was held for: the quote is the
    /// dearest one until then.
    late: bool,
    served: Option<Served>,
    tier: Ratio,
    reached: Reached,
    /// Something of the answer's body was handed on.
    begun: bool,
    meter: Option<AnswerMeter>,
    /// What its provider took of the request, where it answered before it had all of it.
    taken: Option<Taken>,
    /// Tokens of output that the hold carries.
    carried: u64,
    /// The hold is for all of the request, or has grown to be.
    held_whole: bool,
    /// The response that the answer is of, where its provider keeps it.
    made: Made,
    /// What the parts of a session had used when the hold was looked at last.
    folded: Usage,
    end: EndReason,
}

impl Tab {
    #[expect(clippy::too_many_arguments, reason = "called once, by the till")]
    pub(super) fn new(
        till: Till,
        exchange: ExchangeId,
        hold: Hold,
        quote: Quote,
        reading: Reading,
        route: &'static Route,
        (on_abort, drain_max): (OnAbort, Duration),
        member_of: Option<OwnerId>,
        carried: u64,
    ) -> Self {
        Self {
            till,
            exchange,
            hold: Some(hold),
            quote,
            held_whole: reading.is_whole(),
            reading,
            metering: route.metering,
            route,
            on_abort,
            drain_max,
            member_of,
            bound: None,
            late: false,
            served: None,
            tier: Ratio::ZERO,
            reached: Reached::Planned,
            begun: false,
            meter: None,
            taken: None,
            carried,
            made: Made::default(),
            folded: Usage::NONE,
            end: EndReason::Internal,
        }
    }

    /// The request has yet to name its model.
    pub(super) const fn names_its_model_late(&mut self) {
        self.late = true;
    }

    /// What prices the model that the request has yet to name; `None` where it has named it.
    pub(in super::super) fn late(&self) -> Option<Quote> {
        self.late.then(|| self.quote.clone())
    }

    /// The price at an account of this place; `None` where the book has none.
    pub(in super::super) fn quote_at(&self, place: Option<&Label>) -> Option<Quote> {
        self.quote.at_place(place.map(Label::as_str))
    }

    /// The ticket of an attempt at this price, written to the node's journal before anybody has it.
    pub(in super::super) fn ticket(
        &mut self,
        served: Served,
        quote: Quote,
    ) -> Result<Ticket, JournalAway> {
        self.quote = quote;
        let Served { owner, account, attempt, .. } = served;
        self.tier = self.till.tier(owner, account);
        let mut ticket = Ticket::free(self.exchange, attempt, account, self.quote.at());
        let Some(hold) = &mut self.hold else { return Err(JournalAway) };
        let cap = cap(hold.amount(), self.quote.zone(), self.tier);
        ticket.terms = Some(Terms {
            lease: hold.lease(),
            counter: hold.counter(),
            book: self.quote.hash(),
            // Both ends will have read it in the same bytes.
            model: if self.late { String::new() } else { self.quote.model().to_owned() },
            place: self.quote.place().cloned(),
            tier: self.tier,
            cap,
        });
        self.till.seal(&mut ticket);
        let (asked, linked) = (self.reading.asked().service_tier, Some(owner) == self.member_of);
        let terms = promise(&self.quote, self.tier, asked, linked);
        let open = OpenTicket { served, cap, terms };
        if let Err(error) = hold.open_ticket(&open) {
            tracing::error!(exchange = %self.exchange, %error, "the ticket cannot be written down");
            return Err(JournalAway);
        }
        if matches!(self.metering, Metering::StoredResponse | Metering::BatchResults) {
            self.till.later().sent(self.exchange);
        }
        (self.served, self.reached) = (Some(served), Reached::Dispatched);
        Ok(ticket)
    }

    /// Whether the answer is made, and billed, after this one.
    pub(in super::super) fn asks_later(&self) -> bool {
        self.metering == Metering::Batch
            || (self.metering == Metering::Responses && self.reading.asked().background)
    }

    /// The meter of its request.
    pub(in super::super) fn reading(&self) -> Reading {
        self.reading.clone()
    }

    /// Where the response becomes known that the answer is of.
    pub(in super::super) fn made(&self) -> Made {
        self.made.clone()
    }

    /// The responses that are to be billed.
    pub(in super::super) const fn later(&self) -> &Later {
        self.till.later()
    }

    /// What the route is called.
    pub(in super::super) const fn route_name(&self) -> &'static str {
        self.route.name
    }

    /// What a bill says of the exchange that asked for a response.
    pub(in super::super) fn facts(&self) -> Option<Facts> {
        let hold = self.hold.as_ref()?;
        Some(Facts {
            made_by: self.exchange,
            payer: hold.payer()?,
            model: ModelName::parse(self.quote.model()).ok()?,
            book: self.quote.hash(),
            priced_at: self.quote.at(),
            zone: self.quote.zone(),
            held: hold.amount(),
            member_of: self.member_of,
        })
    }

    /// The agent of the last attempt vouches that it did not call the provider.
    pub(in super::super) const fn unsent(&mut self) {
        self.reached = Reached::Unsent;
    }

    /// The head of the answer has come.
    pub(in super::super) fn answers(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.reached = Reached::Answering(status);
        let meter = AnswerMeter::new(&AnswerFacts::of(self.route, status, headers));
        self.meter = Some(self.in_bands(meter));
    }

    /// The agent says what the provider took of the request: no more of it is counted.
    pub(in super::super) const fn took(&mut self, taken: Taken) {
        self.taken = Some(taken);
    }

    /// Counts bytes of the answer that were handed on. Says whether the hold carries what may
    /// follow; where it does not, [`carry`](Self::carry) is to be asked.
    #[must_use]
    pub(in super::super) fn sees(&mut self, bytes: &[u8]) -> bool {
        let Some(meter) = &mut self.meter else { return true };
        self.begun |= !bytes.is_empty();
        meter.feed(bytes);
        let (progress, folded) = (meter.progress(), meter.folded());
        // What has said that it is over costs no more: cutting it would save nothing.
        if progress.finish_marker || !self.grows() {
            return true;
        }
        let is_news = std::mem::replace(&mut self.folded, folded) != folded;
        progress.output_units < self.carried && !is_news
    }

    /// The agent has the whole request. Where it was more than the hub had read when it held for
    /// it, the hold grows to what it turned out to want.
    ///
    /// # Errors
    /// As [`carry`](Self::carry).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(in super::super) async fn asked_whole(&mut self) -> Result<(), Exhausted> {
        if self.held_whole || !self.reading.is_whole() {
            return Ok(());
        }
        let wanted = expected(&self.reading.asked(), self.metering).get(Class::Output);
        let carried = self.carried.max(wanted);
        if !self.grow(self.short_of(carried)).await {
            return Err(Exhausted);
        }
        (self.carried, self.held_whole) = (carried, true);
        Ok(())
    }

    /// Lets the hold grow by a step, or by a small one.
    ///
    /// # Errors
    /// [`Exhausted`] where the balance has nothing left, or the ledger's store is away for longer
    /// than the hub trusts.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(in super::super) async fn carry(&mut self) -> Result<(), Exhausted> {
        let units = self.meter.as_ref().map_or(0, |meter| meter.progress().output_units);
        for step in [STEP, LAST_STEP] {
            let carried = units.saturating_add(step);
            let grown = self.grow(self.short_of(carried)).await;
            if grown {
                self.carried = carried;
                return Ok(());
            }
        }
        Err(Exhausted)
    }

    /// Lets the hold grow by what is short; whether the exchange may go on.
    async fn grow(&mut self, short: NanoUsd) -> bool {
        let Some(hold) = &mut self.hold else { return false };
        if !short.is_positive() || hold.grow(short) {
            return true;
        }
        match timeout(CARRY_MAX, hold.grow_or_wait(short)).await {
            Ok(Ok(())) => true,
            // Nobody knows: a user is not cut for a store that is away.
            Ok(Err(HoldRefused::Busy | HoldRefused::Unavailable)) | Err(_) => {
                short <= self.till.overdraft_max()
            }
            Ok(Err(
                HoldRefused::Insufficient { .. }
                | HoldRefused::InFlight { .. }
                | HoldRefused::LeftBehind { .. }
                | HoldRefused::SpendLimit { .. },
            )) => false,
        }
    }

    /// Whether its hold grows with what its reader is given. An answer that comes at once was made
    /// before any of it came: to cut it would save nothing.
    fn grows(&self) -> bool {
        match self.metering {
            Metering::Chat | Metering::Responses | Metering::Messages => self.reading.is_streamed(),
            Metering::Realtime => true,
            Metering::Free
            | Metering::StoredResponse
            | Metering::Embeddings
            | Metering::Images
            | Metering::Transcription
            | Metering::Speech
            | Metering::Container
            | Metering::Batch
            | Metering::BatchResults => false,
        }
    }

    /// What the hold lacks for so many tokens of output.
    fn short_of(&self, output: u64) -> NanoUsd {
        let asked = self.reading.asked();
        let usage = expected(&asked, self.metering).with(Class::Output, output);
        let rates = self.quote.rates(asked.service_tier, asked.geo);
        let list = rates.map_or(ListPrice::ZERO, |rates| match self.metering {
            Metering::Realtime => {
                let session = price_of_session(&rates, &self.folded, output);
                session.max(price_of(&rates, &usage))
            }
            Metering::Free
            | Metering::Chat
            | Metering::Responses
            | Metering::StoredResponse
            | Metering::Messages
            | Metering::Embeddings
            | Metering::Images
            | Metering::Transcription
            | Metering::Speech
            | Metering::Container
            | Metering::Batch
            | Metering::BatchResults => price_of(&rates, &usage),
        });
        let wanted = list.charge(self.quote.zone()).unwrap_or(NanoUsd::MAX);
        let held = self.hold.as_ref().map_or(NanoUsd::ZERO, Hold::amount);
        wanted.saturating_sub(held)
    }

    /// How long to read on without a reader, where an end for `reason` asks for it.
    pub(in super::super) fn drains(&self, reason: EndReason) -> Option<Duration> {
        let progress = self.meter.as_ref().map(AnswerMeter::progress).unwrap_or_default();
        let end = self.end_of(reason, progress.finish_marker, progress.usage_seen);
        let drains = end.verdict().upstream == Upstream::Drain && !self.drain_max.is_zero();
        drains.then_some(self.drain_max)
    }

    /// The exchange ended for `reason`: what its drop settles by.
    pub(in super::super) const fn ended(&mut self, reason: EndReason) {
        self.end = reason;
    }

    /// Settles an exchange that ended so. The outcome goes with the settlement; it is given back
    /// where there is none yet, or never will be.
    pub(in super::super) fn close(
        mut self: Box<Self>,
        outcome: Box<Outcome>,
    ) -> Option<Box<Outcome>> {
        self.end = outcome.end;
        self.settle(Some(outcome))
    }

    fn end_of(&self, reason: EndReason, finished: bool, usage_seen: bool) -> End {
        let refused = match self.reached {
            Reached::Answering(status) => {
                !(status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS)
            }
            Reached::Planned | Reached::Dispatched | Reached::Unsent => false,
        };
        // Whatever happened to an answer that is an error: it is an error.
        let cause = if refused { Cause::ProviderError } else { cause_of(reason) };
        let stage = match self.reached {
            Reached::Planned => Stage::BeforeDispatch,
            Reached::Unsent => Stage::BeforeOpen,
            // A request of which the provider cannot have got the end has asked it nothing.
            Reached::Dispatched if cause == Cause::UserGone && !self.reading.is_whole() => {
                Stage::BeforeOpen
            }
            Reached::Dispatched => Stage::BeforeFirstByte,
            Reached::Answering(_) if refused => Stage::BeforeFirstByte,
            Reached::Answering(_) if cause == Cause::Nothing => Stage::AfterFin,
            Reached::Answering(_) if !self.begun => Stage::BeforeFirstByte,
            // Figures before the last content are not the last ones: Anthropic begins with some.
            Reached::Answering(_) if finished && usage_seen => Stage::AfterUsage,
            Reached::Answering(_) if finished => Stage::AfterFinish,
            Reached::Answering(_) => Stage::BetweenEvents,
        };
        End { stage, cause, usage_seen, on_abort: self.on_abort }
    }

    /// Settles it, once. An outcome that does not go with the settlement is given back.
    fn settle(&mut self, outcome: Option<Box<Outcome>>) -> Option<Box<Outcome>> {
        let Some(hold) = self.hold.take() else { return outcome };
        // What no agent was asked for leaves no trace: its hold returns as it is dropped.
        if self.served.is_none() {
            return outcome;
        }
        let mut asked = self.reading.asked();
        if let Some(taken) = &self.taken {
            taken.bounds(&mut asked);
            // What is counted for want of figures the agent has held to nothing: it had read less.
            let told = self.meter.as_ref().is_some_and(|meter| meter.progress().usage_seen);
            asked.whole &= told;
        }
        if self.late
            && let Some(quote) = asked.model.as_deref().and_then(|m| self.quote.for_model(m))
        {
            self.quote = quote;
        }
        let proper = self.end == EndReason::Complete;
        let read = match self.meter.take() {
            Some(meter) if self.begun || proper => meter.end(&asked, proper),
            Some(_) | None => meter::unanswered(self.route, &asked),
        };
        let later = read.pending && matches!(self.metering, Metering::Responses | Metering::Batch);
        let billed = read.usage_seen || read.charged_although_refused;
        let verdict = self.end_of(self.end, read.finish_marker, billed).verdict();
        let leg = self.bounded(self.leg(verdict, &read));
        tracing::debug!(
            exchange = %self.exchange, ?verdict, charge = %leg.outlay.charge, "settled"
        );
        // All of it can be read again: what it comes to, its provider says.
        if !read.usage_seen
            && let Some(bill) = self.made.cut(self.end)
        {
            let metrics = self.till.0.metrics.clone();
            self.till.later().cut(Cut::new(bill, hold, leg, metrics));
            return outcome;
        }
        self.till.charged(leg.outlay.charge, leg.metered.basis);
        // What it will have cost is known, and billed, when it has been made.
        if later {
            if let Some(kept) = hold.settle_apart(leg) {
                self.till.later().keep_hold(self.exchange, kept);
            }
            return outcome;
        }
        hold.settle_recorded(leg, outcome);
        None
    }

    fn leg(&self, verdict: Verdict, read: &Metered) -> UserLeg {
        // Results that broke off are read again: what came of them is not what the batch took.
        let again = self.metering == Metering::BatchResults && self.end != EndReason::Complete;
        let usage = match verdict.charge {
            Charge::Nothing => Usage::NONE,
            Charge::Metered | Charge::Estimated | Charge::Bound if again => Usage::NONE,
            Charge::Metered | Charge::Estimated | Charge::Bound => read.billed(),
        };
        let (whole, list) = self.list(&usage, read);
        let amounts = list.and_then(|list| outlay(list, self.quote.zone(), self.tier));
        if whole.is_none() || amounts.is_none() {
            let model = self.quote.model();
            tracing::error!(exchange = %self.exchange, model, ?usage, "units without a price");
        }
        let basis = match verdict.charge {
            Charge::Nothing | Charge::Bound => read.basis,
            // The provider's own figures, whatever broke behind them.
            Charge::Metered => read.basis,
            Charge::Estimated if read.pending => read.basis,
            Charge::Estimated => read.basis.max(Basis::Estimated),
        };
        UserLeg {
            served: self.served,
            metered: metered(&self.quote, read, usage, basis, self.tier),
            end: self.end,
            outlay: amounts.unwrap_or(Outlay::NONE),
            linked: self.served.is_some_and(|served| Some(served.owner) == self.member_of),
        }
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // What comes back is what went in: nothing.
        self.settle(None);
    }
}

/// The ticket journal takes nothing: no exchange can be proven, so none is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct JournalAway;

/// The owner's share of what is held, which is the user's share: the most that a claim is paid which
/// no record meets.
pub(super) fn cap(held: NanoUsd, zone: Ratio, tier: Ratio) -> NanoUsd {
    if zone == Ratio::ZERO {
        return NanoUsd::ZERO;
    }
    let share = i128::from(held.nanos()) * i128::from(tier.ppm()) / i128::from(zone.ppm());
    NanoUsd::new(i64::try_from(share).unwrap_or(i64::MAX))
}

/// The row of the table that an end belongs to.
const fn cause_of(reason: EndReason) -> Cause {
    match reason {
        EndReason::Complete => Cause::Nothing,
        EndReason::UserAbort | EndReason::SlowReader => Cause::UserGone,
        EndReason::UpstreamUnreachable | EndReason::UpstreamTruncated => Cause::ProviderCut,
        EndReason::AccountFault => Cause::ProviderError,
        EndReason::TunnelLost => Cause::TunnelLost,
        EndReason::AgentFault => Cause::AgentKilled,
        EndReason::Deadline => Cause::Deadline,
        EndReason::Refused => Cause::GateClosed,
        EndReason::BalanceExhausted => Cause::BalanceExhausted,
        // A fault of the hub's own is nobody else's to pay, as its stop is not.
        EndReason::Shutdown | EndReason::Internal => Cause::Drain,
        EndReason::NodeLost => Cause::NodeKilled,
    }
}
