//! Who asks: the credential a provider wants, and its absence from every record.
//!
//! A credential's value never leaves this file but as a digest, or as the short fragment that real
//! providers quote in their refusals.

use super::record::hex;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use weft_proto::provider::Provider;

/// Headers whose values are credentials.
const SECRET_HEADERS: [&str; 5] =
    ["authorization", "api-key", "x-api-key", "proxy-authorization", "cookie"];

/// The key that a request carries where `provider` looks for it. Empty ones do not count.
pub(crate) fn presented(provider: Provider, headers: &HeaderMap) -> Option<&str> {
    let plain = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || plain(AUTHORIZATION.as_str()).and_then(without_scheme);
    let key = match provider {
        Provider::OpenAi => bearer(),
        Provider::Azure => plain("api-key").or_else(bearer),
        Provider::Anthropic | Provider::DeepSeek => plain("x-api-key").or_else(bearer),
    };
    key.map(str::trim).filter(|key| !key.is_empty())
}

fn without_scheme(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}

/// A key as refusals quote it: its beginning and its end.
pub(crate) fn fragment(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    if chars.len() < 12 {
        return "*".repeat(chars.len().max(4));
    }
    let (head, tail) = (&chars[..7], &chars[chars.len() - 4..]);
    let hidden = "*".repeat((chars.len() - 11).min(32));
    format!("{}{hidden}{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
}

/// All headers in their order, credentials replaced by `sha256:` and a digest in hex.
pub(crate) fn recorded(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let text = if SECRET_HEADERS.contains(&name.as_str()) {
                digest(without_scheme(&text).unwrap_or(&text))
            } else {
                text.into_owned()
            };
            (name.as_str().to_owned(), text)
        })
        .collect()
}

/// The headers with each credential replaced in the same way.
pub(crate) fn masked(headers: &HeaderMap) -> HeaderMap {
    let mut masked = headers.clone();
    for (name, value) in &mut masked {
        if SECRET_HEADERS.contains(&name.as_str()) {
            let text = String::from_utf8_lossy(value.as_bytes());
            let text = digest(without_scheme(&text).unwrap_or(&text));
            *value = HeaderValue::from_str(&text)
                .unwrap_or_else(|_| HeaderValue::from_static("sha256:"));
        }
    }
    masked
}

/// A target whose `api-key` parameter, if any, is replaced by its digest.
pub(crate) fn recorded_target(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if key.eq_ignore_ascii_case("api-key") => {
                format!("{key}={}", digest(value))
            }
            Some(_) | None => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

fn digest(value: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(value.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_credential_is_the_digest_of_the_key_alone() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer sk-one".parse().unwrap());
        headers.insert("x-api-key", "sk-one".parse().unwrap());
        let recorded = recorded(&headers);
        assert_eq!(recorded[0].1, recorded[1].1);
        assert!(recorded[0].1.starts_with("sha256:") && !recorded[0].1.contains("sk-one"));
        assert!(!recorded_target("/a?x=1&api-key=sk-one").contains("sk-one"));
    }

    #[test]
    fn a_fragment_never_shows_a_short_key() {
        assert_eq!(fragment("secret"), "******");
        assert_eq!(fragment("sk-proj-0123456789abcd"), "sk-proj***********abcd");
    }
}
