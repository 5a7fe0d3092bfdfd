//! Mode hostile: what strangers and broken or wicked agents may send to the agents' door, beside
//! agents that are well and must stay so.

use super::clients::{Clients, STREAM_BYTES, light};
use super::crowd::Crowd;
use super::identities::HubAt;
use super::life::Member;
use super::malformed::Fault;
use super::relay::{self, Way};
use super::report::{Attempts, Hostile};
use super::session::Session;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use weft_certs::{ALPN_TUNNEL, AgentIdentity, AgentKey, Authority, ProvenKey};
use weft_certs::{join_tls, server_name, tunnel_tls};
use weft_proto::entropy::{Entropy, OsEntropy};
use weft_proto::ids::{AgentId, HubId};
use weft_proto::limits::{AGENT_BIDI_STREAMS, UNI_STREAMS};
use weft_proto::time::SystemClock;
use weft_transport::{Connection, control};

/// How long the hub has to throw a hostile connection out: its own limits of a handshake and of a
/// first message, and some more on a busy machine.
const THROWN_OUT_MAX: Duration = Duration::from_secs(20);
/// Between two attempts of one attacker.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a half handshake is tried before it is given up.
const HALF: Duration = Duration::from_millis(400);
/// Datagrams of garbage that one attacker sends in a row.
const GARBAGE_DATAGRAMS: usize = 20;
/// Longest of them, in bytes.
const GARBAGE_BYTES_MAX: usize = 1_400;
/// How long a stream beyond the limit is waited for: the hub never grants it.
const BEYOND: Duration = Duration::from_millis(300);

/// Streams of each kind that a greedy one wants.
const STREAMS_WANTED: usize = 64;
/// Streams that the hub may have stopped, and granted others for, while one attacker opened its own.
const STOPPED_MAX: usize = 8;

type Kinds = Arc<Mutex<BTreeMap<&'static str, Attempts>>>;

/// Whoever attacks.
pub(super) struct Attackers {
    /// None of which is counted among the others, or offers what they offer.
    pub(super) crowd: Arc<Crowd>,
    pub(super) clients: Arc<Clients>,
    /// Of each kind.
    pub(super) each: usize,
    /// Identities that the hub trusts: `each` to break the rules of the control stream, and `each`
    /// to open too many streams.
    pub(super) trusted: Vec<Arc<AgentIdentity>>,
}

/// Attacks for so long.
///
/// # Errors
/// Where this end cannot be made ready.
pub(super) async fn hold(
    steady: &Crowd,
    attackers: Attackers,
    hold: Duration,
) -> anyhow::Result<Hostile> {
    drop(steady.take_events());
    let Attackers { crowd, clients, each, trusted } = attackers;
    let hub = crowd.hub;
    let kinds: Kinds = Arc::default();
    let mut tasks = JoinSet::new();
    let stranger = Arc::new(stranger(hub.id)?);
    let deaf = relay::open(hub.address, Way::Deaf, &mut tasks).await?;
    let (malformed, greedy) = trusted.split_at(trusted.len() / 2);
    for at in 0..each {
        tasks.spawn(garbage(Arc::clone(&crowd), hub, Arc::clone(&kinds)));
        let unheard = HubAt { address: deaf, ..hub };
        tasks.spawn(half(
            Arc::clone(&crowd),
            Arc::clone(&clients),
            unheard,
            at,
            Arc::clone(&kinds),
        ));
        for (kind, identity) in [("wrong_certificate", Some(&stranger)), ("no_certificate", None)] {
            let (crowd, clients) = (Arc::clone(&crowd), Arc::clone(&clients));
            let (identity, kinds) = (identity.map(Arc::clone), Arc::clone(&kinds));
            tasks.spawn(async move {
                loop {
                    let well = unknown(&crowd, &clients, hub, at, identity.as_deref()).await;
                    count(&kinds, kind, well);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }
    for (at, identity) in malformed.iter().enumerate() {
        let (crowd, clients) = (Arc::clone(&crowd), Arc::clone(&clients));
        let (identity, kinds) = (Arc::clone(identity), Arc::clone(&kinds));
        tasks.spawn(async move {
            for fault in Fault::ALL.into_iter().cycle() {
                let well = breaks(&crowd, &clients, hub, at, &identity, fault).await;
                count(&kinds, "malformed_control", well);
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    for (at, identity) in greedy.iter().enumerate() {
        let lane = super::crowd::Lane {
            clients: Arc::clone(&clients),
            towards: hub.address,
            stream_bytes: STREAM_BYTES,
            pause: Duration::ZERO,
        };
        let member = Member::new(at, Arc::clone(identity), Arc::new(lane));
        tasks.spawn(greed(Arc::clone(&crowd), member, Arc::clone(&kinds)));
    }
    tokio::time::sleep(hold).await;
    tasks.shutdown().await;
    let kinds = kinds.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Hostile { steady_lost: steady.take_events().lost.len() as u64, kinds })
}

fn count(kinds: &Kinds, kind: &'static str, well: bool) {
    let mut kinds = kinds.lock().unwrap_or_else(PoisonError::into_inner);
    let attempts = kinds.entry(kind).or_default();
    attempts.tried += 1;
    if well {
        attempts.as_expected += 1;
    } else {
        attempts.otherwise += 1;
    }
}

/// An identity for this hub that another authority certified.
fn stranger(hub: HubId) -> anyhow::Result<AgentIdentity> {
    let folder = tempfile::tempdir()?;
    let certs = folder.path().join("certs");
    let names = ["localhost".to_owned()];
    let authority = Authority::create(&certs, hub, &names, &SystemClock, &OsEntropy)?;
    let key = AgentKey::generate(&OsEntropy);
    let proven = ProvenKey::from_csr(&key.csr_der())?;
    let agent = AgentId::generate(&SystemClock, &OsEntropy);
    let chain = authority.sign_proven(&proven, agent, &SystemClock)?;
    Ok(AgentIdentity::new(key, chain)?)
}

/// Datagrams of chance, some of which look like the first packet of a connection.
async fn garbage(crowd: Arc<Crowd>, hub: HubAt, kinds: Kinds) {
    let any: std::net::IpAddr =
        if hub.address.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let Ok(socket) = UdpSocket::bind((any, 0)).await else { return };
    let mut datagram = [0; GARBAGE_BYTES_MAX];
    loop {
        for _ in 0..GARBAGE_DATAGRAMS {
            crowd.entropy.fill(&mut datagram);
            let word = crowd.entropy.next_u64();
            let bytes = 1 + usize::from((word >> 8) as u16) % GARBAGE_BYTES_MAX;
            if word & 1 == 0 {
                // A long header of version 1, with ids of eight bytes.
                datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
                datagram[14] = 8;
            }
            let sent = socket.send_to(&datagram[..bytes], hub.address).await;
            count(&kinds, "garbage", sent.is_ok());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Handshakes whose second half never comes.
async fn half(crowd: Arc<Crowd>, clients: Arc<Clients>, hub: HubAt, at: usize, kinds: Kinds) {
    loop {
        let begun = join_tls(hub.pins, hub.id, Arc::new(SystemClock));
        let Ok(tls) = begun else { return };
        let connected = connect(&crowd, &clients, hub, at, tls);
        let well = tokio::time::timeout(HALF, connected).await.is_err();
        count(&kinds, "half_handshake", well);
    }
}

async fn connect(
    crowd: &Crowd,
    clients: &Clients,
    hub: HubAt,
    at: usize,
    tls: rustls::ClientConfig,
) -> anyhow::Result<Connection> {
    let config = light(tls, 1, STREAM_BYTES, &crowd.entropy)?;
    let name = server_name(hub.id);
    Ok(clients.endpoint(at)?.connect_with(config, hub.address, &name.to_str())?.await?)
}

/// `weft/1` with a certificate of another authority, or with none: no word may come back.
async fn unknown(
    crowd: &Crowd,
    clients: &Clients,
    hub: HubAt,
    at: usize,
    identity: Option<&AgentIdentity>,
) -> bool {
    let clock = Arc::new(SystemClock);
    let tls = match identity {
        Some(identity) => tunnel_tls(hub.pins, hub.id, identity, clock),
        None => join_tls(hub.pins, hub.id, clock).map(|mut tls| {
            tls.alpn_protocols = vec![ALPN_TUNNEL.to_vec()];
            tls
        }),
    };
    let Ok(tls) = tls else { return false };
    let refused = async {
        // A client may believe that it is connected before the hub has seen its certificate.
        let Ok(connection) = connect(crowd, clients, hub, at, tls).await else { return true };
        let Ok((_sender, mut receiver)) = control::open(&connection).await else { return true };
        receiver.next().await.is_err()
    };
    tokio::time::timeout(THROWN_OUT_MAX, refused).await.unwrap_or(false)
}

/// A trusted agent whose control stream breaks the rules: the hub closes the tunnel.
async fn breaks(
    crowd: &Crowd,
    clients: &Clients,
    hub: HubAt,
    at: usize,
    identity: &AgentIdentity,
    fault: Fault,
) -> bool {
    let Ok(tls) = tunnel_tls(hub.pins, hub.id, identity, Arc::new(SystemClock)) else {
        return false;
    };
    let thrown_out = async {
        let connection = connect(crowd, clients, hub, at, tls).await?;
        let _kept = fault.commit(&connection, &crowd.entropy).await;
        anyhow::Ok(connection.closed().await)
    };
    matches!(
        tokio::time::timeout(THROWN_OUT_MAX, thrown_out).await,
        Ok(Ok(quinn::ConnectionError::ApplicationClosed(_)))
    )
}

/// A trusted agent in service that opens as many streams as it gets, and leaves them lying about:
/// never more than are granted.
async fn greed(crowd: Arc<Crowd>, member: Member, kinds: Kinds) {
    let mut generation = 0;
    loop {
        generation += 1;
        if let Ok(session) = Session::open(&crowd, &member, generation).await {
            let connection = session.connection.clone();
            let (mut bidi, mut uni) = (Vec::new(), Vec::new());
            while bidi.len() < STREAMS_WANTED
                && let Ok(Ok((mut send, recv))) =
                    tokio::time::timeout(BEYOND, connection.open_bi()).await
            {
                drop(send.write_all(&[0xff]).await);
                bidi.push((send, recv));
            }
            while uni.len() < STREAMS_WANTED
                && let Ok(Ok(mut send)) = tokio::time::timeout(BEYOND, connection.open_uni()).await
            {
                drop(send.write_all(&[0xff]).await);
                uni.push(send);
            }
            // The control stream is one of the first kind. Of the other the hub stops what it does
            // not want, one in two seconds, and grants another for it.
            let well = bidi.len() < AGENT_BIDI_STREAMS as usize
                && uni.len() <= UNI_STREAMS as usize + STOPPED_MAX;
            count(&kinds, "too_many_streams", well);
        } else {
            count(&kinds, "too_many_streams", false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
