//! A hub's end of a tunnel, a provider that does as it is told, and an agent between the two.

use http::{HeaderMap, HeaderValue, Method};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use weft_agent::account::AccountDraft;
use weft_agent::app::{Agent, Parts, RunError};
use weft_agent::config::AgentConfig;
use weft_agent::datadir::DataDir;
use weft_agent::lifecycle::Stop;
use weft_agent::uplink::{IdentityFiles, JoinError, SystemNet, join};
use weft_agent::vault::{Secret, Vault};
use weft_certs::{AgentTrust, Authority, Invite, SpkiHash, Token, Verdict};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, HubId, NodeId, SessionId};
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::session::{HubEvent, HubSession};
use weft_proto::tables::hosts::HostTable;
use weft_proto::time::{Clock, ManualClock, SystemClock};
use weft_proto::wire::control::{Account, AgentMessage, Features, Health, HubMessage, Welcome};
use weft_proto::wire::head::{AnswerHead, RequestHead, Ticket};
use weft_proto::wire::join::{JoinAnswer, JoinRefusal};
use weft_transport::control::{ControlReceiver, ControlSender};
use weft_transport::exchange::{AnswerReader, Piece, RequestWriter};
use weft_transport::stream::StreamError;
use weft_transport::{Connection, Endpoint};

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// The owner's key, which only the provider may see.
pub(crate) const SECRET: &str = "sk-owner-secret";

/// Fails a test that waits for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

#[derive(Debug)]
struct TrustAll;

impl AgentTrust for TrustAll {
    fn verdict(&self, _: AgentId, _: SpkiHash) -> Verdict {
        Verdict::Trusted
    }
}

/// The hub's end: an authority and an endpoint.
pub(crate) struct Hub {
    pub(crate) authority: Authority,
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Token,
    _dir: tempfile::TempDir,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let hub = HubId::generate(&SystemClock, &OsEntropy);
        let authority =
            Authority::create(&dir.path().join("ca"), hub, &[], &SystemClock, &OsEntropy)
                .expect("authority");
        let tls = authority.agents_door(Arc::new(TrustAll), Arc::new(SystemClock)).expect("door");
        let config = weft_transport::config::hub(Arc::new(tls)).expect("config");
        let (udp, _) = weft_transport::endpoint::bind_udp("127.0.0.1:0".parse().expect("address"))
            .expect("bind");
        let endpoint =
            weft_transport::endpoint::hub(udp, config, &[7; 32], &OsEntropy).expect("endpoint");
        Self { authority, endpoint, token: Token::generate(&OsEntropy), _dir: dir }
    }

    pub(crate) fn invite(&self, token: &Token) -> Invite {
        let address = self.endpoint.local_addr().expect("address").to_string();
        Invite::new(
            self.authority.hub(),
            vec![address.parse().expect("hub address")],
            self.authority.pins(),
            token.clone(),
            SystemClock.now().after(Duration::from_secs(600)),
        )
        .expect("invite")
    }

    pub(crate) async fn accept(&self) -> Connection {
        let incoming = soon(self.endpoint.accept()).await.expect("open endpoint");
        soon(incoming.into_future()).await.expect("handshake")
    }

    /// Takes one agent in, if its token is the invite's.
    async fn take_in(&self) {
        let connection = self.accept().await;
        let (request, answer) =
            soon(weft_transport::join::accept(&connection)).await.expect("join request");
        let said = if request.token == Some(*self.token.expose()) {
            let agent = AgentId::generate(&SystemClock, &OsEntropy);
            let chain = self.authority.sign_agent(&request.csr, agent, &SystemClock).expect("sign");
            let chain = chain.ders().map(<[u8]>::to_vec).collect();
            JoinAnswer::Joined { agent, chain }
        } else {
            JoinAnswer::Refused(JoinRefusal::UnknownToken)
        };
        soon(answer.send(&said)).await.expect("answer");
        connection.closed().await;
    }

    /// Joins an agent with the right token.
    pub(crate) async fn join(&self, data: &DataDir) -> AgentId {
        self.join_with(&self.token, data).await.expect("joined")
    }

    pub(crate) async fn join_with(
        &self,
        token: &Token,
        data: &DataDir,
    ) -> Result<AgentId, JoinError> {
        self.join_at(token, data, Duration::ZERO).await
    }

    /// Joins with a clock that is so much later.
    pub(crate) async fn join_at(
        &self,
        token: &Token,
        data: &DataDir,
        later: Duration,
    ) -> Result<AgentId, JoinError> {
        let now = SystemClock.now().after(later);
        let address = self.invite(token).addresses()[0].clone();
        let expiry = now.after(Duration::from_secs(600));
        let (hub, pins) = (self.authority.hub(), self.authority.pins());
        let invite = Invite::new(hub, vec![address], pins, token.clone(), expiry).expect("invite");
        let files = IdentityFiles::new(data.clone());
        let clock = Arc::new(ManualClock::new(now));
        let joining = join(&invite, "test", &files, &SystemNet, clock, &OsEntropy);
        tokio::select! {
            biased;
            joined = joining => joined.map(|joined| joined.agent),
            () = async { loop { self.take_in().await } } => Err(JoinError::TimedOut),
        }
    }

    /// Greets the next agent and reads its accounts.
    pub(crate) async fn greet(&self, agent: AgentId) -> Tunnel {
        self.greet_with(agent, Features::default()).await
    }

    /// The same, as a hub that can do this.
    pub(crate) async fn greet_with(&self, agent: AgentId, features: Features) -> Tunnel {
        let connection = self.accept().await;
        let (mut sender, mut receiver) =
            soon(weft_transport::control::accept(&connection)).await.expect("control");
        let mut session = HubSession::new(agent);
        let hello = soon(receiver.next()).await.expect("hello");
        assert!(matches!(session.receive(hello), Ok(HubEvent::Hello(_))));
        let welcome = Welcome {
            node: NodeId::generate(&SystemClock, &OsEntropy),
            session: SessionId::generate(&SystemClock, &OsEntropy),
            features,
            build: "test".into(),
        };
        sender.send(&HubMessage::Welcome(welcome)).await.expect("welcome");
        let mut tunnel = Tunnel { connection, sender, receiver, session, accounts: Vec::new() };
        let HubEvent::Accounts(accounts) = tunnel.event().await else {
            panic!("accounts come first")
        };
        tunnel.accounts = accounts;
        tunnel
    }
}

/// An accepted session, seen from the hub.
pub(crate) struct Tunnel {
    pub(crate) connection: Connection,
    pub(crate) sender: ControlSender<HubMessage>,
    receiver: ControlReceiver<AgentMessage>,
    session: HubSession,
    pub(crate) accounts: Vec<Account>,
}

impl Tunnel {
    /// The next thing that the agent says, besides nothing.
    pub(crate) async fn event(&mut self) -> HubEvent {
        loop {
            let message = soon(self.receiver.next()).await.expect("message");
            let event = self.session.receive(message).expect("in order");
            if event != HubEvent::Nothing {
                return event;
            }
        }
    }

    pub(crate) async fn health(&mut self) -> Health {
        let HubEvent::Health(health) = self.event().await else { panic!("health is told") };
        health
    }

    pub(crate) async fn open(&self, head: &RequestHead) -> (RequestWriter, AnswerReader) {
        soon(weft_transport::exchange::open(&self.connection, head, Duration::ZERO))
            .await
            .expect("open")
    }

    /// Sends a whole request.
    pub(crate) async fn send(&self, head: &RequestHead, body: &[u8]) -> AnswerReader {
        let (mut writer, reader) = self.open(head).await;
        if !body.is_empty() {
            soon(writer.send(body.to_vec().into())).await.expect("send");
        }
        // An agent that refuses at once may have stopped the body before its end.
        writer.finish().unwrap_or_default();
        reader
    }

    pub(crate) async fn refusal(&self, head: &RequestHead) -> StreamError {
        let mut answer = self.send(head, b"{}").await;
        soon(answer.head()).await.expect_err("refused")
    }
}

pub(crate) fn request(account: AccountId) -> RequestHead {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("authorization", HeaderValue::from_static("Bearer wk-user"));
    RequestHead {
        ticket: Ticket::free(
            ExchangeId::generate(&SystemClock, &OsEntropy),
            1,
            account,
            SystemClock.now(),
        ),
        provider: Provider::OpenAi,
        method: Method::POST,
        target: "/v1/chat/completions".into(),
        headers,
        head_within: Duration::from_secs(60),
        upgrade: false,
    }
}

/// Reads an answer to its end, whichever it is.
pub(crate) async fn read(
    mut answer: AnswerReader,
) -> (Result<AnswerHead, StreamError>, Vec<u8>, Result<(), StreamError>) {
    let head = match soon(answer.head()).await {
        Ok(head) => head,
        Err(error) => return (Err(error.clone()), Vec::new(), Err(error)),
    };
    let mut body = answer.into_body(&head);
    let mut bytes = Vec::new();
    loop {
        match soon(body.next()).await {
            Ok(Some(Piece::Data(data))) => bytes.extend_from_slice(&data),
            Ok(Some(Piece::Trailers(_))) => {}
            Ok(None) => return (Ok(head), bytes, Ok(())),
            Err(error) => return (Ok(head), bytes, Err(error)),
        }
    }
}

/// One provider connection with a request read off it.
pub(crate) struct Called {
    pub(crate) head: String,
    pub(crate) stream: TcpStream,
}

impl Called {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("write");
    }

    /// Whether the agent closes the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = [0; 1024];
        loop {
            match tokio::time::timeout(PATIENCE, self.stream.read(&mut rest)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => {}
                Err(_) => return false,
            }
        }
    }
}

/// A provider on a loopback port.
pub(crate) struct ProviderEnd(pub(crate) TcpListener);

impl ProviderEnd {
    /// Accepts a connection and reads one request's head.
    pub(crate) async fn called(&self) -> Called {
        let (mut stream, _) = soon(self.0.accept()).await.expect("accept");
        let mut head = Vec::new();
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut byte = [0; 1];
            soon(stream.read_exact(&mut byte)).await.expect("read");
            head.extend_from_slice(&byte);
        }
        Called { head: String::from_utf8(head).expect("text"), stream }
    }

    /// Whether nobody has called.
    pub(crate) async fn is_quiet(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(50), self.0.accept()).await.is_err()
    }
}

/// Hub, agent and provider, connected.
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) provider: ProviderEnd,
    pub(crate) tunnel: Tunnel,
    pub(crate) agent: AgentId,
    pub(crate) account: AccountId,
    pub(crate) stop: Stop,
    pub(crate) run: JoinHandle<Result<(), RunError>>,
    pub(crate) data: DataDir,
    _dir: tempfile::TempDir,
}

pub(crate) fn draft(label: &str, max_concurrency: u32) -> AccountDraft {
    AccountDraft {
        provider: Provider::OpenAi,
        label: label.into(),
        site: String::new(),
        models: ModelPatterns::any(),
        deployments: BTreeMap::new(),
        max_concurrency,
        permitted_use: "own".into(),
        place: String::new(),
        http2: false,
        egress: weft_agent::account::Egress::Direct,
    }
}

pub(crate) fn add_account(data: &DataDir, label: &str, max_concurrency: u32) -> AccountId {
    let vault = Vault::open(data).expect("vault");
    let account = AccountId::generate(&SystemClock, &OsEntropy);
    let secret = Secret::parse(SECRET.as_bytes().to_vec().into()).expect("secret");
    vault.add(account, draft(label, max_concurrency), secret, &OsEntropy).expect("add");
    account
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_concurrency(64).await
    }

    pub(crate) async fn with_concurrency(max_concurrency: u32) -> Self {
        let hub = Hub::new();
        let dir = tempfile::tempdir().expect("temporary directory");
        let data = DataDir::open(dir.path().join("agent")).expect("data");
        let agent = hub.join(&data).await;
        let account = add_account(&data, "main", max_concurrency);
        let provider = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}", provider.local_addr().expect("address"));
        let table = HostTable::simulated([(Provider::OpenAi, url)]).expect("table");
        let stop = Stop::new();
        let run = spawn_agent(&data, table, &stop);
        let tunnel = hub.greet(agent).await;
        let provider = ProviderEnd(provider);
        Self { hub, provider, tunnel, agent, account, stop, run, data, _dir: dir }
    }

    pub(crate) fn request(&self) -> RequestHead {
        request(self.account)
    }
}

#[expect(clippy::disallowed_methods, reason = "the test keeps the handle and waits for it")]
pub(crate) fn spawn_agent(
    data: &DataDir,
    table: HostTable,
    stop: &Stop,
) -> JoinHandle<Result<(), RunError>> {
    let config = AgentConfig { drain_seconds: 10, ..AgentConfig::default() };
    let agent = Agent::new(Parts::system(table), data.clone(), &config, stop.clone());
    tokio::spawn(agent.expect("agent").run())
}

pub(crate) fn files_of(data: &DataDir) -> Vec<PathBuf> {
    std::fs::read_dir(data.root())
        .expect("list")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.is_file())
        .collect()
}
