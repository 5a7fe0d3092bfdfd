//! Calls through proxies that behave and misbehave, with TLS inside and without.

use crate::account::AccountDraft;
use crate::account::Egress;
use crate::datadir::DataDir;
use crate::upstream::{
    Answer, Call, CallError, Dial, DialFuture, HttpVersion, RequestBody, SystemDial, Upstream,
    UpstreamSettings, official_roots,
};
use crate::vault::{ProxyPassword, Secret, Vault};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use rustls::RootCertStore;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::AccountId;
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::tables::hosts::{HostTable, Origin, Site};
use weft_proto::tables::target::Target;
use weft_proto::time::SystemClock;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);
const KEY: &str = "sk-owner-key";
const PASSWORD: &str = "pr0xy:pass";

/// Dials as the machine does, and remembers whom.
#[derive(Debug, Default)]
struct Watched(Mutex<Vec<(String, u16)>>);

impl Dial for Watched {
    fn dial(&self, host: &str, port: u16) -> DialFuture {
        self.0.lock().unwrap().push((host.to_owned(), port));
        SystemDial.dial(host, port)
    }
}

struct Rig {
    upstream: Upstream,
    vault: Vault,
    dialled: Arc<Watched>,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new(roots: RootCertStore, connect_timeout: Duration) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let vault = Vault::open(&DataDir::open(dir.path()).expect("data")).expect("vault");
        let dialled = Arc::new(Watched::default());
        let settings = UpstreamSettings { connect_timeout };
        let dial = Arc::clone(&dialled) as Arc<dyn Dial>;
        let upstream = Upstream::new(dial, roots, settings, TaskTracker::new()).expect("upstream");
        Self { upstream, vault, dialled, _dir: dir }
    }

    fn plain() -> Self {
        Self::new(official_roots(), PATIENCE)
    }

    fn account(&self, label: &str, egress: &str) -> AccountId {
        let egress: Egress = egress.parse().expect("egress");
        let password = egress.wants_password().then(|| password(PASSWORD));
        let draft = AccountDraft {
            provider: Provider::OpenAi,
            label: label.into(),
            site: String::new(),
            models: ModelPatterns::any(),
            deployments: BTreeMap::new(),
            max_concurrency: 8,
            permitted_use: "own".into(),
            place: String::new(),
            http2: false,
            egress,
        };
        let id = AccountId::generate(&SystemClock, &OsEntropy);
        let secret = Secret::parse(KEY.as_bytes().to_vec().into()).expect("secret");
        let secret = secret.with_proxy_password(password);
        self.vault.add(id, draft, secret, &OsEntropy).expect("add");
        id
    }

    async fn call(&self, account: AccountId, origin: &Origin) -> Result<Answer, CallError> {
        let call = Call {
            origin: origin.clone(),
            version: HttpVersion::H1,
            method: Method::GET,
            target: Target::parse("/v1/files").expect("target"),
            headers: HeaderMap::new(),
            key: self.vault.lend(account).expect("lend"),
            body: RequestBody::empty(),
        };
        tokio::time::timeout(PATIENCE * 2, self.upstream.call(call)).await.expect("in time")
    }
}

fn password(text: &str) -> ProxyPassword {
    ProxyPassword::parse(text.as_bytes()).expect("password")
}

fn origin_at(url: &str) -> Origin {
    let table = HostTable::simulated([(Provider::OpenAi, url)]).expect("table");
    table.origin(Provider::OpenAi, &Site::Default).expect("origin")
}

async fn body_of(answer: Answer) -> String {
    let bytes = answer.body.collect().await.expect("whole").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    (listener, port)
}

async fn head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

/// Answers one request on `io`.
async fn provide(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let asked = head(io).await;
    io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nweft").await.expect("write");
    io.flush().await.expect("flush");
    asked
}

/// The target of a SOCKS5 client, with or without a password.
async fn socks(io: &mut TcpStream, login: Option<(&str, &str)>) -> (Vec<u8>, u16) {
    let mut greeting = [0; 2];
    io.read_exact(&mut greeting).await.expect("greeting");
    let mut methods = vec![0; usize::from(greeting[1])];
    io.read_exact(&mut methods).await.expect("methods");
    assert_eq!(methods.contains(&2), login.is_some());
    match login {
        None => io.write_all(&[5, 0]).await.expect("write"),
        Some((user, password)) => {
            io.write_all(&[5, 2]).await.expect("write");
            let want = [&[1, user.len() as u8], user.as_bytes()].concat();
            let want = [&want[..], &[password.len() as u8], password.as_bytes()].concat();
            let mut said = vec![0; want.len()];
            io.read_exact(&mut said).await.expect("login");
            assert_eq!(said, want);
            io.write_all(&[1, 0]).await.expect("write");
        }
    }
    let mut start = [0; 4];
    io.read_exact(&mut start).await.expect("request");
    assert_eq!(start[..3], [5, 1, 0]);
    let length = match start[3] {
        1 => 4,
        4 => 16,
        _ => usize::from(io.read_u8().await.expect("length")),
    };
    let mut address = vec![0; length];
    io.read_exact(&mut address).await.expect("address");
    let port = io.read_u16().await.expect("port");
    (address, port)
}

#[tokio::test]
async fn a_call_leaves_through_a_connect_proxy_that_sees_host_port_and_its_own_password() {
    let rig = Rig::plain();
    let (proxy, port) = listener().await;
    let account = rig.account("far", &format!("http://me@127.0.0.1:{port}"));
    let origin = origin_at("http://127.0.0.1:9/base");
    let serve = async {
        let (mut io, _) = proxy.accept().await.expect("accept");
        let asked = head(&mut io).await;
        // The rest of the head in two pieces, and headers that mean nothing to a tunnel.
        io.write_all(b"HTTP/1.1 200 Fine\r\ncontent-length: 7\r\nvia: x\r\n").await.expect("write");
        tokio::time::sleep(Duration::from_millis(20)).await;
        io.write_all(b"\r\n").await.expect("write");
        (asked, provide(&mut io).await)
    };
    let (answer, (connect, request)) = tokio::join!(rig.call(account, &origin), serve);
    assert_eq!(body_of(answer.expect("answer")).await, "weft");
    let basic = "bWU6cHIweHk6cGFzcw==";
    assert_eq!(
        connect,
        format!(
            "CONNECT 127.0.0.1:9 HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\
             proxy-authorization: Basic {basic}\r\n\r\n"
        )
    );
    assert!(request.starts_with("GET /base/v1/files HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {KEY}\r\n")));
    assert!(!request.contains("proxy-") && !request.contains(basic) && !connect.contains(KEY));
    assert_eq!(*rig.dialled.0.lock().unwrap(), [("127.0.0.1".to_owned(), port)]);
}

#[tokio::test]
async fn a_call_leaves_through_a_socks_proxy_with_and_without_a_password() {
    for login in [None, Some(("me", PASSWORD))] {
        let rig = Rig::plain();
        let (proxy, port) = listener().await;
        let user = login.map_or("", |_| "me@");
        let account = rig.account("far", &format!("socks5://{user}127.0.0.1:{port}"));
        // `localhost` is a name: it must reach the proxy as one.
        let origin = origin_at("http://localhost:9");
        let serve = async {
            let (mut io, _) = proxy.accept().await.expect("accept");
            let asked = socks(&mut io, login).await;
            io.write_all(&[5, 0, 0, 3, 3, b'a', b'b', b'c', 0, 1]).await.expect("write");
            provide(&mut io).await;
            asked
        };
        let (answer, asked) = tokio::join!(rig.call(account, &origin), serve);
        assert_eq!(body_of(answer.expect("answer")).await, "weft");
        assert_eq!(asked, (b"localhost".to_vec(), 9));
        assert_eq!(rig.dialled.0.lock().unwrap().len(), 1, "the provider's name was not dialled");
    }
}

/// An authority and a server configuration for `name`.
fn authority(name: &str) -> (RootCertStore, Arc<rustls::ServerConfig>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("key");
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("params");
    let cert = params.self_signed(&key).expect("cert");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("root");
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("config");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    (roots, Arc::new(config))
}

#[tokio::test]
async fn tls_with_the_provider_runs_inside_the_tunnel_and_is_verified_there() {
    let (roots, tls) = authority("localhost");
    let origin = origin_at("https://localhost:8443");
    for (egress, trusted) in [("http", true), ("socks5", true), ("http", false), ("socks5", false)]
    {
        let roots = if trusted { roots.clone() } else { official_roots() };
        let rig = Rig::new(roots, PATIENCE);
        let (proxy, port) = listener().await;
        let account = rig.account("far", &format!("{egress}://127.0.0.1:{port}"));
        let serve = async {
            let (mut io, _) = proxy.accept().await.expect("accept");
            if egress == "http" {
                assert!(head(&mut io).await.starts_with("CONNECT localhost:8443 HTTP/1.1\r\n"));
                io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("write");
            } else {
                assert_eq!(socks(&mut io, None).await, (b"localhost".to_vec(), 8443));
                io.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.expect("write");
            }
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&tls));
            match acceptor.accept(io).await {
                Ok(mut inside) => {
                    assert_eq!(inside.get_ref().1.server_name(), Some("localhost"));
                    Some(provide(&mut inside).await)
                }
                Err(_) => None,
            }
        };
        let (answer, served) = tokio::join!(rig.call(account, &origin), serve);
        assert_eq!(served.is_some(), trusted, "{egress}");
        match answer {
            Ok(answer) => assert_eq!(body_of(answer).await, "weft"),
            Err(error) => assert!(!trusted && matches!(error, CallError::NotSent(_)), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_proxy_behind_tls_is_verified_by_its_own_name() {
    let (roots, tls) = authority("localhost");
    for (host, works) in [("localhost", true), ("127.0.0.1", false)] {
        let rig = Rig::new(roots.clone(), PATIENCE);
        let (proxy, port) = listener().await;
        let account = rig.account("far", &format!("https://me@{host}:{port}"));
        let serve = async {
            let (io, _) = proxy.accept().await.expect("accept");
            let mut io = tokio_rustls::TlsAcceptor::from(Arc::clone(&tls)).accept(io).await.ok()?;
            // A TLS 1.3 server is done before the client has refused its name.
            let mut first = [0; 8];
            io.read_exact(&mut first).await.ok()?;
            head(&mut io).await;
            io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            Some(provide(&mut io).await)
        };
        let origin = origin_at("http://127.0.0.1:9");
        let (answer, served) = tokio::join!(rig.call(account, &origin), serve);
        assert_eq!((answer.is_ok(), served.is_some()), (works, works), "{host}");
    }
}

/// What a call comes to when the proxy answers `said` to `CONNECT` and stays silent then.
async fn hostile(egress: &str, said: &[u8], limit: Duration) -> String {
    let rig = Rig::new(official_roots(), limit);
    let (proxy, port) = listener().await;
    let account = rig.account("far", &egress.replace("PORT", &port.to_string()));
    let origin = origin_at("http://127.0.0.1:9");
    let serve = async {
        let (mut io, _) = proxy.accept().await.expect("accept");
        // An endless answer is cut by the client: the write may fail.
        io.write_all(said).await.unwrap_or_default();
        io.flush().await.unwrap_or_default();
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.unwrap_or_default();
        rest
    };
    let (answer, sent) = tokio::join!(rig.call(account, &origin), serve);
    let error = answer.expect_err("no tunnel");
    assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
    let sent = String::from_utf8_lossy(&sent).into_owned();
    assert!(!sent.contains(KEY), "the key went to the proxy: {sent}");
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(this) = cause {
        text = format!("{text}: {this}");
        cause = this.source();
    }
    assert!(!text.contains(PASSWORD) && !text.contains("me@"), "{text}");
    text
}

#[tokio::test]
async fn a_hostile_connect_proxy_gets_no_key_and_its_fault_a_name() {
    let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"x: yyyyyyyyyyyy\r\n".repeat(4_096)].concat();
    let cases: [(&[u8], &str); 8] = [
        (b"HTTP/1.1 407 No\r\nproxy-authenticate: Basic\r\n\r\n", "407"),
        (b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno", "403"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n", "302"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "bytes into the tunnel"),
        (b"\x05\x00", "does not speak HTTP"),
        (b"\r\n\r\n\r\n", "does not speak HTTP"),
        (&endless, "longer than"),
        (b"HTTP/1.1 200 OK\r\n", "took longer than"),
    ];
    for (said, want) in cases {
        let limit = if want.starts_with("took") { Duration::from_millis(300) } else { PATIENCE };
        let text = hostile("http://me@127.0.0.1:PORT", said, limit).await;
        assert!(text.contains(want), "{want:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn a_hostile_socks_proxy_gets_no_key_and_its_fault_a_name() {
    let cases: [(&[u8], &str); 10] = [
        (&[5, 0xff], "another way to log in"),
        (&[5, 7], "does not speak SOCKS5"),
        (b"HTTP/1.1 400", "does not speak SOCKS5"),
        (&[5, 2, 1, 1], "refuses the user or password"),
        (&[5, 2, 9, 0], "does not speak SOCKS5"),
        (&[5, 0, 5, 2, 0, 1], "rules do not allow"),
        (&[5, 2, 1, 0, 5, 5, 0, 1], "refused the connection"),
        (&[5, 0, 5, 99, 0, 1], "does not know"),
        (&[5, 0, 5, 0, 0, 9, 1, 2, 3], "does not speak SOCKS5"),
        (&[5, 0, 5, 0, 0, 3, 255, 1], "took longer than"),
    ];
    for (said, want) in cases {
        let limit = if want.starts_with("took") { Duration::from_millis(300) } else { PATIENCE };
        let text = hostile("socks5://me@127.0.0.1:PORT", said, limit).await;
        assert!(text.contains(want), "{want:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_hangs_up_is_told_as_such() {
    for egress in ["http", "socks5"] {
        let rig = Rig::plain();
        let (gone, port) = listener().await;
        let account = rig.account("far", &format!("{egress}://127.0.0.1:{port}"));
        let origin = origin_at("http://127.0.0.1:9");
        let hang_up = async { drop(gone.accept().await.expect("accept")) };
        let (answer, ()) = tokio::join!(rig.call(account, &origin), hang_up);
        assert!(matches!(answer.expect_err("no tunnel"), CallError::NotSent(_)));
        drop(gone);
        let error = rig.call(account, &origin).await.expect_err("nobody");
        assert!(matches!(error, CallError::NotSent(_)));
    }
}

#[tokio::test]
async fn accounts_of_different_egress_never_share_a_connection_and_pools_go_with_their_accounts() {
    let rig = Rig::plain();
    let (proxy, proxy_port) = listener().await;
    let (direct, direct_port) = listener().await;
    let origin = origin_at(&format!("http://127.0.0.1:{direct_port}"));
    let near = rig.account("near", "direct");
    let egress = format!("socks5://me@127.0.0.1:{proxy_port}");
    let (far, twin) = (rig.account("far", &egress), rig.account("twin", &egress));
    let way = |id| rig.vault.way(id).expect("known").expect("proxied");
    assert!(Arc::ptr_eq(&way(far), &way(twin)), "the same proxy and password");
    let serve = async {
        let (mut first, _) = direct.accept().await.expect("accept");
        provide(&mut first).await;
        let (mut second, _) = proxy.accept().await.expect("accept");
        socks(&mut second, Some(("me", PASSWORD))).await;
        second.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.expect("write");
        // The twin's request comes over the connection that is there.
        provide(&mut second).await;
        provide(&mut second).await;
        (first, second)
    };
    let calls = async {
        for account in [near, far, twin] {
            assert_eq!(body_of(rig.call(account, &origin).await.expect("answer")).await, "weft");
            // The pool takes a connection back only after its body's end was seen.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let ((first, mut second), ()) = tokio::join!(serve, calls);
    assert_eq!(rig.upstream.pools_by_proxy(), 1);
    // Another password is another way, and a key goes no way but its account's.
    rig.vault
        .set(
            twin,
            |draft| draft.egress = egress.parse().expect("egress"),
            Some(password("other")),
            &OsEntropy,
        )
        .expect("set");
    assert!(!Arc::ptr_eq(&way(far), &way(twin)));
    rig.vault.set(far, |draft| draft.egress = Egress::Direct, None, &OsEntropy).expect("set");
    rig.vault.remove(twin).expect("remove");
    rig.upstream.forget_unused();
    assert_eq!(rig.upstream.pools_by_proxy(), 0);
    let mut rest = [0; 1];
    let closed = tokio::time::timeout(PATIENCE, second.read(&mut rest)).await.expect("in time");
    assert_eq!(closed.unwrap_or(0), 0, "the idle connection is closed with its pool");
    drop(first);
}
