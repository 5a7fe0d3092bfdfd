//! Control streams that break the rules, each in its own way. Every one of them must cost its sender
//! the tunnel.

use quinn::{Connection, SendStream};
use weft_proto::entropy::Entropy;
use weft_proto::ids::{AgentId, InstanceId};
use weft_proto::limits::MESSAGE_BYTES_MAX;
use weft_proto::time::SystemClock;
use weft_proto::wire::StreamKind;
use weft_proto::wire::control::{AgentMessage, ControlMessage, Features, Hello};
use weft_proto::wire::prefix;

/// How a control stream breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its first byte is no kind of stream.
    Kind,
    /// It begins as an exchange, which only hubs open.
    Exchange,
    /// A message longer than any may be.
    TooLong,
    /// A message of random bytes.
    Noise,
    /// Another message before the HELLO.
    NoHello,
    /// The HELLO of another agent.
    Stranger,
    /// Half a message, then the end.
    Cut,
}

impl Fault {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Kind,
        Self::Exchange,
        Self::TooLong,
        Self::Noise,
        Self::NoHello,
        Self::Stranger,
        Self::Cut,
    ];

    /// The stream's bytes.
    pub(super) fn bytes(self, entropy: &dyn Entropy) -> Vec<u8> {
        let control = StreamKind::Control as u8;
        let hello = |agent: AgentId| {
            AgentMessage::Hello(Hello {
                agent,
                instance: InstanceId::generate(&SystemClock, entropy),
                slot: 0,
                generation: 1,
                features: Features::default(),
                build: "hostile".to_owned(),
            })
        };
        let stranger = AgentId::generate(&SystemClock, entropy);
        match self {
            Self::Kind => vec![0xff; 64],
            Self::Exchange => framed(StreamKind::Exchange as u8, &[0; 32]),
            // The prefix alone: a hub that believed it would wait for the rest.
            Self::TooLong => [&[control][..], &varint(MESSAGE_BYTES_MAX as u32 + 1)].concat(),
            Self::Noise => {
                let mut noise = [0; 512];
                entropy.fill(&mut noise);
                // No kind of message, whatever follows.
                noise[0] = 0xff;
                framed(control, &noise)
            }
            Self::NoHello => said(control, &AgentMessage::Pong(7)),
            Self::Stranger => said(control, &hello(stranger)),
            Self::Cut => {
                let mut whole = said(control, &hello(stranger));
                whole.truncate(whole.len() / 2);
                whole
            }
        }
    }

    /// Sends them; the stream is ended where that belongs to the fault, and otherwise kept.
    pub(super) async fn commit(
        self,
        connection: &Connection,
        entropy: &dyn Entropy,
    ) -> Option<SendStream> {
        let (mut send, _recv) = connection.open_bi().await.ok()?;
        send.write_all(&self.bytes(entropy)).await.ok()?;
        if self == Self::Cut {
            send.finish().ok()?;
        }
        Some(send)
    }
}

fn framed(kind: u8, message: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::from(&[kind][..]);
    match prefix::encode(message, MESSAGE_BYTES_MAX, &mut out) {
        Ok(()) | Err(_) => out.to_vec(),
    }
}

fn said(kind: u8, message: &AgentMessage) -> Vec<u8> {
    message.encode().map_or_else(|_| vec![kind], |encoded| framed(kind, &encoded))
}

/// A QUIC varint of four bytes.
fn varint(number: u32) -> [u8; 4] {
    (number | 0x8000_0000).to_be_bytes()
}
