//! `weft/1` without I/O: the words, the codec, the tables and the state machines that both ends share.
//!
//! Nothing here opens a socket, reads a file, spawns a task or waits. Time and chance come in as
//! values ([`time::Clock`], [`entropy::Entropy`]); bytes come in as slices and go out as buffers.
//! That is why everything here can be fuzzed, replayed from a seed and checked against golden
//! vectors. The prose of the wire is `transport/docs/wire.md`.

pub mod backoff;
pub mod causes;
pub mod codes;
pub mod decode;
pub mod entropy;
pub mod exchange;
pub mod ids;
pub mod ledger;
pub mod limits;
pub mod meter;
pub mod model;
pub mod money;
pub mod objects;
pub mod prices;
pub mod provider;
pub mod roster;
pub mod scan;
pub mod session;
pub mod sse;
pub mod suspicion;
pub mod tables;
pub mod time;
pub mod usage;
pub mod websocket;
pub mod wire;
