//! One connection over real QUIC, with an answerer of the test's own behind it.
//!
//! The user is a bare QUIC client that writes frames by hand, so that it can break every rule.

mod ends;
mod heads;
mod raw;

use super::connection;
use super::request::{Answers, Shared};
use super::{Quic, UNI_STREAMS_MAX};
use crate::config::Limits;
use crate::gateway::connection::Requests;
use crate::lifecycle::Tasks;
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Frame;
use raw::User;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weft_certs::Authority;
use weft_proto::entropy::{OsEntropy, SeededEntropy};
use weft_proto::ids::HubId;
use weft_proto::time::{Clock, SystemClock, Timestamp};

/// Nothing here may take longer.
const LIMIT: Duration = Duration::from_secs(20);

type Handler = dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync;

/// Answers as the test says.
#[derive(Clone)]
struct Scripted {
    handler: Arc<Handler>,
    refused: Arc<Mutex<Vec<&'static str>>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Answers for Scripted {
    fn answer(&self, request: Request<Body>, _: IpAddr) -> BoxFuture<'_, Response<Body>> {
        (self.handler)(request)
    }

    fn refused(&self, cause: &'static str) {
        self.refused.lock().unwrap().push(cause);
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

/// A door with one handler, and a user who is connected to it.
struct Door {
    user: User,
    refused: Arc<Mutex<Vec<&'static str>>>,
    stopping: CancellationToken,
    tasks: Tasks,
}

impl Door {
    async fn open<F, A>(limits: Limits, handler: F) -> Self
    where
        F: Fn(Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::open_to(limits, handler, true).await
    }

    async fn open_to<F, A>(limits: Limits, handler: F, control: bool) -> Self
    where
        F: Fn(Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let certs = tempfile::tempdir().unwrap();
        let entropy = SeededEntropy::new(5);
        let hub = HubId::generate(&SystemClock, &entropy);
        let authority = Authority::create(certs.path(), hub, &[], &SystemClock, &entropy).unwrap();
        let quic = Quic::new(&authority.users_door().unwrap(), [7; 32], Arc::new(OsEntropy));
        let quic = quic.unwrap();
        let endpoint = quic.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = endpoint.local_addr().unwrap();

        let (tasks, stopping) = (Tasks::new(), CancellationToken::new());
        let refused: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let handler: Arc<Handler> = Arc::new(move |request| Box::pin(handler(request)));
        let scripted = Scripted { handler, refused: Arc::clone(&refused) };
        let (served, stop) = (tasks.clone(), stopping.clone());
        let settings = Arc::new(quic.settings(&limits));
        tasks.spawn(crate::lifecycle::Stage::Work, "door", async move {
            let incoming = endpoint.accept().await.unwrap();
            let connection = incoming.accept_with(settings).unwrap().await.unwrap();
            let shared = Shared {
                answers: Arc::new(scripted),
                tasks: served,
                requests: Requests::default(),
                limits: Arc::new(limits),
                peer: connection.remote_address().ip(),
            };
            drop(connection::serve(connection, shared, stop).await);
            endpoint.wait_idle().await;
        });
        let ca = authority.users_ca_pem();
        let connecting = User::connect(address, &ca, control);
        let user = timeout(LIMIT, connecting).await.unwrap();
        Self { user, refused, stopping, tasks }
    }
}

/// A body that is fed by the test; dropping the sender without an end breaks it off.
fn fed() -> (mpsc::Sender<Option<Bytes>>, Body) {
    let (sender, mut receiver) = mpsc::channel::<Option<Bytes>>(1);
    let frames = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|part| match part {
            Some(Some(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(None) => None,
            None => Some(Err(std::io::Error::other("broken off"))),
        })
    });
    (sender, Body::new(http_body_util::StreamBody::new(frames)))
}

/// Sent when what holds it is dropped.
struct Dropped(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            // Nobody need hear of it.
            told.send(()).unwrap_or_default();
        }
    }
}

/// A guard, and what hears of its end.
fn watched() -> (Dropped, tokio::sync::oneshot::Receiver<()>) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    (Dropped(Some(sender)), receiver)
}

/// Waits for what [`watched`] hears of.
async fn heard(receiver: tokio::sync::oneshot::Receiver<()>, what: &str) {
    timeout(LIMIT, receiver).await.unwrap_or_else(|_| panic!("{what}: not in time")).unwrap();
}
