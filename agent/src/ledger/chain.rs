//! The chain's front end: from what is to be said to the bytes of one commit.
//!
//! Entries are numbered, chained and hashed in the order in which they are put. Nothing here writes:
//! a commit that fails on the disk leaves this state ahead of it, and the process ends.
//! What cannot be written as an entry is refused before it changes anything.

use super::frame;
use std::collections::BTreeMap;
use weft_proto::ledger::journal::{NotTaken, Shift};
use weft_proto::ledger::{
    BadEntry, Body, Checkpoint, Cosigned, Entry, Epoch, Frontier, Hash, Head, HeadOf, Open,
    Position, SigningKey, Why, Witness, note::Statement,
};
use weft_proto::time::Timestamp;

/// Checkpoints that wait for their cosignature at most; older ones are not cosigned any more.
const CHECKPOINTS_WAITING_MAX: usize = 64;

/// Who keeps the ledger.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) agent: weft_proto::ids::AgentId,
    pub(super) hub: weft_proto::ids::HubId,
    pub(super) key: SigningKey,
}

/// The chain's end, and what is open on it.
#[derive(Debug)]
pub(super) struct Chain {
    keeper: Keeper,
    epoch: u64,
    tree: Frontier,
    last: Hash,
    opens: BTreeMap<Position, Open>,
    checkpoints: BTreeMap<u64, Checkpoint>,
    witness: Witness,
}

impl Chain {
    /// The chain as a verifier left it.
    pub(super) fn new(
        keeper: Keeper,
        head: Head,
        tree: Frontier,
        opens: BTreeMap<Position, Open>,
        witness: Witness,
    ) -> Self {
        let (epoch, last) = (head.epoch, head.last);
        Self { keeper, epoch, tree, last, opens, checkpoints: BTreeMap::new(), witness }
    }

    pub(super) const fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    pub(super) fn head(&self) -> Head {
        let (size, root) = (self.tree.size(), self.tree.root());
        Head { epoch: self.epoch, size, root, last: self.last }
    }

    /// What is open, in chain order.
    pub(super) const fn opens(&self) -> &BTreeMap<Position, Open> {
        &self.opens
    }

    /// The checkpoint of this epoch with this size, while it waits for its cosignature.
    pub(super) fn checkpoint_of(&self, size: u64) -> Option<&Checkpoint> {
        self.checkpoints.get(&size)
    }

    /// Takes what a cosignature shows of the hub's journal, and puts the entry into the commit.
    pub(super) fn cosigned(
        &mut self,
        statement: &Statement,
        cosigned: Cosigned,
        at: Timestamp,
        commit: &mut Vec<u8>,
    ) -> Result<Result<Shift, NotTaken>, BadEntry> {
        let Some(shown) = &cosigned.cosignature.journal else {
            return Ok(Err(NotTaken::Unfit));
        };
        let mut witness = self.witness.clone();
        let shift = match witness.take(statement.hub, shown, &cosigned.nodes) {
            Ok(shift) => shift,
            Err(not_taken) => return Ok(Err(not_taken)),
        };
        self.put(Body::Cosigned(cosigned), at, commit)?;
        self.witness = witness;
        Ok(Ok(shift))
    }

    /// Puts one entry into the commit. Returns where it stands.
    pub(super) fn put(
        &mut self,
        body: Body,
        at: Timestamp,
        commit: &mut Vec<u8>,
    ) -> Result<Position, BadEntry> {
        let position = Position { epoch: self.epoch, seq: self.tree.size() };
        let entry = Entry { position, at, prev: self.last, body };
        let bytes = entry.encode()?;
        frame::put(commit, 0, &bytes);
        self.last = Hash::leaf(&bytes);
        self.tree.push(self.last);
        match entry.body {
            Body::Open(open) => drop(self.opens.insert(position, open)),
            Body::Close(close) => drop(self.opens.remove(&close.open)),
            Body::Checkpoint(checkpoint) => {
                self.checkpoints.insert(checkpoint.size, checkpoint);
                if self.checkpoints.len() > CHECKPOINTS_WAITING_MAX {
                    self.checkpoints.pop_first();
                }
            }
            Body::Cosigned(cosigned) => drop(self.checkpoints.remove(&cosigned.size)),
            Body::Epoch(_) | Body::Acks(_) => {}
        }
        Ok(position)
    }

    /// Puts the first entry of an epoch with a number above `above`.
    pub(super) fn begin_epoch(
        &mut self,
        why: Why,
        above: u64,
        before: Option<HeadOf>,
        at: Timestamp,
        commit: &mut Vec<u8>,
    ) -> Result<Position, BadEntry> {
        let Keeper { agent, hub, key } = &self.keeper;
        let body = Epoch { agent: *agent, hub: *hub, key: key.public(), why, before };
        self.epoch = self.epoch.max(above) + 1;
        self.tree = Frontier::new();
        self.checkpoints.clear();
        self.put(Body::Epoch(body), at, commit)
    }

    /// Puts a signed checkpoint over all entries of the epoch so far.
    pub(super) fn checkpoint(
        &mut self,
        at: Timestamp,
        commit: &mut Vec<u8>,
    ) -> Result<(Statement, Checkpoint), BadEntry> {
        let Head { epoch, size, root, last: _ } = self.head();
        let hub = self.witness.head();
        let statement = Statement { agent: self.keeper.agent, epoch, size, root, hub };
        let checkpoint = Checkpoint::sign(&statement, &self.keeper.key);
        self.put(Body::Checkpoint(checkpoint.clone()), at, commit)?;
        Ok((statement, checkpoint))
    }
}
