//! `weft-loadtest agents`: tens of thousands of light agents from one process, against a hub.
//!
//! To the hub each is a whole agent: an identity that joined by an invite of its own, a QUIC
//! connection with its certificate, a HELLO, an account, the greeting of its ledger, keep-alives with
//! their jitter, and the product's own back-off when it dials again. They have no vault and no
//! provider: what they are asked they answer themselves. They share a few UDP sockets, which the hub
//! cannot tell. `docs/agents.md` says what each mode does and what each figure means.
//!
//! It never targets an address that is not loopback unless it is told that the target is one's own,
//! and always ends.

mod answer;
mod clients;
pub mod command;
mod crowd;
mod cut;
mod desk;
mod flapping;
mod hostile;
mod identities;
mod idle;
mod life;
mod malformed;
mod relay;
mod report;
mod session;
mod settings;
mod slow;
mod storm;
mod table;
mod watch;

#[cfg(test)]
mod tests;
