//! How the command speaks with the two ends: a line of JSON there, a line of JSON back.
//!
//! An end whose standard input closes ends: nothing outlives the command, however it dies.

use super::process::Usage;
use super::work::{Figures, Kind};
use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tokio::sync::mpsc;

/// Lines that wait for an end: the command asks one thing at a time.
const LINES_MAX: usize = 1;

/// What an end is asked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Of the hub's end: wait until so many connections are up.
    Await {
        /// How many.
        connections: usize,
    },
    /// Of the hub's end: work on the connection that is up.
    Work {
        /// What.
        kind: Kind,
        /// For how long.
        millis: u64,
    },
    /// Of the agents' end: open so many connections more.
    Open {
        /// How many.
        connections: usize,
    },
    /// Of the agents' end: open and close connections.
    Handshakes {
        /// For how long.
        millis: u64,
        /// Under way at a time.
        at_once: usize,
    },
    /// Of the agents' end: close all connections.
    Close,
    /// Of either: what it has cost.
    Usage,
}

/// What an end answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The hub's end, once: where it listens.
    At(SocketAddr),
    /// It is done.
    Done,
    /// To work and handshakes.
    Figures(Figures),
    /// To the question for it.
    Usage(Usage),
    /// It failed.
    Failed(String),
}

/// Says an answer, at an end.
pub(super) fn say(answer: &Answer) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// The questions, at an end; closed when the command is gone.
pub(super) fn questions() -> anyhow::Result<mpsc::Receiver<Ask>> {
    let (found, questions) = mpsc::channel(LINES_MAX);
    std::thread::Builder::new().name("questions".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let ask = line.ok().and_then(|line| serde_json::from_str(&line).ok());
            let Some(ask) = ask else { return };
            if found.blocking_send(ask).is_err() {
                return;
            }
        }
    })?;
    Ok(questions)
}

/// An end as the command sees it. Killed when dropped.
#[derive(Debug)]
pub(super) struct End {
    child: Child,
    pipes: Option<Pipes>,
}

#[derive(Debug)]
struct Pipes {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Pipes {
    fn read<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("an end answered `{}`", line.trim()))
    }
}

impl End {
    /// Starts `command`, which is an end.
    pub(super) fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let to = child.stdin.take().context("an end without an input")?;
        let from = BufReader::new(child.stdout.take().context("an end without an output")?);
        Ok(Self { child, pipes: Some(Pipes { to, from }) })
    }

    /// The first word of the hub's end.
    pub(super) async fn address(&mut self) -> anyhow::Result<SocketAddr> {
        match self.with(Pipes::read).await? {
            Answer::At(address) => Ok(address),
            other @ (Answer::Done | Answer::Figures(_) | Answer::Usage(_) | Answer::Failed(_)) => {
                anyhow::bail!("no address but {other:?}")
            }
        }
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&mut self, ask: Ask) -> anyhow::Result<Answer> {
        let answer = self.with(move |pipes| {
            let mut line = serde_json::to_vec(&ask)?;
            line.push(b'\n');
            pipes.to.write_all(&line)?;
            pipes.read()
        });
        match answer.await? {
            Answer::Failed(words) => anyhow::bail!(words),
            answer @ (Answer::At(_) | Answer::Done | Answer::Figures(_) | Answer::Usage(_)) => {
                Ok(answer)
            }
        }
    }

    /// Asks for figures.
    pub(super) async fn figures(&mut self, ask: Ask) -> anyhow::Result<Figures> {
        match self.ask(ask).await? {
            Answer::Figures(figures) => Ok(figures),
            other @ (Answer::At(_) | Answer::Done | Answer::Usage(_) | Answer::Failed(_)) => {
                anyhow::bail!("no figures but {other:?}")
            }
        }
    }

    /// Asks what it has cost.
    pub(super) async fn usage(&mut self) -> anyhow::Result<Usage> {
        match self.ask(Ask::Usage).await? {
            Answer::Usage(usage) => Ok(usage),
            other @ (Answer::At(_) | Answer::Done | Answer::Figures(_) | Answer::Failed(_)) => {
                anyhow::bail!("no usage but {other:?}")
            }
        }
    }

    async fn with<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Pipes) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let mut pipes = self.pipes.take().context("an end that was left in the middle")?;
        let (pipes, answer) = tokio::task::spawn_blocking(move || {
            let answer = act(&mut pipes);
            (pipes, answer)
        })
        .await?;
        self.pipes = Some(pipes);
        answer
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            // Reaped, or gone already.
            drop(self.child.wait());
        }
    }
}
