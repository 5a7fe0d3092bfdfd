//! The hub's own authority, on disk under one folder.
//!
//! ```text
//! authority.json     hub id and names; written last: without it there is no authority
//! node-ca.pem .key        issues node certificates; its SPKI is the current pin
//! next-node-ca.pem        the next pin
//! next-node-ca.key        belongs offline; nothing at run time reads it
//! agent-ca.pem .key       issues agent certificates
//! ca.pem  users-ca.key    issues the users' door's certificate; users trust ca.pem
//! node.pem .key           this node's certificate, followed by its issuer
//! users.pem .key          the users' door's certificate
//! ```
//! Of the authorities' keys only the one for agents stays in memory; the others are read to issue
//! and then wiped. The node's and the users' door's certificates are renewed while the doors stand:
//! what a door shows is asked for at each handshake.
//! Calls that take a folder, and [`Authority::renew`], block.

mod audit;
mod shown;
mod slot;

pub use self::audit::{Audit, Audited};

pub(crate) use self::shown::Shown;
use self::slot::{AGENT_CA, NEXT_NODE_CA, NODE, NODE_CA, RECORD, Record, USERS, USERS_CA};
use crate::disk::{self, FileError};
use crate::enroll::{self, AgentChain, CsrError, ProvenKey};
use crate::key::PrivateKey;
use crate::leaf::{self, Ca, Making};
use crate::names::{HostName, InvalidHostName, MAX_NAMES};
use crate::pin::Pins;
use rcgen::Issuer;
use rustls_pki_types::CertificateDer;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use weft_proto::entropy::{Entropy, OsEntropy};
use weft_proto::ids::{AgentId, HubId};
use weft_proto::time::Clock;

/// An authority that cannot be made, opened or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is an authority already; nothing was changed.
    #[error("{} already holds an authority", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// There is none.
    #[error("{} holds no authority: run `weft-hub init` first", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// A file is unreadable, damaged or exposed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The next authority's key is where it belongs, which is elsewhere.
    #[error(
        "{} is not here: bring it back from where it is kept offline; nothing was changed",
        path.display()
    )]
    NextKeyAway {
        /// Where it is to be put.
        path: PathBuf,
    },
    /// A key and a certificate that do not belong together.
    #[error("{} and {} do not belong together", key.display(), cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// A name of the users' door is not one.
    #[error(transparent)]
    Name(#[from] InvalidHostName),
    /// More names than a users' door may have.
    #[error("a users' door has at most {MAX_NAMES} names, the local ones included")]
    TooManyNames,
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Issue(#[source] rcgen::Error),
    /// The TLS library refuses a key.
    #[error("the TLS library refuses a key")]
    Tls(#[source] rustls::Error),
}

/// A signing request that did not become a certificate.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The request is not acceptable.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The certificate could not be made.
    #[error("the certificate could not be made")]
    Issue(#[source] rcgen::Error),
}

/// A hub's authority, opened: issues agents' certificates and holds what the doors show.
pub struct Authority {
    pub(crate) hub: HubId,
    names: Vec<HostName>,
    pins: Pins,
    pub(crate) agent_ca: CertificateDer<'static>,
    agent_ca_key: PrivateKey,
    users_ca: CertificateDer<'static>,
    pub(crate) node: Arc<Shown>,
    pub(crate) users: Arc<Shown>,
    dir: PathBuf,
    /// Held while certificates are made anew: two renewals at once would mix their files.
    renewing: Mutex<()>,
}

/// Which certificates [`Authority::renew`] made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// The node's, at the agents' door.
    pub node: bool,
    /// The users' door's.
    pub users: bool,
}

impl Authority {
    /// Makes a new authority under `dir` (made with mode 0700) and opens it.
    ///
    /// `names` are host names and IP addresses of the users' door; `localhost`, `127.0.0.1` and
    /// `::1` are always added. The users' authority can vouch for these names only, ever.
    /// Afterwards [`Authority::next_key_path`] is to be taken offline. Keys of the users' door
    /// come from the system's chance whatever `entropy` is.
    ///
    /// # Errors
    /// [`AuthorityError`] where there is an authority already, a name is none, or a file cannot
    /// be written. What a failed call left behind, the next call replaces.
    pub fn create(
        dir: &Path,
        hub: HubId,
        names: &[String],
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Self, AuthorityError> {
        let names = parse_names(names)?;
        disk::make_dir(dir)?;
        if dir.join(RECORD).try_exists().unwrap_or(true) {
            return Err(AuthorityError::Exists { dir: dir.to_owned() });
        }
        let making = Making { now: clock.now(), entropy };
        for (slot, kind) in [
            (NODE_CA, Ca::Node(hub)),
            (NEXT_NODE_CA, Ca::Node(hub)),
            (AGENT_CA, Ca::Agent(hub)),
            (USERS_CA, Ca::Users(hub, &names)),
        ] {
            let key = slot.generate(entropy);
            let cert = leaf::authority(kind, &key, making).map_err(AuthorityError::Issue)?;
            slot.save(dir, &key, &[cert])?;
        }
        issue_node(dir, hub, making)?;
        issue_users(dir, &names, making)?;
        Record::new(hub, names.iter().map(ToString::to_string).collect()).save(dir)?;
        Self::open(dir, clock)
    }

    /// Opens the authority under `dir`.
    ///
    /// A certificate of the node or of the users' door that is missing, comes from another
    /// authority than the current one, or has less than a third of its life left is made anew.
    ///
    /// # Errors
    /// [`AuthorityError`], naming the file, where one is missing, damaged, exposed or foreign.
    pub fn open(dir: &Path, clock: &dyn Clock) -> Result<Self, AuthorityError> {
        let Record { hub, names, .. } = Record::load(dir)?;
        let names = parse_names(&names)?;
        let now = clock.now();
        let making = Making { now, entropy: &OsEntropy };
        let (node_ca, node_ca_key) = NODE_CA.load(dir)?;
        drop(node_ca_key);
        let next = NEXT_NODE_CA.load_cert(dir)?;
        let (agent_ca, agent_ca_key) = AGENT_CA.load(dir)?;
        let (users_ca, users_ca_key) = USERS_CA.load(dir)?;
        drop(users_ca_key);
        issue_due(dir, hub, &names, (&node_ca, &users_ca), making)?;
        let pins =
            Pins { current: NODE_CA.spki(dir, &node_ca)?, next: NEXT_NODE_CA.spki(dir, &next)? };
        Ok(Self {
            hub,
            names,
            pins,
            agent_ca,
            agent_ca_key,
            users_ca,
            node: Arc::new(Shown::new(NODE.load_certified(dir)?)),
            users: Arc::new(Shown::new(USERS.load_certified(dir)?)),
            dir: dir.to_owned(),
            renewing: Mutex::new(()),
        })
    }

    /// Looks at the certificates of the node and of the users' door, and makes anew what has less
    /// than a third of its life left (or was made under a clock that was ahead). Doors that stand
    /// show the new ones from the next handshake on; connections keep what they began with. Blocks.
    ///
    /// # Errors
    /// [`AuthorityError`], naming the file; what was shown goes on being shown.
    pub fn renew(&self, clock: &dyn Clock) -> Result<Renewed, AuthorityError> {
        let _one_at_a_time = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = &self.dir;
        let authorities = (&NODE_CA.load_cert(dir)?, &self.users_ca);
        let making = Making { now: clock.now(), entropy: &OsEntropy };
        let renewed = issue_due(dir, self.hub, &self.names, authorities, making)?;
        if renewed.node {
            self.node.replace(NODE.load_certified(dir)?);
        }
        if renewed.users {
            self.users.replace(USERS.load_certified(dir)?);
        }
        Ok(renewed)
    }

    /// Makes the next node-issuing authority the current one, and a new next one.
    ///
    /// The operator brings `next-node-ca.key` back for this and takes the new one offline after
    /// it. Agents that hold the old pins keep connecting, because the new current authority is
    /// their next one; they must have the new pins before the step is taken again. After a crash
    /// the call can be repeated.
    ///
    /// # Errors
    /// [`AuthorityError`] where the next authority's key is not there or is another's.
    pub fn rotate_node_ca(
        dir: &Path,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Self, AuthorityError> {
        let hub = Record::load(dir)?.hub;
        let making = Making { now: clock.now(), entropy };
        let current = NODE_CA.load_cert(dir)?;
        let next = NEXT_NODE_CA.load_cert(dir)?;
        // Where the two are the same, a crash came between this step and the one below.
        if NODE_CA.spki(dir, &current)? != NEXT_NODE_CA.spki(dir, &next)? {
            let path = dir.join(NEXT_NODE_CA.key);
            if !path.try_exists().unwrap_or(true) {
                return Err(AuthorityError::NextKeyAway { path });
            }
            let (next, key) = NEXT_NODE_CA.load(dir)?;
            NODE_CA.save(dir, &key, &[next])?;
        }
        let key = NEXT_NODE_CA.generate(entropy);
        let cert = leaf::authority(Ca::Node(hub), &key, making).map_err(AuthorityError::Issue)?;
        NEXT_NODE_CA.save(dir, &key, &[cert])?;
        Self::open(dir, clock)
    }

    /// Issues a certificate for the key of the signing request `csr_der`, named `agent`, valid
    /// for [`AGENT_LIFETIME`](crate::AGENT_LIFETIME). Nothing but the key is taken from the
    /// request.
    ///
    /// # Errors
    /// [`SignError`] where the request is malformed or not signed with its own key.
    pub fn sign_agent(
        &self,
        csr_der: &[u8],
        agent: AgentId,
        clock: &dyn Clock,
    ) -> Result<AgentChain, SignError> {
        self.sign_proven(&ProvenKey::from_csr(csr_der)?, agent, clock)
    }

    /// Issues a certificate like [`Authority::sign_agent`] for a key that has proved itself: a
    /// door first looks at the key, then decides whose it is.
    ///
    /// # Errors
    /// [`SignError::Issue`] where the certificate cannot be made.
    pub fn sign_proven(
        &self,
        key: &ProvenKey,
        agent: AgentId,
        clock: &dyn Clock,
    ) -> Result<AgentChain, SignError> {
        let issuer = Issuer::from_ca_cert_der(&self.agent_ca, &self.agent_ca_key)
            .map_err(SignError::Issue)?;
        let making = Making { now: clock.now(), entropy: &OsEntropy };
        enroll::sign(key, agent, &issuer, making).map_err(SignError::Issue)
    }

    /// The hub's id.
    #[must_use]
    pub const fn hub(&self) -> HubId {
        self.hub
    }

    /// The names of the users' door.
    #[must_use]
    pub fn names(&self) -> &[HostName] {
        &self.names
    }

    /// What agents pin.
    #[must_use]
    pub const fn pins(&self) -> Pins {
        self.pins
    }

    /// The users' authority as PEM: what users put into `SSL_CERT_FILE`, `NODE_EXTRA_CA_CERTS`.
    #[must_use]
    pub fn users_ca_pem(&self) -> String {
        disk::pem_text("CERTIFICATE", &self.users_ca).to_string()
    }

    /// Where [`Authority::users_ca_pem`] lies.
    #[must_use]
    pub fn users_ca_path(&self) -> PathBuf {
        self.dir.join(USERS_CA.cert)
    }

    /// Where the next node-issuing authority's key lies until the operator takes it offline.
    #[must_use]
    pub fn next_key_path(&self) -> PathBuf {
        self.dir.join(NEXT_NODE_CA.key)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("hub", &self.hub)
            .field("names", &self.names)
            .field("pins", &self.pins)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// Issues what is due of the two certificates that this node shows.
fn issue_due(
    dir: &Path,
    hub: HubId,
    names: &[HostName],
    (node_ca, users_ca): (&CertificateDer<'_>, &CertificateDer<'_>),
    making: Making<'_>,
) -> Result<Renewed, AuthorityError> {
    let node = !NODE.is_fresh(dir, node_ca, making.now)?;
    if node {
        issue_node(dir, hub, making)?;
    }
    let users = !USERS.is_fresh(dir, users_ca, making.now)?;
    if users {
        issue_users(dir, names, making)?;
    }
    Ok(Renewed { node, users })
}

/// Issues this node's certificate; the issuer goes along, because agents look for its pin.
fn issue_node(dir: &Path, hub: HubId, making: Making<'_>) -> Result<(), AuthorityError> {
    let (issuer_cert, issuer_key) = NODE_CA.load(dir)?;
    let issuer =
        Issuer::from_ca_cert_der(&issuer_cert, &issuer_key).map_err(AuthorityError::Issue)?;
    let key = NODE.generate(making.entropy);
    let cert = leaf::node(hub, &key, &issuer, making).map_err(AuthorityError::Issue)?;
    // Without a certificate beside it, a new key is not taken for the old certificate's.
    NODE.forget(dir)?;
    Ok(NODE.save(dir, &key, &[cert, issuer_cert])?)
}

/// Issues the users' door's certificate.
fn issue_users(dir: &Path, names: &[HostName], making: Making<'_>) -> Result<(), AuthorityError> {
    let (issuer_cert, issuer_key) = USERS_CA.load(dir)?;
    let issuer =
        Issuer::from_ca_cert_der(&issuer_cert, &issuer_key).map_err(AuthorityError::Issue)?;
    let key = USERS.generate(making.entropy);
    let cert = leaf::users(names, &key, &issuer, making).map_err(AuthorityError::Issue)?;
    USERS.forget(dir)?;
    Ok(USERS.save(dir, &key, &[cert])?)
}

fn parse_names(names: &[String]) -> Result<Vec<HostName>, AuthorityError> {
    let mut parsed = BTreeSet::from(HostName::local());
    for name in names {
        parsed.insert(name.parse()?);
        if parsed.len() > MAX_NAMES {
            return Err(AuthorityError::TooManyNames);
        }
    }
    Ok(parsed.into_iter().collect())
}
