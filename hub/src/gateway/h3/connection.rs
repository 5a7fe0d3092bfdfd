//! One users' connection of HTTP/3: its requests, and its farewell.
//!
//! A farewell names the first request that is not served: a GOAWAY for the one behind the last that
//! was taken. `h3` would name the last one itself, which its user might then send again elsewhere
//! although it was served, and would go on to take the one it named. So every request after the
//! farewell is rejected here, with the code that says that nobody has looked at it.
//!
//! A connection whose user has moved to another address takes no further request: what an address
//! may do is judged by the one that the handshake proved, and a new address proves nothing at first.
//! What runs goes on; another port of the same address is no move.
//!
//! Invariants: a connection is closed only when every answer on it was acknowledged, was reset, or
//! had its time.

use super::quic::Conn;
use super::request::Shared;
use crate::gateway::connection::WorkExecutor;
use bytes::Bytes;
use h3::error::ConnectionError;
use hyper::rt::Executor;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a connection may go without a request.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// Longest that a farewell may take to be written.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// Longest that a connection without requests stays open behind its farewell, so that the user reads
/// it before the end.
const PARTING_MAX: Duration = Duration::from_millis(250);

/// A request's stream that is not DATA may hold a frame of so many times the longest head: a head
/// that is too large can be answered then, instead of being cut.
const HEAD_FRAME_FACTOR: u64 = 2;

/// Why a connection takes no further requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// The hub stops, or the user was silent for too long, or has said so.
    Done,
    /// The user is at another address: the last request that came is not served.
    Moved,
}

/// Serves `connection` until it ends.
pub(super) async fn serve(
    connection: quinn::Connection,
    shared: Shared,
    stopping: CancellationToken,
) -> Result<(), ConnectionError> {
    let limits = &shared.limits;
    let head_bytes_max = limits.head_bytes_max as u64;
    let streams = Conn::new(connection.clone(), head_bytes_max.saturating_mul(HEAD_FRAME_FACTOR));
    let mut builder = h3::server::builder();
    builder.max_field_section_size(head_bytes_max).send_grease(false);
    // The user's end has to permit the control streams first.
    let begun = tokio::time::timeout(limits.handshake, builder.build::<_, Bytes>(streams)).await;
    let Ok(begun) = begun else { return Ok(()) };
    let mut h3 = begun?;

    let executor = WorkExecutor::new(shared.tasks.clone(), limits.stall, "h3 stream");
    let running = TaskTracker::new();
    let requests = shared.requests.clone();
    let farewell = {
        let mut idle = pin!(requests.idle(limits.head, IDLE_MAX));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopping.cancelled() => break Farewell::Done,
                () = &mut idle => break Farewell::Done,
                accepted = poll_fn(|context| h3.poll_accept_request_stream(context)) => accepted?,
            };
            let Some(stream) = accepted else { break Farewell::Done };
            if connection.remote_address().ip().to_canonical() != shared.peer.to_canonical() {
                stream.reject();
                break Farewell::Moved;
            }
            let request = shared.clone().serve(&h3, stream);
            executor.execute(running.track_future(request));
        }
    };

    let beyond = usize::from(farewell == Farewell::Done);
    tracing::debug!(peer = %shared.peer, ?farewell, "no further requests of a connection");
    match tokio::time::timeout(GOODBYE_MAX, h3.shutdown(beyond)).await {
        Ok(written) => written?,
        Err(_) => return Ok(()),
    }
    running.close();
    let parting = (connection.rtt() * 2).min(PARTING_MAX);
    let mut over = pin!(async {
        running.wait().await;
        tokio::time::sleep(parting).await;
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut over => return Ok(()),
            accepted = poll_fn(|context| h3.poll_accept_request_stream(context)) => accepted?,
        };
        match accepted {
            Some(stream) => stream.reject(),
            // The user has said farewell too: nothing more comes.
            None => {
                over.await;
                return Ok(());
            }
        }
    }
}
