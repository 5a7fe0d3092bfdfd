//! The hub's end: accepts connections, and does the work on the last of them.

use super::Settings;
use super::process::Usage;
use super::talk::{Answer, Ask, questions, say};
use super::work::work;
use anyhow::Context;
use quinn::{Connection, Endpoint};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weft_certs::{AgentTrust, Authority, SpkiHash, Verdict};
use weft_proto::entropy::{Entropy, OsEntropy};
use weft_proto::ids::AgentId;
use weft_proto::time::{Clock, SystemClock};
use weft_transport::{config, endpoint};

/// How long connections may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// Connections that have come up and were not looked at yet.
const FRESH_MAX: usize = 1_024;

/// Every agent that has a certificate of this run's authority.
#[derive(Debug)]
struct Everybody;

impl AgentTrust for Everybody {
    fn verdict(&self, _: AgentId, _: SpkiHash) -> Verdict {
        Verdict::Trusted
    }
}

/// Answers questions until there are no more.
pub(super) async fn run(certs: &Path, settings: Settings) -> anyhow::Result<()> {
    let endpoint = listen(certs, settings)?;
    say(&Answer::At(endpoint.local_addr()?))?;
    let (came, mut fresh) = mpsc::channel(FRESH_MAX);
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(endpoint, came));
    let mut questions = questions()?;
    let mut connections = Vec::new();
    loop {
        let ask = tokio::select! {
            biased;
            ask = questions.recv() => ask,
            Some(connection) = fresh.recv() => {
                connections.push(connection);
                continue;
            }
        };
        let Some(ask) = ask else { return Ok(()) };
        connections.retain(|connection: &Connection| connection.close_reason().is_none());
        let answer = answer(ask, &mut connections, &mut fresh).await;
        say(&answer.unwrap_or_else(|error| Answer::Failed(format!("hub's end: {error:#}"))))?;
    }
}

async fn answer(
    ask: Ask,
    connections: &mut Vec<Connection>,
    fresh: &mut mpsc::Receiver<Connection>,
) -> anyhow::Result<Answer> {
    match ask {
        Ask::Await { connections: wanted } => {
            let all = async {
                while connections.len() < wanted {
                    let connection = fresh.recv().await.context("the endpoint is gone")?;
                    // Those whose handshakes were all that was wanted are closed by now.
                    if connection.close_reason().is_none() {
                        connections.push(connection);
                    }
                }
                Ok(Answer::Done)
            };
            timeout(UP_WITHIN, all).await.context("connections that did not come up")?
        }
        Ask::Work { kind, millis } => {
            let connection = connections.last().context("no connection")?;
            Ok(Answer::Figures(work(connection, kind, Duration::from_millis(millis)).await?))
        }
        Ask::Usage => Ok(Answer::Usage(Usage::own()?)),
        Ask::Open { .. } | Ask::Handshakes { .. } | Ask::Close => {
            anyhow::bail!("not a hub's business: {ask:?}")
        }
    }
}

async fn accept(endpoint: Endpoint, came: mpsc::Sender<Connection>) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = handshakes.join_next() => {
                // One that failed is the dialling end's news.
                if let Ok(Ok(connection)) = done && came.send(connection).await.is_err() {
                    return;
                }
            }
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                handshakes.spawn(async move { incoming.await });
            }
        }
    }
}

pub(super) fn listen(certs: &Path, settings: Settings) -> anyhow::Result<Endpoint> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let authority = Authority::open(certs, &SystemClock)?;
    let tls = authority.agents_door(Arc::new(Everybody), clock)?;
    let mut config = config::hub(Arc::new(tls))?;
    if let Some(transport) = settings.instead() {
        config.transport_config(transport);
    }
    let (udp, _) = endpoint::bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let mut reset_key = [0; 32];
    OsEntropy.fill(&mut reset_key);
    Ok(endpoint::hub(udp, config, &reset_key, &OsEntropy)?)
}
