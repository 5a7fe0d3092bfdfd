//! Money of people: deposits, credit, codes, income, payouts, statements.
//!
//! Everything here is an act of somebody, outside of any exchange. Each is a transfer and an entry
//! of the hub's chained journal, written together or not at all, and repeated without harm.
//!
//! # Invariants
//! - Amounts are whole nano-USD, at least one and at most [`AMOUNT_MAX`].
//! - Promotional credit is never given to a user who belongs to an owner: the pair could spend it at
//!   its own accounts and have it paid out.
//! - A code's text is in one answer, the one to its making; kept is its SHA-256.
//! - A payout moves what is vested and nothing else, once, after somebody approved it.
//!
//! Nothing here admits an exchange, or knows a price.

mod codes;
mod disputes;
mod note;
mod payouts;
mod statement;
mod verify;

pub use codes::{CODE_TEXT_BYTES, MadeCodes};
pub use disputes::{Decision, Proves};
pub use statement::{Line, LineKind, Statement};
pub use verify::{Finding, Report};

use std::fmt;
use std::sync::Arc;
use weft_proto::entropy::Entropy;
use weft_proto::ids::{OwnerId, UserId};
use weft_proto::money::NanoUsd;
use weft_proto::time::{Clock, Timestamp};
use weft_store::{
    Balance, Codes, Cover, Day, House, JournalKind, JournalNote, Ledger, LedgerAccount, Leg,
    LegState, Memo, PAGE_ROWS_MAX, PageSize, Payouts, Receipts, SpendWanted, Store, StoreError,
    Subject, Transfer, TransferKey, TransferKind, Transferred, User,
};

/// The most that one act moves: a million USD.
pub const AMOUNT_MAX: NanoUsd = NanoUsd::new(1_000_000_000_000_000);

/// What an act gives to, or takes from, a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreditKind {
    /// Money that came in.
    Deposit,
    /// Credit given by the hub.
    Promotion,
    /// A correction; may be negative.
    Adjustment,
    /// Money that went back.
    Refund,
}

impl CreditKind {
    /// The name in reports and requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Promotion => "promotion",
            Self::Adjustment => "adjustment",
            Self::Refund => "refund",
        }
    }

    const fn journal(self) -> JournalKind {
        match self {
            Self::Deposit => JournalKind::Deposit,
            Self::Promotion => JournalKind::Promotion,
            Self::Adjustment => JournalKind::Adjustment,
            Self::Refund => JournalKind::Payout,
        }
    }
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The amount is out of bounds.
    #[error("want an amount of 0.000000001 to {AMOUNT_MAX} USD")]
    Amount,
    /// An adjustment or a refund without a reason.
    #[error("say why: this needs a reason")]
    Reason,
    /// The user belongs to an owner.
    #[error(
        "user {user} belongs to an owner: promotional credit could be spent at the owner's own \
         accounts and be paid out; give it to users without an owner, or deposit money"
    )]
    LinkedPromotion {
        /// The user's name.
        user: String,
    },
    /// The account has less.
    #[error("{account} has {available} USD that can be moved")]
    Short {
        /// The account.
        account: LedgerAccount,
        /// What it has.
        available: NanoUsd,
    },
    /// There is no such thing.
    #[error("no such {0}")]
    Unknown(&'static str),
    /// The code was redeemed by somebody else.
    #[error("the code was redeemed before")]
    CodeTaken,
    /// The code's time is over.
    #[error("the code has expired")]
    CodeExpired,
    /// The payout was decided otherwise before.
    #[error("the payout is {0} already")]
    Decided(&'static str),
    /// The agent leg is not disputed, or was decided otherwise before.
    #[error("the exchange is not disputed: its agent leg is {0}")]
    NotDisputed(&'static str),
    /// More than the hub's own record pays, or than the agent claims.
    #[error("a dispute of this exchange pays {most} USD at most: {why}")]
    AboveDispute {
        /// What it pays at most.
        most: NanoUsd,
        /// Who says so.
        why: &'static str,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an act came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credited {
    /// The act.
    pub subject: Subject,
    /// The balance that it changed, afterwards.
    pub balance: Balance,
}

/// The balances of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserBalances {
    /// Money.
    pub paid: Balance,
    /// Promotional credit.
    pub promo: Balance,
}

impl UserBalances {
    /// What both are together, what is set aside for running exchanges included.
    #[must_use]
    pub const fn posted(&self) -> NanoUsd {
        self.paid.posted().saturating_add(self.promo.posted())
    }

    /// The same without what is set aside.
    #[must_use]
    pub const fn available(&self) -> NanoUsd {
        self.paid.available().saturating_add(self.promo.available())
    }
}

/// The room of people's money. Cheap to clone.
#[derive(Clone)]
pub struct Wallets(Arc<Inner>);

struct Inner {
    ledger: Arc<dyn Ledger>,
    receipts: Arc<dyn Receipts>,
    codes: Arc<dyn Codes>,
    payouts: Arc<dyn Payouts>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Wallets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallets").finish_non_exhaustive()
    }
}

impl Wallets {
    /// A room over `store`.
    #[must_use]
    pub fn new(store: &dyn Store, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let (ledger, receipts) = (store.ledger(), store.receipts());
        let (codes, payouts) = (store.codes(), store.payouts());
        Self(Arc::new(Inner { ledger, receipts, codes, payouts, clock, entropy }))
    }

    /// Gives `amount` to a user, or takes it where it is an adjustment below zero or a refund.
    ///
    /// # Errors
    /// [`NotDone`]; nothing has moved then.
    pub async fn credit(
        &self,
        user: &User,
        kind: CreditKind,
        amount: NanoUsd,
        reason: Option<Memo>,
    ) -> Result<Credited, NotDone> {
        let subject = Subject::generate(&*self.0.clock, &*self.0.entropy);
        let paid = LedgerAccount::Paid(user.id);
        let house = LedgerAccount::House;
        let (leg, debit, credit, amount) = match kind {
            CreditKind::Deposit => (Leg::Deposit, house(House::Cash), paid, amount),
            CreditKind::Promotion => {
                self.unlinked(user)?;
                let promo = LedgerAccount::Promo(user.id);
                (Leg::Promotion, house(House::Promotions), promo, amount)
            }
            CreditKind::Adjustment if amount.is_negative() => {
                let up = NanoUsd::ZERO.checked_sub(amount).ok_or(NotDone::Amount)?;
                (Leg::Adjustment, paid, house(House::Adjustments), up)
            }
            CreditKind::Adjustment => (Leg::Adjustment, house(House::Adjustments), paid, amount),
            CreditKind::Refund => (Leg::Refund, paid, house(House::Cash), amount),
        };
        let reasoned = match kind {
            CreditKind::Adjustment | CreditKind::Refund => reason.is_some(),
            CreditKind::Deposit | CreditKind::Promotion => true,
        };
        if !reasoned {
            return Err(NotDone::Reason);
        }
        let own = if debit.party().is_some() { debit } else { credit };
        self.act(kind.journal(), subject, leg, (debit, credit), amount, reason).await?;
        let balance = self.0.ledger.balance(own).await?;
        Ok(Credited { subject, balance })
    }

    /// What a user has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn balances(&self, user: UserId) -> Result<UserBalances, StoreError> {
        let paid = self.0.ledger.balance(LedgerAccount::Paid(user)).await?;
        let promo = self.0.ledger.balance(LedgerAccount::Promo(user)).await?;
        Ok(UserBalances { paid, promo })
    }

    /// What an owner has: still vesting, and in the wallet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wallet(&self, owner: OwnerId) -> Result<(Balance, Balance), StoreError> {
        let vesting = self.0.ledger.balance(LedgerAccount::Vesting(owner)).await?;
        let wallet = self.0.ledger.balance(LedgerAccount::Wallet(owner)).await?;
        Ok((vesting, wallet))
    }

    /// What a user was charged, by days in UTC.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn spent(&self, wanted: &SpendWanted) -> Result<Vec<Day>, StoreError> {
        self.0.ledger.spent(wanted).await
    }

    /// Moves all income whose dispute window is over to its owners' wallets, and returns of how
    /// many exchanges.
    ///
    /// # Errors
    /// [`StoreError`]; what was moved before stays moved.
    ///
    /// # Cancel safety
    /// A dropped call leaves the rest for the next one.
    pub async fn vest(&self) -> Result<u64, StoreError> {
        let now = self.0.clock.now();
        let size = PageSize::clamped(PAGE_ROWS_MAX);
        let mut moved = 0;
        loop {
            let due = self.0.ledger.due(LegState::Paid, now, size).await?;
            let exchanges: Vec<_> = due.iter().map(|row| row.settlement.exchange).collect();
            if exchanges.is_empty() {
                return Ok(moved);
            }
            let done = self.0.ledger.vest(&exchanges, now).await?;
            moved += done;
            // What another node moved meanwhile is no longer due; what stays due would come again.
            if done == 0 {
                return Ok(moved);
            }
        }
    }

    /// Writes to the journal that somebody's terms were changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_terms(&self, what: &[(&str, &str)]) -> Result<(), StoreError> {
        self.note(JournalKind::Terms, what).await
    }

    /// Writes to the journal that a key was made or revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_key(&self, what: &[(&str, &str)]) -> Result<(), StoreError> {
        self.note(JournalKind::UserKey, what).await
    }

    /// Writes to the journal that an agent joined or was revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_agent(&self, what: &[(&str, &str)]) -> Result<(), StoreError> {
        self.note(JournalKind::Agent, what).await
    }

    async fn note(&self, kind: JournalKind, what: &[(&str, &str)]) -> Result<(), StoreError> {
        let note = JournalNote { kind, body: note::body(what), at: self.0.clock.now() };
        self.0.ledger.note(&[note]).await.map(drop)
    }

    /// Refuses promotional credit for a user who belongs to an owner.
    fn unlinked(&self, user: &User) -> Result<(), NotDone> {
        match user.owner {
            Some(_) => Err(NotDone::LinkedPromotion { user: user.name.to_string() }),
            None => Ok(()),
        }
    }

    /// One transfer with its entry in the journal.
    async fn act(
        &self,
        kind: JournalKind,
        subject: Subject,
        leg: Leg,
        (debit, credit): (LedgerAccount, LedgerAccount),
        amount: NanoUsd,
        memo: Option<Memo>,
    ) -> Result<(), NotDone> {
        if !amount.is_positive() || amount > AMOUNT_MAX {
            return Err(NotDone::Amount);
        }
        let at: Timestamp = self.0.clock.now();
        let transfer = Transfer {
            key: TransferKey { subject, leg, part: 0 },
            kind: TransferKind::Direct,
            debit,
            credit,
            amount,
            lease: None,
            memo,
            at,
        };
        let note = JournalNote { kind, body: note::of_transfer(&transfer), at };
        match self.0.ledger.transfer(&[transfer], Cover::Covered, &[note]).await? {
            Transferred::Short { account, available } => Err(NotDone::Short { account, available }),
            Transferred::Done | Transferred::Already => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
