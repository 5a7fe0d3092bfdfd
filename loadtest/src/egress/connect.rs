//! The proxy's end of HTTP `CONNECT`.

use super::{Login, No, Wanted};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head that is read, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1_024;

/// Reads what the client wants; `None` where it was turned away for its password.
pub(super) async fn greet(
    client: &mut TcpStream,
    login: Option<&Login>,
) -> io::Result<Option<Wanted>> {
    let mut raw = Vec::new();
    // Byte by byte: what follows the head is the tunnel's.
    while !raw.ends_with(b"\r\n\r\n") {
        if raw.len() >= HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        raw.push(client.read_u8().await?);
    }
    let text = String::from_utf8(raw.clone()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut lines = text.split("\r\n");
    let place = lines
        .next()
        .and_then(|line| line.strip_prefix("CONNECT "))
        .and_then(|line| line.strip_suffix(" HTTP/1.1"))
        .and_then(|place| place.rsplit_once(':'));
    let Some((host, port)) = place else {
        client.write_all(b"HTTP/1.1 405 Only CONNECT\r\ncontent-length: 0\r\n\r\n").await?;
        return Err(io::ErrorKind::InvalidData.into());
    };
    if let Some(Login { user, password }) = login {
        let want = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let said = lines.find_map(|line| line.strip_prefix("proxy-authorization: "));
        if said != Some(want.as_str()) {
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                           proxy-authenticate: Basic realm=\"test\"\r\ncontent-length: 0\r\n\r\n";
            client.write_all(refusal.as_bytes()).await?;
            return Ok(None);
        }
    }
    let port = port.parse().map_err(|_| io::ErrorKind::InvalidData)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Some(Wanted { host, port, raw }))
}

pub(super) async fn answer(client: &mut TcpStream, verdict: Result<(), No>) -> io::Result<()> {
    let head: &[u8] = match verdict {
        Ok(()) => b"HTTP/1.1 200 Connection established\r\nvia: 1.1 test\r\n\r\n",
        Err(No::Foreign) => b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        Err(No::Unreachable) => b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
    };
    client.write_all(head).await
}
