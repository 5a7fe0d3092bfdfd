//! Words of the hub that break an earlier one or answer nothing: kept beside the log as they came,
//! signed, so that the same is found again offline.
//!
//! ```text
//!  acknowledgements   that exceed a claim, answer none, or follow a final one        changed_receipt
//!  a taken entry      that is not the one that stands in the log                     changed_receipt
//!  a cosignature      whose journal is older than one that was shown                 old_head
//!                     whose journal does not continue it                             two_faces
//! ```
//! They are no part of the chain: nothing of them was taken. A file holds one word, and is named by
//! its hash. There are no more than [`BROKEN_WORDS_MAX`]: a hub that breaks its word more often proves
//! nothing more.

use super::LedgerError;
use super::disk::{Disk, Files};
use crate::datadir::DataDir;
use std::collections::BTreeMap;
use weft_proto::ids::{AgentId, ExchangeId};
use weft_proto::ledger::verify::{Check, Finding};
use weft_proto::ledger::{
    Ack, Body, Checkpoint, Cosigned, ENTRY_BYTES_MAX, Entry, Hash, Position, PublicKey, Signature,
    SignedAcks, Verdict, Witness,
};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_proto::wire::receipts::{Accepted, ChainHead};

/// Words that are kept at most.
pub const BROKEN_WORDS_MAX: usize = 64;

/// How the names of their files begin.
const PREFIX: &str = "broken-";

/// How the file of a taken entry begins: no entry does.
const ACCEPTED: &[u8; 16] = b"weft accepted 1\n";

/// A word of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// On closes. Kept in the layout of an ACK entry.
    Acks(SignedAcks),
    /// Under a checkpoint of this epoch. Kept in the layout of a COSIGNATURE entry whose place is the
    /// checkpoint's.
    Cosigned {
        /// The epoch.
        epoch: u64,
        /// The cosignature.
        cosigned: Cosigned,
    },
    /// On what it has taken of the log.
    Accepted {
        /// Whose log.
        agent: AgentId,
        /// The hub's key.
        key: PublicKey,
        /// What it has signed.
        accepted: Accepted,
    },
}

impl Word {
    fn encode(&self) -> Result<Vec<u8>, LedgerError> {
        let entry = |position, at, body| Entry { position, at, prev: Hash::ZERO, body }.encode();
        Ok(match self {
            Self::Acks(said) => {
                entry(Position { epoch: 1, seq: 0 }, said.batch.at, Body::Acks(said.clone()))?
            }
            Self::Cosigned { epoch, cosigned } => {
                let position = Position { epoch: *epoch, seq: cosigned.size };
                let at = Timestamp::from_micros(0);
                entry(position, at, Body::Cosigned(cosigned.clone()))?
            }
            Self::Accepted { agent, key, accepted: Accepted { head, signature } } => {
                let numbers = [head.epoch.to_be_bytes(), head.size.to_be_bytes()].concat();
                let who = [&agent.as_bytes()[..], key.as_bytes()].concat();
                [&ACCEPTED[..], &who, &numbers, &head.leaf, signature].concat()
            }
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let Some(rest) = bytes.strip_prefix(ACCEPTED) else {
            let Entry { position, body, .. } = Entry::decode(bytes).ok()?;
            return match body {
                Body::Acks(said) => Some(Self::Acks(said)),
                Body::Cosigned(cosigned) => {
                    Some(Self::Cosigned { epoch: position.epoch, cosigned })
                }
                Body::Epoch(_) | Body::Open(_) | Body::Close(_) | Body::Checkpoint(_) => None,
            };
        };
        let (agent, rest) = rest.split_first_chunk::<16>()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (leaf, rest) = rest.split_first_chunk()?;
        let (epoch, size) = (u64::from_be_bytes(*epoch), u64::from_be_bytes(*size));
        let head = ChainHead { epoch, size, leaf: *leaf };
        let accepted = Accepted { head, signature: rest.try_into().ok()? };
        let agent = AgentId::from_slice(agent).ok()?;
        Some(Self::Accepted { agent, key: PublicKey::new(*key), accepted })
    }
}

/// Keeps a word, once.
pub(super) fn keep(disk: &dyn Disk, word: &Word) -> Result<(), LedgerError> {
    let bytes = word.encode()?;
    let name = format!("{PREFIX}{}", Hash::leaf(&bytes));
    let failed = |source| LedgerError::Disk { doing: "keeping a word that the hub broke", source };
    let kept = names(disk).map_err(failed)?;
    if kept.len() >= BROKEN_WORDS_MAX || kept.contains(&name) {
        return Ok(());
    }
    disk.replace(&name, &bytes).map_err(failed)
}

fn names(disk: &dyn Disk) -> std::io::Result<Vec<String>> {
    let mut names = disk.list()?;
    names.retain(|name| name.starts_with(PREFIX));
    names.sort_unstable();
    Ok(names)
}

/// A close that a kept word speaks of, as the log has it.
#[derive(Debug, Clone, Copy)]
struct Known {
    exchange: (ExchangeId, u8),
    income: NanoUsd,
    word: Option<(Verdict, NanoUsd)>,
}

/// One thing that the hub did against its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubFinding {
    /// The check's name, and the entry of the log that it is about.
    pub finding: Finding,
    /// The rule of words on closes that it broke, where it is about one.
    pub rule: Option<Check>,
}

/// A kept cosignature, and the check that it fails.
type Judged = (Cosigned, Option<Check>);

/// The words that were kept, and what the log says to them.
#[derive(Debug, Default)]
pub struct BrokenWords {
    acks: Vec<SignedAcks>,
    closes: BTreeMap<Position, Option<Known>>,
    /// Cosignatures by the checkpoint that they are of, and what they show.
    cosigned: BTreeMap<(u64, u64), Vec<Judged>>,
    /// What the hub says to have taken, by the entry's place, and whether the log has another one.
    accepted: Vec<(AgentId, PublicKey, Accepted, bool)>,
    agent: Option<AgentId>,
    epoch: u64,
    witness: Witness,
    checkpoints: BTreeMap<u64, Checkpoint>,
    /// How much of each epoch the hub has cosigned.
    vouched: BTreeMap<u64, (u64, PublicKey)>,
}

impl BrokenWords {
    /// What is kept in `data`. A file that holds no such word is passed over.
    ///
    /// # Errors
    /// [`LedgerError::Disk`].
    pub fn read(data: &DataDir) -> Result<Self, LedgerError> {
        let disk = Files::existing(data.ledger_dir(), false);
        if !disk.root().is_dir() {
            return Ok(Self::default());
        }
        let failed = |source| LedgerError::Disk { doing: "reading a kept word", source };
        let mut found = Self::default();
        for name in names(&disk).map_err(failed)?.into_iter().take(BROKEN_WORDS_MAX) {
            let mut bytes = vec![0; ENTRY_BYTES_MAX];
            let read = disk.read(&name, 0, &mut bytes).map_err(failed)?;
            match Word::decode(bytes.get(..read).unwrap_or_default()) {
                Some(Word::Acks(said)) => {
                    found.closes.extend(said.batch.acks.iter().map(|a| (said.close_of(a), None)));
                    found.acks.push(said);
                }
                Some(Word::Cosigned { epoch, cosigned }) => {
                    let words = found.cosigned.entry((epoch, cosigned.size)).or_default();
                    words.push((cosigned, None));
                }
                Some(Word::Accepted { agent, key, accepted }) => {
                    found.accepted.push((agent, key, accepted, false));
                }
                None => {}
            }
        }
        Ok(found)
    }

    /// Takes notice of an entry of the log, in chain order.
    pub fn see(&mut self, entry: &Entry) {
        let at = entry.position;
        for (_, _, Accepted { head, .. }, differs) in &mut self.accepted {
            if (head.epoch, head.size) == (at.epoch, at.seq + 1) {
                let leaf = entry.encode().map(|bytes| Hash::leaf(&bytes));
                *differs = leaf.is_ok_and(|leaf| *leaf.as_bytes() != head.leaf);
            }
        }
        match &entry.body {
            Body::Epoch(epoch) => {
                self.agent = Some(epoch.agent);
                self.epoch = at.epoch;
                self.checkpoints.clear();
            }
            Body::Close(close) => {
                if let Some(known) = self.closes.get_mut(&at) {
                    let exchange = (close.exchange, close.attempt);
                    *known = Some(Known { exchange, income: close.income, word: None });
                }
            }
            Body::Acks(said) => {
                for ack in &said.batch.acks {
                    let close = self.closes.get_mut(&said.close_of(ack)).and_then(Option::as_mut);
                    if let Some(known) = close
                        && known.word.is_none_or(|(verdict, _)| !verdict.is_final())
                    {
                        known.word = Some((ack.verdict, ack.amount));
                    }
                }
            }
            Body::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Body::Cosigned(cosigned) => self.cosigned(cosigned),
            Body::Open(_) => {}
        }
    }

    /// What the kept cosignatures of this checkpoint show is held against what the hub had shown
    /// when it was signed.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        if let (Some(agent), Some(words)) =
            (self.agent, self.cosigned.get_mut(&(self.epoch, checkpoint.size)))
        {
            let statement = checkpoint.statement(agent, self.epoch);
            for (cosigned, shows) in words {
                let made = &cosigned.cosignature;
                let shown = made.journal.filter(|_| made.holds(&statement, &cosigned.key));
                let taken = shown
                    .map(|shown| self.witness.clone().take(statement.hub, &shown, &cosigned.nodes));
                *shows = match taken {
                    Some(Err(not_taken)) => Some(Check::from(not_taken)),
                    Some(Ok(_)) | None => None,
                };
            }
        }
        self.checkpoints.insert(checkpoint.size, checkpoint.clone());
        if self.checkpoints.len() > BROKEN_WORDS_MAX {
            self.checkpoints.pop_first();
        }
    }

    fn cosigned(&mut self, cosigned: &Cosigned) {
        let (Some(agent), Some(checkpoint)) = (self.agent, self.checkpoints.get(&cosigned.size))
        else {
            return;
        };
        let statement = checkpoint.statement(agent, self.epoch);
        if !cosigned.cosignature.holds(&statement, &cosigned.key) {
            return;
        }
        self.vouched.insert(self.epoch, (cosigned.size, cosigned.key));
        if let Some(shown) = &cosigned.cosignature.journal {
            // What does not hold changes nothing, and is the verifier's to tell.
            self.witness.take(statement.hub, shown, &cosigned.nodes).ok();
        }
    }

    /// What the kept words break, once the whole log was seen: of those that one of `hub_keys` (any,
    /// where there is none) has signed for this agent.
    #[must_use]
    pub fn findings(&self, agent: Option<AgentId>, hub_keys: &[PublicKey]) -> Vec<HubFinding> {
        let is_hubs = |key: &PublicKey| hub_keys.is_empty() || hub_keys.contains(key);
        let is_ours = |whose: AgentId| agent.is_none_or(|agent| agent == whose);
        let mut findings = Vec::new();
        let said_to_us = self
            .acks
            .iter()
            .filter(|said| is_hubs(&said.key) && is_ours(said.batch.agent) && said.is_signed());
        for said in said_to_us {
            for ack in &said.batch.acks {
                let position = said.close_of(ack);
                let close = self.closes.get(&position).copied().flatten();
                findings.extend(broken(ack, close).map(|rule| HubFinding {
                    finding: Finding { check: Check::ChangedReceipt, position },
                    rule: Some(rule),
                }));
            }
        }
        for (agent, key, accepted, differs) in &self.accepted {
            let Accepted { head, signature } = accepted;
            let text = Accepted::signed(*agent, head);
            let signed = key.verifies(&text, &Signature::new(*signature));
            // What the hub never cosigned could have been rewritten here as well as there.
            let vouched = self
                .vouched
                .get(&head.epoch)
                .is_some_and(|(size, by)| *size >= head.size && is_hubs(by));
            if *differs && signed && vouched && is_hubs(key) && is_ours(*agent) {
                let position = Position { epoch: head.epoch, seq: head.size.saturating_sub(1) };
                let finding = Finding { check: Check::ChangedReceipt, position };
                findings.push(HubFinding { finding, rule: None });
            }
        }
        for ((epoch, size), words) in &self.cosigned {
            let position = Position { epoch: *epoch, seq: *size };
            let shown = words.iter().filter(|(cosigned, _)| is_hubs(&cosigned.key));
            findings.extend(
                shown
                    .filter_map(|(_, shows)| *shows)
                    .map(|check| HubFinding { finding: Finding { check, position }, rule: None }),
            );
        }
        findings
    }
}

/// What is wrong with the hub's word on a close.
fn broken(ack: &Ack, close: Option<Known>) -> Option<Check> {
    let Some(close) = close.filter(|close| close.exchange == (ack.exchange, ack.attempt)) else {
        return Some(Check::AckWithoutClose);
    };
    if ack.amount > close.income {
        return Some(Check::AckAboveClaim);
    }
    let stands = close.word.filter(|(verdict, _)| verdict.is_final())?;
    (stands != (ack.verdict, ack.amount)).then_some(Check::AckedTwice)
}
