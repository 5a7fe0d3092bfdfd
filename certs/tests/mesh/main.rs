//! The crate as hubs and agents use it: an authority on disk, and real handshakes in memory.

mod agents_door;
mod on_disk;
mod users_door;
mod words;
mod world;
