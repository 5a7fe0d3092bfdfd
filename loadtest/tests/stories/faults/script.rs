//! A provider that says exact bytes: each request names its script, and gets what stands in it.
//!
//! It speaks HTTP/1.1 as badly as it is told to. A request's body is read whole before the script
//! runs, unless the script begins with [`Step::Early`].

use crate::talk::*;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use weft_loadtest::mesh::Agent;
use weft_loadtest::mesh::world::{OWNER, Plan, Running, World, secret};
use weft_proto::provider::Provider;

/// One thing that the provider does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Reads the request's body while it says the rest of the script, which may only say things.
    Early,
    /// Writes these bytes.
    Say(Bytes),
    /// Writes these bytes again and again, so often.
    Repeat(Bytes, usize),
    /// Does nothing for a while.
    Pause(Duration),
    /// Resets the connection.
    Reset,
    /// Keeps the connection open and says nothing more.
    Hang,
}

/// Writes `text`.
pub(crate) fn say(text: impl Into<Bytes>) -> Step {
    Step::Say(text.into())
}

/// What to do for each name. At a script's end the connection is closed.
pub(crate) type Scripts = BTreeMap<String, Vec<Step>>;

/// A provider that follows scripts.
pub(crate) struct Scripted {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    async fn bind(scripts: Scripts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let scripts = Arc::new(scripts);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (scripts, counter) = (Arc::clone(&scripts), Arc::clone(&counter));
                connections.spawn(async move {
                    // A caller that goes away in the middle of a script is what stories are about.
                    drop(follow(stream, &scripts, &counter).await);
                });
            }
        });
        Self { address, calls, _tasks: tasks }
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn follow(
    mut stream: TcpStream,
    scripts: &Scripts,
    calls: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    let head = loop {
        if let Some(at) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    calls.fetch_add(1, Ordering::SeqCst);
    let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    };
    let name = value("x-weft-sim").unwrap_or_default();
    let steps = scripts.get(&name).unwrap_or_else(|| panic!("no script is called {name:?}"));
    let early = matches!(steps.first(), Some(Step::Early));
    let length: usize = value("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while !early && read.len() < head + length {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    if early {
        let (mut reading, mut writing) = stream.split();
        let sink = async {
            while reading.read(&mut [0; 16 * 1024]).await? > 0 {}
            Ok(())
        };
        let saying = async {
            for step in steps {
                if let Step::Say(bytes) = step {
                    writing.write_all(bytes).await?;
                }
            }
            Ok(())
        };
        return tokio::try_join!(sink, saying).map(drop);
    }
    for step in steps {
        match step {
            Step::Early => {}
            Step::Say(bytes) => stream.write_all(bytes).await?,
            Step::Repeat(bytes, count) => {
                for _ in 0..*count {
                    stream.write_all(bytes).await?;
                }
            }
            Step::Pause(pause) => tokio::time::sleep(*pause).await,
            Step::Reset => {
                // What was written must have left: a reset takes what waits with it.
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.set_zero_linger()?;
                return Ok(());
            }
            Step::Hang => while stream.read(&mut [0; 1024]).await? > 0 {},
        }
    }
    stream.shutdown().await
}

/// A world whose only agent calls a scripted provider.
pub(crate) async fn scripted(
    scripts: Scripts,
    hub: Vec<(&'static str, &'static str)>,
) -> (World, Scripted) {
    let provider = Scripted::bind(scripts).await;
    let mut world = begin(Plan { agents: 0, hub, ..Plan::default() }).await;
    let running = run(&world, provider.address, "scripted");
    world.agents.push(running);
    world.hub.offers(2).await.unwrap();
    (world, provider)
}

fn run(world: &World, provider: SocketAddr, name: &str) -> Running {
    let program = world.binaries().agent_sim();
    let invite = world.hub.invite(OWNER).unwrap();
    let data = world.dir().join(name);
    let agent = Agent::join(&program, &data, name, &invite).unwrap();
    let mut words = Vec::new();
    for provider_named in [Provider::OpenAi, Provider::Anthropic] {
        let more = ["--concurrency", "256"];
        agent
            .add_account(provider_named, provider_named.name(), &secret(provider_named), &more)
            .unwrap();
        words.extend([
            "--simulate".to_owned(),
            format!("{}=http://{provider}", provider_named.name()),
        ]);
    }
    let log: &Path = &world.dir().join(format!("{name}.log"));
    let process = agent.run(&words, &[], log).unwrap();
    let listed = world.hub.ask(&["agent", "list"]).unwrap();
    let listed = listed.as_array().unwrap();
    let id = listed.iter().find(|one| one["name"] == *name).unwrap()["id"].as_str().unwrap();
    Running { agent, process, id: id.to_owned() }
}
