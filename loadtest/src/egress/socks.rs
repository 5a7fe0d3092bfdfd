//! The proxy's end of SOCKS5, with RFC 1929 where it wants a password.

use super::{Login, No, Wanted};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Reads what the client wants; `None` where it was turned away for its password.
pub(super) async fn greet(
    client: &mut TcpStream,
    login: Option<&Login>,
) -> io::Result<Option<Wanted>> {
    let mut raw = Vec::new();
    let [version, count] = take(client, &mut raw).await?;
    let methods = block(client, count, &mut raw).await?;
    let method = if login.is_some() { 2 } else { 0 };
    if version != 5 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if !methods.contains(&method) {
        client.write_all(&[5, 0xff]).await?;
        return Ok(None);
    }
    client.write_all(&[5, method]).await?;
    if let Some(login) = login {
        let [_, length] = take(client, &mut raw).await?;
        let user = block(client, length, &mut raw).await?;
        let [length] = take(client, &mut raw).await?;
        let password = block(client, length, &mut raw).await?;
        let right = user == login.user.as_bytes() && password == login.password.as_bytes();
        client.write_all(&[1, u8::from(!right)]).await?;
        if !right {
            return Ok(None);
        }
    }
    let [version, command, _, kind] = take(client, &mut raw).await?;
    if (version, command) != (5, 1) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let host = match kind {
        1 => Ipv4Addr::from(take::<4>(client, &mut raw).await?).to_string(),
        4 => Ipv6Addr::from(take::<16>(client, &mut raw).await?).to_string(),
        3 => {
            let [length] = take(client, &mut raw).await?;
            let name = block(client, length, &mut raw).await?;
            String::from_utf8(name).map_err(|_| io::ErrorKind::InvalidData)?
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let port = u16::from_be_bytes(take(client, &mut raw).await?);
    Ok(Some(Wanted { host, port, raw }))
}

pub(super) async fn answer(client: &mut TcpStream, verdict: Result<(), No>) -> io::Result<()> {
    let code = match verdict {
        Ok(()) => 0,
        Err(No::Foreign) => 2,
        Err(No::Unreachable) => 5,
    };
    client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

async fn take<const N: usize>(client: &mut TcpStream, raw: &mut Vec<u8>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    raw.extend_from_slice(&bytes);
    Ok(bytes)
}

async fn block(client: &mut TcpStream, length: u8, raw: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    client.read_exact(&mut bytes).await?;
    raw.extend_from_slice(&bytes);
    Ok(bytes)
}
