//! `weft-join/1`: one request to join and its answer, on one stream.

use crate::read::Reader;
use crate::stream::{RecvHalf, SendHalf, StreamError};
use bytes::{BufMut, BytesMut};
use quinn::Connection;
use weft_proto::limits::{MESSAGE_BYTES_MAX, SESSION_HANDSHAKE_MAX};
use weft_proto::wire::join::{JoinAnswer, JoinRequest};
use weft_proto::wire::{Malformed, StreamKind, prefix};

/// Asks to join, and waits for the answer.
///
/// # Errors
/// [`StreamError`] when the connection is lost or the hub broke the rules.
///
/// # Cancel safety
/// Safe to drop and to repeat on a new connection: a token is idempotent for the key that used it.
pub async fn ask(
    connection: &Connection,
    request: &JoinRequest,
) -> Result<JoinAnswer, StreamError> {
    let (send, recv) = connection.open_bi().await?;
    let (mut half, mut reader) = (SendHalf::new(send), Reader::new(RecvHalf::new(recv)));
    let mut out = BytesMut::new();
    out.put_u8(StreamKind::Join as u8);
    prefix::encode(&request.encode()?, MESSAGE_BYTES_MAX, &mut out)?;
    half.write(out.freeze()).await?;
    half.finish()?;
    let block = reader.block(MESSAGE_BYTES_MAX).await?.ok_or(Malformed("empty join answer"))?;
    to_the_end(&mut reader).await?;
    Ok(JoinAnswer::decode(&block)?)
}

/// Waits for the end behind the only message: a half that is dropped before it would stop the
/// peer, which may not have said yet that it is done.
async fn to_the_end(reader: &mut Reader) -> Result<(), StreamError> {
    match reader.byte().await? {
        None => Ok(()),
        Some(_) => Err(Malformed("bytes behind the message").into()),
    }
}

/// Where the answer to a joining agent goes.
#[derive(Debug)]
pub struct Answer {
    half: SendHalf,
}

impl Answer {
    /// Sends the answer and waits until the agent has it, at most [`SESSION_HANDSHAKE_MAX`]: who
    /// joins is still a stranger, and may hold nothing here for longer.
    ///
    /// # Errors
    /// [`StreamError`] when the connection is lost or the wait has passed.
    ///
    /// # Cancel safety
    /// A dropped call resets the answer.
    pub async fn send(self, answer: &JoinAnswer) -> Result<(), StreamError> {
        tokio::time::timeout(SESSION_HANDSHAKE_MAX, self.deliver(answer))
            .await
            .unwrap_or(Err(StreamError::TimedOut))
    }

    async fn deliver(mut self, answer: &JoinAnswer) -> Result<(), StreamError> {
        let mut out = BytesMut::new();
        prefix::encode(&answer.encode()?, MESSAGE_BYTES_MAX, &mut out)?;
        self.half.write(out.freeze()).await?;
        self.half.finish()?;
        // The connection is closed next: without this wait the answer could be lost with it.
        match self.half.stopped().await {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

/// Reads the request of a joining agent. Waits at most [`SESSION_HANDSHAKE_MAX`].
///
/// # Errors
/// [`StreamError`] when the connection is lost, the wait has passed, or the agent broke the rules.
///
/// # Cancel safety
/// A dropped call resets the stream.
pub async fn accept(connection: &Connection) -> Result<(JoinRequest, Answer), StreamError> {
    let accepted = async {
        let (send, recv) = connection.accept_bi().await?;
        let (half, mut reader) = (SendHalf::new(send), Reader::new(RecvHalf::new(recv)));
        let kind = reader.byte().await?.ok_or(Malformed("empty stream"))?;
        if StreamKind::from_byte(kind)? != StreamKind::Join {
            return Err(Malformed("stream kind").into());
        }
        let block = reader.block(MESSAGE_BYTES_MAX).await?.ok_or(Malformed("empty request"))?;
        to_the_end(&mut reader).await?;
        Ok((JoinRequest::decode(&block)?, Answer { half }))
    };
    tokio::time::timeout(SESSION_HANDSHAKE_MAX, accepted)
        .await
        .unwrap_or(Err(StreamError::TimedOut))
}
