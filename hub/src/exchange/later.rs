//! Later: responses, and batches ([`batch`]), that their provider makes after it has answered, and
//! that are billed then.
//!
//! ```text
//!  POST ─▶ `queued`: the bill is written down ─▶ the id goes out ─▶ settled at nothing, hold kept
//!             the hub reads the response, free, until it has ended
//!             └▶ and once more, with terms and the hold: that read is settled with its usage
//! ```
//! A read of the hub's own is an exchange like any other: it goes to the account under which the
//! response lives, by a ticket, and its agent meters and claims it. Users read the response as often
//! as they like, at no cost. An answer that was cut before its figures had come, and whose response
//! its provider keeps, is billed in the same way ([`cut`]).
//!
//! # Invariants
//! - A response id of this kind reaches nobody before its bill is in the store.
//! - The read that is to bill a response is named in the store before it is sent, and none is named
//!   before the one before it is settled at nothing, for good: the store looks at both in one
//!   transaction ([`PendingBills::bill_by`]). A response is billed once, whoever reads it, whatever
//!   dies in between, and however many nodes look after it.
//! - What a read that was given up is claimed for later is refused, with evidence: another one
//!   bills the same response.
//! - One node at a time looks after a bill. When it dies, its bills pass to another after
//!   [`TENDED_FOR`].

mod batch;
mod clerk;
mod cut;
mod read;

pub(super) use cut::{Cut, Made};
pub(super) use read::Reader;

use super::Spine;
use super::till::{Reading, Tab};
use crate::ledger::Hold;
use crate::objects::Unrecorded;
use crate::pricing::Quote;
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use weft_proto::ids::{ExchangeId, NodeId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::objects::{ObjectId, ObjectKind};
use weft_proto::provider::Provider;
use weft_proto::tables::routes;
use weft_proto::tables::target::Target;
use weft_proto::time::{Clock, Timestamp};
use weft_store::{
    BillKind, Home, PendingBill, PendingBills, StoreError, TARGET_BYTES_MAX, Tending,
};

/// Responses that one node waits for at once. More are refused before they are asked for.
const PENDING_MAX: usize = 1_024;

/// How long a node looks after a bill without saying so anew: longer than one read of it takes.
const TENDED_FOR: Duration = Duration::from_secs(120);

/// The responses that this node is to bill. Cheap to clone; every clone means the same.
#[derive(Debug, Clone)]
pub(super) struct Later(Arc<Inner>);

struct Inner {
    bills: Arc<dyn PendingBills>,
    node: NodeId,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// What is held for each, by the exchange that asked for it.
    holds: BTreeMap<ExchangeId, Hold>,
    /// Reads of this process that an agent has a ticket of.
    sent: BTreeSet<ExchangeId>,
    /// Bills that this node looked after when it looked last.
    open: usize,
    /// Answers that were cut, by their exchange.
    cuts: BTreeMap<ExchangeId, Cut>,
    /// Whether anybody looks after these.
    runs: bool,
}

impl State {
    fn is_full(&self) -> bool {
        (self.holds.len() + self.cuts.len()).max(self.open) >= PENDING_MAX
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").field("bills", &self.bills).finish_non_exhaustive()
    }
}

impl Later {
    pub(super) fn new(bills: Arc<dyn PendingBills>, node: NodeId, clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { bills, node, clock, state, wake: Notify::new() }))
    }

    /// Whether no more of them can be waited for.
    pub(super) fn is_full(&self) -> bool {
        self.state().is_full()
    }

    /// That this node looks after a bill from now on.
    fn tending(&self) -> Tending {
        let at = self.0.clock.now();
        Tending { node: self.0.node, at, until: at.after(TENDED_FOR) }
    }

    /// Keeps what is held for the response that an exchange asked for.
    pub(super) fn keep_hold(&self, made_by: ExchangeId, hold: Hold) {
        drop(self.state().holds.insert(made_by, hold));
        self.0.wake.notify_one();
    }

    /// Takes an answer that was cut. Where no more can be waited for, it is charged by what was
    /// handed on, at once.
    pub(super) fn cut(&self, cut: Cut) {
        let mut state = self.state();
        if state.runs && !state.is_full() {
            let before = state.cuts.insert(cut.bill.made_by, cut);
            drop(state);
            drop(before);
            self.0.wake.notify_one();
            return;
        }
        drop(state);
        drop(cut);
    }

    /// What is held for the response that an exchange asked for.
    #[cfg(test)]
    pub(super) fn held(&self, made_by: ExchangeId) -> Option<Hold> {
        self.state().holds.remove(&made_by)
    }

    /// An agent has the ticket of a read that is to bill a response.
    pub(super) fn sent(&self, read: ExchangeId) {
        self.state().sent.insert(read);
    }

    /// Whether a user's response of this id is still to be billed.
    pub(super) async fn owes(&self, user: UserId, response: &ObjectId) -> Result<bool, StoreError> {
        let is_theirs = |bill: &PendingBill| bill.user == user && bill.response == *response;
        if self.state().cuts.values().any(|cut| is_theirs(&cut.bill)) {
            return Ok(true);
        }
        self.0.bills.owes(user, response).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spine {
    /// Which of a user's batches run, or have ended and are not billed yet; `None` where the hub
    /// bills nothing, so that it does not know.
    pub(crate) async fn made_yet<'o>(
        &self,
        user: UserId,
        batches: impl Iterator<Item = &'o ObjectId>,
    ) -> Result<Option<BTreeSet<&'o ObjectId>>, StoreError> {
        let Some(till) = &self.0.needs.till else { return Ok(None) };
        let mut running = BTreeSet::new();
        for batch in batches {
            if till.later().owes(user, batch).await? {
                running.insert(batch);
            }
        }
        Ok(Some(running))
    }
}

/// The bill of a response that is not known yet.
#[derive(Debug, Clone)]
pub(super) struct Owing {
    later: Later,
    kind: BillKind,
    provider: Provider,
    /// Where responses are asked for.
    asked_at: Target,
    facts: Facts,
    /// Whether it is billed after its answer, however that ends.
    is_due: bool,
    made: Made,
    /// The dearest price, where the request names its model late, and what has been read of it.
    late: Option<(Quote, Reading)>,
}

/// What a tab knows of it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) made_by: ExchangeId,
    pub(super) payer: crate::ledger::Payer,
    pub(super) model: ModelName,
    pub(super) book: weft_proto::prices::BookHash,
    pub(super) priced_at: Timestamp,
    pub(super) zone: weft_proto::money::Ratio,
    pub(super) held: weft_proto::money::NanoUsd,
    pub(super) member_of: Option<OwnerId>,
}

impl Owing {
    /// What an exchange with this tab will owe, where its route can make such responses.
    pub(super) fn of(tab: &Tab, provider: Provider, asked_at: &Target) -> Option<Self> {
        let later = tab.later().clone();
        let kind = kind_of(provider, tab.route_name())?;
        tab.facts().map(|facts| Self {
            later,
            kind,
            provider,
            asked_at: asked_at.clone(),
            facts,
            is_due: true,
            made: tab.made(),
            late: tab.late().map(|quote| (quote, tab.reading())),
        })
    }

    /// What its answer makes known that is billed.
    pub(super) const fn makes(&self) -> ObjectKind {
        match self.kind {
            BillKind::Response => ObjectKind::Response,
            BillKind::Batch => ObjectKind::Batch,
        }
    }

    /// Says whether it is billed after its answer, however that ends; otherwise only where its answer
    /// is cut.
    pub(super) const fn is_due_where(&mut self, later: bool) {
        self.is_due = later;
    }

    /// Whether it is.
    pub(super) const fn is_due(&self) -> bool {
        self.is_due
    }

    /// The answer has told which response it is of.
    pub(super) fn known(&self, home: Home, response: ObjectId, made_at: Timestamp) {
        if let Some(bill) = self.bill(home, response, made_at) {
            self.made.known(bill);
        }
    }

    /// The bill of `response`; `None` where it cannot be read.
    pub(super) fn bill(
        &self,
        home: Home,
        response: ObjectId,
        made_at: Timestamp,
    ) -> Option<PendingBill> {
        let query = self.asked_at.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{}/{}{query}", self.asked_at.path(), response.as_str());
        let path = Target::parse(&target).ok().filter(|_| target.len() <= TARGET_BYTES_MAX)?;
        routes::find(self.provider, &Method::GET, path.path()).ok()?;
        let Facts { made_by, payer, model, book, priced_at, zone, held, member_of } =
            self.facts.clone();
        // By now the request has named it.
        let named = self.late.as_ref().and_then(|(dearest, reading)| {
            let quote = dearest.for_model(reading.asked().model.as_deref()?)?;
            ModelName::parse(quote.model()).ok()
        });
        let model = named.unwrap_or(model);
        Some(PendingBill {
            made_by,
            kind: self.kind,
            home,
            response,
            provider: self.provider,
            user: payer.user,
            key: payer.key,
            target,
            model,
            book,
            priced_at,
            zone,
            held,
            linked: member_of == Some(home.owner),
            billed_by: None,
            made_at,
        })
    }

    /// Writes a bill down.
    pub(super) async fn keep(&self, bill: &PendingBill) -> Result<(), Unrecorded> {
        let kept = self.later.0.bills.keep(bill, &self.later.tending()).await;
        let fresh = kept.map_err(|error| {
            tracing::error!(%error, exchange = %bill.made_by, "a bill cannot be kept");
            Unrecorded
        })?;
        if !fresh {
            tracing::info!(exchange = %bill.made_by, "the response is billed for another exchange");
        }
        self.later.0.wake.notify_one();
        Ok(())
    }
}

/// What a route can make that is billed later.
fn kind_of(provider: Provider, route: &str) -> Option<BillKind> {
    if route == "batch_make" {
        return Some(BillKind::Batch);
    }
    takes_later(provider, route).then_some(BillKind::Response)
}

/// Whether a route can make responses that are billed later.
pub(super) fn takes_later(provider: Provider, route: &str) -> bool {
    let theirs = match provider {
        Provider::OpenAi | Provider::Azure => true,
        Provider::Anthropic | Provider::DeepSeek => false,
    };
    theirs && route == "responses"
}
