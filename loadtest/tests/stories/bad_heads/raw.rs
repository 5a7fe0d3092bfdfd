//! A user that sends exact bytes over TLS and shows what came back, byte for byte.
//!
//! It knows just enough of HTTP/1.1 to tell when an answer is whole, and of HTTP/2 to write and
//! read frames. Waiting longer than [`LIMIT`] is a hang, and fails the story.

use crate::talk::LIMIT;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weft_loadtest::mesh::World;

/// One TLS connection to the users' door.
pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

/// What the door said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) bytes: Vec<u8>,
    /// The door closed the connection behind it.
    pub(crate) closed: bool,
}

impl Wire {
    /// Connects and offers `protocols`.
    pub(crate) async fn offering(world: &World, protocols: &[&[u8]]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(world.hub.ca()).expect("the CA file") {
            roots.add(certificate.expect("a certificate")).expect("a CA");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(world.hub.users()).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = timeout(LIMIT, stream).await.expect("a handshake in time")?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// A connection on which HTTP/1.1 is spoken.
    pub(crate) async fn h1(world: &World) -> Self {
        Self::offering(world, &[b"http/1.1"]).await.expect("a connection")
    }

    /// Sends `bytes`; whether the door still took them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(LIMIT, sending).await.expect("the door takes bytes or closes").is_ok()
    }

    /// Sends `bytes` while it reads, until an answer is whole or the door closes.
    pub(crate) async fn exchange(mut self, bytes: &[u8]) -> Said {
        let (mut reading, mut writing) = tokio::io::split(self.stream);
        let mut said = Said { bytes: std::mem::take(&mut self.read), closed: false };
        let write = async {
            // The door may have closed already: what it said is read all the same.
            if writing.write_all(bytes).await.is_ok() {
                drop(writing.flush().await);
            }
            std::future::pending::<()>().await;
        };
        let read = async {
            let mut buffer = [0; 16 * 1024];
            while !said.is_whole() {
                match reading.read(&mut buffer).await {
                    Ok(0) | Err(_) => {
                        said.closed = true;
                        break;
                    }
                    Ok(count) => said.bytes.extend_from_slice(&buffer[..count]),
                }
            }
        };
        let both = async {
            tokio::select! {
                biased;
                () = read => {}
                () = write => {}
            }
        };
        timeout(LIMIT, both).await.expect("an answer or an end in time");
        said
    }

    /// Reads until the door closes.
    pub(crate) async fn until_closed(&mut self) -> Said {
        let mut bytes = std::mem::take(&mut self.read);
        // A connection that is reset has ended too.
        let reading = self.stream.read_to_end(&mut bytes);
        drop(timeout(LIMIT, reading).await.expect("the door closes in time"));
        Said { bytes, closed: true }
    }

    /// Reads until an answer is whole or the door closes; the connection stays open.
    pub(crate) async fn answer(&mut self) -> Said {
        let mut said = Said { bytes: std::mem::take(&mut self.read), closed: false };
        let mut buffer = [0; 16 * 1024];
        while !said.is_whole() {
            match timeout(LIMIT, self.stream.read(&mut buffer)).await.expect("bytes in time") {
                Ok(0) | Err(_) => {
                    said.closed = true;
                    break;
                }
                Ok(count) => said.bytes.extend_from_slice(&buffer[..count]),
            }
        }
        said
    }
}

impl Said {
    fn head_len(&self) -> Option<usize> {
        Some(self.bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4)
    }

    fn is_whole(&self) -> bool {
        let Some(head) = self.head_len() else { return false };
        match self.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => self.bytes.len() >= head + length,
            None => self.bytes[head..].ends_with(b"0\r\n\r\n"),
        }
    }

    /// The status of the first answer; `None` where there was none.
    pub(crate) fn status(&self) -> Option<u16> {
        let line = self.bytes.strip_prefix(b"HTTP/1.1 ")?;
        std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
    }

    /// How many answers came.
    pub(crate) fn answers(&self) -> usize {
        self.bytes.windows(9).filter(|start| *start == b"HTTP/1.1 ").count()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.bytes[..self.head_len()?]).into_owned();
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(2_000)]).into_owned()
    }
}

/// One frame of HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// The setting of the window that the door may fill on each stream.
pub(crate) const INITIAL_WINDOW: u16 = 4;

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block without compression: every field a literal that is not indexed.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // HPACK's integer with a prefix of seven bits.
            match text.len() {
                short @ 0..127 => block.push(u8::try_from(short).expect("below 127")),
                long => {
                    block.push(127);
                    let mut rest = long - 127;
                    while rest >= 128 {
                        block.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                        rest /= 128;
                    }
                    block.push(u8::try_from(rest).expect("seven bits"));
                }
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A request's first frame.
pub(crate) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// An HTTP/2 connection of bare frames.
pub(crate) struct Frames {
    wire: Wire,
    waiting: VecDeque<Frame>,
}

impl Frames {
    /// Connects, with these settings of the user's.
    pub(crate) async fn open(world: &World, settings: &[(u16, u32)]) -> Self {
        let mut wire = Wire::offering(world, &[b"h2"]).await.expect("a connection");
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend_from_slice(&frame(SETTINGS, 0, 0, &payload));
        assert!(wire.send(&hello).await);
        Self { wire, waiting: VecDeque::new() }
    }

    /// Sends frames; whether the door still took them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.wire.send(bytes).await
    }

    /// The next frame; `None` once the door has closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Some(frame);
            }
            let mut buffer = [0; 16 * 1024];
            let read = timeout(LIMIT, self.wire.stream.read(&mut buffer)).await;
            match read.expect("a frame or an end in time") {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.wire.read.extend_from_slice(&buffer[..count]),
            }
            while let Some(frame) = cut(&mut self.wire.read) {
                self.waiting.push_back(frame);
            }
        }
    }

    /// The next frame that `wanted` knows; `None` once the door has closed.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Reads until the connection or the stream is ended by the door; with which code.
    pub(crate) async fn ended(&mut self, stream: u32) -> Option<u32> {
        let ends = |frame: &Frame| {
            frame.kind == GOAWAY || (frame.kind == RST_STREAM && frame.stream == stream)
        };
        let frame = self.until(ends).await?;
        let at = if frame.kind == GOAWAY { 4 } else { 0 };
        let code: [u8; 4] = frame.payload.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(code))
    }
}

fn cut(bytes: &mut Vec<u8>) -> Option<Frame> {
    let head: [u8; 9] = bytes.get(..9)?.try_into().ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let payload = bytes.get(9..9 + length)?.to_vec();
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
    bytes.drain(..9 + length);
    Some(Frame { kind: head[3], flags: head[4], stream, payload })
}
