//! The ledger's bytes: golden vectors, properties, and what is found in a log that does not hold.

mod chain;
mod golden;
mod journal;
mod million;
mod notes;
mod properties;
mod rules;
