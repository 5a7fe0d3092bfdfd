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

/// Says `words` on the data directory `data`.
fn say(data: &std::path::Path, words: &[&str]) -> anyhow::Result<ExitCode> {
    let data = data.to_str().unwrap();
    Cli::try_parse_from([&["weft-hub"], words, &["--data", data]].concat())?.run()
}

#[test]
fn a_backup_whose_settings_would_start_the_hub_without_its_database_is_refused_whole() {
    use weft_store::sqlite::SqliteStore;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let tar = |name: &str| at(name).to_str().unwrap().to_owned();
    say(&at("hub"), &["init"]).unwrap();
    let open = async { drop(SqliteStore::open(&at("hub").join("hub.sqlite")).await.unwrap()) };
    tokio::runtime::Runtime::new().unwrap().block_on(open);
    // A key that lies on another disk belongs into the backup like any other.
    std::fs::rename(at("hub").join("certs/node-ca.key"), at("elsewhere.key")).unwrap();
    std::os::unix::fs::symlink(at("elsewhere.key"), at("hub").join("certs/node-ca.key")).unwrap();
    say(&at("hub"), &["backup", "--to", &tar("good.tar")]).unwrap();

    // As it is taken where only the environment says that the database lies elsewhere.
    std::fs::create_dir(at("parts")).unwrap();
    let part = |listed: &archive::Listed| at("parts").join(listed.path.replace('/', "-"));
    let good = std::fs::File::open(at("good.tar")).unwrap();
    let mut table = archive::read(good, |listed| Ok(std::fs::File::create(part(listed))?)).unwrap();
    for elsewhere in ["../else.sqlite", "deep/else.sqlite"] {
        table.database = elsewhere.to_owned();
        let bad = std::fs::File::create(at("bad.tar")).unwrap();
        archive::write(bad, &table, |listed| std::fs::File::open(part(listed))).unwrap();
        let refused = say(&at("new"), &["restore", "--from", &tar("bad.tar")]).unwrap_err();
        assert!(refused.to_string().contains("WEFT_STORE__PATH"), "{refused:#}");
        assert!(!at("new").exists() && !at("else.sqlite").exists(), "{elsewhere} is left");
    }
    say(&at("new"), &["restore", "--from", &tar("good.tar")]).unwrap();
    assert!(at("new").join("certs/node-ca.key").symlink_metadata().unwrap().is_file());
}
