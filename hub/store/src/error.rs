//! How a repository fails. Five ways, so that a caller can answer each.

use crate::SelfDealing;

/// Why a repository did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row that the call is about, or one that it refers to, does not exist.
    #[error("no such {what}")]
    NotFound {
        /// Which kind of row.
        what: &'static str,
    },
    /// Another row already has what must be unique. Nothing was written.
    #[error("{what} is already taken")]
    Conflict {
        /// What is taken.
        what: &'static str,
    },
    /// A user could earn more at its own owner's accounts than it pays. Nothing was written.
    #[error("{0}")]
    SelfDealing(Box<SelfDealing>),
    /// The store cannot be reached, is full of waiting work, or is closed. Trying again may help.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored value cannot be read, or a given one has no stored form. Trying again cannot help.
    #[error("the store holds or was given a value it cannot use: {what}")]
    Corrupt {
        /// Which column, and what is wrong with it.
        what: String,
    },
}

impl StoreError {
    /// The store cannot be reached, because of `source`.
    pub(crate) fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }

    /// The column does not hold what it should.
    pub(crate) fn corrupt(column: &str, problem: impl std::fmt::Display) -> Self {
        Self::Corrupt { what: format!("{column}: {problem}") }
    }
}
