//! Heads that no server should take.
