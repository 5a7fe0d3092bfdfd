//! A ledger in the making, for the tests of its rules.

use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, HubId, LeaseId};
use weft_proto::ledger::note::{Cosignature, Statement};
use weft_proto::ledger::{
    Ack, AckBatch, Body, Checkpoint, Close, Cosigned, End, Entry, Epoch, Frontier, Hash, Open,
    Position, SignedAcks, SigningKey, Verdict, Why,
};
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::{ManualClock, Timestamp};
use weft_proto::usage::{Basis, Class, Geo, ServiceTier, Usage};
use weft_proto::wire::head::{Terms, Ticket};

/// Appends entries as an agent does, and lets tests append what no agent may.
pub(crate) struct Chain {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) agent: AgentId,
    pub(crate) hub: HubId,
    pub(crate) key: SigningKey,
    pub(crate) hub_key: SigningKey,
    pub(crate) epoch: u64,
    pub(crate) tree: Frontier,
    pub(crate) last: Hash,
    clock: ManualClock,
    entropy: SeededEntropy,
}

impl Chain {
    /// A chain whose first epoch has begun.
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_secs(1_790_000_000));
        let entropy = SeededEntropy::new(1);
        let mut chain = Self {
            entries: Vec::new(),
            agent: AgentId::generate(&clock, &entropy),
            hub: HubId::generate(&clock, &entropy),
            key: SigningKey::from_seed(&[7; 32]).expect("key"),
            hub_key: SigningKey::from_seed(&[9; 32]).expect("key"),
            epoch: 0,
            tree: Frontier::new(),
            last: Hash::ZERO,
            clock,
            entropy,
        };
        chain.begin(Why::First);
        chain
    }

    pub(crate) fn begin(&mut self, why: Why) -> Position {
        self.epoch += 1;
        self.tree = Frontier::new();
        let (agent, hub, key) = (self.agent, self.hub, self.key.public());
        self.put(Body::Epoch(Epoch { agent, hub, key, why, before: None }))
    }

    pub(crate) fn put(&mut self, body: Body) -> Position {
        let position = Position { epoch: self.epoch, seq: self.tree.size() };
        let at = Timestamp::from_secs(1_790_000_000 + position.seq);
        let entry = Entry { position, at, prev: self.last, body };
        self.raw(entry.encode().expect("encode"));
        position
    }

    /// Appends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: Vec<u8>) {
        self.last = Hash::leaf(&bytes);
        self.tree.push(self.last);
        self.entries.push(bytes);
    }

    pub(crate) fn ticket(&self) -> Open {
        let exchange = ExchangeId::generate(&self.clock, &self.entropy);
        let account = AccountId::generate(&self.clock, &self.entropy);
        let mut ticket = Ticket::free(exchange, 1, account, Timestamp::from_secs(1_790_000_000));
        ticket.mac = [3; 32];
        ticket.terms = Some(Terms {
            lease: LeaseId::generate(&self.clock, &self.entropy),
            counter: 1,
            book: BookHash::from_bytes([5; 32]),
            model: "gpt-5.2".to_owned(),
            place: None,
            tier: Ratio::from_ppm(800_000),
            cap: NanoUsd::new(9_000),
        });
        Open { ticket, provider: Provider::OpenAi }
    }

    pub(crate) fn open(&mut self) -> (Position, Open) {
        let open = self.ticket();
        (self.put(Body::Open(open.clone())), open)
    }

    /// A proper close of 5,000 nano-USD list price, so a claim of 4,000.
    pub(crate) fn closed(at: Position, open: &Open) -> Close {
        Close {
            exchange: open.ticket.exchange,
            attempt: open.ticket.attempt,
            open: at,
            end: End::Proper,
            status: 200,
            usage: Usage::NONE.with(Class::Input, 1_000).with(Class::Output, 200),
            basis: Basis::Reported,
            tier: ServiceTier::Standard,
            geo: Geo::Unstated,
            finish_marker: true,
            usage_seen: true,
            charged_although_refused: false,
            bytes_up: 10,
            bytes_down: 20,
            list: ListPrice::from_pico(5_000_000),
            income: NanoUsd::new(4_000),
        }
    }

    /// An exchange that was opened and closed.
    pub(crate) fn served(&mut self) -> (Position, Close) {
        let (at, open) = self.open();
        let close = Self::closed(at, &open);
        (self.put(Body::Close(close.clone())), close)
    }

    pub(crate) fn acks(&self, words: &[(Position, &Close, Verdict, i64)]) -> SignedAcks {
        let acks = words.iter().map(|(at, close, verdict, amount)| Ack {
            exchange: close.exchange,
            attempt: close.attempt,
            seq: at.seq,
            verdict: *verdict,
            amount: NanoUsd::new(*amount),
        });
        let mut batch = AckBatch {
            agent: self.agent,
            epoch: words[0].0.epoch,
            at: Timestamp::from_secs(1_790_000_009),
            acks: acks.collect(),
            signature: [0; 64],
        };
        batch.signature = *self.hub_key.sign(&batch.signed()).as_bytes();
        SignedAcks { key: self.hub_key.public(), batch }
    }

    pub(crate) fn statement(&self) -> Statement {
        let (size, root) = (self.tree.size(), self.tree.root());
        Statement { agent: self.agent, epoch: self.epoch, size, root, hub: None }
    }

    pub(crate) fn checkpoint(&mut self) -> Statement {
        let statement = self.statement();
        let checkpoint = Checkpoint::sign(&statement, &self.key);
        self.put(Body::Checkpoint(checkpoint));
        statement
    }

    pub(crate) fn cosigned(&self, statement: &Statement) -> Cosigned {
        let cosignature = Cosignature::sign(statement, 1_790_000_010, None, &self.hub_key);
        let (size, key) = (statement.size, self.hub_key.public());
        Cosigned { size, key, cosignature, nodes: Vec::new() }
    }
}
