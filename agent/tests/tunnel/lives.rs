//! The life of a tunnel: joining, drains, revocation, loss, accounts that come and go.

use crate::world::{Hub, World, add_account, read, soon};
use std::sync::Arc;
use std::time::Duration;
use weft_agent::app::RunError;
use weft_agent::datadir::DataDir;
use weft_agent::status::{Status, UplinkState};
use weft_agent::uplink::{IdentityFiles, JoinError, SystemNet, UplinkError, join};
use weft_certs::{Invite, Token};
use weft_proto::codes::{AbortCode, CloseCode};
use weft_proto::entropy::OsEntropy;
use weft_proto::session::HubEvent;
use weft_proto::time::{Clock, SystemClock};
use weft_proto::wire::control::{Drain, HubMessage};
use weft_proto::wire::join::JoinRefusal;
use weft_transport::stream::StreamError;

#[tokio::test]
async fn a_wrong_token_is_refused_in_words_and_leaves_no_identity() {
    let hub = Hub::new();
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = DataDir::open(dir.path()).expect("data");
    let refused = hub.join_with(&Token::generate(&OsEntropy), &data).await;
    assert!(matches!(refused, Err(JoinError::Refused(JoinRefusal::UnknownToken))));
    assert!(!data.identity_dir().join("hub.json").exists());
}

#[tokio::test]
async fn the_hub_hears_of_the_accounts_and_gets_a_pong() {
    let mut world = World::new().await;
    assert_eq!(world.tunnel.accounts.len(), 1);
    assert_eq!(world.tunnel.accounts[0].id, world.account);
    world.tunnel.sender.send(&HubMessage::Ping(42)).await.expect("ping");
    assert_eq!(world.tunnel.event().await, HubEvent::Pong(42));
}

#[tokio::test]
async fn an_account_added_by_another_process_is_announced_without_a_restart() {
    let mut world = World::new().await;
    let added = add_account(&world.data, "second", 3);
    let HubEvent::Accounts(accounts) = world.tunnel.event().await else {
        panic!("accounts are announced again");
    };
    assert!(accounts.iter().any(|account| account.id == added));
    assert_eq!(accounts.len(), 2);
}

#[tokio::test]
async fn a_stopping_agent_says_so_at_once_finishes_its_streams_and_takes_no_new_ones() {
    let mut world = World::new().await;
    let answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").await;
    world.stop.escalate();
    let HubEvent::Drain(drain) = world.tunnel.event().await else { panic!("a drain comes first") };
    assert_eq!(drain.deadline, Duration::from_secs(10));
    let error = world.tunnel.refusal(&world.request()).await;
    assert_eq!(error, StreamError::Aborted(AbortCode::Draining));
    called.write(b"lf").await;
    let (_, bytes, end) = read(answer).await;
    assert_eq!((bytes.as_slice(), end), (&b"half"[..], Ok(())));
    soon(world.run).await.expect("no panic").expect("a clean end");
    let status = Status::read(&world.data, world.data.is_running().expect("lock"));
    assert_eq!(status.expect("status").state, UplinkState::Stopped);
}

#[tokio::test]
async fn a_second_signal_forces_the_end_and_the_open_stream_never_looks_whole() {
    let mut world = World::new().await;
    let answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").await;
    world.stop.escalate();
    assert!(matches!(world.tunnel.event().await, HubEvent::Drain(_)));
    world.stop.escalate();
    let (_, _, end) = read(answer).await;
    assert!(end.is_err());
    assert!(called.is_closed().await);
    soon(world.run).await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_draining_hub_keeps_its_streams_while_the_agent_dials_again() {
    let mut world = World::new().await;
    let answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").await;
    let drain =
        Drain { deadline: Duration::from_secs(10), reconnect_in: Duration::from_millis(10) };
    world.tunnel.sender.send(&HubMessage::Drain(drain)).await.expect("drain");
    let next = world.hub.greet(world.agent).await;
    assert_eq!(next.accounts.len(), 1);
    // The old tunnel still answers and finishes what runs.
    world.tunnel.sender.send(&HubMessage::Ping(1)).await.expect("ping");
    assert_eq!(world.tunnel.event().await, HubEvent::Pong(1));
    called.write(b"lf").await;
    let (_, bytes, end) = read(answer).await;
    assert_eq!((bytes.as_slice(), end), (&b"half"[..], Ok(())));
    soon(world.tunnel.connection.closed()).await;
    assert!(next.connection.close_reason().is_none());
}

#[tokio::test]
async fn a_lost_tunnel_is_dialled_again_and_its_provider_connections_close() {
    let world = World::new().await;
    let _answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    world.tunnel.connection.close(1u32.into(), b"gone");
    assert!(called.is_closed().await);
    let next = world.hub.greet(world.agent).await;
    let answer = next.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    called.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(read(answer).await.1, b"ok");
}

#[tokio::test]
async fn a_revoked_agent_stops_and_says_why() {
    let mut world = World::new().await;
    world.tunnel.sender.send(&HubMessage::Revoked).await.expect("revoke");
    let ended = soon(world.run).await.expect("no panic");
    assert!(matches!(ended, Err(RunError::Uplink(UplinkError::Revoked))), "{ended:?}");
}

#[tokio::test]
async fn a_run_that_dies_closes_the_tunnel_at_once_as_an_internal_fault() {
    let world = World::new().await;
    let _answer = world.tunnel.send(&world.request(), b"{}").await;
    let mut called = world.provider.called().await;
    world.run.abort();
    let quinn::ConnectionError::ApplicationClosed(close) =
        soon(world.tunnel.connection.closed()).await
    else {
        panic!("closed by the agent itself")
    };
    assert_eq!(CloseCode::from_number(close.error_code.into_inner()), CloseCode::Internal);
    assert!(called.is_closed().await);
}

#[tokio::test]
async fn a_hub_that_does_not_match_the_pins_is_never_sent_the_token() {
    let (there, pinned) = (Hub::new(), Hub::new());
    let invite = Invite::new(
        pinned.authority.hub(),
        there.invite(&Token::generate(&OsEntropy)).addresses().to_vec(),
        pinned.authority.pins(),
        Token::generate(&OsEntropy),
        SystemClock.now().after(Duration::from_secs(600)),
    )
    .expect("invite");
    let dir = tempfile::tempdir().expect("temporary directory");
    let files = IdentityFiles::new(DataDir::open(dir.path()).expect("data"));
    let joining = join(&invite, "test", &files, &SystemNet, Arc::new(SystemClock), &OsEntropy);
    let accepting = async { there.endpoint.accept().await.expect("open").into_future().await };
    let (joined, accepted) = soon(async { tokio::join!(joining, accepting) }).await;
    assert!(matches!(joined, Err(JoinError::Connect(_))), "{joined:?}");
    assert!(accepted.is_err(), "the agent breaks the handshake off");
}

#[tokio::test]
async fn the_shipped_binary_serves_says_so_and_drains_on_sigterm() {
    let hub = Hub::new();
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = DataDir::open(dir.path().join("agent")).expect("data");
    let agent = hub.join(&data).await;
    add_account(&data, "main", 4);
    let binary = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_weft-agent"));
        command.args(arguments).arg("--data").arg(data.root());
        command
    };
    let mut run = binary(&["run", "--log-format", "json"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("start");
    let mut tunnel = hub.greet(agent).await;

    let second = binary(&["run"]).output().expect("second run");
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("already runs"));

    soon(async {
        loop {
            let status = binary(&["status", "--json"]).output().expect("status");
            let look: Option<Status> = serde_json::from_slice(&status.stdout).ok();
            if look.is_some_and(|look| look.state == UplinkState::Connected && !look.simulated) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    let kill = std::process::Command::new("kill")
        .args(["-TERM", &run.id().to_string()])
        .status()
        .expect("kill");
    assert!(kill.success());
    assert!(matches!(tunnel.event().await, HubEvent::Drain(_)));
    let ended = tokio::task::spawn_blocking(move || run.wait());
    assert!(soon(ended).await.expect("task").expect("wait").success());
    let status = binary(&["status"]).output().expect("status");
    assert!(String::from_utf8_lossy(&status.stdout).contains("not running"));
}

#[tokio::test]
async fn an_agent_joins_again_only_when_its_certificate_runs_out_and_keeps_its_key() {
    let hub = Hub::new();
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = DataDir::open(dir.path()).expect("data");
    hub.join(&data).await;
    let key_of = |data: &DataDir| {
        let (identity, _) = IdentityFiles::new(data.clone()).load().expect("identity");
        identity.key().spki_hash()
    };
    let key = key_of(&data);
    let again = hub.join_with(&hub.token, &data).await;
    assert!(matches!(again, Err(JoinError::Files(_))), "{again:?}");
    let ten_days = Duration::from_secs(10 * 24 * 3_600);
    hub.join_at(&hub.token, &data, ten_days).await.expect("renewed");
    assert_eq!(key_of(&data), key);
    let foreign = Hub::new();
    let refused = foreign.join_at(&foreign.token, &data, ten_days * 2).await;
    assert!(matches!(refused, Err(JoinError::Files(_))), "{refused:?}");
}
