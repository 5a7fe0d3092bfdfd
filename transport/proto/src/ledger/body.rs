//! What entries say, one layout for each kind. Integers are big-endian.
//!
//! Kinds and the numbers inside bodies are never reused. A flag byte says whether a part that may
//! be absent follows; nothing else is optional, and the only texts are the bounded name of the model
//! that the ticket prices by.

mod layout;

use super::ack::SignedAcks;
use super::entry::Position;
use super::note::{Cosignature, PublicKey, Signature, SigningKey, Statement};
use super::tree::Hash;
use crate::codes::AbortCode;
use crate::ids::{AgentId, ExchangeId, HubId};
use crate::money::{ListPrice, NanoUsd};
use crate::provider::Provider;
use crate::usage::{Basis, Geo, ServiceTier, Usage};
use crate::wire::head::Ticket;

/// What an entry says. The number is the kind's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// 1: an epoch begins.
    Epoch(Epoch),
    /// 2: a provider is about to be called.
    Open(Open),
    /// 3: what became of it.
    Close(Close),
    /// 4: what the hub says to closes.
    Acks(SignedAcks),
    /// 5: the agent's signature over all entries of the epoch before this one.
    Checkpoint(Checkpoint),
    /// 6 and 7: the hub's cosignature of a checkpoint; 7 with what it showed of its journal.
    Cosigned(Cosigned),
}

/// Why an epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    /// The ledger's first.
    First = 1,
    /// The files are a copy of an older state: what was written after it is missing.
    Restored = 2,
}

/// A tree of an epoch, by its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadOf {
    /// The epoch.
    pub epoch: u64,
    /// Entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// The first entry of an epoch.
///
/// ```text
/// agent 16, hub 16, key 32 (Ed25519), why 1, flag 1 [ epoch 8, size 8, root 32 ]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Whose ledger it is.
    pub agent: AgentId,
    /// The hub that it settles with.
    pub hub: HubId,
    /// What signs this epoch's checkpoints.
    pub key: PublicKey,
    /// Why it begins.
    pub why: Why,
    /// The newest head of the epoch before that is known, be it from the hub.
    pub before: Option<HeadOf>,
}

/// A provider is about to be called.
///
/// ```text
/// exchange 16, attempt 1, account 16, provider 1, issued 8 (µs, the pricing instant),
/// flag 1 [ lease 16, counter 8, book 32, tier 4 (ppm), cap 8 (nano-USD), mac 32,
///          model length 2, model ]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The hub's evidence, whole.
    pub ticket: Ticket,
    /// Who is called.
    pub provider: Provider,
}

/// How an exchange ended at the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The provider ended it properly, and the hub has all of it. Stored as 1 0.
    Proper,
    /// It was cut, for a reason of [`AbortCode`]'s numbers. Stored as 2 and the number.
    Cut {
        /// The number: newer versions have more of them.
        code: u8,
    },
    /// The agent does not know: it was killed or lost the thread. The claim is what the hub has
    /// metered, at most the ticket's cap. Stored as 3 0.
    Interrupted,
}

impl End {
    /// Cut for this reason.
    #[must_use]
    pub const fn cut(code: AbortCode) -> Self {
        Self::Cut { code: code.number().to_be_bytes()[3] }
    }

    /// The reason of a cut.
    #[must_use]
    pub fn code(self) -> Option<AbortCode> {
        match self {
            Self::Cut { code } => Some(AbortCode::from_number(u64::from(code))),
            Self::Proper | Self::Interrupted => None,
        }
    }

    /// The name in files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proper => "proper",
            Self::Cut { code } => AbortCode::from_number(u64::from(code)).name(),
            Self::Interrupted => "interrupted",
        }
    }
}

/// What became of an exchange: a claim.
///
/// ```text
/// exchange 16, attempt 1, open epoch 8, open seq 8, end 1, code 1, status 2,
/// basis 1, tier 1, geo 1, facts 1 (bits: 0 finish marker, 1 usage seen, 2 charged although refused),
/// up 8, down 8 (bytes of bodies), flag 1 [ list 16 (pico-USD) ], income 8 (nano-USD),
/// classes 1, each: class 1, units 8     ascending, none with zero units
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The exchange.
    pub exchange: ExchangeId,
    /// The attempt of it.
    pub attempt: u8,
    /// The OPEN that is closed.
    pub open: Position,
    /// How it ended.
    pub end: End,
    /// The provider's status; 0 where there was none.
    pub status: u16,
    /// Units by class.
    pub usage: Usage,
    /// How far they can be trusted.
    pub basis: Basis,
    /// How urgently it was served.
    pub tier: ServiceTier,
    /// Where it was served.
    pub geo: Geo,
    /// The provider said that its content was over.
    pub finish_marker: bool,
    /// The provider reported usage.
    pub usage_seen: bool,
    /// The provider charges although its status is an error.
    pub charged_although_refused: bool,
    /// Bytes of the request's body that went to the provider.
    pub bytes_up: u64,
    /// Bytes of the answer's body that came from it.
    pub bytes_down: u64,
    /// The exact list price of the usage; none where no price is known or none applies.
    pub list: Option<ListPrice>,
    /// What is claimed: the list price times the ticket's tier, rounded down; without a list price
    /// the ticket's cap at most.
    pub income: NanoUsd,
}

/// The head of the hub's own journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubHead {
    /// Entries.
    pub size: u64,
    /// The root of the tree over their hashes.
    pub root: Hash,
}

/// The agent's signature over all entries of the epoch before this one, as a C2SP note.
///
/// ```text
/// size 8 (the entry's own seq), root 32, flag 1 [ hub size 8, hub root 32 ], signature 64
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Entries covered.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The newest head of the hub's journal that the agent has seen.
    pub hub: Option<HubHead>,
    /// Over [`Statement::text`].
    pub signature: Signature,
}

impl Checkpoint {
    /// Signs `statement`.
    #[must_use]
    pub fn sign(statement: &Statement, key: &SigningKey) -> Self {
        let Statement { agent: _, epoch: _, size, root, hub } = *statement;
        Self { size, root, hub, signature: statement.sign(key) }
    }

    /// What it says, as the checkpoint of this agent's epoch.
    #[must_use]
    pub const fn statement(&self, agent: AgentId, epoch: u64) -> Statement {
        Statement { agent, epoch, size: self.size, root: self.root, hub: self.hub }
    }
}

/// The hub's cosignature of the checkpoint of this epoch that has this size.
///
/// ```text
/// 6:  size 8, key 32, time 8 (seconds), signature 64
/// 7:  size 8, key 32, time 8 (seconds), journal size 8, journal root 32, how shown 1,
///     nodes 1 (0 to 200), each 32, signature 64
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The checkpoint's size.
    pub size: u64,
    /// The hub's ledger key.
    pub key: PublicKey,
    /// Its word.
    pub cosignature: Cosignature,
    /// The nodes that show the journal's head ([`Shown`](super::journal::Shown)); none where nothing
    /// of the journal is shown.
    pub nodes: Vec<Hash>,
}

impl Body {
    /// The stored number of the kind.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Epoch(_) => 1,
            Self::Open(_) => 2,
            Self::Close(_) => 3,
            Self::Acks(_) => 4,
            Self::Checkpoint(_) => 5,
            Self::Cosigned(cosigned) if cosigned.cosignature.journal.is_none() => 6,
            Self::Cosigned(_) => 7,
        }
    }

    /// The kind's name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Epoch(_) => "epoch",
            Self::Open(_) => "open",
            Self::Close(_) => "close",
            Self::Acks(_) => "ack",
            Self::Checkpoint(_) => "checkpoint",
            Self::Cosigned(_) => "cosignature",
        }
    }
}
