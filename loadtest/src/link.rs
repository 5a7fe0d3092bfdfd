//! Links as networks have them, between network namespaces of this machine: delay, jitter, rate,
//! queue, loss, reordering, duplication, MTU and a block of UDP, the same for TCP and QUIC.
//!
//! The kernel's own shaping is not in every kernel, so packets take a way through this program:
//! each end is a namespace with a TUN device, and one thread carries packets between the devices
//! by the word of a scheduler that is pure ([`shape`], [`junction`]). `docs/link.md` says what a
//! link does and does not do.
//!
//! Invariants: a network leaves nothing behind but processes, which the next run finds; nothing in
//! it reaches anything outside it; settings that cannot be are refused before anything is made.

pub mod amount;
pub mod command;
pub(crate) mod dice;
pub mod junction;
mod loopback;
pub mod loss;
pub mod namespace;
pub mod network;
pub mod packet;
pub mod place;
pub mod relay;
mod report;
pub mod shape;
pub mod shaping;
mod sweep;
mod tun;
mod wander;

pub use network::{Account, Host, Network, Plan, sweep};
pub use place::{Access, Place};
pub use shaping::{Draft, Impossible, Shaping};

use std::io;

/// Why no network is laid, or nothing runs in it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No namespace for this process.
    #[error(
        "the kernel refused a network namespace: run as root, or with CAP_SYS_ADMIN (in a container: --cap-add SYS_ADMIN)"
    )]
    Namespace {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No TUN on this machine.
    #[error(
        "/dev/net/tun is missing: load the kernel's module (modprobe tun), or give the container the device (--device /dev/net/tun)"
    )]
    NoTun,
    /// No devices for this process.
    #[error(
        "the kernel refused a network device: run as root, or with CAP_NET_ADMIN (in a container: --cap-add NET_ADMIN --device /dev/net/tun)"
    )]
    Device {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A network has one far end and some near ones.
    #[error("a network of {asked} near ends cannot be laid: 1 to {} can", network::NEAR_MAX)]
    Ends {
        /// As asked.
        asked: usize,
    },
    /// A program that is not there, or may not be run.
    #[error("`{name}` did not start")]
    Command {
        /// The program.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The machine failed at something that usually works.
    #[error("{what} failed")]
    System {
        /// What it was.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LinkError {
    /// Whether it is this machine, or this process's rights, that have no room for links at all.
    #[must_use]
    pub const fn is_forbidden(&self) -> bool {
        match self {
            Self::Namespace { .. } | Self::NoTun | Self::Device { .. } => true,
            Self::Ends { .. } | Self::Command { .. } | Self::System { .. } => false,
        }
    }
}
