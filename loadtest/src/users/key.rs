//! The key that requests carry: from a file or the environment, never from the command line.

use anyhow::Context;
use http::HeaderValue;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// The variable that holds a key.
pub(super) const VARIABLE: &str = "WEFT_USERS_KEY";
/// The longest key, in bytes.
const KEY_BYTES_MAX: u64 = 4_096;
/// What is presented where there is no key: enough for a simulated provider.
const SIMULATED: &str = "simulated";

/// A key in the forms in which it is presented. Neither is ever shown.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// For `authorization`.
    pub(super) bearer: HeaderValue,
    /// For `x-api-key`.
    pub(super) bare: HeaderValue,
}

impl Key {
    /// The key in `file`, or else the one in the environment, or else one for simulations.
    ///
    /// # Errors
    /// Where the file cannot be read, or what was given cannot be a key.
    pub(super) fn find(file: Option<&Path>) -> anyhow::Result<Self> {
        let text = match file {
            Some(file) => read(file).with_context(|| format!("the key in {}", file.display()))?,
            None => match std::env::var(VARIABLE) {
                Ok(text) => Zeroizing::new(text),
                Err(std::env::VarError::NotPresent) => return Self::of(SIMULATED),
                Err(error) => return Err(error).context(VARIABLE),
            },
        };
        Self::of(text.trim())
    }

    /// The key that a simulated provider takes.
    ///
    /// # Errors
    /// Never.
    pub(super) fn simulated() -> anyhow::Result<Self> {
        Self::of(SIMULATED)
    }

    fn of(text: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(!text.is_empty(), "the key is empty");
        let secret = |text: &str| {
            let mut value =
                HeaderValue::from_str(text).ok().context("the key is no header's value")?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        };
        let bearer = Zeroizing::new(format!("Bearer {text}"));
        Ok(Self { bearer: secret(&bearer)?, bare: secret(text)? })
    }
}

fn read(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(file)?.take(KEY_BYTES_MAX + 1).read_to_string(&mut text)?;
    anyhow::ensure!(read as u64 <= KEY_BYTES_MAX, "longer than {KEY_BYTES_MAX} bytes");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_from_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "sk-secret-1\n").expect("a file");
        let key = Key::find(Some(&file)).expect("a key");
        assert_eq!(key.bearer, "Bearer sk-secret-1");
        assert_eq!(key.bare, "sk-secret-1");
        assert!(!format!("{key:?}").contains("secret"), "{key:?}");
        std::fs::write(&file, "").expect("a file");
        assert!(Key::find(Some(&file)).is_err());
        std::fs::write(&file, "x".repeat(5_000)).expect("a file");
        assert!(Key::find(Some(&file)).is_err());
    }
}
