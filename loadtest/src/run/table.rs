//! What a terminal shows: targets, figures side by side, who is missing, what went wrong.

use super::figure::{Bound, Figure, Missing, Played, Target};
use super::report::Report;
use super::stats;
use std::fmt::Write;

/// Columns of text that a name takes.
const NAME: usize = 44;
/// Columns of text that a value takes.
const VALUE: usize = 12;
/// Contestants beside each other; more go into a second table.
const COLUMNS_MAX: usize = 6;

/// The report as text.
pub(crate) fn table(report: &Report) -> String {
    let mut text = String::new();
    if let Err(error) = write(&mut text, report) {
        tracing::warn!(%error, "the table could not be written");
    }
    text
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let machine = &report.machine;
    writeln!(
        out,
        "weft {}, {} build, {} cores shared by everything ({}), {} MiB, Linux {}, load average {}",
        machine.versions.get("weft").map_or("", String::as_str),
        machine.profile,
        machine.cores,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        machine.load_average
    )?;
    writeln!(out, "{} ({:.0} s)", report.command, report.lasted_seconds)?;
    for played in &report.scenarios {
        scenario(out, played)?;
    }
    let targets: Vec<(&str, &Target)> = report
        .scenarios
        .iter()
        .flat_map(|played| played.targets.iter().map(|target| (played.name.as_str(), target)))
        .collect();
    if !targets.is_empty() {
        writeln!(out, "\nTargets")?;
    }
    for (name, target) in targets {
        let what = format!("{name}: {}", target.what);
        let sign = match target.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        };
        let limit = target.limit.map_or_else(|| "?".to_owned(), number);
        writeln!(
            out,
            "  {what:<58} {:>9} {sign} {limit:>9} {:<8} {:>6}  {:<8} {}",
            target.measured.map_or_else(|| "–".to_owned(), number),
            target.unit,
            target.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}×")),
            verdict(target),
            target.against
        )?;
    }
    missing(out, "Not measured", &report.missing)?;
    for (name, fault) in report.faults() {
        writeln!(out, "\nFAULT in {name}: {fault}")?;
    }
    Ok(())
}

/// Whether a target is met, in a word.
pub(crate) fn verdict(target: &Target) -> &'static str {
    match target.is_met() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "unknown",
    }
}

fn scenario(out: &mut String, played: &Played) -> std::fmt::Result {
    writeln!(out, "\n{} ({:.0} s)", played.name, played.lasted_seconds)?;
    let contestants = contestants(played);
    for some in contestants.chunks(COLUMNS_MAX) {
        write!(out, "  {:NAME$}", "")?;
        for name in some {
            write!(out, "{name:>VALUE$}")?;
        }
        writeln!(out)?;
        for (what, at, unit) in rows(played) {
            let cells: Vec<String> =
                some.iter().map(|name| cell(played, &what, &at, name)).collect();
            if cells.iter().all(|cell| cell == "–") {
                continue;
            }
            let name = [what.as_str(), at.as_str()].map(str::trim).join(", ");
            let unit = if unit.is_empty() { unit } else { format!(" ({unit})") };
            let name = format!("{}{unit}", name.trim_end_matches(", "));
            write!(out, "  {name:<NAME$}")?;
            for cell in cells {
                write!(out, "{cell:>VALUE$}")?;
            }
            writeln!(out)?;
        }
    }
    missing(out, "  missing", &played.missing)?;
    for note in &played.notes {
        writeln!(out, "  · {note}")?;
    }
    Ok(())
}

fn missing(out: &mut String, title: &str, missing: &[Missing]) -> std::fmt::Result {
    if missing.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    for Missing { name, why } in missing {
        writeln!(out, "    {name}: {}", why.lines().next().unwrap_or_default())?;
    }
    Ok(())
}

/// The contestants of a scenario, in the order of their first figures.
pub(crate) fn contestants(played: &Played) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for figure in played.figures.iter() {
        if !names.contains(&figure.contestant) {
            names.push(figure.contestant.clone());
        }
    }
    names
}

/// The rows of a scenario: what, at what, in which unit.
pub(crate) fn rows(played: &Played) -> Vec<(String, String, String)> {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for figure in played.figures.iter() {
        let row = (figure.what.clone(), figure.at.clone(), figure.unit.clone());
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}

/// The figure of `contestant` in that row.
pub(crate) fn find<'a>(
    played: &'a Played,
    what: &str,
    at: &str,
    contestant: &str,
) -> Option<&'a Figure> {
    let mut figures = played.figures.iter();
    figures.find(|figure| figure.what == what && figure.at == at && figure.contestant == contestant)
}

/// A figure's median with its spread, as text.
fn cell(played: &Played, what: &str, at: &str, contestant: &str) -> String {
    let Some(figure) = find(played, what, at, contestant) else { return "–".to_owned() };
    let Some(median) = figure.median() else { return "–".to_owned() };
    match stats::spread(&figure.rounds) {
        Some(spread) if figure.rounds.len() > 1 => {
            format!("{} ±{:.0}%", number(median), spread * 100.0)
        }
        Some(_) | None => number(median),
    }
}

/// As many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        whole if whole.fract() == 0.0 => format!("{value:.0}"),
        small if small < 0.1 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    }
}
