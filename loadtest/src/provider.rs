//! The simulated provider: four dialects on one loopback address, with faults on demand.
//!
//! It answers as OpenAI, Azure OpenAI, Anthropic and DeepSeek do, closely enough for their official
//! SDKs, in bytes that depend on the requests and the settings alone. What they make there (files,
//! responses, conversations, containers) is kept for their key, and found again. It writes down what it
//! received and what it sent, by digest, so that a test can compare both ends of a mesh. How a
//! request chooses its answer is told in [`control`].
//!
//! It never listens on an address that is not loopback, and it never keeps a body or a credential.

mod answer;
mod asked;
mod bill;
mod body;
pub mod command;
mod config;
pub mod control;
mod credential;
mod decide;
mod head;
mod listen;
mod objects;
mod query;
mod record;
mod refusal;
mod respond;
mod route;
pub mod script;
mod serve;
mod text;
pub mod websocket;

pub use config::{
    BODY_KEPT_MAX, CONNECTIONS_MAX, ExpectedKey, HEAD_BYTES_MAX, Protocols, ProviderConfig,
    RECORDS_MAX,
};
pub use control::{Control, ControlError, Fault, Finish, Shape};
pub use head::{ANTHROPIC_ORGANIZATION, OPENAI_ORGANIZATION};
pub(crate) use record::hex;
pub use record::{Ending, Phase, Record, Stats};
pub use serve::{CONTROL_HEADER, CONTROL_PARAMETER};

use objects::Objects;
use record::Recorder;
use serve::Server;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A simulated provider that did not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address could be reached from elsewhere.
    #[error("{0} is not a loopback address: a simulated provider listens nowhere else")]
    NotLoopback(SocketAddr),
    /// The operating system refused.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A running simulated provider. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Provider {
    addr: SocketAddr,
    recorder: Arc<Recorder>,
    scripts: Arc<script::Scripts>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Provider {
    /// Binds and begins to serve.
    ///
    /// # Errors
    /// [`BindError`] where the address is not loopback or not free.
    pub async fn bind(config: ProviderConfig) -> Result<Self, BindError> {
        let addr = config.listen;
        if !addr.ip().is_loopback() {
            return Err(BindError::NotLoopback(addr));
        }
        let listen = |source| BindError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let recorder = Arc::new(Recorder::new());
        let scripts = Arc::default();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let protocols = config.protocols;
        let server = Arc::new(Server {
            objects: Objects::new(config.seed),
            config,
            recorder: Arc::clone(&recorder),
            scripts: Arc::clone(&scripts),
            tracker: tracker.clone(),
            stop: stop.clone(),
        });
        let accept = listen::accept(listener, protocols, server, tracker.clone(), stop.clone());
        drop(tracker.spawn(accept));
        Ok(Self { addr, recorder, scripts, tracker, stop })
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a base URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The requests remembered, oldest first, running ones among them.
    #[must_use]
    pub fn received(&self) -> Vec<Record> {
        self.received_after(0)
    }

    /// The requests remembered whose `seq` is above `seq`, oldest first.
    #[must_use]
    pub fn received_after(&self, seq: u64) -> Vec<Record> {
        self.recorder.after(seq)
    }

    /// Takes in what one request is to be answered: the one that carries the ticket's control.
    #[must_use]
    pub fn script(&self, script: script::Script) -> script::Ticket {
        self.scripts.add(script)
    }

    /// Counts since the start or the last reset.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.recorder.stats()
    }

    /// Forgets all records and counts. `seq` goes on.
    pub fn reset(&self) {
        self.recorder.reset();
    }

    /// Waits until `found` takes something from the remembered requests, and returns it. Looks
    /// again whenever a request begins, changes its phase, has sent an event or ends. Waits for ever where that does
    /// not come: the caller sets the limit.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn wait_for<T>(&self, mut found: impl FnMut(&[Record]) -> Option<T>) -> T {
        let mut changes = self.recorder.watch();
        loop {
            changes.borrow_and_update();
            if let Some(value) = found(&self.received()) {
                return value;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the newest request has ended, and returns its record; for tests that send one
    /// request at a time.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn last_ended(&self) -> Record {
        self.wait_for(|records| records.last().filter(|last| last.ending.is_some()).cloned()).await
    }

    /// Stops at once: running answers break off, and their records end as
    /// [`Ending::Shutdown`]. Waits until every task is gone.
    pub async fn shutdown(self) {
        self.recorder.close();
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.recorder.close();
        self.stop.cancel();
    }
}
