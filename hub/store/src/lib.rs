//! Repositories of the hub: what is kept, the traits through which it is read and written, and
//! the places it can be kept in.
//!
//! Values are plain types that can only be made whole ([`Name`], [`Networks`], [`KeyHash`]…). Each
//! kind of row has one file with its value and its repository trait. A [`Store`] hands out the
//! repositories; [`sqlite`] keeps them in one file, [`mysql`] in a database of a MariaDB or MySQL
//! server, [`memory`] in the process, for tests and simulations. All answer alike: one suite of tests
//! runs on each (`tests/suite/`), and both databases are spoken to in one text (`sqlite/tables.rs`).
//!
//! # Invariants
//! - Each call of a repository is one transaction: it happens wholly or not at all. Only a very
//!   long `append` takes several, and may be repeated.
//! - A write that has begun is carried through although its future is dropped; see [`sqlite`] and
//!   [`mysql`].
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
//! | price book, activation | for ever | postings name the book that they were priced by |
//! | agent's chain, finding | for ever | what was taken must not be taken otherwise; a finding is evidence |
//! | zone, tier | for ever; changed in place | the journal has what they were |
//! | redemption code | for ever | a used code must stay known as used |
//! | payout | for ever | the ledger's transfer refers to it |
//! | object | until the provider deletes it; responses, containers and items for a while only (`weft-hub`, `objects`) | without it nobody may reach the object; providers forget those themselves |
//! | ledger account, transfer | for ever; never changed but for the account's sums | money must be provable; a mistake is mended by another transfer |
//! | pending bill | until it is closed, and a week longer (`weft-hub`, `exchange::later`) | a response is billed once, however often it is read |
//! | settlement | for ever; its agent leg moves until it is final | says why transfers are what they are, and answers late claims |
//! | lease | for ever; closed, not deleted | pending and void transfers are its parts |
//! | hub's journal | for ever | a chain with a hole proves nothing |
//!
//! What is for ever grows with people and machines, which is slow, except outcomes: about 300 bytes
//! each. Nothing deletes them yet; a limit of age comes with the records that money needs.
//!
//! # How to add a repository
//! 1. Write the value and the trait in a file of its own beside `user.rs`. Methods take whole
//!    values or ids, times as [`Timestamp`](weft_proto::time::Timestamp), and return what stands
//!    afterwards. A list takes a [`Page`]. The trait is `Debug + Send + Sync` and `async_trait`.
//! 2. Add a migration `migrations/NNNN_what.sql` and its twin `migrations/mysql/NNNN_what.sql`: never
//!    change one that was released. Write sized text, no partial index, no `WITHOUT ROWID`, and
//!    explicit columns in every `INSERT` and `SELECT`; whole numbers are `BIGINT`.
//! 3. Implement it in `sqlite/`, named in `sqlite/tables.rs`, whose rules make one text serve both
//!    databases, and in `memory/`. A write runs inside `Db::write`. After an `UPDATE` look at the
//!    count of rows: zero is [`StoreError::NotFound`] or a lost race, and more than one is a bug that
//!    must not be committed (`ensure_one_row`).
//! 4. Hand it out by [`Store`], and write its tests in `tests/suite/`, named in the list of the
//!    macro there: they run on every store at once.
//! 5. Say in the table above how long its rows live and why.

mod agent;
mod code;
mod digest;
mod error;
mod invite;
mod key;
mod ledger;
pub mod memory;
pub mod mysql;
mod name;
mod networks;
mod object;
mod outcome;
mod owner;
mod page;
mod payout;
mod pending_bill;
mod price_book;
mod receipt;
pub mod sqlite;
mod store;
mod terms;
mod user;

pub use agent::{Agent, Agents, RevokedAgent};
pub use code::{Batch, CODES_PER_BATCH_MAX, Code, Codes, Redeeming, batch_memo};
pub use digest::{KeyHash, SpkiHash, TokenHash};
pub use error::StoreError;
pub use invite::{Invite, Invites, Redeemed, Redemption};
pub use key::{KEY_HINT_CHARS, Key, KeyHint, Keys, ModelAllowList};
pub use ledger::{
    AgentLeg, Agreed, Balance, Bearer, ClaimRef, Cover, Day, Disagreement, Draw, Due, GiveBack,
    House, JOURNAL_BODY_BYTES_MAX, JOURNAL_GENESIS, JournalEntry, JournalKind, JournalNote,
    LEDGER_ACCOUNT_BYTES, Lease, LeaseWanted, Leased, Ledger, LedgerAccount, Leg, LegAnswer,
    LegAnswered, LegState, LegVerdict, MEMO_CHARS_MAX, Memo, Metered, Outlay, Party, Posting,
    SETTLEMENTS_PER_CALL_MAX, Served, Settled, Settlement, SettlementsWanted, SpendWanted, Subject,
    Sums, TRANSFERS_PER_CALL_MAX, Transfer, TransferKey, TransferKind, Transferred,
    TransfersWanted, Vesting, Whose,
};
pub use memory::MemoryStore;
pub use mysql::{MysqlStore, MysqlUrl};
pub use name::{InvalidName, NAME_CHARS_MAX, Name};
pub use networks::{InvalidNetworks, NETWORKS_MAX, Networks};
pub use object::{
    Home, OBJECTS_PER_STATEMENT_MAX, Object, ObjectOrder, Objects, ObjectsListed, ObjectsWanted,
};
pub use outcome::{OUTCOMES_PER_APPEND_MAX, Outcome, Outcomes};
pub use owner::{Owner, Owners};
pub use page::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, Page, PageSize};
pub use payout::{Payout, PayoutState, Payouts};
pub use pending_bill::{BillKind, PendingBill, PendingBills, TARGET_BYTES_MAX, Tending};
pub use price_book::{Activation, BOOK_SIGNATURE_BYTES, BookVersion, KeptBook, PriceBooks};
pub use receipt::{
    AgentChain, EVIDENCE_BYTES_MAX, FINDING_NAME_BYTES_MAX, FINDINGS_PER_AGENT_MAX, Finding,
    PEAKS_MAX, Receipts,
};
pub use sqlite::SqliteStore;
pub use store::Store;
pub use terms::{
    ACCOUNT_TIERS_MAX, OWNER_TIER_DEFAULT, RATIO_MAX, SelfDealing, SpendLimits, Terms, Tier,
    ZONE_STANDARD, ZONES_AT_FIRST, ZONES_MAX, Zone,
};
pub use user::{User, Users};
