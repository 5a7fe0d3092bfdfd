//! Claims against a store in memory: honest agents however the world treats them, and dishonest ones.

mod collusion;
mod decided;
mod dishonest;
mod faces;
mod honest;
mod orphans;
mod superseded;
mod world;
