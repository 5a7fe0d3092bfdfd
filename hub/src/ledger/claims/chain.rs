//! An agent's chain as the hub follows it: each entry must follow the one before.
//!
//! What is kept is small however long the chain is: the last leaf, the tree's peaks, and the OPENs
//! whose CLOSE has not come. Nothing is taken back: what was followed once cannot be said again
//! otherwise without showing.

use bytes::Bytes;
use std::collections::BTreeMap;
use weft_proto::ids::{AgentId, ExchangeId, HubId};
use weft_proto::ledger::note::Statement;
use weft_proto::ledger::{
    Body, Close, Cosigned, Entry, Epoch, Frontier, Hash, Open, Position, PublicKey, SignedAcks,
};
use weft_proto::time::Timestamp;
use weft_proto::wire::receipts::{ChainFault, ChainHead};
use weft_store::AgentChain;

/// OPENs kept until their CLOSE comes; beyond it the oldest is forgotten, and its claim has to bring
/// it along.
const OPENS_MAX: usize = 16_384;

/// Checkpoints kept until their cosignature comes back.
const CHECKPOINTS_MAX: usize = 64;

/// A chain that does not hold, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} at {at}", fault.reason())]
pub struct ChainBroken {
    /// How.
    pub fault: ChainFault,
    /// At which entry.
    pub at: Position,
}

/// One CLOSE, and the OPEN that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where the CLOSE stands.
    pub position: Position,
    /// Its leaf.
    pub hash: Hash,
    /// What it says.
    pub close: Close,
    /// What was promised; `None` where the OPEN is not at hand.
    pub open: Option<Open>,
    /// The CLOSE as it stands in the chain.
    pub close_bytes: Bytes,
    /// The OPEN as it stands in the chain.
    pub open_bytes: Option<Bytes>,
}

impl Claim {
    /// A claim of an OPEN and a CLOSE that stand in a chain already taken.
    ///
    /// # Errors
    /// [`ChainBroken`] where they are no such entries, or do not belong together.
    pub fn again(open: Bytes, close: Bytes) -> Result<Self, ChainBroken> {
        let nowhere = Position { epoch: 0, seq: 0 };
        let broken = |at| ChainBroken { fault: ChainFault::Broken, at };
        let opened = Entry::decode(&open).map_err(|_| broken(nowhere))?;
        let closed = Entry::decode(&close).map_err(|_| broken(nowhere))?;
        let at = closed.position;
        let (Body::Open(promised), Body::Close(body)) = (opened.body, closed.body) else {
            return Err(broken(at));
        };
        if body.open != opened.position || at <= opened.position || !belongs(&promised, &body) {
            return Err(broken(at));
        }
        Ok(Self {
            position: at,
            hash: Hash::leaf(&close),
            close: body,
            open: Some(promised),
            close_bytes: close,
            open_bytes: Some(open),
        })
    }

    /// The same with bytes of its own, for a claim that is kept: a slice would keep the whole buffer
    /// that it came in.
    #[must_use]
    pub fn detached(self) -> Self {
        Self {
            close_bytes: Bytes::copy_from_slice(&self.close_bytes),
            open_bytes: self.open_bytes.map(|bytes| Bytes::copy_from_slice(&bytes)),
            ..self
        }
    }

    /// The exchange.
    #[must_use]
    pub const fn exchange(&self) -> ExchangeId {
        self.close.exchange
    }
}

fn belongs(open: &Open, close: &Close) -> bool {
    (open.ticket.exchange, open.ticket.attempt) == (close.exchange, close.attempt)
}

/// What an entry that follows means to the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// Nothing to do.
    Nothing,
    /// An epoch began: the files are a copy of an older state. What the hub had taken behind that
    /// state stands as it was taken.
    Restored,
    /// A claim.
    Claim(Box<Claim>),
    /// A checkpoint that agrees with the entries: to be cosigned.
    Checkpoint(Statement),
    /// The hub's own word of earlier, as the agent kept it.
    Acks(Box<SignedAcks>),
    /// The hub's own cosignature of earlier, with the checkpoint that it is of where that was taken
    /// on this session.
    Cosigned(Box<Cosigned>, Option<Statement>),
}

/// One agent's chain.
#[derive(Debug, Clone)]
pub struct Chain {
    agent: AgentId,
    hub: HubId,
    key: PublicKey,
    epoch: u64,
    tree: Frontier,
    last: Hash,
    opens: BTreeMap<Position, (Open, Bytes)>,
    /// Checkpoints of this epoch by their sizes, for their cosignatures.
    checkpoints: BTreeMap<u64, Statement>,
}

impl Chain {
    /// The chain of an agent of which nothing was taken yet.
    #[must_use]
    pub const fn new(agent: AgentId, hub: HubId, key: PublicKey) -> Self {
        Self {
            agent,
            hub,
            key,
            epoch: 0,
            tree: Frontier::new(),
            last: Hash::ZERO,
            opens: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
        }
    }

    /// The chain as it was kept; `None` where what was kept is none.
    #[must_use]
    pub fn resume(kept: &AgentChain, hub: HubId) -> Option<Self> {
        let peaks = kept.peaks.iter().copied().map(Hash::new).collect();
        Some(Self {
            epoch: kept.epoch,
            tree: Frontier::from_peaks(kept.size, peaks)?,
            last: Hash::new(kept.last),
            ..Self::new(kept.agent, hub, PublicKey::new(kept.key))
        })
    }

    /// What is to be kept of it.
    #[must_use]
    pub fn kept(&self, now: Timestamp) -> AgentChain {
        AgentChain {
            agent: self.agent,
            key: *self.key.as_bytes(),
            epoch: self.epoch,
            size: self.tree.size(),
            last: *self.last.as_bytes(),
            peaks: self.tree.peaks().iter().map(|peak| *peak.as_bytes()).collect(),
            updated_at: now,
        }
    }

    /// How far it was taken; `None` where nothing was.
    #[must_use]
    pub fn head(&self) -> Option<ChainHead> {
        (self.epoch > 0).then(|| ChainHead {
            epoch: self.epoch,
            size: self.tree.size(),
            leaf: *self.last.as_bytes(),
        })
    }

    /// Epoch and size, as the store wants them.
    #[must_use]
    pub fn at(&self) -> Option<(u64, u64)> {
        (self.epoch > 0).then(|| (self.epoch, self.tree.size()))
    }

    /// The key that signs it.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// The key that signs it from now on, after the one before has vouched for it.
    pub const fn hand_over(&mut self, key: PublicKey) {
        self.key = key;
    }

    /// Whether an entry of this position was taken before.
    #[must_use]
    pub const fn has(&self, at: Position) -> bool {
        at.epoch < self.epoch || (at.epoch == self.epoch && at.seq < self.tree.size())
    }

    /// A claim of what was taken before.
    ///
    /// # Errors
    /// [`ChainBroken`] where the two are no claim, or stand where nothing was taken yet.
    pub fn again(&self, open: Bytes, close: Bytes) -> Result<Claim, ChainBroken> {
        let claim = Claim::again(open, close)?;
        match self.has(claim.position) {
            true => Ok(claim),
            false => Err(ChainBroken { fault: ChainFault::Broken, at: claim.position }),
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`ChainBroken`]; nothing was taken then.
    pub fn follow(&mut self, bytes: &Bytes) -> Result<Followed, ChainBroken> {
        let next = Position { epoch: self.epoch, seq: self.tree.size() };
        let broken = |fault, at| ChainBroken { fault, at };
        let entry = Entry::decode(bytes).map_err(|_| broken(ChainFault::Broken, next))?;
        let at = entry.position;
        if let Body::Epoch(epoch) = &entry.body {
            self.check_epoch(epoch, &entry)?;
            let first = self.epoch == 0;
            self.epoch = at.epoch;
            self.tree = Frontier::new();
            self.checkpoints.clear();
            self.push(bytes);
            return Ok(if first { Followed::Nothing } else { Followed::Restored });
        }
        if at.epoch < self.epoch || (at.epoch == self.epoch && at.seq < self.tree.size()) {
            return Err(broken(ChainFault::Regress, at));
        }
        if at != next || self.epoch == 0 {
            return Err(broken(ChainFault::Broken, at));
        }
        if entry.prev != self.last {
            return Err(broken(ChainFault::Fork, at));
        }
        let followed = match entry.body {
            Body::Epoch(_) => Followed::Nothing,
            Body::Open(open) => {
                if self.opens.len() >= OPENS_MAX {
                    self.opens.pop_first();
                }
                // A copy: a slice would keep the whole buffer that it came in.
                self.opens.insert(at, (open, Bytes::copy_from_slice(bytes)));
                Followed::Nothing
            }
            Body::Close(close) => Followed::Claim(Box::new(self.claim(at, close, bytes)?)),
            Body::Acks(acks) => Followed::Acks(Box::new(acks)),
            Body::Checkpoint(checkpoint) => {
                let statement = checkpoint.statement(self.agent, self.epoch);
                let agrees = (checkpoint.size, checkpoint.root) == (at.seq, self.tree.root())
                    && self.key.verifies(statement.text().as_bytes(), &checkpoint.signature);
                if !agrees {
                    return Err(broken(ChainFault::Checkpoint, at));
                }
                self.checkpoints.insert(statement.size, statement);
                if self.checkpoints.len() > CHECKPOINTS_MAX {
                    self.checkpoints.pop_first();
                }
                Followed::Checkpoint(statement)
            }
            Body::Cosigned(cosigned) => {
                let statement = self.checkpoints.remove(&cosigned.size);
                Followed::Cosigned(Box::new(cosigned), statement)
            }
        };
        self.push(bytes);
        Ok(followed)
    }

    fn check_epoch(&self, epoch: &Epoch, entry: &Entry) -> Result<(), ChainBroken> {
        let at = entry.position;
        let broken = |fault| ChainBroken { fault, at };
        if epoch.agent != self.agent || epoch.hub != self.hub || at.seq != 0 {
            return Err(broken(ChainFault::Broken));
        }
        if epoch.key != self.key {
            return Err(broken(ChainFault::Key));
        }
        if at.epoch <= self.epoch {
            return Err(broken(ChainFault::Regress));
        }
        Ok(())
    }

    fn claim(&mut self, at: Position, close: Close, bytes: &Bytes) -> Result<Claim, ChainBroken> {
        let (open, open_bytes) = match self.opens.remove(&close.open) {
            Some((open, bytes)) => (Some(open), Some(bytes)),
            None => (None, None),
        };
        if open.as_ref().is_some_and(|open| !belongs(open, &close)) {
            return Err(ChainBroken { fault: ChainFault::Broken, at });
        }
        let hash = Hash::leaf(bytes);
        Ok(Claim { position: at, hash, close, open, close_bytes: bytes.clone(), open_bytes })
    }

    fn push(&mut self, bytes: &Bytes) {
        self.last = Hash::leaf(bytes);
        self.tree.push(self.last);
    }
}
