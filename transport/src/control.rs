//! The control stream: messages both ways for as long as the tunnel lives.

use crate::read::Reader;
use crate::stream::{RecvHalf, SendHalf, StreamError};
use bytes::{BufMut, BytesMut};
use quinn::Connection;
use std::marker::PhantomData;
use weft_proto::codes::AbortCode;
use weft_proto::limits::{MESSAGE_BYTES_MAX, SESSION_HANDSHAKE_MAX, priority};
use weft_proto::wire::control::{AgentMessage, ControlMessage, HubMessage};
use weft_proto::wire::{Malformed, StreamKind, prefix};

/// Sends messages of one direction.
#[derive(Debug)]
pub struct ControlSender<M> {
    half: SendHalf,
    message: PhantomData<fn(M)>,
}

impl<M: ControlMessage> ControlSender<M> {
    /// Sends one message.
    ///
    /// # Errors
    /// [`StreamError`] when the tunnel is lost or the message fits no limit.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may leave half a message. Close the tunnel then.
    pub async fn send(&mut self, message: &M) -> Result<(), StreamError> {
        let mut out = BytesMut::new();
        prefix::encode(&message.encode()?, MESSAGE_BYTES_MAX, &mut out)?;
        self.half.write(out.freeze()).await
    }
}

/// Receives messages of one direction.
#[derive(Debug)]
pub struct ControlReceiver<M> {
    reader: Reader,
    message: PhantomData<fn() -> M>,
}

impl<M: ControlMessage> ControlReceiver<M> {
    /// The next message. A control stream has no proper end while its tunnel lives: its end is an
    /// error.
    ///
    /// # Errors
    /// [`StreamError`] when the tunnel is lost or the peer broke the rules.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<M, StreamError> {
        let block = self.reader.block(MESSAGE_BYTES_MAX).await?;
        let block = block.ok_or(Malformed("end of the control stream"))?;
        Ok(M::decode(&block)?)
    }
}

/// Opens the control stream: the agent's first act on a tunnel.
///
/// # Errors
/// [`StreamError`] when the tunnel is lost.
///
/// # Cancel safety
/// Not cancel safe: close the tunnel when the call is dropped.
pub async fn open(
    connection: &Connection,
) -> Result<(ControlSender<AgentMessage>, ControlReceiver<HubMessage>), StreamError> {
    let (send, recv) = connection.open_bi().await?;
    let mut half = SendHalf::new(send);
    half.prioritise(priority::CONTROL);
    let mut kind = BytesMut::with_capacity(1);
    kind.put_u8(StreamKind::Control as u8);
    half.write(kind.freeze()).await?;
    Ok((
        ControlSender { half, message: PhantomData },
        ControlReceiver { reader: Reader::new(RecvHalf::new(recv)), message: PhantomData },
    ))
}

/// Accepts the control stream: the hub's first act on a tunnel. Waits at most
/// [`SESSION_HANDSHAKE_MAX`].
///
/// # Errors
/// [`StreamError`] when the tunnel is lost, the wait has passed, or the agent opened another kind
/// of stream first.
///
/// # Cancel safety
/// Not cancel safe: close the tunnel when the call is dropped.
pub async fn accept(
    connection: &Connection,
) -> Result<(ControlSender<HubMessage>, ControlReceiver<AgentMessage>), StreamError> {
    let accepted = async {
        let (send, recv) = connection.accept_bi().await?;
        let (half, mut reader) = (SendHalf::new(send), Reader::new(RecvHalf::new(recv)));
        half.prioritise(priority::CONTROL);
        let kind = reader.byte().await?.ok_or(Malformed("empty stream"))?;
        if StreamKind::from_byte(kind)? != StreamKind::Control {
            reader.half.stop(AbortCode::Malformed);
            return Err(Malformed("first stream").into());
        }
        Ok((
            ControlSender { half, message: PhantomData },
            ControlReceiver { reader, message: PhantomData },
        ))
    };
    tokio::time::timeout(SESSION_HANDSHAKE_MAX, accepted)
        .await
        .unwrap_or(Err(StreamError::TimedOut))
}
