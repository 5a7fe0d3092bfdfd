//! The secret of an invitation: 256 random bits, shown once, stored as a hash.

use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;
use weft_proto::entropy::Entropy;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a token.
pub(crate) const TOKEN_LEN: usize = 32;

/// The secret that lets one agent join. Wiped when dropped; `Debug` shows nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; TOKEN_LEN]);

impl Token {
    /// Makes a token from 32 bytes of `entropy`, which must be the system's outside simulations.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut token = Self([0; TOKEN_LEN]);
        entropy.fill(&mut token.0);
        token
    }

    /// Takes the 32 bytes of a token as they came over the wire; `None` for another length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The secret bytes, to be sent to the hub and nowhere else.
    #[must_use]
    pub const fn expose(&self) -> &[u8; TOKEN_LEN] {
        &self.0
    }

    /// What a hub stores of the token: its SHA-256. The token has 256 random bits, so no salt and
    /// no slow hash is needed.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// The SHA-256 of a [`Token`]; not secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Takes the 32 bytes of a stored hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(")?;
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_token_is_frozen_and_its_debug_shows_nothing() {
        let token = Token::from_slice(&[0xab; 32]).unwrap();
        let want = "9a2db2e23f1504cd056606553ac049c5e718e8f9ce9233876df1a7a1821af885";
        let hash: String = token.hash().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, want);
        assert_eq!(format!("{token:?}"), "Token(redacted)");
        assert!(Token::from_slice(&[0; 31]).is_none());
    }
}
