//! The networks that a key may be used from.

use ipnet::IpNet;
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The most networks that one key may name.
pub const NETWORKS_MAX: usize = 64;

/// A text or list that names no networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetworks {
    /// One of the parts is neither an address nor a network.
    #[error("want addresses or networks such as 192.0.2.7 or 2001:db8::/32, separated by commas")]
    Syntax,
    /// There are more than [`NETWORKS_MAX`].
    #[error("at most {NETWORKS_MAX} networks")]
    TooMany,
}

/// The networks that a key may be used from; none named means any. As text they are separated by
/// commas, an address alone standing for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// No restriction.
    #[must_use]
    pub const fn any() -> Self {
        Self(Vec::new())
    }

    /// Makes a list; bits of an address beyond its prefix are cleared, IPv4 written as IPv6
    /// becomes IPv4, and what others of the list cover is left out.
    ///
    /// # Errors
    /// [`InvalidNetworks::TooMany`] where there are more than [`NETWORKS_MAX`].
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Result<Self, InvalidNetworks> {
        let networks: Vec<_> = networks.into_iter().take(NETWORKS_MAX + 1).collect();
        if networks.len() > NETWORKS_MAX {
            return Err(InvalidNetworks::TooMany);
        }
        Ok(Self(IpNet::aggregate(&networks.into_iter().map(canonical).collect())))
    }

    /// Whether the key may be used from `address`. An IPv4 address that a dual-stack socket shows
    /// as IPv6 is seen as IPv4.
    #[must_use]
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address))
    }

    /// The networks, in order; none where any address may use the key.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }
}

/// The bits that an IPv4 address has in front of it when it is written as IPv6.
const MAPPED_PREFIX_BITS: u8 = 96;

/// The network without bits beyond its prefix, and as IPv4 where it is IPv4 written as IPv6.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(inner) = network else {
        return network.trunc();
    };
    match (inner.addr().to_ipv4_mapped(), inner.prefix_len().checked_sub(MAPPED_PREFIX_BITS)) {
        (Some(address), Some(prefix)) => {
            IpNet::new(address.into(), prefix).map_or(network, |net| net.trunc())
        }
        (Some(_), None) | (None, _) => network.trunc(),
    }
}

impl FromStr for Networks {
    type Err = InvalidNetworks;

    fn from_str(text: &str) -> Result<Self, InvalidNetworks> {
        let mut networks = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if networks.len() == NETWORKS_MAX {
                return Err(InvalidNetworks::TooMany);
            }
            let network = part
                .parse::<IpNet>()
                .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| InvalidNetworks::Syntax)?;
            networks.push(network);
        }
        Self::new(networks)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, network) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            network.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn none_named_means_any_and_some_named_means_those() {
        assert!(Networks::any().allow(address("203.0.113.9")));
        let networks: Networks =
            "192.0.2.0/24, 2001:db8::/32,198.51.100.7".parse().expect("a list");
        assert!(networks.allow(address("192.0.2.200")));
        assert!(networks.allow(address("198.51.100.7")));
        assert!(networks.allow(address("2001:db8:1::1")));
        assert!(!networks.allow(address("198.51.100.8")));
        assert!(!networks.allow(address("2001:db9::1")));
    }

    #[test]
    fn ipv4_written_as_ipv6_is_ipv4_on_both_sides() {
        let plain: Networks = "192.0.2.0/24".parse().expect("a list");
        let mapped: Networks = "::ffff:192.0.2.0/120".parse().expect("a list");
        assert!(plain.allow(address("::ffff:192.0.2.1")));
        assert!(mapped.allow(address("192.0.2.1")));
        assert_eq!(plain, mapped);
    }

    #[test]
    fn text_reads_back_and_junk_or_too_many_are_refused() {
        let networks: Networks = "10.1.2.3/8,2001:db8::1".parse().expect("a list");
        assert_eq!(networks.to_string(), "10.0.0.0/8,2001:db8::1/128");
        assert_eq!(networks.to_string().parse(), Ok(networks));
        assert_eq!("10.0.0.0/33".parse::<Networks>(), Err(InvalidNetworks::Syntax));
        assert_eq!("localhost".parse::<Networks>(), Err(InvalidNetworks::Syntax));
        let many: Vec<_> = (0..=NETWORKS_MAX).map(|n| format!("10.0.{n}.1")).collect();
        assert_eq!(many.join(",").parse::<Networks>(), Err(InvalidNetworks::TooMany));
    }
}
