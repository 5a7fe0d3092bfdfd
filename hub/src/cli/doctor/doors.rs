//! The doors of the running hub, tried as users, agents and operators try them.

mod seen;

use super::super::client::AdminClient;
use super::{Finding, Subject};
use anyhow::Context;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seen::Expected;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use weft_certs::{Authority, HubAddress, join_tls, server_name};
use weft_hub::admin::{AgentView, Listed};
use weft_hub::app::{CERTS_DIR, reachable_here};
use weft_proto::causes::causes;
use weft_proto::codes::CloseCode;
use weft_proto::entropy::OsEntropy;
use weft_transport::{close, config, endpoint};

/// One try of one door.
const TRY_MAX: Duration = Duration::from_secs(5);
/// How long the path's MTU is looked for after a handshake.
const MTU_WAIT: Duration = Duration::from_millis(750);
/// What every path of QUIC carries; more is better.
const MTU_MIN: u16 = 1_200;

/// Code of a connection of HTTP/3 that ends well (RFC 9114 section 8.1).
const H3_NO_ERROR: quinn::VarInt = quinn::VarInt::from_u32(0x100);

const USERS: &str = "users' door";
const AGENTS: &str = "agents' door";
const ADMIN: &str = "admin door";

fn not_running(check: &'static str) -> Vec<Finding> {
    vec![Finding::ok(check, "not tried: no hub runs")]
}

/// TLS and the health of each address of the users' door.
pub(super) async fn users(subject: &Subject) -> Vec<Finding> {
    let Some(addresses) = &subject.addresses else {
        return not_running(USERS);
    };
    let expected = match Expected::of(&subject.data, subject.config.users.certificate.as_ref()) {
        Ok(expected) => expected,
        Err(error) => {
            let remedy = "see the certificates above";
            return vec![Finding::fail(USERS, format!("not tried: {error:#}"), remedy)];
        }
    };
    let mut found = Vec::new();
    for address in addresses.users.iter().map(|address| reachable_here(*address)) {
        let began = Instant::now();
        let tried = tokio::time::timeout(TRY_MAX, health(address, &expected)).await;
        found.push(match tried {
            Ok(Ok(StatusCode::OK)) => Finding::ok(
                USERS,
                format!("{address}: TLS and /health/readiness in {:.1?}", began.elapsed()),
            ),
            Ok(Ok(status)) => Finding::fail(
                USERS,
                format!("{address}: /health/readiness says {status}"),
                "the hub stops, or its database does not answer: see the log and the disk",
            ),
            Ok(Err(error)) => Finding::fail(
                USERS,
                format!("{address}: {error:#}"),
                "where the certificate is another than in the files: \"weft-hub reload\"",
            ),
            Err(_) => Finding::fail(USERS, format!("{address}: no answer"), "see the hub's log"),
        });
    }
    for address in addresses.users_h3.iter().map(|address| reachable_here(*address)) {
        found.push(match tokio::time::timeout(TRY_MAX, h3(address, &expected)).await {
            Ok(Ok(round_trip)) => Finding::ok(
                USERS,
                format!("{address}: HTTP/3 over UDP, round trip {round_trip:.1?}"),
            ),
            Ok(Err(error)) => Finding::fail(USERS, format!("{address} (UDP): {error:#}"), H3),
            Err(_) => Finding::fail(USERS, format!("{address} (UDP): no answer"), H3),
        });
    }
    found
}

/// What to do about HTTP/3 that cannot be reached.
const H3: &str = "let UDP to this port through every firewall, or set h3 = false in [users]: users \
                  then come over TCP alone";

/// A handshake of HTTP/3; nothing is asked, for the handlers are those of TCP.
async fn h3(address: SocketAddr, expected: &Expected) -> anyhow::Result<Duration> {
    let mut tls = ClientConfig::clone(&*expected.client()?);
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let (udp, _) = endpoint::bind_udp(any_of(address))?;
    let endpoint = endpoint::agent(udp, &OsEntropy)?;
    let connection = endpoint.connect_with(config, address, expected.name())?.await;
    let connection = connection.map_err(|error| anyhow::anyhow!(causes(&error)))?;
    let round_trip = connection.rtt();
    connection.close(H3_NO_ERROR, b"");
    endpoint.wait_idle().await;
    Ok(round_trip)
}

/// Any local address that can reach `remote`.
fn any_of(remote: SocketAddr) -> SocketAddr {
    if remote.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    }
}

async fn health(address: SocketAddr, expected: &Expected) -> anyhow::Result<StatusCode> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(expected.name().to_owned())?;
    let stream = TlsConnector::from(expected.client()?).connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/health/readiness")
        .header(http::header::HOST, expected.name())
        .body(Empty::<Bytes>::new())?;
    tokio::select! {
        biased;
        answer = sender.send_request(request) => Ok(answer?.status()),
        ended = connection => {
            ended?;
            anyhow::bail!("the connection ended without an answer")
        }
    }
}

/// The admin door with this directory's token.
pub(super) async fn admin(subject: &Subject) -> Vec<Finding> {
    if subject.addresses.is_none() {
        return not_running(ADMIN);
    }
    let asked = async {
        let client = AdminClient::open(&subject.data)?;
        client.get::<Listed<AgentView>>("/api/v1/agents?limit=1").await
    };
    vec![match tokio::time::timeout(TRY_MAX, asked).await {
        Ok(Ok(_)) => Finding::ok(ADMIN, "answers, and takes the token of this directory"),
        Ok(Err(error)) => Finding::fail(
            ADMIN,
            format!("{error:#}"),
            "where the token was replaced, restart the hub; else see its log",
        ),
        Err(_) => Finding::fail(ADMIN, "no answer", "see the hub's log"),
    }]
}

/// A QUIC handshake with each address that agents dial, under the pins that invites carry.
pub(super) async fn agents(subject: &Subject) -> Vec<Finding> {
    let Some(addresses) = &subject.addresses else {
        return not_running(AGENTS);
    };
    let local = addresses.agents.iter().map(|address| reachable_here(*address).to_string());
    let public = subject.config.agents.public.iter().map(ToString::to_string);
    let mut targets: Vec<String> = local.chain(public).collect();
    targets.dedup();
    let mut found = Vec::new();
    for target in targets {
        found.push(match tokio::time::timeout(TRY_MAX, dial(subject, &target)).await {
            Ok(Ok(seen)) if seen.mtu > MTU_MIN => Finding::ok(AGENTS, format!("{target}: {seen}")),
            Ok(Ok(seen)) => Finding::warn(
                AGENTS,
                format!("{target}: {seen}"),
                "the path carries only the smallest packets: look for a tunnel or a VPN on it",
            ),
            Ok(Err(error)) => Finding::fail(AGENTS, format!("{target}: {error:#}"), REACH),
            Err(_) => Finding::fail(AGENTS, format!("{target}: no answer over UDP"), REACH),
        });
    }
    found
}

/// What to do about a door that agents cannot reach.
const REACH: &str = "let UDP to this port through every firewall, and look at agents.public; a name \
                     may be unreachable from this machine alone (NAT), then try from an agent";

/// What a handshake showed.
struct Path {
    round_trip: Duration,
    mtu: u16,
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { round_trip, mtu } = self;
        write!(f, "pinned certificate, round trip {round_trip:.1?}, path MTU {mtu}")
    }
}

async fn dial(subject: &Subject, target: &str) -> anyhow::Result<Path> {
    let audit = Authority::audit(&subject.data.join(CERTS_DIR))?;
    let pins = audit.pins.context("the pins cannot be read")?;
    let address: HubAddress = target.parse()?;
    let remote = resolve(&address).await?;
    let tls = join_tls(pins, audit.hub, Arc::clone(&subject.clock))?;
    let quic = config::agent(Arc::new(tls), &OsEntropy)?;
    let (udp, _) = endpoint::bind_udp(any_of(remote))?;
    let endpoint = endpoint::agent(udp, &OsEntropy)?;
    let name = server_name(audit.hub);
    let connection = endpoint.connect_with(quic, remote, &name.to_str())?.await;
    let connection = connection.map_err(|error| anyhow::anyhow!(causes(&error)))?;
    // The path's MTU is found by probes, once the handshake is done.
    tokio::time::sleep(MTU_WAIT).await;
    let stats = connection.stats().path;
    close::connection(&connection, CloseCode::Done);
    endpoint.wait_idle().await;
    Ok(Path { round_trip: stats.rtt, mtu: stats.current_mtu })
}

async fn resolve(address: &HubAddress) -> anyhow::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(address.to_string())
        .await
        .with_context(|| format!("{address} has no address"))?;
    found.next().with_context(|| format!("{address} has no address"))
}
