//! Payouts in two steps: asked for, then approved with the reference of the payment.

use super::{AMOUNT_MAX, NotDone, Wallets};
use weft_proto::ids::OwnerId;
use weft_proto::money::NanoUsd;
use weft_store::{
    House, JournalKind, LedgerAccount, Leg, Memo, Page, Payout, PayoutState, StoreError, Subject,
};

impl Wallets {
    /// Asks for a payout to `owner`. Nothing moves yet.
    ///
    /// # Errors
    /// [`NotDone::Short`] where the wallet has not as much; [`NotDone`].
    pub async fn ask_payout(
        &self,
        owner: OwnerId,
        amount: NanoUsd,
        reason: Option<Memo>,
    ) -> Result<Payout, NotDone> {
        if !amount.is_positive() || amount > AMOUNT_MAX {
            return Err(NotDone::Amount);
        }
        let account = LedgerAccount::Wallet(owner);
        let available = self.0.ledger.balance(account).await?.available();
        if available < amount {
            return Err(NotDone::Short { account, available });
        }
        let payout = Payout {
            id: Subject::generate(&*self.0.clock, &*self.0.entropy),
            owner,
            amount,
            reason,
            requested_at: self.0.clock.now(),
            state: PayoutState::Requested,
            reference: None,
            decided_at: None,
        };
        self.0.payouts.request(&payout).await?;
        Ok(payout)
    }

    /// Approves a payout: `reference` is what the payment is known by elsewhere, and its amount
    /// leaves the wallet. May be repeated with the same reference.
    ///
    /// # Errors
    /// [`NotDone::Decided`] where it was decided otherwise before, [`NotDone::Short`] where the
    /// wallet has not as much any more: the payout waits on then.
    pub async fn approve_payout(&self, id: Subject, reference: &Memo) -> Result<Payout, NotDone> {
        // The decision first: of two who decide at once one wins, and only then money moves. What
        // a crash leaves between the two is mended by approving again.
        let at = self.0.clock.now();
        let payout = self.0.payouts.decide(id, PayoutState::Approved, reference, at).await?;
        if payout.state != PayoutState::Approved || payout.reference.as_ref() != Some(reference) {
            return Err(NotDone::Decided(payout.state.name()));
        }
        let wallet = LedgerAccount::Wallet(payout.owner);
        let accounts = (wallet, LedgerAccount::House(House::Cash));
        let memo = Some(reference.clone());
        let moved =
            self.act(JournalKind::Payout, id, Leg::Payout, accounts, payout.amount, memo).await;
        match moved {
            Ok(()) => Ok(payout),
            Err(short @ NotDone::Short { .. }) => {
                self.0.payouts.reopen(id).await?;
                Err(short)
            }
            Err(other) => Err(other),
        }
    }

    /// Rejects a payout.
    ///
    /// # Errors
    /// [`NotDone::Decided`] where it was decided otherwise before.
    pub async fn reject_payout(&self, id: Subject, reason: &Memo) -> Result<Payout, NotDone> {
        let at = self.0.clock.now();
        let payout = self.0.payouts.decide(id, PayoutState::Rejected, reason, at).await?;
        match payout.state {
            PayoutState::Rejected => Ok(payout),
            PayoutState::Approved | PayoutState::Requested => {
                Err(NotDone::Decided(payout.state.name()))
            }
        }
    }

    /// The payouts of an owner, or of all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn payouts(
        &self,
        owner: Option<OwnerId>,
        page: Page<Subject>,
    ) -> Result<Vec<Payout>, StoreError> {
        self.0.payouts.list(owner, page).await
    }
}
