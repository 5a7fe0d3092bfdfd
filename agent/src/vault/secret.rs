//! A provider secret on its way into the vault, and the key that the vault lends out of it.
//!
//! Both are zeroed when they are dropped and say nothing of themselves in `Debug`. Neither can be
//! cloned, serialised or compared. A [`LentKey`] is consumed by the one request it was lent for.

use super::VaultError;
use super::format::SECRET_BYTES_MAX;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use weft_proto::provider::Provider;
use weft_proto::tables::headers::{Credential, credential};
use zeroize::Zeroizing;

/// A provider credential in the clear: only between the owner's input and the sealing.
pub struct Secret(Zeroizing<Vec<u8>>);

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
        Ok(Self(Zeroizing::new(trimmed.to_vec())))
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
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
}

impl LentKey {
    /// Shapes `plain` as `provider` wants its credential.
    pub(super) fn shape(provider: Provider, plain: &[u8]) -> Result<Self, VaultError> {
        let Credential { header, prefix } = credential(provider);
        let mut text = Zeroizing::new(Vec::with_capacity(prefix.len() + plain.len()));
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(plain);
        // The header shares this buffer, so it is zeroed when the last copy of the header goes.
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))
            .map_err(|_| VaultError::SecretInvalid)?;
        value.set_sensitive(true);
        Ok(Self { name: header, value })
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
            let lent = LentKey::shape(provider, b"sk-xyz").expect("shape");
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
}
