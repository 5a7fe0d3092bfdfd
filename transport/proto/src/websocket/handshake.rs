//! The heads that open a WebSocket, over HTTP/1.1 (RFC 6455 section 4).
//!
//! Keys, versions, extensions and accepts go through as they are: the provider answers the user's
//! own key, and the user's client checks it. Here stands only what both ends look at.

use http::header::{
    CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The token of `upgrade`.
pub const WEBSOCKET: &str = "websocket";

/// The one version of the protocol.
const VERSION: &[u8] = b"13";

/// How a sub-protocol begins that is no protocol but the caller's key: what clients send that can
/// set no header.
const CREDENTIAL_PREFIX: &str = "openai-insecure-api-key.";

/// How sub-protocols begin that choose among the key owner's organisations and projects, as the
/// headers of these names do.
const OWNER_PREFIXES: [&str; 2] = ["openai-organization.", "openai-project."];

/// What keeps a request from opening a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoHandshake {
    /// `connection` and `upgrade` do not ask for one.
    #[error("this path is spoken over a WebSocket: ask with upgrade: websocket, over HTTP/1.1")]
    NotAsked,
    /// Another version, or none.
    #[error("WebSockets are spoken in version 13: send sec-websocket-version: 13")]
    Version,
    /// No `sec-websocket-key`, several, or one that is not 16 bytes in base64.
    #[error("a WebSocket wants one sec-websocket-key of 16 bytes in base64")]
    Key,
}

/// Checks that `headers` of a request ask for a WebSocket in due form.
///
/// # Errors
/// [`NoHandshake`] names what is missing.
pub fn check(headers: &HeaderMap) -> Result<(), NoHandshake> {
    if !names_upgrade(headers) {
        return Err(NoHandshake::NotAsked);
    }
    let mut versions = headers.get_all(SEC_WEBSOCKET_VERSION).iter();
    let version = versions.next().filter(|_| versions.next().is_none());
    if version.is_none_or(|version| version.as_bytes().trim_ascii() != VERSION) {
        return Err(NoHandshake::Version);
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|_| keys.next().is_none());
    if key.is_none_or(|key| !is_key(key.as_bytes().trim_ascii())) {
        return Err(NoHandshake::Key);
    }
    Ok(())
}

/// Whether `connection` and `upgrade` name a WebSocket: in a request the wish, in a 101 the answer.
#[must_use]
pub fn names_upgrade(headers: &HeaderMap) -> bool {
    lists(headers, &CONNECTION, "upgrade") && lists(headers, &UPGRADE, WEBSOCKET)
}

/// The keys that stand among the sub-protocols.
pub fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    sub_protocols(headers).filter_map(|name| name.strip_prefix(CREDENTIAL_PREFIX))
}

/// One line of `sec-websocket-protocol` as it may go on towards the provider: without keys and
/// without the owner's scopes, the other names verbatim and in order; nothing where none is left.
pub(crate) fn forwarded_protocols(line: &HeaderValue) -> Option<HeaderValue> {
    let ends_here = |name: &[u8]| {
        let mut prefixes = [CREDENTIAL_PREFIX].into_iter().chain(OWNER_PREFIXES);
        prefixes.any(|prefix| begins(name, prefix.as_bytes()))
    };
    let names = || line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    if !names().any(ends_here) {
        return Some(line.clone());
    }
    let kept: Vec<_> = names().filter(|name| !name.is_empty() && !ends_here(name)).collect();
    if kept.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(&kept.join(&b", "[..])).ok()
}

fn begins(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn sub_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut lines = headers.get_all(name).iter();
    lines.any(|line| {
        let mut tokens = line.as_bytes().split(|byte| *byte == b',');
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// 16 bytes in base64: 21 characters, one that carries four bits, and the padding.
fn is_key(key: &[u8]) -> bool {
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(alphabet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn a_handshake_has_all_its_parts_once() {
        assert_eq!(check(&map(&GOOD)), Ok(()));
        for (gone, why) in [
            ("connection", NoHandshake::NotAsked),
            ("upgrade", NoHandshake::NotAsked),
            ("sec-websocket-version", NoHandshake::Version),
            ("sec-websocket-key", NoHandshake::Key),
        ] {
            let mut without = map(&GOOD);
            without.remove(gone);
            assert_eq!(check(&without), Err(why), "without {gone}");
        }
        for (name, value, why) in [
            ("connection", "keep-alive", NoHandshake::NotAsked),
            ("upgrade", "h2c", NoHandshake::NotAsked),
            ("sec-websocket-version", "8", NoHandshake::Version),
            ("sec-websocket-key", "short==", NoHandshake::Key),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ", NoHandshake::Key),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j====", NoHandshake::Key),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j*Q==", NoHandshake::Key),
        ] {
            let mut other = map(&GOOD);
            other.insert(name, HeaderValue::from_static(value));
            assert_eq!(check(&other), Err(why), "{name}: {value}");
        }
        for name in ["sec-websocket-version", "sec-websocket-key"] {
            let mut twice = map(&GOOD);
            let value = twice[name].clone();
            twice.append(name, value);
            assert!(check(&twice).is_err(), "{name} twice");
        }
    }

    #[test]
    fn a_key_among_the_sub_protocols_is_found_wherever_it_stands() {
        let headers = map(&[
            ("sec-websocket-protocol", "realtime, openai-insecure-api-key.wk-1 , openai-beta.v1"),
            ("sec-websocket-protocol", "openai-insecure-api-key.wk-2"),
        ]);
        assert_eq!(credentials(&headers).collect::<Vec<_>>(), ["wk-1", "wk-2"]);
        assert_eq!(credentials(&HeaderMap::new()).count(), 0);
    }

    #[test]
    fn other_sub_protocols_go_on_as_they_stand() {
        let went = |line: &'static str| {
            let line = HeaderValue::from_static(line);
            forwarded_protocols(&line).map(|line| line.to_str().unwrap().to_owned())
        };
        for same in ["realtime", "realtime,openai-beta.realtime-v1", " a ,  b", "a,,b", ""] {
            assert_eq!(went(same).as_deref(), Some(same));
        }
        let key = "realtime, openai-insecure-api-key.wk-1, openai-beta.realtime-v1";
        assert_eq!(went(key).as_deref(), Some("realtime, openai-beta.realtime-v1"));
        let scopes = "openai-organization.org-1,b,OpenAI-Project.p, a";
        assert_eq!(went(scopes).as_deref(), Some("b, a"));
        assert_eq!(went("openai-insecure-api-key.wk-1"), None);
        assert_eq!(went("OPENAI-insecure-api-key.wk-1 , "), None);
    }
}
