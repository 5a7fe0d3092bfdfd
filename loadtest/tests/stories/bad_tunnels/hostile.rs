//! An agent with a good certificate and bad manners: raw streams on a real tunnel.

use crate::talk::LIMIT;
use quinn::{RecvStream, SendStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weft_agent::datadir::DataDir;
use weft_agent::uplink::IdentityFiles;
use weft_certs::{AgentIdentity, Invite, server_name, tunnel_tls};
use weft_loadtest::mesh::Agent;
use weft_loadtest::mesh::world::{OWNER, World};
use weft_proto::codes::CloseCode;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AccountId, AgentId, InstanceId};
use weft_proto::limits::MESSAGE_BYTES_MAX;
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::time::SystemClock;
use weft_proto::wire::control::{
    Account, AccountsPage, AgentMessage, ControlMessage, Features, Hello, HubMessage, PermittedUse,
};
use weft_proto::wire::prefix;
use weft_transport::stream::Lost;
use weft_transport::{Connection, Endpoint, config, endpoint};

/// An agent that joined by the book; what it does then is the story's.
pub(crate) struct Hostile {
    pub(super) agent: AgentId,
    pub(super) account: AccountId,
    data: PathBuf,
    tls: rustls::ClientConfig,
    endpoint: Endpoint,
    name: String,
    hub: std::net::SocketAddr,
    /// What it says that it can do: it keeps a ledger, or it would be given nothing that has a price.
    pub(crate) features: Features,
}

impl Hostile {
    /// Joins the world's hub, under `name`.
    pub(crate) fn join(world: &World, name: &str) -> Self {
        let data = world.dir().join(name);
        let invite = world.hub.invite(OWNER).unwrap();
        Agent::join(&world.binaries().agent_sim(), &data, name, &invite).unwrap();
        let invite: Invite = invite.parse().unwrap();
        let identity = identity(&data);
        let clock = Arc::new(SystemClock);
        let tls = tunnel_tls(invite.pins(), invite.hub(), &identity, clock).unwrap();
        let (udp, _) = endpoint::bind_udp("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            agent: identity.agent(),
            account: AccountId::generate(&SystemClock, &OsEntropy),
            data,
            tls,
            endpoint: endpoint::agent(udp, &OsEntropy).unwrap(),
            name: server_name(invite.hub()).to_str().into_owned(),
            hub: world.hub.agents(),
            features: Features::LEDGER,
        }
    }

    /// Dials, offering `protocol`.
    pub(super) async fn dial(&self, protocol: &[u8]) -> Result<Connection, quinn::ConnectionError> {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let config = config::agent(Arc::new(tls), &OsEntropy).unwrap();
        let dialling = self.endpoint.connect_with(config, self.hub, &self.name).unwrap();
        timeout(LIMIT, dialling).await.expect("a handshake in time")
    }

    /// This agent's certificate, held against the pins, the name and the address of `other`'s hub.
    pub(super) fn towards(&self, other: &Self, invite: &Invite) -> Self {
        let clock = Arc::new(SystemClock);
        let tls = tunnel_tls(invite.pins(), invite.hub(), &identity(&self.data), clock).unwrap();
        Self {
            agent: self.agent,
            account: self.account,
            data: self.data.clone(),
            tls,
            endpoint: self.endpoint.clone(),
            name: other.name.clone(),
            hub: other.hub,
            features: self.features,
        }
    }

    /// Begins to dial `address`, whoever is there; dropping it gives up.
    pub(super) fn begin(&self, address: std::net::SocketAddr) -> quinn::Connecting {
        let config = config::agent(Arc::new(self.tls.clone()), &OsEntropy).unwrap();
        self.endpoint.connect_with(config, address, &self.name).unwrap()
    }

    /// A tunnel on which nothing was said.
    pub(super) async fn tunnel(&self) -> Connection {
        self.dial(weft_certs::ALPN_TUNNEL).await.expect("a tunnel")
    }

    pub(super) fn hello(&self) -> AgentMessage {
        AgentMessage::Hello(Hello {
            agent: self.agent,
            instance: InstanceId::generate(&SystemClock, &OsEntropy),
            slot: 0,
            generation: 1,
            features: self.features,
            build: "hostile".to_owned(),
        })
    }

    /// One account that serves every model of OpenAI's.
    pub(super) fn accounts(&self) -> AgentMessage {
        let account = Account {
            id: self.account,
            provider: Provider::OpenAi,
            label: "hostile".to_owned(),
            models: ModelPatterns::any(),
            deployments: Vec::new(),
            concurrency_max: 64,
            permitted_use: PermittedUse::Own,
            place: None,
        };
        AgentMessage::Accounts(AccountsPage { accounts: vec![account], last: true })
    }

    /// A session in force that offers one account. The halves are the control stream's.
    pub(crate) async fn session(&self, world: &mut World) -> (Connection, SendStream, RecvStream) {
        let connection = self.tunnel().await;
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&[0x01]).await.unwrap();
        send.write_all(&message(&self.hello())).await.unwrap();
        send.write_all(&message(&self.accounts())).await.unwrap();
        let mut welcome = bytes::BytesMut::new();
        while prefix::decode(&mut welcome, MESSAGE_BYTES_MAX).unwrap().is_none() {
            let read = timeout(LIMIT, recv.read_chunk(1, true)).await.expect("an answer in time");
            welcome.extend_from_slice(&read.unwrap().expect("a WELCOME").bytes);
        }
        world.hub.offers(1).await.unwrap();
        (connection, send, recv)
    }
}

fn identity(data: &Path) -> AgentIdentity {
    let files = IdentityFiles::new(DataDir::open(data).unwrap());
    let (identity, _) = files.load().unwrap();
    identity
}

/// A message behind its length.
pub(super) fn message(message: &AgentMessage) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    prefix::encode(&message.encode().unwrap(), usize::MAX, &mut out).unwrap();
    out.to_vec()
}

/// Answers the hub's PINGs, as long as the value lives.
pub(super) fn answer_pings(mut send: SendStream, mut recv: RecvStream) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut read = bytes::BytesMut::new();
        while let Ok(Some(chunk)) = recv.read_chunk(64 * 1024, true).await {
            read.extend_from_slice(&chunk.bytes);
            while let Ok(Some(block)) = prefix::decode(&mut read, MESSAGE_BYTES_MAX) {
                if let Ok(HubMessage::Ping(nonce)) = HubMessage::decode(&block)
                    && send.write_all(&message(&AgentMessage::Pong(nonce))).await.is_err()
                {
                    return;
                }
            }
        }
    });
    task
}

/// How the hub closed the connection.
pub(super) async fn closed(connection: &Connection) -> Lost {
    timeout(LIMIT, connection.closed()).await.expect("the hub closes it").into()
}

/// Fails unless the hub closes the connection with `code`, soon.
pub(super) async fn closed_with(connection: &Connection, code: CloseCode, what: &str) {
    let lost = timeout(Duration::from_secs(20), connection.closed()).await;
    let lost: Lost = lost.unwrap_or_else(|_| panic!("{what}: still open")).into();
    assert_eq!(lost, Lost::ClosedByPeer(code), "{what}");
}
