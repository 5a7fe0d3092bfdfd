//! The agents' end: dials the hub's end, and serves the streams that it opens.

use super::Settings;
use super::process::Usage;
use super::talk::{Answer, Ask, questions, say};
use super::work::{Figures, Watch, serve};
use quinn::{ClientConfig, Connection, Endpoint, VarInt};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_certs::{AgentIdentity, AgentKey, Authority, server_name, tunnel_tls};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::AgentId;
use weft_proto::time::{Clock, SystemClock};
use weft_transport::{config, endpoint};

/// Handshakes under way while idle connections are opened: few, so that what they leave behind in
/// the heap is small beside what the connections hold.
const AT_ONCE: usize = 4;

/// Answers questions until there are no more.
pub(super) async fn run(certs: &Path, hub: SocketAddr, settings: Settings) -> anyhow::Result<()> {
    let dialler = Dialler::new(certs, hub, settings)?;
    let mut serving = JoinSet::new();
    let mut connections: Vec<Connection> = Vec::new();
    let mut questions = questions()?;
    while let Some(ask) = questions.recv().await {
        let answer = match ask {
            Ask::Open { connections: more } => match dialler.open(more).await {
                Ok(opened) => {
                    for connection in opened {
                        serving.spawn(serve_all(connection.clone()));
                        connections.push(connection);
                    }
                    Ok(Answer::Done)
                }
                Err(error) => Err(error),
            },
            Ask::Handshakes { millis, at_once } => {
                let within = Duration::from_millis(millis);
                dialler.handshakes(within, at_once).await.map(Answer::Figures)
            }
            Ask::Close => {
                for connection in connections.drain(..) {
                    connection.close(VarInt::from_u32(0), b"");
                }
                serving.shutdown().await;
                Ok(Answer::Done)
            }
            Ask::Usage => Usage::own().map(Answer::Usage).map_err(Into::into),
            Ask::Await { .. } | Ask::Work { .. } => {
                Err(anyhow::anyhow!("not the agents' business: {ask:?}"))
            }
        };
        say(&answer.unwrap_or_else(|error| Answer::Failed(format!("agents' end: {error:#}"))))?;
    }
    Ok(())
}

pub(super) async fn serve_all(connection: Connection) {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = streams.join_next() => {
                if let Ok(Err(error)) = done {
                    // The hub's end misses an answer, and says so.
                    tracing::debug!(%error, "a stream failed");
                }
            }
            accepted = connection.accept_bi() => match accepted {
                Ok((send, receive)) => {
                    streams.spawn(serve(send, receive));
                }
                Err(_) => return,
            }
        }
    }
}

pub(super) struct Dialler {
    endpoint: Endpoint,
    config: ClientConfig,
    hub: SocketAddr,
    name: String,
}

impl Dialler {
    pub(super) fn new(certs: &Path, hub: SocketAddr, settings: Settings) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let authority = Authority::open(certs, &SystemClock)?;
        let key = AgentKey::generate(&OsEntropy);
        let agent = AgentId::generate(&SystemClock, &OsEntropy);
        let chain = authority.sign_agent(&key.csr_der(), agent, &SystemClock)?;
        let identity = AgentIdentity::new(key, chain)?;
        let tls = tunnel_tls(authority.pins(), authority.hub(), &identity, clock)?;
        let mut config = config::agent(Arc::new(tls), &OsEntropy)?;
        if let Some(transport) = settings.instead() {
            config.transport_config(transport);
        }
        let (udp, _) = endpoint::bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let endpoint = endpoint::agent(udp, &OsEntropy)?;
        let name = server_name(authority.hub()).to_str().into_owned();
        Ok(Self { endpoint, config, hub, name })
    }

    fn dial(&self) -> anyhow::Result<quinn::Connecting> {
        Ok(self.endpoint.connect_with(self.config.clone(), self.hub, &self.name)?)
    }

    pub(super) async fn open(&self, count: usize) -> anyhow::Result<Vec<Connection>> {
        let (mut dialled, mut opened) = (JoinSet::new(), Vec::with_capacity(count));
        for _ in 0..count {
            if dialled.len() >= AT_ONCE
                && let Some(done) = dialled.join_next().await
            {
                opened.push(done??);
            }
            let connecting = self.dial()?;
            dialled.spawn(connecting);
        }
        while let Some(done) = dialled.join_next().await {
            opened.push(done??);
        }
        Ok(opened)
    }

    pub(super) async fn handshakes(
        &self,
        within: Duration,
        at_once: usize,
    ) -> anyhow::Result<Figures> {
        let mut watch = Watch::start(within)?;
        let mut dialled: JoinSet<Result<Duration, quinn::ConnectionError>> = JoinSet::new();
        loop {
            while watch.runs() && dialled.len() < at_once {
                let connecting = self.dial()?;
                dialled.spawn(async move {
                    let began = Instant::now();
                    let connection = connecting.await?;
                    let took = began.elapsed();
                    connection.close(VarInt::from_u32(0), b"");
                    Ok(took)
                });
            }
            let Some(done) = dialled.join_next().await else { break };
            watch.took(done??);
        }
        Ok(watch.figures(0))
    }
}
