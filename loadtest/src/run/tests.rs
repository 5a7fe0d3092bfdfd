//! What is asked for on the command line.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn args(words: &[&str]) -> Result<Args, clap::Error> {
    Cli::try_parse_from(std::iter::once("run").chain(words.iter().copied())).map(|cli| cli.args)
}

#[test]
fn all_is_everything_but_the_soak_and_nothing_is_played_twice() {
    let chosen = args(&["paced", "all", "--quick"]).expect("settings").chosen();
    assert_eq!(chosen.len(), Scenario::ALL.len());
    assert_eq!(chosen[0], Scenario::Paced);
    assert!(!chosen.contains(&Scenario::Soak));
}

#[test]
fn the_command_of_a_report_says_all_that_was_set() {
    let words = ["overhead", "--smoke", "--seed", "7", "--rounds", "2", "--only", "direct,nginx2"];
    let told = args(&words).expect("settings").command();
    let again = "weft-loadtest run overhead --smoke --seed 7 --rounds 2 --only direct,nginx2";
    assert_eq!(told, again);
}

#[test]
fn impossible_settings_are_refused_with_a_sentence() {
    let refused = [
        &["nothing"][..],
        &[][..],
        &["paced", "--rounds", "0"][..],
        &["paced", "--quick", "--smoke"][..],
        &["paced", "--only", "nobody"][..],
    ];
    for words in refused {
        let said = args(words).expect_err("refused").to_string();
        assert!(said.len() > 20, "{said}");
    }
    let said = args(&["nothing"]).expect_err("refused").to_string();
    assert!(said.contains("no such scenario; there are: all, overhead"), "{said}");
}

#[test]
fn a_full_run_is_bounded_by_two_hours() {
    let longest: std::time::Duration =
        Scenario::ALL.iter().map(|scenario| scenario.at_most(Level::Full)).sum();
    assert!(longest <= std::time::Duration::from_secs(7_200), "{longest:?}");
}
