//! `report.json`: everything that a run was told, found and could not find.

use super::figure::{Missing, Played};
use super::level::Level;
use super::machine::Machine;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The shape of the file; another number is another shape.
pub(crate) const FORMAT: u32 = 1;
/// Bytes of a report that are read.
const BYTES_MAX: u64 = 256 * 1_024 * 1_024;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The command that makes such a report again.
    pub(crate) command: String,
    /// When it began, UTC.
    pub(crate) began: String,
    /// How long it took, in seconds.
    pub(crate) lasted_seconds: f64,
    /// How thorough it was.
    pub(crate) level: Level,
    /// Of all chance.
    pub(crate) seed: u64,
    /// Where.
    pub(crate) machine: Machine,
    /// The scenarios, in the order in which they were played.
    pub(crate) scenarios: Vec<Played>,
    /// Peers that are not installed, whatever was played.
    pub(crate) missing: Vec<Missing>,
}

impl Report {
    /// Writes it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Where the file is no report of this shape.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let told = || format!("{}", path.display());
        let length = std::fs::metadata(path).with_context(told)?.len();
        anyhow::ensure!(length <= BYTES_MAX, "{}: larger than any report", path.display());
        let text = std::fs::read(path).with_context(told)?;
        let report: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no report of `weft-loadtest run`", path.display()))?;
        anyhow::ensure!(
            report.format == FORMAT,
            "{} is of format {}, and this program reads {FORMAT}",
            path.display(),
            report.format
        );
        Ok(report)
    }

    /// What must never be, and was.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        self.scenarios.iter().flat_map(|played| {
            played.faults.iter().map(|fault| (played.name.as_str(), fault.as_str()))
        })
    }
}
