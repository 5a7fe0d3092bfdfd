//! Where a request carries its key: the header that its SDK uses or, of a WebSocket, a sub-protocol.
//!
//! Never looks at the query: a key there would end up in logs, and the gateway refuses it.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use weft_proto::websocket::handshake;

/// Header of Anthropic's SDKs.
const X_API_KEY: &str = "x-api-key";
/// Header of Azure's SDKs.
const API_KEY: &str = "api-key";
/// The only scheme of `authorization` that carries a key, with the space behind it.
const BEARER: &str = "bearer ";

/// Why no single key could be read from the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPresented {
    /// No header carries one.
    #[error("no key: send it as \"authorization: Bearer wk-…\", \"x-api-key\" or \"api-key\"")]
    Missing,
    /// `authorization` has another scheme than `Bearer`.
    #[error("the authorization header is not of the form \"Bearer wk-…\"")]
    Scheme,
    /// A header that should carry a key is no visible ASCII.
    #[error("the header that carries the key holds a character that no key has")]
    Unreadable,
    /// Two headers carry different keys.
    #[error("the request carries two different keys: send one")]
    Conflicting,
    /// A key among the sub-protocols, and another one beside it, the same or not.
    #[error("a key among the sub-protocols must be the only one: send one key")]
    Twice,
}

/// The key text that `headers` carry. The same key in several headers counts once.
pub(super) fn presented(headers: &HeaderMap) -> Result<&str, NotPresented> {
    if handshake::names_upgrade(headers) {
        let mut among = handshake::credentials(headers);
        if let Some(key) = among.next() {
            let beside = [AUTHORIZATION.as_str(), X_API_KEY, API_KEY];
            let alone = among.next().is_none() && !beside.iter().any(|n| headers.contains_key(*n));
            return if alone { Ok(key) } else { Err(NotPresented::Twice) };
        }
    }
    let bearers = headers.get_all(AUTHORIZATION).iter().map(bearer);
    let named = [X_API_KEY, API_KEY];
    let named = named.into_iter().flat_map(|name| headers.get_all(name)).map(readable);
    let mut found = None;
    for text in bearers.chain(named) {
        let text = text?;
        match found {
            Some(other) if other != text => return Err(NotPresented::Conflicting),
            Some(_) | None => found = Some(text),
        }
    }
    found.ok_or(NotPresented::Missing)
}

fn bearer(value: &HeaderValue) -> Result<&str, NotPresented> {
    let text = readable(value)?;
    match text.get(..BEARER.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(BEARER) => Ok(text[BEARER.len()..].trim()),
        Some(_) | None => Err(NotPresented::Scheme),
    }
}

fn readable(value: &HeaderValue) -> Result<&str, NotPresented> {
    value.to_str().map(str::trim).map_err(|_| NotPresented::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn each_sdks_header_is_read() {
        for pair in [
            ("authorization", "Bearer wk-1"),
            ("authorization", "bearer  wk-1"),
            ("x-api-key", "wk-1"),
            ("api-key", " wk-1"),
        ] {
            assert_eq!(presented(&headers(&[pair])), Ok("wk-1"), "{pair:?}");
        }
    }

    #[test]
    fn the_same_key_twice_is_one_key_and_two_keys_are_refused() {
        let same = headers(&[("authorization", "Bearer wk-1"), ("x-api-key", "wk-1")]);
        assert_eq!(presented(&same), Ok("wk-1"));
        for other in [("x-api-key", "wk-2"), ("authorization", "Bearer wk-2"), ("api-key", "")] {
            let two = headers(&[("authorization", "Bearer wk-1"), other]);
            assert_eq!(presented(&two), Err(NotPresented::Conflicting), "{other:?}");
        }
    }

    #[test]
    fn a_key_among_the_sub_protocols_is_read_of_an_upgrade_and_stands_alone() {
        let protocol = "realtime, openai-insecure-api-key.wk-1, openai-beta.realtime-v1";
        let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
        let with = |more: &[(&'static str, &'static str)]| {
            let pairs = [&upgrade[..], &[("sec-websocket-protocol", protocol)], more].concat();
            presented(&headers(&pairs)).map(str::to_owned)
        };
        assert_eq!(with(&[]), Ok("wk-1".to_owned()));
        for beside in [
            ("authorization", "Bearer wk-1"),
            ("api-key", "wk-2"),
            ("sec-websocket-protocol", "openai-insecure-api-key.wk-1"),
        ] {
            assert_eq!(with(&[beside]), Err(NotPresented::Twice), "{beside:?}");
        }
        let plain = headers(&[("sec-websocket-protocol", protocol)]);
        assert_eq!(presented(&plain), Err(NotPresented::Missing));
    }

    #[test]
    fn what_is_no_key_header_is_told_apart() {
        assert_eq!(presented(&HeaderMap::new()), Err(NotPresented::Missing));
        let basic = headers(&[("authorization", "Basic d2s6")]);
        assert_eq!(presented(&basic), Err(NotPresented::Scheme));
        let mut binary = HeaderMap::new();
        binary.insert("x-api-key", HeaderValue::from_bytes(&[0xff]).unwrap());
        assert_eq!(presented(&binary), Err(NotPresented::Unreadable));
    }
}
