//! The vault on a real directory: what it keeps, what it refuses, what it never gives away.

use super::*;
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
        http2: false,
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
    running.reload().expect("reload");
    assert_eq!(header_of(&running, id, "authorization").as_bytes()[..7], *b"Bearer ");
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
