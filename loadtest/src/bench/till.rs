//! A hub's store with users who have credit and leases, and exchanges of theirs to be settled: made
//! before any clock starts, for the phases that measure what settling and checking take.
//!
//! Each exchange has all that a real one has: usage, prices, an agent, a hold, three transfers.

use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, KeyId, LeaseId, NodeId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, SystemClock};
use weft_proto::usage::{Basis, Class, Usage};
use weft_store::{
    Bearer, ClaimRef, Cover, Draw, House, LeaseWanted, Leased, Ledger, LedgerAccount, Leg,
    LegAnswer, LegAnswered, LegVerdict, Metered, Outlay, Posting, Served, Settled, Settlement,
    Store, Subject, Transfer, TransferKey, TransferKind, Transferred,
};

/// Users among whom the exchanges are spread.
const USERS: usize = 200;
/// Agents that serve them.
const AGENTS: usize = 16;
/// What a user begins with, and leases at once: a thousand USD.
const CREDIT: NanoUsd = NanoUsd::new(1_000_000_000_000);
/// What an exchange is charged.
const CHARGE: NanoUsd = NanoUsd::new(1_000);
/// What of it the owner earns.
const INCOME: NanoUsd = NanoUsd::new(800);
/// How long an agent may claim, and how long its income can be disputed.
const WINDOW: Duration = Duration::from_secs(86_400);

/// Who pays and who serves, and the ledger that they meet at.
#[derive(Debug)]
pub(super) struct Till {
    ledger: Arc<dyn Ledger>,
    entropy: SeededEntropy,
    node: NodeId,
    payers: Vec<(UserId, KeyId, LeaseId)>,
    servers: Vec<(AgentId, OwnerId, AccountId)>,
}

impl Till {
    /// Gives users credit, and the node a lease of each.
    ///
    /// # Errors
    /// The store's.
    ///
    /// # Cancel safety
    /// Cancel safe: what was begun stays.
    pub(super) async fn open(store: &dyn Store) -> anyhow::Result<Self> {
        let (ledger, entropy) = (store.ledger(), SeededEntropy::new(7));
        let node = NodeId::generate(&SystemClock, &entropy);
        let mut payers = Vec::with_capacity(USERS);
        for _ in 0..USERS {
            let user = UserId::generate(&SystemClock, &entropy);
            let at = SystemClock.now();
            let subject = Subject::generate(&SystemClock, &entropy);
            let deposit = Transfer {
                key: TransferKey { subject, leg: Leg::Deposit, part: 0 },
                kind: TransferKind::Direct,
                debit: LedgerAccount::House(House::Cash),
                credit: LedgerAccount::Paid(user),
                amount: CREDIT,
                lease: None,
                memo: None,
                at,
            };
            let done = ledger.transfer(&[deposit], Cover::Free, &[]).await?;
            anyhow::ensure!(done == Transferred::Done, "a deposit: {done:?}");
            let wanted = LeaseWanted {
                lease: LeaseId::generate(&SystemClock, &entropy),
                part: 0,
                account: LedgerAccount::Paid(user),
                node,
                wanted: CREDIT,
                least: CREDIT,
                at,
            };
            match ledger.lease(&wanted).await? {
                Leased::Granted(lease) => {
                    payers.push((user, KeyId::generate(&SystemClock, &entropy), lease.id));
                }
                Leased::Short { available } => anyhow::bail!("a lease: only {available}"),
            }
        }
        let servers = (0..AGENTS).map(|_| {
            let owner = OwnerId::generate(&SystemClock, &entropy);
            let account = AccountId::generate(&SystemClock, &entropy);
            (AgentId::generate(&SystemClock, &entropy), owner, account)
        });
        let servers = servers.collect();
        Ok(Self { ledger, entropy, node, payers, servers })
    }

    /// The user leg of `count` exchanges, in batches as large as one transaction of the store's.
    ///
    /// # Errors
    /// Where the model's name is refused.
    pub(super) fn postings(&self, count: usize) -> anyhow::Result<Vec<Vec<Posting>>> {
        let model: ModelName = "gpt-4o-mini".parse().context("a model")?;
        let usage = Usage::NONE
            .with(Class::Input, 812)
            .with(Class::CacheRead, 256)
            .with(Class::Output, 171);
        let one = |number: usize| {
            let (user, key, lease) = self.payers[number % self.payers.len()];
            let (agent, owner, account) = self.servers[number % self.servers.len()];
            let settled_at = SystemClock.now();
            let settlement = Settlement {
                exchange: ExchangeId::generate(&SystemClock, &self.entropy),
                user,
                key,
                served: Some(Served { agent, owner, account, attempt: 1 }),
                metered: Metered {
                    provider: Some(Provider::OpenAi),
                    model: Some(model.clone()),
                    usage,
                    basis: Basis::Reported,
                    service: 0,
                    geo: 0,
                    book: Some([5; 32]),
                    priced_at: settled_at,
                    zone: Ratio::ONE,
                    tier: Ratio::from_ppm(800_000),
                },
                end: EndReason::Complete,
                outlay: Outlay {
                    charge: CHARGE,
                    income: INCOME,
                    rounding: NanoUsd::new(1),
                    bearer: Bearer::User,
                },
                node: self.node,
                hold: Some((lease, 1)),
                held: CHARGE,
                settled_at,
                claim_until: settled_at.after(WINDOW),
            };
            let draws = vec![Draw { lease, amount: CHARGE }];
            Posting { settlement, draws, overdraft_max: NanoUsd::ZERO }
        };
        let all: Vec<Posting> = (0..count).map(one).collect();
        Ok(all.chunks(weft_store::SETTLEMENTS_PER_CALL_MAX).map(<[Posting]>::to_vec).collect())
    }

    /// Settles one batch.
    ///
    /// # Errors
    /// The store's, and where one was not fresh or not covered.
    ///
    /// # Cancel safety
    /// What has begun is carried through.
    pub(super) async fn settle(&self, batch: &[Posting]) -> anyhow::Result<()> {
        let fresh = Settled::Fresh { loss: NanoUsd::ZERO, overrun: NanoUsd::ZERO };
        let settled = self.ledger.settle(batch).await?;
        let odd = settled.iter().find(|settled| **settled != fresh);
        anyhow::ensure!(settled.len() == batch.len() && odd.is_none(), "not settled: {odd:?}");
        Ok(())
    }

    /// What the hub answers to the receipts of a batch: each is paid.
    pub(super) fn answers(batch: &[Posting]) -> Vec<LegAnswer> {
        let one = |(number, posting): (u64, &Posting)| {
            let at = posting.settlement.settled_at;
            LegAnswer {
                exchange: posting.settlement.exchange,
                verdict: LegVerdict::Pay(INCOME),
                claim: Some(ClaimRef { epoch: 1, seq: number, hash: [9; 32] }),
                at,
                due_at: at.after(WINDOW),
            }
        };
        (1..).zip(batch).map(one).collect()
    }

    /// Pays the agent legs of one batch.
    ///
    /// # Errors
    /// The store's, and where one was not paid.
    ///
    /// # Cancel safety
    /// What has begun is carried through.
    pub(super) async fn pay(&self, answers: &[LegAnswer]) -> anyhow::Result<()> {
        let answered = self.ledger.answer(answers).await?;
        let odd = answered.iter().find(|answer| !matches!(answer, LegAnswered::Done(_)));
        anyhow::ensure!(answered.len() == answers.len() && odd.is_none(), "not paid: {odd:?}");
        Ok(())
    }

    /// Fails where the ledger does not add up: a figure of a ledger that is wrong is worth nothing.
    ///
    /// # Errors
    /// The store's, and where debits and credits differ.
    pub(super) async fn agrees(&self) -> anyhow::Result<()> {
        let sums = self.ledger.sums().await?;
        anyhow::ensure!(sums.agree(), "the ledger does not add up: {sums:?}");
        Ok(())
    }
}
