//! `weft/1` over quinn: the shell around [`weft_proto`] that has sockets and time.
//!
//! Who uses it: hub and agent. It opens endpoints with the windows and limits of the wire, guards
//! every half of every stream so that nothing unfinished ever looks finished, and reads and writes
//! heads, bodies and control messages. It knows nothing of users, accounts or providers, holds no
//! certificates (TLS configurations come in ready) and spawns no tasks.

pub mod close;
pub mod config;
pub mod control;
pub mod drain;
pub mod endpoint;
pub mod exchange;
pub mod join;
pub mod prices;
pub mod receipts;
pub mod stream;

mod batch;
mod congestion;
mod ids;
mod read;

pub use quinn::{Connection, Endpoint};
