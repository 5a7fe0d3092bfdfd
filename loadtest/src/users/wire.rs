//! Connections to a target over any version of HTTP, and requests on them.
//!
//! A lane is what one event loop has: its connections and nothing of another's. Over HTTP/1.1 a
//! connection carries a request at a time and is used again; over HTTP/2 and HTTP/3 so many
//! connections carry everything. A connection that has gone is replaced by the request that needs
//! it. A dropped answer is given up: its stream is reset, or its connection goes.

mod dial;
mod h1;
mod h2;
mod h3;

pub(super) use dial::{Dial, Stream};

use super::body::Load;
use super::fault::Fault;
use super::settings::Http;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use quinn::{Endpoint, VarInt};
use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Why a connection is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    /// Nobody answers.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// TLS failed.
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    /// HTTP did not begin.
    #[error("HTTP did not begin: {0}")]
    Protocol(String),
}

/// The head of an answer, and its body as it comes.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status.
    pub(super) status: StatusCode,
    body: ReplyBody,
}

#[derive(Debug)]
enum ReplyBody {
    One(Incoming, h1::Line),
    Two(Incoming),
    Three(Box<h3::Receiving>),
}

impl Reply {
    /// The next bytes of the body; nothing at its proper end.
    ///
    /// # Errors
    /// [`Fault`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let body = match &mut self.body {
            ReplyBody::One(body, _) | ReplyBody::Two(body) => body,
            ReplyBody::Three(body) => return body.next().await,
        };
        loop {
            match body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Fault::of_hyper(&error, true)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// The connections of one event loop.
pub(super) struct Lane {
    dial: Dial,
    idle: RefCell<Vec<h1::Line>>,
    two: Vec<h2::Shared>,
    three: Vec<h3::Shared>,
    turn: Cell<usize>,
    fresh: bool,
    http: Http,
    /// What drives shared connections, until they end by themselves.
    drivers: RefCell<JoinSet<()>>,
    /// What QUIC connections stand on.
    endpoints: RefCell<Vec<Endpoint>>,
    /// How long it took to open each connection, until somebody asks.
    opened: RefCell<Vec<Duration>>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("http", &self.http).finish_non_exhaustive()
    }
}

/// How long a goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Opening times that are kept until they are asked for.
const OPENED_MAX: usize = 65_536;

impl Lane {
    /// A lane of up to `connections` shared connections, none of which is open.
    pub(super) fn new(dial: Dial, http: Http, connections: usize, fresh: bool) -> Self {
        let count = |wanted: Http| if http == wanted { connections.max(1) } else { 0 };
        Self {
            dial,
            idle: RefCell::default(),
            two: (0..count(Http::H2)).map(|_| h2::Shared::default()).collect(),
            three: (0..count(Http::H3)).map(|_| h3::Shared::default()).collect(),
            turn: Cell::new(0),
            fresh,
            http,
            drivers: RefCell::default(),
            endpoints: RefCell::default(),
            opened: RefCell::default(),
        }
    }

    /// Opens `connections` ahead: so many for HTTP/1.1, all of the shared ones otherwise.
    ///
    /// # Errors
    /// [`Unsent`] of the first that cannot be opened.
    ///
    /// # Cancel safety
    /// A dropped call leaves those that are open.
    pub(super) async fn open_ahead(&self, connections: usize) -> Result<(), Unsent> {
        match self.http {
            Http::H1 if self.fresh => {}
            Http::H1 => {
                for _ in 0..connections {
                    let line = self.open_one().await?;
                    self.idle.borrow_mut().push(line);
                }
            }
            Http::H2 => {
                for shared in &self.two {
                    shared.sender(self).await?;
                }
            }
            Http::H3 => {
                for shared in &self.three {
                    shared.sender(self).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends `request` and returns the head of the answer.
    ///
    /// # Errors
    /// [`Fault`]. A request that a connection which has gone never took is sent on another.
    ///
    /// # Cancel safety
    /// A dropped call gives the request up.
    pub(super) async fn send(&self, request: Request<Load>) -> Result<Reply, Fault> {
        match self.http {
            Http::H1 => self.send_one(request).await,
            Http::H2 => self.two[self.turn(self.two.len())].send(self, request).await,
            Http::H3 => self.three[self.turn(self.three.len())].send(self, request).await,
        }
    }

    /// Takes a reply whose body has come to its end, so that its connection can be used again.
    pub(super) fn give_back(&self, reply: Reply) {
        if let ReplyBody::One(_, line) = reply.body
            && !self.fresh
        {
            self.idle.borrow_mut().push(line);
        }
    }

    /// How long it took to open each connection since it was asked last.
    pub(super) fn opened(&self) -> Vec<Duration> {
        self.opened.take()
    }

    /// Says goodbye on QUIC connections: TCP's kernel does so by itself.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn close(&self) {
        let endpoints = self.endpoints.take();
        let said = async {
            for endpoint in &endpoints {
                endpoint.close(VarInt::from_u32(0), b"");
            }
            for endpoint in &endpoints {
                endpoint.wait_idle().await;
            }
        };
        // Whoever does not hear it finds out by silence.
        drop(timeout(GOODBYE_MAX, said).await);
    }

    /// How connections are opened.
    pub(super) const fn dial(&self) -> &Dial {
        &self.dial
    }

    /// Notes a connection that was opened, and since when.
    pub(super) fn note_opened(&self, began: Instant) {
        let mut opened = self.opened.borrow_mut();
        if opened.len() < OPENED_MAX {
            opened.push(began.elapsed());
        }
    }

    fn turn(&self, count: usize) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn % count.max(1)
    }

    fn keep(&self, endpoint: Endpoint) {
        let mut endpoints = self.endpoints.borrow_mut();
        endpoints.retain(|endpoint| endpoint.open_connections() > 0);
        endpoints.push(endpoint);
    }

    fn drive(&self, driver: impl Future<Output = ()> + 'static) {
        let mut drivers = self.drivers.borrow_mut();
        while drivers.try_join_next().is_some() {}
        drivers.spawn_local(driver);
    }

    async fn open_one(&self) -> Result<h1::Line, Unsent> {
        let began = Instant::now();
        let line = h1::Line::open(&self.dial).await?;
        self.note_opened(began);
        Ok(line)
    }

    async fn send_one(&self, mut request: Request<Load>) -> Result<Reply, Fault> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let (mut line, used) = match idle {
                Some(line) => (line, true),
                None => {
                    let opened = self.open_one().await;
                    (opened.map_err(|unsent| Fault::of_unsent(&unsent))?, false)
                }
            };
            match line.send(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    return Ok(Reply { status: head.status, body: ReplyBody::One(body, line) });
                }
                // It was never sent: the other end had closed a connection that lay idle.
                Err((_, Some(unsent))) if used => request = unsent,
                Err((fault, _)) => return Err(fault),
            }
        }
    }
}
