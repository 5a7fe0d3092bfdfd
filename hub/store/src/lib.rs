//! Repositories of the hub: what is kept, the traits through which it is read and written, and
//! the places it can be kept in.
//!
//! Values are plain types that can only be made whole ([`Name`], [`Networks`], [`KeyHash`]…). Each
//! kind of row has one file with its value and its repository trait. A [`Store`] hands out the
//! repositories; [`sqlite`] keeps them in one file, [`memory`] in the process, for tests and
//! simulations. Both answer alike: one suite of tests runs on both (`tests/suite/`).
//!
//! # Invariants
//! - Each call of a repository is one transaction: it happens wholly or not at all. Only a very
//!   long `append` takes several, and may be repeated.
//! - A write that has begun is carried through although its future is dropped; see [`sqlite`].
//! - Writes that may be repeated say what stands then: the first (`redeem`, `revoke`, `append`,
//!   `find_or_create`), or the latest (`set_disabled`, `touch`).
//! - Rows reach nobody unread: what a column holds is parsed into its type again, and a row that
//!   does not parse is [`StoreError::Corrupt`], never guessed.
//! - There is no place for a prompt, an answer, a provider's key or a user's secret: keys and
//!   invite tokens are here as SHA-256 only.
//!
//! Nothing here decides who may do what, reads a clock, makes an id or a secret: the caller brings
//! times and ids along, so that a simulation is the same each time.
//!
//! # How long each kind of row lives
//!
//! | row | lives | why |
//! |---|---|---|
//! | user | for ever; disabled, not deleted | outcomes name it |
//! | key | for ever; revoked or expired, not deleted | outcomes name it, and a revoked secret must stay known as such |
//! | owner | for ever | agents belong to it |
//! | invite | for ever; worthless once expired | says how its agent came in; one small row an agent |
//! | agent | for ever; revoked, not deleted | a deleted row would forget that its key may not come back |
//! | outcome | for ever | the one record of an exchange; nothing else may be derived from logs |
//! | object | until the provider deletes it; responses, containers and items for a while only (`weft-hub`, `objects`) | without it nobody may reach the object; providers forget those themselves |
//!
//! What is for ever grows with people and machines, which is slow, except outcomes: about 300 bytes
//! each. Nothing deletes them yet; a limit of age comes with the records that money needs.
//!
//! # How to add a repository
//! 1. Write the value and the trait in a file of its own beside `user.rs`. Methods take whole
//!    values or ids, times as [`Timestamp`](weft_proto::time::Timestamp), and return what stands
//!    afterwards. A list takes a [`Page`]. The trait is `Debug + Send + Sync` and `async_trait`.
//! 2. Add a migration `migrations/NNNN_what.sql`: never change one that was released. Write SQL
//!    that MySQL reads too: sized text, no `RETURNING`, no `ON CONFLICT`, no partial index, no
//!    `WITHOUT ROWID`, and explicit columns in every `INSERT` and `SELECT`.
//! 3. Implement it in `sqlite/` and `memory/`. A write runs inside `Db::write`. After an `UPDATE`
//!    look at the count of rows: zero is [`StoreError::NotFound`] or a lost race, and more than
//!    one is a bug that must not be committed (`ensure_one_row`).
//! 4. Hand it out by [`Store`], and write its tests in `tests/suite/`, named in the list of the
//!    macro there: they run on every store at once.
//! 5. Say in the table above how long its rows live and why.

mod agent;
mod digest;
mod error;
mod invite;
mod key;
pub mod memory;
mod name;
mod networks;
mod object;
mod outcome;
mod owner;
mod page;
pub mod sqlite;
mod store;
mod user;

pub use agent::{Agent, Agents, RevokedAgent};
pub use digest::{KeyHash, SpkiHash, TokenHash};
pub use error::StoreError;
pub use invite::{Invite, Invites, Redeemed, Redemption};
pub use key::{KEY_HINT_CHARS, Key, KeyHint, Keys, ModelAllowList};
pub use memory::MemoryStore;
pub use name::{InvalidName, NAME_CHARS_MAX, Name};
pub use networks::{InvalidNetworks, NETWORKS_MAX, Networks};
pub use object::{
    Home, OBJECTS_PER_STATEMENT_MAX, Object, ObjectOrder, Objects, ObjectsListed, ObjectsWanted,
};
pub use outcome::{OUTCOMES_PER_APPEND_MAX, Outcome, Outcomes};
pub use owner::{Owner, Owners};
pub use page::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, Page, PageSize};
pub use sqlite::SqliteStore;
pub use store::Store;
pub use user::{User, Users};
