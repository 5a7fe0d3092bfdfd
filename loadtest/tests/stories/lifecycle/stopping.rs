//! A hub that is asked to stop under load, and one that is killed under load.

use super::*;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use weft_loadtest::mesh::Caller;
use weft_loadtest::mesh::world::Plan;

const STREAMS: usize = 40;

/// What new requests meet while the hub stops.
#[derive(Debug, Default)]
struct Met {
    whole: usize,
    told: usize,
    closed: usize,
    bad: Vec<String>,
}

/// Keeps asking on connections that stand, and opens new ones when they end.
async fn knock(caller: Caller, version: Version, ask: Ask, stop: Arc<AtomicBool>) -> Met {
    let mut met = Met::default();
    let mut standing: Option<Connection> = None;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match standing.take() {
            Some(connection) => connection,
            None => match caller.connect(version).await {
                Ok(connection) => connection,
                Err(_) => {
                    // A closed door, before a byte was sent: safe to send elsewhere.
                    met.closed += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        let Ok(response) = connection.send(ask.request()).await else {
            // Closed or told to go away before an answer: no answer was cut.
            met.closed += 1;
            continue;
        };
        let answer = Answer::read(response, Instant::now()).await;
        match answer.status {
            200 if answer.broken.is_none() => met.whole += 1,
            503 if answer.header("retry-after").is_some() => met.told += 1,
            _ => met.bad.push(format!("{} {:?} {}", answer.status, answer.broken, answer.text())),
        }
        standing = Some(connection);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    met
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_stopped_under_load_cuts_no_stream_and_tells_newcomers() {
    let mut world = begin(Plan { agents: 2, ..Plan::default() }).await;
    let streams = Streams::start(&world, STREAMS, 4, "pace=50ms,deltas=60").await;
    let (stop, mut knocking) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for version in [Version::H1, Version::H1, Version::H2, Version::H2] {
        let ask = Ask::chat(&world, false, "");
        knocking.spawn(knock(world.caller().clone(), version, ask, Arc::clone(&stop)));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    world.hub.process().signal(Signal::TERM).unwrap();
    let answers = streams.end().await;
    let status = world.hub.process().wait(Duration::from_secs(30)).await.unwrap();
    println!("SIGTERM: {STREAMS} streams to their end, gone after {:?}", asked.elapsed());
    stop.store(true, Ordering::Relaxed);
    let met = knocking.join_all().await;
    assert!(status.success(), "{}", world.hub.process().tail());
    for answer in &answers {
        answer.whole(200);
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
    let sum = |of: fn(&Met) -> usize| met.iter().map(of).sum::<usize>();
    let (whole, told) = (sum(|met| met.whole), sum(|met| met.told));
    println!(
        "meanwhile {whole} answered, {told} told 503 with retry-after, {} met a closed door",
        sum(|met| met.closed)
    );
    assert!(met.iter().all(|met| met.bad.is_empty()), "{met:?}");
    assert!(whole > 0);

    // Every answer has its row, and no exchange was cut.
    world.restart_hub().await.unwrap();
    let rows = world.hub.ask(&["exchange", "list", "--limit", "1000"]).unwrap();
    let rows = rows.as_array().unwrap();
    let complete = rows.iter().filter(|row| row["end"] == "complete").count();
    assert_eq!(complete, STREAMS + whole, "{} rows", rows.len());
    let cut = rows
        .iter()
        .filter(|row| !["complete", "user_abort"].contains(&row["end"].as_str().unwrap()));
    assert_eq!(cut.count(), 0, "{rows:?}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_killed_under_load_is_back_in_service_within_seconds() {
    let mut world = begin(Plan { agents: 2, ..Plan::default() }).await;
    let streams = Streams::start(&world, STREAMS, 4, "pace=50ms,deltas=10000").await;
    let killed = Instant::now();
    world.hub.process().kill();
    // Nobody takes a cut stream for a whole one.
    for answer in streams.end().await {
        assert!(answer.broken.is_some(), "a clean end: {}", answer.text().len());
        assert!(!answer.text().contains("[DONE]"));
    }
    println!("SIGKILL: {STREAMS} users knew after {:?}", killed.elapsed());

    world.restart_hub().await.unwrap();
    let up = Instant::now();
    let first = until("an answer", Duration::from_secs(60), async || {
        let answer = Ask::chat(&world, false, "").over(&world, Version::H2).await;
        let message = (answer.status, answer.header("retry-after").is_some());
        assert!(matches!(message, (200, _) | (503, true)), "{message:?} {}", answer.text());
        (answer.status == 200).then(|| up.elapsed())
    })
    .await;
    world.hub.offers(8).await.unwrap();
    let back = up.elapsed();
    println!("restarted: first answer after {first:?}, both agents back after {back:?}");
    // The idle timeout is 30 s: whoever waits for that was not told.
    assert!(back < Duration::from_secs(20), "{back:?}");
    let told = world.agents.iter().filter(|agent| {
        let log = std::fs::read_to_string(agent.process.log()).unwrap();
        log.contains("the peer has restarted")
    });
    let told = told.count();
    println!("{told} of 2 agents were told by a stateless reset");
    assert!(told > 0, "no agent was told: {}", world.agents[0].process.tail());

    let ask = Ask::chat(&world, true, "deltas=5");
    same_at_both_ends(&ask, ask.over(&world, Version::H1).await.whole(200), &last(&world).await);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_while_its_stream_runs_ends_for_new_requests_alone() {
    let world = world().await;
    let streams = Streams::start(&world, 4, 1, "pace=50ms,deltas=40").await;
    world.hub.ask(&["key", "revoke", &world.key.id]).unwrap();
    let refused = Ask::chat(&world, false, "").over(&world, Version::H2).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    // What was admitted was paid for: it runs to its end, as the operations manual says.
    for answer in streams.end().await {
        answer.whole(200);
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
    world.end().await.unwrap();
}

/// A connection on which bytes are sent as they stand.
async fn raw(world: &World) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    use rustls::pki_types::pem::PemObject;
    let ca = rustls::pki_types::CertificateDer::from_pem_file(world.hub.ca()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(world.hub.users()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_arrives_while_the_hub_stops_is_told_when_to_come_back() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut world = world().await;
    let streams = Streams::start(&world, 2, 1, "pace=50ms,deltas=60").await;
    // Half of its head is there when the stop begins: this connection is not idle.
    let mut late = raw(&world).await;
    let secret = &world.key.secret;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {secret}\r\n"
    );
    late.write_all(head.as_bytes()).await.unwrap();
    late.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.hub.process().signal(Signal::TERM).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let rest = b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    late.write_all(rest).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, late.read_to_string(&mut answer)).await.unwrap().unwrap();
    let lower = answer.to_ascii_lowercase();
    assert!(lower.starts_with("http/1.1 503"), "{answer}");
    assert!(lower.contains("retry-after:") && lower.contains("draining"), "{answer}");
    for answer in streams.end().await {
        answer.whole(200);
    }
    assert!(world.hub.process().wait(Duration::from_secs(20)).await.unwrap().success());
}
