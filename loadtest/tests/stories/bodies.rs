//! Bodies of every shape: forms, floods, sound, compressed, in crumbs, with trailers.

use crate::talk::*;
use flate2::read::MultiGzDecoder;
use http::Method;
use serde_json::json;
use std::io::Read;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;

/// A form whose file stands before its model.
fn form(file: &[u8]) -> Vec<u8> {
    let mut body = b"--weft-boundary\r\ncontent-disposition: form-data; name=\"file\"; \
        filename=\"sound.wav\"\r\ncontent-type: audio/wav\r\n\r\n"
        .to_vec();
    body.extend_from_slice(file);
    body.extend_from_slice(
        b"\r\n--weft-boundary\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
        --weft-boundary--\r\n",
    );
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_whose_model_comes_after_its_file_arrives_as_it_was_sent() {
    let world = world().await;
    let noise: Vec<u8> =
        (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (version, file) in [(Version::H1, &noise[..1_000]), (Version::H2, &noise[..])] {
        let ask = Ask::post(&world, "/v1/audio/transcriptions", &json!(null))
            .without("content-type")
            .with("content-type", "multipart/form-data; boundary=weft-boundary");
        let ask = Ask { body: form(file).into(), ..ask };
        let answer = ask.over(&world, version).await;
        same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
        assert!(answer.json()["text"].is_string());
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_mebibytes_with_the_model_last_arrive_as_they_were_sent() {
    let world = world().await;
    let image = "A".repeat(62 << 20);
    let body = format!(
        "{{\"max_tokens\":1,\"messages\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"image\",\
         \"source\":{{\"data\":\"{image}\"}}}}]}}],\"model\":\"claude-sonnet-5\"}}"
    );
    for version in VERSIONS {
        let ask = Ask { body: body.clone().into(), ..Ask::message(&world, false, "") };
        let began = Instant::now();
        let answer = ask.over(&world, version).await;
        println!("{} MiB over {version:?}: {:?}", ask.body.len() >> 20, began.elapsed());
        same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_comes_as_it_was_made() {
    let world = world().await;
    for version in VERSIONS {
        let body = json!({"model": "tts-1", "voice": "alloy", "input": "warp and weft"});
        let ask = Ask::post(&world, "/v1/audio/speech", &body).sim("deltas=200,delta-bytes=9000");
        let answer = ask.over(&world, version).await;
        same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
        assert!(answer.body.len() > 1_000_000);
        assert!(answer.header("content-type").unwrap().starts_with("audio/"));
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_answers_are_not_touched_and_still_come_event_by_event() {
    let world = world().await;
    for version in VERSIONS {
        for stream in [false, true] {
            let ask = Ask::chat(&world, stream, "gzip,deltas=12,pace=20ms")
                .with("accept-encoding", "gzip, deflate");
            let answer = ask.over(&world, version).await;
            same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
            assert_eq!(answer.header("content-encoding"), Some("gzip"));
            let mut text = String::new();
            MultiGzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
            assert_eq!(text.contains("data: [DONE]"), stream);
            if stream {
                let (first, last) = (answer.frames[0].1, answer.frames.last().unwrap().1);
                assert!(last - first > Duration::from_millis(100), "held back: {first:?} {last:?}");
            }
        }
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_split_at_every_byte_come_out_whole() {
    let world = world().await;
    for version in VERSIONS {
        for ask in [
            Ask::chat(&world, true, "split,deltas=6"),
            Ask::message(&world, true, "split,deltas=6"),
        ] {
            let answer = ask.over(&world, version).await;
            same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
            // Sockets gather crumbs as they like, but nothing gathers the whole answer.
            assert!(answer.frames.len() > 1, "{} frames", answer.frames.len());
        }
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_come_along() {
    let world = world().await;
    for version in VERSIONS {
        let ask = Ask::chat(&world, true, "trailers,deltas=4").with("te", "trailers");
        let answer = ask.over(&world, version).await;
        same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
        let trailers = answer.trailers.as_ref();
        assert!(trailers.is_some_and(|trailers| !trailers.is_empty()), "{version:?}: {answer:?}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_with_its_connection_is_still_whole() {
    let world = world().await;
    let ask = Ask::chat(&world, false, "close-delimited");
    let answer = ask.over(&world, Version::H2).await;
    same_at_both_ends(&ask, answer.whole(200), &last(&world).await);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_413_is_told_while_the_upload_still_runs() {
    let world = world().await;
    let image = "A".repeat(24 << 20);
    let body = format!(
        "{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"{image}\"}}]}}"
    );
    for version in VERSIONS {
        let ask = Ask { body: body.clone().into(), ..Ask::chat(&world, false, "early") };
        let answer = ask.over(&world, version).await;
        assert_eq!(answer.status, 413, "{version:?}: {}", answer.text());
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_two_models_never_becomes_a_whole_request() {
    let world = world().await;
    for version in VERSIONS {
        let filler = "A".repeat(400_000);
        let body = format!(
            "{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"{filler}\"}}],\"model\":\"o3\"}}"
        );
        let ask = Ask { body: body.into(), ..Ask::chat(&world, false, "") };
        let answer = ask.over(&world, version).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    for record in world.provider.received() {
        assert_eq!(record.body_sha256, None, "a whole request reached the provider");
    }
    let compressed = Ask::chat(&world, false, "").with("content-encoding", "gzip");
    assert_eq!(compressed.over(&world, Version::H1).await.status, 415);
    let coded = Ask::bare(Method::POST, "/v1/chat/completions", "{}")
        .with("authorization", &format!("Bearer {}", world.key.secret));
    let unnamed = coded.over(&world, Version::H1).await;
    assert!([200, 400].contains(&unnamed.status), "{}", unnamed.text());
    world.end().await.unwrap();
}
