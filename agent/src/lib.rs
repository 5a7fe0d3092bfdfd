//! The agent of a Weft mesh: it dials the hub, keeps the provider keys and calls the official
//! endpoints.
//!
//! Map: [`app`] wires; [`uplink`] is the way to the hub, [`upstream`] the way to the providers,
//! [`exchange`] what happens between the two; [`vault`] holds the keys, [`limits`] the brakes.
//!
//! What is absent, on purpose: a listener of any kind; a setting, flag or message that names a
//! host; a proxy taken from the environment; a way to get a secret out of the vault other than
//! into one request; anything that stores a prompt or an answer.

pub mod account;
pub mod app;
pub mod backup;
pub mod cli;
pub mod config;
pub mod datadir;
pub mod doctor;
pub mod exchange;
pub mod ledger;
pub mod lifecycle;
pub mod limits;
pub mod status;
pub mod telemetry;
pub mod uplink;
pub mod upstream;
pub mod vault;
