//! One connection of HTTP/1.1.

use super::{Dial, Unsent};
use crate::users::body::Load;
use crate::users::fault::Fault;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

/// Header lines of an answer that are taken.
const HEADER_LINES_MAX: usize = 512;

/// A connection with the task that drives it. Dropping it closes it, whatever runs on it.
#[derive(Debug)]
pub(super) struct Line {
    sender: SendRequest<Load>,
    _driver: JoinSet<()>,
}

impl Line {
    /// Opens one.
    ///
    /// # Errors
    /// [`Unsent`].
    pub(super) async fn open(dial: &Dial) -> Result<Self, Unsent> {
        let stream = TokioIo::new(dial.stream().await?);
        let begun = http1::Builder::new().max_headers(HEADER_LINES_MAX).handshake(stream).await;
        let (sender, connection) = begun.map_err(|error| Unsent::Protocol(error.to_string()))?;
        let mut driver = JoinSet::new();
        driver.spawn_local(async move { drop(connection.await) });
        Ok(Self { sender, _driver: driver })
    }

    /// Sends `request`. What was never sent comes back beside the fault.
    pub(super) async fn send(
        &mut self,
        request: Request<Load>,
    ) -> Result<Response<Incoming>, (Fault, Option<Request<Load>>)> {
        if let Err(error) = self.sender.ready().await {
            return Err((Fault::of_hyper(&error, false), Some(request)));
        }
        self.sender.try_send_request(request).await.map_err(|mut refused| {
            let request = refused.take_message();
            (Fault::of_hyper(refused.error(), false), request)
        })
    }
}
