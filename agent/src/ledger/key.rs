//! The ledger's own key: it signs checkpoints and nothing else, and is not the identity's.
//!
//! ```text
//! weft ledger key 1
//! 5f3c…            the Ed25519 seed, 64 hexadecimal digits
//! ```

use crate::datadir;
use std::fs;
use std::io;
use std::path::Path;
use weft_proto::entropy::Entropy;
use weft_proto::ledger::SigningKey;
use zeroize::Zeroizing;

/// The name of the file.
pub(super) const FILE: &str = "key";
/// The first line of the file; the number is the version.
const FIRST_LINE: &str = "weft ledger key 1";
/// Bytes of the file at most.
const FILE_BYTES_MAX: u64 = 256;

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system refused.
    #[error("cannot use the ledger's key")]
    File(#[from] io::Error),
    /// It is no key.
    #[error("the ledger's key file is damaged: restore it from a backup")]
    Damaged,
}

/// Reads the key at `path`; makes one, mode 0600, where there is none and `may_make`.
pub(super) fn load(
    path: &Path,
    may_make: bool,
    entropy: &dyn Entropy,
) -> Result<SigningKey, KeyError> {
    let seed = match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Err(KeyError::Damaged),
        Ok(_) => parse(&Zeroizing::new(fs::read_to_string(path)?))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => make(path, entropy)?,
        Err(error) => return Err(error.into()),
    };
    SigningKey::from_seed(&seed).map_err(|_| KeyError::Damaged)
}

fn make(path: &Path, entropy: &dyn Entropy) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    entropy.fill(&mut *seed);
    // Full capacity at once: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(FIRST_LINE.len() + 66));
    text.push_str(FIRST_LINE);
    text.push('\n');
    for byte in *seed {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    datadir::create_file(path, text.as_bytes())?;
    Ok(seed)
}

fn parse(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut lines = text.lines();
    let (first, digits) = (lines.next(), lines.next().unwrap_or_default().as_bytes());
    if first != Some(FIRST_LINE) || digits.len() != 64 || lines.next().is_some() {
        return Err(KeyError::Damaged);
    }
    let mut seed = Zeroizing::new([0; 32]);
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    for (byte, pair) in seed.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (digit(pair[0]), digit(pair[1]));
        *byte = high.zip(low).map(|(high, low)| (high << 4) | low).ok_or(KeyError::Damaged)?;
    }
    Ok(seed)
}
