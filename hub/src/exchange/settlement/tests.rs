//! The document and the function, row by row.

use super::*;
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../../docs/settlement.md");

const STAGES: [(&str, Stage); 7] = [
    ("before dispatch", Stage::BeforeDispatch),
    ("before OPEN", Stage::BeforeOpen),
    ("before first byte", Stage::BeforeFirstByte),
    ("between events", Stage::BetweenEvents),
    ("after the finish marker", Stage::AfterFinish),
    ("after usage", Stage::AfterUsage),
    ("after FIN", Stage::AfterFin),
];
const CAUSES: [(&str, Cause); 11] = [
    ("nothing", Cause::Nothing),
    ("user gone", Cause::UserGone),
    ("provider error", Cause::ProviderError),
    ("provider cut", Cause::ProviderCut),
    ("agent killed", Cause::AgentKilled),
    ("node killed", Cause::NodeKilled),
    ("tunnel lost", Cause::TunnelLost),
    ("deadline", Cause::Deadline),
    ("drain", Cause::Drain),
    ("balance exhausted", Cause::BalanceExhausted),
    ("gate closed", Cause::GateClosed),
];
const USAGE: [(&str, bool); 2] = [("seen", true), ("unseen", false)];
const ON_ABORT: [(&str, OnAbort); 2] = [("cancel", OnAbort::Cancel), ("drain", OnAbort::Drain)];
const CHARGES: [(&str, Charge); 4] = [
    ("nothing", Charge::Nothing),
    ("metered", Charge::Metered),
    ("estimated", Charge::Estimated),
    ("bound", Charge::Bound),
];
const CLAIMS: [(&str, Claim); 4] = [
    ("nothing", Claim::Nothing),
    ("exact", Claim::Exact),
    ("settled", Claim::Settled),
    ("capped", Claim::Capped),
];
const UPSTREAMS: [(&str, Upstream); 5] = [
    ("not called", Upstream::NotCalled),
    ("cancel", Upstream::Cancel),
    ("drain", Upstream::Drain),
    ("over", Upstream::Over),
    ("gone", Upstream::Gone),
];
const RESTS: [(&str, Rest); 3] =
    [("nobody", Rest::Nobody), ("owner", Rest::Owner), ("hub", Rest::Hub)];

/// The values that a cell names: all of them for `any`, else those between its commas.
fn named<T: Copy>(cell: &str, all: &[(&str, T)]) -> Vec<T> {
    if cell == "any" {
        return all.iter().map(|(_, value)| *value).collect();
    }
    cell.split(',').map(|name| one(name.trim(), all)).collect()
}

fn one<T: Copy>(name: &str, all: &[(&str, T)]) -> T {
    let found = all.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("the document says {name:?}")).1
}

fn ends() -> Vec<End> {
    let mut ends = Vec::new();
    for (_, stage) in STAGES {
        for (_, cause) in CAUSES {
            for (_, usage_seen) in USAGE {
                for (_, on_abort) in ON_ABORT {
                    ends.push(End { stage, cause, usage_seen, on_abort });
                }
            }
        }
    }
    ends
}

/// The rows of the document's table, one line each.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let table = DOCUMENT.lines().skip_while(|line| !line.starts_with("| stage | cause "));
    table
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

#[test]
fn every_row_of_the_document_is_what_the_function_says_and_no_end_is_left_out() {
    let mut told: BTreeMap<String, (Verdict, usize)> = BTreeMap::new();
    for (number, row) in rows().enumerate() {
        let [stages, causes, usage, on_abort, charge, claim, upstream, rest] = row[..] else {
            panic!("row {number} has {} cells", row.len());
        };
        let verdict = Verdict {
            charge: one(charge, &CHARGES),
            claim: one(claim, &CLAIMS),
            upstream: one(upstream, &UPSTREAMS),
            rest: one(rest, &RESTS),
        };
        let mut counts = 0;
        for stage in named(stages, &STAGES) {
            for cause in named(causes, &CAUSES) {
                for usage_seen in named(usage, &USAGE) {
                    for on_abort in named(on_abort, &ON_ABORT) {
                        let end = End { stage, cause, usage_seen, on_abort };
                        if !end.is_possible() {
                            continue;
                        }
                        counts += 1;
                        let before = told.insert(format!("{end:?}"), (verdict, number));
                        assert!(before.is_none(), "{end:?}: rows {before:?} and {number}");
                        assert_eq!(end.verdict(), verdict, "row {number}: {end:?}");
                    }
                }
            }
        }
        assert!(counts > 0, "row {number} is about nothing that can be");
    }
    for end in ends().into_iter().filter(|end| end.is_possible()) {
        assert!(told.contains_key(&format!("{end:?}")), "the document does not say: {end:?}");
    }
    assert!(told.len() > 180, "{}", told.len());
}

#[test]
fn what_was_never_sent_costs_nobody_and_what_was_delivered_is_never_free() {
    for end in ends().into_iter().filter(|end| end.is_possible()) {
        let verdict = end.verdict();
        if end.stage <= Stage::BeforeOpen {
            assert_eq!(verdict.charge, Charge::Nothing, "{end:?}");
            assert_eq!(verdict.upstream, Upstream::NotCalled, "{end:?}");
        }
        if end.stage >= Stage::BetweenEvents {
            assert_ne!(verdict.charge, Charge::Nothing, "{end:?}");
        }
        // No claim without a charge, no charge without a claim: both legs or none.
        let (free, unpaid) = (verdict.charge == Charge::Nothing, verdict.claim == Claim::Nothing);
        assert_eq!(free, unpaid, "{end:?}");
        // Only who can still be told is told.
        let unreachable =
            matches!(end.cause, Cause::AgentKilled | Cause::TunnelLost | Cause::NodeKilled);
        if unreachable {
            assert!(!matches!(verdict.upstream, Upstream::Cancel | Upstream::Drain), "{end:?}");
        }
    }
}

#[test]
fn a_drain_that_reads_on_leads_to_the_same_figures_as_an_answer_that_was_taken() {
    let gone = End {
        stage: Stage::AfterFinish,
        cause: Cause::UserGone,
        usage_seen: false,
        on_abort: OnAbort::Cancel,
    };
    assert_eq!(gone.verdict().upstream, Upstream::Drain);
    let drained = End { stage: Stage::AfterUsage, usage_seen: true, ..gone };
    let taken = End { stage: Stage::AfterFin, cause: Cause::Nothing, ..drained };
    assert_eq!(drained.verdict().charge, taken.verdict().charge);
}
