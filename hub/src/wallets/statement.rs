//! Statements: what came and went in a span of time, line by line, the latest first.

use super::Wallets;
use weft_proto::ids::ExchangeId;
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_store::{
    Agreed, LegState, PAGE_ROWS_MAX, PageSize, Party, SettlementsWanted, StoreError, Transfer,
    TransfersWanted, Whose,
};

/// The most lines of one statement; the rest is in the statement until the time of the last one.
const LINES_MAX: usize = 10_000;

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineKind {
    /// A charge, or an income, for an exchange.
    Exchange {
        /// Which one.
        exchange: ExchangeId,
        /// The model, where it is known.
        model: Option<String>,
        /// How the owner's side stands.
        leg: LegState,
        /// Tokens read and written.
        tokens: (u64, u64),
        /// How far the figures can be trusted.
        basis: &'static str,
    },
    /// An act: a deposit, a promotion, a payout…
    Act {
        /// Its name.
        act: &'static str,
        /// What it is known by.
        subject: String,
        /// What people said of it.
        memo: Option<String>,
    },
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What changed: below zero where it was taken.
    pub amount: NanoUsd,
    /// Why.
    pub kind: LineKind,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its lines, the latest first.
    pub lines: Vec<Line>,
    /// Whether there are earlier ones in the span: ask again until the time of the last line.
    pub more: bool,
}

impl Wallets {
    /// The statement of a user or an owner.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn statement(
        &self,
        party: Party,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Statement, StoreError> {
        let whose = match party {
            Party::User(user) => Whose::User(user),
            Party::Owner(owner) => Whose::Owner(owner),
        };
        let size = PageSize::clamped(PAGE_ROWS_MAX);
        let mut lines = Vec::new();
        let mut after = None;
        let mut full = false;
        while lines.len() < LINES_MAX {
            let wanted = SettlementsWanted { whose, from, until, after, size };
            let rows = self.0.ledger.settlements(&wanted).await?;
            full = rows.len() >= PAGE_ROWS_MAX as usize;
            let Some(last) = rows.last() else { break };
            after = Some((last.settlement.settled_at, last.settlement.exchange));
            lines.extend(rows.iter().map(|row| exchange_line(row, party)));
            if !full {
                break;
            }
        }
        // What comes before the oldest exchange at hand belongs to the next part.
        let from = match lines.last() {
            Some(last) if full => last.at,
            Some(_) | None => from,
        };
        let wanted = TransfersWanted { party, from, until, size };
        let acts = self.0.ledger.transfers(&wanted).await?;
        let more = full || acts.len() >= PAGE_ROWS_MAX as usize;
        lines.extend(acts.iter().map(|act| act_line(act, party)));
        lines.sort_by_key(|line| std::cmp::Reverse(line.at));
        Ok(Statement { lines, more })
    }
}

fn exchange_line(row: &Agreed, party: Party) -> Line {
    let settlement = &row.settlement;
    let metered = &settlement.metered;
    let amount = match party {
        Party::User(_) => {
            let borne = settlement.outlay.charge.saturating_sub(row.loss);
            NanoUsd::ZERO.saturating_sub(borne)
        }
        Party::Owner(_) => row.leg.paid,
    };
    Line {
        at: settlement.settled_at,
        amount,
        kind: LineKind::Exchange {
            exchange: settlement.exchange,
            model: metered.model.as_ref().map(ToString::to_string),
            leg: row.leg.state,
            tokens: (metered.usage.input_total(), metered.usage.output_total()),
            basis: metered.basis.name(),
        },
    }
}

fn act_line(transfer: &Transfer, party: Party) -> Line {
    let taken = transfer.debit.party() == Some(party.as_bytes());
    let given = transfer.credit.party() == Some(party.as_bytes());
    let amount = match (taken, given) {
        // From vesting to the wallet: the income is in the exchange's own line.
        (true, true) => NanoUsd::ZERO,
        (true, false) => NanoUsd::ZERO.saturating_sub(transfer.amount),
        (false, _) => transfer.amount,
    };
    Line {
        at: transfer.at,
        amount,
        kind: LineKind::Act {
            act: transfer.key.leg.name(),
            subject: transfer.key.subject.to_string(),
            memo: transfer.memo.as_ref().map(ToString::to_string),
        },
    }
}
