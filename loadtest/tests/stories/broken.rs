//! An answer that did not end properly never looks as if it had.

use crate::talk::*;
use tokio::time::Instant;
use weft_loadtest::mesh::{Version, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_ends_in_an_error_event_and_a_reset() {
    let world = world().await;
    for version in VERSIONS {
        for fault in ["cut", "reset"] {
            for at in [0, 1, 7] {
                let control = format!("fault={fault},at={at},deltas=20,pace=1ms");
                for ask in [Ask::chat(&world, true, &control), Ask::message(&world, true, &control)]
                {
                    let answer = ask.over(&world, version).await;
                    let note = format!("{version:?} {control}: {}", answer.text());
                    if answer.status == 502 {
                        // So early that the head was lost with it.
                        assert!(at < 7, "{note}");
                        continue;
                    }
                    assert!(answer.broken.is_some(), "a clean end: {note}");
                    let end = answer.text().trim_end().rsplit("\n\n").next().unwrap();
                    let data = end.lines().find_map(|line| line.strip_prefix("data: "));
                    let event: serde_json::Value =
                        serde_json::from_str(data.expect(&note)).expect(&note);
                    assert!(event["error"]["message"].is_string(), "{note}");
                    assert!(!answer.text().contains("[DONE]"), "{note}");
                }
            }
        }
    }
    for row in rows_when(&world, 2 * 2 * 3 * 2).await {
        let end = row["end"].as_str().unwrap();
        assert!(["upstream_truncated", "upstream_unreachable"].contains(&end), "{row}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_shorter_than_its_length_is_no_answer() {
    let world = world().await;
    for version in VERSIONS {
        for control in ["cut-length", "fault=cut,at=0", "fault=cut,gzip,at=2"] {
            let stream = control.contains("gzip");
            let ask = Ask::chat(&world, stream, control).with("accept-encoding", "gzip");
            let mut connection = connect(&world, version).await;
            // Over HTTP/1.1 the connection may go before its head was written: no answer at all.
            let Ok(response) = connection.send(ask.request()).await else { continue };
            let answer = Answer::read(response, Instant::now()).await;
            let note = format!("{version:?} {control}: {answer:?}");
            assert!(answer.broken.is_some() || answer.status == 502, "a clean end: {note}");
        }
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_goes_before_it_answers_is_a_502_and_is_not_called_again() {
    let world = world().await;
    for version in VERSIONS {
        for fault in ["reset-head", "close-head"] {
            let before = world.provider.stats().total;
            let answer = Ask::chat(&world, true, fault).over(&world, version).await;
            answer.whole(502);
            assert!(answer.json()["error"]["message"].is_string());
            assert_eq!(world.provider.stats().total, before + 1, "{fault}: called again");
        }
    }
    let after = Ask::chat(&world, true, "").over(&world, Version::H1).await;
    after.whole(200);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_there_is_told_as_such() {
    let world = world().await;
    let ask = Ask::chat(&world, true, "");
    let mut connection = connect(&world, Version::H1).await;
    let World { provider, hub: _hub, agents: _agents, .. } = world;
    provider.shutdown().await;
    let answer = ask.on(&mut connection).await;
    assert!([502, 503].contains(&answer.status), "{}", answer.text());
}
