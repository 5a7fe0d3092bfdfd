//! Tunnels whose agents lie, flood, stall or pose as others. What a hub could do to an agent is
//! tried in `agent/tests`, where the hub is the test's own.

#[path = "bad_tunnels/hostile.rs"]
pub(crate) mod hostile;

use crate::bad_heads::{door, stays_well};
use crate::talk::*;
use bytes::BytesMut;
use hostile::{Hostile, answer_pings, closed, closed_with, message};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::{OWNER, Plan};
use weft_proto::codes::{AbortCode, CloseCode};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::AgentId;
use weft_proto::limits::HEAD_BYTES_MAX;
use weft_proto::time::SystemClock;
use weft_proto::wire::control::AgentMessage;
use weft_proto::wire::framed;
use weft_proto::wire::head::AnswerHead;
use weft_proto::wire::prefix;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_begins_with_nonsense_is_closed_as_malformed() {
    let mut world = door(Vec::new()).await;
    let agent = Hostile::join(&world, "hostile");
    let mut other = agent.hello();
    if let AgentMessage::Hello(hello) = &mut other {
        hello.agent = AgentId::generate(&SystemClock, &OsEntropy);
    }
    let control = |bytes: Vec<u8>| [vec![0x01], bytes].concat();
    let twice = [message(&agent.hello()), message(&agent.hello())].concat();
    let cases = [
        ("an exchange of the agent's own", vec![0x02, 0, 0]),
        ("a join on a tunnel", vec![0x03, 0, 0]),
        ("a kind of tomorrow", vec![0x7f]),
        ("a message that is none", control(vec![0x02, 0xff, 0xff])),
        ("a length beyond the limit", control(vec![0x80, 0x01, 0x00, 0x00])),
        ("a length of 2^62", control(vec![0xff; 8])),
        ("accounts before HELLO", control(message(&agent.accounts()))),
        ("a HELLO in another's name", control(message(&other))),
        ("two HELLOs", control(twice)),
    ];
    for (what, bytes) in cases {
        let connection = agent.tunnel().await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        closed_with(&connection, CloseCode::Malformed, what).await;
    }
    let silent = agent.tunnel().await;
    closed_with(&silent, CloseCode::Timeout, "says nothing").await;
    let half = agent.tunnel().await;
    let (mut send, _recv) = half.open_bi().await.unwrap();
    send.write_all(&[0x01, 0x20, 0x0a]).await.unwrap();
    closed_with(&half, CloseCode::Timeout, "half a HELLO").await;
    // After all that it is let in like any other.
    let (connection, _send, _recv) = agent.session(&mut world).await;
    assert!(connection.close_reason().is_none());
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_offers_another_protocol_or_anothers_certificate_gets_no_tunnel() {
    let world = door(Vec::new()).await;
    let agent = Hostile::join(&world, "hostile");
    for protocol in [&b"weft/2"[..], b"h3", b"http/1.1"] {
        let refused = agent.dial(protocol).await.expect_err("was let in");
        println!("{}: {refused}", String::from_utf8_lossy(protocol));
    }
    // The certificate of another hub's agent: a good one, of another authority.
    let elsewhere = door(Vec::new()).await;
    let stranger = Hostile::join(&elsewhere, "stranger");
    let invite = world.hub.invite(OWNER).unwrap().parse().unwrap();
    let lured = stranger.towards(&agent, &invite);
    match lured.dial(weft_certs::ALPN_TUNNEL).await {
        Err(refused) => println!("another authority: {refused}"),
        Ok(connection) => println!("another authority: {:?}", closed(&connection).await),
    }
    let listed = world.hub.ask(&["agent", "list"]).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    stays_well(&world).await;
    elsewhere.end().await.unwrap();
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_an_agent_may_not_open_and_floods_of_messages_harm_nobody() {
    let world = world().await;
    world.hub.add_user("other", Some(OWNER)).unwrap();
    let agent = Hostile::join(&world, "hostile");
    let connection = agent.tunnel().await;
    let (mut control, _recv) = connection.open_bi().await.unwrap();
    control.write_all(&[0x01]).await.unwrap();
    control.write_all(&message(&agent.hello())).await.unwrap();
    // A second bidirectional stream and both unidirectional ones: granted, and of no use.
    let mut extra = Vec::new();
    if let Ok(Ok((mut send, recv))) = timeout(Duration::from_secs(2), connection.open_bi()).await {
        drop(send.write_all(&[0x02; 1_000]).await);
        extra.push((send, Some(recv)));
    }
    for _ in 0..4 {
        let Ok(Ok(mut send)) = timeout(Duration::from_secs(1), connection.open_uni()).await else {
            break;
        };
        let noise = [0xaa; 64 * 1024];
        // As much as the window takes, and no more.
        let flood = async { while send.write_all(&noise).await.is_ok() {} };
        drop(timeout(Duration::from_secs(1), flood).await);
        extra.push((send, None));
    }
    println!("{} streams beside the control stream", extra.len());
    // Messages of a later version, answers to no question, accounts again and again.
    let mut flood = Vec::new();
    for nonce in 0..200_u64 {
        flood.extend(message(&AgentMessage::Pong(nonce)));
        flood.extend([0x05, 0xc2, 0x02, 0x02, 0x08, 0x01]);
    }
    let began = Instant::now();
    let flooding = async {
        let mut sent = 0_u64;
        while began.elapsed() < Duration::from_secs(3) && control.write_all(&flood).await.is_ok() {
            sent += flood.len() as u64;
        }
        sent
    };
    let asking = async {
        let ask = Ask::chat(&world, true, "");
        for _ in 0..10 {
            ask.over(&world, Version::H1).await.whole(200);
        }
    };
    let (sent, ()) = tokio::join!(flooding, asking);
    println!("{} MiB of messages in three seconds", sent >> 20);
    // Far too many accounts: the limit holds over all pages.
    let mut pages = agent.accounts();
    if let AgentMessage::Accounts(page) = &mut pages {
        page.last = false;
    }
    let pages = message(&pages).repeat(1_100);
    drop(control.write_all(&pages).await);
    let lost = closed(&connection).await;
    println!("closed: {lost:?}");
    stays_well(&world).await;
    let rows = rows_when(&world, 11).await;
    assert!(rows.iter().all(|row| row["end"] == "complete"), "{rows:?}");
    world.end().await.unwrap();
}

fn head_bytes(lines: &[(&'static str, &'static str)]) -> Vec<u8> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let head = AnswerHead { status: StatusCode::OK, headers, account_fault: false, framed: false };
    let encoded = head.encode().unwrap();
    let mut bytes = BytesMut::from(&[0x10][..]);
    prefix::encode(&encoded, HEAD_BYTES_MAX, &mut bytes).unwrap();
    bytes.to_vec()
}

/// What becomes of the answer's stream after its bytes.
#[derive(Debug, Clone, Copy)]
enum End {
    Fin,
    Reset(u32),
    Silence,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_lies_is_a_502_or_a_cut_and_never_an_end() {
    let hub =
        vec![("WEFT_LIMITS__ANSWER_HEAD_SECONDS", "4"), ("WEFT_LIMITS__ANSWER_IDLE_SECONDS", "2")];
    let mut world = begin(Plan { agents: 0, hub, ..Plan::default() }).await;
    let agent = Hostile::join(&world, "hostile");
    let (connection, control, recv) = agent.session(&mut world).await;
    let _ponging = answer_pings(control, recv);
    let fixed = head_bytes(&[("content-type", "application/json"), ("content-length", "9")]);
    let plain = head_bytes(&[("content-type", "application/json")]);
    let with = |head: &[u8], body: &[u8]| [head, body].concat();
    let cases = [
        ("nothing", Vec::new(), End::Fin),
        ("no kind of answer", vec![0x77, 0x00], End::Fin),
        ("a switch nobody asked for", vec![0x11, 0x00], End::Fin),
        ("a status of 101", vec![0x10, 0x03, 0x08, 0xe5, 0x00], End::Fin),
        ("a head of 65,537 bytes", vec![0x10, 0x80, 0x01, 0x00, 0x01], End::Silence),
        ("a head without end", vec![0x10, 0x7f, 0xff, 0x0a], End::Silence),
        ("an end inside the head", vec![0x10, 0x05, 0x08], End::Fin),
        ("a body shorter than its length", with(&fixed, b"{}"), End::Fin),
        ("a body longer than its length", with(&fixed, b"{\"a\":\"bcdefgh\"}"), End::Fin),
        ("a body that stands still", with(&plain, b"{"), End::Silence),
        ("a reset inside the body", with(&plain, b"{"), End::Reset(6)),
        ("a code nobody knows", with(&plain, b"{"), End::Reset(0x3fff)),
        ("a code nobody knows instead of a head", Vec::new(), End::Reset(0x3fff)),
        ("a clean reset", with(&plain, b"{"), End::Reset(0)),
    ];
    let mut kept = Vec::new();
    for (what, bytes, end) in cases {
        for version in VERSIONS {
            let ask = Ask::chat(&world, false, "");
            let mut user = connect(&world, version).await;
            let answering = user.start(ask.request()).unwrap();
            let lying = async {
                let (mut send, recv) = connection.accept_bi().await.unwrap();
                drop(send.write_all(&bytes).await);
                match end {
                    End::Fin => send.finish().unwrap(),
                    End::Reset(code) => send.reset(code.into()).unwrap(),
                    End::Silence => {}
                }
                (send, recv)
            };
            let (answer, streams) = timeout(LIMIT, async { tokio::join!(answering, lying) })
                .await
                .unwrap_or_else(|_| panic!("{what}: a hang"));
            kept.push(streams);
            // Over HTTP/1.1 a head may go with its connection: that is no clean end either.
            let Ok(response) = answer else { continue };
            let answer = Answer::read(response, Instant::now()).await;
            let told = answer.status >= 500 && answer.json()["error"]["message"].is_string();
            assert!(told || answer.broken.is_some(), "{what} {version:?}: {answer:?}");
        }
    }
    assert!(connection.close_reason().is_none(), "one bad answer takes nothing else with it");
    // Header lines that are not the provider's to send do not pass the hub either.
    let head =
        head_bytes(&[("set-cookie", "a=b"), ("weft-request-id", "x"), ("content-length", "2")]);
    let mut user = connect(&world, Version::H2).await;
    let ask = Ask::chat(&world, false, "");
    let answering = user.start(ask.request()).unwrap();
    let lying = async {
        let (mut send, recv) = connection.accept_bi().await.unwrap();
        send.write_all(&with(&head, b"{}")).await.unwrap();
        send.finish().unwrap();
        recv
    };
    let (answer, _recv) = tokio::join!(answering, lying);
    let answer = Answer::read(answer.unwrap(), Instant::now()).await;
    assert_eq!(answer.whole(200).header("set-cookie"), None);
    assert_ne!(answer.header("weft-request-id"), Some("x"));
    stays_well(&world).await;
    world.end().await.unwrap();
}

/// A body in frames, as an answer that declares trailers has it.
fn framed_body(pieces: &[&[u8]], trailer: (&'static str, &'static str)) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for piece in pieces {
        framed::encode_data(piece, &mut bytes).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert(trailer.0, HeaderValue::from_static(trailer.1));
    framed::encode_trailers(&trailers, &mut bytes).unwrap();
    bytes.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_known_length_with_trailers_keeps_its_last_frame() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let agent = Hostile::join(&world, "hostile");
    let (connection, control, recv) = agent.session(&mut world).await;
    let _ponging = answer_pings(control, recv);
    for version in VERSIONS {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("content-type", "application/json"), ("content-length", "9"), ("trailer", "x-sum")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let head =
            AnswerHead { status: StatusCode::OK, headers, account_fault: false, framed: true };
        let mut bytes = BytesMut::from(&[0x10][..]);
        prefix::encode(&head.encode().unwrap(), HEAD_BYTES_MAX, &mut bytes).unwrap();
        let ask = Ask::chat(&world, false, "").with("te", "trailers");
        let mut user = connect(&world, version).await;
        let answering = user.start(ask.request()).unwrap();
        let telling = async {
            let (mut send, recv) = connection.accept_bi().await.unwrap();
            send.write_all(&bytes).await.unwrap();
            send.write_all(&framed_body(&[b"{\"a\":", b"123}"], ("x-sum", "6"))).await.unwrap();
            send.finish().unwrap();
            (send, recv)
        };
        let both = timeout(LIMIT, async { tokio::join!(answering, telling) });
        let (answer, _streams) = both.await.expect("an answer in time");
        let answer = Answer::read(answer.unwrap(), Instant::now()).await;
        assert_eq!(answer.whole(200).text(), "{\"a\":123}", "{version:?}");
    }
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_answers_nothing_is_left_and_its_user_is_told() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let agent = Hostile::join(&world, "hostile");
    let (connection, _control, _recv) = agent.session(&mut world).await;
    let began = Instant::now();
    // It takes no PING and no stream: given up within seconds, not after the idle timeout.
    let answer = Ask::chat(&world, true, "").over(&world, Version::H1).await;
    println!("a silent agent was given up after {:?}", began.elapsed());
    assert!([502, 503].contains(&answer.status), "{}", answer.text());
    assert!(began.elapsed() < Duration::from_secs(20));
    closed_with(&connection, CloseCode::Unresponsive, "answers no PING").await;
    let after = Ask::chat(&world, true, "").over(&world, Version::H2).await;
    assert_eq!(after.whole(503).header("retry-after"), Some("2"));
    stays_well(&world).await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_with_one_identity_are_parked_and_users_are_told() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let agent = Hostile::join(&world, "twin");
    let mut ends = Vec::new();
    // Each twin comes back when the other has taken its place: the second flip parks both.
    let twins = [agent.hello(), agent.hello()];
    for turn in 0..4 {
        let connection = agent.tunnel().await;
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(&[0x01]).await.unwrap();
        send.write_all(&message(&twins[turn % 2])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        ends.push((connection, send, recv));
    }
    for (connection, ..) in &ends {
        let lost = closed(connection).await;
        println!("a twin: {lost:?}");
    }
    let log = std::fs::read_to_string(world.hub_log()).unwrap();
    assert!(log.contains("both parked"), "{log}");
    let answer = Ask::chat(&world, true, "").over(&world, Version::H1).await;
    answer.whole(503);
    stays_well(&world).await;
    // Another agent is none of their business.
    world.join_agent(OWNER).unwrap();
    world.hub.offers(4).await.unwrap();
    Ask::chat(&world, true, "").over(&world, Version::H2).await.whole(200);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_never_follows_an_answer_that_lies() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let agent = Hostile::join(&world, "hostile");
    let (connection, control, recv) = agent.session(&mut world).await;
    let _ponging = answer_pings(control, recv);
    let ask = Ask::chat(&world, false, "");
    let mut user = connect(&world, Version::H2).await;
    let answering = user.start(ask.request()).unwrap();
    let counting = async {
        let mut streams = Vec::new();
        while let Ok(Ok((mut send, recv))) =
            timeout(Duration::from_secs(3), connection.accept_bi()).await
        {
            // NOT_SENT again and again: the hub's own number of attempts is the bound.
            send.reset(AbortCode::NotSent.number().into()).unwrap();
            streams.push(recv);
        }
        streams.len()
    };
    let (answer, attempts) = tokio::join!(answering, counting);
    let answer = Answer::read(answer.unwrap(), Instant::now()).await;
    println!("{attempts} attempts, then {}", answer.status);
    assert!(answer.status >= 500, "{}", answer.text());
    assert!((1..=3).contains(&attempts), "{attempts} attempts");
    world.end().await.unwrap();
}

/// The first packets of so many handshakes, none of which will go on.
async fn first_packets(agent: &Hostile, count: usize) -> Vec<Vec<u8>> {
    let catcher = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut packets = Vec::new();
    let mut dialling = Vec::new();
    let mut buffer = [0; 2_048];
    for _ in 0..count {
        dialling.push(agent.begin(catcher.local_addr().unwrap()));
        let read = timeout(LIMIT, catcher.recv(&mut buffer)).await.expect("a packet").unwrap();
        packets.push(buffer[..read].to_vec());
    }
    packets
}

/// The number of handshakes from addresses that have proven nothing is bounded: behind it the hub
/// answers with a Retry, which costs it no handshake, and who can answer that gets in.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_handshakes_is_told_to_prove_its_address_and_shuts_nobody_out() {
    let mut world = begin(Plan { agents: 0, ..Plan::default() }).await;
    let agent = Hostile::join(&world, "hostile");
    // One greeting may take two packets: at least half of these begin a handshake.
    let packets = first_packets(&agent, 900).await;
    let storm = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    storm.connect(world.hub.agents()).await.unwrap();
    let sending = async {
        for packet in &packets {
            storm.send(packet).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let counting = async {
        let mut retries = 0;
        let mut buffer = [0; 2_048];
        while let Ok(Ok(read)) = timeout(Duration::from_secs(1), storm.recv(&mut buffer)).await {
            // A long header of the type Retry.
            retries += usize::from(read > 0 && buffer[0] & 0xf0 == 0xf0);
        }
        retries
    };
    let ((), retries) = tokio::join!(sending, counting);
    println!("{retries} of {} handshakes were told to prove their address", packets.len());
    assert!(retries > 0, "no Retry");
    let (connection, _send, _recv) = agent.session(&mut world).await;
    assert!(connection.close_reason().is_none());
    stays_well(&world).await;
    world.end().await.unwrap();
}
