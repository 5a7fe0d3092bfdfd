//! Private keys: made, kept and lent to TLS.
//!
//! A key's bytes are wiped when it is dropped and never appear in `Debug`, `Display` or an error.
//! Agents, nodes and their authorities use Ed25519; the users' door uses ECDSA P-256, because
//! browsers do not take Ed25519.

use crate::disk::{self, FileError};
use crate::pin::SpkiHash;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use rcgen::{PublicKeyData, SignatureAlgorithm};
use rustls::sign::SigningKey as TlsKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use weft_proto::entropy::Entropy;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of an Ed25519 seed.
const SEED_LEN: usize = 32;

/// What stands before the seed in the PKCS#8 form of an Ed25519 key (RFC 8410, version 1).
const ED25519_PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Which kind of key a file must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ed25519,
    P256,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// A key pair with its PKCS#8 form.
pub(crate) struct PrivateKey {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// Makes an Ed25519 key from 32 bytes of `entropy`.
    #[expect(clippy::expect_used, reason = "any 32 bytes are an Ed25519 seed")]
    pub(crate) fn generate_ed25519(entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0u8; SEED_LEN]);
        entropy.fill(seed.as_mut_slice());
        let mut pkcs8 = Zeroizing::new(Vec::with_capacity(ED25519_PKCS8_HEAD.len() + SEED_LEN));
        pkcs8.extend_from_slice(&ED25519_PKCS8_HEAD);
        pkcs8.extend_from_slice(seed.as_slice());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
            .expect("a seed of the right length makes a key");
        Self { pair: Pair::Ed25519(pair), pkcs8 }
    }

    /// Makes an ECDSA P-256 key from the system's chance: the library takes no other.
    #[expect(clippy::expect_used, reason = "fails only when the system has no entropy")]
    pub(crate) fn generate_p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .expect("the operating system gives random bytes");
        let pkcs8 = pair.to_pkcs8v1().expect("a fresh key has a PKCS#8 form");
        let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
        Self { pair: Pair::P256(pair), pkcs8 }
    }

    /// Reads a key of `kind` from a PKCS#8 PEM file with mode 0600.
    pub(crate) fn load(path: &Path, kind: Kind) -> Result<Self, FileError> {
        let text = disk::read_private(path)?;
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(&text)
            .map_err(|_| FileError::damaged(path, "it holds no PKCS#8 PEM private key"))?;
        let pkcs8 = Zeroizing::new(der.secret_pkcs8_der().to_vec());
        der.zeroize();
        let wrong = |_| FileError::damaged(path, "its private key is of another kind or broken");
        let pair = match kind {
            Kind::Ed25519 => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).map_err(wrong)?)
            }
            Kind::P256 => Pair::P256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).map_err(wrong)?,
            ),
        };
        Ok(Self { pair, pkcs8 })
    }

    /// Writes the key as PKCS#8 PEM, mode 0600.
    pub(crate) fn save(&self, path: &Path) -> Result<(), FileError> {
        disk::write_private(path, disk::pem_text("PRIVATE KEY", &self.pkcs8).as_bytes())
    }

    /// The key in the form in which TLS signs with it.
    pub(crate) fn tls(&self) -> Result<Arc<dyn TlsKey>, rustls::Error> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.as_slice());
        match self.pair {
            Pair::Ed25519(_) => rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&der),
            Pair::P256(_) => {
                rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(der))
            }
        }
    }

    /// The hash of the public half.
    pub(crate) fn spki_hash(&self) -> SpkiHash {
        SpkiHash::of_spki(&self.subject_public_key_info())
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::P256(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.pair {
            Pair::Ed25519(_) => &rcgen::PKCS_ED25519,
            Pair::P256(_) => &rcgen::PKCS_ECDSA_P256_SHA256,
        }
    }
}

impl rcgen::SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| rcgen::Error::RemoteKeyError),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(redacted, spki {})", self.spki_hash())
    }
}

/// An agent's identity key (Ed25519), made on the agent and never leaving it.
pub struct AgentKey(PrivateKey);

impl AgentKey {
    /// Makes a key from 32 bytes of `entropy`, which must be the system's outside simulations.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(PrivateKey::generate_ed25519(entropy))
    }

    /// Reads a key that [`AgentKey::save`] wrote. Blocks.
    ///
    /// # Errors
    /// [`FileError`] where the file cannot be read, is no Ed25519 key, or may be read by others.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        PrivateKey::load(path, Kind::Ed25519).map(Self)
    }

    /// Writes the key as PKCS#8 PEM with mode 0600, whole or not at all. Blocks.
    ///
    /// # Errors
    /// [`FileError`] where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        self.0.save(path)
    }

    /// The hash of the public half, by which a hub knows the key.
    #[must_use]
    pub fn spki_hash(&self) -> SpkiHash {
        self.0.spki_hash()
    }

    pub(crate) const fn private(&self) -> &PrivateKey {
        &self.0
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey(redacted, spki {})", self.spki_hash())
    }
}
