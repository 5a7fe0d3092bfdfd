//! What proves a finding: the two sides' own bytes, from which the same is found again offline.
//!
//! ```text
//! version 1, agent 16, parts: kind 1, length 4, bytes
//! ```
//! A claim's finding keeps the OPEN, the CLOSE and the hub's record as it was; a chain's keeps where
//! the hub had taken it, and the entry that does not follow. [`Evidence::finds`] judges them anew.

use super::chain::{Chain, ChainBroken, Claim};
use super::judge::{Facts, Judged, Remark, judge};
use super::record::Record;
use super::seal::TicketSealer;
use bytes::Bytes;
use weft_proto::ids::{AgentId, HubId};
use weft_proto::ledger::note::Statement;
use weft_proto::ledger::{Cosigned, Entry, Hash, PublicKey, SignedAcks};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_proto::wire::receipts::ChainFault;
use weft_store::{AgentChain, ClaimRef};

/// The layout's version.
const VERSION: u8 = 1;

/// The finding of a hub that finds its own signed word and no record of it.
pub(super) const HUB_RESTORED: &str = "hub_restored";

/// When a chain stood where it broke: left out, so that one break is one finding however often the
/// agent comes back with it.
const NO_TIME: Timestamp = Timestamp::from_micros(0);

/// Bytes that are no evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not evidence of a finding")]
pub struct BadEvidence;

/// What proves a finding about an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// About whom.
    pub agent: AgentId,
    /// The OPEN, where it was at hand.
    pub open: Option<Bytes>,
    /// The CLOSE.
    pub close: Option<Bytes>,
    /// The hub's record as it stood.
    pub record: Option<Record>,
    /// How far the hub had taken the chain.
    pub taken: Option<AgentChain>,
    /// The entry that does not follow it.
    pub entry: Option<Bytes>,
    /// The text of the checkpoint that the entry is a cosignature of.
    pub statement: Option<String>,
    /// The agent's own key and head, as it greeted: the head's epoch, size and last leaf.
    pub greeted: Option<(PublicKey, u64, u64, Hash)>,
}

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const RECORD: u8 = 3;
const TAKEN: u8 = 4;
const ENTRY: u8 = 5;
const GREETED: u8 = 6;
const STATEMENT: u8 = 7;

impl Evidence {
    /// Nothing yet.
    #[must_use]
    pub const fn about(agent: AgentId) -> Self {
        Self {
            agent,
            open: None,
            close: None,
            record: None,
            taken: None,
            entry: None,
            statement: None,
            greeted: None,
        }
    }

    /// Of a claim, and the record that it was held against.
    #[must_use]
    pub fn of_claim(agent: AgentId, claim: &Claim, record: Option<&Record>) -> Self {
        Self {
            open: claim.open_bytes.clone(),
            close: Some(claim.close_bytes.clone()),
            record: record.cloned(),
            ..Self::about(agent)
        }
    }

    /// Of an entry that does not follow.
    #[must_use]
    pub fn of_chain(agent: AgentId, chain: &Chain, entry: Bytes) -> Self {
        Self { taken: Some(chain.kept(NO_TIME)), entry: Some(entry), ..Self::about(agent) }
    }

    /// Of an OPEN and a CLOSE that are no claim of what was taken.
    #[must_use]
    pub fn of_pair(agent: AgentId, chain: &Chain, open: Bytes, close: Bytes) -> Self {
        let taken = Some(chain.kept(NO_TIME));
        Self { taken, open: Some(open), close: Some(close), ..Self::about(agent) }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(self.agent.as_bytes());
        let mut part = |kind: u8, bytes: &[u8]| {
            out.push(kind);
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(bytes);
        };
        if let Some(open) = &self.open {
            part(OPEN, open);
        }
        if let Some(close) = &self.close {
            part(CLOSE, close);
        }
        if let Some(record) = &self.record {
            part(RECORD, &record.encode());
        }
        if let Some(taken) = &self.taken {
            let mut bytes = Vec::with_capacity(88 + taken.peaks.len() * 32);
            bytes.extend_from_slice(&taken.key);
            bytes.extend_from_slice(&taken.epoch.to_be_bytes());
            bytes.extend_from_slice(&taken.size.to_be_bytes());
            bytes.extend_from_slice(&taken.updated_at.as_micros().to_be_bytes());
            bytes.extend_from_slice(&taken.last);
            bytes.extend_from_slice(&taken.peaks.concat());
            part(TAKEN, &bytes);
        }
        if let Some(entry) = &self.entry {
            part(ENTRY, entry);
        }
        if let Some(statement) = &self.statement {
            part(STATEMENT, statement.as_bytes());
        }
        if let Some((key, epoch, size, leaf)) = &self.greeted {
            let numbers = [epoch.to_be_bytes(), size.to_be_bytes()].concat();
            part(GREETED, &[&key.as_bytes()[..], &numbers, leaf.as_bytes()].concat());
        }
        out
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`BadEvidence`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadEvidence> {
        let (version, rest) = bytes.split_first().ok_or(BadEvidence)?;
        let (agent, mut rest) = rest.split_first_chunk::<16>().ok_or(BadEvidence)?;
        if *version != VERSION {
            return Err(BadEvidence);
        }
        let agent = AgentId::from_slice(agent).map_err(|_| BadEvidence)?;
        let mut evidence = Self::about(agent);
        while let Some((kind, behind)) = rest.split_first() {
            let (length, behind) = behind.split_first_chunk().ok_or(BadEvidence)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BadEvidence)?;
            let (part, behind) = behind.split_at_checked(length).ok_or(BadEvidence)?;
            rest = behind;
            match *kind {
                OPEN => evidence.open = Some(Bytes::copy_from_slice(part)),
                CLOSE => evidence.close = Some(Bytes::copy_from_slice(part)),
                RECORD => evidence.record = Some(Record::decode(part).ok_or(BadEvidence)?),
                TAKEN => evidence.taken = Some(taken(agent, part).ok_or(BadEvidence)?),
                ENTRY => evidence.entry = Some(Bytes::copy_from_slice(part)),
                STATEMENT => {
                    let text = str::from_utf8(part).map_err(|_| BadEvidence)?;
                    evidence.statement = Some(text.to_owned());
                }
                GREETED => evidence.greeted = Some(greeted(part).ok_or(BadEvidence)?),
                _ => return Err(BadEvidence),
            }
        }
        Ok(evidence)
    }

    /// The evidence's name: SHA-256 of the stored form.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        *Hash::of(&[&self.encode()]).as_bytes()
    }

    /// Judges the bytes anew and says what they show: the finding's name. `None` where they show
    /// nothing. Needs the hub's id and keys, and no network.
    #[must_use]
    pub fn finds(
        &self,
        hub: HubId,
        sealer: &TicketSealer,
        hub_keys: &[PublicKey],
    ) -> Option<&'static str> {
        if let Some(entry) = &self.entry {
            return self.finds_in_chain(entry, hub, hub_keys);
        }
        if let (Some((key, epoch, size, leaf)), Some(taken)) = (self.greeted, &self.taken) {
            if *key.as_bytes() != taken.key {
                return Some(name_of(ChainFault::Key));
            }
            let forked =
                (epoch, size) == (taken.epoch, taken.size) && *leaf.as_bytes() != taken.last;
            return forked.then_some(name_of(ChainFault::Fork));
        }
        if let (Some(taken), Some(open), Some(close)) = (&self.taken, &self.open, &self.close) {
            let broken = Chain::resume(taken, hub)?.again(open.clone(), close.clone()).err()?;
            return Some(name_of(broken.fault));
        }
        let claim = self.claim()?;
        let facts = Facts {
            agent: self.agent,
            sealer,
            record: self.record.as_ref(),
            may_settle: false,
            wait_until: Timestamp::from_micros(0),
            now: Timestamp::from_micros(0),
        };
        match judge(&claim, &facts) {
            Judged::Refuse(cause) => Some(cause.name()),
            Judged::Dispute(difference) => Some(difference.name()),
            Judged::Pay(amount) => {
                let remark = self.record.as_ref().and_then(|record| Remark::on(record, amount));
                remark.map(Remark::name)
            }
            Judged::Nothing
            | Judged::Before { .. }
            | Judged::Prove(_)
            | Judged::Unproven
            | Judged::Wait(_) => None,
        }
    }

    /// What the CLOSE in it claims: the agent takes no more for it.
    #[must_use]
    pub fn claimed(&self) -> Option<NanoUsd> {
        self.claim().map(|claim| claim.close.income)
    }

    /// Whether it is about this entry of the agent's chain.
    #[must_use]
    pub fn is_about(&self, claim: &ClaimRef) -> bool {
        self.close.as_ref().is_some_and(|close| *Hash::leaf(close).as_bytes() == claim.hash)
    }

    /// What the disputed `claim` claims, by the bytes of an evidence that is about it.
    #[must_use]
    pub fn claimed_by(bytes: &[u8], claim: &ClaimRef) -> Option<NanoUsd> {
        Self::decode(bytes).ok().filter(|kept| kept.is_about(claim))?.claimed()
    }

    fn finds_in_chain(
        &self,
        entry: &Bytes,
        hub: HubId,
        keys: &[PublicKey],
    ) -> Option<&'static str> {
        if let Some(taken) = &self.taken {
            let mut chain = Chain::resume(taken, hub)?;
            return match chain.follow(entry) {
                Err(ChainBroken { fault, .. }) => Some(name_of(fault)),
                Ok(_) => None,
            };
        }
        // The hub's own word, of which it has no record: under a checkpoint, or on closes.
        if let Some(text) = &self.statement {
            let statement = Statement::parse(text).ok().filter(|one| one.agent == self.agent)?;
            let cosigned = cosigned_of(entry).filter(|cosigned| keys.contains(&cosigned.key))?;
            let holds = cosigned.cosignature.holds(&statement, &cosigned.key);
            return holds.then_some(HUB_RESTORED);
        }
        let acks = acks_of(entry)?;
        (keys.contains(&acks.key) && acks.is_signed()).then_some(HUB_RESTORED)
    }

    fn claim(&self) -> Option<Claim> {
        let close = self.close.clone()?;
        if let Some(open) = self.open.clone() {
            return Claim::again(open, close).ok();
        }
        let entry = Entry::decode(&close).ok()?;
        let weft_proto::ledger::Body::Close(body) = entry.body else {
            return None;
        };
        Some(Claim {
            position: entry.position,
            hash: Hash::leaf(&close),
            close: body,
            open: None,
            close_bytes: close,
            open_bytes: None,
        })
    }
}

/// The name under which a broken chain is kept.
pub(super) const fn name_of(fault: ChainFault) -> &'static str {
    match fault {
        ChainFault::Fork => "chain_fork",
        ChainFault::Regress => "chain_regress",
        ChainFault::Broken => "chain_broken",
        ChainFault::Key => "ledger_key",
        ChainFault::Checkpoint => "checkpoint_mismatch",
    }
}

fn acks_of(entry: &Bytes) -> Option<SignedAcks> {
    match Entry::decode(entry).ok()?.body {
        weft_proto::ledger::Body::Acks(acks) => Some(acks),
        weft_proto::ledger::Body::Epoch(_)
        | weft_proto::ledger::Body::Open(_)
        | weft_proto::ledger::Body::Close(_)
        | weft_proto::ledger::Body::Checkpoint(_)
        | weft_proto::ledger::Body::Cosigned(_) => None,
    }
}

fn cosigned_of(entry: &Bytes) -> Option<Cosigned> {
    match Entry::decode(entry).ok()?.body {
        weft_proto::ledger::Body::Cosigned(cosigned) => Some(cosigned),
        weft_proto::ledger::Body::Epoch(_)
        | weft_proto::ledger::Body::Open(_)
        | weft_proto::ledger::Body::Close(_)
        | weft_proto::ledger::Body::Acks(_)
        | weft_proto::ledger::Body::Checkpoint(_) => None,
    }
}

fn taken(agent: AgentId, bytes: &[u8]) -> Option<AgentChain> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (updated, rest) = rest.split_first_chunk()?;
    let (last, rest) = rest.split_first_chunk()?;
    let (peaks, []) = rest.as_chunks::<32>() else {
        return None;
    };
    Some(AgentChain {
        agent,
        key: *key,
        epoch: u64::from_be_bytes(*epoch),
        size: u64::from_be_bytes(*size),
        last: *last,
        peaks: peaks.to_vec(),
        updated_at: Timestamp::from_micros(u64::from_be_bytes(*updated)),
    })
}

fn greeted(bytes: &[u8]) -> Option<(PublicKey, u64, u64, Hash)> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (size, leaf) = rest.split_first_chunk()?;
    let key = PublicKey::new(*key);
    let (epoch, size) = (u64::from_be_bytes(*epoch), u64::from_be_bytes(*size));
    Some((key, epoch, size, Hash::new(leaf.try_into().ok()?)))
}
