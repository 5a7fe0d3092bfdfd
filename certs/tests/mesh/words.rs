//! The words of the `weft-certs` binary, run as a user runs it.

use crate::world::World;
use base64::Engine as _;
use std::process::{Command, Output};
use std::time::Duration;
use weft_certs::{Invite, Token};
use weft_proto::entropy::OsEntropy;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft-certs")).args(args).output().unwrap()
}

fn stdout(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn inspect_tells_names_usages_and_key_of_each_certificate() {
    let world = World::new();
    let file = world.dir().join("node.pem");
    let file = file.to_str().unwrap();
    let text = stdout(&["inspect", file]);
    assert!(text.contains(&format!("dns:{}.hub.weft", world.hub())), "{text}");
    assert!(text.contains("serverAuth") && !text.contains("clientAuth"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&["inspect", file, "--json"])).unwrap();
    assert_eq!(json[1]["spki"], world.authority.pins().current.to_string());
    assert_eq!(json[1]["authority"], true);
    assert_eq!(json[0]["authority"], false);
}

#[test]
fn pin_prints_what_agents_pin_and_refuses_a_leaf() {
    let world = World::new();
    let next = world.dir().join("next-node-ca.pem");
    let want = world.authority.pins().next.to_string();
    assert_eq!(stdout(&["pin", next.to_str().unwrap()]).trim(), want);
    let leaf = world.dir().join("users.pem");
    let refused = run(&["pin", leaf.to_str().unwrap()]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("users.pem"));
}

#[test]
fn invite_shows_everything_but_the_token() {
    let world = World::new();
    let token = Token::generate(&OsEntropy);
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token.expose());
    let hex: String = token.expose().iter().map(|b| format!("{b:02x}")).collect();
    let addresses = vec!["hub.example:7443".parse().unwrap()];
    let expiry = world.now().after(Duration::from_secs(3_600));
    let invite =
        Invite::new(world.hub(), addresses, world.authority.pins(), token, expiry).unwrap();
    let line = invite.to_string();
    for shown in [stdout(&["invite", &line]), stdout(&["invite", &line, "--json"])] {
        assert!(shown.contains("hub.example:7443"), "{shown}");
        assert!(shown.contains(&world.authority.pins().current.to_string()), "{shown}");
        assert!(shown.contains("20"), "{shown}");
        assert!(!shown.contains(&secret) && !shown.contains(&hex), "{shown}");
    }
    let refused = run(&["invite", &line[..line.len() - 9]]);
    assert!(!refused.status.success());
    let reason = String::from_utf8_lossy(&refused.stderr);
    assert!(reason.contains("cut off") && !reason.contains(&line[..40]), "{reason}");
}

#[test]
fn every_help_has_an_example() {
    for words in
        [&["--help"][..], &["inspect", "--help"], &["pin", "--help"], &["invite", "--help"]]
    {
        assert!(stdout(words).contains("Example:"), "{words:?}");
    }
}
