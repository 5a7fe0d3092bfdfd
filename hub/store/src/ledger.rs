//! The hub's ledger: balances, transfers between them, and one settlement for each exchange.
//!
//! ```text
//!  deposit      Cash ──▶ Paid(user)                    promotion   Promotions ──▶ Promo(user)
//!  lease        Paid(user) sets an amount aside (pending); a node holds exchanges against it
//!  user leg     Paid(user) ──▶ Suspense income, Margin charge − income, Rounding the odd nanos
//!  agent leg    Suspense ──▶ Vesting(owner) what is paid, Margin what is left
//!  vesting      Vesting(owner) ──▶ Wallet(owner)       payout      Wallet(owner) ──▶ Cash
//! ```
//! Two tables carry the money, after TigerBeetle: [`LedgerAccount`]s with integer balances, and
//! [`Transfer`]s, which are never changed and never deleted. A [`Settlement`] says why an exchange's
//! transfers are what they are; a [`Lease`] is what is left of a pending transfer.
//!
//! # Invariants
//! - Each transfer takes from one account what it gives to another, so that all debits and all
//!   credits are the same sum ([`Sums`]), and a balance is the sum of its transfers
//!   ([`Ledger::recompute`]).
//! - No balance is read and then written. What must not fall below a floor is one conditional
//!   `UPDATE`, and what it did not do has not happened.
//! - Every write may be repeated: the same content is found as it stands, other content under the
//!   same key is a conflict and changes nothing.
//! - A charge above what was set aside takes the balance down to its overdraft at most; the rest is
//!   the hub's loss, written as such.
//! - An agent leg is paid once, whatever is asked how often.
//!
//! Nothing here knows prices, tickets or claims: amounts come in whole.

mod account;
pub(crate) mod due;
mod journal;
pub(crate) mod lease;
pub(crate) mod money;
mod settlement;
mod transfer;
mod wanted;

pub use account::{Balance, House, LEDGER_ACCOUNT_BYTES, LedgerAccount};
pub use due::Due;
pub use journal::{
    JOURNAL_BODY_BYTES_MAX, JOURNAL_GENESIS, JournalEntry, JournalKind, JournalNote,
};
pub use lease::{GiveBack, Lease, LeaseWanted, Leased};
pub use settlement::{
    AgentLeg, Agreed, Bearer, ClaimRef, Draw, LegAnswer, LegAnswered, LegState, LegVerdict,
    Metered, Outlay, Posting, SETTLEMENTS_PER_CALL_MAX, Served, Settled, Settlement,
};
pub use transfer::{
    Cover, Leg, MEMO_CHARS_MAX, Memo, Subject, TRANSFERS_PER_CALL_MAX, Transfer, TransferKey,
    TransferKind, Transferred,
};
pub(crate) use wanted::DAY_MICROS;
pub use wanted::{
    Day, Disagreement, Party, SettlementsWanted, SpendWanted, Sums, TransfersWanted, Vesting, Whose,
};

use crate::{Page, PageSize, StoreError};
use async_trait::async_trait;
use std::fmt;
use weft_proto::ids::{ExchangeId, LeaseId, NodeId};
use weft_proto::time::Timestamp;

/// The hub's ledger.
///
/// # Cancel safety
/// Every write that has been polled is carried through although its future is dropped.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Sets an amount of a balance aside for a node: a new lease, or more for one that is open.
    /// Takes what there is, up to `wanted.wanted`, and nothing where that is less than
    /// `wanted.least`. A part that was granted before is not granted again: the lease is returned
    /// as it stands.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the lease is of another balance or node, is closed, or the
    /// part is not the next; [`StoreError::Unavailable`]; [`StoreError::Corrupt`].
    async fn lease(&self, wanted: &LeaseWanted) -> Result<Leased, StoreError>;

    /// Returns what is left of a lease to its balance, up to `back.amount`, and says how the lease
    /// stands then. A part that was returned before is not returned again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such lease; [`StoreError::Conflict`] where the
    /// part is not the next; [`StoreError::Unavailable`]; [`StoreError::Corrupt`].
    async fn give_back(&self, back: &GiveBack) -> Result<Lease, StoreError>;

    /// A lease as it stands.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find_lease(&self, lease: LeaseId) -> Result<Option<Lease>, StoreError>;

    /// The open leases of `node`, or of all nodes, in the order of ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn open_leases(
        &self,
        node: Option<NodeId>,
        page: Page<LeaseId>,
    ) -> Result<Vec<Lease>, StoreError>;

    /// Posts user legs, [`SETTLEMENTS_PER_CALL_MAX`] to a transaction, and says of each what became
    /// of it, in the order given.
    ///
    /// What a draw asks of a lease that has no longer that much is owed by the balance of the
    /// payer instead, down to the settlement's `overdraft_max` below zero; what that does not cover
    /// either is the hub's loss.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] where a number has no stored form. The
    /// whole call may be repeated then.
    async fn settle(&self, postings: &[Posting]) -> Result<Vec<Settled>, StoreError>;

    /// The settlement of an exchange, and how its agent leg stands.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn settlement(&self, exchange: ExchangeId) -> Result<Option<Agreed>, StoreError>;

    /// Those of these exchanges that are settled, each once, in no order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn settlements_of(&self, exchanges: &[ExchangeId]) -> Result<Vec<Agreed>, StoreError>;

    /// Settlements of one user, key, owner or agent, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn settlements(&self, wanted: &SettlementsWanted) -> Result<Vec<Agreed>, StoreError>;

    /// All settlements in the order of exchange ids, for exports and checks.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn all_settlements(&self, page: Page<ExchangeId>) -> Result<Vec<Agreed>, StoreError>;

    /// Settlements whose agent leg is in `state` and was due before `until`, the longest due first:
    /// open legs by the end of their claim window, disputed and uncovered ones by their deadline,
    /// paid ones by the end of vesting.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn due(
        &self,
        state: LegState,
        until: Timestamp,
        size: PageSize,
    ) -> Result<Vec<Agreed>, StoreError>;

    /// Answers agent legs: pays, disputes, refuses or expires them, one transaction for all, and
    /// says of each how its leg stands then. Whatever is final is not done again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`]. The whole call may be repeated then.
    async fn answer(&self, answers: &[LegAnswer]) -> Result<Vec<LegAnswered>, StoreError>;

    /// Moves the income of paid agent legs from vesting to the owners' wallets and returns how many
    /// were moved. Legs in another state are left as they are, and so are legs that were paid more
    /// than their user has covered and nobody decided: there should be none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn vest(&self, exchanges: &[ExchangeId], at: Timestamp) -> Result<u64, StoreError>;

    /// Makes transfers that belong to no exchange, and the entries of the journal that say why, all
    /// or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a key is taken by another content;
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`].
    async fn transfer(
        &self,
        transfers: &[Transfer],
        cover: Cover,
        notes: &[JournalNote],
    ) -> Result<Transferred, StoreError>;

    /// One transfer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn find_transfer(&self, key: TransferKey) -> Result<Option<Transfer>, StoreError>;

    /// The transfers of one subject in the order of legs and parts: all of an exchange's, for one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn transfers_of(&self, subject: Subject) -> Result<Vec<Transfer>, StoreError>;

    /// The transfers of all these subjects, each subject's together and in the same order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn transfers_of_all(&self, subjects: &[Subject]) -> Result<Vec<Transfer>, StoreError>;

    /// The transfers of one user or owner that belong to no exchange and no lease, the latest
    /// first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn transfers(&self, wanted: &TransfersWanted) -> Result<Vec<Transfer>, StoreError>;

    /// A balance; all zero where the account was never used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn balance(&self, account: LedgerAccount) -> Result<Balance, StoreError>;

    /// All balances, in the order of accounts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn balances(&self, page: Page<LedgerAccount>) -> Result<Vec<Balance>, StoreError>;

    /// What was charged, by days in UTC, the days without anything left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn spent(&self, wanted: &SpendWanted) -> Result<Vec<Day>, StoreError>;

    /// The sums that must agree, of one moment.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn sums(&self) -> Result<Sums, StoreError>;

    /// Holds every balance against the sum of its transfers and returns the ones that differ. Reads
    /// the whole table of transfers: not for a hot path.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn recompute(&self) -> Result<Vec<Disagreement>, StoreError>;

    /// Holds what each owner has in vesting against what its paid legs come to, and returns the
    /// ones that differ. Reads all legs that rest: not for a hot path.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn vesting(&self) -> Result<Vec<Vesting>, StoreError>;

    /// Appends to the hub's own chained journal, all or none, and returns the entries as they
    /// stand there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn note(&self, notes: &[JournalNote]) -> Result<Vec<JournalEntry>, StoreError>;

    /// The journal in its order, from the entry after number `after`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn journal(&self, page: Page<u64>) -> Result<Vec<JournalEntry>, StoreError>;

    /// The last entry of the journal.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn journal_head(&self) -> Result<Option<JournalEntry>, StoreError>;
}
