//! Backups of a real directory: what comes back, and what does not go in.

use super::*;
use crate::account::AccountDraft;
use crate::account::Egress;
use crate::ledger::{CloseFacts, HUB_PIN, HubKey, Ledger, LedgerParts};
use crate::uplink::HubRecord;
use crate::vault::Secret;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use weft_certs::{AgentKey, Authority};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AccountId, AgentId, ExchangeId};
use weft_proto::ledger::{End, Open, PublicKey, SigningKey};
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::time::SystemClock;
use weft_proto::wire::head::Ticket;
use weft_proto::wire::receipts::HubLedger;

/// A joined directory with one account, and the folder that all is in.
fn joined() -> (tempfile::TempDir, DataDir, AgentId) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let hub = HubId::generate(&SystemClock, &OsEntropy);
    let ca = dir.path().join("ca");
    let authority = Authority::create(&ca, hub, &[], &SystemClock, &OsEntropy).expect("authority");
    let data = DataDir::open(dir.path().join("agent")).expect("data");
    let files = IdentityFiles::new(data.clone());
    let key: AgentKey = files.joining_key(&OsEntropy).expect("key");
    let agent = AgentId::generate(&SystemClock, &OsEntropy);
    let chain = authority.sign_agent(&key.csr_der(), agent, &SystemClock).expect("sign");
    let addresses = vec!["hub.example:7443".parse().expect("address")];
    let record = HubRecord { hub, pins: authority.pins(), addresses };
    files.save(&chain, &record).expect("save");
    let draft = AccountDraft {
        provider: Provider::OpenAi,
        label: "main".into(),
        site: String::new(),
        models: ModelPatterns::any(),
        deployments: BTreeMap::new(),
        max_concurrency: 1,
        permitted_use: "own".into(),
        place: String::new(),
        http2: false,
        egress: Egress::Direct,
    };
    let secret = Secret::parse(b"sk-kept".to_vec().into()).expect("secret");
    let id = AccountId::generate(&SystemClock, &OsEntropy);
    Vault::open(&data).expect("vault").add(id, draft, secret, &OsEntropy).expect("add");
    fs::write(data.config_file(), "drain_seconds = 7\n").expect("settings");
    (dir, data, agent)
}

#[test]
fn what_was_backed_up_comes_back_with_the_same_identity_and_keys() {
    let (dir, data, agent) = joined();
    let running = data.lock_run().expect("a running agent does not hinder it");
    let file = dir.path().join("backup");
    let done = write(&data, &file, &SystemClock).expect("backup");
    drop(running);
    assert_eq!(done.agent, agent);
    assert_eq!(done.files, FILES);
    assert_eq!(fs::metadata(&file).expect("stat").permissions().mode() & 0o777, 0o600);
    let again = dir.path().join("again");
    let restored = restore(&file, &again).expect("restore");
    assert_eq!(restored, done);
    let copy = DataDir::open(&again).expect("data");
    for name in FILES {
        let bytes = |root: &Path| fs::read(root.join(name)).expect(name);
        assert_eq!(bytes(&again), bytes(data.root()), "{name}");
        let mode = fs::metadata(again.join(name)).expect("stat").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    assert_eq!(IdentityFiles::new(copy.clone()).load().expect("identity").0.agent(), agent);
    assert_eq!(Vault::open(&copy).expect("vault").accounts()[0].label(), "main");
    assert_eq!(fs::read_dir(&again).expect("list").count(), 4, "no staging is left");
}

#[test]
fn nothing_is_overwritten_and_an_unjoined_directory_is_none() {
    let (dir, data, _) = joined();
    let file = dir.path().join("backup");
    fs::write(&file, b"precious").expect("write");
    assert!(write(&data, &file, &SystemClock).is_err());
    assert_eq!(fs::read(&file).expect("read"), b"precious");
    fs::remove_file(&file).expect("remove");
    write(&data, &file, &SystemClock).expect("backup");
    assert!(matches!(restore(&file, data.root()), Err(BackupError::NotEmpty { .. })));
    let empty = DataDir::open(dir.path().join("empty")).expect("data");
    let other = dir.path().join("other");
    assert!(matches!(write(&empty, &other, &SystemClock), Err(BackupError::Identity(_))));
    assert!(!other.exists());
}

#[test]
fn a_damaged_backup_writes_nothing_wherever_it_is_damaged() {
    let (dir, data, _) = joined();
    let file = dir.path().join("backup");
    write(&data, &file, &SystemClock).expect("backup");
    let good = fs::read(&file).expect("read");
    let (bad, target) = (dir.path().join("bad"), dir.path().join("target"));
    let mut refused = 0;
    for at in (0..good.len()).step_by(61) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&bad, &bytes).expect("write");
        match restore(&bad, &target) {
            Err(_) => {
                refused += 1;
                assert!(!target.exists(), "byte {at}");
            }
            // Padding and the header's idle fields are nobody's.
            Ok(_) => {
                for name in FILES {
                    let bytes = |root: &Path| fs::read(root.join(name)).expect(name);
                    assert_eq!(bytes(&target), bytes(data.root()), "byte {at}");
                }
                fs::remove_dir_all(&target).expect("remove");
            }
        }
    }
    assert!(refused > 20, "{refused}");
    for cut in [0, 1, 511, 512, 513, good.len() / 2, good.len() - 1_536] {
        fs::write(&bad, &good[..cut]).expect("write");
        assert!(restore(&bad, &target).is_err(), "cut at {cut}");
        assert!(!target.exists());
    }
}

#[test]
fn an_entry_that_does_not_belong_refuses_the_whole_backup() {
    let (dir, data, _) = joined();
    let file = dir.path().join("backup");
    write(&data, &file, &SystemClock).expect("backup");
    let (manifest, contents) =
        archive::unpack(&fs::read(&file).expect("read")[..], |_| Ok(io::sink())).expect("good");
    let with = |name: &str, kind: tar::EntryType| {
        let packed = archive::pack(&manifest, &contents).expect("pack");
        let mut bytes = packed.to_vec();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(1);
        let raw = &mut header.as_mut_bytes()[..name.len()];
        raw.copy_from_slice(name.as_bytes());
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[b'x'; 512]);
        bytes.extend_from_slice(&[0; 1024]);
        archive::unpack(&bytes[..], |_| Ok(io::sink())).map(drop)
    };
    let file = tar::EntryType::Regular;
    for (name, kind) in [
        ("../../etc/passwd", file),
        ("/etc/passwd", file),
        ("identity/../vault", file),
        ("vault", file),
        ("other", file),
        ("vault", tar::EntryType::Symlink),
        ("identity", tar::EntryType::Directory),
        ("x", tar::EntryType::GNULongName),
    ] {
        assert_eq!(with(name, kind), Err(ArchiveError::Foreign), "{name} {kind:?}");
    }
    // A manifest that names another agent than the identity beside it.
    let stranger = AgentId::generate(&SystemClock, &OsEntropy);
    let forged = Manifest::of(stranger, manifest.hub, SystemClock.now(), &contents, Vec::new());
    let mut packed = archive::pack(&forged, &contents).expect("pack").to_vec();
    archive::finish(&mut packed).expect("end");
    let (bad, target) = (dir.path().join("bad"), dir.path().join("target"));
    fs::write(&bad, &packed[..]).expect("write");
    assert!(matches!(restore(&bad, &target), Err(BackupError::OtherAgent)));
    assert!(!target.exists());
}

#[test]
fn a_backup_waits_for_an_edit_of_the_vault() {
    let (dir, data, _) = joined();
    let editing = data.lock_edit().expect("lock");
    let file = dir.path().join("backup");
    let (data, to) = (Arc::new(data), file.clone());
    let backing = std::thread::spawn({
        let data = Arc::clone(&data);
        move || write(&data, &to, &SystemClock).map(drop)
    });
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!file.exists(), "it did not wait");
    drop(editing);
    backing.join().expect("no panic").expect("backup");
    assert!(file.exists());
}

/// A ledger with one exchange in it, in the directory of `data`.
async fn with_ledger(data: &DataDir) -> Ledger {
    let (identity, record) = IdentityFiles::new(data.clone()).load().expect("identity");
    let clock = Arc::new(SystemClock);
    let (agent, hub) = (identity.agent(), record.hub);
    let parts = LedgerParts::of(data, agent, hub, clock, &OsEntropy, false).expect("parts");
    let ledger = Ledger::open(parts).expect("ledger");
    let exchange = ExchangeId::generate(&SystemClock, &OsEntropy);
    let account = AccountId::generate(&SystemClock, &OsEntropy);
    let ticket = Ticket::free(exchange, 1, account, SystemClock.now());
    let open = Open { ticket, provider: Provider::OpenAi };
    let entry = ledger.open_exchange(open).await.expect("open");
    entry.close(CloseFacts::nothing(End::Proper));
    ledger.flush().await.expect("flush");
    ledger
}

/// The key of the hub that the agent of `data` has met.
fn met(data: &DataDir) -> PublicKey {
    let key = SigningKey::from_seed(&[7; 32]).expect("key").public();
    let pin = HubKey::open(data.ledger_dir().join(HUB_PIN)).expect("no pin yet");
    let greeting = HubLedger { key: *key.as_bytes(), handovers: Vec::new(), accepted: None };
    let agent = AgentId::generate(&SystemClock, &OsEntropy);
    pin.meet(agent, &greeting).expect("pinned")
}

#[tokio::test]
async fn a_ledger_goes_along_while_it_is_written_to_and_goes_on_in_a_new_epoch() {
    let (dir, data, _) = joined();
    let running = data.lock_run().expect("run");
    let ledger = with_ledger(&data).await;
    let hub = met(&data);
    let file = dir.path().join("backup");
    let done = write(&data, &file, &SystemClock).expect("backup");
    let files = ["ledger/key", "ledger/hub.pin", "ledger/log-00000001"];
    assert_eq!(done.files[FILES.len()..], files);
    let key = ledger.public_key();
    ledger.stop().await.expect("stop");
    drop(running);
    let again = dir.path().join("again");
    assert_eq!(restore(&file, &again).expect("restore"), done);
    let copy = DataDir::existing(&again).expect("data");
    let pinned = HubKey::open(copy.ledger_dir().join(HUB_PIN)).expect("the pin").key();
    assert_eq!(pinned, Some(hub), "another hub key would be found out");
    let restored = with_ledger(&copy).await;
    assert_eq!(restored.public_key(), key);
    assert!(restored.head().epoch > 1, "{:?}", restored.head());
    let read = read::read(&copy, Trust::default(), false, |_| {}).expect("read");
    assert_eq!(read.verifier.findings(), []);
    // The commit that was the last one when it was made may not have been durable: it is left out.
    assert_eq!((read.verifier.totals().opened, read.verifier.totals().epochs), (2, 2));
}

#[tokio::test]
async fn a_backup_whose_ledger_is_damaged_restores_nothing() {
    let (dir, data, _) = joined();
    with_ledger(&data).await.stop().await.expect("stop");
    let file = dir.path().join("backup");
    write(&data, &file, &SystemClock).expect("backup");
    let good = fs::read(&file).expect("read");
    let log = good.windows(7).rposition(|window| window == b"weftlog").expect("the log");
    let (bad, target) = (dir.path().join("bad"), dir.path().join("target"));
    for at in [log, log + 40, log + 300] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&bad, &bytes).expect("write");
        assert!(restore(&bad, &target).is_err(), "byte {at}");
        assert!(!target.exists());
    }
    restore(&file, &target).expect("the good one");
}
