//! The same over HTTP/2: heads in frames that break its rules.

use super::raw::{
    CONTINUATION, DATA, END_STREAM, Frames, GOAWAY, HEADERS, INITIAL_WINDOW, RST_STREAM, frame,
    headers,
};
use super::{door, stays_well};
use crate::talk::*;

/// The code with which a peer that broke the rules is told so.
const PROTOCOL_ERROR: u32 = 1;
/// The code for a peer that asks for too much.
const ENHANCE_YOUR_CALM: u32 = 11;

const HEAD: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", "/v1/chat/completions"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_breaks_the_rules_of_http2_ends_its_stream_and_no_other() {
    let world = world().await;
    let key = format!("Bearer {}", world.key.secret);
    let with = |more: &[(&'static str, &'static str)]| {
        let mut fields = HEAD.to_vec();
        fields.extend_from_slice(more);
        fields
    };
    let shapes = [
        ("no path", HEAD[..3].to_vec()),
        ("an empty path", vec![HEAD[0], HEAD[1], HEAD[2], (":path", "")]),
        ("two paths", with(&[(":path", "/v1/models")])),
        ("a pseudo-header of tomorrow", with(&[(":weft", "1")])),
        ("a pseudo-header behind a header", with(&[("x-a", "1"), (":scheme", "https")])),
        ("a name in capitals", with(&[("X-A", "1")])),
        ("a connection header", with(&[("connection", "keep-alive")])),
        ("chunks", with(&[("transfer-encoding", "chunked")])),
        ("two lengths", with(&[("content-length", "2"), ("content-length", "3")])),
        ("a length of letters", with(&[("content-length", "two")])),
    ];
    for (what, fields) in shapes {
        let mut frames = Frames::open(&world, &[]).await;
        let mut bytes = headers(1, 0, &fields);
        bytes.extend_from_slice(&frame(DATA, END_STREAM, 1, b"{}"));
        frames.send(&bytes).await;
        let end = frames
            .until(|frame| {
                frame.kind == GOAWAY
                    || (frame.stream == 1 && [RST_STREAM, HEADERS].contains(&frame.kind))
            })
            .await
            .unwrap_or_else(|| panic!("{what}: closed without a word"));
        // A reset of the stream, or a status of 400: in HPACK's table that is number 12.
        let refused = end.kind == RST_STREAM || end.kind == GOAWAY || end.payload.contains(&0x8c);
        assert!(refused, "{what}: {end:?}");
    }
    assert!(world.provider.received().is_empty(), "something reached the provider");

    // A body that is longer or shorter than declared never becomes a whole request.
    for (length, body) in [("5", &br#"{"model":"gpt-4o","messages":[]}"#[..]), ("900", b"{}")] {
        let mut fields = with(&[("content-type", "application/json")]);
        fields.extend([("authorization", key.as_str()), ("content-length", length)]);
        let mut frames = Frames::open(&world, &[]).await;
        let mut bytes = headers(1, 0, &fields);
        bytes.extend_from_slice(&frame(DATA, END_STREAM, 1, body));
        frames.send(&bytes).await;
        assert_eq!(frames.ended(1).await, Some(PROTOCOL_ERROR), "a length of {length}");
    }
    for record in world.provider.received() {
        assert_eq!(record.body_sha256, None, "a whole request reached the provider");
    }
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_cut_off() {
    let world = door(vec![("WEFT_LIMITS__HEAD_SECONDS", "2")]).await;
    // CONTINUATION after CONTINUATION, each with a header.
    let mut frames = Frames::open(&world, &[]).await;
    frames.send(&frame(HEADERS, 0, 1, &super::raw::block(&HEAD))).await;
    let piece = frame(CONTINUATION, 0, 1, &super::raw::block(&[("x-a", &"y".repeat(8_000))]));
    let mut sent = 0;
    while sent < 4_000 && frames.send(&piece).await {
        sent += 1;
    }
    assert!(sent < 4_000, "32 MiB of head were taken");
    let end = frames.until(|frame| frame.kind == GOAWAY).await;
    println!("CONTINUATION without end: cut after {sent} frames, {:?}", end.map(|end| end.payload));

    // One that stops in the middle.
    let mut frames = Frames::open(&world, &[]).await;
    frames.send(&frame(HEADERS, 0, 1, &super::raw::block(&HEAD))).await;
    assert!(frames.until(|_| false).await.is_none(), "the connection ends");

    // A head above the limit, whole: a 431, or the end of the stream.
    let mut frames = Frames::open(&world, &[(INITIAL_WINDOW, 65_535)]).await;
    let mut bytes = frame(HEADERS, END_STREAM, 1, &super::raw::block(&HEAD));
    for _ in 0..7 {
        bytes.extend_from_slice(&piece);
    }
    bytes.extend_from_slice(&frame(CONTINUATION, 4, 1, &[]));
    frames.send(&bytes).await;
    let end = frames.until(|frame| frame.stream == 1 || frame.kind == GOAWAY).await.expect("told");
    assert!([HEADERS, RST_STREAM, GOAWAY].contains(&end.kind), "{end:?}");
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rapid_reset_ends_the_connection_and_not_the_hub() {
    let world = world().await;
    let key = format!("Bearer {}", world.key.secret);
    let mut fields = HEAD.to_vec();
    fields.extend([("authorization", key.as_str()), ("content-type", "application/json")]);
    let mut frames = Frames::open(&world, &[]).await;
    let mut taken = 0;
    for pair in 0..5_000_u32 {
        let stream = 2 * pair + 1;
        let mut bytes = headers(stream, 0, &fields);
        bytes.extend_from_slice(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if !frames.send(&bytes).await {
            break;
        }
        taken += 1;
    }
    let code = frames.ended(u32::MAX).await;
    println!("{taken} streams opened and reset; the connection ended with {code:?}");
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    assert!(world.provider.received().iter().all(|record| record.body_sha256.is_none()));
    stays_well(&world).await;
    world.end().await.unwrap();
}
