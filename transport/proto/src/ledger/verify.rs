//! A whole ledger held against its own rules, one entry after the other, offline.
//!
//! [`Verifier`] takes entries in the order of the log and names what does not hold. It never stops
//! at a finding: the next entry is judged against what stands before it, so one edit is one or two
//! findings and not thousands. What it cannot see from the log alone (that the tail is missing, that
//! a key is not the hub's) it holds against [`Trust`], which comes from outside.

mod checks;
mod state;

pub use checks::{Check, Finding};
pub use state::Totals;

use super::Head;
use super::ack::SignedAcks;
use super::body::{Body, Checkpoint, Close, Cosigned, End, Epoch, HeadOf, HubHead, Open, Why};
use super::entry::{BadEntry, Entry, Position};
use super::journal::{NotTaken, Shift, Witness};
use super::note::PublicKey;
use super::tree::{Frontier, Hash};
use crate::ids::{AgentId, ExchangeId, HubId};
use crate::money::NanoUsd;
use state::{Claim, Opened, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// Findings kept with their places; further ones are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// What is known from outside the log.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Whose ledger it should be.
    pub agent: Option<AgentId>,
    /// Which hub it should settle with.
    pub hub: Option<HubId>,
    /// The hub's ledger keys; where there is none, any key is taken and told in the totals.
    pub hub_keys: Vec<PublicKey>,
    /// Heads that somebody else has seen (cosigned checkpoints): the log must pass through each.
    pub heads: Vec<HeadOf>,
}

/// Holds a ledger against its rules.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    heads: BTreeMap<(u64, u64), Hash>,
    epoch: Option<Epoch>,
    number: u64,
    tree: Frontier,
    last: Hash,
    opens: BTreeMap<Position, Opened>,
    attempts: BTreeSet<(ExchangeId, u8)>,
    claims: BTreeMap<Position, Claim>,
    checkpoints: BTreeMap<u64, Checkpoint>,
    cosigned: Option<HeadOf>,
    witness: Witness,
    lost: Vec<(Position, HubHead)>,
    totals: Totals,
    findings: Vec<Finding>,
    found: u64,
}

impl Verifier {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        let heads = trust.heads.iter().map(|head| ((head.epoch, head.size), head.root)).collect();
        Self {
            trust,
            heads,
            epoch: None,
            number: 0,
            tree: Frontier::new(),
            last: Hash::ZERO,
            opens: BTreeMap::new(),
            attempts: BTreeSet::new(),
            claims: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            cosigned: None,
            witness: Witness::default(),
            lost: Vec::new(),
            totals: Totals::default(),
            findings: Vec::new(),
            found: 0,
        }
    }

    /// Takes the next entry, as it stands in the log.
    ///
    /// # Errors
    /// [`BadEntry`] for bytes that are no entry. They count as a finding and change nothing else.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Entry, BadEntry> {
        let entry = Entry::decode(bytes).inspect_err(|_| {
            let at = Position { epoch: self.number, seq: self.tree.size() };
            self.find(Check::Unreadable, at);
        })?;
        let at = entry.position;
        if entry.prev != self.last {
            self.find(Check::ChainBroken, at);
        }
        if let Body::Epoch(epoch) = &entry.body {
            self.begin(epoch, at);
        } else if self.epoch.is_none() {
            self.find(Check::NoEpoch, at);
            self.number = at.epoch;
        } else if at.epoch != self.number {
            self.find(Check::EpochOrder, at);
        } else if at.seq != self.tree.size() {
            self.find(Check::Gap, at);
        }
        self.expect_head(at.epoch, self.tree.size());
        match &entry.body {
            Body::Epoch(_) => {}
            Body::Open(open) => self.open(open, at),
            Body::Close(close) => self.close(close, at),
            Body::Acks(acks) => self.acks(acks, at),
            Body::Checkpoint(checkpoint) => self.checkpoint(checkpoint, at),
            Body::Cosigned(cosigned) => self.cosigned(cosigned, at),
        }
        self.last = Hash::leaf(bytes);
        self.tree.push(self.last);
        self.totals.entries += 1;
        Ok(entry)
    }

    /// The log is over. Where nobody writes to it any more, every OPEN must be closed.
    pub fn finish(&mut self, idle: bool) {
        self.expect_head(self.number, self.tree.size());
        if idle {
            for at in self.opens.keys().copied().collect::<Vec<_>>() {
                self.find(Check::OpenWithoutClose, at);
            }
        }
        for (epoch, size) in std::mem::take(&mut self.heads).into_keys() {
            self.find(Check::HeadNotReached, Position { epoch, seq: size });
        }
    }

    /// What does not hold, the first [`FINDINGS_MAX`] of it.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How much does not hold.
    #[must_use]
    pub const fn found(&self) -> u64 {
        self.found
    }

    /// The sums.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Where the log stands.
    #[must_use]
    pub fn head(&self) -> Head {
        let (size, root) = (self.tree.size(), self.tree.root());
        Head { epoch: self.number, size, root, last: self.last }
    }

    /// The tree of the current epoch.
    #[must_use]
    pub const fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// How the current epoch began.
    #[must_use]
    pub const fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The newest checkpoint that the hub has cosigned.
    #[must_use]
    pub const fn cosigned_head(&self) -> Option<HeadOf> {
        self.cosigned
    }

    /// The hub's journal as the ledger's agent was shown it.
    #[must_use]
    pub const fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Where the hub has admitted that it lost a part of its journal, and which head it lost: the
    /// first [`FINDINGS_MAX`].
    #[must_use]
    pub fn lost(&self) -> &[(Position, HubHead)] {
        &self.lost
    }

    /// What is open, in chain order.
    pub fn unclosed(&self) -> impl Iterator<Item = (Position, &Open)> {
        self.opens.iter().map(|(at, opened)| (*at, &opened.open))
    }

    /// Closes without a final word of the hub, in chain order, and what they claim.
    pub fn unacknowledged(&self) -> impl Iterator<Item = (Position, NanoUsd)> {
        let open = self.claims.iter().filter(|(_, claim)| claim.word.is_none_or(|w| !w.is_final()));
        open.map(|(at, claim)| (*at, claim.amount))
    }

    fn find(&mut self, check: Check, position: Position) {
        self.found += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { check, position });
        }
    }

    /// Whether the tree has the root that somebody else has seen at this size.
    fn expect_head(&mut self, epoch: u64, size: u64) {
        if let Some(root) = self.heads.remove(&(epoch, size))
            && (epoch != self.number || root != self.tree.root())
        {
            self.find(Check::HeadMismatch, Position { epoch, seq: size });
        }
    }

    fn begin(&mut self, epoch: &Epoch, at: Position) {
        // A head at the very end of the epoch before is passed now or never.
        self.expect_head(self.number, self.tree.size());
        let first = self.epoch.is_none();
        if at.seq != 0 || at.epoch <= self.number || first != (epoch.why == Why::First) {
            self.find(Check::EpochOrder, at);
        }
        let (agent, hub) = (self.trust.agent, self.trust.hub);
        let before = self.epoch.as_ref().map(|before| (before.agent, before.hub));
        let expected = (agent.unwrap_or(epoch.agent), hub.unwrap_or(epoch.hub));
        let known = before.unwrap_or(expected);
        if known != (epoch.agent, epoch.hub) {
            self.find(Check::Stranger, at);
        }
        self.epoch = Some(epoch.clone());
        self.number = at.epoch;
        self.tree = Frontier::new();
        self.checkpoints.clear();
        self.totals.epochs += 1;
    }

    fn open(&mut self, open: &Open, at: Position) {
        if !self.attempts.insert((open.ticket.exchange, open.ticket.attempt)) {
            self.find(Check::OpenedTwice, at);
        }
        self.opens.insert(at, Opened { open: open.clone() });
        self.totals.opened += 1;
    }

    fn close(&mut self, close: &Close, at: Position) {
        match self.opens.remove(&close.open) {
            None => self.find(Check::CloseWithoutOpen, at),
            Some(Opened { open }) => {
                let ticket = &open.ticket;
                if (ticket.exchange, ticket.attempt) != (close.exchange, close.attempt) {
                    self.find(Check::CloseWithoutOpen, at);
                } else if close.income > claimable(close, &open) {
                    self.find(Check::ClaimAboveTerms, at);
                }
            }
        }
        let exchange = (close.exchange, close.attempt);
        self.claims.insert(at, Claim { exchange, amount: close.income, word: None });
        self.totals.closed(close);
    }

    fn acks(&mut self, acks: &SignedAcks, at: Position) {
        let agent = self.epoch.as_ref().map(|epoch| epoch.agent);
        if !acks.is_signed() || agent.is_some_and(|agent| agent != acks.batch.agent) {
            self.find(Check::BadAckSignature, at);
        }
        self.hub_key(acks.key, at);
        for ack in &acks.batch.acks {
            let word = Seen { verdict: ack.verdict, amount: ack.amount };
            let Some(claim) = self.claims.get_mut(&acks.close_of(ack)) else {
                self.find(Check::AckWithoutClose, at);
                continue;
            };
            if claim.exchange != (ack.exchange, ack.attempt) {
                self.find(Check::AckWithoutClose, at);
                continue;
            }
            match claim.word {
                // The same word again says nothing new.
                Some(before) if before == word => continue,
                Some(before) if before.verdict.is_final() => {
                    self.find(Check::AckedTwice, at);
                    continue;
                }
                Some(_) | None => {}
            }
            claim.word = Some(word);
            let above = ack.amount > claim.amount;
            self.totals.acked(ack);
            if above {
                self.find(Check::AckAboveClaim, at);
            }
        }
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint, at: Position) {
        if checkpoint.size != self.tree.size() || checkpoint.size != at.seq {
            self.find(Check::CheckpointSize, at);
        } else if checkpoint.root != self.tree.root() {
            self.find(Check::CheckpointRoot, at);
        }
        if let Some(epoch) = &self.epoch {
            let text = checkpoint.statement(epoch.agent, self.number).text();
            if !epoch.key.verifies(text.as_bytes(), &checkpoint.signature) {
                self.find(Check::BadSignature, at);
            }
        }
        // What was named before heads were signed is not known here.
        if self.witness.head().is_some_and(|head| checkpoint.hub != Some(head)) {
            self.find(Check::JournalUnseen, at);
        }
        self.checkpoints.insert(checkpoint.size, checkpoint.clone());
        self.totals.checkpoints += 1;
    }

    fn cosigned(&mut self, cosigned: &Cosigned, at: Position) {
        self.hub_key(cosigned.key, at);
        let (Some(epoch), Some(checkpoint)) = (&self.epoch, self.checkpoints.get(&cosigned.size))
        else {
            self.find(Check::CosignatureWithoutCheckpoint, at);
            return;
        };
        let statement = checkpoint.statement(epoch.agent, self.number);
        let made = &cosigned.cosignature;
        if !made.holds(&statement, &cosigned.key) {
            self.find(Check::BadCosignature, at);
            return;
        }
        let (size, root) = (statement.size, statement.root);
        self.cosigned = Some(HeadOf { epoch: self.number, size, root });
        self.totals.cosigned += 1;
        let Some(shown) = &made.journal else {
            return;
        };
        match self.witness.take(statement.hub, shown, &cosigned.nodes) {
            Ok(Shift::Restored { lost }) if self.lost.len() < FINDINGS_MAX => {
                self.lost.push((at, lost));
            }
            Ok(_) => {}
            Err(not_taken) => self.find(not_taken.into(), at),
        }
    }

    fn hub_key(&mut self, key: PublicKey, at: Position) {
        if !self.trust.hub_keys.is_empty() && !self.trust.hub_keys.contains(&key) {
            self.find(Check::UnknownHubKey, at);
        }
        self.totals.hub_key(key);
    }
}

impl From<NotTaken> for Check {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::OldHead { .. } => Self::OldHead,
            NotTaken::TwoFaces { .. } => Self::TwoFaces,
            NotTaken::Unfit => Self::JournalUnfit,
        }
    }
}

/// The most that `close` may claim by the terms of its ticket.
#[must_use]
pub fn claimable(close: &Close, open: &Open) -> NanoUsd {
    let Some(terms) = &open.ticket.terms else {
        return NanoUsd::ZERO;
    };
    match (close.end, close.list) {
        // Not known what it cost: what the hub has metered, at most the cap.
        (End::Interrupted, _) | (End::Proper | End::Cut { .. }, None) => terms.cap,
        (End::Proper | End::Cut { .. }, Some(list)) => {
            list.income(terms.tier).unwrap_or(NanoUsd::ZERO)
        }
    }
}
