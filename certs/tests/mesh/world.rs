//! A hub's authority in a temporary folder, one agent of it, and a wire in memory.

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig,
    ServerConnection,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use weft_certs::{
    ALPN_JOIN, ALPN_TUNNEL, AgentIdentity, AgentKey, AgentTrust, Authority, SpkiHash, Verdict,
    join_tls, server_name, tunnel_tls,
};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AgentId, HubId};
use weft_proto::time::{Clock, ManualClock, SystemClock, Timestamp};

/// The hub's table of agents.
#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<BTreeMap<AgentId, (SpkiHash, Verdict)>>);

impl Table {
    pub(crate) fn set(&self, agent: AgentId, spki: SpkiHash, verdict: Verdict) {
        self.0.lock().unwrap().insert(agent, (spki, verdict));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl AgentTrust for Table {
    fn verdict(&self, agent: AgentId, spki: SpkiHash) -> Verdict {
        match self.0.lock().unwrap().get(&agent) {
            Some((known, verdict)) if *known == spki => *verdict,
            Some(_) | None => Verdict::Unknown,
        }
    }
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    pub(crate) identity: AgentIdentity,
    pub(crate) table: Arc<Table>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) started: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The users' door goes by the machine's clock, so the world starts at the machine's time.
        let started = SystemClock.now();
        let clock = Arc::new(ManualClock::new(started));
        let hub = HubId::generate(&*clock, &OsEntropy);
        let names = ["hub.example".to_owned(), "192.0.2.7".to_owned()];
        let dir = folder.path().join("certs");
        let authority = Authority::create(&dir, hub, &names, &*clock, &OsEntropy).unwrap();
        let agent = AgentId::generate(&*clock, &OsEntropy);
        let key = AgentKey::generate(&OsEntropy);
        let chain = authority.sign_agent(&key.csr_der(), agent, &*clock).unwrap();
        let identity = AgentIdentity::new(key, chain).unwrap();
        let table = Arc::new(Table::default());
        table.set(agent, identity.key().spki_hash(), Verdict::Trusted);
        Self { folder, authority, identity, table, clock, started }
    }

    /// The authority's folder.
    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    pub(crate) fn hub(&self) -> HubId {
        self.authority.hub()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::<ManualClock>::clone(&self.clock)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn tunnel(&self) -> ClientConfig {
        tunnel_tls(self.authority.pins(), self.hub(), &self.identity, self.clock()).unwrap()
    }

    pub(crate) fn join(&self) -> ClientConfig {
        join_tls(self.authority.pins(), self.hub(), self.clock()).unwrap()
    }

    /// A client that dials a tunnel with some certificate of the authority's folder.
    pub(crate) fn tunnel_with_pem(&self, chain: &str, key: &str) -> ClientConfig {
        let (chain, key) = (read_chain(&self.dir().join(chain)), read_key(&self.dir().join(key)));
        let mut roots = RootCertStore::empty();
        roots.add(read_chain(&self.dir().join("node-ca.pem")).swap_remove(0)).unwrap();
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_webpki_verifier(verifier.build().unwrap())
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![ALPN_TUNNEL.to_vec()];
        config
    }

    /// Writes the agent's chain, followed by certificates of the authority's folder, into one file.
    pub(crate) fn agent_chain_file(&self, issuers: &[&str]) -> PathBuf {
        let path = self.folder.path().join("chain.pem");
        let leaf = self.folder.path().join("leaf.pem");
        self.identity.chain().save(&leaf).unwrap();
        let mut text = std::fs::read_to_string(leaf).unwrap();
        for issuer in issuers {
            text.push_str(&std::fs::read_to_string(self.dir().join(issuer)).unwrap());
        }
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn dial(&self, client: ClientConfig) -> Meeting {
        self.dial_name(client, server_name(self.hub()))
    }

    pub(crate) fn dial_name(&self, client: ClientConfig, name: ServerName<'static>) -> Meeting {
        let trust: Arc<dyn AgentTrust> = Arc::<Table>::clone(&self.table);
        Meeting::of(client, self.authority.agents_door(trust, self.clock()).unwrap(), name)
    }
}

pub(crate) fn read_chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

pub(crate) fn read_key(path: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(path).unwrap()
}

/// A plain server with a chain and a key from files, as an impostor would run.
pub(crate) fn pem_server(chain: &Path, key: &Path) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(read_chain(chain), read_key(key))
        .unwrap();
    config.alpn_protocols = vec![ALPN_TUNNEL.to_vec(), ALPN_JOIN.to_vec(), b"http/1.1".to_vec()];
    config
}

/// What became of a handshake at each end: the connection, or why there is none.
pub(crate) struct Meeting {
    pub(crate) client: Result<ClientConnection, Error>,
    pub(crate) server: Result<ServerConnection, Error>,
}

/// Both ends of a handshake that succeeded.
pub(crate) struct Met {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

/// More flights than any handshake has.
const MAX_FLIGHTS: usize = 16;

impl Meeting {
    pub(crate) fn of(
        client: ClientConfig,
        server: ServerConfig,
        name: ServerName<'static>,
    ) -> Self {
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let (mut client_end, mut server_end) = (Ok(()), Ok(()));
        for _ in 0..MAX_FLIGHTS {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            if server_end.is_ok() {
                server_end = feed(&wire, |bytes| {
                    server.read_tls(bytes).unwrap();
                    server.process_new_packets().map(drop)
                });
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            if client_end.is_ok() {
                client_end = feed(&wire, |bytes| {
                    client.read_tls(bytes).unwrap();
                    client.process_new_packets().map(drop)
                });
            }
        }
        Self { client: client_end.map(|()| client), server: server_end.map(|()| server) }
    }

    pub(crate) fn both(self) -> Met {
        let (client, server) = (self.client.unwrap(), self.server.unwrap());
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Met { client, server }
    }
}

impl Met {
    /// Sends `bytes` each way and sees that they arrive.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) {
        let mut wire = Vec::new();
        let mut got = vec![0; bytes.len()];
        self.client.writer().write_all(bytes).unwrap();
        self.client.write_tls(&mut wire).unwrap();
        self.server.read_tls(&mut wire.as_slice()).unwrap();
        self.server.process_new_packets().unwrap();
        self.server.reader().read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
        self.server.writer().write_all(&got).unwrap();
        wire.clear();
        self.server.write_tls(&mut wire).unwrap();
        self.client.read_tls(&mut wire.as_slice()).unwrap();
        self.client.process_new_packets().unwrap();
        self.client.reader().read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
    }
}

fn feed(
    mut wire: &[u8],
    mut take: impl FnMut(&mut &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    while !wire.is_empty() {
        take(&mut wire)?;
    }
    Ok(())
}

/// Why a certificate was refused at one end.
pub(crate) fn cert_error<T: Debug>(end: Result<T, Error>) -> CertificateError {
    match end.map(drop) {
        Err(Error::InvalidCertificate(cause)) => {
            // The forms with context say the same.
            if matches!(cause, CertificateError::NotValidForNameContext { .. }) {
                CertificateError::NotValidForName
            } else if matches!(cause, CertificateError::InvalidPurposeContext { .. }) {
                CertificateError::InvalidPurpose
            } else {
                cause
            }
        }
        other => panic!("wanted a refused certificate, got {other:?}"),
    }
}
