//! Heads that break a rule: a status at once, nothing at the provider, and the door stays well.

#[path = "bad_heads/frames.rs"]
mod frames;
#[path = "bad_heads/raw.rs"]
pub(crate) mod raw;

use crate::talk::*;
use http::Method;
use raw::{Said, Wire};
use weft_loadtest::mesh::world::{Plan, World};

/// A world without agents: what is refused at the door needs none.
pub(crate) async fn door(hub: Vec<(&'static str, &'static str)>) -> World {
    begin(Plan { agents: 0, hub, ..Plan::default() }).await
}

/// The door is well: a request as it should be is answered, over both versions.
pub(crate) async fn stays_well(world: &World) {
    let ask = Ask::bare(Method::GET, "/v1/models", "")
        .with("authorization", &format!("Bearer {}", world.key.secret));
    for version in VERSIONS {
        ask.over(world, version).await.whole(200);
    }
    if !world.agents.is_empty() {
        Ask::chat(world, true, "").over(world, VERSIONS[0]).await.whole(200);
    }
}

/// A chat whose head has `lines` besides the necessary ones, each ended by CRLF.
fn chat(world: &World, lines: &str, body: &str) -> Vec<u8> {
    let key = &world.key.secret;
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

async fn said(world: &World, bytes: &[u8]) -> Said {
    Wire::h1(world).await.exchange(bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_no_http_is_a_400_and_the_connection_closes() {
    let world = door(Vec::new()).await;
    let heads: [(&str, &[u8]); 10] = [
        ("no request line", b"GARBAGE\r\n\r\n"),
        ("HTTP/0.9", b"GET /v1/models\r\n\r\n"),
        ("a version of tomorrow", b"GET /v1/models HTTP/3.7\r\nhost: x\r\n\r\n"),
        ("NUL in the target", b"GET /v1/\0models HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("NUL in a value", b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-a: a\0b\r\n\r\n"),
        ("a space before the colon", b"GET /v1/models HTTP/1.1\r\nhost : x\r\n\r\n"),
        ("no name", b"GET /v1/models HTTP/1.1\r\n: x\r\n\r\n"),
        ("a folded line", b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-a: a\r\n b\r\n\r\n"),
        ("a bare CR", b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-a: a\rb\r\n\r\n"),
        ("a method of symbols", b"G(T /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"),
    ];
    for (what, head) in heads {
        let mut wire = Wire::h1(&world).await;
        wire.send(head).await;
        let said = wire.until_closed().await;
        assert_eq!((said.status(), said.answers()), (Some(400), 1), "{what}: {}", said.text());
    }
    let old = said(&world, b"GET /v1/models HTTP/1.0\r\nhost: x\r\n\r\n").await;
    let text = old.text().replace("HTTP/1.0 ", "HTTP/1.1 ");
    assert!(text.starts_with("HTTP/1.1 505"), "{text}");
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_beyond_a_limit_is_a_431_or_414() {
    let world = door(Vec::new()).await;
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let heads = [
        ("10,000 lines", chat(&world, &many(10_000), ""), 431),
        ("200 lines", chat(&world, &many(200), ""), 431),
        ("100 KiB in one line", chat(&world, &format!("x: {}\r\n", "y".repeat(100_000)), ""), 431),
        ("20 KiB in one line", chat(&world, &format!("x: {}\r\n", "y".repeat(20_000)), ""), 431),
        ("a name of 300 bytes", chat(&world, &format!("{}: y\r\n", "x".repeat(300)), ""), 431),
        (
            "four lines of 15 KiB",
            chat(&world, &format!("x: {}\r\n", "y".repeat(15_000)).repeat(4), ""),
            431,
        ),
        ("a target of 80 KiB", get(&format!("/v1/{}", "a".repeat(80_000))), 431),
        ("a target of 9 KiB", get(&format!("/v1/{}", "a".repeat(9_000))), 400),
        ("a query of 9 KiB", get(&format!("/v1/models?a={}", "b".repeat(9_000))), 400),
    ];
    for (what, head, status) in heads {
        let said = said(&world, &head).await;
        let as_expected = said.status() == Some(status) || said.status() == Some(414);
        assert!(as_expected && said.answers() == 1, "{what}: {}", said.text());
    }
    // What Weft itself refuses says so in the caller's dialect.
    let ask = Ask::message(&world, false, "").with("x", &"y".repeat(20_000));
    let answer = ask.over(&world, VERSIONS[0]).await;
    assert_eq!(answer.whole(431).json()["type"], "error");
    stays_well(&world).await;
    world.end().await.unwrap();
}

/// What two servers could cut in two places: none may pass for one whole request, and what stands
/// behind it is never answered as a second one of the same user's.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_two_ends_is_refused_and_nothing_behind_it_is_answered() {
    let world = world().await;
    let body = r#"{"model":"gpt-4o","messages":[]}"#;
    let length = body.len();
    let hidden = "GET /health/liveness HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let shapes = [
        ("two lengths", format!("content-length: {length}\r\ncontent-length: 5\r\n"), body),
        ("a list of lengths", format!("content-length: {length}, 5\r\n"), body),
        ("a signed length", format!("content-length: +{length}\r\n"), body),
        ("a negative length", "content-length: -1\r\n".to_owned(), body),
        ("a hexadecimal length", "content-length: 0x20\r\n".to_owned(), body),
        ("a length beyond 64 bits", "content-length: 18446744073709551616\r\n".to_owned(), body),
        ("an empty length", "content-length:\r\n".to_owned(), body),
        ("chunked, identity", "transfer-encoding: chunked, identity\r\n".to_owned(), &chunked),
        ("identity", "transfer-encoding: identity\r\n".to_owned(), &chunked),
        ("a coding nobody knows", "transfer-encoding: xchunked\r\n".to_owned(), &chunked),
        (
            "two codings on two lines",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(),
            &chunked,
        ),
        ("a folded coding", "transfer-encoding:\r\n chunked\r\n".to_owned(), &chunked),
        ("a coding before its colon", "transfer-encoding : chunked\r\n".to_owned(), &chunked),
        ("a coding behind a bare CR", "x: y\rtransfer-encoding: chunked\r\n".to_owned(), &chunked),
    ];
    for (what, lines, body) in shapes {
        let mut wire = Wire::h1(&world).await;
        wire.send(&chat(&world, &lines, &format!("{body}{hidden}"))).await;
        let said = wire.until_closed().await;
        assert_eq!((said.status(), said.answers()), (Some(400), 1), "{what}: {}", said.text());
    }
    assert!(world.provider.received().is_empty(), "something reached the provider");
    // A length beside chunks: the chunks count, as RFC 9112 (6.3) says, in either order, and what
    // the length says is passed on to nobody.
    for length in ["content-length: 5\r\n", "content-length: 4000\r\n"] {
        let coding = "transfer-encoding: chunked\r\n";
        for lines in [format!("{length}{coding}"), format!("{coding}{length}")] {
            let said = said(&world, &chat(&world, &lines, &chunked)).await;
            assert_eq!(said.status(), Some(200), "{}", said.text());
            let record = last(&world).await;
            assert_eq!(record.body_sha256.as_deref(), Some(&*sha256(body.as_bytes())));
        }
    }
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_chunk_never_becomes_a_whole_request() {
    let world = world().await;
    let body = r#"{"model":"gpt-4o","messages":[]}"#;
    let size = format!("{:x}", body.len());
    let bodies = [
        ("a size of letters", format!("zz\r\n{body}\r\n0\r\n\r\n")),
        ("a signed size", format!("+{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a negative size", format!("-{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a size with its prefix", format!("0x{size}\r\n{body}\r\n0\r\n\r\n")),
        ("a size beyond 64 bits", format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n")),
        ("an empty size", format!("\r\n{body}\r\n0\r\n\r\n")),
        ("a size smaller than the chunk", format!("5\r\n{body}\r\n0\r\n\r\n")),
        ("no line's end behind the chunk", format!("{size}\r\n{body}0\r\n\r\n")),
        ("a bare CR in the size line", format!("{size}\r{body}\r\n0\r\n\r\n")),
        ("a bare LF inside an extension", format!("{size};a\nb\r\n{body}\r\n0\r\n\r\n")),
        (
            "an extension of 100 KiB",
            format!("{size};{}\r\n{body}\r\n0\r\n\r\n", "a".repeat(100_000)),
        ),
        (
            "trailers of 100 KiB",
            format!("{size}\r\n{body}\r\n0\r\nx: {}\r\n\r\n", "a".repeat(100_000)),
        ),
    ];
    for (what, body) in bodies {
        let mut wire = Wire::h1(&world).await;
        wire.send(&chat(&world, "transfer-encoding: chunked\r\n", &body)).await;
        let said = wire.until_closed().await;
        // The head was whole: the answer, where there is one, is Weft's own.
        assert!(matches!(said.status(), None | Some(400)), "{what}: {}", said.text());
        assert!(said.answers() <= 1, "{what}: {}", said.text());
    }
    for record in world.provider.received() {
        assert_eq!(record.body_sha256, None, "a whole request reached the provider");
    }
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_two_servers_read_differently_is_a_400() {
    let world = world().await;
    let key = format!("authorization: Bearer {}\r\n", world.key.secret);
    for target in [
        "http://evil.example/v1/models",
        "https://localhost/v1/models",
        "/v1/../v1/models",
        "/v1/./models",
        "/v1/models/..",
        "/v1/%2e%2e/v1/models",
        "/v1/%2E%2E/v1/models",
        "/v1%2fmodels",
        "/v1/models%2f..%2f",
        "/v1/%5cmodels",
        "/v1\\models",
        "//v1/models",
        "/v1//models",
        "/v1/models/%",
        "/v1/models/%zz",
        "/v1/models/%00",
        "/v1/models/%0d%0ax:%20y",
        "/v1/models/%252e%252e",
        "/v1/models/[x]",
        "/v1/models?key=abc",
        "/v1/models?%6bey=abc",
        "/v1/models?API_KEY=abc",
        "v1/models",
        "*",
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{key}\r\n");
        let said = said(&world, bytes.as_bytes()).await;
        assert_eq!((said.status(), said.answers()), (Some(400), 1), "{target}: {}", said.text());
    }
    for bytes in ["CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n"] {
        let said = said(&world, bytes.as_bytes()).await;
        assert!(said.status().is_some_and(|status| status >= 400), "{}", said.text());
    }
    assert!(world.provider.received().is_empty(), "something reached the provider");
    // A fragment is no part of a target: it ends here, and what stands before it is asked for.
    let ask = Ask::chat(&world, false, "");
    let bytes = format!(
        "POST /v1/chat/completions#/../x HTTP/1.1\r\nhost: x\r\n{key}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{}",
        ask.body.len(),
        String::from_utf8_lossy(&ask.body)
    );
    assert_eq!(said(&world, bytes.as_bytes()).await.status(), Some(200));
    assert_eq!(last(&world).await.target, "/v1/chat/completions");
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_connection_names_stays_on_its_connection() {
    let world = world().await;
    let body = r#"{"model":"gpt-4o","messages":[]}"#;
    let lines = format!(
        "connection: x-mine, keep-alive, x-too\r\nx-mine: 1\r\nx-too: 2\r\nx-stays: 3\r\n\
         keep-alive: timeout=5\r\nproxy-connection: close\r\nte: gzip\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\ncontent-length: {}\r\n",
        body.len()
    );
    let said = said(&world, &chat(&world, &lines, body)).await;
    assert_eq!(said.status(), Some(200), "{}", said.text());
    let record = last(&world).await;
    for gone in ["x-mine", "x-too", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert_eq!(received(&record, gone), None, "{gone}");
    }
    assert_eq!(received(&record, "x-stays"), Some("3"));
    assert_eq!(record.body_sha256.as_deref(), Some(&*sha256(body.as_bytes())));
    // A key cannot be taken away by naming it: it was read before, and is never sent on.
    let lines =
        format!("connection: authorization, content-type\r\ncontent-length: {}\r\n", body.len());
    let again = Wire::h1(&world).await.exchange(&chat(&world, &lines, body)).await;
    assert_eq!(again.status(), Some(200), "{}", again.text());
    world.end().await.unwrap();
}

/// Whatever of the user's words comes back, comes back inside a JSON string or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_the_users_can_begin_a_header_line() {
    let world = world().await;
    let evil = "x\r\nset-cookie: weft=1\r\n\r\n<b>";
    let asks = [
        Ask::post(
            &world,
            "/v1/chat/completions",
            &serde_json::json!({"model": evil, "messages": []}),
        ),
        Ask::post(
            &world,
            "/v1/chat/completions",
            &serde_json::json!({"model": "no\u{0}such", "messages": []}),
        ),
        Ask::post(
            &world,
            "/v1/chat/completions?x=%0d%0aset-cookie:%20weft=1",
            &serde_json::json!({"model": "none-such", "messages": []}),
        ),
        Ask::chat(&world, false, "").with("weft-provider", "open\tai"),
        Ask::chat(&world, false, "").with("weft-provider", "nobody"),
        Ask::chat(&world, false, "").with("weft-model", "a\u{e9}b"),
        Ask::bare(Method::GET, "/v1/models/%3Cb%3E", "")
            .with("authorization", &format!("Bearer {}", world.key.secret)),
        Ask::chat(&world, false, "")
            .without("authorization")
            .with("authorization", "Bearer wk-%0d%0a"),
    ];
    for ask in asks {
        for version in VERSIONS {
            let answer = ask.over(&world, version).await;
            let note = format!("{} {:?} {}", ask.target, answer.headers, answer.text());
            assert!((400..500).contains(&answer.status) || answer.status == 200, "{note}");
            assert_eq!(answer.header("set-cookie"), None, "{note}");
            assert!(!answer.text().contains("<b>") && !answer.text().contains('\r'), "{note}");
            assert!(answer.json().is_object(), "{note}");
        }
    }
    let forged = Ask::chat(&world, false, "").with("weft-request-id", "mine");
    let answer = forged.over(&world, VERSIONS[0]).await;
    assert_ne!(answer.whole(200).header("weft-request-id"), Some("mine"));
    world.end().await.unwrap();
}
