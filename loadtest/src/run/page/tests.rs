//! What a page holds, and what it never does.

use super::*;
use crate::run::figure::{Better, Drawn, Line, Measure, Target};
use crate::run::level::Level;
use crate::run::machine::Machine;
use crate::run::report::FORMAT;

const P50: Measure = Measure { id: "p50", what: "p50", unit: "ms", better: Better::Less };

fn report() -> Report {
    let mut played = Played::new("overhead", "What is added.");
    for sample in [0.4, 0.5, 0.6] {
        played.figures.add(P50, "weft", "concurrency 1", sample);
        played.figures.add(P50, "weft", "concurrency 4", 2.0 * sample);
    }
    played.targets.push(Target {
        what: "added p50".to_owned(),
        unit: "ms".to_owned(),
        measured: Some(0.5),
        against: "two hops".to_owned(),
        limit: Some(0.4),
        bound: Bound::AtMost,
    });
    played.miss("litellm", "<script>alert(1)</script>\nsecond line");
    played.plots.push(Plot {
        title: "Curves".to_owned(),
        note: String::new(),
        drawn: Drawn::Lines,
        x: "users".to_owned(),
        y: "ms".to_owned(),
        log_x: true,
        log_y: true,
        lines: played.figures.curves("p50"),
    });
    played.plots.push(Plot {
        lines: vec![Line { name: "empty".to_owned(), points: Vec::new() }],
        ..played.plots[0].clone()
    });
    Report {
        format: FORMAT,
        command: "weft-loadtest run overhead --seed 7".to_owned(),
        began: "2026-11-23T00:00:00Z".to_owned(),
        lasted_seconds: 3.0,
        level: Level::Quick,
        seed: 7,
        machine: Machine { profile: "debug".to_owned(), ..Machine::default() },
        scenarios: vec![played],
        missing: Vec::new(),
    }
}

#[test]
fn the_page_has_the_command_the_targets_the_plots_and_the_missing() {
    let page = page(&report()).expect("a page");
    for part in ["--seed 7", "added p50", "verdict missed", "<svg", "litellm", "debug build"] {
        assert!(page.contains(part), "{part}");
    }
    // Wide and narrow of the one that has points.
    assert_eq!(page.matches("<svg").count(), 2);
}

#[test]
fn the_page_fetches_nothing_and_runs_nothing() {
    let page = page(&report()).expect("a page");
    for never in ["<script", "<link", "@import", "url(", "src=", "onload", "second line"] {
        assert!(!page.contains(never), "{never}");
    }
    let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!elsewhere.contains("http"), "an address");
}

#[test]
fn a_report_comes_back_as_it_was_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("report.json");
    let report = report();
    report.write(&path).expect("written");
    assert_eq!(Report::read(&path).expect("read"), report);
    std::fs::write(&path, "{}").expect("written");
    assert!(Report::read(&path).is_err());
}
