//! What two agents, or one agent at two times, were shown of a hub's journal, held against each other.
//!
//! Nobody is asked: both sides bring the statements that the hub has signed, and the nodes that go
//! with them. Where the journals that they show meet at one size, they are one journal up to it or
//! two faces; and a journal that was shown shorter than it had been shown to the other, long before,
//! is an old head. What a hub has admitted to have lost is compared with nothing: neither what was
//! shown before the admission to whom it was made, nor what the other saw last before it.

use super::{NotTaken, Shift, Shown, Witness, growth, head_of};
use crate::ids::{AgentId, HubId};
use crate::ledger::body::{Body, HubHead};
use crate::ledger::entry::Entry;
use crate::ledger::note::{PublicKey, Signature, SignedNote, Statement};
use crate::ledger::tree::{Frontier, Hash};
use std::collections::BTreeMap;

/// Seconds by which the clocks of a hub's nodes may differ at most.
pub const HISTORY_CLOCKS_MAX: u64 = 300;

/// Checkpoints that are kept until their cosignature comes.
const CHECKPOINTS_MAX: usize = 64;

/// One cosigned checkpoint whose cosignature shows a head of the hub's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The checkpoint with both signatures.
    pub note: SignedNote,
    /// The hub's key that signed.
    pub key: PublicKey,
    /// The nodes that show the head.
    pub nodes: Vec<Hash>,
}

/// Gathers the sightings of a ledger: of each head the first and the last.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    owner: Option<(AgentId, HubId)>,
    key: Option<PublicKey>,
    epoch: u64,
    checkpoints: BTreeMap<u64, (Statement, Signature)>,
    kept: Vec<(PublicKey, Sighting)>,
    again: bool,
}

impl Sightings {
    /// Takes notice of an entry of the log, in chain order.
    pub fn see(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Epoch(epoch) => {
                self.owner = Some((epoch.agent, epoch.hub));
                self.key = Some(epoch.key);
                self.epoch = entry.position.epoch;
                self.checkpoints.clear();
            }
            Body::Checkpoint(checkpoint) => {
                if let Some((agent, _)) = self.owner {
                    let statement = checkpoint.statement(agent, self.epoch);
                    self.checkpoints.insert(statement.size, (statement, checkpoint.signature));
                    if self.checkpoints.len() > CHECKPOINTS_MAX {
                        self.checkpoints.pop_first();
                    }
                }
            }
            Body::Cosigned(cosigned) => {
                let named = self.checkpoints.remove(&cosigned.size);
                let Some(((statement, signature), shown)) = named.zip(cosigned.cosignature.journal)
                else {
                    return;
                };
                let cosignature = Some(cosigned.cosignature);
                let note = SignedNote { statement, signature, cosignature };
                let sighting = Sighting { note, key: cosigned.key, nodes: cosigned.nodes.clone() };
                let Some(key) = self.key else {
                    return;
                };
                let same = self.kept.last().and_then(|(_, last)| last.head()) == Some(shown.head);
                if same && self.again {
                    self.kept.pop();
                }
                self.again = same;
                self.kept.push((key, sighting));
            }
            Body::Open(_) | Body::Close(_) | Body::Acks(_) => {}
        }
    }

    /// Whose ledger it is, and of which hub; none before its first entry.
    #[must_use]
    pub const fn owner(&self) -> Option<(AgentId, HubId)> {
        self.owner
    }

    /// What was kept, each with the key that signs the ledger's checkpoints.
    #[must_use]
    pub fn kept(&self) -> &[(PublicKey, Sighting)] {
        &self.kept
    }
}

/// When a head was seen first and last, by the hub's clock, and its size.
#[derive(Debug, Clone, Copy)]
struct Time {
    first: u64,
    last: u64,
    size: u64,
}

/// The hub's journal as one party was shown it, with everything that shows it.
#[derive(Debug, Clone, Default)]
pub struct History {
    witness: Witness,
    base: Frontier,
    grown: Vec<(u32, Hash)>,
    times: Vec<Time>,
    /// Heads that the hub has admitted to have lost.
    lost: Vec<HubHead>,
    /// When it did so last, by its clock.
    restored_at: Option<u64>,
}

impl History {
    /// Takes what the hub showed under `statement` at `at_secs`. Whether the hub has signed it is for
    /// the caller to know.
    ///
    /// # Errors
    /// [`NotTaken`]: what is shown contradicts what stands before it.
    pub fn see(
        &mut self,
        statement: &Statement,
        at_secs: u64,
        shown: &Shown,
        nodes: &[Hash],
    ) -> Result<Shift, NotTaken> {
        let before = self.witness.head();
        let shift = self.witness.take(statement.hub, shown, nodes)?;
        match shift {
            Shift::Same => {}
            Shift::First | Shift::Restored { .. } => {
                if let Shift::Restored { lost } = shift {
                    self.lost.push(lost);
                    self.restored_at = Some(at_secs);
                }
                self.base = self.witness.0.clone().unwrap_or_default();
                self.grown.clear();
                self.times.clear();
            }
            Shift::Grown => {
                let parts = growth(before.map_or(0, |head| head.size), shown.head.size);
                self.grown.extend(parts.iter().map(|part| part.level).zip(nodes.iter().copied()));
            }
        }
        let size = shown.head.size;
        match self.times.last_mut() {
            Some(time) if time.size == size => time.last = time.last.max(at_secs),
            Some(_) | None => self.times.push(Time { first: at_secs, last: at_secs, size }),
        }
        Ok(shift)
    }

    /// The newest head.
    #[must_use]
    pub fn head(&self) -> Option<HubHead> {
        self.witness.head()
    }

    /// The head from which on all is known: the first that was shown since the hub lost anything.
    #[must_use]
    pub fn first(&self) -> Option<HubHead> {
        self.head().map(|_| head_of(&self.base))
    }

    /// Heads that the hub has admitted to have lost, in the order of its words.
    #[must_use]
    pub fn lost(&self) -> &[HubHead] {
        &self.lost
    }

    /// Holds two histories against each other.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Comparison {
        let mut agree = None;
        if self.is_of_before(other) || other.is_of_before(self) {
            return Comparison { agree, differs: None };
        }
        if let Some(size) = self.parting(other, &mut agree) {
            return Comparison { agree, differs: Some(Differs::TwoFaces { size }) };
        }
        let old = self.older_than(other).or_else(|| other.older_than(self));
        Comparison { agree, differs: old }
    }

    /// Whether all that this one was shown was shown before the hub told the other what it lost.
    fn is_of_before(&self, other: &Self) -> bool {
        let last = self.times.last().map(|time| time.last);
        other.restored_at.zip(last).is_some_and(|(restored, last)| last < restored)
    }

    /// The first size at which both show a head, and another one. `agree` is the last size at which
    /// they show the same.
    fn parting(&self, other: &Self, agree: &mut Option<u64>) -> Option<u64> {
        if self.head().is_none() || other.head().is_none() {
            return None;
        }
        let (mut ours, mut theirs) = (self.base.clone(), other.base.clone());
        let (mut our_parts, mut their_parts) = (self.grown.iter(), other.grown.iter());
        loop {
            if ours.size() == theirs.size() {
                if ours != theirs {
                    return Some(ours.size());
                }
                *agree = Some(ours.size());
            }
            let (tree, parts) = if ours.size() <= theirs.size() {
                (&mut ours, &mut our_parts)
            } else {
                (&mut theirs, &mut their_parts)
            };
            let (level, node) = parts.next()?;
            if !tree.push_subtree(*level, *node) {
                return None;
            }
        }
    }

    /// Whether this one was shown a head that is older than what the other had been shown before.
    fn older_than(&self, other: &Self) -> Option<Differs> {
        self.times.iter().find_map(|ours| {
            let before = |theirs: &&Time| {
                theirs.size > ours.size
                    && theirs.first.saturating_add(HISTORY_CLOCKS_MAX) < ours.last
            };
            let theirs = other.times.iter().find(before)?;
            Some(Differs::OldHead { shown: ours.size, seen: theirs.size, at_secs: ours.last })
        })
    }
}

/// What is wrong between two histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differs {
    /// At this size the hub showed one journal to one and another to the other.
    TwoFaces {
        /// Entries.
        size: u64,
    },
    /// At this time the hub showed one of them a head that was older than what it had shown the other.
    OldHead {
        /// The size that it showed.
        shown: u64,
        /// The size that it had shown before, elsewhere.
        seen: u64,
        /// When, in seconds since 1970 by the hub's clock.
        at_secs: u64,
    },
}

/// What comes of comparing two histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Up to this size both were shown the same journal; none where they meet at no size.
    pub agree: Option<u64>,
    /// What contradicts.
    pub differs: Option<Differs>,
}

impl Sighting {
    /// Opens a note that shows a head, with its nodes; both signatures must hold.
    ///
    /// # Errors
    /// What [`SignedNote::open`] says; `None` inside where the hub's line is missing or shows nothing.
    pub fn open(
        note: &[u8],
        agent_key: &PublicKey,
        hub: HubId,
        key: PublicKey,
        nodes: Vec<Hash>,
    ) -> Result<Option<Self>, crate::ledger::note::BadNote> {
        let note = SignedNote::open(note, agent_key, Some((hub, &key)))?;
        let shows = note.cosignature.is_some_and(|made| made.journal.is_some());
        Ok(shows.then_some(Self { note, key, nodes }))
    }

    /// The head that it shows.
    #[must_use]
    pub fn head(&self) -> Option<HubHead> {
        self.note.cosignature?.journal.map(|shown| shown.head)
    }
}
