//! Messages of the control stream, each at most 16 KiB behind a length prefix.
//!
//! A kind of message that this build does not know reads as `Unknown` and is skipped: that is how a
//! minor version adds one.

mod message;

use super::receipts::{AckBatch, AgentLedger, Cosigned, HubLedger, LedgerFault, PricesOffer};
use super::{Malformed, bounded_text};
use crate::ids::{AccountId, AgentId, InstanceId, NodeId, SessionId};
use crate::model::ModelPatterns;
use crate::prices::Label;
use crate::provider::Provider;
use std::time::Duration;

/// Optional abilities of a peer, one bit each; unknown bits are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u64);

impl Features {
    /// An agent's: it carries exchanges that ask for a WebSocket, and may answer them SWITCHED.
    pub const WEBSOCKET: Self = Self(1);

    /// It keeps a ledger: an agent sends its receipts, a hub answers them and sends price books.
    pub const LEDGER: Self = Self(1 << 1);

    /// What this build can do.
    pub const OURS: Self = Self(Self::WEBSOCKET.0 | Self::LEDGER.0);

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn have(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// The agent's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Must be the identity in the certificate.
    pub agent: AgentId,
    /// This run of the agent process.
    pub instance: InstanceId,
    /// Which of the agent's tunnels to this node this is; 0 where it has one, always below
    /// [`SLOTS_MAX`](crate::limits::SLOTS_MAX).
    pub slot: u32,
    /// Grows with each connection of this slot; a higher one replaces a lower one at once.
    pub generation: u64,
    /// What the agent can do.
    pub features: Features,
    /// Name and version of the build, for people.
    pub build: String,
}

/// The hub's yes to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The node that answers.
    pub node: NodeId,
    /// The session that is now in force for the agent's slot.
    pub session: SessionId,
    /// What the node can do.
    pub features: Features,
    /// Name and version of the build, for people.
    pub build: String,
}

/// Why a hub refuses a session. The number is the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefuseCause {
    /// The identity is not the certificate's, or not known.
    UnknownAgent = 1,
    /// The agent was revoked.
    Revoked = 2,
    /// A session with the same or a higher generation is in force.
    Stale = 3,
    /// Two instances use one identity.
    DuplicateIdentity = 4,
    /// The node is draining.
    Draining = 5,
    /// The node is full.
    Busy = 6,
}

impl RefuseCause {
    /// All causes, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::UnknownAgent,
        Self::Revoked,
        Self::Stale,
        Self::DuplicateIdentity,
        Self::Draining,
        Self::Busy,
    ];

    /// What a person reads.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownAgent => "the hub does not know this agent",
            Self::Revoked => "the agent was revoked",
            Self::Stale => "a newer session of this agent is in force",
            Self::DuplicateIdentity => "two running agents use this identity (duplicate_identity)",
            Self::Draining => "the hub is draining",
            Self::Busy => "the hub is full",
        }
    }
}

/// The hub's no to a [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refuse {
    /// Why.
    pub cause: RefuseCause,
    /// The least time before the next try, in whole milliseconds.
    pub retry_after: Duration,
    /// Trying again cannot help: a person has to act.
    pub permanent: bool,
}

/// What an account may be used for, as its owner attests it. The number is the wire's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PermittedUse {
    /// The owner's own use.
    Own,
    /// The owner's organisation.
    Organisation,
    /// End users of the owner's own application.
    Application,
    /// Resale that the provider has licensed, under this reference.
    Licensed {
        /// The contract or approval, at most 256 bytes.
        reference: String,
    },
}

/// One account, as the agent announces it. It names no host and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// Whose endpoint it calls.
    pub provider: Provider,
    /// The owner's name for it.
    pub label: String,
    /// Models it may serve.
    pub models: ModelPatterns,
    /// Azure deployments and the model each runs.
    pub deployments: Vec<Deployment>,
    /// Exchanges it takes at a time.
    pub concurrency_max: u32,
    /// What it may be used for.
    pub permitted_use: PermittedUse,
    /// Where it is served, as price books name it: a region or a data zone, never a host. `None` is
    /// the provider's global one.
    pub place: Option<Label>,
}

/// A deployment of an Azure account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The name in the path or in the body's `model`.
    pub name: String,
    /// The model that its owner declares.
    pub model: String,
}

/// One page of the agent's accounts. The last page puts all pages since the last one in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountsPage {
    /// At most [`ACCOUNTS_PER_PAGE_MAX`](crate::limits::ACCOUNTS_PER_PAGE_MAX) accounts.
    pub accounts: Vec<Account>,
    /// No page follows.
    pub last: bool,
}

/// An account stops or starts to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The account.
    pub account: AccountId,
    /// Not to be scheduled for this long from now; zero means it serves again. Milliseconds.
    pub paused_for: Duration,
}

/// The sender takes no new exchanges on this tunnel; those in flight finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long those in flight have, in whole milliseconds.
    pub deadline: Duration,
    /// How long the peer should wait before it dials again, before jitter. Milliseconds.
    pub reconnect_in: Duration,
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentMessage {
    /// The first message.
    Hello(Hello),
    /// A page of accounts.
    Accounts(AccountsPage),
    /// An account pauses or serves again.
    Health(Health),
    /// Answers a PING with its number.
    Pong(u64),
    /// The agent is going away.
    Drain(Drain),
    /// The agent's ledger greets.
    Ledger(AgentLedger),
    /// A kind that this build does not know.
    Unknown,
}

/// What a hub says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubMessage {
    /// The session is in force.
    Welcome(Welcome),
    /// The session is refused; the connection closes.
    Refuse(Refuse),
    /// To be answered at once by a PONG with the same number.
    Ping(u64),
    /// The node is going away.
    Drain(Drain),
    /// The agent is revoked; the connection closes, and it must not come back.
    Revoked,
    /// The hub's ledger answers.
    Ledger(HubLedger),
    /// A price book comes.
    Prices(PricesOffer),
    /// What became of receipts.
    Ack(AckBatch),
    /// A checkpoint, cosigned.
    Cosigned(Cosigned),
    /// The agent's chain does not hold: no more receipts are taken on this session.
    LedgerFault(LedgerFault),
    /// A kind that this build does not know.
    Unknown,
}

/// A message of one direction of the control stream.
pub trait ControlMessage: Sized + std::fmt::Debug + Send {
    /// The message as it stands on the wire, its length prefix not included.
    ///
    /// # Errors
    /// [`Malformed`] for what [`ControlMessage::decode`] would refuse: a fault of this end shows
    /// here, and not as a tunnel that the peer closes.
    fn encode(&self) -> Result<Vec<u8>, Malformed>;

    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not a message within the limits.
    fn decode(bytes: &[u8]) -> Result<Self, Malformed>;
}

/// Cuts `accounts` into pages that each fit a message.
///
/// # Errors
/// [`Malformed`] where a single account fits no message or no limit, or there are more than
/// [`ACCOUNTS_MAX`](crate::limits::ACCOUNTS_MAX).
pub fn pages(accounts: &[Account]) -> Result<Vec<AccountsPage>, Malformed> {
    if accounts.len() > crate::limits::ACCOUNTS_MAX {
        return Err(Malformed("number of accounts"));
    }
    let mut pages = Vec::new();
    // Any page may turn out to be the last, which costs bytes: each must fit as if it were.
    let mut page = AccountsPage { accounts: Vec::new(), last: true };
    let fits = |page: &AccountsPage| AgentMessage::Accounts(page.clone()).encode().map(drop);
    for account in accounts {
        page.accounts.push(account.clone());
        if let Err(error) = fits(&page) {
            page.accounts.pop();
            if page.accounts.is_empty() {
                return Err(error);
            }
            pages.push(AccountsPage { accounts: std::mem::take(&mut page.accounts), last: false });
            page.accounts.push(account.clone());
            fits(&page)?;
        }
    }
    pages.push(page);
    Ok(pages)
}

fn label(text: &str) -> Result<String, Malformed> {
    bounded_text(text, "text")
}

fn bounded_slot(slot: u32) -> Result<u32, Malformed> {
    if slot < crate::limits::SLOTS_MAX { Ok(slot) } else { Err(Malformed("slot")) }
}
