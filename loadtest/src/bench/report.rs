//! The report: a table for people, JSON for scripts.

use super::figure::{Aim, Row, Section};
use serde::Serialize;
use std::fmt;

/// Columns of text that a row's name takes.
const NAME_WIDTH: usize = 46;
/// Columns of text that a value takes.
const VALUE_WIDTH: usize = 11;

/// Where a bench ran, and how long.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    /// The version of what was measured.
    pub(crate) version: &'static str,
    /// `release`, or `debug`: whose figures say nothing.
    pub(crate) profile: &'static str,
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// The load averages at the start.
    pub(crate) load_average: String,
    /// How long all of it took, in seconds.
    pub(crate) lasted_seconds: f64,
}

/// All that a bench found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Where.
    pub(crate) setting: Setting,
    /// The figures.
    pub(crate) sections: Vec<Section>,
    /// What they should come to.
    pub(crate) aims: Vec<Aim>,
    /// Frames that were lost, altered or out of order, over all phases.
    pub(crate) frames_lost: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { version, profile, cores, load_average, lasted_seconds } = &self.setting;
        writeln!(
            f,
            "weft {version}, {profile} build, {cores} cores shared by everything, load average \
             {load_average} at the start, {lasted_seconds:.0} s"
        )?;
        for section in &self.sections {
            writeln!(f, "\n{}", section.title)?;
            write!(f, "  {:NAME_WIDTH$}", "")?;
            for column in &section.columns {
                write!(f, "{column:>VALUE_WIDTH$}")?;
            }
            writeln!(f, "  unit      samples")?;
            for row in &section.rows {
                self.row(f, row)?;
            }
            for note in &section.notes {
                writeln!(f, "  · {note}")?;
            }
        }
        writeln!(f, "\nAims")?;
        for aim in &self.aims {
            let verdict = if aim.is_met() { "met" } else { "MISSED" };
            writeln!(
                f,
                "  {:NAME_WIDTH$}{:>VALUE_WIDTH$}  {:<4} aim: at most {} {}: {verdict}",
                aim.what,
                number(aim.measured),
                aim.unit,
                aim.at_most,
                aim.unit,
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn row(&self, f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
        write!(f, "  {:NAME_WIDTH$}", row.what)?;
        for value in &row.values {
            let text = value.map_or_else(|| "-".to_owned(), number);
            write!(f, "{text:>VALUE_WIDTH$}")?;
        }
        writeln!(f, "  {:<6} {:>9}", row.unit, row.samples)
    }
}

/// As many digits as mean something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_aim_is_said_in_the_table() {
        let mut section = Section::new("one", "One", ["p50", "p99"]);
        section.rows.push(Row::new("direct", [0.25, 1_234.5], "ms", 7));
        let aim = |measured| Aim { what: "added p50", measured, at_most: 0.5, unit: "ms" };
        let report = Report {
            setting: Setting {
                version: "0",
                profile: "debug",
                cores: 2,
                load_average: "0 0 0".to_owned(),
                lasted_seconds: 1.0,
            },
            sections: vec![section],
            aims: vec![aim(0.4), aim(0.6)],
            frames_lost: 0,
        };
        let text = report.to_string();
        assert!(text.contains("0.250") && text.contains("1234") && text.contains("ms"));
        assert_eq!((text.matches(": met").count(), text.matches("MISSED").count()), (1, 1));
    }
}
