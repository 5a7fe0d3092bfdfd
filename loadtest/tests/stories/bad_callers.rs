//! Callers that misuse their connection: floods, stalls, silence, the wrong protocol, wrong keys.

use crate::bad_heads::raw::{
    DATA, END_STREAM, Frames, GOAWAY, HEADERS, INITIAL_WINDOW, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, Wire, frame, headers,
};
use crate::bad_heads::{door, stays_well};
use crate::talk::*;
use http::Method;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{Plan, World};

/// Connects without TLS, sends `bytes`, and returns what comes until the door closes.
async fn plain(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(world.hub.users()).await.unwrap();
    // The door may have closed before it took all of it.
    drop(stream.write_all(bytes).await);
    let mut said = Vec::new();
    drop(timeout(LIMIT, stream.read_to_end(&mut said)).await.expect("the door closes"));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tls_gets_no_http_and_no_place() {
    let world = door(vec![("WEFT_LIMITS__HANDSHAKE_SECONDS", "2")]).await;
    let began = Instant::now();
    let noise: Vec<u8> =
        (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let tries: [(&str, &[u8]); 6] = [
        ("plain HTTP/1.1", b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("plain HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("noise", &noise),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("half a ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("a record longer than any", b"\x16\x03\x01\xff\xff\x01"),
    ];
    for (what, bytes) in tries {
        let said = plain(&world, bytes).await;
        assert!(!said.starts_with(b"HTTP"), "{what}: {}", String::from_utf8_lossy(&said));
        // A TLS alert at most.
        assert!(said.len() <= 16, "{what}: {} bytes", said.len());
    }
    assert!(plain(&world, b"").await.is_empty(), "a silent caller is told nothing");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_offers_another_protocol_is_refused_in_the_handshake() {
    let world = door(Vec::new()).await;
    for protocols in [&[&b"weft/1"[..]][..], &[b"h3"], &[b"http/0.9", b"acme"]] {
        let refused = Wire::offering(&world, protocols).await.err().expect("was let in");
        println!("{protocols:?}: {refused}");
    }
    // Without any protocol offered HTTP/1.1 is spoken, as every server does.
    let mut wire = Wire::offering(&world, &[]).await.unwrap();
    wire.send(b"GET /health/liveness HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(wire.answer().await.status(), Some(200));
    // HTTP/2 frames on a connection that agreed on HTTP/1.1, and the other way round.
    let mut wire = Wire::h1(&world).await;
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let said = wire.until_closed().await;
    assert!(said.status().is_none_or(|status| status >= 400), "{}", said.text());
    let mut wire = Wire::offering(&world, &[b"h2"]).await.unwrap();
    wire.send(b"GET /health/liveness HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(wire.until_closed().await.answers(), 0);
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_given_up_and_a_slow_reader_of_nothing_too() {
    let world = door(vec![("WEFT_LIMITS__HEAD_SECONDS", "2")]).await;
    let began = Instant::now();
    let mut slow = JoinSet::new();
    for _ in 0..50 {
        let mut wire = Wire::h1(&world).await;
        slow.spawn(async move {
            let mut sent = 0;
            for byte in b"GET /health/liveness HTTP/1.1\r\nhost: x\r\n".iter().cycle() {
                if !wire.send(&[*byte]).await {
                    break;
                }
                sent += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (sent, wire.until_closed().await)
        });
    }
    while let Some(ended) = slow.join_next().await {
        let (sent, said) = ended.unwrap();
        assert!(sent < 200, "{sent} bytes of a head were waited for");
        assert!(said.status().is_none_or(|status| status == 408), "{}", said.text());
    }
    // An HTTP/2 connection that never asks for anything.
    let mut idle = Frames::open(&world, &[]).await;
    assert!(idle.until(|_| false).await.is_none());
    println!("slow heads and an idle connection were given up after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(40));
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_control_frames_end_the_connection_or_cost_nothing() {
    let world = door(Vec::new()).await;
    let floods = [
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("empty DATA", frame(DATA, 0, 1, &[])),
        ("WINDOW_UPDATE of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("frames of tomorrow", frame(0x77, 0, 0, &[0; 64])),
        ("resets of idle streams", frame(RST_STREAM, 0, 9, &[0; 4])),
    ];
    for (what, one) in floods {
        let mut frames = Frames::open(&world, &[]).await;
        let many = one.repeat(1_000);
        let sending = async {
            let mut sent = 0;
            while sent < 100 && frames.send(&many).await {
                sent += 1;
            }
            sent
        };
        // Nothing of what the door says is read: it may close, or stop taking more.
        let sent = timeout(Duration::from_secs(20), sending).await;
        println!("{what}: {sent:?} thousand frames were taken");
    }
    stays_well(&world).await;
    world.end().await.unwrap();
}

/// A stream whose window the user keeps shut holds nothing for long, and its siblings go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_window_stays_shut_is_reset_and_its_connection_lives_on() {
    let hub = vec![("WEFT_LIMITS__STALL_SECONDS", "1")];
    let world = begin(Plan { hub, ..Plan::default() }).await;
    let key = format!("Bearer {}", world.key.secret);
    let ask = Ask::chat(&world, true, "deltas=50,delta-bytes=2000");
    let mut frames = Frames::open(&world, &[(INITIAL_WINDOW, 0)]).await;
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/v1/chat/completions"),
        ("authorization", &*key),
        ("content-type", "application/json"),
        ("x-weft-sim", "deltas=50,delta-bytes=2000"),
    ];
    let mut bytes = headers(1, 0, &fields);
    bytes.extend_from_slice(&frame(DATA, END_STREAM, 1, &ask.body));
    // A refusal is an answer with a body too, and needs no key.
    bytes.extend_from_slice(&headers(3, END_STREAM, &[fields[0], fields[1], fields[2], fields[3]]));
    frames.send(&bytes).await;
    let began = Instant::now();
    let mut reset = [false; 2];
    while reset != [true; 2] {
        let end = frames
            .until(|frame| [RST_STREAM, GOAWAY].contains(&frame.kind))
            .await
            .expect("the connection lives on");
        assert_eq!(end.kind, RST_STREAM, "the connection was ended: {end:?}");
        reset[usize::from(end.stream == 3)] = true;
    }
    println!("two stalled streams were reset after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(20));
    // A third stream, whose window is opened, is answered on the same connection.
    let mut bytes = headers(5, 0, &fields);
    bytes.extend_from_slice(&frame(WINDOW_UPDATE, 0, 5, &1_000_000_u32.to_be_bytes()));
    bytes.extend_from_slice(&frame(WINDOW_UPDATE, 0, 0, &1_000_000_u32.to_be_bytes()));
    bytes.extend_from_slice(&frame(DATA, END_STREAM, 5, &ask.body));
    assert!(frames.send(&bytes).await);
    let last = frames
        .until(|frame| {
            frame.stream == 5 && (frame.flags & END_STREAM != 0 || frame.kind == RST_STREAM)
        })
        .await
        .expect("an answer");
    assert!([DATA, HEADERS].contains(&last.kind), "{last:?}");
    let rows = rows_when(&world, 2).await;
    assert!(rows.iter().any(|row| row["end"] == "slow_reader"), "{rows:?}");
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_cut_and_recorded() {
    let hub = vec![("WEFT_LIMITS__STALL_SECONDS", "2")];
    let world = begin(Plan { hub, ..Plan::default() }).await;
    let ask = Ask::chat(&world, true, "deltas=2000,delta-bytes=100000");
    let mut stalled = Vec::new();
    for version in VERSIONS {
        let mut connection = connect(&world, version).await;
        let response = connection.send(ask.request()).await.unwrap();
        stalled.push((connection, response));
    }
    let rows = rows_when(&world, 2).await;
    assert!(rows.iter().all(|row| row["end"] == "slow_reader"), "{rows:?}");
    for (connection, response) in stalled {
        let answer = Answer::read(response, Instant::now()).await;
        assert!(answer.broken.is_some(), "a clean end");
        drop(connection);
    }
    let gone = world
        .provider
        .wait_for(|records| records.iter().all(|record| record.ending.is_some()).then_some(()));
    timeout(LIMIT, gone).await.expect("the provider's connections close");
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_gets_its_share_of_connections_and_gives_it_back() {
    let world = door(vec![("WEFT_LIMITS__CONNECTIONS_PER_ADDRESS_MAX", "64")]).await;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..2_000 {
        match TcpStream::connect(world.hub.users()).await {
            Ok(stream) if open.len() < 64 => open.push(stream),
            Ok(mut stream) => {
                let closed = timeout(LIMIT, stream.read(&mut [0])).await.expect("closed at once");
                assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
                refused += 1;
            }
            Err(_) => refused += 1,
        }
    }
    println!("{} connections open, {refused} refused", open.len());
    assert_eq!(refused, 2_000 - 64);
    assert!(world.connect(Version::H1).await.is_err(), "one more was let in");
    drop(open);
    let again = async {
        while world.connect(Version::H1).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, again).await.expect("the places come back");
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_keys_is_a_429_that_locks_no_right_key_out() {
    let world = door(Vec::new()).await;
    let right = Ask::bare(Method::GET, "/v1/models", "")
        .with("authorization", &format!("Bearer {}", world.key.secret));
    right.over(&world, Version::H1).await.whole(200);
    let mut connections = [connect(&world, Version::H1).await, connect(&world, Version::H2).await];
    let (mut unknown, mut limited) = (0, 0);
    for number in 0..200_usize {
        let wrong = Ask::bare(Method::GET, "/v1/models", "")
            .with("authorization", &format!("Bearer wk-{number:060}"));
        let answer = wrong.on(&mut connections[number % 2]).await;
        assert!(answer.json()["error"]["message"].is_string());
        match answer.status {
            401 => unknown += 1,
            429 => {
                assert!(answer.header("retry-after").is_some());
                limited += 1;
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    println!("{unknown} wrong keys were looked at, {limited} were not");
    assert!(unknown <= 31 && limited >= 169, "{unknown} {limited}");
    right.over(&world, Version::H2).await.whole(200);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_key_is_its_own_and_one_in_the_query_is_nobodys() {
    let world = world().await;
    world.hub.add_user("stranger", Some("another-owner")).unwrap();
    let other = world.hub.add_key("stranger", &[]).unwrap();
    let theirs = |ask: Ask| {
        ask.without("authorization").with("authorization", &format!("Bearer {}", other.secret))
    };
    for version in VERSIONS {
        // Accounts for their owner's own use are nothing that another tenant can see or reach.
        let list = theirs(Ask::bare(Method::GET, "/v1/models", "")).over(&world, version).await;
        assert_eq!(list.whole(200).json()["data"].as_array().map(Vec::len), Some(0));
        let answer = theirs(Ask::chat(&world, true, "")).over(&world, version).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        for name in ["key", "api-key", "api_key", "access_token", "x-api-key"] {
            let target = format!("/v1/chat/completions?{name}={}", world.key.secret);
            let ask = Ask { target, ..Ask::chat(&world, true, "").without("authorization") };
            let answer = ask.over(&world, version).await;
            assert_eq!(answer.whole(400).header("x-should-retry"), Some("false"), "{name}");
            assert!(!answer.text().contains(&world.key.secret), "{name}");
        }
        // Two keys at once are no key: which of them would count?
        let both = Ask::chat(&world, true, "").with("x-api-key", &other.secret);
        let answer = both.over(&world, version).await;
        assert!([400, 401].contains(&answer.status), "{}", answer.text());
    }
    assert!(world.provider.received().is_empty(), "something reached the provider");
    let log = std::fs::read_to_string(world.hub_log()).unwrap();
    assert!(!log.contains(&world.key.secret) && !log.contains(&other.secret), "a key in the log");
    stays_well(&world).await;
    world.end().await.unwrap();
}
