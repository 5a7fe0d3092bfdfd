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

#[test]
fn a_restored_hub_is_the_same_node_with_the_same_keys() {
    use std::os::unix::fs::PermissionsExt;
    use weft_hub::config::{HubConfig, Overrides};
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let tar = at("hub.tar").to_str().unwrap().to_owned();
    let kept = ["ledger.key", "ticket.key", "reset.key", "ledger/node.id"];
    say(&at("hub"), &["init"]).unwrap();
    let read = |hub: &str| kept.map(|name| std::fs::read(at(hub).join(name)).unwrap());
    let run = |hub: &str| {
        let flags = Overrides {
            users: vec!["127.0.0.1:0".parse().unwrap()],
            agents: vec!["127.0.0.1:0".parse().unwrap()],
            admin: Some("127.0.0.1:0".parse().unwrap()),
            ..Overrides::default()
        };
        let config = HubConfig::load(&at(hub), &flags).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        drop(runtime.block_on(weft_hub::app::App::bind(config)).unwrap());
    };
    run("hub");
    let before = read("hub");
    let journals = std::fs::read_dir(at("hub").join("ledger")).unwrap().count();
    assert!(journals > 1, "a journal of tickets is there");
    say(&at("hub"), &["backup", "--to", &tar]).unwrap();
    say(&at("new"), &["restore", "--from", &tar]).unwrap();
    assert_eq!(read("new"), before);
    let inside = std::fs::read_dir(at("new").join("ledger")).unwrap();
    let inside: Vec<_> = inside.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(inside, ["node.id"], "tickets stay behind");
    for (name, mode) in kept.map(|name| (name, 0o600)).into_iter().chain([("ledger", 0o700)]) {
        let meta = std::fs::metadata(at("new").join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, mode, "{name}");
    }
    // It starts, makes none of them anew, and writes nothing into the journal a second time.
    run("new");
    assert_eq!(read("new"), before);
    let journal = async {
        let file = at("new").join("hub.sqlite");
        let store = weft_store::sqlite::SqliteStore::open(&file).await.unwrap();
        let store: &dyn weft_store::Store = &store;
        let journal = store.ledger().journal(weft_store::Page::first()).await.unwrap();
        journal.into_iter().map(|entry| entry.kind.name()).collect::<Vec<_>>()
    };
    let journal = tokio::runtime::Runtime::new().unwrap().block_on(journal);
    assert_eq!(journal, ["ledger_key", "price_book"]);
}

#[test]
fn a_backup_of_a_hub_whose_database_is_a_servers_is_one_without_it_and_restored_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let tar = at("hub.tar").to_str().unwrap().to_owned();
    say(&at("hub"), &["init"]).unwrap();
    let settings = at("hub").join("hub.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    // Nobody is there: neither word asks the server for anything.
    let server = "[store]\nurl = \"mysql://weft:hunter2@127.0.0.1:1/weft\"";
    std::fs::write(&settings, text.replace("[store]", server)).unwrap();
    say(&at("hub"), &["backup", "--to", &tar]).unwrap();
    let kept = std::fs::File::open(at("hub.tar")).unwrap();
    let table = archive::read(kept, |_| Ok(std::io::sink())).unwrap();
    assert_eq!(table.database, "mysql://weft@127.0.0.1:1/weft");
    assert!(table.files.iter().all(|listed| listed.path != archive::DATABASE), "{table:?}");
    say(&at("new"), &["restore", "--from", &tar]).unwrap();
    assert!(at("new").join("hub.toml").exists() && !at("new").join("hub.sqlite").exists());
}
