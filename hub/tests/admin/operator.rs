//! An operator for tests: a data directory, the real binary on it, and both of its HTTPS doors.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a running hub says where its doors are.
const ADDRESSES: &str = "hub.addresses.json";
/// How long a hub may take to come up or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `weft-hub` on `data` to its end.
pub(crate) fn run(data: &Path, words: &[&str]) -> Output {
    command(data, words).output().expect("weft-hub runs")
}

fn command(data: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-hub"));
    command.arg("--data").arg(data).args(words).env_remove("WEFT_DATA");
    command
}

fn serve(data: &Path) -> Child {
    let any = "127.0.0.1:0";
    command(data, &["serve", "--users", any, "--agents", any, "--admin", any])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("weft-hub starts")
}

/// A data directory that `init` has made.
#[derive(Debug)]
pub(crate) struct Initialised(TempDir);

impl Initialised {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = Self(dir);
        let made = data.run(&["init", "--host", "hub.example"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        data
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        run(&self.path(), words)
    }
}

/// What a door answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A hub that runs as a process of its own; killed when the test fails.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) data: Initialised,
    pub(crate) addresses: Value,
    process: Child,
}

impl Hub {
    /// Initialises a hub and starts it on ports of the system's choice.
    pub(crate) async fn start() -> Self {
        let data = Initialised::new();
        // The invites should carry what was bound, not the host's default port.
        std::fs::write(data.path().join("hub.toml"), "").expect("settings");
        let process = serve(&data.path());
        let mut hub = Self { data, addresses: Value::Null, process };
        hub.come_up().await;
        hub
    }

    /// Starts the hub again on the same directory, after it ended.
    pub(crate) async fn restart(&mut self) {
        // A killed hub leaves its own behind.
        drop(std::fs::remove_file(self.data.path().join(ADDRESSES)));
        self.process = serve(&self.data.path());
        self.come_up().await;
    }

    async fn come_up(&mut self) {
        let file = self.data.path().join(ADDRESSES);
        let up = async {
            loop {
                if let Ok(text) = std::fs::read(&file) {
                    return serde_json::from_slice(&text).expect("addresses");
                }
                if let Some(ended) = self.process.try_wait().expect("a process") {
                    panic!("the hub ended: {ended}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        self.addresses = tokio::time::timeout(PATIENCE, up).await.expect("the hub comes up");
    }

    /// Sends the hub a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    /// Whether the hub still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().expect("a process").is_none()
    }

    /// Waits for the hub to end by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.process.try_wait().expect("a process") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the hub ends")
    }

    /// The figures as a scraper sees them.
    pub(crate) async fn figures(&self) -> String {
        self.admin("GET", "/metrics", None, None).await.text()
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let output = self.data.run(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The same with `--json`, parsed.
    pub(crate) fn cli_json(&self, words: &[&str]) -> Value {
        let text = self.cli(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// Asks the API, with the token.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let token = std::fs::read_to_string(self.data.path().join("admin.token")).expect("token");
        self.admin(method, path, Some(&format!("Bearer {token}")), body).await
    }

    /// Asks the admin door.
    pub(crate) async fn admin(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let headers: Vec<_> =
            bearer.iter().map(|bearer| ("authorization", (*bearer).to_owned())).collect();
        let address = self.addresses["admin"].as_str().expect("an address");
        self.ask(address, method, path, &headers, body).await
    }

    /// Asks the users' door.
    pub(crate) async fn users(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
    ) -> Answer {
        let address = self.addresses["users"][0].as_str().expect("an address");
        self.ask(address, method, path, headers, None).await
    }

    /// Posts to the users' door.
    pub(crate) async fn users_post(
        &self,
        path: &str,
        headers: &[(&str, String)],
        body: &Value,
    ) -> Answer {
        let address = self.addresses["users"][0].as_str().expect("an address");
        self.ask(address, "POST", path, headers, Some(body.clone())).await
    }

    async fn ask(
        &self,
        address: &str,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Option<Value>,
    ) -> Answer {
        let stream = self.tls(address).await;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("h1");
        let mut connections = tokio::task::JoinSet::new();
        connections.spawn(connection);
        let mut request = http::Request::builder().method(method).uri(path).header("host", "hub");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        let content_type = response.headers().get("content-type");
        let content_type =
            content_type.map_or("", |value| value.to_str().expect("text")).to_owned();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
        Answer { status, content_type, body }
    }

    /// A connection to the users' door, on which nothing was said yet.
    pub(crate) async fn users_stream(&self) -> TlsStream<TcpStream> {
        self.tls(self.addresses["users"][0].as_str().expect("an address")).await
    }

    async fn tls(&self, address: &str) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let ca = self.data.path().join("certs/ca.pem");
        roots.add(CertificateDer::from_pem_file(ca).expect("a CA")).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.expect("the door is open");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await.expect("TLS")
    }

    /// The files of the data directory that hold `text`.
    pub(crate) fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.data.path()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read(&path).is_ok_and(|bytes| contains(&bytes, text.as_bytes()))
                {
                    found.push(path);
                }
            }
        }
        found
    }

    /// Asks the hub to stop as a service manager does, and waits for a good end.
    pub(crate) async fn stop(mut self) {
        self.signal("-TERM");
        let status = self.ended().await;
        assert!(status.success(), "{status}");
        assert!(!self.data.path().join(ADDRESSES).exists(), "the addresses outlived the doors");
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Ended already where the test went well.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
