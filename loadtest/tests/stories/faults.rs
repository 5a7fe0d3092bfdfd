//! Faults told honestly: for every shape of answer and every way to break it.
//!
//! An error event goes into plain event streams alone, behind a blank line; everything else is
//! reset, and what came before the fault is the provider's, byte for byte.

#[path = "faults/script.rs"]
pub(crate) mod script;

use crate::talk::*;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use script::{Scripts, Step, say, scripted};
use std::io::Write;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::World;
use weft_proto::provider::Dialect;

const DIALECTS: [Dialect; 2] = [Dialect::OpenAi, Dialect::Anthropic];

/// One shape of answer.
struct Shape {
    name: &'static str,
    /// The head's lines and the first bytes of the body, as the provider sends them.
    head: String,
    begun: Bytes,
    chunked: bool,
    /// Whether an error event may go out, and whether a blank line must go before it.
    event: Option<bool>,
}

impl Shape {
    fn bytes(&self) -> Bytes {
        let mut bytes = format!("HTTP/1.1 200 OK\r\n{}\r\n", self.head).into_bytes();
        if self.chunked {
            bytes.extend_from_slice(format!("{:x}\r\n", self.begun.len()).as_bytes());
            bytes.extend_from_slice(&self.begun);
            bytes.extend_from_slice(b"\r\n");
        } else {
            bytes.extend_from_slice(&self.begun);
        }
        bytes.into()
    }
}

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.flush().unwrap();
    encoder.get_ref().clone().into()
}

fn shapes() -> Vec<Shape> {
    const EVENTS: &str = "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n";
    const STREAM: &str = "content-type: text/event-stream; charset=utf-8\r\n";
    const CHUNKED: &str = "transfer-encoding: chunked\r\n";
    let shape = |name, head: String, begun: Bytes, event| Shape {
        name,
        chunked: head.contains("chunked"),
        head,
        begun,
        event,
    };
    let middle = format!("{EVENTS}data: {{\"c\":");
    vec![
        shape("boundary", format!("{STREAM}{CHUNKED}"), EVENTS.into(), Some(false)),
        shape("inside", format!("{STREAM}{CHUNKED}"), middle.clone().into(), Some(true)),
        shape("crlf", format!("{STREAM}{CHUNKED}"), "data: 1\r\n\r\n".into(), Some(false)),
        shape("one-newline", format!("{STREAM}{CHUNKED}"), "data: 1\n".into(), Some(true)),
        shape(
            "gzip",
            format!("{STREAM}{CHUNKED}content-encoding: gzip\r\n"),
            gzip(EVENTS.as_bytes()),
            None,
        ),
        shape("length", format!("{STREAM}content-length: 5000\r\n"), EVENTS.into(), None),
        shape(
            "json",
            "content-type: application/json\r\ncontent-length: 5000\r\n".into(),
            "{\"id\":".into(),
            None,
        ),
        shape(
            "json-chunked",
            format!("content-type: application/json\r\n{CHUNKED}"),
            "{\"id\":".into(),
            None,
        ),
        shape(
            "sound",
            format!("content-type: audio/mpeg\r\n{CHUNKED}"),
            vec![0xff; 3_000].into(),
            None,
        ),
    ]
}

fn ask(world: &World, dialect: Dialect, script: &str) -> Ask {
    match dialect {
        Dialect::OpenAi => Ask::chat(world, true, script),
        Dialect::Anthropic => Ask::message(world, true, script),
    }
}

/// The answer, or nothing where the connection went with the head.
async fn answer(world: &World, version: Version, ask: &Ask) -> Option<Answer> {
    let mut connection = connect(world, version).await;
    let began = Instant::now();
    let sent = tokio::time::timeout(LIMIT, connection.send(ask.request())).await;
    let response = sent.expect("an answer or an end in time").ok()?;
    Some(Answer::read(response, began).await)
}

/// Every shape in both dialects over both versions, at once; `meanwhile` runs when all have begun.
async fn told(world: &mut World, end: &str, meanwhile: impl AsyncFnOnce(&mut World)) {
    let mut reading = JoinSet::new();
    let mut open = Vec::new();
    for (number, shape) in shapes().into_iter().enumerate() {
        for dialect in DIALECTS {
            for version in VERSIONS {
                let ask = ask(world, dialect, &format!("{}-{end}", shape.name));
                let mut connection = connect(world, version).await;
                let answer = connection.start(ask.request()).unwrap();
                open.push(connection);
                reading.spawn(async move {
                    let response = answer.await.expect("an answer");
                    (number, dialect, version, Answer::read(response, Instant::now()).await)
                });
            }
        }
    }
    meanwhile(world).await;
    let shapes = shapes();
    while let Some(read) = reading.join_next().await {
        let (number, dialect, version, answer) = read.unwrap();
        honest(&shapes[number], end, dialect, version, &answer);
    }
    drop(open);
}

/// Fails unless the fault was told as it should be.
#[track_caller]
fn honest(shape: &Shape, end: &str, dialect: Dialect, version: Version, answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.body);
    let note = format!("{} {end} {dialect:?} {version:?}: {text:?}", shape.name);
    assert_eq!(answer.status, 200, "{note}");
    assert!(answer.broken.is_some(), "a clean end: {note}");
    let Some(blank_line) = shape.event else {
        // Something may have been lost with the reset, but nothing was put in.
        assert!(shape.begun.starts_with(&answer.body), "{note}");
        assert!(!answer.body.is_empty(), "{note}");
        return;
    };
    let rest = answer.body.strip_prefix(&shape.begun[..]).unwrap_or_else(|| panic!("{note}"));
    let rest = if blank_line { rest.strip_prefix(b"\n\n").expect(&note) } else { rest };
    let event = std::str::from_utf8(rest).unwrap();
    let data = match dialect {
        Dialect::OpenAi => event.strip_prefix("data: "),
        Dialect::Anthropic => event.strip_prefix("event: error\ndata: "),
    };
    let data = data.and_then(|data| data.strip_suffix("\n\n")).expect(&note);
    let data: serde_json::Value = serde_json::from_str(data).expect(&note);
    assert!(data["error"]["message"].is_string() && data["error"]["type"].is_string(), "{note}");
    if dialect == Dialect::Anthropic {
        assert_eq!(data["type"], "error", "{note}");
    }
}

fn scripts(end: &str, steps: &[Step]) -> Scripts {
    let script = |shape: Shape| {
        let mut all = vec![say(shape.bytes())];
        all.extend_from_slice(steps);
        (format!("{}-{end}", shape.name), all)
    };
    shapes().into_iter().map(script).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_breaks_off_is_told_in_every_shape_and_dialect() {
    // The bytes must be on their way before the end comes.
    let pause = Step::Pause(Duration::from_millis(300));
    let mut all = scripts("cut", std::slice::from_ref(&pause));
    all.extend(scripts("reset", &[pause.clone(), Step::Reset]));
    all.extend(scripts("stall", &[Step::Hang]));
    let hub = vec![("WEFT_LIMITS__ANSWER_IDLE_SECONDS", "2")];
    let (mut world, provider) = scripted(all, hub).await;
    for end in ["cut", "reset", "stall"] {
        told(&mut world, end, async |_| {}).await;
    }
    let asked = 3 * shapes().len() * DIALECTS.len() * VERSIONS.len();
    assert_eq!(provider.calls(), asked, "something was called again");
    let rows = rows_when(&world, asked).await;
    for row in &rows {
        let end = row["end"].as_str().unwrap();
        assert!(["upstream_truncated", "deadline"].contains(&end), "{row}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_is_told_in_every_shape_and_dialect() {
    let (mut world, _provider) = scripted(scripts("agent", &[Step::Hang]), Vec::new()).await;
    told(&mut world, "agent", async |world| {
        let count = shapes().len() * DIALECTS.len() * VERSIONS.len();
        begun(world, count).await;
        world.agents[0].process.kill();
    })
    .await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_told_in_every_shape_and_dialect() {
    let hub = vec![("WEFT_LIMITS__EXCHANGE_SECONDS", "6")];
    let (mut world, _provider) = scripted(scripts("deadline", &[Step::Hang]), hub).await;
    told(&mut world, "deadline", async |_| {}).await;
    world.end().await.unwrap();
}

/// Waits a moment after all exchanges have begun, so that their first bytes are through.
async fn begun(world: &World, count: usize) {
    let began = Instant::now();
    loop {
        let running = world.hub.ask(&["exchange", "list", "--limit", "1"]).unwrap();
        assert_eq!(running.as_array().map(Vec::len), Some(0), "an exchange has ended: {running}");
        if began.elapsed() > Duration::from_secs(2) {
            println!("{count} exchanges run");
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_about_rates_and_retries_pass_on_every_status_and_on_streams() {
    let hints = [
        ("retry-after", "7"),
        ("retry-after-ms", "6500"),
        ("x-should-retry", "true"),
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-tokens", "12"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("anthropic-ratelimit-requests-remaining", "3"),
        ("anthropic-ratelimit-unified-status", "allowed_warning"),
        ("x-request-id", "req-of-the-provider"),
    ];
    let lines: String = hints.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut all = Scripts::new();
    for status in [200, 429, 529, 503] {
        let json = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n{lines}\r\n{{}}"
        );
        all.insert(format!("json-{status}"), vec![say(json)]);
        let stream = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
             {lines}\r\n6\r\n: hi\n\n\r\n0\r\n\r\n"
        );
        all.insert(format!("stream-{status}"), vec![say(stream)]);
    }
    let names: Vec<String> = all.keys().cloned().collect();
    let (world, _provider) = scripted(all, Vec::new()).await;
    for name in &names {
        for dialect in DIALECTS {
            for version in VERSIONS {
                let answer = ask(&world, dialect, name).over(&world, version).await;
                let status = name.rsplit('-').next().unwrap().parse().unwrap();
                answer.whole(status);
                for (hint, value) in hints {
                    assert_eq!(answer.header(hint), Some(value), "{name} {dialect:?} {version:?}");
                }
            }
        }
    }
    world.end().await.unwrap();
}

/// How a provider can break the rules of HTTP before its answer has begun, or at its end.
fn invalid() -> Vec<(&'static str, Vec<Step>, bool)> {
    let ok = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let many: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    // Each with whether an answer may be whole all the same.
    vec![
        ("a garbage status line", vec![say("WEFT\r\n\r\n")], false),
        ("HTTP/0.9", vec![say("hello there\n")], false),
        ("a status of letters", vec![say("HTTP/1.1 abc OK\r\n\r\n")], false),
        ("a status of 99", vec![say("HTTP/1.1 99 X\r\n\r\n")], false),
        ("noise", vec![say(vec![0x16; 4_000])], false),
        ("10,000 lines", vec![say(format!("{ok}{many}content-length: 2\r\n\r\n{{}}"))], false),
        (
            "a head of 4 MiB",
            vec![say(ok), Step::Repeat(format!("x: {}\r\n", "y".repeat(60_000)).into(), 70)],
            false,
        ),
        (
            "a folded line",
            vec![say(format!("{ok}x: y\r\n z\r\ncontent-length: 2\r\n\r\n{{}}"))],
            false,
        ),
        (
            "two lengths",
            vec![say(format!("{ok}content-length: 2\r\ncontent-length: 9\r\n\r\n{{}}"))],
            false,
        ),
        ("a negative length", vec![say(format!("{ok}content-length: -2\r\n\r\n{{}}"))], false),
        (
            "NUL in a value",
            vec![say(format!("{ok}x: a\0b\r\ncontent-length: 2\r\n\r\n{{}}"))],
            false,
        ),
        ("closed in the head", vec![say("HTTP/1.1 200 OK\r\ncontent-")], false),
        ("nothing", vec![], false),
        (
            "a bad chunk",
            vec![say(format!("{ok}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"))],
            false,
        ),
        (
            "a chunk cut",
            vec![say(format!("{ok}transfer-encoding: chunked\r\n\r\n9\r\n{{}}"))],
            false,
        ),
        (
            "no last chunk",
            vec![say(format!("{ok}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n"))],
            false,
        ),
        ("a short length", vec![say(format!("{ok}content-length: 9\r\n\r\n{{}}"))], false),
        (
            "bytes behind the length",
            vec![say(format!(
                "{ok}content-length: 2\r\n\r\n{{}}HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 4\r\n\r\nevil"
            ))],
            true,
        ),
        (
            "bytes behind the last chunk",
            vec![say(format!("{ok}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\nevil"))],
            true,
        ),
        (
            "a hundred times 103",
            vec![
                Step::Repeat("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".into(), 100),
                say(format!("{ok}content-length: 2\r\n\r\n{{}}")),
            ],
            true,
        ),
        (
            "1xx without end",
            vec![Step::Repeat("HTTP/1.1 102 Processing\r\n\r\n".into(), 1_000_000)],
            false,
        ),
        (
            "a switch nobody asked for",
            vec![say(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhi",
            )],
            false,
        ),
        (
            "a redirect",
            vec![say(
                "HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/v1\r\ncontent-length: 0\r\n\r\n",
            )],
            true,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_speaks_no_http_is_a_502_or_a_cut_and_never_an_end() {
    let scripts = invalid().into_iter().enumerate();
    let all: Scripts =
        scripts.map(|(number, (_, steps, _))| (format!("s{number}"), steps)).collect();
    let hub = vec![("WEFT_LIMITS__ANSWER_HEAD_SECONDS", "10")];
    let (world, provider) = scripted(all, hub).await;
    for (number, (what, _, may_be_whole)) in invalid().into_iter().enumerate() {
        for (dialect, version) in
            [(Dialect::OpenAi, Version::H1), (Dialect::Anthropic, Version::H2)]
        {
            let before = provider.calls();
            let ask = ask(&world, dialect, &format!("s{number}"));
            let began = Instant::now();
            let answer = answer(&world, version, &ask).await;
            let note = format!("{what} {version:?} after {:?}: {answer:?}", began.elapsed());
            assert_eq!(provider.calls(), before + 1, "called again: {note}");
            let Some(answer) = answer else {
                assert!(!may_be_whole, "{note}");
                continue;
            };
            let told = answer.status >= 500 && answer.json()["error"]["message"].is_string();
            let cut = answer.broken.is_some();
            assert!(told || cut || may_be_whole, "a clean end: {note}");
            let text = String::from_utf8_lossy(&answer.body);
            assert!(!text.contains("evil") && answer.header("set-cookie").is_none(), "{note}");
        }
    }
    world.end().await.unwrap();
}

/// A write that waits for an acknowledgement which the other end delays costs forty milliseconds a
/// time: two hundred small requests, each written in two parts, would take eight seconds and more.
#[tokio::test(flavor = "multi_thread")]
async fn small_requests_one_after_another_meet_no_delayed_acknowledgement() {
    let world = world().await;
    let ask = Ask::chat(&world, false, "");
    for version in VERSIONS {
        let mut connection = connect(&world, version).await;
        let began = Instant::now();
        for _ in 0..200 {
            ask.on(&mut connection).await.whole(200);
        }
        println!("200 small requests over {version:?}: {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    }
    world.end().await.unwrap();
}
