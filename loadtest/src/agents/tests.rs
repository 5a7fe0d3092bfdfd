//! Settings, figures and faults, without a hub.

use super::crowd::Events;
use super::malformed::Fault;
use super::report::Percentiles;
use super::settings::{Common, Impossible};
use super::storm::away;
use clap::Parser;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::entropy::SeededEntropy;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: super::command::Args,
}

#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    common: Common,
}

fn settings(words: &[&str]) -> Common {
    let words = ["x", "--hub-data", "hub"].iter().chain(words);
    Settings::try_parse_from(words).expect("settings").common
}

#[test]
fn what_this_machine_cannot_do_is_refused_with_a_sentence() {
    let few = settings(&["--sockets", "100"]).check(200, None).expect_err("few files");
    assert!(few.to_string().contains("ulimit"), "{few}");
    let many = settings(&["--count", "100000"]).check(20_000, Some(1_024)).expect_err("no memory");
    assert!(many.to_string().contains("--count"), "{many}");
    settings(&[]).check(20_000, Some(8 * 1_024 * 1_024)).expect("a usual machine");
}

#[test]
fn a_hub_elsewhere_is_a_target_only_where_it_is_said_to_be_ones_own() {
    let elsewhere: SocketAddr = "192.0.2.7:7443".parse().expect("an address");
    let refused = settings(&[]).check_target(elsewhere).expect_err("not ours");
    assert!(matches!(refused, Impossible::Foreign(address) if address == elsewhere));
    settings(&["--i-own-this-target"]).check_target(elsewhere).expect("said to be");
    settings(&[]).check_target("127.0.0.1:7443".parse().expect("an address")).expect("loopback");
}

#[test]
fn impossible_settings_do_not_parse() {
    for words in [
        &["idle"][..],
        &["idle", "--hub-data", "hub", "--count", "0"],
        &["idle", "--hub-data", "hub", "--invites", "file"],
        &["idle", "--hub-data", "hub", "--models", "a b"],
        &["flapping", "--hub-data", "hub", "--share", "1.5"],
        &["hostile", "--hub-data", "hub", "--attackers", "0"],
    ] {
        let words = ["x"].iter().chain(words);
        assert!(Cli::try_parse_from(words.clone()).is_err(), "{:?}", words.collect::<Vec<_>>());
    }
    for mode in ["idle", "storm", "flapping", "slow", "hostile"] {
        Cli::try_parse_from(["x", mode, "--hub-data", "hub"]).expect(mode);
    }
}

#[test]
fn a_run_is_bounded_in_time_by_its_size_or_by_what_is_asked() {
    let mode = Duration::from_secs(30);
    assert!(settings(&["--count", "50000"]).at_most(mode) > settings(&[]).at_most(mode));
    assert_eq!(settings(&["--within", "7"]).at_most(mode), Duration::from_secs(7));
}

#[test]
fn percentiles_are_of_the_samples_themselves() {
    let of = |millis: &[u64]| {
        Percentiles::of(millis.iter().map(|millis| Duration::from_millis(*millis)).collect())
    };
    assert_eq!(of(&[]), Percentiles::default());
    let one = of(&[7]);
    assert_eq!((one.samples, one.p50, one.max), (1, 7.0, 7.0));
    let hundred: Vec<u64> = (1..=100).rev().collect();
    let hundred = of(&hundred);
    assert_eq!((hundred.p50, hundred.p90, hundred.p99, hundred.max), (50.0, 90.0, 99.0, 100.0));
}

#[tokio::test]
async fn an_agent_is_away_from_its_first_loss_to_its_last_return() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let events = Events {
        lost: vec![(1, at(1)), (2, at(2)), (1, at(4))],
        back: vec![(1, at(3)), (1, at(9)), (3, at(5))],
        opening: Vec::new(),
    };
    assert_eq!(away(&events), [Duration::from_secs(8)]);
}

#[test]
fn every_fault_of_a_control_stream_is_another_and_all_break_the_rules() {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for fault in Fault::ALL {
        let bytes = fault.bytes(&SeededEntropy::new(5));
        assert!(!bytes.is_empty() && !seen.contains(&bytes), "{fault:?}");
        seen.push(bytes);
    }
}
