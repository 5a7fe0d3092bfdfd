//! SHA-256 values, one type for each thing that is hashed, so that none is taken for another.

use std::fmt;

macro_rules! digests {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the 32 bytes of the hash.
            #[must_use]
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the hash.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }
    )*};
}

digests! {
    /// The hash of a user's `wk-…` secret. Shown shortened, and never to users.
    KeyHash;
    /// The hash of an invite's token. Shown shortened.
    TokenHash;
    /// The hash of a public key in its SubjectPublicKeyInfo form: public, and shown whole.
    SpkiHash;
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shortened("KeyHash", &self.0, f)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shortened("TokenHash", &self.0, f)
    }
}

impl fmt::Debug for SpkiHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpkiHash({self})")
    }
}

impl fmt::Display for SpkiHash {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl serde::Serialize for SpkiHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Enough to tell two apart in a log, not enough to look one up elsewhere.
fn shortened(name: &str, bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [first, second, ..] = bytes;
    write!(f, "{name}({first:02x}{second:02x}…)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_secrets_are_shown_shortened_and_of_public_keys_whole() {
        assert_eq!(format!("{:?}", KeyHash::new([0xab; 32])), "KeyHash(abab…)");
        assert_eq!(format!("{:?}", TokenHash::new([1; 32])), "TokenHash(0101…)");
        assert_eq!(SpkiHash::new([0x0f; 32]).to_string(), "0f".repeat(32));
    }
}
