//! Limits of keys over clocks that step, nodes that share a store, and processes that end.

use super::*;

/// A key that may spend so much a day.
async fn limited(node: &Node, day: i64) -> Payer {
    let limits = SpendLimits { day: Some(nanos(day)), month: None };
    Payer { limits, ..node.payer(1_000_000).await }
}

/// The most that `payer` can hold now.
async fn left(node: &Node, payer: &Payer) -> i64 {
    let (mut fits, mut over) = (0, 2_000);
    while over - fits > 1 {
        let amount = i64::midpoint(fits, over);
        match node.held(payer, amount).await {
            Ok(_) => fits = amount,
            Err(_) => over = amount,
        }
    }
    fits
}

async fn spends(node: &Node, payer: &Payer, charge: i64) {
    let hold = node.held(payer, charge).await.expect("held");
    hold.settle(node.leg(charge, 0));
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn no_step_of_the_clock_gives_a_spent_day_back() {
    let mut node = Node::in_memory(10_000).await;
    let payer = limited(&node, 1_000).await;
    let today = node.clock.now();
    spends(&node, &payer, 1_000).await;
    assert_eq!(left(&node, &payer).await, 0);
    node.clock.set(today.after(DAY));
    spends(&node, &payer, 400).await;
    node.clock.set(today);
    assert_eq!(left(&node, &payer).await, 0, "back on the spent day");
    // A month ahead and back.
    node.clock.set(today.after(DAY * 31));
    assert_eq!(left(&node, &payer).await, 1_000);
    node.clock.set(today);
    assert_eq!(left(&node, &payer).await, 0);
    // Another process knows each day by its name, too.
    node.flush().await;
    node.dies().await;
    assert_eq!(left(&node, &payer).await, 0);
    node.clock.set(today.after(DAY));
    assert_eq!(left(&node, &payer).await, 600);
    node.agrees().await;
}

#[tokio::test(start_paused = true)]
async fn what_one_node_spends_the_other_knows_within_its_ten_seconds() {
    let mut node = Node::in_memory(10_000).await;
    let payer = limited(&node, 1_000).await;
    let folder = tempfile::tempdir().expect("a folder");
    let chance = Arc::new(SeededEntropy::new(6));
    let (ledger, keeper) =
        open(&node.store, &node.outcomes, folder.path(), &node.money, &node.clock, &chance).await;
    let other = Node {
        store: Arc::clone(&node.store),
        outcomes: Arc::clone(&node.outcomes),
        dir: folder,
        clock: Arc::clone(&node.clock),
        entropy: Arc::clone(&node.entropy),
        money: node.money.clone(),
        ledger,
        keeper,
    };
    assert_eq!((left(&node, &payer).await, left(&other, &payer).await), (1_000, 1_000));
    spends(&node, &payer, 700).await;
    node.flush().await;
    assert_eq!(left(&node, &payer).await, 300);
    // What the other holds for longer than that grows no further than the limit, either.
    let mut long = other.held(&payer, 100).await.expect("held");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(left(&other, &payer).await, 200);
    assert!(long.grow(nanos(200)) && !long.grow(nanos(1)));
    drop(long);

    // While keys are in use nobody waits for that: the nodes look by themselves.
    spends(&node, &payer, 200).await;
    node.flush().await;
    other.ledger.0.spending.look().await;
    assert_eq!(left(&other, &payer).await, 100);
    node.agrees().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_posted_yet_counts_through_every_look_and_once_when_it_is() {
    let mut node = Node::in_memory(10_000).await;
    let payer = limited(&node, 1_000).await;
    spends(&node, &payer, 600).await;
    for _ in 0..2 {
        node.ledger.0.spending.look().await;
        assert_eq!(left(&node, &payer).await, 400);
    }
    node.flush().await;
    for _ in 0..2 {
        assert_eq!(left(&node, &payer).await, 400);
        node.ledger.0.spending.look().await;
    }
    // The whole month is read once more after an hour.
    tokio::time::sleep(Duration::from_secs(3_601)).await;
    assert_eq!(left(&node, &payer).await, 400);
}

#[tokio::test(start_paused = true)]
async fn what_the_hub_bears_of_a_charge_is_not_spent() {
    let mut node = Node::in_memory(10_000).await;
    let limits = SpendLimits { day: Some(nanos(1_000)), month: None };
    let payer = Payer { limits, ..node.payer(300).await };
    let hold = node.held(&payer, 300).await.expect("held");
    hold.settle(node.leg(500, 0));
    node.flush().await;
    node.gives(LedgerAccount::Paid(payer.user), 100_000).await;
    assert_eq!(left(&node, &payer).await, 700);
    node.ledger.0.spending.look().await;
    assert_eq!(left(&node, &payer).await, 700);
}

#[tokio::test]
async fn where_the_store_is_away_a_known_key_goes_on_and_an_unknown_one_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = sqlite(folder.path()).await;
    let node = Node::on(&*store, 100_000).await;
    let payer = limited(&node, 1_000).await;
    spends(&node, &payer, 600).await;
    store.close().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(20)).await;
    drop(node.held(&payer, 400).await.expect("what is leased can be spent"));
    let limited = node.held(&payer, 401).await.expect_err("and counts");
    assert!(matches!(limited, HoldRefused::SpendLimit { .. }), "{limited:?}");
    let stranger = Payer { key: node.id(KeyId::generate), ..payer };
    let refused = node.held(&stranger, 1).await.expect_err("nobody knows what it has spent");
    assert_eq!(refused, HoldRefused::Unavailable);
}

#[tokio::test]
async fn what_a_crash_left_counts_until_it_is_claimed_and_then_what_it_cost() {
    let mut node = Node::in_memory(10_000).await;
    let payer = limited(&node, 1_000).await;
    let exchange = node.id(ExchangeId::generate);
    let mut hold = node.ledger.hold(&payer, exchange, nanos(400)).await.expect("held");
    hold.open_ticket(&node.ticket()).expect("in the journal");
    std::mem::forget(hold);
    node.dies().await;
    assert_eq!(left(&node, &payer).await, 600);
    let mut hold = node.held(&payer, 500).await.expect("held");
    assert!(!hold.grow(nanos(101)) && hold.grow(nanos(100)));
    drop(hold);
    let claim = node.leg(250, 0);
    node.ledger.settle_orphan(exchange, claim).await.expect("settled").expect("an orphan");
    assert_eq!(left(&node, &payer).await, 750);
    node.ledger.0.spending.look().await;
    assert_eq!(left(&node, &payer).await, 750);
}
