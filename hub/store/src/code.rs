//! Redemption codes: texts that give a user promotional credit, once. Kept as hashes.

use crate::{Memo, Page, StoreError, Subject, TokenHash};
use async_trait::async_trait;
use std::fmt;
use weft_proto::ids::UserId;
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;

/// The most codes of one batch.
pub const CODES_PER_BATCH_MAX: usize = 1_000;

/// One code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The hash of its text; no two codes share one.
    pub hash: TokenHash,
    /// The batch that it was made in.
    pub batch: Subject,
    /// What it gives.
    pub amount: NanoUsd,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is worthless.
    pub expires_at: Option<Timestamp>,
    /// Who redeemed it, and when.
    pub redeemed: Option<(UserId, Timestamp)>,
}

impl Code {
    /// What the transfer of its credit is about: the same for the same code, so that it is made
    /// once whatever is repeated.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.hash.as_bytes()[..16]);
        Subject::from_bytes(bytes)
    }

    /// What redeeming it for `user` at `at` comes to; `None` where it is still to be done.
    pub(crate) fn judge(&self, user: UserId, at: Timestamp) -> Option<Redeeming> {
        match self.redeemed {
            Some((by, _)) if by == user => Some(Redeeming::Redeemed(self.clone())),
            Some(_) => Some(Redeeming::Taken),
            None if self.expires_at.is_some_and(|end| end <= at) => Some(Redeeming::Expired),
            None => None,
        }
    }
}

/// What came of redeeming a code.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Redeeming {
    /// It is the user's now, or was before: its credit may be given, under [`Code::subject`].
    Redeemed(Code),
    /// Another user has it.
    Taken,
    /// Its time is over.
    Expired,
    /// There is no such code.
    Unknown,
}

/// The codes made in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Its id.
    pub id: Subject,
    /// What each code gives.
    pub amount: NanoUsd,
    /// How many there are.
    pub codes: u64,
    /// How many of them were redeemed.
    pub redeemed: u64,
    /// When they were made.
    pub created_at: Timestamp,
    /// From when on they are worthless.
    pub expires_at: Option<Timestamp>,
}

/// The codes.
#[async_trait]
pub trait Codes: fmt::Debug + Send + Sync {
    /// Keeps a batch, all or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a hash is taken, or beyond [`CODES_PER_BATCH_MAX`] codes.
    async fn create(&self, codes: &[Code]) -> Result<(), StoreError>;

    /// Gives the code to `user` where it is free. The first redemption stands; the same user is
    /// told the same again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn redeem(
        &self,
        hash: &TokenHash,
        user: UserId,
        at: Timestamp,
    ) -> Result<Redeeming, StoreError>;

    /// The batches in the order of ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Corrupt`].
    async fn batches(&self, page: Page<Subject>) -> Result<Vec<Batch>, StoreError>;
}

/// A memo that says which batch a code came from.
#[must_use]
pub fn batch_memo(batch: Subject) -> Option<Memo> {
    Memo::parse(&format!("code of batch {batch}"))
}
