//! How an account's requests leave the machine: directly, or through its owner's proxy.
//!
//! An egress is what an owner types with `--egress`, and never what an environment says. It names a
//! proxy and never a provider: where a request goes *through* the proxy is the compiled table's
//! word. The proxy's password is no part of it; whoever has one has parsed text and no secret.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest host name of a proxy, in bytes.
pub const PROXY_HOST_BYTES_MAX: usize = 253;
/// Longest user name at a proxy, in bytes: SOCKS5 has room for no more.
pub const PROXY_USER_BYTES_MAX: usize = 255;

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyKind {
    /// HTTP `CONNECT` over plain TCP.
    Http,
    /// HTTP `CONNECT` inside TLS to the proxy.
    Https,
    /// SOCKS version 5; the proxy resolves the name.
    Socks5,
}

impl ProxyKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Http, Self::Https, Self::Socks5];

    /// The scheme that it is written with.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
        }
    }
}

/// A proxy of the account's owner, without its password.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proxy {
    kind: ProxyKind,
    user: Option<String>,
    host: String,
    port: u16,
}

/// How requests leave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Egress {
    /// Over the machine's own network.
    #[default]
    Direct,
    /// Through a proxy, as a tunnel to the provider's host.
    Proxy(Proxy),
}

/// A text that names no egress.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressRefused {
    /// The form is another.
    #[error(
        "an egress is `direct`, http://[USER@]HOST:PORT, https://[USER@]HOST:PORT or \
         socks5://[USER@]HOST:PORT, and nothing behind the port"
    )]
    Form,
    /// The text has a password in it, which is not repeated here.
    #[error(
        "a proxy's password is never typed into a command: write USER@ alone, and give the \
         password when it is asked for, or on standard input (behind the key, where that is read \
         too)"
    )]
    Password,
    /// The host is neither a name nor an address.
    #[error("the proxy's host is neither a name nor an IP address (IPv6 stands in brackets)")]
    Host,
    /// The port is missing or is none.
    #[error("the proxy's port must be written, from 1 to 65535")]
    Port,
    /// The user's name cannot be sent.
    #[error(
        "the proxy's user must have 1 to {PROXY_USER_BYTES_MAX} bytes, without spaces, `:` or \
         control characters"
    )]
    User,
}

impl Proxy {
    /// How it is spoken to.
    #[must_use]
    pub const fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Whom it is told to be, where it asks; a password belongs to it.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// A name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The proxy without its user, for logs.
    #[must_use]
    pub fn place(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{}://{open}{}{close}:{}", self.kind.scheme(), self.host, self.port)
    }
}

impl Egress {
    /// The proxy, where there is one.
    #[must_use]
    pub const fn proxy(&self) -> Option<&Proxy> {
        match self {
            Self::Direct => None,
            Self::Proxy(proxy) => Some(proxy),
        }
    }

    /// Whether requests leave over the machine's own network.
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        matches!(self, Self::Direct)
    }

    /// Whether a password belongs to it.
    #[must_use]
    pub fn wants_password(&self) -> bool {
        self.proxy().is_some_and(|proxy| proxy.user.is_some())
    }
}

impl FromStr for Egress {
    type Err = EgressRefused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "direct" {
            return Ok(Self::Direct);
        }
        let (scheme, rest) = text.split_once("://").ok_or(EgressRefused::Form)?;
        let kind = ProxyKind::ALL
            .into_iter()
            .find(|kind| kind.scheme() == scheme)
            .ok_or(EgressRefused::Form)?;
        // The last `@`: whatever stands before it is about the user, and may hold a password.
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(EgressRefused::Password),
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        if place.contains(['/', '?', '#']) {
            return Err(EgressRefused::Form);
        }
        if !user.is_none_or(is_user) {
            return Err(EgressRefused::User);
        }
        let (host, port) = place.rsplit_once(':').ok_or(EgressRefused::Port)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port: u16 = Some(port)
            .filter(|_| digits)
            .and_then(|port| port.parse().ok())
            .filter(|port| *port != 0)
            .ok_or(EgressRefused::Port)?;
        let host = parse_host(host).ok_or(EgressRefused::Host)?;
        Ok(Self::Proxy(Proxy { kind, user: user.map(str::to_owned), host, port }))
    }
}

fn is_user(user: &str) -> bool {
    !user.is_empty()
        && user.len() <= PROXY_USER_BYTES_MAX
        && !user.chars().any(|c| c.is_control() || c.is_whitespace() || c == '@')
}

/// A name in lower case, or an address without its brackets.
fn parse_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().ok().map(|address| address.to_string());
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_ipv4().then(|| address.to_string());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_name = host.len() <= PROXY_HOST_BYTES_MAX && host.split('.').all(label);
    is_name.then(|| host.to_ascii_lowercase())
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Proxy(proxy) => {
                let (open, close) = if proxy.host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "{}://", proxy.kind.scheme())?;
                if let Some(user) = &proxy.user {
                    write!(f, "{user}@")?;
                }
                write!(f, "{open}{}{close}:{}", proxy.host, proxy.port)
            }
        }
    }
}

impl TryFrom<String> for Egress {
    type Error = EgressRefused;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Egress> for String {
    fn from(egress: Egress) -> Self {
        egress.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_is_read_and_written_the_same() {
        for text in [
            "direct",
            "http://proxy.example:3128",
            "http://me@10.0.0.1:80",
            "https://me@proxy.example:443",
            "socks5://127.0.0.1:1080",
            "socks5://ünna@[2001:db8::1]:1080",
        ] {
            let egress: Egress = text.parse().expect(text);
            assert_eq!(egress.to_string(), text);
            let json = serde_json::to_string(&egress).expect("json");
            assert_eq!(serde_json::from_str::<Egress>(&json).expect("json"), egress);
        }
        assert_eq!(
            "http://Proxy.EXAMPLE:1".parse::<Egress>().unwrap().to_string(),
            "http://proxy.example:1"
        );
    }

    #[test]
    fn what_is_no_egress_is_refused_and_a_password_is_not_repeated() {
        use EgressRefused as No;
        for (text, why) in [
            ("", No::Form),
            ("proxy:1", No::Form),
            ("ftp://proxy:1", No::Form),
            ("socks5h://proxy:1", No::Form),
            ("HTTP://proxy:1", No::Form),
            ("http://proxy:1/", No::Form),
            ("http://proxy:1?x", No::Form),
            ("http://proxy", No::Port),
            ("http://proxy:", No::Port),
            ("http://proxy:0", No::Port),
            ("http://proxy:65536", No::Port),
            ("http://proxy:+1", No::Port),
            ("http://:1", No::Host),
            ("http://a..b:1", No::Host),
            ("http://2001:db8::1:80", No::Host),
            ("http://[10.0.0.1]:80", No::Host),
            ("http://[::1%25eth0]:80", No::Host),
            ("http://a b:80", No::Host),
            ("http://a\r\nb:80", No::Host),
            ("http://@proxy:1", No::User),
            ("http://a b@proxy:1", No::User),
            ("http://a@b@proxy:1", No::User),
            ("http://me:secret@proxy:1", No::Password),
            ("socks5://me:se@cret@proxy:1", No::Password),
        ] {
            let refused = text.parse::<Egress>().expect_err(text);
            assert_eq!(refused, why, "{text:?}");
            assert!(!refused.to_string().contains("secret"));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_reads_back_from_its_own_text(text in "(http|https|socks5)://([a-z%]{1,5}@)?[a-zA-Z0-9.:\\[\\]-]{0,20}(:[0-9]{0,6})?") {
            if let Ok(egress) = text.parse::<Egress>() {
                prop_assert_eq!(egress.to_string().parse::<Egress>(), Ok(egress));
            }
        }
    }
}
