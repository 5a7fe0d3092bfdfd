//! The way out of one or more accounts: a proxy with its password, ready to be dialled.
//!
//! Accounts with the same proxy, user and password share one [`Way`], over reloads too, so that
//! whoever pools connections can pool them by it: two ways are never the same, and a way is gone
//! with the last account and the last request that use it. Its password stays in memory for that
//! long, in a buffer that is zeroed, because a connection may be dialled at any moment.

use super::secret::ProxyPassword;
use crate::account::Proxy;
use std::fmt;

/// A proxy that requests leave through, with its password where it wants one.
pub struct Way {
    proxy: Proxy,
    password: Option<ProxyPassword>,
}

impl Way {
    pub(crate) const fn new(proxy: Proxy, password: Option<ProxyPassword>) -> Self {
        Self { proxy, password }
    }

    /// The proxy.
    #[must_use]
    pub const fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// User and password, where the proxy is told them.
    pub(crate) fn credentials(&self) -> Option<(&str, &[u8])> {
        Some((self.proxy.user()?, self.password.as_ref()?.expose()))
    }

    /// Whether `other` leads the same way with the same password.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.proxy == other.proxy
            && self.password.as_ref().map(ProxyPassword::expose)
                == other.password.as_ref().map(ProxyPassword::expose)
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}
