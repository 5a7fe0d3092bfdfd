//! What is billed later, as the ledger sees it: exchanges that another one bills instead, and what
//! was used before anybody could hold for it.

use super::hold::{self, Hold, UserLeg};
use super::{HoldRefused, Ledger, Payer};
use weft_proto::codes::EndReason;
use weft_proto::ids::ExchangeId;
use weft_proto::money::NanoUsd;
use weft_proto::usage::Usage;
use weft_store::{Agreed, Bearer, Metered, Outlay, Settled, SpendLimits, StoreError};

/// What is held where nothing can be.
const NOTHING_HELD: NanoUsd = NanoUsd::new(1);

/// Whether an exchange took, cost and earned nothing.
#[must_use]
pub(crate) fn is_nothing(agreed: &Agreed) -> bool {
    let Outlay { charge, income, .. } = agreed.settlement.outlay;
    agreed.settlement.metered.usage.is_none() && (charge, income) == (NanoUsd::ZERO, NanoUsd::ZERO)
}

impl Ledger {
    /// Settles an exchange of `payer` at nothing, because another one is to bill what it would have,
    /// and says whether it stands so: for good, whatever is claimed or settled of it later. `false`
    /// where it is settled at something. What an orphan of this node's held is free again.
    ///
    /// # Errors
    /// [`StoreError`]; the same may be said again.
    ///
    /// # Cancel safety
    /// A dropped call may have settled it; the same may be said again.
    pub async fn supersede(
        &self,
        payer: &Payer,
        exchange: ExchangeId,
        metered: Metered,
    ) -> Result<bool, StoreError> {
        let shared = &self.0;
        let leg = UserLeg {
            served: None,
            metered: Metered { usage: Usage::NONE, ..metered },
            end: EndReason::Internal,
            outlay: Outlay { bearer: Bearer::Elsewhere, ..Outlay::NONE },
            linked: false,
        };
        let posting = hold::posting(self, payer, exchange, &[], 0, Vec::new(), leg);
        let settled = shared.store.settle(std::slice::from_ref(&posting)).await?;
        let stands = match settled.first() {
            Some(Settled::Fresh { .. } | Settled::Already) => true,
            // Settled before, by its own end or by a claim.
            Some(Settled::Conflict) | None => {
                self.settled(exchange).await?.as_ref().is_some_and(is_nothing)
            }
        };
        if stands && let Some(orphan) = shared.orphans.take(exchange) {
            shared.purses.pocket(orphan.user).purse().release(&orphan.parts);
            self.forget(exchange);
        }
        Ok(stands)
    }

    /// Admits an exchange for what was used before: nothing is held, and what it comes to is owed by
    /// the balance, down to the overdraft.
    ///
    /// # Errors
    /// [`HoldRefused::Busy`] where no settlement can wait.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn owe(&self, payer: &Payer, exchange: ExchangeId) -> Result<Hold, HoldRefused> {
        // A limit on what a key may begin to spend does not limit what it has spent.
        let payer = Payer { limits: SpendLimits::default(), ..*payer };
        let place = self.0.settler.reserve().ok_or(HoldRefused::Busy)?;
        let spend = self.0.spending.hold(&payer, NOTHING_HELD).await?;
        let taken = self.0.purses.owe(payer.user);
        Ok(Hold::new(self.clone(), payer, exchange, taken, spend, place))
    }
}
