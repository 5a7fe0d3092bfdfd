//! The bundle of all repositories.

use crate::{Agents, Invites, Keys, Objects, Outcomes, Owners, StoreError, Users};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// Where the hub keeps what it must not forget. A room that needs one kind of row is handed that
/// repository alone.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// The users.
    fn users(&self) -> Arc<dyn Users>;
    /// The users' keys.
    fn keys(&self) -> Arc<dyn Keys>;
    /// The owners.
    fn owners(&self) -> Arc<dyn Owners>;
    /// The invites.
    fn invites(&self) -> Arc<dyn Invites>;
    /// The agents.
    fn agents(&self) -> Arc<dyn Agents>;
    /// The outcomes of exchanges.
    fn outcomes(&self) -> Arc<dyn Outcomes>;
    /// The objects at providers.
    fn objects(&self) -> Arc<dyn Objects>;

    /// Whether the store answers, for readiness.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it does not.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Finishes the writes that have begun, then closes the store. Every later call is refused as
    /// [`StoreError::Unavailable`]; closing twice is harmless.
    ///
    /// # Cancel safety
    /// A dropped close can be called again.
    async fn close(&self);
}
