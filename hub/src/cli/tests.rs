//! The words themselves: they parse, and each says how it is used.

use super::*;
use clap::CommandFactory;

/// Every command and its full name, the root included.
fn commands(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
    let mut all = vec![(name.to_owned(), command.clone())];
    for word in command.get_subcommands().filter(|word| word.get_name() != "help") {
        all.extend(commands(word, &format!("{name} {}", word.get_name())));
    }
    all
}

#[test]
fn the_words_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_an_example_that_parses() {
    let all = commands(&Cli::command(), "weft-hub");
    assert!(all.len() > 15, "{} commands", all.len());
    for (name, command) in all {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let example = help.strip_prefix("Example:\n").unwrap_or_else(|| panic!("{name}: {help:?}"));
        for line in example.split("&&") {
            let words = line.split('>').next().unwrap_or_default().replace('\'', "");
            let parsed = Cli::try_parse_from(words.split_whitespace());
            assert!(parsed.is_ok(), "{name}: {line}: {}", parsed.unwrap_err());
        }
        assert!(example.trim().starts_with(&name), "{name}: the example is of another command");
    }
}
