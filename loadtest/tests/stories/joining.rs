//! Who may join, who may stay, and what either end refuses.

use crate::talk::*;
use std::time::Duration;
use tokio::time::Instant;
use weft_certs::Invite;
use weft_loadtest::mesh::{Agent, Binaries, Doors, Hub, Version};
use weft_proto::entropy::OsEntropy;
use weft_proto::time::{Clock, SystemClock};

fn refused(joined: Result<Agent, weft_loadtest::mesh::MeshError>) -> String {
    joined.map(drop).expect_err("was let in").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_serves_one_agent_once_and_not_for_ever() {
    let world = world().await;
    let program = world.binaries().agent_sim();
    let at = |name: &str| world.dir().join(name);

    let invite = world.hub.invite("owner").unwrap();
    Agent::join(&program, &at("first"), "first", &invite).unwrap();
    let again = refused(Agent::join(&program, &at("second"), "second", &invite));
    println!("replayed: {again}");

    let short = world.hub.invite_for("owner", &["--expires", "1s"]).unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    println!("expired: {}", refused(Agent::join(&program, &at("late"), "late", &short)));

    let real: Invite = world.hub.invite("owner").unwrap().parse().unwrap();
    let other: Invite = invite.parse().unwrap();
    assert_eq!(real.hub(), other.hub());
    let unknown = Invite::new(
        real.hub(),
        real.addresses().to_vec(),
        real.pins(),
        weft_certs::Token::generate(&OsEntropy),
        SystemClock.now().after(Duration::from_secs(60)),
    );
    let unknown = unknown.unwrap().to_string();
    println!("unknown: {}", refused(Agent::join(&program, &at("who"), "who", &unknown)));
    assert!(Agent::join(&program, &at("junk"), "junk", "weft-invite-1.AAAA").is_err());
    let agents = world.hub.ask(&["agent", "list"]).unwrap();
    assert_eq!(agents.as_array().unwrap().len(), 2, "{agents}");
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_does_not_match_the_pins_is_told_nothing() {
    let world = world().await;
    // Another hub, whose pins are not the invite's.
    let executable = std::path::Path::new(env!("CARGO_BIN_EXE_weft-loadtest"));
    let binaries = Binaries::beside(executable).unwrap();
    let data = world.dir().join("other-hub");
    Hub::init(&binaries.hub(), &data).unwrap();
    let log = world.dir().join("other-hub.log");
    let other = Hub::serve(&binaries.hub(), &data, Doors::default(), &[], &log).await.unwrap();

    let real: Invite = world.hub.invite("owner").unwrap().parse().unwrap();
    let theirs: Invite = other.invite("owner").unwrap().parse().unwrap();
    // The address of the other hub, and the pins and the token of the real one.
    let lured = Invite::new(
        real.hub(),
        theirs.addresses().to_vec(),
        real.pins(),
        weft_certs::Token::from_slice(real.token().expose()).unwrap(),
        SystemClock.now().after(Duration::from_secs(60)),
    );
    let lured = lured.unwrap().to_string();
    let program = binaries.agent_sim();
    let told = refused(Agent::join(&program, &world.dir().join("lured"), "lured", &lured));
    println!("pins: {told}");
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains("agent joined") && !log.contains("join refused"), "{log}");
    // Nothing was sent: the token is still good for the real hub.
    let real = real.to_string();
    Agent::join(&program, &world.dir().join("lured"), "lured", &real).unwrap();
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_is_gone_at_once_and_cannot_come_back() {
    let mut world = world().await;
    let ask = Ask::chat(&world, true, "pace=20ms,deltas=10000");
    let mut connection = connect(&world, Version::H2).await;
    let streaming = Reading::of(&ask, &mut connection);
    let running = world
        .provider
        .wait_for(|records| records.iter().any(|record| record.events > 3).then_some(()));
    tokio::time::timeout(LIMIT, running).await.unwrap();
    let began = Instant::now();
    let id = world.agents[0].id.clone();
    world.hub.ask(&["agent", "revoke", &id]).unwrap();
    let answer = streaming.end().await;
    println!("revoked: its stream ended after {:?}", began.elapsed());
    assert!(answer.broken.is_some(), "a clean end");
    assert!(began.elapsed() < Duration::from_secs(5));
    let after = Ask::chat(&world, false, "").over(&world, Version::H1).await;
    assert_eq!(after.status, 503, "{}", after.text());

    world.restart_agent(0).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let accounts = world.hub.ask(&["account", "list"]).unwrap();
    assert_eq!(accounts.as_array().unwrap().len(), 0, "{accounts}");
    println!("the revoked agent says: {}", world.agents[0].process.tail());
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_without_a_certificate_never_gets_a_byte() {
    let world = world().await;
    let invite: Invite = world.hub.invite("owner").unwrap().parse().unwrap();
    // A stranger who knows the pins of the hub, and has nothing to show.
    let clock = std::sync::Arc::new(SystemClock);
    let mut tls = weft_certs::join_tls(invite.pins(), invite.hub(), clock).unwrap();
    tls.alpn_protocols = vec![weft_certs::ALPN_TUNNEL.to_vec()];
    let config = weft_transport::config::agent(std::sync::Arc::new(tls), &OsEntropy).unwrap();
    let (udp, _) = weft_transport::endpoint::bind_udp("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = weft_transport::endpoint::agent(udp, &OsEntropy).unwrap();
    let name = weft_certs::server_name(invite.hub());
    let name = name.to_str();
    let connecting = endpoint.connect_with(config, world.hub.agents(), &name).unwrap();
    let read = async {
        let connection = match connecting.await {
            Ok(connection) => connection,
            Err(error) => return format!("refused in the handshake: {error}"),
        };
        if let Ok((mut send, mut recv)) = connection.open_bi().await {
            drop(send.write_all(b"\x00hello").await);
            let read = recv.read_chunk(64, true).await;
            assert!(!matches!(read, Ok(Some(_))), "the hub answered: {read:?}");
        }
        connection.closed().await.to_string()
    };
    let told = tokio::time::timeout(LIMIT, read).await.expect("it is closed");
    println!("without a certificate: {told}");
    let accounts = world.hub.ask(&["agent", "list"]).unwrap();
    assert_eq!(accounts.as_array().unwrap().len(), 1);
    world.end().await.unwrap();
}
