//! Why a hub does not come up.

use super::DataDirError;
use crate::admin::TokenError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use weft_certs::AuthorityError;
use weft_store::StoreError;

/// Why a hub did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The authority cannot be opened.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The admin token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The operator's own certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] weft_certs::DoorError),
    /// The TLS library refuses a configuration.
    #[error("the TLS settings of a door are refused")]
    Tls(#[from] rustls::Error),
    /// The TLS settings are not fit for QUIC.
    #[error("the TLS settings of the agents' door are not fit for QUIC")]
    Quic(#[from] weft_transport::config::NoInitialCipherSuite),
    /// The database cannot be opened.
    #[error("the database {} cannot be opened", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: weft_store::sqlite::OpenError,
    },
    /// The store does not give what the hub needs to begin.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// A door cannot be bound.
    #[error("the {door} door cannot be bound to {address}")]
    Door {
        /// Which door.
        door: &'static str,
        /// The address from the settings.
        address: SocketAddr,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}
