//! What an idle agent costs the hub: many tunnels that carry nothing, from this one process.
//!
//! Each is a whole agent to the hub: an identity of its own, joined with an invite of its own, a
//! QUIC connection with its certificate, a HELLO and an account. They share one UDP socket here,
//! which is no difference to the hub.

use super::figure::{Row, Section};
use super::ground::{Ground, OWNER};
use super::progress::Progress;
use crate::mesh::Hub;
use crate::mesh::joining::{InviteDesk, address, join_by};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use weft_certs::{AgentIdentity, Invite, server_name, tunnel_tls};
use weft_proto::codes::CloseCode;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AccountId, InstanceId};
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, SystemClock};
use weft_proto::wire::control::{
    Account, AccountsPage, AgentMessage, Features, Hello, HubMessage, PermittedUse,
};
use weft_transport::control::{self, ControlReceiver, ControlSender};
use weft_transport::{Connection, Endpoint, config, endpoint};

/// Joinings and handshakes under way at once: few, so that what they leave behind in the hub's
/// heap is small beside what the tunnels hold.
const AT_ONCE: usize = 4;
/// How long the hub may rest before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// A tunnel with its control stream.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) connection: Connection,
    pub(super) sender: ControlSender<AgentMessage>,
    pub(super) receiver: ControlReceiver<HubMessage>,
}

/// What a tunnel's one account offers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    /// Patterns of its models.
    pub(super) models: &'static str,
    /// Exchanges at a time.
    pub(super) concurrency_max: u32,
}

/// Of no model that anybody asks for: it is to cost, not to serve.
const IDLE: Offer = Offer { models: "idle-*", concurrency_max: 1 };

/// An identity that has joined, and where its hub is.
pub(super) struct Joined {
    identity: AgentIdentity,
    invite: Invite,
}

/// Opens `count` tunnels beside the mesh's own and compares the hub's memory before and after.
/// Returns the figures and the KiB of one agent.
///
/// # Errors
/// Where an agent cannot join or its tunnel is refused.
///
/// # Cancel safety
/// A dropped call closes the tunnels.
pub(crate) async fn idle_agents(
    ground: &mut Ground,
    count: usize,
    progress: &Progress,
) -> anyhow::Result<(Section, f64)> {
    progress.say(&format!("{count} idle agents: joining"));
    let (udp, _) = endpoint::bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let endpoint = endpoint::agent(udp, &OsEntropy)?;
    let joined = join_all(ground.hub(), &endpoint, count, progress).await?;
    tokio::time::sleep(SETTLE).await;
    let before = ground.pids().memory()?.hub;
    progress.say("their tunnels");
    let tunnels = open_all(joined, &endpoint, progress).await?;
    tokio::time::sleep(SETTLE).await;
    ground.check()?;
    let lost = tunnels.iter().filter(|tunnel| tunnel.connection.close_reason().is_some()).count();
    anyhow::ensure!(lost == 0, "{lost} of {count} idle tunnels were closed");
    let after = ground.pids().memory()?.hub;
    let each = |after: u64, before: u64| (after as f64 - before as f64) / tunnels.len() as f64;
    let [rss, pss] = [each(after.rss_kib, before.rss_kib), each(after.pss_kib, before.pss_kib)];
    let mut section = Section::new(
        "idle_agents",
        format!("Memory per idle agent: a fresh hub before and with {count} tunnels"),
        ["RSS", "PSS"],
    );
    let pair = |memory: super::process::Memory| [memory.rss_kib as f64, memory.pss_kib as f64];
    section.rows.extend([
        Row::new("hub before, all of them joined", pair(before), "KiB", 1),
        Row::new("hub with their tunnels", pair(after), "KiB", 1),
        Row::new("per idle agent", [rss, pss], "KiB", tunnels.len() as u64),
    ]);
    for tunnel in &tunnels {
        let done = CloseCode::Done;
        tunnel.connection.close(quinn::VarInt::from_u32(done.number()), done.reason().as_bytes());
    }
    endpoint.wait_idle().await;
    Ok((section, rss.max(pss)))
}

/// Lets `count` agents join.
pub(super) async fn join_all(
    hub: &Hub,
    endpoint: &Endpoint,
    count: usize,
    progress: &Progress,
) -> anyhow::Result<Vec<Joined>> {
    let mut desk = InviteDesk::open(hub.data(), OWNER).await?;
    let (mut joining, mut joined) = (JoinSet::new(), Vec::with_capacity(count));
    for number in 0..count {
        if joining.len() >= AT_ONCE
            && let Some(done) = joining.join_next().await
        {
            joined.push(done??);
        }
        let invite = desk.invite().await?;
        let endpoint = endpoint.clone();
        joining.spawn(async move { join_one(&endpoint, invite, number).await });
        progress.tick(|| format!("{} of {count} joined", joined.len()));
    }
    while let Some(done) = joining.join_next().await {
        joined.push(done??);
    }
    Ok(joined)
}

async fn open_all(
    joined: Vec<Joined>,
    endpoint: &Endpoint,
    progress: &Progress,
) -> anyhow::Result<Vec<Tunnel>> {
    let count = joined.len();
    let (mut opening, mut tunnels) = (JoinSet::new(), Vec::with_capacity(count));
    for joined in joined {
        if opening.len() >= AT_ONCE
            && let Some(done) = opening.join_next().await
        {
            tunnels.push(done??);
        }
        let endpoint = endpoint.clone();
        opening.spawn(async move { open_one(&endpoint, joined, IDLE).await });
        progress.tick(|| format!("{} of {count} connected", tunnels.len()));
    }
    while let Some(done) = opening.join_next().await {
        tunnels.push(done??);
    }
    Ok(tunnels)
}

async fn join_one(endpoint: &Endpoint, invite: Invite, number: usize) -> anyhow::Result<Joined> {
    let config = |tls| Ok(config::agent(Arc::new(tls), &OsEntropy)?);
    let identity = join_by(&invite, format!("idle-{number}"), endpoint, config).await?;
    Ok(Joined { identity, invite })
}

/// Opens a tunnel that offers one account.
pub(super) async fn open_one(
    endpoint: &Endpoint,
    joined: Joined,
    offer: Offer,
) -> anyhow::Result<Tunnel> {
    let Joined { identity, invite } = joined;
    let tls = tunnel_tls(invite.pins(), invite.hub(), &identity, clock())?;
    let config = config::agent(Arc::new(tls), &OsEntropy)?;
    let name = server_name(invite.hub());
    let connection = endpoint.connect_with(config, address(&invite)?, &name.to_str())?.await?;
    let (mut sender, mut receiver) = control::open(&connection).await?;
    let hello = Hello {
        agent: identity.agent(),
        instance: InstanceId::generate(&SystemClock, &OsEntropy),
        slot: 0,
        generation: 1,
        features: Features::default(),
        build: "weft-loadtest".to_owned(),
    };
    sender.send(&AgentMessage::Hello(hello)).await?;
    match receiver.next().await? {
        HubMessage::Welcome(_) => {}
        other @ (HubMessage::Refuse(_)
        | HubMessage::Ping(_)
        | HubMessage::Drain(_)
        | HubMessage::Revoked
        | HubMessage::Ledger(_)
        | HubMessage::Prices(_)
        | HubMessage::Ack(_)
        | HubMessage::Cosigned(_)
        | HubMessage::LedgerFault(_)
        | HubMessage::Unknown) => anyhow::bail!("no welcome but {other:?}"),
    }
    let account = Account {
        id: AccountId::generate(&SystemClock, &OsEntropy),
        provider: Provider::OpenAi,
        label: "idle".to_owned(),
        models: offer.models.parse()?,
        deployments: Vec::new(),
        concurrency_max: offer.concurrency_max,
        permitted_use: PermittedUse::Own,
        place: None,
    };
    let page = AccountsPage { accounts: vec![account], last: true };
    sender.send(&AgentMessage::Accounts(page)).await?;
    Ok(Tunnel { connection, sender, receiver })
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
