//! The bodies of the fuzz targets: plain functions that take bytes and panic on a broken promise.
//!
//! A new decoder gets four things: a function in the module of its kind, a line in [`TARGETS`], a
//! three-line file in `fuzz_targets/` with its `[[bin]]`, and a folder of seeds. `tests/seeds.rs`
//! runs every seed on the stable toolchain and fails where one of the four is missing. Decoders
//! of the wire (varints, heads, control messages) belong in a module `wire` beside these.

#![forbid(unsafe_code)]

pub mod scans;
pub mod tables;

/// Every target by the name of its binary and its seeds folder.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("headers", tables::headers),
    ("hosts", tables::hosts),
    ("json_model", scans::json_model),
    ("multipart", scans::multipart),
    ("target", tables::target),
];
