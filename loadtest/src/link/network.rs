//! Lays a network: a namespace for each end, a device in each, and a relay between them.
//!
//! Addresses are of 198.18.0.0/15, which is set aside for measurements and belongs to nobody. The
//! namespaces have no other device than loopback and the link's: nothing that runs in one reaches
//! anything but the ends of its own network.

use super::LinkError;
use super::junction::{BothWays, End, Junction};
use super::namespace::Namespace;
use super::place::Access;
use super::relay::{Punctuality, Relay};
use super::sweep::{OWNER, Owner, Whose};
use super::{loopback, tun};
use rustix::process::Signal;
use serde::Serialize;
use std::net::Ipv4Addr;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Near ends of one network.
pub const NEAR_MAX: usize = 64;
/// The MTU of the far end, unless a near end's is larger.
const FAR_MTU: u16 = 1_500;
/// The far end's address; near ends follow.
const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The first of the addresses that NATs are given, one after the other.
const NAT: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
/// How many there are before the first one comes again.
const NAT_ADDRESSES: u32 = 65_000;

/// What is to be laid.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The links of the near ends, one each.
    pub near: Vec<Access>,
    /// Of all chance.
    pub seed: u64,
}

/// An end: a host of its own, as far as its processes can tell.
#[derive(Debug)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
    namespace: Namespace,
}

impl Host {
    /// `far`, or `near1` and so on.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its one address besides loopback.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Where its processes and sockets live.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// A network that is up. Taken down, with whatever runs in it, when dropped.
#[derive(Debug)]
pub struct Network {
    far: Host,
    near: Vec<Host>,
    relay: Relay,
    owner: Owner,
    rebound: AtomicU32,
}

/// What a network has done so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Near end by near end.
    pub near: Vec<BothWays>,
    /// Packets that were for none of the ends, such as IPv6.
    pub strays: u64,
    /// Packets that the kernel dropped because the relay did not read them in time.
    pub unread: u64,
    /// How punctual the relay was.
    pub relay: Punctuality,
}

impl Network {
    /// Lays it. Takes some milliseconds, and blocks for them.
    ///
    /// # Errors
    /// [`LinkError::Ends`] where there are too few or too many ends; the others where the machine
    /// forbids it, each saying what is missing.
    pub fn lay(plan: Plan) -> Result<Self, LinkError> {
        let Plan { near: links, seed } = plan;
        if links.is_empty() || links.len() > NEAR_MAX {
            return Err(LinkError::Ends { asked: links.len() });
        }
        let owner = Owner::own()
            .map_err(|source| LinkError::System { what: "this process in /proc", source })?;
        let mtus: Vec<u16> = links.iter().map(|access| access.up.settings().mtu).collect();
        let far_mtu = mtus.iter().copied().fold(FAR_MTU, u16::max);
        let mut devices = Vec::with_capacity(links.len() + 1);
        let mut host = |name: String, address, mtu| {
            let (host, device) = Self::host(name, address, mtu)?;
            devices.push(device);
            Ok::<_, LinkError>(host)
        };
        let far = host("far".to_owned(), FAR, far_mtu)?;
        let mut near = Vec::with_capacity(links.len());
        for (index, mtu) in mtus.into_iter().enumerate() {
            near.push(host(format!("near{}", index + 1), near_address(index), mtu)?);
        }
        let links = near.iter().map(Host::address).zip(links).collect();
        let relay = Relay::start(Junction::new(FAR, links, seed), devices)?;
        Ok(Self { far, near, relay, owner, rebound: AtomicU32::new(0) })
    }

    fn host(name: String, address: Ipv4Addr, mtu: u16) -> Result<(Host, tun::Tun), LinkError> {
        let namespace = Namespace::new(&name)?;
        let device = namespace.inside(move || {
            loopback::up().map_err(|source| LinkError::Device { source })?;
            tun::Tun::open(address, mtu)
        })??;
        Ok((Host { name, address, namespace }, device))
    }

    /// The end that all others have a link to.
    #[must_use]
    pub const fn far(&self) -> &Host {
        &self.far
    }

    /// The ends with a link, in the order of the plan.
    #[must_use]
    pub fn near(&self) -> &[Host] {
        &self.near
    }

    /// Starts `command` on `host`, which is one of this network's. It finds the addresses of
    /// itself, the far end and all near ends in `WEFT_LINK_HERE`, `WEFT_LINK_FAR` and
    /// `WEFT_LINK_NEAR` (with commas between them).
    ///
    /// # Errors
    /// [`LinkError::Command`] where it does not start.
    pub fn spawn(&self, host: &Host, mut command: Command) -> Result<Child, LinkError> {
        let near: Vec<String> = self.near.iter().map(|host| host.address.to_string()).collect();
        command
            .env(OWNER, self.owner.to_string())
            .env("WEFT_LINK_HERE", host.address.to_string())
            .env("WEFT_LINK_FAR", self.far.address.to_string())
            .env("WEFT_LINK_NEAR", near.join(","));
        host.namespace.spawn(command)
    }

    /// Gives the link of the near end with this index other settings, from now on. Its devices
    /// keep the MTU that they were made with.
    pub fn change(&self, index: usize, access: Access) {
        self.relay.with(|junction| junction.change(End::near(index), access));
    }

    /// Has the near end with this index appear under another address from now on, as behind a NAT
    /// that has forgotten it. Its own address stays; what is sent to the last one it was known by
    /// is lost. TCP connections do not survive it.
    pub fn rebind(&self, index: usize) {
        let number = self.rebound.fetch_add(1, Ordering::Relaxed) % NAT_ADDRESSES;
        let known = Ipv4Addr::from_bits(NAT.to_bits() + number);
        self.relay.with(|junction| junction.rebind(End::near(index), known));
    }

    /// What it has done so far.
    #[must_use]
    pub fn account(&self) -> Account {
        let (near, strays) = self.relay.with(|junction| (junction.counts(), junction.strays()));
        let unread = self.hosts().map(|host| host.namespace.inside(tun::dropped));
        // A host that does not answer is one that nobody uses any more.
        let unread = unread.map(|dropped| dropped.ok().and_then(Result::ok).unwrap_or(0)).sum();
        Account { near, strays, unread, relay: self.relay.punctuality() }
    }

    /// Whether packets still pass.
    ///
    /// # Errors
    /// [`LinkError::System`] with what ended the relay.
    pub fn check(&self) -> Result<(), LinkError> {
        self.relay.check()
    }

    /// Ends whatever runs in it: asks first, and forces what is left after `grace`. Returns how
    /// many processes there were, and how many nothing could end.
    ///
    /// # Cancel safety
    /// Dropped, some may run on until the network is.
    pub async fn end_processes(&self, grace: Duration) -> (usize, usize) {
        Whose::In(&self.inodes()).end(grace).await
    }

    /// How many processes run in it; jobs and threads of this process are none.
    #[must_use]
    pub fn running(&self) -> usize {
        Whose::In(&self.inodes()).all().len()
    }

    fn hosts(&self) -> impl Iterator<Item = &Host> {
        std::iter::once(&self.far).chain(&self.near)
    }

    fn inodes(&self) -> Vec<u64> {
        self.hosts().map(|host| host.namespace.inode()).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A process inside would keep its namespace. Those that were to end have ended by now.
        Whose::In(&self.inodes()).signal(Signal::KILL);
    }
}

/// Ends the processes that dead runs have left behind; their namespaces and devices go with them.
/// Returns how many there were, and how many nothing could end.
///
/// # Cancel safety
/// Dropped, some may run on.
pub async fn sweep(grace: Duration) -> (usize, usize) {
    Whose::Orphans.end(grace).await
}

fn near_address(index: usize) -> Ipv4Addr {
    let [a, b, c, d] = FAR.octets();
    // No more than NEAR_MAX.
    Ipv4Addr::new(a, b, c, d.saturating_add(u8::try_from(index + 1).unwrap_or(u8::MAX)))
}

#[cfg(test)]
mod tests;
