//! What can be wrong with the vault: every case names the file, and where there is one the remedy.

use super::entries::EGRESSES_MAX;
use super::format;
use super::secret::PROXY_PASSWORD_BYTES_MAX;
use crate::account::AccountRefused;
use crate::datadir::DataDirError;
use std::io;
use std::path::PathBuf;
use weft_proto::ids::AccountId;

/// What can be wrong with the vault, its key, or a request to it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is a vault but no key file.
    #[error(
        "the vault's key file {} is missing: put it back from your backup; without it the accounts \
         must be added again",
        path.display()
    )]
    KeyMissing {
        /// Where it should stand.
        path: PathBuf,
    },
    /// Others than the owner may read the key file.
    #[error(
        "the vault's key file {} can be read by others (mode {mode:03o}): run `chmod 600 {}` and \
         think about whether the keys were seen",
        path.display(), path.display()
    )]
    KeyPermissions {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file does not hold a key.
    #[error("{} is not a vault key file: put it back from your backup", path.display())]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
    },
    /// No entry opens: the key is another one's.
    #[error("the key file does not belong to the vault {}: nothing was changed", path.display())]
    WrongKey {
        /// The vault file.
        path: PathBuf,
    },
    /// Some entries open and this one does not, or what it says is no account.
    #[error(
        "account {account} in the vault {} is damaged: restore the file from your backup; nothing \
         was changed",
        path.display()
    )]
    Damaged {
        /// The vault file.
        path: PathBuf,
        /// The account that does not open.
        account: AccountId,
    },
    /// The file is not a vault of this version.
    #[error("the vault {} cannot be read: {what}; nothing was changed", path.display())]
    Malformed {
        /// The vault file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The system refused.
    #[error("cannot use {}", path.display())]
    File {
        /// The file in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The declaration is not an account.
    #[error(transparent)]
    Account(#[from] AccountRefused),
    /// Another account of this provider has this label.
    #[error("there is already a {provider} account labelled {label:?}")]
    LabelTaken {
        /// The provider.
        provider: weft_proto::provider::Provider,
        /// The label.
        label: String,
    },
    /// The vault is full.
    #[error("the vault holds {} accounts, which is the most it may", format::ENTRIES_MAX)]
    Full,
    /// No such account.
    #[error("there is no account {0}")]
    Unknown(AccountId),
    /// The secret is not one that a provider gives out.
    #[error("that is no provider key: want 1 to 4096 visible ASCII characters on one line")]
    SecretInvalid,
    /// The password is not one that a proxy can be told.
    #[error(
        "that is no proxy password: want 1 to {PROXY_PASSWORD_BYTES_MAX} bytes on one line, \
         without control characters"
    )]
    PasswordInvalid,
    /// An egress names a user, and its password was not given.
    #[error("the egress names a user: its password belongs on a line of standard input")]
    PasswordMissing,
    /// A password was given for an egress without a user.
    #[error("a proxy's password needs its user: write USER@ into the egress")]
    PasswordWithoutUser,
    /// The accounts leave by too many proxies.
    #[error("the accounts of one agent leave by at most {EGRESSES_MAX} different proxies")]
    TooManyEgresses,
    /// The cipher refused.
    #[error("sealing failed")]
    Seal,
}
