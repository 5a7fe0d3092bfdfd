//! What comes of holding this agent's evidence against another's, for people and programs.

use super::CliError;
use crate::ledger::evidence::{BadEvidence, history, open};
use serde_json::{Value, json};
use std::path::PathBuf;
use weft_proto::ids::AgentId;
use weft_proto::ledger::PublicKey;
use weft_proto::ledger::journal::{Comparison, Differs, NotTaken, Sightings};
use weft_proto::ledger::verify::Check;

/// One file that was compared with.
#[derive(Debug)]
pub(super) struct Compared {
    path: PathBuf,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// Both were held against each other.
    Held { agent: AgentId, comparison: Comparison },
    /// The file alone shows that the hub contradicts itself.
    Alone { number: usize, why: NotTaken },
}

/// Compares what was `shown` with each of `files`.
pub(super) fn compare(
    files: &[PathBuf],
    shown: &Sightings,
    hub_keys: &[PublicKey],
) -> Result<Vec<Compared>, CliError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let (_, hub) = shown.owner().ok_or(CliError::NothingShown)?;
    let ours = history(shown, hub_keys);
    let mut compared = Vec::with_capacity(files.len());
    for path in files {
        let outcome = match open(path, hub, hub_keys) {
            Ok((agent, theirs)) => Outcome::Held { agent, comparison: ours.compare(&theirs) },
            Err(BadEvidence::Contradiction { number, why }) => Outcome::Alone { number, why },
            Err(source) => return Err(CliError::Evidence { path: path.clone(), source }),
        };
        compared.push(Compared { path: path.clone(), outcome });
    }
    Ok(compared)
}

impl Compared {
    /// The name of the check that failed.
    pub(super) fn check(&self) -> Option<&'static str> {
        let check = match &self.outcome {
            Outcome::Alone { why, .. } => Check::from(*why),
            Outcome::Held { comparison, .. } => match comparison.differs? {
                Differs::TwoFaces { .. } => Check::TwoFaces,
                Differs::OldHead { .. } => Check::OldHead,
            },
        };
        Some(check.name())
    }

    pub(super) fn view(&self) -> Value {
        let path = self.path.display().to_string();
        let check = self.check();
        match &self.outcome {
            Outcome::Alone { number, why } => json!({
                "file": path, "check": check, "statement": number, "says": why.to_string(),
            }),
            Outcome::Held { agent, comparison } => json!({
                "file": path, "agent": agent, "check": check, "agree_up_to": comparison.agree,
                "says": says(comparison),
            }),
        }
    }

    pub(super) fn sentence(&self) -> String {
        let path = self.path.display();
        let said = match &self.outcome {
            Outcome::Alone { number, why } => format!("its statement {number}: {why}"),
            Outcome::Held { comparison, .. } => says(comparison),
        };
        match self.check() {
            Some(check) => format!("THE HUB BROKE ITS WORD: {check} with {path}: {said}"),
            None => format!("{path}: {said}"),
        }
    }
}

fn says(comparison: &Comparison) -> String {
    match (comparison.differs, comparison.agree) {
        (Some(Differs::TwoFaces { size }), _) => {
            format!("the hub signed two different journals of {size} entries")
        }
        (Some(Differs::OldHead { shown, seen, at_secs }), _) => format!(
            "at {at_secs} the hub signed a journal of {shown} entries, and had signed one of {seen} \
             before"
        ),
        (None, Some(size)) => format!("one journal up to entry {size}"),
        (None, None) => {
            "both were shown no size in common: nothing is proven either way".to_owned()
        }
    }
}
