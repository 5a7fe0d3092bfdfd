//! One exchange at the agent: judged, written down, called, streamed, written down.
//!
//! ```text
//!  accept ─▶ authorize ─▶ OPEN ─▶ call ─▶ stream ─▶ FIN ─▶ CLOSE
//!   head      own tables   durable  vault lends   bytes as     only when the      at every end,
//!             own limits            one key       they come    answer is whole    with its usage
//! ```
//! At every point the task also waits for the hub to stop the answer: dropping the task's future
//! closes the provider's connection at once, even while the provider is silent. The agent trusts
//! the hub no further than it must: account, provider, route, target and headers are checked here
//! again. Nothing of a request or an answer is kept or logged but ids, counts and times; its meters
//! read copies of what goes by.

mod authorize;
mod call;
mod fault;
mod record;
mod stream;
mod switch;

use crate::ledger::{Books, Ledger};
use crate::limits::AccountLimits;
use crate::upstream::Upstream;
use crate::vault::Vault;
use record::Record;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_proto::codes::AbortCode;
use weft_proto::tables::hosts::HostTable;
use weft_transport::exchange::{Incoming, accept};
use weft_transport::stream::StreamError;

/// What every exchange needs. Clones share it.
#[derive(Debug, Clone)]
pub struct Exchanges(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    vault: Arc<Vault>,
    limits: AccountLimits,
    hosts: HostTable,
    upstream: Upstream,
    ledger: Ledger,
    books: Books,
}

/// How an exchange ended before its answer was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {why}")]
struct Ended {
    /// What the hub is told.
    code: AbortCode,
    /// What the log is told.
    why: &'static str,
}

impl Ended {
    const fn new(code: AbortCode, why: &'static str) -> Self {
        Self { code, why }
    }
}

/// What went through a finished exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Served {
    status: u16,
    answer_bytes: u64,
}

impl Exchanges {
    pub(crate) fn new(
        vault: Arc<Vault>,
        limits: AccountLimits,
        hosts: HostTable,
        upstream: Upstream,
        ledger: Ledger,
        books: Books,
    ) -> Self {
        Self(Arc::new(Shared { vault, limits, hosts, upstream, ledger, books }))
    }

    /// Whether exchanges go to a simulation instead of to providers.
    pub(crate) fn is_simulated(&self) -> bool {
        self.0.hosts.is_simulated()
    }

    pub(crate) fn limits(&self) -> &AccountLimits {
        &self.0.limits
    }

    /// Serves one stream that the hub opened, to its end.
    ///
    /// # Cancel safety
    /// Dropping it resets the stream and closes the provider's connection.
    pub(crate) async fn serve(
        &self,
        send: quinn::SendStream,
        recv: quinn::RecvStream,
        draining: bool,
        over: &CancellationToken,
    ) {
        let accepted = tokio::select! {
            biased;
            accepted = accept(send, recv) => accepted,
            () = over.cancelled() => return,
        };
        let incoming = match accepted {
            Ok(incoming) => incoming,
            Err(error) => {
                tracing::debug!(%error, "an exchange without a head");
                return;
            }
        };
        let exchange = incoming.head.ticket.exchange;
        let account = incoming.head.ticket.account;
        let began = Instant::now();
        let stopped = incoming.answer.stopped();
        let record = Record::default();
        let mut unsure = None;
        let outcome = {
            let mut stopped = std::pin::pin!(stopped);
            let mut work = std::pin::pin!(self.work(incoming, draining, &record));
            tokio::select! {
                biased;
                gone = &mut stopped => match gone {
                    Some(error) => Err(stopped_because(&error)),
                    // All of the answer is acknowledged: what is left to do is to say so.
                    None => work.await,
                },
                outcome = &mut work => {
                    if outcome.is_ok() {
                        // The hub has the whole answer before the exchange counts as done: a
                        // drain that closed the tunnel earlier would take the rest of it away.
                        unsure = tokio::select! {
                            biased;
                            gone = &mut stopped => gone.map(|error| stopped_because(&error)),
                            () = over.cancelled() => Some(session_over()),
                        };
                    }
                    outcome
                }
                () = over.cancelled() => Err(session_over()),
            }
        };
        // The work is gone, and with it the provider's connection: what is left is to say what it
        // came to.
        let elapsed = began.elapsed();
        record.close(&self.0.books, &outcome, unsure).await;
        match outcome {
            Ok(Served { status, answer_bytes }) => {
                tracing::debug!(%exchange, %account, status, answer_bytes, ?elapsed, "served");
            }
            Err(ended) => {
                tracing::debug!(
                    %exchange, %account, code = %ended.code, why = ended.why, ?elapsed, "not served"
                );
            }
        }
    }

    async fn work(
        &self,
        incoming: Incoming,
        draining: bool,
        record: &Record,
    ) -> Result<Served, Ended> {
        let Incoming { head, body, mut answer } = incoming;
        let outcome = self.steps(&head, body, &mut answer, draining, record).await;
        if let Err(ended) = &outcome {
            answer.abort(ended.code);
        }
        outcome
    }
}

/// The end of its session is the end of an exchange.
fn session_over() -> Ended {
    Ended::new(AbortCode::Replaced, "the session is over")
}

/// What the hub's stop means here.
fn stopped_because(error: &StreamError) -> Ended {
    match error {
        StreamError::Aborted(code) => Ended::new(*code, "the hub stopped the answer"),
        StreamError::TunnelLost(_) => Ended::new(AbortCode::Replaced, "the tunnel was lost"),
        StreamError::Malformed(_) | StreamError::TimedOut => {
            Ended::new(AbortCode::Malformed, "the stream broke the rules")
        }
    }
}
