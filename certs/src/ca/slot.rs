//! The files of an authority: which belong together, and the checks when they are read.
//!
//! A certificate and a key are handed out only where they belong together. Every error names the
//! file. Nothing here decides when something is issued.

use super::AuthorityError;
use crate::disk::{self, FileError};
use crate::key::{Kind, PrivateKey};
use crate::leaf::{BACKDATE, HUB_LEAF_LIFETIME};
use crate::pin::SpkiHash;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use std::path::Path;
use std::sync::Arc;
use weft_proto::entropy::Entropy;
use weft_proto::ids::HubId;
use weft_proto::time::Timestamp;

/// The file whose presence says that an authority is complete.
pub(super) const RECORD: &str = "authority.json";
/// The version of [`RECORD`] that this code writes and reads.
const FORMAT: u32 = 1;

pub(super) const NODE_CA: Slot = Slot::new("node-ca.pem", "node-ca.key", Kind::Ed25519);
pub(super) const NEXT_NODE_CA: Slot =
    Slot::new("next-node-ca.pem", "next-node-ca.key", Kind::Ed25519);
pub(super) const AGENT_CA: Slot = Slot::new("agent-ca.pem", "agent-ca.key", Kind::Ed25519);
pub(super) const USERS_CA: Slot = Slot::new("ca.pem", "users-ca.key", Kind::P256);
pub(super) const NODE: Slot = Slot::new("node.pem", "node.key", Kind::Ed25519);
pub(super) const USERS: Slot = Slot::new("users.pem", "users.key", Kind::P256);

/// What [`RECORD`] holds.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    pub(super) hub: HubId,
    pub(super) names: Vec<String>,
}

impl Record {
    pub(super) const fn new(hub: HubId, names: Vec<String>) -> Self {
        Self { format: FORMAT, hub, names }
    }

    pub(super) fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let path = dir.join(RECORD);
        let text = match disk::read_public(&path) {
            Ok(text) => text,
            Err(error) if error.is_missing() => {
                return Err(AuthorityError::Missing { dir: dir.to_owned() });
            }
            Err(error) => return Err(error.into()),
        };
        let record: Self = serde_json::from_slice(&text)
            .map_err(|_| FileError::damaged(&path, "it is not an authority's record"))?;
        if record.format != FORMAT {
            return Err(FileError::damaged(&path, "its format is of another version").into());
        }
        Ok(record)
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        let path = dir.join(RECORD);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|_| FileError::damaged(&path, "its names cannot be written"))?;
        Ok(disk::write_public(&path, &text)?)
    }
}

/// One certificate with its key, by the names of their files.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) cert: &'static str,
    pub(super) key: &'static str,
    kind: Kind,
}

impl Slot {
    const fn new(cert: &'static str, key: &'static str, kind: Kind) -> Self {
        Self { cert, key, kind }
    }

    pub(super) fn generate(self, entropy: &dyn Entropy) -> PrivateKey {
        match self.kind {
            Kind::Ed25519 => PrivateKey::generate_ed25519(entropy),
            Kind::P256 => PrivateKey::generate_p256(),
        }
    }

    pub(super) fn save(
        self,
        dir: &Path,
        key: &PrivateKey,
        certs: &[CertificateDer<'_>],
    ) -> Result<(), FileError> {
        key.save(&dir.join(self.key))?;
        disk::write_certs(&dir.join(self.cert), certs)
    }

    /// Takes the certificate away, so that a crash while it is replaced leaves none.
    pub(super) fn forget(self, dir: &Path) -> Result<(), FileError> {
        disk::remove(&dir.join(self.cert))
    }

    fn load_chain(self, dir: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
        disk::read_certs(&dir.join(self.cert))
    }

    pub(super) fn load_cert(self, dir: &Path) -> Result<CertificateDer<'static>, FileError> {
        Ok(self.load_chain(dir)?.swap_remove(0))
    }

    pub(super) fn spki(self, dir: &Path, cert: &CertificateDer<'_>) -> Result<SpkiHash, FileError> {
        SpkiHash::of_cert(cert)
            .map_err(|_| FileError::damaged(&dir.join(self.cert), "it is not a certificate"))
    }

    /// Loads certificate and key and sees that they belong together.
    pub(super) fn load(
        self,
        dir: &Path,
    ) -> Result<(CertificateDer<'static>, PrivateKey), AuthorityError> {
        let (chain, key) = self.load_pair(dir)?;
        match chain.into_iter().next() {
            Some(cert) => Ok((cert, key)),
            None => Err(FileError::damaged(&dir.join(self.cert), "it is empty").into()),
        }
    }

    fn load_pair(
        self,
        dir: &Path,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKey), AuthorityError> {
        let chain = self.load_chain(dir)?;
        let key = PrivateKey::load(&dir.join(self.key), self.kind)?;
        let spki = chain.first().map(|cert| self.spki(dir, cert)).transpose()?;
        if spki != Some(key.spki_hash()) {
            let (key, cert) = (dir.join(self.key), dir.join(self.cert));
            return Err(AuthorityError::Mismatch { key, cert });
        }
        Ok((chain, key))
    }

    pub(super) fn load_certified(self, dir: &Path) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let (chain, key) = self.load_pair(dir)?;
        Ok(Arc::new(CertifiedKey::new(chain, key.tls().map_err(AuthorityError::Tls)?)))
    }

    /// Whether the leaf is there, was issued by `issuer` and has a third of its life left.
    ///
    /// A leaf that is there but cannot be read is an error: it is not overwritten unseen.
    pub(super) fn is_fresh(
        self,
        dir: &Path,
        issuer: &CertificateDer<'_>,
        now: Timestamp,
    ) -> Result<bool, AuthorityError> {
        let damaged = || FileError::damaged(&dir.join(self.cert), "it is not a certificate");
        let chain = match self.load_chain(dir) {
            Ok(chain) => chain,
            Err(error) if error.is_missing() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let leaf = chain.first().ok_or_else(damaged)?;
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf).map_err(|_| damaged())?;
        let (_, issuer) = x509_parser::parse_x509_certificate(issuer).map_err(|_| damaged())?;
        let not_after_s = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0);
        let not_before_s =
            u64::try_from(leaf.validity().not_before.timestamp()).unwrap_or(u64::MAX);
        let left = Timestamp::from_secs(not_after_s).since(now);
        Ok(left >= HUB_LEAF_LIFETIME / 3
            // Made under a clock that has since been set back by more than the margin.
            && Timestamp::from_secs(not_before_s) <= now.after(BACKDATE)
            && leaf.verify_signature(Some(issuer.public_key())).is_ok())
    }
}
