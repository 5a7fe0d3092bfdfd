//! A user who writes HTTP/3 by hand.

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

pub(super) const CANCELLED: VarInt = VarInt::from_u32(0x10c);

/// One connection, with its control stream open.
pub(super) struct User {
    pub(super) endpoint: Endpoint,
    pub(super) connection: Connection,
    /// Kept: a control stream that ends ends the connection.
    _control: Option<SendStream>,
}

/// How an answer's stream ended, and what came before.
#[derive(Debug)]
pub(super) struct Seen {
    /// The frames, by kind and payload.
    pub(super) frames: Vec<(u64, Vec<u8>)>,
    /// `None` for a proper end.
    pub(super) reset: Option<u64>,
}

impl Seen {
    /// The bytes of DATA frames.
    pub(super) fn body(&self) -> Vec<u8> {
        let data = self.frames.iter().filter(|(kind, _)| *kind == 0);
        data.flat_map(|(_, payload)| payload.clone()).collect()
    }
}

impl User {
    /// Connects; without `control` the caller opens that stream.
    pub(super) async fn connect(address: SocketAddr, ca: &str, control: bool) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, address, "localhost").unwrap();
        let connection = connecting.await.unwrap();
        let mut stream = None;
        if control {
            let mut opened = connection.open_uni().await.unwrap();
            // A control stream with settings that say nothing.
            opened.write_all(&[0x00, 0x04, 0x00]).await.unwrap();
            stream = Some(opened);
        }
        Self { endpoint, connection, _control: stream }
    }

    /// Opens a request with these bytes.
    pub(super) async fn send(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        (send, recv)
    }

    /// A whole request, and how its answer went.
    pub(super) async fn ask(&self, bytes: &[u8]) -> Seen {
        let (mut send, recv) = self.send(bytes).await;
        send.finish().unwrap();
        read(recv).await
    }

    /// The frames of the door's control stream that have come, its settings first.
    pub(super) async fn control(&self, wanted: usize) -> Vec<(u64, Vec<u8>)> {
        loop {
            let mut stream = self.connection.accept_uni().await.unwrap();
            let mut bytes = Vec::new();
            let mut read = [0; 64];
            let got = stream.read(&mut read).await.unwrap().unwrap();
            if read[0] != 0 {
                continue;
            }
            bytes.extend_from_slice(&read[1..got]);
            loop {
                let (frames, _) = frames(&bytes);
                if frames.len() >= wanted {
                    return frames;
                }
                let got = stream.read(&mut read).await.unwrap().unwrap();
                bytes.extend_from_slice(&read[..got]);
            }
        }
    }

    /// Goes on from another address.
    pub(super) fn move_to(&self, address: &str) {
        self.endpoint.rebind(UdpSocket::bind(address).unwrap()).unwrap();
    }
}

/// Reads an answer to its end.
pub(super) async fn read(mut recv: RecvStream) -> Seen {
    let mut bytes = Vec::new();
    let reset = loop {
        match recv.read_chunk(64 * 1024, true).await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
            Ok(None) => break None,
            Err(quinn::ReadError::Reset(code)) => break Some(code.into_inner()),
            Err(error) => panic!("{error}"),
        }
    };
    let (frames, rest) = frames(&bytes);
    assert!(reset.is_some() || rest == 0, "a proper end inside a frame");
    Seen { frames, reset }
}

/// Whole frames of `bytes`, and how many bytes are left over.
fn frames(mut bytes: &[u8]) -> (Vec<(u64, Vec<u8>)>, usize) {
    let mut found = Vec::new();
    while let Some((kind, length, rest)) = number(bytes)
        .and_then(|(kind, rest)| number(rest).map(|(length, rest)| (kind, length, rest)))
    {
        let length = usize::try_from(length).unwrap();
        if rest.len() < length {
            break;
        }
        found.push((kind, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    (found, bytes.len())
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 << (bytes.first()? >> 6);
    let (number, rest) = bytes.split_at_checked(length)?;
    let value = number[1..]
        .iter()
        .fold(u64::from(number[0] & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, rest))
}

pub(super) fn varint(value: usize) -> Vec<u8> {
    (u64::try_from(value).unwrap() | 0xc000_0000_0000_0000).to_be_bytes().to_vec()
}

pub(super) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [vec![kind], varint(payload.len()), payload.to_vec()].concat()
}

/// The head of a request: QPACK with its static table alone.
pub(super) fn head(post: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let method = if post { 0xd4 } else { 0xd1 };
    let mut block = vec![0, 0, method, 0xd7, 0xc1, 0x50, 9];
    block.extend_from_slice(b"localhost");
    for (name, value) in fields {
        // A literal name, its length in three bits and what goes beyond.
        block.extend(prefixed(0x20, 3, name.len()));
        block.extend_from_slice(name.as_bytes());
        block.extend(prefixed(0, 7, value.len()));
        block.extend_from_slice(value.as_bytes());
    }
    frame(1, &block)
}

fn prefixed(flags: u8, bits: u32, value: usize) -> Vec<u8> {
    let most = (1_usize << bits) - 1;
    if value < most {
        return vec![flags | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![flags | u8::try_from(most).unwrap()];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}
