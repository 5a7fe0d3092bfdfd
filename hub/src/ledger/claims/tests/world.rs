//! One hub's store and clerk, and one agent that writes a chain.

use super::super::{
    ChargeOf, Clerk, ClerkParts, Evidence, Greeted, Journal, Promise, Session, Showed, TicketSealer,
};
use crate::config::{LiveMoney, Money};
use crate::ledger::Ledger;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{
    AccountId, AgentId, ExchangeId, HubId, KeyId, LeaseId, NodeId, OwnerId, UserId,
};
use weft_proto::ledger::journal::{History, NotTaken, Shift};
use weft_proto::ledger::note::{Cosignature, Statement};
use weft_proto::ledger::{
    Body, Checkpoint, Close, Cosigned, End, Entry, Epoch, Frontier, Hash, HeadOf, HubHead, Open,
    Position, Shown, Signature, SignedAcks, SigningKey, Why, Witness,
};
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, ManualClock, Timestamp};
use weft_proto::usage::{Basis, Class, Geo, ServiceTier, Usage};
use weft_proto::wire::control::HubMessage;
use weft_proto::wire::receipts::{
    self as wire, Ack, AgentLedger, ChainHead, Handover, LedgerFault, Receipt, Verdict,
};
use weft_proto::wire::ticket::{Terms, Ticket};
use weft_store::{
    Agreed, Bearer, Cover, House, LedgerAccount, Leg, MemoryStore, Metered, Outlay, PageSize,
    Posting, Served, Settlement, Store, Subject, Transfer, TransferKey, TransferKind, Transferred,
};

/// The hub and what it keeps.
pub(super) struct Hub {
    pub(super) id: HubId,
    pub(super) store: Arc<MemoryStore>,
    pub(super) sealer: TicketSealer,
    pub(super) key: Arc<SigningKey>,
    pub(super) handovers: Arc<[Handover]>,
    pub(super) clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    pub(super) owner: OwnerId,
    user: UserId,
    keyed: KeyId,
    node: NodeId,
    /// The ledger of the node that claims are told, where it may have left exchanges behind.
    pub(super) ledger: Option<Ledger>,
}

impl Hub {
    pub(super) fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let entropy = Arc::new(SeededEntropy::new(seed));
        Self {
            id: HubId::generate(&*clock, &*entropy),
            store: Arc::new(MemoryStore::new()),
            sealer: TicketSealer::new(&[7; 32]),
            key: Arc::new(SigningKey::from_seed(&[9; 32]).expect("a key")),
            handovers: Arc::new([]),
            owner: OwnerId::generate(&*clock, &*entropy),
            user: UserId::generate(&*clock, &*entropy),
            keyed: KeyId::generate(&*clock, &*entropy),
            node: NodeId::generate(&*clock, &*entropy),
            clock,
            entropy,
            ledger: None,
        }
    }

    /// The same hub after its store was set back to nothing.
    pub(super) fn forgotten(self) -> Self {
        Self { store: Arc::new(MemoryStore::new()), ..self }
    }

    /// The same hub over another store: a copy of an older state.
    pub(super) fn restored(self, store: Arc<MemoryStore>) -> Self {
        Self { store, ..self }
    }

    /// A fresh process over the same store.
    pub(super) fn clerk(&self) -> Clerk {
        let prices = self.ledger.is_some();
        let charge_of: Arc<ChargeOf> = Arc::new(move |_, usage, _, _| {
            let units = i64::try_from(usage.get(Class::Input)).expect("small");
            let charge = prices.then_some(NanoUsd::new(units * 1_000));
            Box::pin(async move { charge })
        });
        Clerk::new(ClerkParts {
            hub: self.id,
            node: self.node,
            store: self.store.ledger(),
            receipts: self.store.receipts(),
            ledger: self.ledger.clone(),
            charge_of,
            sealer: self.sealer.clone(),
            key: Arc::clone(&self.key),
            handovers: Arc::clone(&self.handovers),
            money: LiveMoney::new(Money::default()),
            clock: Arc::<ManualClock>::clone(&self.clock),
        })
    }

    /// A ticket of this hub.
    pub(super) fn ticket(&self, cap: i64) -> Ticket {
        self.clock.advance(Duration::from_millis(1));
        let mut ticket = Ticket::free(
            ExchangeId::generate(&*self.clock, &*self.entropy),
            1,
            AccountId::generate(&*self.clock, &*self.entropy),
            self.clock.now(),
        );
        ticket.terms = Some(Terms {
            lease: LeaseId::generate(&*self.clock, &*self.entropy),
            counter: 1,
            book: BookHash::from_bytes([3; 32]),
            model: "gpt-4o".to_owned(),
            place: None,
            tier: Ratio::from_ppm(800_000),
            cap: NanoUsd::new(cap),
        });
        self.sealer.seal(&mut ticket);
        ticket
    }

    /// Settles an exchange as this hub has metered it.
    pub(super) async fn settle(&self, ticket: &Ticket, agent: AgentId, units: u64, end: EndReason) {
        let now = self.clock.now();
        let settlement = Settlement {
            exchange: ticket.exchange,
            user: self.user,
            key: self.keyed,
            served: Some(Served {
                agent,
                owner: self.owner,
                account: ticket.account,
                attempt: ticket.attempt,
            }),
            metered: Metered {
                provider: Some(Provider::OpenAi),
                model: None,
                usage: usage(units),
                basis: Basis::Reported,
                service: ServiceTier::Standard.number(),
                geo: Geo::default().number(),
                book: Some([3; 32]),
                priced_at: ticket.issued_at,
                zone: Ratio::ONE,
                tier: Ratio::from_ppm(800_000),
            },
            end,
            outlay: Outlay {
                charge: NanoUsd::new(i64::try_from(units).expect("small") * 1_000),
                income: income(units),
                rounding: NanoUsd::ZERO,
                bearer: Bearer::User,
            },
            node: self.node,
            hold: None,
            held: NanoUsd::ZERO,
            settled_at: now,
            claim_until: now.after(Duration::from_secs(86_400)),
        };
        let subject = Subject::generate(&*self.clock, &*self.entropy);
        let deposit = Transfer {
            key: TransferKey { subject, leg: Leg::Deposit, part: 0 },
            kind: TransferKind::Direct,
            debit: LedgerAccount::House(House::Cash),
            credit: LedgerAccount::Paid(self.user),
            amount: settlement.outlay.charge.max(NanoUsd::new(1)),
            lease: None,
            memo: None,
            at: now,
        };
        let moved = self.store.ledger().transfer(&[deposit], Cover::Free, &[]).await;
        assert_eq!(moved.expect("moved"), Transferred::Done);
        let posting = Posting { settlement, draws: Vec::new(), overdraft_max: NanoUsd::ZERO };
        self.store.ledger().settle(&[posting]).await.expect("settled");
    }

    pub(super) async fn agreed(&self, exchange: ExchangeId) -> Option<Agreed> {
        self.store.ledger().settlement(exchange).await.expect("looked")
    }

    /// The names of all findings; each is found again in its own evidence.
    pub(super) async fn findings(&self) -> Vec<String> {
        let found = self.store.receipts().findings(None, PageSize::clamped(1_000)).await;
        let found = found.expect("listed");
        for finding in &found {
            let evidence = Evidence::decode(&finding.evidence).expect("evidence");
            assert_eq!(evidence.id(), finding.id);
            let again = evidence.finds(self.id, &self.sealer, &[self.key.public()]);
            assert_eq!(again, Some(finding.name.as_str()), "offline, from the evidence alone");
        }
        found.into_iter().map(|finding| finding.name).collect()
    }
}

pub(super) fn usage(units: u64) -> Usage {
    Usage::NONE.with(Class::Input, units).with(Class::Output, units / 2)
}

pub(super) const fn income(units: u64) -> NanoUsd {
    NanoUsd::new(units as i64 * 800)
}

/// An agent that writes a chain, honestly or not.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    hub: HubId,
    pub(super) key: Arc<SigningKey>,
    clock: Arc<ManualClock>,
    pub(super) log: Vec<(Position, Bytes)>,
    epoch: u64,
    tree: Frontier,
    pub(super) last: Hash,
    /// The hub's words, by close.
    said: BTreeMap<Position, (Verdict, NanoUsd)>,
    /// The newest of them, by exchange.
    pub(super) words: BTreeMap<(ExchangeId, u8), (Verdict, NanoUsd)>,
    pub(super) faults: Vec<LedgerFault>,
    /// The hub's journal as it was shown, and all that was shown of it.
    pub(super) witness: Witness,
    pub(super) history: History,
    /// What the hub showed against its own word, and what it admitted to have lost.
    pub(super) lies: Vec<NotTaken>,
    pub(super) lost: Vec<HubHead>,
    statements: BTreeMap<u64, Statement>,
}

impl Agent {
    pub(super) fn new(hub: &Hub, seed: u8) -> Self {
        let key = Arc::new(SigningKey::from_seed(&[seed; 32]).expect("a key"));
        let mut agent = Self {
            id: AgentId::generate(&*hub.clock, &*hub.entropy),
            hub: hub.id,
            key,
            clock: Arc::clone(&hub.clock),
            log: Vec::new(),
            epoch: 0,
            tree: Frontier::new(),
            last: Hash::ZERO,
            said: BTreeMap::new(),
            words: BTreeMap::new(),
            faults: Vec::new(),
            witness: Witness::default(),
            history: History::default(),
            lies: Vec::new(),
            lost: Vec::new(),
            statements: BTreeMap::new(),
        };
        agent.begin(1, Why::First);
        agent
    }

    /// Begins an epoch.
    pub(super) fn begin(&mut self, epoch: u64, why: Why) {
        let before = (self.epoch > 0).then(|| HeadOf {
            epoch: self.epoch,
            size: self.tree.size(),
            root: self.tree.root(),
        });
        self.epoch = epoch;
        self.tree = Frontier::new();
        let (agent, hub, key) = (self.id, self.hub, self.key.public());
        self.push(Body::Epoch(Epoch { agent, hub, key, why, before }));
    }

    /// Writes an entry.
    pub(super) fn push(&mut self, body: Body) -> Position {
        let position = Position { epoch: self.epoch, seq: self.tree.size() };
        let entry = Entry { position, at: self.clock.now(), prev: self.last, body };
        let bytes = Bytes::from(entry.encode().expect("an entry"));
        self.last = Hash::leaf(&bytes);
        self.tree.push(self.last);
        self.log.push((position, bytes));
        position
    }

    pub(super) fn open(&mut self, ticket: &Ticket) -> Position {
        self.push(Body::Open(Open { ticket: ticket.clone(), provider: Provider::OpenAi }))
    }

    /// What an honest agent writes of an exchange.
    pub(super) fn close_of(ticket: &Ticket, open: Position, units: u64) -> Close {
        Close {
            exchange: ticket.exchange,
            attempt: ticket.attempt,
            open,
            end: End::Proper,
            status: 200,
            usage: usage(units),
            basis: Basis::Reported,
            tier: ServiceTier::Standard,
            geo: Geo::default(),
            finish_marker: true,
            usage_seen: true,
            charged_although_refused: false,
            bytes_up: 10,
            bytes_down: 20,
            list: ListPrice::from_pico(i128::from(units) * 1_000_000),
            income: income(units),
        }
    }

    pub(super) fn serve(&mut self, ticket: &Ticket, units: u64) -> Position {
        let open = self.open(ticket);
        self.push(Body::Close(Self::close_of(ticket, open, units)))
    }

    /// Signs all of the epoch, and the newest head of the hub's journal that was shown.
    pub(super) fn checkpoint(&mut self) -> Position {
        let hub = self.witness.head();
        let statement = Statement {
            agent: self.id,
            epoch: self.epoch,
            size: self.tree.size(),
            root: self.tree.root(),
            hub,
        };
        self.statements.insert(statement.size, statement);
        self.push(Body::Checkpoint(Checkpoint::sign(&statement, &self.key)))
    }

    /// Takes a cosignature as an honest agent does.
    fn cosigned(&mut self, hub: &Hub, said: &wire::Cosigned) {
        let nodes: Vec<Hash> = said.nodes.iter().copied().map(Hash::new).collect();
        let head = HubHead { size: said.journal.size, root: Hash::new(said.journal.root) };
        let shown = Shown::new(head, said.how, &nodes);
        let signature = Signature::new(said.signature);
        let (at_secs, key) = (said.at_secs, hub.key.public());
        let cosignature = Cosignature { at_secs, journal: Some(shown), signature };
        // A hub that was restored answers again what it has answered before.
        let Some(statement) = self.statements.remove(&said.size) else {
            return;
        };
        assert!(cosignature.holds(&statement, &key), "the hub signs what it shows");
        match self.witness.take(statement.hub, &shown, &nodes) {
            Ok(shift) => {
                if let Shift::Restored { lost } = shift {
                    self.lost.push(lost);
                }
                self.history.see(&statement, at_secs, &shown, &nodes).expect("taken already");
                self.push(Body::Cosigned(Cosigned { size: said.size, key, cosignature, nodes }));
            }
            Err(lie) => self.lies.push(lie),
        }
    }

    /// Signs a checkpoint, and is answered by a hub that shows its journal as if `other` had asked.
    pub(super) async fn answered_as(&mut self, hub: &Hub, other: &Self) {
        let at = self.checkpoint();
        let statement = self.statements.get(&at.seq).copied().expect("a checkpoint");
        let named = other.witness.head();
        let showed = Journal::default().show(&*hub.store.ledger(), named).await.expect("shown");
        let Showed { shown, nodes } = showed;
        let at_secs = hub.clock.now().as_secs();
        let made = Cosignature::sign(&statement, at_secs, Some(shown), &hub.key);
        let (size, root) = (shown.head.size, *shown.head.root.as_bytes());
        let said = wire::Cosigned {
            epoch: statement.epoch,
            size: statement.size,
            at_secs,
            signature: *made.signature.as_bytes(),
            journal: wire::JournalHead { size, root },
            how: shown.how,
            nodes: nodes.iter().map(|node| *node.as_bytes()).collect(),
        };
        self.cosigned(hub, &said);
    }

    pub(super) fn greeting(&self) -> AgentLedger {
        AgentLedger {
            key: *self.key.public().as_bytes(),
            handover: None,
            head: Some(ChainHead {
                epoch: self.epoch,
                size: self.tree.size(),
                leaf: *self.last.as_bytes(),
            }),
            books: Vec::new(),
        }
    }

    pub(super) fn bytes_at(&self, at: Position) -> Bytes {
        let found = self.log.iter().find(|(position, _)| *position == at);
        found.map(|(_, bytes)| bytes.clone()).expect("an entry")
    }

    /// Greets on a new session and says where to go on.
    pub(super) async fn greet(&mut self, hub: &Hub) -> (Session, Option<Position>) {
        let mut session = hub.clerk().session(self.id, hub.owner);
        match session.greet(&self.greeting()).await.expect("the store answers") {
            Greeted::Welcome(ours) => {
                let next = ours.accepted.map_or(Position { epoch: 0, seq: 0 }, |accepted| {
                    let wire::Accepted { head, signature } = accepted;
                    let text = wire::Accepted::signed(self.id, &head);
                    assert!(hub.key.public().verifies(&text, &Signature::new(signature)));
                    Position { epoch: head.epoch, seq: head.size }
                });
                (session, Some(next))
            }
            Greeted::Fault(fault) => {
                self.faults.push(fault);
                (session, None)
            }
        }
    }

    /// The entries from a place on; a close whose OPEN stands before it brings that along.
    pub(super) fn from(&self, next: Position) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for (_, bytes) in self.log.iter().filter(|(at, _)| *at >= next) {
            receipts.push(Receipt::Entry(bytes.clone()));
            let entry = Entry::decode(bytes).expect("an entry");
            if let Body::Close(close) = entry.body
                && close.open < next
                && self.log.iter().any(|(at, _)| *at == close.open)
            {
                let open = self.bytes_at(close.open);
                receipts.push(Receipt::Claim { open, close: bytes.clone() });
            }
        }
        receipts
    }

    /// The claims of all closes before `next` without a final word.
    pub(super) fn claims(&self, next: Position) -> Vec<Receipt> {
        let before = self.log.iter().filter(|(at, _)| *at < next);
        let mut claims = Vec::new();
        for (_, bytes) in before {
            let Body::Close(close) = Entry::decode(bytes).expect("an entry").body else {
                continue;
            };
            let word = self.words.get(&(close.exchange, close.attempt));
            if !word.is_some_and(|(verdict, _)| verdict.is_final()) {
                let open = self.bytes_at(close.open);
                claims.push(Receipt::Claim { open, close: bytes.clone() });
            }
        }
        claims
    }

    /// Takes the hub's words into the chain.
    pub(super) fn hear(&mut self, hub: &Hub, messages: Vec<HubMessage>) {
        for message in messages {
            match message {
                HubMessage::Ack(batch) => {
                    let said = SignedAcks { key: hub.key.public(), batch };
                    assert!(said.is_signed(), "the hub signs what it says");
                    assert_eq!(said.batch.agent, self.id);
                    let mut news = false;
                    for ack in &said.batch.acks {
                        let Ack { exchange, attempt, verdict, amount, .. } = *ack;
                        self.words.insert((exchange, attempt), (verdict, amount));
                        let before = self.said.insert(said.close_of(ack), (verdict, amount));
                        news |= before != Some((verdict, amount));
                        if let Some(before) = before.filter(|(verdict, _)| verdict.is_final()) {
                            assert_eq!(before, (verdict, amount), "a final word stands");
                        }
                    }
                    if news {
                        self.push(Body::Acks(said));
                    }
                }
                HubMessage::LedgerFault(fault) => self.faults.push(fault),
                HubMessage::Cosigned(said) => self.cosigned(hub, &said),
                other @ (HubMessage::Welcome(_)
                | HubMessage::Refuse(_)
                | HubMessage::Ping(_)
                | HubMessage::Drain(_)
                | HubMessage::Revoked
                | HubMessage::Ledger(_)
                | HubMessage::Prices(_)
                | HubMessage::Unknown) => panic!("not a word of the ledger: {other:?}"),
            }
        }
    }

    /// One whole session: everything that the hub has not had, and claims, until nothing is new.
    pub(super) async fn report(&mut self, hub: &Hub) {
        let (mut session, next) = self.greet(hub).await;
        let Some(mut next) = next else {
            return;
        };
        let mut receipts = self.claims(next);
        loop {
            receipts.extend(self.from(next));
            let end = self.log.last().map(|(at, _)| *at).expect("entries");
            next = Position { epoch: end.epoch, seq: end.seq + 1 };
            if receipts.is_empty() {
                break;
            }
            let said = session.take(std::mem::take(&mut receipts)).await.expect("taken");
            self.hear(hub, said);
            if session.is_over() {
                break;
            }
        }
    }

    /// What the agent has earned by the hub's words.
    pub(super) fn earned(&self) -> i64 {
        self.words.values().map(|(_, amount)| amount.nanos()).sum()
    }
}

/// What the tests' hub promises of a ticket: by book, zone and tier of every other record here.
pub(super) fn promise(ticket: &Ticket) -> Promise {
    Promise {
        provider: Provider::OpenAi,
        model: "gpt-4o".to_owned(),
        place: None,
        book: BookHash::from_bytes([3; 32]),
        at: ticket.issued_at,
        zone: Ratio::ONE,
        tier: Ratio::from_ppm(800_000),
        service: 0,
        linked: false,
    }
}
