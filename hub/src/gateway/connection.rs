//! What one users' connection is given: a place, an executor, and the end of our patience.

mod turn;

use super::unread::Unread;
use crate::lifecycle::{Stage, Tasks};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use turn::Turn;

/// How much longer than the stall limit the door waits for a user to take what was made for it: the
/// exchange looks first, and says in its record that the reader was slow.
const STALL_GRACE: Duration = Duration::from_secs(5);

/// Longest silence of a user whose connection is ending.
const LINGER_SILENCE: Duration = Duration::from_millis(500);

/// Longest end of a connection.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// Counts connections by address. IPv6 is counted by /64: one subscriber has all of it.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    open: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    max: usize,
}

/// One address's place, until it is dropped.
#[derive(Debug)]
pub(super) struct PeerPlace {
    open: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Peers {
    pub(super) fn new(max: usize) -> Self {
        Self { open: Arc::default(), max }
    }

    pub(super) fn enter(&self, address: IpAddr) -> Option<PeerPlace> {
        let address = subscriber(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(PeerPlace { open: Arc::clone(&self.open), address })
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

/// Runs the streams of an h2 or h3 connection as work of the hub, so that a forced stop ends them
/// too, and ends those whose user takes nothing.
#[derive(Debug, Clone)]
pub(super) struct WorkExecutor {
    tasks: Tasks,
    stall_max: Duration,
    name: &'static str,
}

impl WorkExecutor {
    /// Calls its tasks `name`.
    pub(super) const fn new(tasks: Tasks, stall_max: Duration, name: &'static str) -> Self {
        Self { tasks, stall_max, name }
    }
}

impl<F> hyper::rt::Executor<F> for WorkExecutor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let (stall_max, name) = (self.stall_max, self.name);
        self.tasks.spawn(Stage::Work, name, async move {
            if Turn::watch(stall_max, future).await.is_none() {
                tracing::debug!(task = name, "the user of a stream takes nothing: reset");
            }
        });
    }
}

/// The requests of a connection, as those who watch it see them.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(watch::Sender<Counts>);

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    running: usize,
    begun: u64,
}

/// One running request: until its answer's body is dropped.
#[derive(Debug)]
pub(super) struct Running(watch::Sender<Counts>);

impl Requests {
    /// One more, until the guard is dropped.
    pub(super) fn begin(&self) -> Running {
        self.0.send_modify(|counts| {
            counts.running += 1;
            counts.begun += 1;
        });
        Running(self.0.clone())
    }

    /// Waits until there was no request for `first` from the beginning, or for `idle` later on.
    pub(super) async fn idle(&self, first: Duration, idle: Duration) {
        let mut running = self.0.subscribe();
        let mut patience = first;
        loop {
            // The sender lives in `self`: neither wait can fail.
            drop(running.wait_for(|counts| counts.running == 0).await);
            let before = running.borrow_and_update().begun;
            let begun = running.wait_for(|counts| counts.begun != before);
            if tokio::time::timeout(patience, begun).await.is_err() {
                return;
            }
            patience = idle;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|counts| counts.running -= 1);
    }
}

/// A body that keeps its request counted for as long as it lives.
#[derive(Debug)]
pub(super) struct CountedBody {
    body: Body,
    turn: Turn,
    _running: Running,
    _reading_on: DropGuard,
}

impl CountedBody {
    /// `answer` to the request that `running` counts. From here on it is its user's turn; what is
    /// left of the request is read on by one of `tasks`, until the answer has ended.
    pub(super) fn of(
        mut answer: Response<Body>,
        running: Running,
        tasks: &Tasks,
    ) -> Response<Self> {
        let turn = Turn::current();
        turn.is_the_users();
        let ended = CancellationToken::new();
        if let Some(unread) = answer.extensions_mut().remove::<Unread>() {
            let ended = ended.clone();
            tasks.spawn(Stage::Work, "unread body", async move {
                ended.run_until_cancelled(unread.read_on()).await.unwrap_or_default();
            });
        }
        let reading_on = ended.drop_guard();
        answer.map(|body| Self { body, turn, _running: running, _reading_on: reading_on })
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        if poll.is_pending() {
            self.turn.is_the_hubs();
        } else {
            self.turn.is_the_users();
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A connection with the end of our patience: it errs when its peer takes no byte for the stall
/// limit, for a write that never ends would hold its request for ever; and, on h1, when a head that
/// has begun is not whole in its time.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    stall_max: Duration,
    head: Option<(Requests, Duration)>,
    /// How many requests had begun at the last look: one more, and the head was whole.
    begun: u64,
    taking: Option<Pin<Box<Sleep>>>,
    heading: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Watches writes: one may take the stall limit and a little more.
    pub(super) fn new(stream: S, stall: Duration) -> Self {
        let stall_max = stall + STALL_GRACE;
        Self { stream, stall_max, head: None, begun: 0, taking: None, heading: None }
    }

    /// Watches the heads of requests too: bytes that come while none is running are one.
    pub(super) fn with_heads(mut self, requests: Requests, head_max: Duration) -> Self {
        self.head = Some((requests, head_max));
        self
    }

    /// Watches no heads any more: what comes now is a WebSocket's.
    pub(super) fn forget_heads(&mut self) {
        self.head = None;
        self.heading = None;
    }

    /// The stream inside.
    pub(super) const fn get_ref(&self) -> &S {
        &self.stream
    }

    fn watch_write<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.taking = None;
            return poll;
        }
        let stall_max = self.stall_max;
        let taking = self.taking.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall_max)));
        ready!(taking.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the user takes no bytes")))
    }

    fn watch_read(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<()>>,
        read: usize,
    ) -> Poll<io::Result<()>> {
        let Some((requests, head_max)) = &self.head else {
            return poll;
        };
        let counts = *requests.0.borrow();
        if counts.begun != self.begun {
            self.begun = counts.begun;
            self.heading = None;
        }
        if counts.running > 0 {
            return poll;
        }
        if read > 0 && self.heading.is_none() {
            self.heading = Some(Box::pin(tokio::time::sleep(*head_max)));
        }
        let late = match &mut self.heading {
            Some(heading) => heading.as_mut().poll(context).is_ready(),
            None => false,
        };
        if poll.is_pending() && late {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the head came too slowly");
            return Poll::Ready(Err(error));
        }
        poll
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.watch_read(context, poll, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_write(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.watch_write(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch_write(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch_write(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Ends a connection so that its last answer arrives: closing it with bytes of the user's unread
/// would reset it, and a reset takes answers with it. Reads on until the user closes, is silent for
/// [`LINGER_SILENCE`], or [`LINGER_MAX`] has passed.
pub(super) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let lingering = async {
        stream.shutdown().await?;
        let mut sink = [0; 4 * 1024];
        while let Ok(read) = tokio::time::timeout(LINGER_SILENCE, stream.read(&mut sink)).await {
            if read? == 0 {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    // Whatever goes wrong from here on, the connection is over.
    drop(tokio::time::timeout(LINGER_MAX, lingering).await);
}

#[cfg(test)]
mod tests;
