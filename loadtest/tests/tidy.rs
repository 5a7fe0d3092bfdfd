//! The house rules, as tests over the sources themselves.
//!
//! What the compiler and clippy cannot see is checked here: which crate and which room may know
//! which, how long a file may grow, what words have no place in the tree, and that the wire's
//! document follows its code. Each rule is a function from the tree to a list of breaches, so
//! that one run names them all.
//!
//! Never changes a file, and never needs the network.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/locked.rs"]
mod locked;
#[path = "tidy/maps.rs"]
mod maps;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/wire.rs"]
mod wire;
#[path = "tidy/words.rs"]
mod words;

use tree::Tree;

/// Fails with every breach of one rule, a line each.
#[track_caller]
fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}\n", breaches.join("\n  "));
}

#[test]
fn crates_depend_only_along_the_arrows_of_the_house() {
    assert_none("crate arrows (table in tests/tidy/arrows.rs)", &arrows::breaches(&Tree::read()));
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    assert_none("missing `[lints] workspace = true`", &arrows::without_lints(&Tree::read()));
}

#[test]
fn rooms_of_the_hub_import_only_what_lies_below_them() {
    assert_none("room arrows (table in tests/tidy/rooms.rs)", &rooms::HUB.breaches(&Tree::read()));
}

#[test]
fn rooms_of_the_agent_import_only_what_lies_below_them() {
    let breaches = rooms::AGENT.breaches(&Tree::read());
    assert_none("room arrows (table in tests/tidy/rooms.rs)", &breaches);
}

#[test]
fn no_file_outgrows_a_reader() {
    let lengths = files::lengths(&Tree::read());
    for (path, lines) in lengths.iter().filter(|(_, lines)| *lines > files::LINES_WARN) {
        eprintln!("warning: {path} has {lines} lines: look for the second purpose in it");
    }
    assert_none(
        &format!("files above {} lines, tests not counted", files::LINES_MAX),
        &files::too_long(&lengths),
    );
}

#[test]
fn every_source_file_opens_with_its_purpose() {
    assert_none("files that do not begin with `//!`", &files::without_header(&Tree::read()));
}

#[test]
fn no_file_is_named_after_nothing() {
    assert_none("names that say nothing of their content", &files::misnamed(&Tree::read()));
}

#[test]
fn the_hub_binary_only_starts_the_hub() {
    assert_none("hub/src/main.rs wires nothing itself", &files::long_main(&Tree::read()));
}

#[test]
fn no_banned_word_stands_in_the_tree() {
    assert_none("banned words (list in tests/tidy/words.rs)", &words::breaches(&Tree::read()));
}

#[test]
fn the_wire_vocabulary_does_no_input_or_output() {
    assert_none("I/O in transport/proto", &words::io_in_proto(&Tree::read()));
}

#[test]
fn the_hub_has_no_place_for_a_provider_key() {
    assert_none("names of the agent's secrets in the hub", &words::keys_in_hub(&Tree::read()));
}

#[test]
fn the_wire_document_follows_the_wire_sources() {
    assert_none("transport/docs/wire.md", &wire::breaches(&Tree::read()));
}

#[test]
fn every_test_that_a_map_of_dangers_names_exists() {
    assert_none("maps of dangers (list in tests/tidy/maps.rs)", &maps::breaches(&Tree::read()));
}

#[test]
fn no_locked_crate_is_below_its_floor_or_banned() {
    assert_none("Cargo.lock (tables in tests/tidy/locked.rs)", &locked::breaches(&Tree::read()));
}

#[test]
fn nobody_asks_for_a_second_crypto_provider() {
    assert_none("one crypto provider: aws-lc-rs", &locked::other_crypto(&Tree::read()));
}
