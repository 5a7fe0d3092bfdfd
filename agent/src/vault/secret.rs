//! A provider secret on its way into the vault, and the key that the vault lends out of it.
//!
//! Both are zeroed when they are dropped and say nothing of themselves in `Debug`. Neither can be
//! cloned, serialised or compared. A [`LentKey`] is consumed by the one request it was lent for.
//! The password of an account's proxy travels with the key and is sealed with it.

use super::VaultError;
use super::format::SECRET_BYTES_MAX;
use super::way::Way;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use weft_proto::provider::Provider;
use weft_proto::tables::headers::{Credential, credential};
use zeroize::Zeroizing;

/// Longest password of a proxy, in bytes: SOCKS5 has room for no more.
pub const PROXY_PASSWORD_BYTES_MAX: usize = 255;
/// Stands between the key and the proxy's password in what is sealed. No key has it, so that a
/// build that knows no proxies lends nothing instead of going around one.
const PROXY_MARK: u8 = b'\n';

/// The password of an account's proxy.
pub struct ProxyPassword(Zeroizing<Vec<u8>>);

impl ProxyPassword {
    /// Takes what the owner gave, without a line end behind it.
    ///
    /// # Errors
    /// [`VaultError::PasswordInvalid`] when it is empty, longer than
    /// [`PROXY_PASSWORD_BYTES_MAX`], no UTF-8, or holds control characters.
    pub fn parse(input: &[u8]) -> Result<Self, VaultError> {
        let line = input.strip_suffix(b"\n").unwrap_or(input);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| VaultError::PasswordInvalid)?;
        let fits = !text.is_empty() && text.len() <= PROXY_PASSWORD_BYTES_MAX;
        if !fits || text.chars().any(char::is_control) {
            return Err(VaultError::PasswordInvalid);
        }
        Ok(Self(Zeroizing::new(line.to_vec())))
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ProxyPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyPassword(redacted)")
    }
}

/// A provider credential in the clear: only between the owner's input and the sealing.
pub struct Secret {
    key: Zeroizing<Vec<u8>>,
    password: Option<ProxyPassword>,
}

impl Secret {
    /// Takes what the owner gave, without the white space around it.
    ///
    /// # Errors
    /// [`VaultError::SecretInvalid`] when it is empty, longer than 4,096 bytes, or holds anything
    /// but visible ASCII: no provider's key does, and a header could not carry it.
    pub fn parse(input: Zeroizing<Vec<u8>>) -> Result<Self, VaultError> {
        let trimmed = input.trim_ascii();
        let visible = trimmed.iter().all(u8::is_ascii_graphic);
        if trimmed.is_empty() || trimmed.len() > SECRET_BYTES_MAX || !visible {
            return Err(VaultError::SecretInvalid);
        }
        Ok(Self { key: Zeroizing::new(trimmed.to_vec()), password: None })
    }

    /// The same with the password of the account's proxy.
    #[must_use]
    pub fn with_proxy_password(mut self, password: Option<ProxyPassword>) -> Self {
        self.password = password;
        self
    }

    pub(super) const fn has_password(&self) -> bool {
        self.password.is_some()
    }

    #[cfg(test)]
    pub(super) fn expose(&self) -> &[u8] {
        &self.key
    }

    /// What is sealed: the key, and for an account behind a proxy the mark and the password.
    ///
    /// # Errors
    /// [`VaultError::SecretInvalid`] where both together are longer than an entry may be.
    pub(super) fn to_plain(&self, proxied: bool) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let password = self.password.as_ref().map_or(&[][..], ProxyPassword::expose);
        let length = self.key.len() + if proxied { 1 + password.len() } else { 0 };
        if length > SECRET_BYTES_MAX {
            return Err(VaultError::SecretInvalid);
        }
        // Full capacity at once: a buffer that grows leaves copies behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(length));
        plain.extend_from_slice(&self.key);
        if proxied {
            plain.push(PROXY_MARK);
            plain.extend_from_slice(password);
        }
        Ok(plain)
    }

    /// Takes apart what [`Self::to_plain`] made; `None` where it does not fit the account.
    pub(super) fn from_plain(plain: &[u8], proxied: bool) -> Option<Self> {
        let mark = plain.iter().position(|byte| *byte == PROXY_MARK);
        let (key, password) = match (mark, proxied) {
            (Some(at), true) => (&plain[..at], &plain[at + 1..]),
            (None, false) => (plain, &[][..]),
            (Some(_), false) | (None, true) => return None,
        };
        let password = match password {
            [] => None,
            some => Some(ProxyPassword::parse(some).ok()?),
        };
        Some(Self { key: Zeroizing::new(key.to_vec()), password })
    }

    /// The key alone, with the password of `other`.
    pub(super) fn with_password_of(self, other: Self) -> Self {
        self.with_proxy_password(other.password)
    }

    /// The proxy's password, taken out.
    pub(super) fn into_password(self) -> Option<ProxyPassword> {
        self.password
    }
}

/// The key in what was sealed.
pub(super) fn key_of(plain: &[u8]) -> &[u8] {
    plain.split(|byte| *byte == PROXY_MARK).next().unwrap_or_default()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// A credential lent for one request: a sensitive header that is zeroed when the request is gone.
#[must_use = "a lent key is for the request it was lent for"]
pub struct LentKey {
    name: HeaderName,
    value: HeaderValue,
    way: Option<Arc<Way>>,
}

impl LentKey {
    /// Shapes `plain` as `provider` wants its credential, for a request that leaves by `way`.
    pub(super) fn shape(
        provider: Provider,
        plain: &[u8],
        way: Option<Arc<Way>>,
    ) -> Result<Self, VaultError> {
        let Credential { header, prefix } = credential(provider);
        let mut text = Zeroizing::new(Vec::with_capacity(prefix.len() + plain.len()));
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(plain);
        // The header shares this buffer, so it is zeroed when the last copy of the header goes.
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))
            .map_err(|_| VaultError::SecretInvalid)?;
        value.set_sensitive(true);
        Ok(Self { name: header, value, way })
    }

    /// The proxy that the request leaves through; `None` where it leaves directly. A key goes no
    /// other way than its account's.
    pub(crate) const fn way(&self) -> Option<&Arc<Way>> {
        self.way.as_ref()
    }

    /// Puts the credential on a request in place of whatever stood under its name.
    pub(crate) fn place(self, headers: &mut HeaderMap) {
        headers.insert(self.name, self.value);
    }
}

impl fmt::Debug for LentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentKey").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &[u8]) -> Result<Secret, VaultError> {
        Secret::parse(Zeroizing::new(text.to_vec()))
    }

    #[test]
    fn a_secret_is_trimmed_and_junk_is_refused() {
        assert_eq!(secret(b" sk-abc\r\n").expect("valid").expose(), b"sk-abc");
        assert!(secret(b"\n").is_err());
        assert!(secret(b"sk abc").is_err());
        assert!(secret("sk-ü".as_bytes()).is_err());
        assert!(secret(&[b'a'; SECRET_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn each_provider_gets_its_credential_in_its_own_header_and_debug_hides_it() {
        let cases = [
            (Provider::OpenAi, "authorization", "Bearer sk-xyz"),
            (Provider::DeepSeek, "authorization", "Bearer sk-xyz"),
            (Provider::Azure, "api-key", "sk-xyz"),
            (Provider::Anthropic, "x-api-key", "sk-xyz"),
        ];
        for (provider, name, value) in cases {
            let lent = LentKey::shape(provider, b"sk-xyz", None).expect("shape");
            assert!(!format!("{lent:?}").contains("xyz"));
            let mut headers = HeaderMap::new();
            headers.insert("authorization", HeaderValue::from_static("Bearer user"));
            lent.place(&mut headers);
            assert_eq!(headers[name], value);
            assert!(headers[name].is_sensitive());
            assert!(!format!("{headers:?}").contains("xyz"));
        }
        assert!(!format!("{:?}", secret(b"sk-xyz").expect("valid")).contains("xyz"));
    }

    #[test]
    fn a_proxy_s_password_is_sealed_behind_the_key_and_junk_is_refused() {
        let password = ProxyPassword::parse("pässword: 1\r\n".as_bytes()).expect("valid");
        assert!(!format!("{password:?}").contains("word: 1"));
        let secret = secret(b"sk-abc").expect("valid").with_proxy_password(Some(password));
        let plain = secret.to_plain(true).expect("plain");
        assert_eq!(key_of(&plain), b"sk-abc");
        let again = Secret::from_plain(&plain, true).expect("fits");
        assert_eq!(again.into_password().expect("kept").expose(), "pässword: 1".as_bytes());
        assert!(Secret::from_plain(&plain, false).is_none(), "an account without a proxy");
        assert!(Secret::from_plain(b"sk-abc", true).is_none(), "an account with one");
        // A build that knows no proxies takes all of it for a key, and lends nothing.
        assert!(LentKey::shape(Provider::OpenAi, &plain, None).is_err());
        for bad in [&b""[..], b"\n", b"a\nb", b"a\0b", b"\xff", &[b'a'; 256]] {
            assert!(ProxyPassword::parse(bad).is_err(), "{bad:?}");
        }
        let long = super::Secret::parse(vec![b'a'; SECRET_BYTES_MAX].into()).expect("valid");
        assert!(long.to_plain(true).is_err());
    }
}
