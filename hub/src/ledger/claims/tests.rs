//! Claims against a store in memory: honest agents however the world treats them, and dishonest ones.

mod decided;
mod dishonest;
mod honest;
mod orphans;
mod world;
