//! Later: responses that their provider makes after it has answered, and that are billed then.
//!
//! ```text
//!  POST ─▶ `queued`: the bill is written down ─▶ the id goes out ─▶ settled at nothing, hold kept
//!             the hub reads the response, free, until it has ended
//!             └▶ and once more, with terms and the hold: that read is settled with its usage
//! ```
//! A read of the hub's own is an exchange like any other: it goes to the account under which the
//! response lives, by a ticket, and its agent meters and claims it. Users read the response as often
//! as they like, at no cost.
//!
//! # Invariants
//! - A response id of this kind reaches nobody before its bill is in the store.
//! - The read that is to bill a response is named in the store before it is sent, and no second one
//!   is begun while it is not known what the first was settled for: a response is billed once,
//!   whoever reads it, and whatever dies in between.
//! - Where that is not known for good (a ticket of a process that died), the agent's claim is waited
//!   for first.

mod clerk;
mod read;

use super::till::Tab;
use crate::ledger::Hold;
use crate::objects::Unrecorded;
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use weft_proto::ids::{ExchangeId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::objects::ObjectId;
use weft_proto::provider::Provider;
use weft_proto::tables::routes;
use weft_proto::tables::target::Target;
use weft_proto::time::Timestamp;
use weft_store::{Home, PendingBill, PendingBills, StoreError, TARGET_BYTES_MAX};

/// Responses that one node waits for at once. More are refused before they are asked for.
const PENDING_MAX: usize = 1_024;

/// The responses that this node is to bill. Cheap to clone; every clone means the same.
#[derive(Debug, Clone)]
pub(super) struct Later(Arc<Inner>);

struct Inner {
    bills: Arc<dyn PendingBills>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// What is held for each, by the exchange that asked for it.
    holds: BTreeMap<ExchangeId, Hold>,
    /// Reads of this process that an agent has a ticket of.
    sent: BTreeSet<ExchangeId>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").field("bills", &self.bills).finish_non_exhaustive()
    }
}

impl Later {
    pub(super) fn new(bills: Arc<dyn PendingBills>) -> Self {
        Self(Arc::new(Inner { bills, state: Mutex::default(), wake: Notify::new() }))
    }

    /// Whether no more of them can be waited for.
    pub(super) fn is_full(&self) -> bool {
        self.state().holds.len() >= PENDING_MAX
    }

    /// Keeps what is held for the response that an exchange asked for.
    pub(super) fn keep_hold(&self, made_by: ExchangeId, hold: Hold) {
        drop(self.state().holds.insert(made_by, hold));
        self.0.wake.notify_one();
    }

    /// An agent has the ticket of a read that is to bill a response.
    pub(super) fn sent(&self, read: ExchangeId) {
        self.state().sent.insert(read);
    }

    /// Whether a user's response of this id is still to be billed.
    pub(super) async fn owes(&self, user: UserId, response: &ObjectId) -> Result<bool, StoreError> {
        self.0.bills.owes(user, response).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bill of a response that is not known yet.
#[derive(Debug, Clone)]
pub(super) struct Owing {
    later: Later,
    provider: Provider,
    /// Where responses are asked for.
    asked_at: Target,
    facts: Facts,
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
        takes_later(provider, tab.route_name()).then(|| tab.facts()).flatten().map(|facts| Self {
            later,
            provider,
            asked_at: asked_at.clone(),
            facts,
        })
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
        Some(PendingBill {
            made_by,
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
        let kept = self.later.0.bills.keep(bill).await;
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

/// Whether a route can make responses that are billed later.
pub(super) fn takes_later(provider: Provider, route: &str) -> bool {
    let theirs = match provider {
        Provider::OpenAi | Provider::Azure => true,
        Provider::Anthropic | Provider::DeepSeek => false,
    };
    theirs && route == "responses"
}
