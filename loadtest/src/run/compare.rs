//! `weft-loadtest compare A.json B.json`: what changed beyond noise, and what cannot be compared.
//!
//! Rounds are the samples. A figure has changed when Mann and Whitney's test, exact and two-sided,
//! gives p < 0.01 and its median moved by 3 % or more: with hundreds of figures a p of 0.05 would
//! call some changed in every pair of runs. That takes five rounds on either side; with fewer, a
//! figure whose rounds lie wholly apart and moved by 10 % or more is called likely, and no figure
//! more than that.

use super::figure::{Better, Figure, Played};
use super::report::Report;
use super::stats;
use super::table::number;
use serde::Serialize;
use std::path::PathBuf;

/// Beyond chance.
const P_MAX: f64 = 0.01;
/// Beyond what matters.
const MOVED_MIN: f64 = 0.03;
/// The same where rounds are few.
const MOVED_LIKELY_MIN: f64 = 0.10;

/// Says what changed between two reports of `run`, beyond noise.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-loadtest compare before/report.json after/report.json")]
pub struct Args {
    /// The report before
    before: PathBuf,
    /// The report after
    after: PathBuf,
    /// Write the same to this file as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is known of one figure in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// It moved, for the better or the worse, beyond chance.
    Changed,
    /// Too few rounds to be sure, and yet wholly apart.
    Likely,
    /// Within noise.
    Same,
    /// Too few rounds to say anything.
    TooFew,
}

/// One figure in both.
#[derive(Debug, Clone, Serialize)]
struct Pair {
    scenario: String,
    figure: String,
    contestant: String,
    at: String,
    unit: String,
    before: f64,
    after: f64,
    moved: f64,
    p: Option<f64>,
    verdict: Verdict,
    /// Nothing where neither way is better.
    better: Option<bool>,
}

/// All that can be said of two reports.
#[derive(Debug, Clone, Default, Serialize)]
struct Comparison {
    not_comparable: Vec<String>,
    pairs: Vec<Pair>,
}

/// Prints the comparison.
///
/// # Errors
/// Where a file is no report.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (before, after) = (Report::read(&args.before)?, Report::read(&args.after)?);
    let comparison = compare(&before, &after);
    print!("{}", told(&comparison));
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&comparison)?)?;
    }
    Ok(())
}

fn compare(before: &Report, after: &Report) -> Comparison {
    let mut comparison = Comparison::default();
    let differ = before.machine.differences(&after.machine);
    if !differ.is_empty() {
        // Figures of two machines say nothing of each other, not even which is the better program.
        comparison.not_comparable.push(format!("other machine ({})", differ.join("; ")));
        return comparison;
    }
    for (name, version) in &before.machine.versions {
        let other = after.machine.versions.get(name);
        if let Some(other) = other.filter(|other| *other != version && name != "weft") {
            let told =
                format!("{name} is {version} and {other}: its figures are shown all the same");
            comparison.not_comparable.push(told);
        }
    }
    for played in &before.scenarios {
        match after.scenarios.iter().find(|other| other.name == played.name) {
            None => comparison.not_comparable.push(format!("{}: only before", played.name)),
            Some(other) => one(played, other, &mut comparison),
        }
    }
    let of = |report: &Report| -> Vec<String> {
        report.scenarios.iter().map(|played| played.name.clone()).collect()
    };
    let known = of(before);
    for name in of(after).into_iter().filter(|name| !known.contains(name)) {
        comparison.not_comparable.push(format!("{name}: only after"));
    }
    comparison
}

fn one(before: &Played, after: &Played, comparison: &mut Comparison) {
    // More rounds of the same are the same.
    let settings = |played: &Played| {
        let mut settings = played.settings.clone();
        settings.remove("rounds");
        settings
    };
    let (own, other) = (settings(before), settings(after));
    if own != other {
        let differ: Vec<&str> = own
            .iter()
            .filter(|(name, value)| other.get(*name) != Some(value))
            .map(|(name, _)| name.as_str())
            .chain(other.keys().filter(|name| !own.contains_key(*name)).map(String::as_str))
            .collect();
        let told = format!("{}: other settings ({})", before.name, differ.join(", "));
        comparison.not_comparable.push(told);
        return;
    }
    for figure in before.figures.iter() {
        let other = after.figures.iter().find(|other| other.key() == figure.key());
        if let Some(pair) = other.and_then(|other| pair(&before.name, figure, other)) {
            comparison.pairs.push(pair);
        }
    }
}

fn pair(scenario: &str, before: &Figure, after: &Figure) -> Option<Pair> {
    let (was, is) = (before.median()?, after.median()?);
    let moved = if was.abs() > f64::EPSILON { (is - was) / was.abs() } else { 0.0 };
    let p = stats::mann_whitney(&before.rounds, &after.rounds);
    let verdict = verdict(&before.rounds, &after.rounds, moved, p);
    let better = match before.better {
        Better::Less => Some(moved < 0.0),
        Better::More => Some(moved > 0.0),
        Better::Neither => None,
    };
    Some(Pair {
        scenario: scenario.to_owned(),
        figure: before.what.clone(),
        contestant: before.contestant.clone(),
        at: before.at.clone(),
        unit: before.unit.clone(),
        before: was,
        after: is,
        moved,
        p,
        verdict,
        better,
    })
}

fn verdict(before: &[f64], after: &[f64], moved: f64, p: Option<f64>) -> Verdict {
    let apart = match (stats::range(before), stats::range(after)) {
        (Some(one), Some(other)) => one.1 < other.0 || other.1 < one.0,
        (_, _) => false,
    };
    // The least p that sets of this size can give is that of two sets wholly apart.
    let least = stats::mann_whitney(&vec![0.0; before.len()], &vec![1.0; after.len()]);
    let enough = least.is_some_and(|least| least < P_MAX);
    match (enough, p) {
        (true, Some(p)) if p < P_MAX && moved.abs() >= MOVED_MIN => Verdict::Changed,
        (true, _) => Verdict::Same,
        (false, _) if before.len().min(after.len()) < 2 => Verdict::TooFew,
        (false, _) if apart && moved.abs() >= MOVED_LIKELY_MIN => Verdict::Likely,
        (false, _) if apart => Verdict::TooFew,
        (false, _) => Verdict::Same,
    }
}

fn told(comparison: &Comparison) -> String {
    let mut text = String::new();
    for reason in &comparison.not_comparable {
        text.push_str(&format!("not comparable: {reason}\n"));
    }
    let count =
        |wanted: Verdict| comparison.pairs.iter().filter(|pair| pair.verdict == wanted).count();
    for (wanted, title) in [
        (Verdict::Changed, "changed (Mann-Whitney, p < 0.01, and 3 % or more)"),
        (Verdict::Likely, "likely changed (rounds lie apart by 10 % or more, but are too few)"),
    ] {
        let pairs = comparison.pairs.iter().filter(|pair| pair.verdict == wanted);
        for (at, pair) in pairs.enumerate() {
            if at == 0 {
                text.push_str(&format!("{title}\n"));
            }
            line(&mut text, pair);
        }
    }
    text.push_str(&format!(
        "{} figures changed, {} likely, {} did not beyond noise, {} have too few rounds to say\n",
        count(Verdict::Changed),
        count(Verdict::Likely),
        count(Verdict::Same),
        count(Verdict::TooFew)
    ));
    text
}

fn line(out: &mut String, pair: &Pair) {
    let what = format!("{} {}: {} {}", pair.scenario, pair.contestant, pair.figure, pair.at);
    let judged = match pair.better {
        Some(true) => "better",
        Some(false) => "WORSE",
        None => "",
    };
    out.push_str(&format!(
        "  {what:<64} {:>10} → {:>10} {:<5} {:>+7.1} %  {judged}\n",
        number(pair.before),
        number(pair.after),
        pair.unit,
        pair.moved * 100.0
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(before: &[f64], after: &[f64]) -> Verdict {
        let (was, is) = (stats::median(before).unwrap(), stats::median(after).unwrap());
        verdict(before, after, (is - was) / was, stats::mann_whitney(before, after))
    }

    #[test]
    fn a_clear_change_over_enough_rounds_is_one_and_noise_is_none() {
        let steady = [10.0, 10.1, 9.9, 10.2, 9.8, 10.05];
        assert_eq!(judged(&steady, &steady.map(|value| value * 1.2)), Verdict::Changed);
        assert_eq!(judged(&steady, &[10.3, 9.7, 10.0, 10.15, 9.85, 10.1]), Verdict::Same);
        // Apart, and yet too little to matter.
        assert_eq!(judged(&steady, &steady.map(|value| value * 1.021 + 0.2)), Verdict::Changed);
        assert_eq!(
            judged(&[100.0, 100.1, 100.2, 100.3, 100.4], &[100.5, 100.6, 100.7, 100.8, 100.9]),
            Verdict::Same
        );
    }

    #[test]
    fn few_rounds_are_likely_at_most() {
        assert_eq!(judged(&[10.0, 11.0, 12.0], &[15.0, 16.0, 17.0]), Verdict::Likely);
        assert_eq!(judged(&[10.0], &[17.0]), Verdict::TooFew);
    }
}
