//! Disputes, as a person decides them.
//!
//! The journal says what was decided and why before anything moves. The agent hears of it when it
//! claims again, as it does with everything that it has no final word of: the store's answer is the
//! acknowledgement.

use super::{NotDone, Wallets, note};
use weft_proto::ids::ExchangeId;
use weft_proto::money::NanoUsd;
use weft_store::{
    Agreed, ClaimRef, JournalKind, JournalNote, LegAnswer, LegAnswered, LegState, LegVerdict, Memo,
    PAGE_ROWS_MAX, PageSize,
};

/// What a kept evidence says that the claim claims, where it is about it.
pub type Proves = fn(&[u8], &ClaimRef) -> Option<NanoUsd>;

/// What is decided about a disputed agent leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The agent earns this much.
    Pay(NanoUsd),
    /// The agent earns nothing.
    Refuse,
}

impl Decision {
    const fn verdict(self) -> LegVerdict {
        match self {
            Self::Pay(amount) => LegVerdict::Decide(amount),
            Self::Refuse => LegVerdict::Refuse,
        }
    }

    /// Whether a leg stands as this decision leaves it.
    fn is_done(self, agreed: &Agreed) -> bool {
        match (self, agreed.leg.state) {
            (Self::Pay(amount), LegState::Paid | LegState::Vested) => agreed.leg.paid == amount,
            (Self::Refuse, LegState::Refused) => true,
            (
                Self::Pay(_) | Self::Refuse,
                LegState::Absent
                | LegState::Open
                | LegState::Paid
                | LegState::Disputed
                | LegState::Uncovered
                | LegState::Expired
                | LegState::Refused
                | LegState::Vested,
            ) => false,
        }
    }
}

impl Wallets {
    /// Decides the dispute of an exchange. What is paid is the owner's at once: whoever decides has
    /// looked, and there is no further window. May be repeated.
    ///
    /// `proves` reads the evidence.
    ///
    /// # Errors
    /// [`NotDone::NotDisputed`] where the leg is neither disputed nor uncovered, or was decided
    /// otherwise;
    /// [`NotDone::AboveDispute`] for more than the hub's record or the agent's claim says;
    /// [`NotDone`].
    pub async fn decide(
        &self,
        exchange: ExchangeId,
        decision: Decision,
        reason: &Memo,
        proves: Proves,
    ) -> Result<Agreed, NotDone> {
        let agreed = self.settled(exchange).await?;
        if decision.is_done(&agreed) {
            return Ok(agreed);
        }
        if !matches!(agreed.leg.state, LegState::Disputed | LegState::Uncovered) {
            return Err(NotDone::NotDisputed(agreed.leg.state.name()));
        }
        let (verdict, amount) = match decision {
            Decision::Pay(amount) => {
                self.payable(&agreed, amount, proves).await?;
                ("pay", amount)
            }
            Decision::Refuse => ("refuse", NanoUsd::ZERO),
        };
        let at = self.0.clock.now();
        let facts = [
            ("exchange", exchange.to_string()),
            ("decision", verdict.to_owned()),
            ("amount", amount.to_string()),
            ("reason", reason.to_string()),
        ];
        let facts: Vec<_> = facts.iter().map(|(name, fact)| (*name, fact.as_str())).collect();
        let note = JournalNote { kind: JournalKind::Decision, body: note::body(&facts), at };
        self.0.ledger.note(&[note]).await?;
        let answer =
            LegAnswer { exchange, verdict: decision.verdict(), claim: None, at, due_at: at };
        let answered = self.0.ledger.answer(&[answer]).await?;
        let agreed = self.settled(exchange).await?;
        match answered.as_slice() {
            [LegAnswered::Done(_)] => {
                tracing::info!(%exchange, verdict, %amount, "a dispute is decided");
                Ok(agreed)
            }
            // Somebody else, or the deadline, was faster.
            _ if decision.is_done(&agreed) => Ok(agreed),
            _ => Err(NotDone::NotDisputed(agreed.leg.state.name())),
        }
    }

    async fn settled(&self, exchange: ExchangeId) -> Result<Agreed, NotDone> {
        self.0.ledger.settlement(exchange).await?.ok_or(NotDone::Unknown("settled exchange"))
    }

    /// Sees that so much may be paid.
    async fn payable(
        &self,
        agreed: &Agreed,
        amount: NanoUsd,
        proves: Proves,
    ) -> Result<(), NotDone> {
        if !amount.is_positive() {
            return Err(NotDone::Amount);
        }
        let income = agreed.settlement.outlay.income;
        let claimed = match &agreed.leg.claim {
            Some(claim) => self.claimed(agreed.settlement.exchange, claim, proves).await?,
            None => None,
        };
        let (most, why) = match claimed {
            // The agent's ledger takes no acknowledgement above its own claim.
            Some(claimed) if claimed < income => (claimed, "the agent claims no more"),
            Some(_) | None => (income, "the hub's own figures pay no more"),
        };
        if amount > most { Err(NotDone::AboveDispute { most, why }) } else { Ok(()) }
    }

    /// What the disputed CLOSE claims, by the evidence that was kept of it.
    async fn claimed(
        &self,
        exchange: ExchangeId,
        claim: &ClaimRef,
        proves: Proves,
    ) -> Result<Option<NanoUsd>, NotDone> {
        let size = PageSize::clamped(PAGE_ROWS_MAX);
        let findings = self.0.receipts.findings_about(exchange, size).await?;
        Ok(findings.iter().find_map(|found| proves(&found.evidence, claim)))
    }
}
