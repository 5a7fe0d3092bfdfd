//! The shipped artefact itself: what it refuses, what it prints, where a key may stand.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SECRET: &str = "sk-artefact-secret";

fn agent(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weft-agent"))
        .args(arguments)
        .env_clear()
        .env("WEFT_DATA", data)
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    // A command that reads no input may have ended already.
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).unwrap_or_default();
    child.wait_with_output().expect("wait")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn add(data: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["account", "add", "--label", "main"];
    arguments.extend_from_slice(more);
    agent(data, &arguments, &format!("{SECRET}\n"))
}

#[test]
fn there_is_no_way_to_name_another_host() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let refused: [&[&str]; 9] = [
        &["run", "--simulate", "openai=http://127.0.0.1:4010"],
        &["--simulate", "openai=http://127.0.0.1:4010", "run"],
        &["run", "--host", "evil.example"],
        &["run", "--base-url", "https://evil.example"],
        &["run", "--proxy", "http://127.0.0.1:1"],
        &["account", "add", "--provider", "openai", "--label", "a", "--host", "evil.example"],
        &["account", "add", "--provider", "openai", "--label", "a", "--site", "evil.example"],
        &["account", "add", "--provider", "azure", "--label", "a", "--site", "a.evil.example"],
        &["account", "add", "--provider", "anthropic", "--label", "a", "--site", "127.0.0.1"],
    ];
    for arguments in refused {
        let output = agent(dir.path(), arguments, SECRET);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(!text(&output).contains(SECRET));
    }
    // Nor a setting.
    for setting in ["simulate = \"openai=http://127.0.0.1:1\"", "base_url = \"http://evil\""] {
        std::fs::write(dir.path().join("agent.toml"), setting).expect("write");
        let output = agent(dir.path(), &["run"], "");
        assert!(!output.status.success() && text(&output).contains("unknown field"), "{setting}");
    }
    assert!(!dir.path().join("vault").exists());
}

#[test]
fn a_key_comes_from_standard_input_and_is_never_shown() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let added = add(dir.path(), &["--provider", "openai", "--json"]);
    assert!(added.status.success(), "{}", text(&added));
    let value: serde_json::Value = serde_json::from_slice(&added.stdout).expect("json");
    assert_eq!(value["provider"], "openai");
    let listed = agent(dir.path(), &["account", "list", "--json"], "");
    let list: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("json");
    assert_eq!(list[0]["id"], value["id"]);
    assert_eq!(list[0]["permitted_use"], "own");
    let again = add(dir.path(), &["--provider", "openai"]);
    assert!(!again.status.success());
    let removed = agent(dir.path(), &["account", "remove", "main"], "");
    assert!(removed.status.success());
    for output in [&added, &listed, &again, &removed] {
        assert!(!text(output).contains(SECRET));
    }
    let as_argument = agent(dir.path(), &["account", "add", "--key", SECRET], "");
    assert!(!as_argument.status.success());
    for file in std::fs::read_dir(dir.path()).expect("list") {
        let bytes = std::fs::read(file.expect("entry").path()).expect("read");
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    }
}

#[test]
fn an_account_is_changed_without_its_key_being_typed_again() {
    const PASSWORD: &str = "prxy-pass-word";
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path();
    let egress = "http://me@proxy.example:3128";
    let base = ["account", "add", "--provider", "openai", "--label", "main", "--egress"];
    let add = |egress: &str, input: &str| agent(data, &[&base[..], &[egress]].concat(), input);
    // A password in the argument is refused, and not repeated.
    let typed = add(&format!("http://me:{PASSWORD}@proxy.example:3128"), SECRET);
    assert!(!typed.status.success() && text(&typed).contains("standard input"), "{}", text(&typed));
    let without = add(egress, &format!("{SECRET}\n"));
    assert!(!without.status.success() && text(&without).contains("password"));
    let added = add(egress, &format!("{SECRET}\n{PASSWORD}\n"));
    assert!(added.status.success(), "{}", text(&added));
    let changes: [(&[&str], &str); 4] = [
        (&["account", "set", "main", "--concurrency", "3", "--models", "gpt-*", "--json"], ""),
        (&["account", "set", "main", "--use", "organisation", "--http2", "true"], ""),
        (&["account", "set-key", "main"], "sk-another-key\n"),
        (&["account", "set", "main", "--egress", "socks5://you@10.0.0.1:1080"], PASSWORD),
    ];
    let mut outputs = vec![typed, without, added];
    for (arguments, input) in changes {
        let output = agent(data, arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        outputs.push(output);
    }
    let listed = agent(data, &["account", "list", "--json"], "");
    let list: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("json");
    assert_eq!(list[0]["egress"], "socks5://you@10.0.0.1:1080");
    assert_eq!(list[0]["max_concurrency"], 3);
    assert_eq!(list[0]["permitted_use"], "organisation");
    assert_eq!(list[0]["http2"], true);
    outputs.push(listed);
    for bad in [&["account", "set", "main"][..], &["account", "set", "none", "--http2", "true"]] {
        let output = agent(data, bad, "");
        assert!(!output.status.success());
        outputs.push(output);
    }
    for output in &outputs {
        assert!(!text(output).contains(SECRET) && !text(output).contains("sk-another"));
        assert!(!text(output).contains(PASSWORD), "{}", text(output));
    }
}

#[test]
fn a_doctor_without_a_directory_makes_none_and_says_how_to_begin() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("none");
    let output = agent(&data, &["doctor"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("weft-agent join"), "{}", text(&output));
    assert!(!data.exists());
}

#[test]
fn every_help_has_an_example() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let commands: [&[&str]; 13] = [
        &[],
        &["join"],
        &["account"],
        &["account", "add"],
        &["account", "list"],
        &["account", "set"],
        &["account", "set-key"],
        &["account", "remove"],
        &["run"],
        &["status"],
        &["doctor"],
        &["backup"],
        &["restore"],
    ];
    for command in commands {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let output = agent(dir.path(), &arguments, "");
        assert!(output.status.success());
        let help = text(&output);
        assert!(help.contains("Example"), "{command:?}");
        assert!(!help.contains("simulate"), "{command:?}");
    }
}

#[test]
fn what_is_missing_is_said_with_its_remedy() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = agent(dir.path(), &["run"], "");
    assert!(!run.status.success() && text(&run).contains("weft-agent join"));
    let status = agent(dir.path(), &["status", "--json"], "");
    assert!(!status.status.success() && text(&status).contains("no agent has run"));
    let join = agent(dir.path(), &["join", "weft-invite-1.AAAA"], "");
    assert!(!join.status.success() && !text(&join).contains("AAAA"));
    let empty =
        agent(dir.path(), &["account", "add", "--provider", "openai", "--label", "a"], "\n");
    assert!(!empty.status.success() && text(&empty).contains("no provider key"));
}
