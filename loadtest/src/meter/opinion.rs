//! A second opinion on usage: the Python package `genai-prices`, where it is installed.

use super::Totals;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use weft_proto::provider::Provider;

/// The interpreter that may have the package.
const PYTHON: &str = "WEFT_GENAI_PYTHON";

/// Reads questions from its input, one on each line, and answers each on a line of its own.
const SCRIPT: &str = include_str!("opinion.py");

/// One question: the values of an answer that may hold its usage, and what was read in them here.
#[derive(Debug, Serialize)]
pub(super) struct Asking {
    line: usize,
    provider: &'static str,
    flavor: &'static str,
    body: String,
    #[serde(skip)]
    totals: Totals,
}

/// What the package reads, in its own words: its input holds what the cache held.
#[derive(Debug, Deserialize)]
struct Answer {
    line: usize,
    input: Option<u64>,
    output: Option<u64>,
    error: Option<String>,
}

impl Asking {
    pub(super) fn new(
        line: usize,
        provider: Provider,
        path: &str,
        body: &[u8],
        totals: Totals,
    ) -> Option<Self> {
        let path = path.split('?').next().unwrap_or_default();
        let (provider, flavor) = match provider {
            Provider::Anthropic => ("anthropic", "default"),
            Provider::OpenAi | Provider::Azure if path.ends_with("/embeddings") => {
                ("openai", "embeddings")
            }
            Provider::OpenAi | Provider::Azure if path.contains("/responses") => {
                ("openai", "responses")
            }
            Provider::OpenAi | Provider::Azure => ("openai", "chat"),
            // What it knows of DeepSeek is the chat alone.
            Provider::DeepSeek if path.ends_with("/chat/completions") => ("deepseek", "chat"),
            Provider::DeepSeek => return None,
        };
        let body = String::from_utf8(body.to_vec()).ok()?;
        (totals != Totals::default()).then_some(Self { line, provider, flavor, body, totals })
    }

    /// The input as the package words it.
    fn input(&self) -> u64 {
        match self.provider {
            "anthropic" => self.totals.input + self.totals.cached + self.totals.cache_write,
            _ => self.totals.input,
        }
    }
}

/// Asks about all of them: a text with what disagrees, or `None` where there is nobody to ask.
pub(super) fn ask(asking: &[Asking]) -> Option<String> {
    let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned());
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut questions = Vec::new();
    for question in asking {
        serde_json::to_writer(&mut questions, question).ok()?;
        questions.push(b'\n');
    }
    // The script reads all of it before it answers: neither side waits for the other.
    child.stdin.take()?.write_all(&questions).ok()?;
    let output = child.wait_with_output().ok().filter(|output| output.status.success())?;
    let answers: Vec<Answer> = String::from_utf8(output.stdout)
        .ok()?
        .lines()
        .map(|line| serde_json::from_str(line).ok())
        .collect::<Option<_>>()?;
    Some(judged(asking, &answers))
}

fn judged(asking: &[Asking], answers: &[Answer]) -> String {
    let (mut same, mut text) = (0, String::new());
    for (question, answer) in asking.iter().zip(answers) {
        let wanted = (question.input(), question.totals.output);
        let told = (answer.input.unwrap_or_default(), answer.output.unwrap_or_default());
        if answer.error.is_none() && wanted == told {
            same += 1;
            continue;
        }
        let why = answer.error.as_deref().unwrap_or("other figures");
        // A write to a string does not fail.
        writeln!(
            text,
            "genai-prices on line {}: {why}: {told:?} where {wanted:?} was read (input, output)",
            answer.line
        )
        .unwrap_or_default();
    }
    format!("{text}genai-prices agrees on {same} of {}", asking.len())
}
