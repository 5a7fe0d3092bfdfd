//! The bundle of all repositories.

use crate::{
    Agents, Codes, Invites, Keys, Ledger, Objects, Outcomes, Owners, Payouts, PendingBills,
    PriceBooks, Receipts, StoreError, Terms, Users,
};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// Hands out each repository as what stands behind the store: the `$db` in its `self.0`.
macro_rules! repositories {
    ($db:ty) => {
        repositories! { $db:
            users: Users, keys: Keys, owners: Owners, invites: Invites, agents: Agents,
            outcomes: Outcomes, objects: Objects, terms: Terms, codes: Codes, payouts: Payouts,
            ledger: Ledger, price_books: PriceBooks, receipts: Receipts,
            pending_bills: PendingBills,
        }
    };
    ($db:ty: $($name:ident: $repository:ident,)*) => {$(
        fn $name(&self) -> std::sync::Arc<dyn crate::$repository> {
            std::sync::Arc::<$db>::clone(&self.0)
        }
    )*};
}

pub(crate) use repositories;

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
    /// The terms of users and owners.
    fn terms(&self) -> Arc<dyn Terms>;
    /// The redemption codes.
    fn codes(&self) -> Arc<dyn Codes>;
    /// The payouts.
    fn payouts(&self) -> Arc<dyn Payouts>;
    /// The ledger.
    fn ledger(&self) -> Arc<dyn Ledger>;
    /// The price books.
    fn price_books(&self) -> Arc<dyn PriceBooks>;
    /// The agents' chains.
    fn receipts(&self) -> Arc<dyn Receipts>;
    /// The responses that are to be billed.
    fn pending_bills(&self) -> Arc<dyn PendingBills>;

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
