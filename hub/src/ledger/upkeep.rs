//! What happens beside the exchanges: purses are filled and emptied, what keys with limits have spent
//! at other nodes is looked at, orphans and agent legs come to their end, income vests, and the sums
//! that must agree are held against one another.

use super::Ledger;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use weft_proto::causes::causes;
use weft_store::{Agreed, LegAnswer, LegState, LegVerdict, PAGE_ROWS_MAX, PageSize, StoreError};

/// Between two looks at what is idle or due.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Between two looks at the sums.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Pages of legs that one look answers at most; the next look goes on.
const PAGES_PER_LOOK: usize = 16;

/// The upkeep of a ledger.
#[derive(Debug)]
pub(super) struct Upkeep {
    ledger: Ledger,
}

impl Upkeep {
    pub(super) const fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Runs until `stopping`.
    pub(super) async fn run(self, stopping: CancellationToken) {
        let shared = &self.ledger.0;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut check = tokio::time::interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let filling = shared.purses.keep_filled();
        let knowing = shared.spending.keep_known();
        let looking = async {
            loop {
                tokio::select! {
                    biased;
                    _ = look.tick() => self.look().await,
                    _ = check.tick() => self.check().await,
                }
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = filling => {}
            () = knowing => {}
            () = looking => {}
        }
    }

    async fn look(&self) {
        let shared = &self.ledger.0;
        shared.purses.give_back_idle().await;
        let expired = self.ledger.expire_orphans();
        if expired > 0 {
            tracing::warn!(expired, "holds of exchanges that nobody claimed are released");
        }
        shared.metrics.orphans(shared.orphans.count());
        match shared.purses.reclaim().await {
            Ok(0) => {}
            Ok(leases) => tracing::warn!(leases, "leases of nodes that never came back are closed"),
            Err(error) => tracing::warn!(error = %causes(&error), "old leases stay open"),
        }
        let [unclaimed, undecided, uncovered] = [
            self.expire(LegState::Open).await,
            self.expire(LegState::Disputed).await,
            self.expire(LegState::Uncovered).await,
        ]
        .map(|expired| {
            expired.unwrap_or_else(|error| {
                tracing::warn!(error = %causes(&error), "agent legs that are due stay");
                0
            })
        });
        if unclaimed + undecided + uncovered > 0 {
            // Nothing of it is wrong: it says that nobody came, and that nobody looked.
            tracing::warn!(
                unclaimed,
                undecided,
                uncovered,
                "agent legs that nobody claimed or decided in time have ended"
            );
        }
        if let Err(error) = self.vest().await {
            tracing::warn!(error = %causes(&error), "income that is due stays in vesting");
        }
    }

    /// Ends legs that nobody claimed, or nobody decided, in time; how many there were.
    async fn expire(&self, state: LegState) -> Result<usize, StoreError> {
        let shared = &self.ledger.0;
        let mut ended = 0;
        for _ in 0..PAGES_PER_LOOK {
            let at = shared.clock.now();
            let due = shared.store.due(state, at, PageSize::clamped(PAGE_ROWS_MAX)).await?;
            if due.is_empty() {
                break;
            }
            let answers: Vec<_> = due
                .iter()
                .map(|agreed| LegAnswer {
                    exchange: agreed.settlement.exchange,
                    verdict: LegVerdict::Expire,
                    claim: None,
                    at,
                    due_at: at,
                })
                .collect();
            shared.store.answer(&answers).await?;
            ended += due.len();
        }
        Ok(ended)
    }

    /// Moves what has vested to wallets.
    async fn vest(&self) -> Result<(), StoreError> {
        let shared = &self.ledger.0;
        for _ in 0..PAGES_PER_LOOK {
            let at = shared.clock.now();
            let size = PageSize::clamped(PAGE_ROWS_MAX);
            let due = shared.store.due(LegState::Paid, at, size).await?;
            if due.is_empty() {
                break;
            }
            let exchanges: Vec<_> = due.iter().map(|agreed| agreed.settlement.exchange).collect();
            let moved = shared.store.vest(&exchanges, at).await?;
            self.check_paid(&due).await?;
            if moved == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Sees that nobody was paid what no user has covered and nobody has decided: the store does not
    /// let it become payable, and it does not come to be by itself.
    async fn check_paid(&self, due: &[Agreed]) -> Result<(), StoreError> {
        let shared = &self.ledger.0;
        for agreed in due.iter().filter(|agreed| agreed.leg.paid > agreed.covered(true)) {
            let exchange = agreed.settlement.exchange;
            let transfers = shared.store.transfers_of(exchange.into()).await?;
            if !agreed.due().is_paid_fairly(&transfers) {
                shared.metrics.ledger_breach("paid_uncovered");
                let paid = agreed.leg.paid;
                tracing::error!(%exchange, %paid, "an income was paid that nobody covers");
            }
        }
        Ok(())
    }

    /// Holds the sums against one another.
    async fn check(&self) {
        let shared = &self.ledger.0;
        match shared.store.sums().await {
            Ok(sums) if sums.agree() => shared.metrics.ledger_agrees(true),
            Ok(sums) => {
                shared.metrics.ledger_agrees(false);
                shared.metrics.ledger_breach("sums");
                tracing::error!(?sums, "the ledger's sums do not agree");
            }
            Err(error) => {
                tracing::warn!(error = %causes(&error), "the ledger's sums cannot be read");
            }
        }
    }
}
