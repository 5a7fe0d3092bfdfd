//! URLs of simulated providers: loopback and nothing else.
//!
//! Read by hand, because a general URL parser accepts and repairs far more than this.

use std::net::IpAddr;

use super::{MAX_SIMULATED_URL_BYTES, Origin, Scheme, Target};

/// Reads `scheme://loopback[:port][/base]`.
pub(super) fn loopback_origin(url: &str) -> Option<Origin> {
    if url.len() > MAX_SIMULATED_URL_BYTES {
        return None;
    }
    let (scheme, rest) = if let Some(rest) = url.strip_prefix("http://") {
        (Scheme::Http, rest)
    } else {
        (Scheme::Https, url.strip_prefix("https://")?)
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (host, port) = split_port(authority)?;
    let port = match port {
        None => scheme.default_port(),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0)?
        }
        Some(_) => return None,
    };
    // Checked before its last slash goes, so that `//` does not become a path of its own.
    if !path.is_empty() && Target::parse(path).ok()?.query().is_some() {
        return None;
    }
    let base_path = path.strip_suffix('/').unwrap_or(path).to_owned();
    Some(Origin { scheme, host, port, base_path })
}

/// The loopback host without brackets, and the text of the port.
fn split_port(authority: &str) -> Option<(String, Option<&str>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (literal, after) = rest.split_once(']')?;
        let address: IpAddr = literal.parse().ok()?;
        if !(address.is_ipv6() && address.is_loopback()) {
            return None;
        }
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':')?),
        };
        (address.to_string(), port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let loopback = host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4() && ip.is_loopback());
        if !loopback {
            return None;
        }
        (host.to_owned(), port)
    };
    Some((host, port))
}
