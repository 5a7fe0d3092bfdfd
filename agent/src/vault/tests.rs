//! The vault on a real directory: what it keeps, what it refuses, what it never gives away.

use super::*;
use crate::account::Egress;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use weft_proto::entropy::{OsEntropy, SeededEntropy};
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::time::{ManualClock, SystemClock, Timestamp};
use zeroize::Zeroizing;

const KEY: &[u8] = b"sk-test-0123456789abcdef";

fn draft(provider: Provider, label: &str) -> AccountDraft {
    AccountDraft {
        provider,
        label: label.to_owned(),
        site: if provider == Provider::Azure { "myres".into() } else { String::new() },
        models: ModelPatterns::any(),
        deployments: BTreeMap::new(),
        max_concurrency: 8,
        permitted_use: "own".into(),
        place: String::new(),
        http2: false,
        egress: Egress::Direct,
    }
}

fn secret(text: &[u8]) -> Secret {
    Secret::parse(Zeroizing::new(text.to_vec())).expect("secret")
}

fn fresh() -> (tempfile::TempDir, DataDir) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = DataDir::open(dir.path().join("agent")).expect("open");
    (dir, data)
}

fn add(vault: &Vault, provider: Provider, label: &str) -> AccountId {
    let id = AccountId::generate(&SystemClock, &OsEntropy);
    vault.add(id, draft(provider, label), secret(KEY), &OsEntropy).expect("add");
    id
}

fn header_of(vault: &Vault, id: AccountId, name: &str) -> String {
    let mut headers = http::HeaderMap::new();
    vault.lend(id).expect("lend").place(&mut headers);
    headers[name].to_str().expect("ascii").to_owned()
}

#[test]
fn an_account_survives_a_restart_and_its_secret_stands_nowhere_in_the_clear() {
    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    let id = add(&vault, Provider::Anthropic, "main");
    drop(vault);
    let vault = Vault::open(&data).expect("open again");
    assert_eq!(vault.accounts().len(), 1);
    assert_eq!(header_of(&vault, id, "x-api-key").as_bytes(), KEY);
    assert!(!format!("{vault:?}").contains("sk-test"));
    for file in fs::read_dir(data.root()).expect("list") {
        let path = file.expect("entry").path();
        let bytes = fs::read(&path).expect("read");
        assert!(!bytes.windows(7).any(|window| window == b"sk-test"), "{}", path.display());
        let mode = fs::metadata(&path).expect("stat").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[test]
fn two_writings_of_one_secret_differ() {
    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    add(&vault, Provider::OpenAi, "a");
    add(&vault, Provider::OpenAi, "b");
    let entries = format::decode(&fs::read(data.vault_file()).expect("read")).expect("decode");
    assert_ne!(entries[0].nonce, entries[1].nonce);
    assert_ne!(entries[0].sealed, entries[1].sealed);
}

#[test]
fn a_label_is_taken_once_per_provider_and_removal_frees_it() {
    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    let id = add(&vault, Provider::OpenAi, "main");
    add(&vault, Provider::DeepSeek, "main");
    let again = AccountId::generate(&SystemClock, &OsEntropy);
    let refused = vault.add(again, draft(Provider::OpenAi, "main"), secret(KEY), &OsEntropy);
    assert!(matches!(refused, Err(VaultError::LabelTaken { .. })));
    vault.remove(id).expect("remove");
    assert!(matches!(vault.remove(id), Err(VaultError::Unknown(_))));
    assert!(matches!(vault.lend(id), Err(VaultError::Unknown(_))));
    add(&vault, Provider::OpenAi, "main");
}

#[test]
fn a_key_file_that_others_may_read_is_refused_with_the_remedy() {
    let (_dir, data) = fresh();
    add(&Vault::open(&data).expect("open"), Provider::OpenAi, "main");
    let key = data.vault_key_file();
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("chmod");
        let error = Vault::open(&data).expect_err("refused");
        assert!(matches!(error, VaultError::KeyPermissions { .. }));
        assert!(error.to_string().contains("chmod 600"));
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("chmod");
    Vault::open(&data).expect("open again");
}

#[test]
fn a_foreign_or_missing_key_is_an_error_that_changes_nothing() {
    let (_dir, data) = fresh();
    add(&Vault::open(&data).expect("open"), Provider::OpenAi, "main");
    let before = fs::read(data.vault_file()).expect("read");
    let key = fs::read(data.vault_key_file()).expect("read key");
    fs::remove_file(data.vault_key_file()).expect("remove");
    assert!(matches!(Vault::open(&data), Err(VaultError::KeyMissing { .. })));
    VaultKey::create(&data.vault_key_file(), &OsEntropy).expect("another key");
    assert!(matches!(Vault::open(&data), Err(VaultError::WrongKey { .. })));
    assert_eq!(fs::read(data.vault_file()).expect("read"), before);
    datadir::replace_file(&data.vault_key_file(), &key).expect("restore");
    Vault::open(&data).expect("open again");
    datadir::replace_file(&data.vault_key_file(), b"no key").expect("junk");
    assert!(matches!(Vault::open(&data), Err(VaultError::KeyMalformed { .. })));
}

#[test]
fn every_single_changed_byte_of_the_file_is_noticed() {
    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    add(&vault, Provider::Azure, "main");
    let good = fs::read(data.vault_file()).expect("read");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        datadir::replace_file(&data.vault_file(), &bad).expect("write");
        assert!(Vault::open(&data).is_err(), "byte {at}");
    }
    // A running agent keeps what it knew when the file breaks under it.
    assert!(vault.reload().is_err());
    assert_eq!(vault.accounts().len(), 1);
}

#[test]
fn a_secret_does_not_move_to_another_site_by_editing_the_readable_half() {
    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    add(&vault, Provider::Azure, "main");
    add(&vault, Provider::OpenAi, "other");
    let mut bytes = fs::read(data.vault_file()).expect("read");
    let at = bytes.windows(5).position(|window| window == b"myres").expect("site");
    bytes[at..at + 5].copy_from_slice(b"theft");
    datadir::replace_file(&data.vault_file(), &bytes).expect("write");
    assert!(matches!(Vault::open(&data), Err(VaultError::Damaged { .. })));
}

#[test]
fn a_running_agent_sees_an_added_account_after_a_reload() {
    let (_dir, data) = fresh();
    let running = Vault::open(&data).expect("open");
    let id = add(&Vault::open(&data).expect("command"), Provider::OpenAi, "main");
    assert!(running.account(id).is_none());
    let changes = running.reload().expect("reload");
    assert_eq!(changes, Changes { added: vec![id], ..Changes::default() });
    assert!(running.reload().expect("reload").is_empty());
    assert_eq!(header_of(&running, id, "authorization").as_bytes()[..7], *b"Bearer ");
}

fn password(text: &str) -> Option<ProxyPassword> {
    Some(ProxyPassword::parse(text.as_bytes()).expect("password"))
}

fn proxied(label: &str, egress: &str) -> AccountDraft {
    let egress = egress.parse().expect("egress");
    AccountDraft { egress, ..draft(Provider::OpenAi, label) }
}

#[test]
fn a_proxy_and_its_password_survive_a_restart_and_the_password_stands_nowhere_in_the_clear() {
    let (_dir, data) = fresh();
    let id = AccountId::generate(&SystemClock, &OsEntropy);
    let egress = "socks5://me@proxy.example:1080";
    let sealed = secret(KEY).with_proxy_password(password("pass-in-clear"));
    let vault = Vault::open(&data).expect("open");
    vault.add(id, proxied("far", egress), sealed, &OsEntropy).expect("add");
    assert!(!format!("{vault:?} {:?}", vault.way(id)).contains("pass-in-clear"));
    let vault = Vault::open(&data).expect("open again");
    let way = vault.way(id).expect("known").expect("proxied");
    assert_eq!(way.credentials(), Some(("me", &b"pass-in-clear"[..])));
    assert_eq!(vault.accounts()[0].egress().to_string(), egress);
    assert_eq!(header_of(&vault, id, "authorization").as_bytes()[7..], *KEY);
    let bytes = fs::read(data.vault_file()).expect("read");
    assert!(!bytes.windows(13).any(|window| window == b"pass-in-clear"));
    // Sending the key another way by editing the readable half is noticed.
    for (from, to) in [("proxy.example", "theft.example"), ("socks5://me@", "socks5://you")] {
        let at = bytes.windows(from.len()).position(|one| one == from.as_bytes()).expect("there");
        let mut bad = bytes.clone();
        bad[at..at + from.len()].copy_from_slice(to.as_bytes());
        datadir::replace_file(&data.vault_file(), &bad).expect("write");
        assert!(Vault::open(&data).is_err());
    }
}

#[test]
fn a_password_belongs_to_a_user_and_to_one_proxy() {
    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    let id = AccountId::generate(&SystemClock, &OsEntropy);
    let add =
        |egress: &str, secret: Secret| vault.add(id, proxied("far", egress), secret, &OsEntropy);
    let with = || secret(KEY).with_proxy_password(password("pw"));
    assert!(matches!(add("http://me@p:1", secret(KEY)), Err(VaultError::PasswordMissing)));
    assert!(matches!(add("http://p:1", with()), Err(VaultError::PasswordWithoutUser)));
    assert!(matches!(add("direct", with()), Err(VaultError::PasswordWithoutUser)));
    add("http://me@p:1", with()).expect("both");
    let set = |egress: &str, password| {
        vault.set(id, |draft| draft.egress = egress.parse().expect("egress"), password, &OsEntropy)
    };
    // The old password is not shown to a new proxy.
    assert!(matches!(set("http://me@q:1", None), Err(VaultError::PasswordMissing)));
    assert_eq!(vault.accounts()[0].egress().to_string(), "http://me@p:1");
    let count = |draft: &mut AccountDraft| draft.max_concurrency = 3;
    vault.set(id, count, None, &OsEntropy).expect("another change keeps it");
    vault.set_key(id, secret(b"sk-second"), &OsEntropy).expect("and so does another key");
    let way = vault.way(id).expect("known").expect("proxied");
    assert_eq!(way.credentials(), Some(("me", &b"pw"[..])));
    assert_eq!(header_of(&vault, id, "authorization"), "Bearer sk-second");
    set("direct", None).expect("direct");
    assert!(vault.way(id).expect("known").is_none());
    assert_eq!(header_of(&vault, id, "authorization"), "Bearer sk-second");
    let reopened = Vault::open(&data).expect("open again");
    assert_eq!(reopened.accounts(), vault.accounts());
    assert_eq!(reopened.accounts()[0].max_concurrency().get(), 3);
}

#[test]
fn a_reload_says_what_changed_and_a_lent_key_outlives_it() {
    let (_dir, data) = fresh();
    let running = Vault::open(&data).expect("open");
    let kept = add(&running, Provider::OpenAi, "kept");
    let gone = add(&running, Provider::DeepSeek, "gone");
    let lent = running.lend(kept).expect("lend");
    let command = Vault::open(&data).expect("command");
    command.set_key(kept, secret(b"sk-fresh"), &OsEntropy).expect("set");
    command.remove(gone).expect("remove");
    let fresh = add(&command, Provider::Anthropic, "fresh");
    let changes = running.reload().expect("reload");
    let want = Changes { added: vec![fresh], removed: vec![gone], changed: vec![kept] };
    assert_eq!(changes, want);
    let mut headers = http::HeaderMap::new();
    lent.place(&mut headers);
    assert_eq!(headers["authorization"].as_bytes()[7..], *KEY);
    assert_eq!(header_of(&running, kept, "authorization"), "Bearer sk-fresh");
}

#[test]
fn ways_are_bounded_and_shared_over_reloads() {
    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    let mut ids = Vec::new();
    for at in 0..=EGRESSES_MAX {
        let id = AccountId::generate(&SystemClock, &OsEntropy);
        let label = format!("a{at}");
        let added =
            vault.add(id, proxied(&label, &format!("http://p{at}:1")), secret(KEY), &OsEntropy);
        if at < EGRESSES_MAX {
            added.expect("room");
            ids.push(id);
        } else {
            assert!(matches!(added, Err(VaultError::TooManyEgresses)));
        }
    }
    let before = vault.way(ids[0]).expect("known").expect("proxied");
    let id = AccountId::generate(&SystemClock, &OsEntropy);
    vault.add(id, proxied("twin", "http://p0:1"), secret(KEY), &OsEntropy).expect("no new way");
    vault.reload().expect("reload");
    for one in [ids[0], id] {
        assert!(Arc::ptr_eq(&before, &vault.way(one).expect("known").expect("proxied")));
    }
}

#[test]
fn what_a_newer_build_wrote_survives_a_change() {
    let changed = proxied("main", "http://p:1");
    let mut old = serde_json::to_value(draft(Provider::OpenAi, "main")).expect("json");
    old["from_the_future"] = serde_json::json!({ "kept": true });
    let old = serde_json::to_vec(&old).expect("json");
    let with = rewritten(&old, &changed).expect("rewritten");
    let value: serde_json::Value = serde_json::from_slice(&with).expect("json");
    assert_eq!(value["from_the_future"]["kept"], true);
    assert_eq!(value["egress"], "http://p:1");
    let without = rewritten(&with, &draft(Provider::OpenAi, "main")).expect("rewritten");
    let value: serde_json::Value = serde_json::from_slice(&without).expect("json");
    assert!(value.get("egress").is_none());
    assert_eq!(value["from_the_future"]["kept"], true);
}

/// A vault written by the first release. It must open for ever.
const FROZEN_KEY: &str = include_str!("frozen/v1.key");
const FROZEN_VAULT: &[u8] = include_bytes!("frozen/v1.vault");

fn frozen_id() -> AccountId {
    let clock = ManualClock::new(Timestamp::from_secs(1_763_000_000));
    AccountId::generate(&clock, &SeededEntropy::new(1))
}

#[test]
fn the_frozen_sample_of_version_one_opens_and_is_written_the_same() {
    let (_dir, data) = fresh();
    datadir::replace_file(&data.vault_key_file(), FROZEN_KEY.as_bytes()).expect("key");
    datadir::replace_file(&data.vault_file(), FROZEN_VAULT).expect("vault");
    let vault = Vault::open(&data).expect("open");
    assert_eq!(header_of(&vault, frozen_id(), "authorization").as_bytes()[7..], *KEY);
    assert_eq!(vault.accounts()[0].label(), "frozen");

    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    let entropy = SeededEntropy::new(2);
    vault.add(frozen_id(), draft(Provider::OpenAi, "frozen"), secret(KEY), &entropy).expect("add");
    assert_eq!(fs::read(data.vault_key_file()).expect("key"), FROZEN_KEY.as_bytes());
    assert_eq!(fs::read(data.vault_file()).expect("vault"), FROZEN_VAULT);
}

/// The same with an account behind a proxy, which the second release brought.
const FROZEN_PROXIED: &[u8] = include_bytes!("frozen/v1-proxied.vault");

#[test]
fn the_frozen_sample_of_an_account_behind_a_proxy_opens_and_is_written_the_same() {
    let (_dir, data) = fresh();
    datadir::replace_file(&data.vault_key_file(), FROZEN_KEY.as_bytes()).expect("key");
    datadir::replace_file(&data.vault_file(), FROZEN_PROXIED).expect("vault");
    let vault = Vault::open(&data).expect("open");
    assert_eq!(header_of(&vault, frozen_id(), "authorization").as_bytes()[7..], *KEY);
    let way = vault.way(frozen_id()).expect("known").expect("proxied");
    assert_eq!(way.credentials(), Some(("me", &b"frozen-password"[..])));

    let (_dir, data) = fresh();
    let vault = Vault::open(&data).expect("open");
    let sealed = secret(KEY).with_proxy_password(password("frozen-password"));
    let declared = proxied("frozen", "socks5://me@proxy.example:1080");
    vault.add(frozen_id(), declared, sealed, &SeededEntropy::new(2)).expect("add");
    assert_eq!(fs::read(data.vault_file()).expect("vault"), FROZEN_PROXIED);
}

#[tokio::test(start_paused = true)]
async fn an_account_added_between_the_opening_and_the_first_look_is_seen() {
    let (_dir, data) = fresh();
    let running = Arc::new(Vault::open(&data).expect("open"));
    let id = add(&Vault::open(&data).expect("another process"), Provider::OpenAi, "main");
    let reloaded = Arc::clone(&running);
    let follow = follow(Arc::clone(&running), move || {
        reloaded.reload().expect("reload");
    });
    drop(tokio::time::timeout(std::time::Duration::from_secs(60), follow).await);
    assert!(running.account(id).is_some());
}
