//! The agent's ledger under a disk that fails: power cuts, errors, cut and flipped files.
//!
//! What must hold is one sentence: no entry that was acknowledged as durable is lost, none is
//! invented, and what cannot be told is refused instead of guessed.

mod damage;
mod disk;
mod frozen;
mod hub;
mod life;
mod power;
mod world;
