//! SOCKS version 5 (RFC 1928) with user and password (RFC 1929), as a client that connects.
//!
//! A host name goes to the proxy as a name: this machine's resolver is not asked, and learns
//! nothing. Every answer has a fixed length or one byte that gives it, so exactly that many bytes
//! are read and the tunnel's own stay where they are.

use super::{ProxyError, send};
use crate::upstream::dial::Io;
use crate::vault::Way;
use std::io;
use std::net::IpAddr;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const METHOD_NONE: u8 = 0;
const METHOD_PASSWORD: u8 = 2;
const METHOD_REFUSED: u8 = 0xff;
const COMMAND_CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;

pub(super) async fn open(
    mut io: Box<dyn Io>,
    way: &Way,
    host: &str,
    port: u16,
) -> Result<Box<dyn Io>, ProxyError> {
    let credentials = way.credentials();
    let greeting: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, METHOD_NONE, METHOD_PASSWORD],
        None => &[VERSION, 1, METHOD_NONE],
    };
    send(&mut io, greeting).await?;
    let [version, method] = read(&mut io).await?;
    if version != VERSION {
        return Err(ProxyError::NotSocks);
    }
    match (method, credentials) {
        (METHOD_NONE, _) => {}
        (METHOD_PASSWORD, Some((user, password))) => {
            send(&mut io, &login(user, password)?).await?;
            let [version, verdict] = read(&mut io).await?;
            if version != LOGIN_VERSION {
                return Err(ProxyError::NotSocks);
            }
            if verdict != 0 {
                return Err(ProxyError::Credentials);
            }
        }
        (METHOD_REFUSED, _) => return Err(ProxyError::NoMethod),
        // A method that was not offered.
        (_, _) => return Err(ProxyError::NotSocks),
    }
    send(&mut io, &request(host, port)?).await?;
    let [version, reply, _, kind] = read(&mut io).await?;
    if version != VERSION {
        return Err(ProxyError::NotSocks);
    }
    if reply != 0 {
        return Err(ProxyError::Reply(reply));
    }
    // The address that it bound is of no use here; it is read to be out of the way.
    let length = match kind {
        ADDRESS_V4 => 4,
        ADDRESS_V6 => 16,
        ADDRESS_NAME => {
            let [length] = read(&mut io).await?;
            usize::from(length)
        }
        _ => return Err(ProxyError::NotSocks),
    };
    let mut bound = [0; 255 + 2];
    exactly(&mut io, &mut bound[..length + 2]).await?;
    Ok(io)
}

async fn read<const N: usize>(io: &mut Box<dyn Io>) -> Result<[u8; N], ProxyError> {
    let mut bytes = [0; N];
    exactly(io, &mut bytes).await?;
    Ok(bytes)
}

async fn exactly(io: &mut Box<dyn Io>, bytes: &mut [u8]) -> Result<(), ProxyError> {
    match io.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ProxyError::Closed),
        Err(error) => Err(error.into()),
    }
}

/// User and password, each behind its length.
fn login(user: &str, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProxyError> {
    // Both were parsed to at most 255 bytes.
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).map_err(|_| ProxyError::Credentials);
    let mut bytes = Zeroizing::new(Vec::with_capacity(3 + user.len() + password.len()));
    bytes.push(LOGIN_VERSION);
    bytes.push(length(user.as_bytes())?);
    bytes.extend_from_slice(user.as_bytes());
    bytes.push(length(password)?);
    bytes.extend_from_slice(password);
    Ok(bytes)
}

/// The request for a tunnel: a name as a name, an address as an address.
fn request(host: &str, port: u16) -> Result<Vec<u8>, ProxyError> {
    let mut bytes = vec![VERSION, COMMAND_CONNECT, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            bytes.push(ADDRESS_V4);
            bytes.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            bytes.push(ADDRESS_V6);
            bytes.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| ProxyError::Reply(8))?;
            bytes.extend_from_slice(&[ADDRESS_NAME, length]);
            bytes.extend_from_slice(host.as_bytes());
        }
    }
    bytes.extend_from_slice(&port.to_be_bytes());
    Ok(bytes)
}

/// What a reply code says (RFC 1928 section 6).
pub(super) const fn reply_text(code: u8) -> &'static str {
    match code {
        1 => "a failure of its own (1)",
        2 => "its rules do not allow the provider's host (2)",
        3 => "it cannot reach the network (3)",
        4 => "it cannot reach the host, or does not know the name (4)",
        5 => "the host refused the connection (5)",
        6 => "the way is too long (6)",
        7 => "it does not know the command (7)",
        8 => "it does not take this kind of address (8)",
        _ => "a reply that SOCKS5 does not know",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Egress;
    use crate::vault::ProxyPassword;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    #[test]
    fn a_name_is_sent_as_a_name_and_an_address_as_an_address() {
        let name = request("api.openai.com", 443).expect("fits");
        assert_eq!(name, b"\x05\x01\x00\x03\x0eapi.openai.com\x01\xbb");
        assert_eq!(request("127.0.0.1", 80).expect("fits"), b"\x05\x01\x00\x01\x7f\0\0\x01\0\x50");
        assert_eq!(request("::1", 1).expect("fits").len(), 4 + 16 + 2);
        assert!(request(&"a".repeat(256), 1).is_err());
        assert_eq!(login("me", b"pw").expect("fits").as_slice(), b"\x01\x02me\x02pw");
    }

    #[test]
    fn every_reply_has_words_of_its_own() {
        let mut texts: Vec<_> = (1..=9).map(reply_text).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), 9);
    }

    /// What comes of a proxy that says `said` and hangs up: what is left to be read in the tunnel.
    fn told(said: &[u8], with_password: bool) -> Result<Vec<u8>, ProxyError> {
        let user = if with_password { "me@" } else { "" };
        let egress: Egress = format!("socks5://{user}p:1").parse().expect("egress");
        let password = with_password.then(|| ProxyPassword::parse(b"pw").expect("password"));
        let way = Way::new(egress.proxy().expect("a proxy").clone(), password);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(4_096);
            far.write_all(said).await.expect("room");
            far.shutdown().await.expect("shutdown");
            let mut tunnel = open(Box::new(near), &way, "api.openai.com", 443).await?;
            let mut rest = Vec::new();
            tunnel.read_to_end(&mut rest).await?;
            Ok(rest)
        })
    }

    fn bound() -> impl Strategy<Value = Vec<u8>> {
        let name = proptest::collection::vec(any::<u8>(), 0..=255);
        prop_oneof![
            any::<[u8; 6]>().prop_map(|rest| [&[1], &rest[..]].concat()),
            any::<[u8; 18]>().prop_map(|rest| [&[4], &rest[..]].concat()),
            name.prop_map(|name| [&[3, name.len() as u8], &name[..], &[0, 1]].concat()),
        ]
    }

    proptest! {
        #[test]
        fn a_good_answer_leaves_every_byte_of_the_tunnel_in_it(
            bound in bound(),
            inside in proptest::collection::vec(any::<u8>(), 0..100),
            with_password in any::<bool>(),
        ) {
            let method: &[u8] = if with_password { &[5, 2, 1, 0] } else { &[5, 0] };
            let answer = [method, &[5, 0, 0], &bound, &inside].concat();
            prop_assert_eq!(told(&answer, with_password).expect("open"), inside);
            // Cut anywhere before the tunnel, it is no tunnel.
            let before = answer.len() - told(&answer, with_password).expect("open").len();
            for cut in 0..before {
                prop_assert!(told(&answer[..cut], with_password).is_err(), "cut at {}", cut);
            }
        }

        #[test]
        fn hostile_bytes_never_panic_and_open_only_what_begins_well(
            said in proptest::collection::vec(prop_oneof![Just(5), Just(0), Just(1), any::<u8>()], 0..60),
            with_password in any::<bool>(),
        ) {
            if told(&said, with_password).is_ok() {
                let plain = said.starts_with(&[5, 0, 5, 0]);
                let proven = with_password && said.starts_with(&[5, 2, 1, 0, 5, 0]);
                prop_assert!(plain || proven, "{:?}", said);
            }
        }
    }
}
