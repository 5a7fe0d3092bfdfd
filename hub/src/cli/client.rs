//! Asks the running hub through its admin door: one request, one answer, one connection.
//!
//! Trusts the hub's own authority only, whose certificate lies in the data directory, and speaks to
//! the address that the hub wrote there when it started.

use anyhow::{Context, bail};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weft_hub::admin::{AdminToken, Listed, Problem};
use weft_hub::app::{CERTS_DIR, announced, reachable_here};
use weft_hub::config::{HubConfig, Overrides};

/// The certificate of the authority of the users' door, inside the folder of the authority.
const CA_FILE: &str = "ca.pem";
/// The name of the admin door in its certificate.
const DOOR_NAME: &str = "localhost";
/// The longest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// One request, from connecting to the end of its answer, seconds.
const REQUEST_SECONDS: u64 = 30;
/// Rows asked for at a time.
const PAGE_ROWS: u32 = 500;

/// Speaks to the admin door of the hub that runs on a data directory.
pub(super) struct AdminClient {
    address: SocketAddr,
    tls: TlsConnector,
    token: AdminToken,
    not_running: String,
}

impl fmt::Debug for AdminClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminClient").field("address", &self.address).finish_non_exhaustive()
    }
}

impl AdminClient {
    /// Reads what the data directory says about its hub.
    pub(super) fn open(data: &Path) -> anyhow::Result<Self> {
        // A hub that runs has said where it is: settings that went bad meanwhile do not matter.
        let address = match announced(data) {
            Some(doors) => doors.admin,
            None => HubConfig::load(data, &Overrides::default())?.admin.address,
        };
        let ca = data.join(CERTS_DIR).join(CA_FILE);
        let mut roots = rustls::RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(&ca)
            .with_context(|| format!("{} cannot be read", ca.display()))?;
        for certificate in certificates {
            let certificate =
                certificate.with_context(|| format!("{} is damaged", ca.display()))?;
            roots.add(certificate).with_context(|| format!("{} is damaged", ca.display()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address: reachable_here(address),
            tls: TlsConnector::from(Arc::new(tls)),
            token: AdminToken::load(data)?,
            not_running: format!(
                "no hub runs on {data}: start one with \"weft-hub serve --data {data}\"",
                data = data.display()
            ),
        })
    }

    /// Gets what is at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    /// Posts `body` to `path`.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.ask(Method::POST, path, serde_json::to_vec(body)?).await
    }

    /// Posts a file to `path`.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        file: Vec<u8>,
    ) -> anyhow::Result<T> {
        self.ask(Method::POST, path, file).await
    }

    /// Posts nothing to `path`, which says all.
    pub(super) async fn command<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::POST, path, Vec::new()).await
    }

    /// All rows of a list, page by page; `path` may have parameters already.
    pub(super) async fn all<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{joint}limit={PAGE_ROWS}");
        let mut rows = Vec::new();
        let mut page: Listed<T> = self.get(&first).await?;
        loop {
            rows.append(&mut page.items);
            match &page.next {
                Some(after) => page = self.get(&format!("{first}&after={after}")).await?,
                None => return Ok(rows),
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<T> {
        let limit = Duration::from_secs(REQUEST_SECONDS);
        let (status, answer) = tokio::time::timeout(limit, self.exchange(method, path, body))
            .await
            .context("the hub does not answer")??;
        if status.is_success() {
            return serde_json::from_slice(&answer)
                .context("the hub's answer is not understood: are both of one version?");
        }
        match serde_json::from_slice::<Problem>(&answer) {
            Ok(problem) => bail!("{}", problem.detail.unwrap_or(problem.title)),
            Err(_) => bail!("the hub refused: {status}"),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = match TcpStream::connect(self.address).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                bail!("{}", self.not_running);
            }
            Err(error) => {
                return Err(error).with_context(|| format!("the hub at {}", self.address));
            }
        };
        stream.set_nodelay(true)?;
        let stream =
            self.tls.connect(ServerName::try_from(DOOR_NAME)?, stream).await.with_context(
                || format!("{} is not the hub of this data directory", self.address),
            )?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.token.expose()))?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, DOOR_NAME)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        // The connection is driven until the answer is there, and then dropped with its socket.
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = answer.as_mut() => answer,
            ended = connection.as_mut() => {
                ended.context("the connection to the hub broke off")?;
                answer.await
            }
        }
    }
}

/// A value as it stands in a path or a query.
pub(super) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
