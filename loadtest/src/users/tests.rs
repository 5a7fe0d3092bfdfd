//! Settings that cannot be, as they are written on a command line.

mod three;

use super::command::Args;
use super::settings::{Load, Settings};
use clap::Parser;

/// Open files where a test does not care.
const FILES: u64 = 100_000;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn settings_with(files: u64, words: &[&str]) -> Result<Settings, String> {
    let words = ["users"].iter().chain(words);
    let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    line.args.settings(files).map_err(|error| error.to_string())
}

fn settings(words: &[&str]) -> Result<Settings, String> {
    settings_with(FILES, words)
}

const PLAIN: &str = "http://127.0.0.1:1";
const SECURE: &str = "https://localhost:1";

#[test]
fn impossible_settings_are_refused_with_a_sentence() {
    let cases: &[(&[&str], &str)] = &[
        (&[PLAIN], "either --rate"),
        (&[PLAIN, "--rate", "1", "--concurrency", "1"], "either --rate"),
        (&[PLAIN, "--rate", "0"], "above 0"),
        (&[PLAIN, "--rate", "nan"], "above 0"),
        (&[PLAIN, "--rate", "1e9"], "at most"),
        (&[PLAIN, "--concurrency", "0"], "not in 1.."),
        (&[PLAIN, "--concurrency", "4", "--max-in-flight", "4"], "belongs to --rate"),
        (&[PLAIN, "--concurrency", "4", "--seconds", "1", "--requests", "1"], "either --seconds"),
        (&[PLAIN, "--concurrency", "4", "--seconds", "0"], "write seconds"),
        (&[PLAIN, "--concurrency", "4", "--seconds", "99999"], "write seconds"),
        (&[PLAIN, "--concurrency", "4", "--http", "h3"], "always has TLS"),
        (&[SECURE, "--concurrency", "4", "--http", "h2", "--fresh"], "for HTTP/1.1"),
        (&[PLAIN, "--concurrency", "4", "--ca", "x"], "https:// targets alone"),
        (&[SECURE, "--concurrency", "4", "--pin", "x"], "not a pin"),
        (&[PLAIN, "--concurrency", "4", "--abort", "101%"], "percentage"),
        (&[PLAIN, "--concurrency", "4", "--kind", "stream", "--kind", "stream"], "each kind once"),
        (&[PLAIN, "--concurrency", "4", "--kind", "nonsense"], "there is no kind"),
        (
            &[PLAIN, "--concurrency", "4", "--dialect", "anthropic", "--kind", "embeddings"],
            "has no",
        ),
        (&[PLAIN, "--concurrency", "4", "--timeout", "1"], "gives up after"),
        (&[PLAIN, "--rate", "100", "--max-in-flight", "8"], "by their pace alone"),
        (&[PLAIN, "--rate", "1", "--requests", "1000", "--kind", "json"], "longer than --at-most"),
        (&[PLAIN, "--concurrency", "4", "--sim", "none", "--sim-more", "fault=cut"], "to nobody"),
        (
            &[PLAIN, "--concurrency", "4", "--check", "frames", "--learn-from", PLAIN],
            "with nothing",
        ),
        (&[PLAIN, "--concurrency", "4", "--header", "Authorization: Bearer x"], "harness's own"),
        (&[PLAIN, "--concurrency", "4", "--header", "nothing"], "NAME:VALUE"),
        (&["http://user:word@localhost", "--concurrency", "4"], "no user"),
        (&["localhost:80", "--concurrency", "4"], "no base URL"),
    ];
    for (words, said) in cases {
        let refused = settings(words).expect_err(&words.join(" "));
        assert!(refused.contains(said), "{words:?}: {refused}");
    }
}

#[test]
fn a_pin_may_begin_with_a_hyphen() {
    let pin = "-Q".to_owned() + &"A".repeat(41);
    settings(&[SECURE, "--concurrency", "4", "--pin", &pin]).expect("a pin like others");
}

#[test]
fn connections_need_files() {
    let refused = settings_with(1_000, &[PLAIN, "--concurrency", "2000"]).expect_err("too many");
    assert!(refused.contains("open files"), "{refused}");
    let shared = [SECURE, "--concurrency", "2000", "--http", "h2"];
    assert!(settings_with(1_000, &shared).is_ok(), "streams need none");
    let both = [&shared[..], &["--kind", "websocket"]].concat();
    assert!(settings_with(1_000, &both).is_err(), "WebSockets do");
}

#[test]
fn what_is_not_said_follows_from_what_is() {
    let open = settings_with(600, &[PLAIN, "--rate", "10"]).expect("settings");
    let Load::Open { max_in_flight, .. } = open.load else { panic!("{:?}", open.load) };
    assert!(max_in_flight < 600);
    assert_eq!(open.kinds.len(), 1);
    let long = settings(&[PLAIN, "--concurrency", "1", "--kind", "long"]).expect("settings");
    assert!(long.timeout > long.kinds[0].lasts());
    let parts: Vec<_> = (0..open.threads).map(|index| open.part(7, index)).collect();
    assert_eq!(parts.iter().sum::<u32>(), 7);
}

#[test]
fn the_settings_of_a_document_hold_no_key() {
    let settings = settings(&[PLAIN, "--rate", "10", "--header", "x-note: one"]).expect("settings");
    let told = serde_json::to_value(&settings).expect("JSON");
    assert_eq!(told["headers"][0], "x-note:one");
    assert_eq!(told["target"], PLAIN);
    assert!(told.get("key").is_none());
}
