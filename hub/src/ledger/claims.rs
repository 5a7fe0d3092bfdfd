//! Claims: what agents say they have earned, held against what the hub knows.
//!
//! ```text
//!  entries of an agent's chain ──▶ Chain (does each follow the one before?) ──▶ Claim
//!  Claim + Record (the settlement) ──▶ judge ──▶ pay · dispute · refuse · wait · prove
//!  Clerk: reads records, writes postings and answers, moves the chain's head, signs the ACK
//! ```
//! A CLOSE is a claim; the hub's signed acknowledgement is the income. A proper end must agree
//! exactly; of a cut the agent has seen at least what the hub has, and the hub's figure is paid. A
//! claim that no record meets is paid from suspense, at most its ticket's cap, once.
//!
//! # Invariants
//! - Nothing is acknowledged before it is in the store, and an exchange is paid once, whatever is
//!   claimed how often: the answer to the same claim is the same acknowledgement.
//! - The head of a chain moves only behind entries whose claims are in the store or wait for
//!   another try. A head that moved too late is harmless: everything is done again, to no effect.
//! - What is refused or disputed leaves evidence from which anybody who has the hub's keys finds the
//!   same again, offline ([`Evidence`]).
//!
//! Nothing here waits for an exchange, and no exchange waits for it.

mod chain;
mod clerk;
mod evidence;
mod journal;
mod judge;
mod promise;
mod record;
mod seal;

pub use chain::{Chain, ChainBroken, Claim, Followed};
pub use clerk::{ChargeOf, Clerk, ClerkParts, Greeted, Session, SessionError};
pub use evidence::{BadEvidence, Evidence};
pub use journal::{Journal, JournalError, Showed};
pub use judge::{Cause, Difference, Facts, Judged, Remark, Waiting, judge};
pub use promise::Promise;
pub use record::{Record, Stand};
pub use seal::{TICKET_KEY_FILE, TicketSealer};

#[cfg(test)]
mod tests;
