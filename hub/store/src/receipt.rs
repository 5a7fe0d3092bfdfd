//! What the hub has taken of each agent's ledger, and what it found wrong with it.

use crate::{Page, PageSize, StoreError};
use async_trait::async_trait;
use std::fmt;
use weft_proto::ids::{AgentId, ExchangeId};
use weft_proto::time::Timestamp;

/// The most hashes that a chain's tree is kept by: one for each bit of a size.
pub const PEAKS_MAX: usize = 64;

/// The longest evidence of a finding, bytes.
pub const EVIDENCE_BYTES_MAX: usize = 64 * 1024;

/// Findings kept about one agent: whoever has more has been told of it, and a dishonest agent must
/// not fill the disk.
pub const FINDINGS_PER_AGENT_MAX: u32 = 1_000;

/// The longest name of a finding, bytes.
pub const FINDING_NAME_BYTES_MAX: usize = 64;

/// How far the hub has taken an agent's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentChain {
    /// Whose it is.
    pub agent: AgentId,
    /// The public key that signs it.
    pub key: [u8; 32],
    /// The epoch of the last entry taken.
    pub epoch: u64,
    /// Entries of that epoch that were taken.
    pub size: u64,
    /// The leaf of the last one.
    pub last: [u8; 32],
    /// The tree over them, by the roots of its perfect subtrees; at most [`PEAKS_MAX`].
    pub peaks: Vec<[u8; 32]>,
    /// When.
    pub updated_at: Timestamp,
}

/// Something that an agent's ledger, or a claim of it, does wrong, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// SHA-256 of the evidence: the same finding is kept once.
    pub id: [u8; 32],
    /// Whose.
    pub agent: AgentId,
    /// Which check found it; at most [`FINDING_NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The epoch of the entry that it is about.
    pub epoch: u64,
    /// The number of that entry.
    pub seq: u64,
    /// The exchange that it is about, where there is one.
    pub exchange: Option<ExchangeId>,
    /// What proves it, at most [`EVIDENCE_BYTES_MAX`] bytes, in a layout of the hub's.
    pub evidence: Vec<u8>,
    /// When it was found first.
    pub found_at: Timestamp,
}

/// The agents' chains as the hub knows them.
///
/// # Cancel safety
/// Every write that has been polled is carried through although its future is dropped.
#[async_trait]
pub trait Receipts: fmt::Debug + Send + Sync {
    /// How far the chain of `agent` was taken; `None` where nothing of it was.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn chain(&self, agent: AgentId) -> Result<Option<AgentChain>, StoreError>;

    /// All chains, in the order of agents.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn chains(&self, page: Page<AgentId>) -> Result<Vec<AgentChain>, StoreError>;

    /// Moves a chain to `to`, where it still stands at the epoch and size of `from` (or is not
    /// there, for `None`), and says whether it did. Where somebody else has moved it, nothing is
    /// changed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn advance(&self, to: &AgentChain, from: Option<(u64, u64)>) -> Result<bool, StoreError>;

    /// Keeps a finding, and says whether it is new and was kept: about one agent there are no more
    /// than [`FINDINGS_PER_AGENT_MAX`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn keep_finding(&self, finding: &Finding) -> Result<bool, StoreError>;

    /// The findings about one agent, or all, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn findings(
        &self,
        agent: Option<AgentId>,
        size: PageSize,
    ) -> Result<Vec<Finding>, StoreError>;

    /// One finding.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn finding(&self, id: [u8; 32]) -> Result<Option<Finding>, StoreError>;

    /// The findings about one exchange, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn findings_about(
        &self,
        exchange: ExchangeId,
        size: PageSize,
    ) -> Result<Vec<Finding>, StoreError>;
}
