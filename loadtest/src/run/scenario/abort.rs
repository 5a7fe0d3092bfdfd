//! `abort`: how soon the provider is closed after its user left, at each contestant.

use super::super::contestant::{Contestant, Name};
use super::super::figure::{Better, Bound, Measure, Played, Target};
use super::super::stage::{Lineup, Stage};
use crate::mesh::caller::{self, Body};
use crate::mesh::{Caller, Version};
use anyhow::Context;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// What is done.
pub(crate) const WHAT: &str = "A user leaves in the middle of a stream, by closing the connection; \
    the provider is asked again and again until it has noticed. On loopback, where the round trip \
    is nothing.";

const CLOSED: [Measure; 2] = [
    Measure {
        id: "closed-p50",
        what: "provider closed after, p50",
        unit: "ms",
        better: Better::Less,
    },
    Measure {
        id: "closed-p99",
        what: "provider closed after, p99",
        unit: "ms",
        better: Better::Less,
    },
];
/// Beyond the round trip.
const MILLIS_MAX: f64 = 10.0;
/// A stream that nobody hears to its end.
const PROVIDER: [&str; 4] = ["--deltas", "10000", "--pace-ms", "20"];
/// Who never notices is told as this long.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// Who does not notice so many times in a row is not asked on.
const UNNOTICED_MAX: usize = 3;
/// How often the provider is asked.
const ASK_EVERY: Duration = Duration::from_micros(500);
/// How long a user hears before it leaves.
const HEARD: Duration = Duration::from_millis(70);
/// Bytes of an answer of the provider's own.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;

/// Plays it.
///
/// # Errors
/// Where nobody is left to be measured.
///
/// # Cancel safety
/// Dropped, it ends what it started.
pub(crate) async fn play(stage: &Stage, played: &mut Played) -> anyhow::Result<()> {
    let leaves = stage.level.of(5, 40, 100);
    let rounds = stage.rounds(stage.level.of(1, 1, 2));
    played.set("leaves", leaves);
    played.set("rounds", rounds);
    let mut lineup = Lineup::gather(stage, stage.here(), &Name::ALL, &PROVIDER, played).await?;
    stage.progress.expect(rounds * lineup.contestants.len());
    for round in 1..=rounds {
        let names: Vec<Name> = lineup.contestants.iter().map(|one| one.name).collect();
        for name in names {
            stage.progress.say(&format!("abort: {}, round {round} of {rounds}", name.word()));
            let all = &lineup.contestants;
            let Some(contestant) = all.iter().find(|one| one.name == name) else { continue };
            match leave(&lineup, contestant, leaves).await {
                Ok(mut closed) => {
                    if closed.len() < leaves {
                        played.notes.push(format!(
                            "{}: after {} leaves, {UNNOTICED_MAX} in a row were not noticed within \
                             {NOTICED_WITHIN:?}",
                            name.word(),
                            closed.len()
                        ));
                    }
                    closed.sort_by(f64::total_cmp);
                    let at = |part: f64| {
                        let index = (part * closed.len() as f64).ceil() as usize;
                        closed.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
                    };
                    for (measure, part) in CLOSED.into_iter().zip([0.50, 0.99]) {
                        played.figures.add(measure, name.word(), "", at(part));
                    }
                }
                Err(error) => lineup.retire(name, &format!("{error:#}"), played),
            }
            stage.progress.step();
        }
    }
    played.targets.push(Target {
        what: CLOSED[1].what.to_owned(),
        unit: "ms".to_owned(),
        measured: played.figures.median(CLOSED[1].id, "weft", ""),
        against: format!("round trip + {MILLIS_MAX} ms"),
        limit: Some(MILLIS_MAX),
        bound: Bound::AtMost,
    });
    Ok(())
}

/// Leaves so many times, one after the other: milliseconds until the provider had noticed.
async fn leave(
    lineup: &Lineup,
    contestant: &Contestant,
    leaves: usize,
) -> anyhow::Result<Vec<f64>> {
    let mut provider = Plain::connect(lineup.address).await?;
    let (mut closed, mut unnoticed) = (Vec::with_capacity(leaves), 0);
    while closed.len() < leaves && unnoticed < UNNOTICED_MAX {
        let before = provider.gone().await?;
        let line = Line::connect(contestant).await?;
        let left = line.hear(contestant).await?;
        while provider.gone().await? <= before && left.elapsed() < NOTICED_WITHIN {
            tokio::time::sleep(ASK_EVERY).await;
        }
        let after = left.elapsed();
        unnoticed = if after < NOTICED_WITHIN { 0 } else { unnoticed + 1 };
        closed.push(after.as_secs_f64() * 1e3);
    }
    Ok(closed)
}

/// A connection of plain HTTP.
struct Plain {
    sender: SendRequest<Body>,
    driver: JoinSet<()>,
}

impl Plain {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver })
    }

    async fn send(&mut self, request: Request<Body>) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// How many requests the provider has seen the end of that their client went away from.
    async fn gone(&mut self) -> anyhow::Result<u64> {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/_sim/stats")
            .header(header::HOST, "provider")
            .body(caller::empty())?;
        let answer = self.send(request).await?;
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the provider's counts: {error}"))?;
        let stats: Value = serde_json::from_slice(&body.to_bytes())?;
        stats["client_gone"].as_u64().context("the provider does not count who went away")
    }
}

/// A user's connection.
enum Line {
    Plain(Plain),
    Tls(crate::mesh::Connection),
}

impl Line {
    async fn connect(contestant: &Contestant) -> anyhow::Result<Self> {
        let uri: Uri = contestant.door.url.parse()?;
        let port = uri.port_u16().context("a door has a port")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(match &contestant.door.ca {
            None => Self::Plain(Plain::connect(address).await?),
            Some(ca) => Self::Tls(Caller::new(address, ca)?.connect(Version::H1).await?),
        })
    }

    /// Asks for a stream, hears some of it and leaves: when that was.
    async fn hear(mut self, contestant: &Contestant) -> anyhow::Result<Instant> {
        let door = &contestant.door;
        let uri: Uri = door.url.parse()?;
        let path = format!("{}/v1/chat/completions", uri.path().trim_end_matches('/'));
        let ask = json!({
            "model": door.model,
            "stream": true,
            "messages": [{"role": "user", "content": "Go on until I leave."}],
        });
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", door.key))
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in &door.headers {
            request = request.header(*name, value);
        }
        let mut answer = match &mut self {
            Self::Plain(plain) => {
                let request = request.header(header::HOST, "localhost");
                plain.send(request.body(caller::full(ask.to_string()))?).await?
            }
            Self::Tls(line) => line.send(request.body(caller::full(ask.to_string()))?).await?,
        };
        let status = answer.status();
        anyhow::ensure!(status == StatusCode::OK, "a stream was refused with {status}");
        answer.frame().await.context("the stream ended at once")??;
        let hearing = async { while let Some(Ok(_)) = answer.frame().await {} };
        if timeout(HEARD, hearing).await.is_ok() {
            anyhow::bail!("the stream ended by itself");
        }
        let left = Instant::now();
        drop(answer);
        match self {
            Self::Plain(mut plain) => plain.driver.shutdown().await,
            Self::Tls(line) => drop(line),
        }
        Ok(left)
    }
}
