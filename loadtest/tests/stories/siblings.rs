//! Readers that stall and uploads that flood, beside streams that must not notice.

use crate::talk::*;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;

const STALLED: usize = 16;
const SIBLINGS: usize = 8;
/// The longest pause that a token stream of 20 ms may show.
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn stalled_readers_and_a_flood_leave_their_siblings_alone() {
    let world = world().await;
    // Sixteen users ask for a lot and read none of it.
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut connection = connect(&world, Version::H1).await;
        let ask = Ask::chat(&world, true, "deltas=2000,delta-bytes=100000");
        let response = connection.send(ask.request()).await.unwrap();
        stalled.push((connection, response));
    }
    // Until nothing moves any more: windows and sockets are full.
    let mut sent = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = world.provider.received().iter().map(|record| record.answer_bytes).sum();
        if now == sent {
            break;
        }
        sent = now;
    }
    println!("{STALLED} stalled readers hold {} KiB between them", sent / 1024);

    let mut siblings = JoinSet::new();
    for n in 0..SIBLINGS {
        let version = VERSIONS[n % 2];
        let ask = Ask::chat(&world, true, "pace=20ms,deltas=150");
        let mut connection = connect(&world, version).await;
        siblings.spawn(async move { ask.on(&mut connection).await });
    }
    let flood = "A".repeat(64 << 20);
    let flood = format!(
        "{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"{flood}\"}}]}}"
    );
    let flood = Ask { body: flood.into(), ..Ask::chat(&world, false, "") };
    let began = Instant::now();
    let answer = flood.over(&world, Version::H2).await;
    answer.whole(200);
    println!("64 MiB went up beside them in {:?}", began.elapsed());

    let mut longest = Duration::ZERO;
    while let Some(answer) = siblings.join_next().await {
        let answer = answer.unwrap();
        answer.whole(200);
        let pauses = answer.frames.windows(2).map(|two| two[1].1.saturating_sub(two[0].1));
        longest = longest.max(pauses.max().unwrap());
        longest = longest.max(answer.frames[0].1);
    }
    println!("the longest pause of a sibling: {longest:?}");
    assert!(longest < PAUSE_MAX, "{longest:?}");
    drop(stalled);
    world.end().await.unwrap();
}
