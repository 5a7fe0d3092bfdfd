//! One post to the webhook: one connection, one request, one status.

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one post may take, from the name's look-up to the answer's head.
const POST_SECONDS: u64 = 10;

/// The longest URL.
const URL_BYTES_MAX: usize = 2_048;

/// The header that carries the signature.
const SIGNATURE: &str = "weft-signature";

/// A text that is no webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhook {
    /// It is no URL with a host.
    #[error("want a URL such as https://example.com/weft")]
    Url,
    /// It would go over a network in the clear.
    #[error("http:// reaches this machine alone: want https://, or an address of loopback")]
    Plain,
    /// The public authorities cannot be set up.
    #[error("TLS cannot be set up")]
    Tls,
}

/// Where events are posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl FromStr for WebhookUrl {
    type Err = InvalidWebhook;

    fn from_str(text: &str) -> Result<Self, InvalidWebhook> {
        if text.len() > URL_BYTES_MAX {
            return Err(InvalidWebhook::Url);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidWebhook::Url)?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) | None => return Err(InvalidWebhook::Url),
        };
        let authority = uri.authority().ok_or(InvalidWebhook::Url)?;
        // Credentials in a URL end up in logs.
        if authority.as_str().contains('@') {
            return Err(InvalidWebhook::Url);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !tls && !loopback {
            return Err(InvalidWebhook::Plain);
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { uri, host, port, tls })
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// Posts to one URL.
pub struct Webhook {
    url: WebhookUrl,
    tls: TlsConnector,
    secret: Option<hmac::Key>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.url.host).finish_non_exhaustive()
    }
}

impl Webhook {
    /// A webhook at `url`, whose bodies are signed with `secret`.
    ///
    /// # Errors
    /// [`InvalidWebhook::Tls`].
    pub fn new(url: WebhookUrl, secret: Option<&[u8]>) -> Result<Self, InvalidWebhook> {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| InvalidWebhook::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let secret = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self { url, tls: TlsConnector::from(Arc::new(tls)), secret })
    }

    /// Posts a body, and returns the status of the answer.
    ///
    /// # Errors
    /// Whatever kept the answer from coming.
    pub(super) async fn post(
        &self,
        body: Vec<u8>,
    ) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
        let limit = Duration::from_secs(POST_SECONDS);
        match tokio::time::timeout(limit, self.exchange(body)).await {
            Ok(answered) => answered,
            Err(_) => Err(Box::new(io::Error::from(io::ErrorKind::TimedOut))),
        }
    }

    async fn exchange(
        &self,
        body: Vec<u8>,
    ) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
        let path = self.url.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.url.uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("weft-hub/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            let tag = hmac::sign(secret, &body);
            request = request.header(SIGNATURE, format!("sha256={}", hex(tag.as_ref())));
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let stream = TcpStream::connect((self.url.host.as_str(), self.url.port)).await?;
        stream.set_nodelay(true)?;
        if self.url.tls {
            let name = ServerName::try_from(self.url.host.clone())?;
            let stream = self.tls.connect(name, stream).await?;
            return send(stream, request).await;
        }
        send(stream, request).await
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    tokio::select! {
        biased;
        answer = answer.as_mut() => Ok(answer?.status()),
        ended = connection.as_mut() => {
            ended?;
            Ok(answer.await?.status())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
