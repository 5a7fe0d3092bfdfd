//! Whom the traffic goes to: a base URL, and the addresses behind its name.
//!
//! The name is resolved once; every address is judged, and connections go to those alone. What is
//! not loopback needs a word from whoever runs the command.

use http::Uri;
use http::uri::Authority;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

/// Why a target will not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTarget {
    /// No URL of the kind.
    #[error("{0:?} is no base URL: write http://HOST:PORT or https://HOST:PORT")]
    Url(String),
    /// A key, or what looks like one, in the URL.
    #[error(
        "a base URL holds no user, no password, no query: keys come from a file or the environment"
    )]
    Secret,
    /// The name leads nowhere.
    #[error("the name {host} cannot be resolved")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The name leads nowhere either.
    #[error("the name {0} has no address")]
    NoAddress(String),
    /// An address beyond this machine.
    #[error(
        "{host} leads to {address}, which is not this machine: give --i-own-this-target if the \
         target is yours to load"
    )]
    NotLoopback {
        /// The name.
        host: String,
        /// The address.
        address: SocketAddr,
    },
}

/// A base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Whether it is spoken to through TLS.
    pub(super) secure: bool,
    /// Its host, without the brackets of an IPv6 address.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// As it stands in requests.
    pub(super) authority: String,
    /// What stands before every path, without a slash at its end.
    prefix: String,
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let refused = || NoTarget::Url(text.to_owned());
        if text.contains(['@', '?', '#']) {
            return Err(NoTarget::Secret);
        }
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(refused()),
        };
        let authority: &Authority = uri.authority().ok_or_else(refused)?;
        let host = authority.host();
        // By hand: to the parser a port that is none is no port.
        let port = match &authority.as_str()[host.len()..] {
            "" if secure => 443,
            "" => 80,
            rest => {
                rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(refused)?
            }
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || port == 0 {
            return Err(refused());
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { secure, host, port, authority: authority.to_string(), prefix })
    }
}

impl Target {
    /// `path` of the API below the base.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The URL without a slash at its end.
    pub(super) fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.prefix)
    }

    /// Every address of the host, each of which may be connected to.
    ///
    /// # Errors
    /// [`NoTarget`] where there is none, or one that is not loopback though `own` is not said.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn addresses(&self, own: bool) -> Result<Vec<SocketAddr>, NoTarget> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let host = self.host.clone();
        let mut addresses: Vec<_> =
            found.map_err(|source| NoTarget::Resolve { host, source })?.collect();
        addresses.dedup();
        self.judge(&addresses, own)?;
        Ok(addresses)
    }

    fn judge(&self, addresses: &[SocketAddr], own: bool) -> Result<(), NoTarget> {
        if addresses.is_empty() {
            return Err(NoTarget::NoAddress(self.host.clone()));
        }
        // One stranger among them is enough: which one a connection reaches is chance.
        let strange = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
        match strange {
            Some(&address) if !own => {
                Err(NoTarget::NotLoopback { host: self.host.clone(), address })
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<Target, NoTarget> {
        text.parse()
    }

    #[test]
    fn a_base_url_has_a_host_a_port_and_perhaps_a_prefix() {
        let plain = target("http://127.0.0.1:4010").expect("a target");
        assert_eq!(
            (plain.secure, plain.port, plain.path("/v1/x")),
            (false, 4010, "/v1/x".to_owned())
        );
        let deep = target("https://[::1]/api/").expect("a target");
        assert_eq!((&*deep.host, deep.port, &*deep.path("/v1/x")), ("::1", 443, "/api/v1/x"));
        assert_eq!(deep.url(), "https://[::1]/api");
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for text in
            ["", "localhost:80", "ftp://localhost", "http://", "http://h:99999", "http://h:0"]
        {
            assert!(matches!(target(text), Err(NoTarget::Url(_))), "{text}");
        }
        for text in ["http://key@localhost", "http://localhost/?key=1", "http://localhost/#k"] {
            assert!(matches!(target(text), Err(NoTarget::Secret)), "{text}");
        }
    }

    #[tokio::test]
    async fn strangers_are_refused_unless_they_are_ones_own() {
        for text in ["http://192.0.2.7:80", "http://[2001:db8::1]:80", "http://0.0.0.0:80"] {
            let target = target(text).expect("a target");
            let refused = target.addresses(false).await;
            assert!(matches!(refused, Err(NoTarget::NotLoopback { .. })), "{text}");
            assert_eq!(target.addresses(true).await.expect("owned").len(), 1);
        }
        for text in ["http://127.0.0.9:80", "http://[::1]:80", "http://[::ffff:127.0.0.1]:80"] {
            let target = target(text).expect("a target");
            assert_eq!(target.addresses(false).await.expect("loopback").len(), 1, "{text}");
        }
    }

    #[test]
    fn one_stranger_among_the_addresses_of_a_name_is_enough() {
        let target = target("http://name.test:80").expect("a target");
        let addresses: Vec<SocketAddr> =
            ["127.0.0.1:80", "192.0.2.7:80"].map(|text| text.parse().expect("one")).to_vec();
        assert!(matches!(target.judge(&addresses, false), Err(NoTarget::NotLoopback { .. })));
        assert!(target.judge(&addresses[..1], false).is_ok());
        assert!(matches!(target.judge(&[], true), Err(NoTarget::NoAddress(_))));
    }
}
