//! Real tunnels over loopback: what the shell promises, one test for each promise.

mod control;
mod exchanges;
mod handshake;
mod joining;
mod lives;
mod receipts;
mod streams;
mod switched;
mod windows;
mod world;
