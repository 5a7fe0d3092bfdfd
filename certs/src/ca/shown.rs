//! What a door shows in its handshakes: a certificate that can be replaced while the door stands.
//!
//! A handshake takes the certificate in force when it begins and keeps it to its end. There is
//! always one: nothing is taken away before its successor is whole.

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, PoisonError, RwLock};

/// The certificate in force.
#[derive(Debug)]
pub(crate) struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    pub(super) const fn new(first: Arc<CertifiedKey>) -> Self {
        Self(RwLock::new(first))
    }

    pub(super) fn replace(&self, next: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn only_raw_public_keys(&self) -> bool {
        false
    }
}
