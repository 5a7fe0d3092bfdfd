//! The closed list of hosts that an agent may call.
//!
//! An [`Origin`] can only come out of a [`HostTable`], and a table is either the official one or a
//! simulated one that holds loopback addresses and nothing else. Whoever has an `Origin` in hand
//! therefore needs no further check. The free part of an official host name is a single label (an
//! Azure resource) or one of ten regions; there are no ports, IP addresses, user names or Unicode
//! in it. Nothing here resolves a name.

use std::collections::BTreeMap;
use std::fmt;

use self::loopback::loopback_origin;
pub use self::site::{
    AzureResource, AzureSuffix, MAX_RESOURCE_BYTES, MAX_SITE_BYTES, Region, Site,
};
use super::target::Target;
use crate::provider::Provider;

mod loopback;
mod site;

/// The longest URL of a simulated provider, in bytes.
pub const MAX_SIMULATED_URL_BYTES: usize = 256;

const OPENAI_HOST: &str = "api.openai.com";
const ANTHROPIC_HOST: &str = "api.anthropic.com";
const DEEPSEEK_HOST: &str = "api.deepseek.com";

/// Why a site, a host or a simulated URL is not in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostRefused {
    /// The provider has one host for everybody, so its site must be empty.
    #[error("{provider} has no sites: leave it empty, not {site:?}")]
    NoSites {
        /// Whose account it is.
        provider: Provider,
        /// The refused text, cut to [`MAX_SITE_BYTES`].
        site: String,
    },
    /// The text is none of OpenAI's regions.
    #[error("unknown region {site:?}: want one of us eu au ca jp in sg kr gb ae, or nothing")]
    UnknownRegion {
        /// The refused text, cut to [`MAX_SITE_BYTES`].
        site: String,
    },
    /// An Azure account names no resource.
    #[error("an azure account needs its resource, such as `myres` or `myres.openai.azure.com`")]
    ResourceMissing,
    /// An Azure resource or its suffix is not of the pinned form.
    #[error(
        "{site:?} is no azure resource: want a label of a-z, 0-9 and `-`, alone or with one of \
         .openai.azure.com .cognitiveservices.azure.com .services.ai.azure.com .openai.azure.us"
    )]
    NotAResource {
        /// The refused text, cut to [`MAX_SITE_BYTES`].
        site: String,
    },
    /// The site was parsed for another provider.
    #[error("this site does not belong to {provider}")]
    ForeignSite {
        /// Whose origin was asked for.
        provider: Provider,
    },
    /// A simulated table has no origin for this provider; it never falls back to the official one.
    #[error("{provider} is not simulated")]
    NotSimulated {
        /// Whose origin was asked for.
        provider: Provider,
    },
    /// The same provider was given twice.
    #[error("{provider} is simulated twice")]
    SimulatedTwice {
        /// The repeated provider.
        provider: Provider,
    },
    /// A simulated URL is not `http(s)://LOOPBACK[:PORT][/base]`.
    #[error(
        "a simulated provider must be at http://127.0.0.1:PORT, http://[::1]:PORT or http://localhost:PORT, not {url:?}"
    )]
    NotLoopback {
        /// The refused text, cut to [`MAX_SIMULATED_URL_BYTES`].
        url: String,
    },
}

/// How an origin is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TLS, verified. The only scheme of the official table.
    Https,
    /// Plain HTTP, for simulated providers on this machine.
    Http,
}

impl Scheme {
    /// The scheme as it is written in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// A host of the table, with everything needed to call it. Only [`HostTable::origin`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
    base_path: String,
}

impl Origin {
    fn official(host: String) -> Self {
        Self { scheme: Scheme::Https, host, port: 443, base_path: String::new() }
    }

    /// How the origin is spoken to.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host to connect to and to verify: a name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port to connect to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What stands before every path: empty for official hosts, whose routes are full paths.
    /// Begins with `/` and does not end with one where it is not empty.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The value of `Host` and `:authority`: the port is left out where it is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let bracketed = self.host.contains(':');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        if self.port == self.scheme.default_port() {
            format!("{open}{}{close}", self.host)
        } else {
            format!("{open}{}{close}:{}", self.host, self.port)
        }
    }

    /// The request target at this origin: base path, path and query, all verbatim.
    #[must_use]
    pub fn path_and_query(&self, target: &Target) -> String {
        format!("{}{}", self.base_path, target.as_str())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.base_path)
    }
}

/// The hosts that one process may call.
#[derive(Debug, Clone)]
pub struct HostTable(Hosts);

#[derive(Debug, Clone)]
enum Hosts {
    Official,
    Simulated(BTreeMap<Provider, Origin>),
}

impl HostTable {
    /// The compiled list of official hosts, TLS only.
    #[must_use]
    pub const fn official() -> Self {
        Self(Hosts::Official)
    }

    /// A table for tests and demonstrations: each named provider at one address of this machine,
    /// and nothing else. No official host is in it.
    ///
    /// # Errors
    /// [`HostRefused`] for a URL that is not `http` or `https` on a loopback IP address or
    /// `localhost`, and for a provider given twice.
    pub fn simulated<S: AsRef<str>>(
        origins: impl IntoIterator<Item = (Provider, S)>,
    ) -> Result<Self, HostRefused> {
        let mut table = BTreeMap::new();
        for (provider, url) in origins {
            let origin = loopback_origin(url.as_ref()).ok_or_else(|| HostRefused::NotLoopback {
                url: excerpt(url.as_ref(), MAX_SIMULATED_URL_BYTES),
            })?;
            if table.insert(provider, origin).is_some() {
                return Err(HostRefused::SimulatedTwice { provider });
            }
        }
        Ok(Self(Hosts::Simulated(table)))
    }

    /// Whether this table leads to simulated providers on this machine.
    #[must_use]
    pub const fn is_simulated(&self) -> bool {
        matches!(self.0, Hosts::Simulated(_))
    }

    /// The providers that this table can reach, in the order of their wire numbers.
    #[must_use]
    pub fn providers(&self) -> Vec<Provider> {
        match &self.0 {
            Hosts::Official => Provider::ALL.to_vec(),
            Hosts::Simulated(table) => table.keys().copied().collect(),
        }
    }

    /// The origin of `provider` for an account's `site`. In a simulated table every valid site of
    /// a provider leads to its one simulated origin.
    ///
    /// # Errors
    /// [`HostRefused::ForeignSite`] where the site is of another provider, and
    /// [`HostRefused::NotSimulated`] where a simulated table does not name the provider.
    pub fn origin(&self, provider: Provider, site: &Site) -> Result<Origin, HostRefused> {
        let official = official_host(provider, site)?;
        match &self.0 {
            Hosts::Official => Ok(Origin::official(official)),
            Hosts::Simulated(table) => {
                table.get(&provider).cloned().ok_or(HostRefused::NotSimulated { provider })
            }
        }
    }
}

fn official_host(provider: Provider, site: &Site) -> Result<String, HostRefused> {
    match (provider, site) {
        (Provider::OpenAi, Site::Default) => Ok(OPENAI_HOST.to_owned()),
        (Provider::OpenAi, Site::Region(region)) => {
            Ok(format!("{}.{OPENAI_HOST}", region.as_str()))
        }
        (Provider::Azure, Site::AzureResource(_)) => Ok(site.to_string()),
        (Provider::Azure, Site::Default) => Err(HostRefused::ResourceMissing),
        (Provider::Anthropic, Site::Default) => Ok(ANTHROPIC_HOST.to_owned()),
        (Provider::DeepSeek, Site::Default) => Ok(DEEPSEEK_HOST.to_owned()),
        (Provider::OpenAi, Site::AzureResource(_))
        | (Provider::Azure, Site::Region(_))
        | (Provider::Anthropic | Provider::DeepSeek, Site::Region(_) | Site::AzureResource(_)) => {
            Err(HostRefused::ForeignSite { provider })
        }
    }
}

fn excerpt(text: &str, max_bytes: usize) -> String {
    let end = (0..=max_bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests;
