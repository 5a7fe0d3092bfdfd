//! Pins: the public keys by which an agent knows its hub.
//!
//! A pin is the SHA-256 of a node-issuing authority's SubjectPublicKeyInfo. An agent holds two,
//! the current authority's and that of the next one, whose key lies offline: the hub can change
//! over without asking any agent to join again. Text and size are constant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Characters of a hash's text form: base64url of 32 bytes without padding.
const HASH_TEXT_LEN: usize = 43;

/// A text that is not an SPKI hash or a pair of pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a pin: want {HASH_TEXT_LEN} base64url characters, and two of those joined by a dot for a pair"
)]
pub struct InvalidPin(());

/// The SHA-256 of a DER SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpkiHash([u8; 32]);

impl SpkiHash {
    /// Takes the 32 bytes of a hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hashes a DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn of_spki(spki_der: &[u8]) -> Self {
        Self(Sha256::digest(spki_der).into())
    }

    /// Hashes the public key of a certificate; nothing about the certificate is verified.
    ///
    /// # Errors
    /// The parser's reason where `cert` is not a certificate.
    pub fn of_cert(cert: &CertificateDer<'_>) -> Result<Self, webpki::Error> {
        // The anchor's parser takes authorities and leaves alike.
        let anchor = webpki::anchor_from_trusted_cert(cert)?;
        Ok(Self::of_spki(&webpki::spki_for_anchor(&anchor)))
    }
}

impl fmt::Display for SpkiHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SpkiHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpkiHash({self})")
    }
}

impl FromStr for SpkiHash {
    type Err = InvalidPin;

    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        if text.len() != HASH_TEXT_LEN {
            return Err(InvalidPin(()));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidPin(()))?;
        bytes.try_into().map(Self).map_err(|_| InvalidPin(()))
    }
}

/// The two authorities that may vouch for a hub's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pins {
    /// The authority that issues node certificates today.
    pub current: SpkiHash,
    /// The authority that takes over; its key lies offline.
    pub next: SpkiHash,
}

impl Pins {
    /// Whether `spki` is one of the two.
    #[must_use]
    pub fn contains(&self, spki: &SpkiHash) -> bool {
        self.current == *spki || self.next == *spki
    }
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.current, self.next)
    }
}

impl FromStr for Pins {
    type Err = InvalidPin;

    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        let (current, next) = text.split_once('.').ok_or(InvalidPin(()))?;
        Ok(Self { current: current.parse()?, next: next.parse()? })
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(SpkiHash, Pins);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_pins_is_frozen_and_round_trips() {
        let pins = Pins { current: SpkiHash([0x11; 32]), next: SpkiHash([0xfe; 32]) };
        let text = "ERERERERERERERERERERERERERERERERERERERERERE.\
                    _v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v4";
        assert_eq!(pins.to_string(), text);
        assert_eq!(text.parse(), Ok(pins));
        assert_eq!(serde_json::to_string(&pins).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Pins>(&format!("\"{text}\"")).unwrap(), pins);
    }

    #[test]
    fn a_pin_of_another_length_or_alphabet_is_refused() {
        let good = SpkiHash([7; 32]).to_string();
        assert!(good.parse::<SpkiHash>().is_ok());
        assert!(good[1..].parse::<SpkiHash>().is_err());
        assert!(format!("{good}A").parse::<SpkiHash>().is_err());
        assert!(good.replace('B', "+").parse::<SpkiHash>().is_err());
        assert!(good.parse::<Pins>().is_err());
    }
}
