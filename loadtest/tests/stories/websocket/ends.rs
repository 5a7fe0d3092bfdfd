//! How WebSockets end: each end learns how the other one did, and a break never looks like an end.

use super::user::{Ended, User, Wish};
use super::{gone, goodbye, limited, row, same_bytes};
use crate::talk::*;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::provider::Ending;
use weft_loadtest::provider::websocket::frame::{Frame, opcode};

/// Nothing of this may take longer on loopback; what it took is printed.
const SOON: Duration = Duration::from_secs(2);

/// Reads on to a close frame and the end behind it.
async fn closed(user: &mut User) -> (u16, String) {
    let (frames, ended) = user.until_end().await;
    let last = frames.last().and_then(Frame::closes);
    assert_eq!(ended, Ended::Properly, "{last:?}");
    last.expect("a close frame")
}

#[tokio::test(flavor = "multi_thread")]
async fn close_codes_and_reasons_reach_the_other_end_both_ways() {
    let world = world().await;
    for (code, reason) in [(1000, ""), (1008, "policy"), (4001, "käse – because")] {
        let mut user = Wish::realtime(&world).open(&world).await;
        user.send(&Frame::close(code, reason)).await;
        assert_eq!(closed(&mut user).await, (code, reason.to_owned()));
        user.end().await;
        let record = last(&world).await;
        assert_eq!(record.client_close, Some((code, reason.to_owned())));
        assert_eq!(record.ending, Some(Ending::Complete));
        same_bytes(&user, &record);

        let mut user = Wish::realtime(&world).open(&world).await;
        let command = serde_json::json!({"type": "sim.close", "code": code, "reason": reason});
        user.text(&command.to_string()).await;
        assert_eq!(user.next().await.closes(), Some((code, reason.to_owned())));
        user.send(&Frame::close(code, "heard")).await;
        assert_eq!(user.until_end().await, (Vec::new(), Ended::Properly));
        let record = last(&world).await;
        assert_eq!(record.client_close, Some((code, "heard".to_owned())));
        same_bytes(&user, &record);
    }
    for row in rows_when(&world, 6).await {
        assert_eq!(row["end"], "complete", "{row}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direction_that_ended_leaves_the_other_one_open() {
    let world = world().await;
    // The user's: what the provider says after it still comes.
    let mut user = Wish::realtime(&world).open(&world).await;
    user.text(r#"{"type": "sim.after_end", "bytes": 300000}"#).await;
    user.echo(&Frame::whole(opcode::TEXT, "the last word")).await;
    user.end().await;
    assert_eq!(user.next().await.payload.len(), 300_000);
    assert_eq!(closed(&mut user).await.0, 1000);
    let record = last(&world).await;
    same_bytes(&user, &record);
    assert_eq!(record.ending, Some(Ending::Complete));

    // The provider's: what the user says after it still arrives.
    let mut user = Wish::realtime(&world).open(&world).await;
    user.text(r#"{"type": "sim.half_close"}"#).await;
    assert_eq!(user.until_end().await, (Vec::new(), Ended::Properly));
    for _ in 0..20 {
        user.send(&Frame::whole(opcode::BINARY, vec![3; 20_000])).await;
    }
    user.end().await;
    let record = last(&world).await;
    same_bytes(&user, &record);
    for row in rows_when(&world, 2).await {
        assert_eq!(row["end"], "complete", "{row}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_is_a_1011_between_frames_and_a_reset_inside_one() {
    let mut world = world().await;
    let mut user = Wish::realtime(&world).open(&world).await;
    user.echo(&Frame::whole(opcode::TEXT, "all is well")).await;
    let mut inside = Wish::realtime(&world).open(&world).await;
    inside.text(r#"{"type": "sim.die"}"#).await;
    inside.bytes(500).await;
    world.agents[0].process.kill();
    let (code, reason) = closed(&mut user).await;
    assert_eq!(code, 1011, "{reason}");
    assert!(reason.contains("agent"), "{reason}");
    assert_eq!(inside.bare_end().await, Ended::Broken);
    for row in rows_when(&world, 2).await {
        assert_eq!(row["end"], "tunnel_lost", "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_dies_inside_a_frame_is_a_reset() {
    let world = world().await;
    for reset in [true, false] {
        let mut user = Wish::realtime(&world).open(&world).await;
        user.text(&format!(r#"{{"type": "sim.die", "reset": {reset}}}"#)).await;
        user.bytes(500).await;
        user.text("go on, then").await;
        assert_eq!(user.bare_end().await, Ended::Broken, "reset: {reset}");
    }
    for row in rows_when(&world, 2).await {
        assert_eq!(row["end"], "upstream_truncated", "{row}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_vanishes_is_gone_for_the_provider_too() {
    let world = world().await;
    let mut user = Wish::realtime(&world).open(&world).await;
    user.echo(&Frame::whole(opcode::TEXT, "hello")).await;
    let began = Instant::now();
    drop(user);
    let record = gone(&world).await;
    println!("the provider knew after {:?}", began.elapsed());
    assert!(began.elapsed() < SOON);
    assert_eq!((record.ending, record.client_close), (Some(Ending::ClientGone), None));
    assert_eq!(row(&world).await["end"], "user_abort");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_reads_nothing_is_cut_and_holds_up_nobody() {
    let world = limited(vec![("WEFT_LIMITS__STALL_SECONDS", "1")]).await;
    let mut slow = Wish::realtime(&world).open(&world).await;
    slow.text(r#"{"type": "sim.send", "bytes": 16000000, "fragments": 1}"#).await;
    slow.text(r#"{"type": "sim.send", "bytes": 16000000, "fragments": 1}"#).await;
    let mut user = Wish::realtime(&world).open(&world).await;
    user.echo(&Frame::whole(opcode::BINARY, vec![1; 1_000_000])).await;
    goodbye(&mut user).await;
    let rows = rows_when(&world, 2).await;
    let ends: Vec<_> = rows.iter().map(|row| row["end"].as_str().unwrap()).collect();
    assert!(ends.contains(&"slow_reader") && ends.contains(&"complete"), "{ends:?}");
    drop(slow);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_both_ways_is_closed_and_talk_one_way_is_no_silence() {
    let world = limited(vec![("WEFT_LIMITS__ANSWER_IDLE_SECONDS", "3")]).await;
    let mut user = Wish::realtime(&world).open(&world).await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        user.send(&Frame::whole(opcode::PONG, "")).await;
    }
    let began = Instant::now();
    assert_eq!(closed(&mut user).await.0, 1011);
    assert!(began.elapsed() > Duration::from_secs(1), "cut while it spoke");
    assert_eq!(row(&world).await["end"], "deadline");
    assert_eq!(gone(&world).await.ending, Some(Ending::ClientGone));
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_goes_down_lets_a_websocket_talk_on_and_then_says_1001() {
    let mut world = limited(vec![("WEFT_LIMITS__DRAIN_SECONDS", "5")]).await;
    let mut user = Wish::realtime(&world).open(&world).await;
    world.hub.process().signal(Signal::TERM).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        user.echo(&Frame::whole(opcode::TEXT, "still here")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(closed(&mut user).await.0, 1001);
    user.send(&Frame::close(1001, "")).await;
    user.end().await;
    world.hub.process().wait(LIMIT).await.expect("the hub ends");
    // It wrote down how that went before it did.
    world.restart_hub().await.unwrap();
    assert_eq!(row(&world).await["end"], "shutdown");
}
