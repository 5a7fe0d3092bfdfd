//! The proxy by itself, spoken to in raw bytes.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn echo() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn say(client: &mut TcpStream, bytes: &[u8], length: usize) -> Vec<u8> {
    client.write_all(bytes).await.unwrap();
    let mut said = vec![0; length];
    client.read_exact(&mut said).await.unwrap();
    said
}

#[tokio::test]
async fn a_tunnel_carries_bytes_until_it_is_cut() {
    let (listener, port) = echo().await;
    let proxy = EgressProxy::bind(Speaks::Connect, None).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr).await.unwrap();
    let ask = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: x\r\n\r\n");
    let head = say(&mut client, ask.as_bytes(), 12).await;
    assert_eq!(head, b"HTTP/1.1 200");
    let (mut provider, _) = listener.accept().await.unwrap();
    provider.write_all(b"weft").await.unwrap();
    let mut rest = vec![0; 256];
    let mut seen = Vec::new();
    while !seen.ends_with(b"weft") {
        let read = client.read(&mut rest).await.unwrap();
        seen.extend_from_slice(&rest[..read]);
    }
    proxy.cut();
    assert!(matches!(client.read(&mut rest).await, Ok(0) | Err(_)));
    assert!(matches!(provider.read(&mut rest).await, Ok(0) | Err(_)));
    assert_eq!(proxy.asked()[0].port, port);
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_stranger_and_a_foreign_host_are_refused() {
    let login = Login { user: "me".into(), password: "pw".into() };
    let proxy = EgressProxy::bind(Speaks::Socks5, Some(login)).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr).await.unwrap();
    assert_eq!(say(&mut client, &[5, 1, 0], 2).await, [5, 0xff]);
    let mut client = TcpStream::connect(proxy.addr).await.unwrap();
    assert_eq!(say(&mut client, &[5, 1, 2], 2).await, [5, 2]);
    assert_eq!(say(&mut client, b"\x01\x02me\x02no", 2).await, [1, 1]);
    let mut client = TcpStream::connect(proxy.addr).await.unwrap();
    assert_eq!(say(&mut client, &[5, 1, 2], 2).await, [5, 2]);
    assert_eq!(say(&mut client, b"\x01\x02me\x02pw", 2).await, [1, 0]);
    let answer = say(&mut client, b"\x05\x01\0\x03\x0capi.evil.net\x01\xbb", 10).await;
    assert_eq!(answer[..2], [5, 2]);
    assert_eq!(proxy.turned_away(), 2);
    assert_eq!((proxy.asked()[0].host.as_str(), proxy.asked()[0].opened), ("api.evil.net", false));
    proxy.shutdown().await;
}
