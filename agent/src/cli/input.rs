//! Secrets on their way in: typed without echo, or lines of standard input. Never arguments.

use super::CliError;
use crate::vault::{ProxyPassword, Secret, VaultError};
use std::io::{self, IsTerminal, Read};
use zeroize::Zeroizing;

/// Most bytes of standard input that are taken for a key and a password.
const INPUT_BYTES_MAX: u64 = 8 * 1024;

/// Reads a provider key, and where `with_password` on the line behind it a proxy's password.
pub(super) fn read_key(with_password: bool) -> Result<Secret, CliError> {
    if io::stdin().is_terminal() {
        let secret = Secret::parse(prompt("Provider key: ")?)?;
        let password = if with_password { Some(prompt_password()?) } else { None };
        return Ok(secret.with_proxy_password(password));
    }
    Ok(split(&read_all()?, with_password)?)
}

/// Reads a proxy's password.
pub(super) fn read_password() -> Result<ProxyPassword, CliError> {
    if io::stdin().is_terminal() {
        return prompt_password();
    }
    Ok(ProxyPassword::parse(&read_all()?)?)
}

fn split(input: &[u8], with_password: bool) -> Result<Secret, VaultError> {
    let owned = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    if !with_password {
        return Secret::parse(owned(input));
    }
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .filter(|end| input.len() > end + 1)
        .ok_or(VaultError::PasswordMissing)?;
    let secret = Secret::parse(owned(&input[..end]))?;
    Ok(secret.with_proxy_password(Some(ProxyPassword::parse(&input[end + 1..])?)))
}

fn prompt_password() -> Result<ProxyPassword, CliError> {
    Ok(ProxyPassword::parse(&prompt("Proxy password: ")?)?)
}

fn prompt(what: &str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    Ok(Zeroizing::new(rpassword::prompt_password(what)?.into_bytes()))
}

fn read_all() -> Result<Zeroizing<Vec<u8>>, CliError> {
    // Full capacity at once: a buffer that grows leaves copies behind.
    let mut input = Zeroizing::new(Vec::with_capacity(INPUT_BYTES_MAX as usize + 1));
    io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut input)?;
    Ok(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_line_behind_the_key_and_only_where_it_is_wanted() {
        assert!(split(b"sk-a\n", false).is_ok());
        assert!(split(b"sk-a\npw\n", true).is_ok());
        assert!(split(b"sk-a\r\npw", true).is_ok());
        assert!(matches!(split(b"sk-a\npw\n", false), Err(VaultError::SecretInvalid)));
        assert!(matches!(split(b"sk-a\n", true), Err(VaultError::PasswordMissing)));
        assert!(matches!(split(b"sk-a", true), Err(VaultError::PasswordMissing)));
        assert!(matches!(split(b"sk-a\n\n", true), Err(VaultError::PasswordInvalid)));
        assert!(matches!(split(b"sk-a\npw\nmore\n", true), Err(VaultError::PasswordInvalid)));
    }
}
