//! Whether the ledger agrees with itself: named findings, none where it does.
//!
//! | finding | means |
//! |---|---|
//! | `sums_differ` | what was taken from all accounts is not what was given to all |
//! | `pending_differs` | what is set aside is not what is left of the open leases |
//! | `balance_differs` | a balance is not the sum of its transfers |
//! | `journal_broken` | an entry of the journal does not follow the one before |
//! | `user_leg_differs` | an exchange's transfers take from its user another amount than it was charged |
//! | `agent_leg_differs` | an exchange's transfers give its owner another amount than was paid |
//! | `paid_uncovered` | an owner was paid more than the user of the exchange has covered, and nobody decided so |
//! | `vesting_differs` | what rests for an owner is not what its paid exchanges come to that have not vested |
//! | `payout_unpaid` | a payout is approved and its money did not move: approve it again |

use super::Wallets;
use std::collections::BTreeMap;
use weft_proto::ids::ExchangeId;
use weft_store::{
    Agreed, Bearer, JournalEntry, LedgerAccount, Leg, PAGE_ROWS_MAX, Page, PageSize, PayoutState,
    StoreError, Subject, Transfer, TransferKey, Vesting,
};

/// The most findings of one report: whoever has more has one trouble, not many.
const FINDINGS_MAX: usize = 1_000;

/// How many exchanges' transfers are read, and in memory, at once.
const EXCHANGES_AT_ONCE: usize = 128;

/// One thing that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub name: &'static str,
    /// Where, and how far.
    pub detail: String,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What should not be.
    pub findings: Vec<Finding>,
    /// Exchanges looked at.
    pub exchanges: u64,
    /// Entries of the journal looked at.
    pub journal: u64,
    /// The last exchange looked at, where there are more.
    pub next: Option<ExchangeId>,
}

impl Report {
    fn add(&mut self, name: &'static str, detail: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { name, detail });
        }
    }
}

impl Wallets {
    /// Looks at the next page of exchanges after `after`; with the first page, at everything else
    /// too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify(&self, after: Option<ExchangeId>) -> Result<Report, StoreError> {
        let mut report = Report::default();
        if after.is_none() {
            self.verify_balances(&mut report).await?;
            self.verify_journal(&mut report).await?;
            self.verify_payouts(&mut report).await?;
        }
        let page = Page { after, size: PageSize::clamped(PAGE_ROWS_MAX) };
        let rows = self.0.ledger.all_settlements(page).await?;
        self.verify_exchanges(&rows, &mut report).await?;
        report.exchanges = rows.len() as u64;
        let full = rows.len() >= PAGE_ROWS_MAX as usize;
        report.next = rows.last().filter(|_| full).map(|row| row.settlement.exchange);
        Ok(report)
    }

    async fn verify_balances(&self, report: &mut Report) -> Result<(), StoreError> {
        let sums = self.0.ledger.sums().await?;
        let (taken, given) = (sums.debits_posted, sums.credits_posted);
        if taken != given {
            report.add("sums_differ", format!("debits {taken}, credits {given} nano-USD"));
        }
        let (pending, leased) = (sums.debits_pending, sums.leased);
        if pending != leased {
            report.add("pending_differs", format!("set aside {pending}, leased {leased} nano-USD"));
        }
        for found in self.0.ledger.recompute().await? {
            let (kept, summed) = (found.kept.posted(), found.recomputed.posted());
            report.add(
                "balance_differs",
                format!("{}: kept {kept}, its transfers give {summed} USD", found.account),
            );
        }
        for found in self.0.ledger.vesting().await? {
            let Vesting { owner, kept, due } = found;
            report.add("vesting_differs", format!("{owner}: {kept} USD rest, {due} USD should"));
        }
        Ok(())
    }

    async fn verify_journal(&self, report: &mut Report) -> Result<(), StoreError> {
        let mut page: Page<u64> = Page { after: None, size: PageSize::clamped(PAGE_ROWS_MAX) };
        let mut before: Option<JournalEntry> = None;
        loop {
            let entries = self.0.ledger.journal(page).await?;
            let Some(last) = entries.last().map(|entry| entry.number) else { return Ok(()) };
            for entry in entries {
                if !entry.follows(before.as_ref()) {
                    report.add("journal_broken", format!("at entry {}", entry.number));
                }
                before = Some(entry);
                report.journal += 1;
            }
            page = page.next(last);
        }
    }

    async fn verify_payouts(&self, report: &mut Report) -> Result<(), StoreError> {
        let mut page: Page<Subject> = Page { after: None, size: PageSize::clamped(PAGE_ROWS_MAX) };
        loop {
            let payouts = self.0.payouts.list(None, page).await?;
            let Some(last) = payouts.last().map(|payout| payout.id) else { return Ok(()) };
            for payout in payouts.iter().filter(|payout| payout.state == PayoutState::Approved) {
                let key = TransferKey { subject: payout.id, leg: Leg::Payout, part: 0 };
                if self.0.ledger.find_transfer(key).await?.is_none() {
                    report.add("payout_unpaid", format!("{} of {} USD", payout.id, payout.amount));
                }
            }
            page = page.next(last);
        }
    }

    /// Holds exchanges, [`EXCHANGES_AT_ONCE`] at a time, against their transfers.
    async fn verify_exchanges(
        &self,
        rows: &[Agreed],
        report: &mut Report,
    ) -> Result<(), StoreError> {
        for rows in rows.chunks(EXCHANGES_AT_ONCE) {
            let subjects: Vec<Subject> =
                rows.iter().map(|row| row.settlement.exchange.into()).collect();
            let mut transfers: BTreeMap<Subject, Vec<Transfer>> = BTreeMap::new();
            for transfer in self.0.ledger.transfers_of_all(&subjects).await? {
                transfers.entry(transfer.key.subject).or_default().push(transfer);
            }
            for row in rows {
                let exchange = row.settlement.exchange;
                let own = transfers.get(&Subject::from(exchange)).map_or(&[][..], Vec::as_slice);
                let mut found = findings(row, own);
                if !found.is_empty() {
                    // An agent leg may have been answered between the two reads: once more, in this
                    // order.
                    let own = self.0.ledger.transfers_of(exchange.into()).await?;
                    if let Some(row) = self.0.ledger.settlement(exchange).await? {
                        let again = findings(&row, &own);
                        found.retain(|finding| again.contains(finding));
                    }
                }
                for finding in found {
                    report.add(finding.name, finding.detail);
                }
            }
        }
        Ok(())
    }
}

/// What a settlement and its transfers disagree about.
fn findings(row: &Agreed, transfers: &[Transfer]) -> Vec<Finding> {
    let settlement = &row.settlement;
    let exchange = settlement.exchange;
    let mut found = Vec::new();
    let of_user = |account: LedgerAccount| match account {
        LedgerAccount::Paid(user) | LedgerAccount::Promo(user) => user == settlement.user,
        LedgerAccount::House(_) | LedgerAccount::Vesting(_) | LedgerAccount::Wallet(_) => false,
    };
    let taken = sum(transfers, |one| one.key.leg == Leg::User && of_user(one.debit));
    let charged = match settlement.outlay.bearer {
        Bearer::User => settlement.outlay.charge.saturating_sub(row.loss),
        Bearer::Hub | Bearer::Elsewhere => weft_proto::money::NanoUsd::ZERO,
    };
    if taken != i128::from(charged.nanos()) {
        let detail = format!("{exchange}: charged {} nano-USD, taken {taken}", charged.nanos());
        found.push(Finding { name: "user_leg_differs", detail });
    }
    let vesting = |account| matches!(account, LedgerAccount::Vesting(_));
    let given = sum(transfers, |one| one.key.leg == Leg::Agent && vesting(one.credit));
    let paid = i128::from(row.leg.paid.nanos());
    if given != paid {
        let detail = format!("{exchange}: paid {paid} nano-USD, given {given}");
        found.push(Finding { name: "agent_leg_differs", detail });
    }
    if !row.due().is_paid_fairly(transfers) {
        let detail = format!("{exchange}: paid {paid} nano-USD, covered {}", row.covered(true));
        found.push(Finding { name: "paid_uncovered", detail });
    }
    found
}

fn sum(transfers: &[Transfer], which: impl Fn(&Transfer) -> bool) -> i128 {
    let chosen = transfers.iter().filter(|one| which(one));
    chosen.map(|one| i128::from(one.amount.nanos())).sum()
}
