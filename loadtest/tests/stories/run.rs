//! The lab: what it refuses, and that a smoke run measures, reports and leaves nothing behind.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn lab(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-loadtest"));
    command.args(words).stdin(Stdio::null()).output().expect("weft-loadtest runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A smoke run of `scenario` with the floor and Weft alone, which every machine has.
fn smoke(scenario: &str, out: &Path) -> Value {
    let out_dir = out.display().to_string();
    let words =
        ["run", scenario, "--smoke", "--seed", "7", "--only", "direct,weft", "--out", &out_dir];
    let output = lab(&words);
    assert!(output.status.success(), "{}", said(&output));
    let report = std::fs::read(out.join("report.json")).expect("a report");
    serde_json::from_slice(&report).expect("JSON")
}

fn rounds(report: &Value, figure: &str, contestant: &str) -> usize {
    let figures = report["scenarios"][0]["figures"].as_array().into_iter().flatten();
    let found = figures.filter(|one| one["id"] == figure && one["contestant"] == contestant);
    found.map(|one| one["rounds"].as_array().map_or(0, Vec::len)).sum()
}

#[test]
fn a_smoke_run_measures_both_writes_the_page_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = smoke("overhead", dir.path());
    assert_eq!(report["seed"], 7);
    let command = report["command"].as_str().expect("a command");
    assert_eq!(command, "weft-loadtest run overhead --smoke --seed 7 --only direct,weft");
    assert!(rounds(&report, "p50", "direct") > 0 && rounds(&report, "p50", "weft") > 0);
    assert!(rounds(&report, "added-p50", "weft") > 0);
    assert_eq!(report["scenarios"][0]["faults"].as_array().map(Vec::len), Some(0));
    let page = std::fs::read_to_string(dir.path().join("index.html")).expect("a page");
    assert!(page.contains("<svg") && !page.contains("<script"));

    // Compared with itself nothing has changed.
    let file = dir.path().join("report.json").display().to_string();
    let output = lab(&["compare", &file, &file]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("0 figures changed, 0 likely"), "{told}");
}

#[test]
fn paced_streams_come_through_whole_and_users_who_leave_are_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = smoke("paced", dir.path());
    assert!(rounds(&report, "gap-p99", "weft") > 0);
    assert!(rounds(&report, "frame-cpu", "weft") > 0);
    let report = smoke("abort", dir.path());
    assert!(rounds(&report, "closed-p99", "weft") > 0);
}

#[test]
fn every_other_scenario_is_played_in_short_and_loses_nothing() {
    let mut scenarios = vec![
        ("saturate", "per-cpu"),
        ("bulk", "bulk"),
        ("idle", "hub-kib-per-agent"),
        ("storm", "back"),
        ("soak", "files-left"),
    ];
    // Links are namespaces of the kernel's.
    if rustix::process::geteuid().is_root() {
        scenarios.extend([("sibling", "gap-beside"), ("roam", "gap-max")]);
    }
    for (scenario, figure) in scenarios {
        let dir = tempfile::tempdir().expect("a directory");
        let report = smoke(scenario, dir.path());
        assert!(rounds(&report, figure, "weft") > 0, "{scenario}: {report}");
        let faults = &report["scenarios"][0]["faults"];
        assert_eq!(faults.as_array().map(Vec::len), Some(0), "{scenario}: {faults}");
    }
}

#[test]
fn impossible_settings_of_a_run_are_refused_with_a_sentence() {
    for (words, sentence) in [
        (&["run", "nothing"][..], "no such scenario; there are: all, overhead"),
        (&["run", "paced", "--rounds", "0"][..], "0 is not in 1..=100"),
        (&["run", "paced", "--only", "nobody"][..], "invalid value 'nobody'"),
        (&["compare", "/dev/null", "/dev/null"][..], "is no report of"),
    ] {
        let output = lab(words);
        assert!(!output.status.success());
        assert!(said(&output).contains(sentence), "{}", said(&output));
    }
}
