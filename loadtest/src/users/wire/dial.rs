//! Opens TCP, TLS and QUIC connections to the addresses of a target, and to no others.

use super::Unsent;
use crate::users::settings::{Http, Settings};
use crate::users::target::Target;
use anyhow::Context;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, IdleTimeout, TransportConfig, VarInt};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a silent QUIC connection is held.
const QUIC_IDLE_MAX: VarInt = VarInt::from_u32(60_000);
/// How often one is kept from being silent.
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes that the other end may send ahead on one stream.
const QUIC_STREAM_WINDOW: VarInt = VarInt::from_u32(2 * 1_024 * 1_024);
/// And on all streams of a connection.
const QUIC_WINDOW: VarInt = VarInt::from_u32(16 * 1_024 * 1_024);

/// A byte stream of a connection, encrypted or not.
pub(in crate::users) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How connections to one target are opened.
#[derive(Clone)]
pub(in crate::users) struct Dial {
    addresses: Vec<SocketAddr>,
    name: Option<ServerName<'static>>,
    tls: Option<TlsConnector>,
    /// For WebSockets, which always begin over HTTP/1.1.
    tls_one: Option<TlsConnector>,
    quic: Option<ClientConfig>,
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dial").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Dial {
    /// How `settings` say that connections to its target are opened.
    ///
    /// # Errors
    /// Where a certificate or a name cannot be used.
    pub(in crate::users) fn new(
        settings: &Settings,
        addresses: &[SocketAddr],
    ) -> anyhow::Result<Self> {
        let addresses = addresses.to_vec();
        if !settings.target.secure {
            return Ok(Self { addresses, name: None, tls: None, tls_one: None, quic: None });
        }
        let host = settings.server_name.as_ref().unwrap_or(&settings.target.host);
        let name = ServerName::try_from(host.clone())
            .with_context(|| format!("{host} is no name that a certificate can have"))?;
        let tls =
            |alpn: &[u8]| anyhow::Ok(TlsConnector::from(Arc::new(settings.trust.config(alpn)?)));
        let (tls_main, quic) = match settings.http {
            Http::H1 => (Some(tls(b"http/1.1")?), None),
            Http::H2 => (Some(tls(b"h2")?), None),
            Http::H3 => {
                let mut config = settings.trust.config(b"h3")?;
                config.enable_early_data = false;
                let mut quic = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?));
                quic.transport_config(Arc::new(transport()));
                (None, Some(quic))
            }
        };
        Ok(Self {
            addresses,
            name: Some(name),
            tls: tls_main,
            tls_one: Some(tls(b"http/1.1")?),
            quic,
        })
    }

    /// A target without TLS.
    pub(in crate::users) fn plain(target: &Target, addresses: &[SocketAddr]) -> Option<Self> {
        let addresses = addresses.to_vec();
        let plain = Self { addresses, name: None, tls: None, tls_one: None, quic: None };
        (!target.secure).then_some(plain)
    }

    /// A stream that HTTP/1.1 or HTTP/2 begins on.
    ///
    /// # Errors
    /// [`Unsent`].
    ///
    /// # Cancel safety
    /// A dropped call closes what was opened.
    pub(super) async fn stream(&self) -> Result<Box<dyn Stream>, Unsent> {
        self.through(self.tls.as_ref()).await
    }

    /// A stream that a WebSocket begins on.
    ///
    /// # Errors
    /// [`Unsent`].
    ///
    /// # Cancel safety
    /// A dropped call closes what was opened.
    pub(in crate::users) async fn websocket(&self) -> Result<Box<dyn Stream>, Unsent> {
        self.through(self.tls_one.as_ref()).await
    }

    async fn through(&self, tls: Option<&TlsConnector>) -> Result<Box<dyn Stream>, Unsent> {
        let stream = self.tcp().await.map_err(Unsent::Connect)?;
        let (Some(tls), Some(name)) = (tls, &self.name) else { return Ok(Box::new(stream)) };
        let stream = tls.connect(name.clone(), stream).await.map_err(Unsent::Tls)?;
        Ok(Box::new(stream))
    }

    /// The first address that answers.
    async fn tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in &self.addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A QUIC connection with an endpoint of its own.
    ///
    /// # Errors
    /// [`Unsent`].
    ///
    /// # Cancel safety
    /// A dropped call closes what was opened.
    pub(super) async fn quic(&self) -> Result<(Endpoint, quinn::Connection), Unsent> {
        let (Some(config), Some(name)) = (&self.quic, &self.name) else {
            return Err(Unsent::Protocol("HTTP/3 was not asked for".to_owned()));
        };
        let mut last = Unsent::Connect(io::ErrorKind::AddrNotAvailable.into());
        for &address in &self.addresses {
            match quic(config.clone(), address, &name.to_str()).await {
                Ok(connected) => return Ok(connected),
                Err(unsent) => last = unsent,
            }
        }
        Err(last)
    }
}

async fn quic(
    config: ClientConfig,
    address: SocketAddr,
    name: &str,
) -> Result<(Endpoint, quinn::Connection), Unsent> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = Endpoint::client(any).map_err(Unsent::Connect)?;
    let connecting = endpoint.connect_with(config, address, name);
    let connecting = connecting.map_err(|error| Unsent::Protocol(error.to_string()))?;
    match connecting.await {
        Ok(connection) => Ok((endpoint, connection)),
        Err(quinn::ConnectionError::TransportError(error)) => {
            Err(Unsent::Tls(io::Error::other(error)))
        }
        Err(error) => Err(Unsent::Connect(io::Error::other(error))),
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(QUIC_IDLE_MAX)))
        .keep_alive_interval(Some(QUIC_KEEP_ALIVE))
        .stream_receive_window(QUIC_STREAM_WINDOW)
        .receive_window(QUIC_WINDOW);
    transport
}

impl Unsent {
    /// What opening a connection came to, in a word for people.
    pub(in crate::users) fn reason(&self) -> String {
        let mut said = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            said.push_str(": ");
            said.push_str(&cause.to_string());
            source = cause.source();
        }
        said
    }
}
