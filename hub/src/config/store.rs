//! Where the hub keeps its state: `[store]`.
//!
//! The URL of a server holds a password, so there is no flag for it: flags are seen by every user of
//! the machine. It stands in `hub.toml`, which is the owner's alone, or in the environment.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use weft_store::MysqlUrl;

/// The database inside the data directory, unless told otherwise.
const DATABASE_FILE_DEFAULT: &str = "hub.sqlite";

/// Where the hub keeps its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The SQLite database; relative paths start at the data directory.
    pub path: PathBuf,
    /// A database of a MySQL-compatible server instead of the file.
    pub url: Option<MysqlUrl>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: PathBuf::from(DATABASE_FILE_DEFAULT), url: None }
    }
}

impl StoreConfig {
    /// The database, for the hub of the data directory `data`.
    #[must_use]
    pub fn database(&self, data: &Path) -> Database {
        match &self.url {
            Some(url) => Database::Mysql(url.clone()),
            None => Database::Sqlite(data.join(&self.path)),
        }
    }
}

/// A database that can hold a hub's state.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A database of a server.
    Mysql(MysqlUrl),
}

impl Database {
    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Mysql(_) => None,
        }
    }
}

/// Without the password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Mysql(url) => url.fmt(f),
        }
    }
}
