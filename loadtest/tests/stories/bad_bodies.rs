//! Bodies that break a rule: too long, too slow, ambiguous, never whole.

use crate::bad_heads::raw::{
    DATA, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, Wire, frame, headers,
};
use crate::bad_heads::stays_well;
use crate::faults::script::{Step, say, scripted};
use crate::talk::*;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::caller::Body;
use weft_loadtest::mesh::world::{Plan, World};

/// A body without a declared length.
fn undeclared(parts: Vec<Bytes>) -> Body {
    let parts = parts.into_iter().map(|part| Ok::<_, Infallible>(Frame::data(part)));
    StreamBody::new(futures_util::stream::iter(parts)).map_err(|never| match never {}).boxed()
}

async fn sent(world: &World, version: Version, ask: &Ask, body: Body) -> Answer {
    let mut connection = connect(world, version).await;
    let began = Instant::now();
    let response = connection.send(ask.request_with(body)).await.expect("an answer");
    Answer::read(response, began).await
}

/// No request became whole at the provider.
#[track_caller]
fn nothing_whole(world: &World) {
    for record in world.provider.received() {
        assert_eq!(record.body_sha256, None, "a whole request reached the provider: {record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_a_413_declared_or_not() {
    let hub = vec![("WEFT_LIMITS__BODY_BYTES_MAX", "1000000")];
    let world = begin(Plan { hub, ..Plan::default() }).await;
    let text = format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "A".repeat(3_000_000)
    );
    for version in VERSIONS {
        for ask in [Ask::chat(&world, true, ""), Ask::message(&world, true, "")] {
            let declared = Ask { body: text.clone().into(), ..ask.clone() };
            let answer = declared.over(&world, version).await;
            assert_eq!(answer.whole(413).header("x-should-retry"), Some("false"));
            assert!(answer.json()["error"]["message"].is_string());
            let parts = text.as_bytes().chunks(50_000).map(Bytes::copy_from_slice).collect();
            let answer = sent(&world, version, &ask, undeclared(parts)).await;
            assert_eq!(answer.whole(413).header("x-should-retry"), Some("false"), "{version:?}");
        }
    }
    nothing_whole(&world);
    // One byte less than too much passes.
    let fits = &text[..999_900];
    let fits = format!("{fits}\"}}]}}");
    let ask = Ask { body: fits.into(), ..Ask::chat(&world, false, "") };
    ask.over(&world, Version::H1).await.whole(200);
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_model_is_refused_however_it_is_written_and_wherever_it_stands() {
    let world = world().await;
    let late = format!(
        r#"{{"messages":[{{"role":"user","content":"{}"}}],"model":"gpt-4o","model":"o3"}}"#,
        "A".repeat(600_000)
    );
    let very_late = format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{}"}}],"mod\u0065l":"o3"}}"#,
        "A".repeat(62 << 20)
    );
    let bodies = [
        r#"{"model":"gpt-4o","model":"o3","messages":[]}"#.to_owned(),
        r#"{"model":"gpt-4o","messages":[],"mod\u0065l":"o3"}"#.to_owned(),
        r#"{"\u006dodel":"gpt-4o","messages":[],"model":"gpt-4o"}"#.to_owned(),
        r#"{"model":"gpt-4o","messages":[],"Model":"o3"}"#.to_owned(),
        r#"{"MODEL":"o3","messages":[],"model":"gpt-4o"}"#.to_owned(),
        late,
        very_late,
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        let ask = Ask { body: body.into(), ..Ask::chat(&world, false, "") };
        for version in VERSIONS {
            let answer = ask.over(&world, version).await;
            assert_eq!(answer.status, 400, "body {number}: {}", answer.text());
            assert_eq!(answer.header("x-should-retry"), Some("false"), "body {number}");
            assert!(answer.json()["error"]["message"].is_string(), "body {number}");
        }
    }
    // A form may name its model twice as little.
    let part = |value: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{value}\r\n")
    };
    let form = format!("{}{}--b--\r\n", part("whisper-1"), part("gpt-4o-transcribe"));
    let ask = Ask::chat(&world, false, "")
        .without("content-type")
        .with("content-type", "multipart/form-data; boundary=b");
    let ask = Ask { target: "/v1/audio/transcriptions".into(), body: form.into(), ..ask };
    assert_eq!(ask.over(&world, Version::H2).await.status, 400);
    nothing_whole(&world);
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_what_it_says_is_a_400_or_415() {
    let world = world().await;
    let deep =
        format!(r#"{{"model":"gpt-4o","messages":{}{}}}"#, "[".repeat(9_000), "]".repeat(9_000));
    let long = format!(r#"{{"model":"{}","messages":[]}}"#, "m".repeat(4_000));
    let bodies: [(&str, &[u8], &[u16]); 12] = [
        ("no JSON", b"model=gpt-4o", &[400]),
        ("half an object", br#"{"model":"gpt-4o","messages":["#, &[400]),
        ("a list", br#"["model"]"#, &[400]),
        ("two objects", br#"{"model":"gpt-4o","messages":[]}{"model":"o3"}"#, &[400]),
        ("no UTF-8", b"{\"model\":\"gpt-4o\",\"x\":\"\xff\xfe\"}", &[400]),
        ("a byte order mark", b"\xef\xbb\xbf{\"model\":\"gpt-4o\",\"messages\":[]}", &[400]),
        ("a control character", b"{\"model\":\"gpt-\x014o\",\"messages\":[]}", &[400]),
        ("a lone surrogate", br#"{"model":"gpt-\ud800","messages":[]}"#, &[400]),
        ("a model of numbers", br#"{"model":4,"messages":[]}"#, &[400]),
        ("a model without end", long.as_bytes(), &[400]),
        ("nine thousand brackets", deep.as_bytes(), &[400]),
        ("nothing", b"", &[400]),
    ];
    for (what, body, statuses) in bodies {
        for version in VERSIONS {
            let ask = Ask::chat(&world, false, "");
            let ask = Ask { body: Bytes::copy_from_slice(body), ..ask };
            let answer = ask.over(&world, version).await;
            let told = statuses.contains(&answer.status);
            assert!(told && answer.broken.is_none(), "{what}: {} {}", answer.status, answer.text());
            assert!(answer.json()["error"]["message"].is_string(), "{what}");
        }
    }
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-encoding", "identity, br"),
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-type", "multipart/form-data"),
    ] {
        let ask = Ask::chat(&world, false, "").without(name).with(name, value);
        let answer = ask.over(&world, Version::H1).await;
        assert!([400, 415].contains(&answer.status), "{value}: {}", answer.text());
    }
    nothing_whole(&world);
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_is_a_408_and_one_that_crawls_is_not() {
    let hub = vec![("WEFT_LIMITS__BODY_IDLE_SECONDS", "2")];
    let world = begin(Plan { hub, ..Plan::default() }).await;
    let key = format!("Bearer {}", world.key.secret);
    let body = br#"{"model":"gpt-4o","messages":[]}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // Idle before the model is known, and after.
    let early = Wire::h1(&world).await.exchange(head.as_bytes());
    let late = [head.as_bytes(), &body[..body.len() - 1]].concat();
    let late = Wire::h1(&world).await.exchange(&late);
    let crawling = async {
        let mut wire = Wire::h1(&world).await;
        wire.send(head.as_bytes()).await;
        for part in body.chunks(body.len() / 4) {
            tokio::time::sleep(Duration::from_millis(900)).await;
            wire.send(part).await;
        }
        wire.answer().await
    };
    let h2 = async {
        let mut frames = Frames::open(&world, &[]).await;
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/v1/chat/completions"),
            ("authorization", &*key),
            ("content-type", "application/json"),
        ];
        frames.send(&headers(1, 0, &fields)).await;
        frames.until(|frame| frame.stream == 1 || frame.kind == GOAWAY).await
    };
    let (early, late, crawling, h2) = tokio::join!(early, late, crawling, h2);
    assert_eq!(early.status(), Some(408), "{}", early.text());
    assert_eq!(late.status(), Some(408), "{}", late.text());
    assert_eq!(crawling.status(), Some(200), "{}", crawling.text());
    assert!(h2.is_some_and(|frame| [HEADERS, RST_STREAM].contains(&frame.kind)));
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_never_becomes_a_whole_request() {
    let world = world().await;
    let key = format!("Bearer {}", world.key.secret);
    let body = format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "A".repeat(400_000)
    );
    for line in [format!("content-length: {}", body.len()), "transfer-encoding: chunked".to_owned()]
    {
        let mut wire = Wire::h1(&world).await;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n\
             content-type: application/json\r\n{line}\r\n\r\n"
        );
        let body = match line.starts_with("transfer") {
            true => format!("{:x}\r\n{body}", body.len()),
            false => body[..body.len() - 1].to_owned(),
        };
        wire.send(format!("{head}{body}").as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(wire);
    }
    let mut frames = Frames::open(&world, &[]).await;
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/v1/chat/completions"),
        ("authorization", &*key),
        ("content-type", "application/json"),
    ];
    let mut bytes = headers(1, 0, &fields);
    bytes.extend_from_slice(&frame(DATA, 0, 1, &body.as_bytes()[..16_000]));
    bytes.extend_from_slice(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
    // Its sibling on the same connection is answered.
    bytes.extend_from_slice(&headers(3, 0, &fields));
    bytes.extend_from_slice(&frame(DATA, END_STREAM, 3, br#"{"model":"gpt-4o","messages":[]}"#));
    frames.send(&bytes).await;
    let answered = frames.until(|frame| frame.stream == 3).await.expect("the sibling is answered");
    assert_eq!(answered.kind, HEADERS);
    let rows = rows_when(&world, 4).await;
    let ends: Vec<_> = rows.iter().map(|row| row["end"].as_str().unwrap()).collect();
    let broken = ends.iter().filter(|end| ["user_abort", "bad_upload"].contains(end)).count();
    assert!(broken >= 3, "{ends:?}");
    let whole =
        world.provider.received().iter().filter(|record| record.body_sha256.is_some()).count();
    assert_eq!(whole, 1, "only the sibling is whole");
    stays_well(&world).await;
    world.end().await.unwrap();
}

/// The user sends all of its body before it reads anything, and the provider answers at length
/// while it reads: neither may wait for the other because the hub does one thing after another.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_that_comes_early_reaches_a_user_who_sends_everything_first() {
    let answer = vec![0x5a; 48 << 20];
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    let steps = vec![Step::Early, say(head), say(answer.clone())];
    let (world, _provider) = scripted([("early".to_owned(), steps)].into(), Vec::new()).await;
    let body = format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "A".repeat(48 << 20)
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         x-weft-sim: early\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        world.key.secret,
        body.len()
    );
    let mut wire = Wire::h1(&world).await;
    let began = Instant::now();
    assert!(wire.send(request.as_bytes()).await, "the door takes no more");
    println!("{} MiB were taken in {:?}", body.len() >> 20, began.elapsed());
    let said = wire.answer().await;
    assert_eq!(said.status(), Some(200), "{}", said.text());
    assert!(said.bytes.ends_with(&answer), "{} bytes came", said.bytes.len());
    world.end().await.unwrap();
}
