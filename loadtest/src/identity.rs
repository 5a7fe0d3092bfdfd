//! Identity, proven: exchanges drawn from a seed, played over a whole mesh, and compared at both
//! ends to the byte.
//!
//! A seed and a number give everything that a user and a provider do: sizes, cuts, codings,
//! framing, headers, and how each of them ends. The simulated provider plays its part from a
//! script ([`crate::provider::script`]), the user's part is [`call`], and [`compare`] holds what
//! either saw against what was drawn. What is to become of headers is written down here a second
//! time, apart from the product ([`expect`]). `docs/identity.md` says what is drawn and compared.
//!
//! Nothing here repairs or retries: one difference is a failure, and names the command that plays
//! it again.

mod call;
pub mod command;
mod compare;
pub mod content;
pub mod dialect;
pub mod draw;
pub mod events;
pub mod expect;
mod fields;
pub mod place;
mod run;
mod upload;

pub use run::{Failure, LARGE_BYTES, Plan, Report, drawn, run};
