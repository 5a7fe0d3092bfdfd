//! One shared connection of HTTP/2.

use super::{Lane, Reply, ReplyBody, Unsent};
use crate::users::body::Load;
use crate::users::fault::Fault;
use http::Request;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Bytes that the other end may send ahead on one stream.
const STREAM_WINDOW: u32 = 2 * 1_024 * 1_024;
/// And on all streams of the connection.
const WINDOW: u32 = 16 * 1_024 * 1_024;
/// Bytes of an answer's head that are taken.
const HEAD_BYTES_MAX: u32 = 128 * 1_024;
/// Streams of ours that the other end may still think of after we have reset them: users who leave
/// are what is played here.
const RESETS_MAX: usize = 4_096;

/// A connection that is opened when it is first needed, and again when it has gone.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Option<SendRequest<Load>>>);

impl Shared {
    /// Who sends on it.
    ///
    /// # Errors
    /// [`Unsent`].
    pub(super) async fn sender(&self, lane: &Lane) -> Result<SendRequest<Load>, Unsent> {
        // Held while it is opened: whoever else needs it waits for the same connection.
        let mut held = self.0.lock().await;
        if let Some(sender) = held.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let began = Instant::now();
        let stream = TokioIo::new(lane.dial().stream().await?);
        let begun = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEAD_BYTES_MAX)
            .max_concurrent_reset_streams(RESETS_MAX)
            .handshake(stream)
            .await;
        let (sender, connection) = begun.map_err(|error| Unsent::Protocol(error.to_string()))?;
        lane.drive(async move { drop(connection.await) });
        lane.note_opened(began);
        *held = Some(sender.clone());
        Ok(sender)
    }

    /// Sends `request` on it.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn send(
        &self,
        lane: &Lane,
        mut request: Request<Load>,
    ) -> Result<Reply, Fault> {
        // A connection that has just gone may take the first one down with it unsent.
        for is_last in [false, true] {
            let sender = self.sender(lane).await;
            let mut sender = sender.map_err(|unsent| Fault::of_unsent(&unsent))?;
            if let Err(error) = sender.ready().await {
                if is_last {
                    return Err(Fault::of_hyper(&error, false));
                }
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    return Ok(Reply { status: head.status, body: ReplyBody::Two(body) });
                }
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) if !is_last => request = unsent,
                    Some(_) | None => return Err(Fault::of_hyper(refused.error(), false)),
                },
            }
        }
        Err(Fault::Closed)
    }
}
