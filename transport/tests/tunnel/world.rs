//! A hub's authority in a temporary folder, one agent of it, and tunnels between them.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use quinn::{RecvStream, SendStream};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weft_certs::{
    AgentIdentity, AgentKey, AgentTrust, Authority, SpkiHash, Verdict, join_tls, server_name,
    tunnel_tls,
};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, HubId};
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, SystemClock};
use weft_proto::wire::head::{AnswerHead, RequestHead, Ticket};
use weft_transport::exchange::{AnswerReader, Incoming, Piece, RequestWriter, accept, open};
use weft_transport::stream::{Lost, StreamError};
use weft_transport::{Connection, Endpoint, config, endpoint};

/// Longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Trusts everybody, and counts how often it was asked.
#[derive(Debug, Default)]
pub(crate) struct Census(AtomicUsize);

impl Census {
    pub(crate) fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl AgentTrust for Census {
    fn verdict(&self, _: AgentId, _: SpkiHash) -> Verdict {
        self.0.fetch_add(1, Ordering::SeqCst);
        Verdict::Trusted
    }
}

pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    pub(crate) identity: AgentIdentity,
    pub(crate) census: Arc<Census>,
}

/// A tunnel, and the two endpoints that carry it.
pub(crate) struct Tunnel {
    pub(crate) hub: Connection,
    pub(crate) agent: Connection,
    pub(crate) hub_endpoint: Endpoint,
    pub(crate) agent_endpoint: Endpoint,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = HubId::generate(&SystemClock, &OsEntropy);
        let names = ["hub.example".to_owned()];
        let dir = folder.path().join("certs");
        let authority = Authority::create(&dir, hub, &names, &SystemClock, &OsEntropy).unwrap();
        let agent = AgentId::generate(&SystemClock, &OsEntropy);
        let key = AgentKey::generate(&OsEntropy);
        let chain = authority.sign_agent(&key.csr_der(), agent, &SystemClock).unwrap();
        Self {
            _folder: folder,
            authority,
            identity: AgentIdentity::new(key, chain).unwrap(),
            census: Arc::default(),
        }
    }

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    pub(crate) fn agent_tls(&self) -> rustls::ClientConfig {
        let pins = self.authority.pins();
        tunnel_tls(pins, self.authority.hub(), &self.identity, Self::clock()).unwrap()
    }

    pub(crate) fn joining_tls(&self) -> rustls::ClientConfig {
        join_tls(self.authority.pins(), self.authority.hub(), Self::clock()).unwrap()
    }

    pub(crate) fn hub_config(&self) -> quinn::ServerConfig {
        let trust: Arc<dyn AgentTrust> = Arc::<Census>::clone(&self.census);
        let tls = self.authority.agents_door(trust, Self::clock()).unwrap();
        config::hub(Arc::new(tls)).unwrap()
    }

    /// A hub's endpoint on this port of loopback; 0 for any.
    pub(crate) fn hub_at(&self, port: u16, reset_key: [u8; 32]) -> std::io::Result<Endpoint> {
        let (udp, buffers) = endpoint::bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        assert!(buffers.receive > 0 && buffers.send > 0);
        endpoint::hub(udp, self.hub_config(), &reset_key, &OsEntropy)
    }

    pub(crate) fn agent_endpoint() -> Endpoint {
        let (udp, _) = endpoint::bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        endpoint::agent(udp, &OsEntropy).unwrap()
    }

    /// Dials `to` from `from`; nothing is awaited yet.
    pub(crate) fn dial(
        &self,
        from: &Endpoint,
        to: SocketAddr,
        tls: rustls::ClientConfig,
    ) -> quinn::Connecting {
        let config = config::agent(Arc::new(tls), &OsEntropy).unwrap();
        let name = server_name(self.authority.hub());
        from.connect_with(config, to, &name.to_str()).unwrap()
    }

    pub(crate) async fn tunnel(&self) -> Tunnel {
        self.connect(self.agent_tls()).await
    }

    /// A connection with this client configuration.
    pub(crate) async fn connect(&self, tls: rustls::ClientConfig) -> Tunnel {
        let hub_endpoint = self.hub_at(0, [7; 32]).unwrap();
        let agent_endpoint = Self::agent_endpoint();
        let addr = hub_endpoint.local_addr().unwrap();
        let dialled = self.dial(&agent_endpoint, addr, tls);
        let accepted = async { hub_endpoint.accept().await.unwrap().await.unwrap() };
        let (agent, hub) = tokio::join!(dialled, accepted);
        Tunnel { hub, agent: agent.unwrap(), hub_endpoint, agent_endpoint }
    }
}

impl Tunnel {
    /// A fresh exchange, seen from both ends.
    pub(crate) async fn exchange(&self) -> (RequestWriter, AnswerReader, Incoming) {
        self.exchange_of(request_head()).await
    }

    /// The same with another head.
    pub(crate) async fn exchange_of(
        &self,
        head: RequestHead,
    ) -> (RequestWriter, AnswerReader, Incoming) {
        let opened = open(&self.hub, &head, Duration::ZERO);
        let accepted = async {
            let (send, recv) = self.agent.accept_bi().await.unwrap();
            accept(send, recv).await.unwrap()
        };
        let (opened, incoming) = tokio::join!(opened, accepted);
        let (writer, reader) = opened.unwrap();
        assert_eq!(incoming.head, head);
        (writer, reader, incoming)
    }

    /// A bare stream that the hub opens, seen from both ends, its first byte read.
    pub(crate) async fn bare(&self) -> ((SendStream, RecvStream), (SendStream, RecvStream)) {
        let (mut send, recv) = self.hub.open_bi().await.unwrap();
        send.write_all(b"!").await.unwrap();
        let (agent_send, mut agent_recv) = self.agent.accept_bi().await.unwrap();
        agent_recv.read_exact(&mut [0]).await.unwrap();
        ((send, recv), (agent_send, agent_recv))
    }
}

pub(crate) fn request_head() -> RequestHead {
    let mut headers = HeaderMap::new();
    headers.append("content-type", "application/json".parse().unwrap());
    headers.append("x-twice", "a".parse().unwrap());
    headers.append("x-twice", "b".parse().unwrap());
    RequestHead {
        ticket: Ticket::free(
            ExchangeId::generate(&SystemClock, &OsEntropy),
            1,
            AccountId::generate(&SystemClock, &OsEntropy),
            SystemClock.now(),
        ),
        provider: Provider::Anthropic,
        method: Method::POST,
        target: "/v1/messages".to_owned(),
        headers,
        head_within: Duration::from_secs(60),
        upgrade: false,
    }
}

pub(crate) fn answer_head(status: u16) -> AnswerHead {
    let mut headers = HeaderMap::new();
    headers.append("content-type", "text/event-stream".parse().unwrap());
    AnswerHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        account_fault: false,
        framed: false,
    }
}

/// The whole of an answer's raw body, or why it is not whole.
pub(crate) async fn read_body(
    reader: AnswerReader,
    head: &AnswerHead,
) -> Result<Vec<u8>, StreamError> {
    let (mut body, mut bytes) = (reader.into_body(head), Vec::new());
    while let Some(piece) = body.next().await? {
        match piece {
            Piece::Data(data) => bytes.extend_from_slice(&data),
            Piece::Trailers(trailers) => panic!("trailers of a raw body: {trailers:?}"),
        }
    }
    Ok(bytes)
}

/// How a connection went, within [`PATIENCE`].
pub(crate) async fn closed(connection: &Connection) -> Lost {
    tokio::time::timeout(PATIENCE, connection.closed())
        .await
        .expect("the end of the connection is noticed")
        .into()
}

/// `length` bytes that are not all the same.
pub(crate) fn bytes(length: usize) -> Bytes {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}
