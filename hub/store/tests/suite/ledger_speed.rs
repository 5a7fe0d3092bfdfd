//! How fast exchanges are settled, all rows included. Ignored: a figure, not a promise; run it with
//! `cargo test --release -p weft-store ledger_speed -- --ignored --nocapture`.

use crate::ledger::{Till, USD, nanos, outlay};
use std::sync::Arc;
use std::time::Duration;
use weft_store::{Draw, Leased, LedgerAccount, Posting, Settled, SqliteStore, Store};

/// Users among whom the exchanges are spread.
const USERS: usize = 200;
/// How many at least, however fast they go.
const EXCHANGES: usize = 50_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn exchanges_a_second_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weft.sqlite");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).await.expect("opened"));
    let till = Till::new(99, &store);
    let agents: Vec<_> =
        (0..8).map(|_| till.posting(till.world.user_id(), outlay(0, 0, 0), vec![])).collect();
    let mut payers = Vec::new();
    for _ in 0..USERS {
        let user = till.user(1_000 * USD).await;
        let wanted = till.wants(LedgerAccount::Paid(user), 1_000 * USD, 1);
        let Leased::Granted(lease) = till.ledger.lease(&wanted).await.expect("an answer") else {
            panic!("there is credit")
        };
        payers.push((user, lease.id));
    }
    let mut postings: Vec<Posting> = Vec::with_capacity(EXCHANGES);
    for number in 0..EXCHANGES {
        let (user, lease) = payers[number % USERS];
        let draws = vec![Draw { lease, amount: nanos(1_000) }];
        let mut posting = till.posting(user, outlay(1_000, 800, 1), draws);
        posting.settlement.served = agents[number % agents.len()].settlement.served;
        postings.push(posting);
    }
    let began = tokio::time::Instant::now();
    for batch in postings.chunks(weft_store::SETTLEMENTS_PER_CALL_MAX) {
        let settled = till.ledger.settle(batch).await.expect("posted");
        assert!(settled.iter().all(|settled| matches!(settled, Settled::Fresh { .. })));
    }
    let took = began.elapsed().max(Duration::from_millis(1));
    till.agrees().await;
    let rate = u128::try_from(EXCHANGES).expect("few") * 1_000 / took.as_millis();
    println!("{EXCHANGES} exchanges in {took:?}: {rate} a second, three transfers each");
    store.close().await;
}
