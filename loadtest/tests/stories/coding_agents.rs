//! Coding agents on a terminal, which take a gateway by its base URL and believe that it is the
//! provider: Claude Code over Anthropic's API and Codex over the Responses API.
//!
//! The heads and the shapes of the bodies are those that the tools send (Claude Code 2.1, Codex
//! 0.169); the words in them are our own.

#[path = "coding_agents/claude_code.rs"]
mod claude_code;
#[path = "coding_agents/codex.rs"]
mod codex;
#[path = "coding_agents/models.rs"]
mod models;

use crate::talk::*;
use serde_json::Value;
use weft_loadtest::provider::Record;

/// Text that makes a body as long as a tool's instructions do.
fn instructions(bytes: usize) -> String {
    "Warp first, then weft; ask before you cut a thread. ".repeat(bytes / 52 + 1)
}

/// An object whose fields stand in this order.
fn ordered(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
    format!("{{{}}}", fields.join(","))
}

/// Fails unless every header of `sent` is on the record, line by line and in its order.
#[track_caller]
fn arrived(sent: &[(&str, &str)], record: &Record) {
    for (name, _) in sent {
        let wanted: Vec<&str> =
            sent.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect();
        let got: Vec<&str> = record
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(got, wanted, "{name}");
    }
}

fn with_all(ask: Ask, headers: &[(&str, &str)]) -> Ask {
    headers.iter().fold(ask, |ask, (name, value)| ask.with(name, value))
}
