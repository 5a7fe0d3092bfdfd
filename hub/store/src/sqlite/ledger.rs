//! The ledger in SQL: what each call is, and in which transaction.

mod accounts;
mod journal;
mod leases;
mod legs;
mod reports;
mod rows;
mod settle;
mod transfers;
mod turns;

use super::{Connection, Db, Engine, Row, UPDATES_FROM_ROWS, fault, row};
use crate::{
    Agreed, Balance, Cover, Day, Disagreement, GiveBack, JournalEntry, JournalNote, Lease,
    LeaseWanted, Leased, Ledger, LedgerAccount, LegAnswer, LegAnswered, LegState, Page, PageSize,
    Posting, SETTLEMENTS_PER_CALL_MAX, Settled, SettlementsWanted, SpendWanted, StoreError,
    Subject, Sums, Transfer, TransferKey, Transferred, TransfersWanted, Vesting,
};
use async_trait::async_trait;
use std::collections::BTreeSet;
use weft_proto::ids::{ExchangeId, LeaseId, NodeId};
use weft_proto::time::Timestamp;

#[async_trait]
impl Ledger for Db {
    async fn lease(&self, wanted: &LeaseWanted) -> Result<Leased, StoreError> {
        let wanted = *wanted;
        self.write(move |connection| Box::pin(leases::take(connection, wanted))).await
    }

    async fn give_back(&self, back: &GiveBack) -> Result<Lease, StoreError> {
        let back = *back;
        self.write(move |connection| Box::pin(leases::give_back(connection, back))).await
    }

    async fn find_lease(&self, lease: LeaseId) -> Result<Option<Lease>, StoreError> {
        leases::find(&self.readers, lease).await
    }

    async fn open_leases(
        &self,
        node: Option<NodeId>,
        page: Page<LeaseId>,
    ) -> Result<Vec<Lease>, StoreError> {
        leases::open(&self.readers, node, page).await
    }

    async fn settle(&self, postings: &[Posting]) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::with_capacity(postings.len());
        for batch in postings.chunks(SETTLEMENTS_PER_CALL_MAX) {
            let batch = batch.to_vec();
            settled.extend(
                self.write(move |connection| Box::pin(settle::post(connection, batch))).await?,
            );
        }
        Ok(settled)
    }

    async fn settlement(&self, exchange: ExchangeId) -> Result<Option<Agreed>, StoreError> {
        reports::settlement(&self.readers, exchange).await
    }

    async fn settlements_of(&self, exchanges: &[ExchangeId]) -> Result<Vec<Agreed>, StoreError> {
        reports::settlements_of(&self.readers, exchanges).await
    }

    async fn settlements(&self, wanted: &SettlementsWanted) -> Result<Vec<Agreed>, StoreError> {
        reports::settlements(&self.readers, wanted).await
    }

    async fn all_settlements(&self, page: Page<ExchangeId>) -> Result<Vec<Agreed>, StoreError> {
        reports::all_settlements(&self.readers, page).await
    }

    async fn due(
        &self,
        state: LegState,
        until: Timestamp,
        size: PageSize,
    ) -> Result<Vec<Agreed>, StoreError> {
        reports::due(&self.readers, state, until, size).await
    }

    async fn answer(&self, answers: &[LegAnswer]) -> Result<Vec<LegAnswered>, StoreError> {
        let mut answered = Vec::with_capacity(answers.len());
        for batch in answers.chunks(SETTLEMENTS_PER_CALL_MAX) {
            let batch = batch.to_vec();
            answered.extend(
                self.write(move |connection| Box::pin(legs::answer(connection, batch))).await?,
            );
        }
        Ok(answered)
    }

    async fn vest(&self, exchanges: &[ExchangeId], at: Timestamp) -> Result<u64, StoreError> {
        let mut moved = 0;
        for batch in exchanges.chunks(SETTLEMENTS_PER_CALL_MAX) {
            let batch = batch.to_vec();
            moved +=
                self.write(move |connection| Box::pin(legs::vest(connection, batch, at))).await?;
        }
        Ok(moved)
    }

    async fn transfer(
        &self,
        transfers: &[Transfer],
        cover: Cover,
        notes: &[JournalNote],
    ) -> Result<Transferred, StoreError> {
        transfers::check(transfers)?;
        journal::check(notes)?;
        let (transfers, notes) = (transfers.to_vec(), notes.to_vec());
        self.write(move |connection| Box::pin(transfers::make(connection, transfers, cover, notes)))
            .await
    }

    async fn find_transfer(&self, key: TransferKey) -> Result<Option<Transfer>, StoreError> {
        transfers::find(&self.readers, key).await
    }

    async fn transfers_of(&self, subject: Subject) -> Result<Vec<Transfer>, StoreError> {
        transfers::of(&self.readers, subject).await
    }

    async fn transfers_of_all(&self, subjects: &[Subject]) -> Result<Vec<Transfer>, StoreError> {
        let subjects: BTreeSet<_> = subjects.iter().copied().collect();
        self.read(move |connection| Box::pin(transfers::of_all(connection, subjects))).await
    }

    async fn transfers(&self, wanted: &TransfersWanted) -> Result<Vec<Transfer>, StoreError> {
        transfers::listed(&self.readers, wanted).await
    }

    async fn balance(&self, account: LedgerAccount) -> Result<Balance, StoreError> {
        Ok(accounts::find(&self.readers, account).await?.unwrap_or_else(|| Balance::none(account)))
    }

    async fn balances(&self, page: Page<LedgerAccount>) -> Result<Vec<Balance>, StoreError> {
        accounts::page(&self.readers, page).await
    }

    async fn spent(&self, wanted: &SpendWanted) -> Result<Vec<Day>, StoreError> {
        reports::spent(&self.readers, wanted).await
    }

    async fn sums(&self) -> Result<Sums, StoreError> {
        reports::sums(&self.readers).await
    }

    async fn recompute(&self) -> Result<Vec<Disagreement>, StoreError> {
        self.read(|connection| Box::pin(reports::recompute(connection))).await
    }

    async fn vesting(&self) -> Result<Vec<Vesting>, StoreError> {
        self.read(|connection| Box::pin(reports::vesting(connection))).await
    }

    async fn note(&self, notes: &[JournalNote]) -> Result<Vec<JournalEntry>, StoreError> {
        journal::check(notes)?;
        let notes = notes.to_vec();
        self.write(move |connection| {
            Box::pin(async move { journal::append(connection, &notes).await })
        })
        .await
    }

    async fn journal(&self, page: Page<u64>) -> Result<Vec<JournalEntry>, StoreError> {
        journal::page(&self.readers, page).await
    }

    async fn journal_head(&self) -> Result<Option<JournalEntry>, StoreError> {
        journal::head(&self.readers).await
    }
}
