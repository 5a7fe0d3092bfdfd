//! The admin token, and the two layers that ask for it.

use super::{Problem, Rooms};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;
use weft_proto::entropy::Entropy;
use zeroize::{Zeroize, Zeroizing};

/// The file of the token inside the data directory.
pub const TOKEN_FILE: &str = "admin.token";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// The longest token file that is read, bytes.
const TOKEN_FILE_BYTES_MAX: u64 = 256;
/// Readable by the hub's user alone.
const TOKEN_MODE: u32 = 0o600;

/// The secret that callers of the admin door must know.
pub struct AdminToken(String);

/// Why the token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or written.
    #[error("the admin token {path} cannot be {action}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Others on this machine can read it.
    #[error("the admin token {path} can be read by others (mode {mode:o}): want mode 600")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds no token.
    #[error("{path} does not hold an admin token")]
    Content {
        /// The file.
        path: PathBuf,
    },
}

impl AdminToken {
    /// Makes a token of 32 random bytes.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        Self(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// Writes the token into the data directory, readable by this user alone.
    ///
    /// # Errors
    /// [`TokenError::File`], also where there is a token already: it is not overwritten.
    pub fn store(&self, data: &Path) -> Result<(), TokenError> {
        let path = data.join(TOKEN_FILE);
        let failed = |source| TokenError::File { path: path.clone(), action: "written", source };
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(TOKEN_MODE)
            .open(&path)
            .map_err(failed)?;
        file.write_all(self.0.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Reads the token of the data directory.
    ///
    /// # Errors
    /// [`TokenError`] where it cannot be read, is no token, or can be read by others.
    pub fn load(data: &Path) -> Result<Self, TokenError> {
        let path = data.join(TOKEN_FILE);
        let failed = |source| TokenError::File { path: path.clone(), action: "read", source };
        let file = std::fs::File::open(&path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Mode { path, mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim();
        if URL_SAFE_NO_PAD.decode(token).is_ok_and(|bytes| bytes.len() == TOKEN_BYTES) {
            Ok(Self(token.to_owned()))
        } else {
            Err(TokenError::Content { path })
        }
    }

    /// The token as an `authorization` header carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time; hashed first, so that not even the length can be measured.
    fn is(&self, presented: &str) -> bool {
        let own = Sha256::digest(self.0.as_bytes());
        own.ct_eq(&Sha256::digest(presented.as_bytes())).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(redacted)")
    }
}

impl Drop for AdminToken {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Lets a request on that carries the token.
pub(super) async fn require_token(
    State(rooms): State<Rooms>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    check(&rooms.token, request.headers())?;
    Ok(next.run(request).await)
}

/// Lets a request on that comes from this machine or carries the token.
pub(super) async fn require_token_from_elsewhere(
    State(rooms): State<Rooms>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if !peer.ip().to_canonical().is_loopback() {
        check(&rooms.token, request.headers())?;
    }
    Ok(next.run(request).await)
}

fn check(token: &AdminToken, headers: &HeaderMap) -> Result<(), Problem> {
    let presented = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("Bearer "));
    match presented {
        Some(presented) if token.is(presented) => Ok(()),
        Some(_) => {
            tracing::warn!("admin request with a wrong token");
            Err(Problem::new(StatusCode::UNAUTHORIZED, "the token is not this hub's"))
        }
        None => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "send \"authorization: Bearer\" with the token of the file admin.token",
        )),
    }
}
