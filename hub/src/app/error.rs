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
    /// Those of the users' door are not, which HTTP/3 needs.
    #[error("the TLS settings of the users' door are not fit for HTTP/3")]
    UsersQuic(#[source] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The database of a server cannot be opened.
    #[error("the database {url} cannot be opened")]
    Server {
        /// Which one; shown without its password.
        url: weft_store::MysqlUrl,
        /// Why not.
        #[source]
        source: weft_store::mysql::OpenError,
    },
    /// The database file cannot be opened.
    #[error("the database {} cannot be opened", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: weft_store::sqlite::OpenError,
    },
    /// The webhook cannot be used.
    #[error("the webhook of the settings cannot be used")]
    Webhook(#[from] super::webhook::WebhookError),
    /// The prices cannot be had.
    #[error("the prices cannot be opened")]
    Prices(#[from] crate::pricing::PricingError),
    /// The ledger key, or the key of tickets, cannot be used.
    #[error(transparent)]
    Key(#[from] crate::keyfile::KeyFileError),
    /// The ledger of this node cannot be opened.
    #[error("the ledger of this node cannot be opened")]
    Ledger(#[from] crate::ledger::OpenError),
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
