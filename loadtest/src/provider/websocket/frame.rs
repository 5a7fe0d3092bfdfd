//! Frames of a WebSocket (RFC 6455 section 5), written and read by a test's own hand.
//!
//! Nothing is put together or smoothed over: a frame comes out as it stands on the wire, reserved
//! bits and fragments included, so that tests see what a mesh did to it. Both ends use it: the
//! simulated provider reads masked frames and writes plain ones, a test's user the other way round.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest payload of one frame that is read, in bytes.
pub const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Opcodes.
pub mod opcode {
    /// A further fragment of a message.
    pub const CONTINUATION: u8 = 0x0;
    /// A text message, or its first fragment.
    pub const TEXT: u8 = 0x1;
    /// A binary message, or its first fragment.
    pub const BINARY: u8 = 0x2;
    /// The goodbye.
    pub const CLOSE: u8 = 0x8;
    /// A question whether the peer lives.
    pub const PING: u8 = 0x9;
    /// The answer to it.
    pub const PONG: u8 = 0xa;
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The first byte: FIN, the reserved bits, the opcode.
    pub first: u8,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole message, or a control frame.
    #[must_use]
    pub fn whole(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { first: 0x80 | opcode, payload: payload.into() }
    }

    /// A close frame.
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Self {
        Self::whole(opcode::CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
    }

    /// The opcode.
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// Code and reason, of a close frame that has them.
    #[must_use]
    pub fn closes(&self) -> Option<(u16, String)> {
        let (code, reason) = self.payload.split_first_chunk::<2>()?;
        let closes = self.opcode() == opcode::CLOSE;
        closes.then(|| (u16::from_be_bytes(*code), String::from_utf8_lossy(reason).into_owned()))
    }

    /// The frame as a server writes it or, with a masking key, a client.
    #[must_use]
    pub fn bytes(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let flag = if mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        match u16::try_from(self.payload.len()) {
            Ok(length) if length < 126 => bytes.push(flag | length.to_be_bytes()[1]),
            Ok(length) => {
                bytes.push(flag | 126);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                bytes.push(flag | 127);
                bytes.extend_from_slice(&(self.payload.len() as u64).to_be_bytes());
            }
        }
        let begin = bytes.len() + mask.map_or(0, |key| key.len());
        bytes.extend(mask.into_iter().flatten());
        bytes.extend_from_slice(&self.payload);
        if let Some(key) = mask {
            masked(&mut bytes[begin..], key);
        }
        bytes
    }

    /// Reads one frame; `None` at an end between two frames.
    ///
    /// # Errors
    /// Those of the connection; [`io::ErrorKind::UnexpectedEof`] at an end inside a frame,
    /// [`io::ErrorKind::InvalidData`] for one longer than [`FRAME_BYTES_MAX`].
    ///
    /// # Cancel safety
    /// Not cancel safe: what was read of the frame is lost.
    pub async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Option<Self>> {
        let mut two = [0; 2];
        if from.read(&mut two[..1]).await? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut two[1..]).await?;
        let length = match two[1] & 0x7f {
            126 => u64::from(from.read_u16().await?),
            127 => from.read_u64().await?,
            short => u64::from(short),
        };
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame past the limit"));
        }
        let mut key = [0; 4];
        let is_masked = two[1] & 0x80 != 0;
        if is_masked {
            from.read_exact(&mut key).await?;
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).await?;
        if is_masked {
            masked(&mut payload, key);
        }
        Ok(Some(Self { first: two[0], payload }))
    }
}

fn masked(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_of_every_length_come_back_masked_or_not() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let frame = Frame { first: 0x42, payload: vec![7; length] };
            for mask in [None, Some([1, 2, 3, 4])] {
                let bytes = frame.bytes(mask);
                let read = Frame::read(&mut &bytes[..]).await.expect("a frame");
                assert_eq!(read.as_ref(), Some(&frame), "{length}");
                let cut = Frame::read(&mut &bytes[..bytes.len() - 1]).await;
                assert!(cut.is_err(), "{length}: a cut frame is no frame");
            }
        }
        assert!(Frame::read(&mut &[][..]).await.expect("an end").is_none());
        assert_eq!(Frame::close(4001, "why").closes(), Some((4001, "why".to_owned())));
    }
}
