//! The bodies of the fuzz targets: plain functions that take bytes and panic on a broken promise.
//!
//! A new decoder gets four things: a function in the module of its kind, a line in [`TARGETS`], a
//! three-line file in `fuzz_targets/` with its `[[bin]]`, and a folder of seeds. `tests/seeds.rs`
//! runs every seed on the stable toolchain and fails where one of the four is missing.

#![forbid(unsafe_code)]

pub mod ledger;
pub mod meters;
pub mod scans;
pub mod tables;
pub mod wire;

/// What a target does with its input.
pub type Body = fn(&[u8]);

/// Every target by the name of its binary and its seeds folder.
pub const TARGETS: &[(&str, Body)] = &[
    ("answer", scans::answer),
    ("control_agent", wire::control_agent),
    ("control_hub", wire::control_hub),
    ("decode", scans::decode),
    ("framed", wire::framed),
    ("head_answer", wire::head_answer),
    ("head_request", wire::head_request),
    ("headers", tables::headers),
    ("hosts", tables::hosts),
    ("join_answer", wire::join_answer),
    ("join_request", wire::join_request),
    ("json_model", scans::json_model),
    ("ledger_entry", ledger::ledger_entry),
    ("ledger_note", ledger::ledger_note),
    ("meter_answer", meters::meter_answer),
    ("meter_request", meters::meter_request),
    ("multipart", scans::multipart),
    ("prefixed", wire::prefixed),
    ("price_book", ledger::price_book),
    ("receipts", wire::receipts),
    ("sse", scans::sse),
    ("target", tables::target),
    ("websocket", wire::websocket),
];
