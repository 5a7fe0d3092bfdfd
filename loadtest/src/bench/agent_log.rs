//! An agent's ledger of a bench's own, in a data directory of its own: written by the agent's own
//! code, with tickets as a hub makes them and words that a hub's key signed.

use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use weft_agent::datadir::DataDir;
use weft_agent::ledger::{CloseFacts, Ledger, LedgerParts};
use weft_proto::entropy::{OsEntropy, SeededEntropy};
use weft_proto::ids::{AccountId, AgentId, ExchangeId, HubId, LeaseId};
use weft_proto::ledger::{Ack, AckBatch, End, Open, SignedAcks, SigningKey, Verdict};
use weft_proto::limits::ACKS_PER_BATCH_MAX;
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, SystemClock};
use weft_proto::usage::{Class, Usage};
use weft_proto::wire::head::{Terms, Ticket};

/// What an exchange earns here: 80 % of a list price of 5,000 nano-USD.
const INCOME: NanoUsd = NanoUsd::new(4_000);
/// The list price, in pico-USD.
const LIST_PICO: i128 = 5_000_000;
/// Entries between two checkpoints.
const CHECKPOINT_EVERY: u64 = 10_000;

/// Whether commits wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    /// As a running agent's do.
    Waited,
    /// Not: for a log that only has to be there.
    Unwaited,
}

/// A ledger and the keys around it.
#[derive(Debug)]
pub(super) struct AgentLog {
    pub(super) ledger: Ledger,
    agent: AgentId,
    hub_key: SigningKey,
    entropy: SeededEntropy,
}

impl AgentLog {
    /// Makes a ledger in the data directory `root`. Blocks on the disk.
    ///
    /// # Errors
    /// The directory's and the ledger's.
    pub(super) fn make(root: &Path, disk: Disk) -> anyhow::Result<Self> {
        let (data, entropy) = (DataDir::open(root)?, SeededEntropy::new(11));
        let agent = AgentId::generate(&SystemClock, &entropy);
        let hub = HubId::generate(&SystemClock, &entropy);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let unwaited = disk == Disk::Unwaited;
        let parts = LedgerParts::of(&data, agent, hub, clock, &OsEntropy, unwaited)?;
        let hub_key = SigningKey::from_seed(&[9; 32]).context("a key")?;
        Ok(Self { ledger: Ledger::open(parts)?, agent, hub_key, entropy })
    }

    /// A ticket of a new exchange, with terms.
    pub(super) fn open(&self) -> Open {
        let now = SystemClock.now();
        let exchange = ExchangeId::generate(&SystemClock, &self.entropy);
        let account = AccountId::generate(&SystemClock, &self.entropy);
        let terms = Terms {
            lease: LeaseId::generate(&SystemClock, &self.entropy),
            counter: 1,
            book: BookHash::from_bytes([5; 32]),
            model: "gpt-4o-mini".to_owned(),
            place: None,
            tier: Ratio::from_ppm(800_000),
            cap: NanoUsd::new(9_000),
        };
        let mut ticket = Ticket::free(exchange, 1, account, now);
        ticket.terms = Some(terms);
        ticket.mac = [3; 32];
        Open { ticket, provider: Provider::OpenAi }
    }

    /// What becomes of it: a whole answer with its usage and its price.
    pub(super) fn served() -> CloseFacts {
        CloseFacts {
            status: 200,
            usage: Usage::NONE.with(Class::Input, 812).with(Class::Output, 171),
            finish_marker: true,
            usage_seen: true,
            bytes_up: 3_100,
            bytes_down: 21_000,
            list: ListPrice::from_pico(LIST_PICO),
            income: INCOME,
            ..CloseFacts::nothing(End::Proper)
        }
    }

    /// Writes exchanges, the hub's words on them and checkpoints, until there are `entries`.
    ///
    /// # Errors
    /// The ledger's.
    ///
    /// # Cancel safety
    /// What was written stays.
    pub(super) async fn fill(&self, entries: u64) -> anyhow::Result<()> {
        let (mut acks, mut checkpoint) = (Vec::with_capacity(ACKS_PER_BATCH_MAX), 0);
        // Two entries an exchange: an odd one is left over for a checkpoint.
        while self.ledger.head().size + 2 <= entries {
            let open = self.open();
            let exchange = open.ticket.exchange;
            let entry = self.ledger.open_exchange(open).await?;
            // Nobody else writes: the CLOSE stands behind its OPEN.
            let seq = entry.position().seq + 1;
            entry.close(Self::served());
            let verdict = Verdict::Paid;
            acks.push(Ack { exchange, attempt: 1, seq, verdict, amount: INCOME });
            if acks.len() == ACKS_PER_BATCH_MAX {
                let signed = self.signed(self.ledger.head().epoch, std::mem::take(&mut acks));
                anyhow::ensure!(self.ledger.acknowledge(signed).await?, "no news");
            }
            if seq / CHECKPOINT_EVERY > checkpoint {
                checkpoint = seq / CHECKPOINT_EVERY;
                self.ledger.checkpoint().await?;
            }
        }
        while self.ledger.head().size < entries {
            self.ledger.checkpoint().await?;
        }
        self.ledger.stop().await?;
        Ok(())
    }

    fn signed(&self, epoch: u64, acks: Vec<Ack>) -> SignedAcks {
        let (agent, at) = (self.agent, SystemClock.now());
        let mut batch = AckBatch { agent, epoch, at, acks, signature: [0; 64] };
        batch.signature = *self.hub_key.sign(&batch.signed()).as_bytes();
        SignedAcks { key: self.hub_key.public(), batch }
    }
}
