//! One agent, one hub key, and a script of what an agent writes down.

use crate::disk::FaultyDisk;
use std::sync::Arc;
use std::time::Duration;
use weft_agent::ledger::{
    CloseFacts, IndexAt, Ledger, LedgerError, LedgerParts, OpenEntry, Unacknowledged, Writer,
};
use weft_proto::codes::AbortCode;
use weft_proto::entropy::{Entropy, SeededEntropy};
use weft_proto::ids::{AccountId, AgentId, ExchangeId, HubId, LeaseId};
use weft_proto::ledger::journal;
use weft_proto::ledger::note::{Cosignature, Statement};
use weft_proto::ledger::verify::{Trust, Verifier};
use weft_proto::ledger::{
    Ack, AckBatch, Cosigned, End, Entry, Frontier, Hash, Open, Position, Shown, SignedAcks,
    SigningKey, Verdict,
};
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, ManualClock, Timestamp};
use weft_proto::usage::{Class, Usage};
use weft_proto::wire::head::{Terms, Ticket};
use weft_proto::wire::receipts::Showing;

/// An agent and its hub.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) entropy: SeededEntropy,
    pub(crate) agent: AgentId,
    pub(crate) hub: HubId,
    pub(crate) hub_key: SigningKey,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_790_000_000)));
        // Ids are the same for every seed: what differs is what happens.
        let ids = SeededEntropy::new(0);
        Self {
            agent: AgentId::generate(clock.as_ref(), &ids),
            hub: HubId::generate(clock.as_ref(), &ids),
            hub_key: SigningKey::from_seed(&[9; 32]).expect("key"),
            entropy: SeededEntropy::new(seed),
            clock,
        }
    }

    /// Opens the ledger on `disk`; its index is made from the log.
    pub(crate) fn open(&self, disk: &Arc<FaultyDisk>) -> Result<Ledger, LedgerError> {
        Ledger::open(LedgerParts {
            disk: Arc::clone(disk) as _,
            index: IndexAt::Memory,
            key: SigningKey::from_seed(&[7; 32]).expect("key"),
            agent: self.agent,
            hub: self.hub,
            clock: Arc::clone(&self.clock) as _,
            writer: Writer::Inline,
            segment_bytes: 6_000,
        })
    }

    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.entropy.next_u64() % limit
    }

    pub(crate) fn ticket(&self) -> Open {
        let clock = self.clock.as_ref();
        clock.advance(Duration::from_micros(1 + self.below(1_000)));
        let exchange = ExchangeId::generate(clock, &self.entropy);
        let account = AccountId::generate(clock, &self.entropy);
        let mut ticket = Ticket::free(exchange, 1, account, clock.now());
        if self.below(8) != 0 {
            ticket.mac = [3; 32];
            ticket.terms = Some(Terms {
                lease: LeaseId::generate(clock, &self.entropy),
                counter: self.below(1_000),
                book: BookHash::from_bytes([5; 32]),
                model: "m".repeat(1 + usize::try_from(self.below(64)).expect("small")),
                place: None,
                tier: Ratio::from_ppm(800_000),
                cap: NanoUsd::new(9_000_000),
            });
        }
        Open { ticket, provider: Provider::Anthropic }
    }

    pub(crate) fn facts(&self, open: &Open) -> CloseFacts {
        let units = self.below(50_000);
        let list = open
            .ticket
            .terms
            .as_ref()
            .and_then(|_| ListPrice::from_pico(i128::from(units) * 3_000));
        let tier = open.ticket.terms.as_ref().map_or(Ratio::ZERO, |terms| terms.tier);
        CloseFacts {
            status: 200,
            usage: Usage::NONE.with(Class::Input, units).with(Class::Output, units / 7),
            usage_seen: true,
            bytes_down: units * 4,
            list,
            income: list.and_then(|list| list.income(tier)).unwrap_or(NanoUsd::ZERO),
            ..CloseFacts::nothing(End::Proper)
        }
    }

    pub(crate) fn paid(&self, closes: &[Unacknowledged]) -> SignedAcks {
        let epoch = closes[0].position.epoch;
        let acks = closes.iter().filter(|close| close.position.epoch == epoch).map(|close| Ack {
            exchange: close.exchange,
            attempt: close.attempt,
            seq: close.position.seq,
            verdict: Verdict::Paid,
            amount: close.income,
        });
        let mut batch = AckBatch {
            agent: self.agent,
            epoch,
            at: self.clock.now(),
            acks: acks.collect(),
            signature: [0; 64],
        };
        batch.signature = *self.hub_key.sign(&batch.signed()).as_bytes();
        SignedAcks { key: self.hub_key.public(), batch }
    }

    /// One random thing that an agent does. What it leaves open stands in `open`.
    pub(crate) async fn act(&self, ledger: &Ledger, open: &mut Vec<OpenEntry>) -> Result<(), ()> {
        match self.below(10) {
            0..4 => open.push(ledger.open_exchange(self.ticket()).await.map_err(drop)?),
            4..8 => {
                if let Some(entry) = open.pop() {
                    let facts = self.facts(entry.opened());
                    match self.below(8) {
                        0 => drop(entry),
                        1 => {
                            entry.close(CloseFacts { end: End::cut(AbortCode::UserAbort), ..facts })
                        }
                        2 => entry.close(CloseFacts::not_called()),
                        _ => entry.close(facts),
                    }
                }
            }
            8 => {
                let waiting = ledger.unacknowledged(None, 5).await.map_err(drop)?;
                if !waiting.is_empty() {
                    ledger.acknowledge(self.paid(&waiting)).await.map_err(drop)?;
                }
            }
            _ => {
                let note = ledger.checkpoint().await.map_err(drop)?;
                if self.below(2) == 0 {
                    let cosigned = self.cosigned(&note.statement);
                    ledger.cosigned(note.statement.epoch, cosigned).await.map_err(drop)?;
                }
            }
        }
        Ok(())
    }

    /// As a hub cosigns whose journal has grown by up to two entries since the agent saw it.
    pub(crate) fn cosigned(&self, statement: &Statement) -> Cosigned {
        let size = statement.hub.map_or(3, |head| head.size + self.below(3));
        let journal: Vec<Hash> = (0..size).map(|at| Hash::leaf(&at.to_be_bytes())).collect();
        let how = if statement.hub.is_some() { Showing::Grown } else { Showing::First };
        self.showing(statement, &journal, how)
    }

    /// As a hub with this journal cosigns.
    pub(crate) fn showing(&self, said: &Statement, journal: &[Hash], how: Showing) -> Cosigned {
        let tree: Frontier = journal.iter().copied().collect();
        let nodes = match how {
            Showing::First | Showing::Restored => tree.peaks().to_vec(),
            Showing::Grown => {
                let from = said.hub.map_or(0, |head| head.size);
                journal.iter().copied().skip(usize::try_from(from).expect("small")).collect()
            }
        };
        let shown = Shown::new(journal::head_of(&tree), how, &nodes);
        let at_secs = self.clock.now().as_secs();
        let cosignature = Cosignature::sign(said, at_secs, Some(shown), &self.hub_key);
        Cosigned { size: said.size, key: self.hub_key.public(), cosignature, nodes }
    }
}

/// Every durable entry, in bytes.
pub(crate) async fn all(ledger: &Ledger) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    more(ledger, &mut found).await;
    found
}

/// Adds to `found` what became durable behind it.
pub(crate) async fn more(ledger: &Ledger, found: &mut Vec<Vec<u8>>) {
    let last = found.last().map(|last| Entry::decode(last).expect("entry").position);
    let mut from = last.map_or(Position { epoch: 1, seq: 0 }, behind);
    loop {
        let some = ledger.entries(from, 1_000).await.expect("entries");
        let Some(last) = some.last() else {
            return;
        };
        from = behind(last.position);
        found.extend(some.iter().map(|stored| stored.bytes.to_vec()));
    }
}

fn behind(at: Position) -> Position {
    Position { seq: at.seq + 1, ..at }
}

/// Holds entries against the rules, as `ledger verify` does.
pub(crate) fn verify(entries: &[Vec<u8>]) -> Verifier {
    let mut verifier = Verifier::new(Trust::default());
    for entry in entries {
        verifier.push(entry).expect("an entry");
    }
    assert_eq!(verifier.findings(), []);
    verifier
}

/// The body's name of an entry in bytes.
pub(crate) fn kind(entry: &[u8]) -> &'static str {
    Entry::decode(entry).expect("entry").body.name()
}
