//! The pools of connections: one pair of clients (HTTP/1.1 and HTTP/2) for each way out.
//!
//! The pair of the direct way is always there. That of a proxy is made when the first call leaves
//! through it, and is dropped with the last account that uses it. A pool is found by its [`Way`]
//! and not by a host, so that accounts of different egress never share a connection, be it to the
//! same provider.

use super::body::RequestBody;
use super::client::builder;
use super::connector::{ConnectLimit, Connector, Leaves};
use super::dial::Dial;
use super::tls::{self, TlsSetupError};
use super::version::HttpVersion;
use crate::vault::Way;
use hyper_util::client::legacy::Client;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio_util::task::TaskTracker;

/// One way out: its clients for either version. Clones share the connections.
#[derive(Clone)]
pub(super) struct Clients {
    h1: Client<Connector, RequestBody>,
    h2: Client<Connector, RequestBody>,
}

impl Clients {
    pub(super) const fn of(&self, version: HttpVersion) -> &Client<Connector, RequestBody> {
        match version {
            HttpVersion::H1 => &self.h1,
            HttpVersion::H2 => &self.h2,
        }
    }
}

/// What every pool is made of.
struct Recipe {
    dial: Arc<dyn Dial>,
    h1_tls: Arc<ClientConfig>,
    h2_tls: Arc<ClientConfig>,
    limit: ConnectLimit,
    tasks: TaskTracker,
}

impl Recipe {
    fn connector(&self, version: HttpVersion, leaves: Leaves) -> Connector {
        let tls = match version {
            HttpVersion::H1 => &self.h1_tls,
            HttpVersion::H2 => &self.h2_tls,
        };
        Connector {
            dial: Arc::clone(&self.dial),
            tls: Arc::clone(tls),
            proxy_tls: Arc::clone(&self.h1_tls),
            version,
            limit: self.limit.clone(),
            leaves,
        }
    }

    fn clients(&self, leaves: &Leaves) -> Clients {
        let client = |version| {
            builder(self.tasks.clone(), version).build(self.connector(version, leaves.clone()))
        };
        Clients { h1: client(HttpVersion::H1), h2: client(HttpVersion::H2) }
    }
}

struct Proxied {
    way: Weak<Way>,
    clients: Clients,
}

/// All pools of an agent. Clones share them.
#[derive(Clone)]
pub(super) struct Pools {
    recipe: Arc<Recipe>,
    direct: Clients,
    /// At most as many as the vault has ways.
    proxied: Arc<Mutex<Vec<Proxied>>>,
}

impl Pools {
    pub(super) fn new(
        dial: Arc<dyn Dial>,
        roots: RootCertStore,
        limit: ConnectLimit,
        tasks: TaskTracker,
    ) -> Result<Self, TlsSetupError> {
        let h1_tls = tls::client_config(roots.clone(), HttpVersion::H1.alpn())?;
        let h2_tls = tls::client_config(roots, HttpVersion::H2.alpn())?;
        let recipe = Arc::new(Recipe { dial, h1_tls, h2_tls, limit, tasks });
        let direct = recipe.clients(&Leaves::Directly);
        Ok(Self { recipe, direct, proxied: Arc::default() })
    }

    /// The clients of a way out, made where there are none yet.
    pub(super) fn of(&self, way: Option<&Arc<Way>>) -> Clients {
        let Some(way) = way else {
            return self.direct.clone();
        };
        let weak = Arc::downgrade(way);
        let mut proxied = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = proxied.iter().find(|one| one.way.ptr_eq(&weak)) {
            return known.clients.clone();
        }
        forget_dead(&mut proxied);
        let clients = self.recipe.clients(&Leaves::By(Weak::clone(&weak)));
        proxied.push(Proxied { way: weak, clients: clients.clone() });
        clients
    }

    /// A connector by itself, outside every pool.
    pub(super) fn connector(&self, version: HttpVersion, way: Option<&Arc<Way>>) -> Connector {
        let leaves = way.map_or(Leaves::Directly, |way| Leaves::By(Arc::downgrade(way)));
        self.recipe.connector(version, leaves)
    }

    pub(super) fn limit(&self) -> &ConnectLimit {
        &self.recipe.limit
    }

    /// Drops the pools whose last account is gone, with their idle connections.
    pub(super) fn forget_unused(&self) {
        forget_dead(&mut self.proxied.lock().unwrap_or_else(PoisonError::into_inner));
    }

    #[cfg(test)]
    pub(super) fn proxied(&self) -> usize {
        self.proxied.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn forget_dead(proxied: &mut Vec<Proxied>) {
    proxied.retain(|one| one.way.strong_count() > 0);
}
