//! What only a store in a file can get wrong: callers that go away, files of older and newer
//! versions, two processes on one file.

use crate::cancelled;
use crate::fixture::World;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weft_store::sqlite::OpenError;
use weft_store::{Key, ModelAllowList, Outcome, Page, SqliteStore, Store};

async fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path).await.expect("the store opens"))
}

/// A folder, and what opens the store in its file.
fn reopened(folder: &tempfile::TempDir) -> impl AsyncFn() -> Arc<dyn Store> {
    let path = folder.path().join("weft.sqlite");
    async move || open(&path).await
}

#[tokio::test]
async fn a_write_that_has_begun_is_kept_when_its_caller_goes_away() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        cancelled::writes_that_have_begun_are_kept(seed, reopened(&folder)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_that_has_begun_is_kept_on_many_threads_too() {
    for seed in 10..13 {
        let folder = tempfile::tempdir().expect("a folder");
        cancelled::writes_that_have_begun_are_kept(seed, reopened(&folder)).await;
    }
}

#[tokio::test]
async fn a_join_whose_caller_goes_away_is_whole_or_absent() {
    let folder = tempfile::tempdir().expect("a folder");
    cancelled::a_join_is_whole_or_absent(5, reopened(&folder)).await;
}

#[tokio::test]
async fn two_processes_can_write_one_file_and_open_it_at_the_same_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weft.sqlite");
    let (server, command) = tokio::join!(open(&path), open(&path));
    // Joining reads first and writes then: the order in which a lock taken late would fail.
    let join = async |store: &Arc<dyn Store>, seed: u64| {
        let world = World::new(seed);
        for _ in 0..50 {
            world.joined(store).await;
        }
    };
    tokio::join!(join(&server, 6), join(&command, 7));
    assert_eq!(server.agents().list(Page::first()).await.expect("listed").len(), 100);
    command.close().await;
    server.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_and_its_log_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("weft.sqlite")).await;
    store.users().create(&World::new(7).user("alice")).await.expect("created");
    for entry in std::fs::read_dir(folder.path()).expect("listed") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
    store.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weft.sqlite");
    let junk = "not a database, but long enough to be looked at as one ".repeat(20);
    std::fs::write(&path, &junk).expect("written");
    let refused = SqliteStore::open(&path).await.expect_err("refused");
    assert!(matches!(refused, OpenError::Connect(_)), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), junk);
    let nowhere = SqliteStore::open(&folder.path().join("no/such/folder")).await;
    assert!(matches!(nowhere, Err(OpenError::File(_))), "{nowhere:?}");
}

/// The sample of tables as version 1 made them.
fn frozen() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen/version-1.sqlite")
}

/// What the sample holds: the same seed makes the same rows.
async fn fill(store: &Arc<dyn Store>) -> (Key, Outcome) {
    let world = World::new(1);
    let user = world.user("alice");
    store.users().create(&user).await.expect("created");
    let key = Key {
        models: ModelAllowList::Only("gpt-*".parse().expect("patterns")),
        networks: "192.0.2.0/24".parse().expect("networks"),
        ..world.key(&user)
    };
    store.keys().create(&key).await.expect("created");
    let agent = world.joined(store).await;
    store.agents().revoke(agent.id, world.now()).await.expect("revoked");
    let outcome = Outcome { agent: Some(agent.id), ..world.outcome() };
    store.outcomes().append(std::slice::from_ref(&outcome)).await.expect("kept");
    (key, outcome)
}

#[tokio::test]
async fn a_database_that_version_1_made_opens_and_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = open_copy(folder.path()).await;
    let fresh = open(&folder.path().join("fresh.sqlite")).await;
    let (key, outcome) = fill(&fresh).await;
    let found = old.keys().find_by_hash(&key.hash).await.expect("found").expect("a key");
    assert_eq!(
        found,
        (key.clone(), old.users().list(Page::first()).await.expect("users").remove(0))
    );
    assert_eq!(found.0, key);
    assert_eq!(old.outcomes().find(outcome.exchange).await.expect("found"), Some(outcome));
    assert_eq!(
        old.agents().revoked().await.expect("listed"),
        fresh.agents().revoked().await.expect("listed")
    );
    assert_eq!(
        old.invites().list(Page::first()).await.expect("listed"),
        fresh.invites().list(Page::first()).await.expect("listed")
    );
    old.users().create(&World::new(99).user("new")).await.expect("an old file takes new rows");
}

async fn open_copy(folder: &Path) -> Arc<dyn Store> {
    let path = folder.join("old.sqlite");
    std::fs::copy(frozen(), &path).expect("copied");
    open(&path).await
}

/// Made `tests/frozen/version-1.sqlite`, once. A later version adds a sample of its own and never
/// makes this one again.
#[tokio::test]
#[ignore = "writes a sample that must not change"]
async fn freeze_a_sample() {
    let path = frozen();
    assert!(!path.exists(), "samples are made once");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let store = open(&path).await;
    fill(&store).await;
    store.close().await;
}
