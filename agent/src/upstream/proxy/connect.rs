//! HTTP `CONNECT` (RFC 9110 section 9.3.6), as a client that wants a tunnel and nothing else.
//!
//! Of the answer only the status counts; the headers are skipped and no body is read. A status that
//! is no 2xx ends it, redirects included.

use super::{ProxyError, send};
use crate::upstream::dial::Io;
use crate::vault::Way;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// Longest head of a proxy's answer, in bytes.
pub(in crate::upstream) const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Bytes asked for in one read.
const READ_BYTES: usize = 1024;

pub(super) async fn open(
    mut io: Box<dyn Io>,
    way: &Way,
    host: &str,
    port: u16,
) -> Result<Box<dyn Io>, ProxyError> {
    send(&mut io, &request(way.credentials(), host, port)).await?;
    let mut head = Vec::new();
    let mut chunk = [0; READ_BYTES];
    loop {
        let read = io.read(&mut chunk).await?;
        if read == 0 {
            return Err(ProxyError::Closed);
        }
        head.extend_from_slice(&chunk[..read]);
        if let Judged::Open = judge(&head)? {
            return Ok(io);
        }
    }
}

/// The head that asks for the tunnel. It says nothing of this agent.
fn request(credentials: Option<(&str, &[u8])>, host: &str, port: u16) -> Zeroizing<Vec<u8>> {
    let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
    let place = format!("{open}{host}{close}:{port}");
    let mut head = Zeroizing::new(Vec::with_capacity(HEAD_BYTES_MAX));
    head.extend_from_slice(format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n").as_bytes());
    if let Some((user, password)) = credentials {
        let mut both = Zeroizing::new(Vec::with_capacity(user.len() + 1 + password.len()));
        both.extend_from_slice(user.as_bytes());
        both.push(b':');
        both.extend_from_slice(password);
        let encoded = Zeroizing::new(STANDARD.encode(both.as_slice()));
        head.extend_from_slice(b"proxy-authorization: Basic ");
        head.extend_from_slice(encoded.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// What the bytes of an answer so far say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// The head is not over.
    More,
    /// The tunnel is open.
    Open,
}

/// Judges an answer from its first byte; called again with more bytes after [`Judged::More`].
pub(super) fn judge(bytes: &[u8]) -> Result<Judged, ProxyError> {
    const VERSION: &[u8] = b"HTTP/1.";
    let begins = bytes.len().min(VERSION.len());
    if bytes[..begins] != VERSION[..begins] {
        return Err(ProxyError::NotHttp);
    }
    let Some(line_end) = memchr(bytes, 0) else {
        return more(bytes);
    };
    // A refusal needs no more than its first line; a body may follow it.
    let status = status(&bytes[VERSION.len()..line_end]).ok_or(ProxyError::NotHttp)?;
    match status {
        200..=299 => {}
        407 => return Err(ProxyError::Unauthorized),
        403 => return Err(ProxyError::Forbidden),
        other => return Err(ProxyError::Status(other)),
    }
    let mut line = line_end + 1;
    while let Some(end) = memchr(bytes, line) {
        if matches!(&bytes[line..end], b"" | b"\r") {
            // The provider speaks second in every protocol that runs in here.
            return match bytes.len() - (end + 1) {
                _ if end + 1 > HEAD_BYTES_MAX => Err(ProxyError::HeadTooLong),
                0 => Ok(Judged::Open),
                _ => Err(ProxyError::EarlyBytes),
            };
        }
        line = end + 1;
    }
    more(bytes)
}

const fn more(bytes: &[u8]) -> Result<Judged, ProxyError> {
    if bytes.len() > HEAD_BYTES_MAX { Err(ProxyError::HeadTooLong) } else { Ok(Judged::More) }
}

/// Where the line that begins at `from` ends.
fn memchr(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.iter().position(|byte| *byte == b'\n').map(|at| from + at)
}

/// The status in what follows `HTTP/1.`: a digit, a space, three digits, then a space or the end.
fn status(rest: &[u8]) -> Option<u16> {
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    let (minor, rest) = rest.split_first()?;
    let rest = rest.strip_prefix(b" ")?;
    let (digits, reason) = rest.split_at_checked(3)?;
    let numbers = minor.is_ascii_digit() && digits.iter().all(u8::is_ascii_digit);
    let ends = reason.is_empty() || reason[0] == b' ';
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit & 0x0f));
    (numbers && ends && code >= 100).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_request_names_host_port_and_credential_and_nothing_else() {
        let text = |bytes: Zeroizing<Vec<u8>>| String::from_utf8(bytes.to_vec()).expect("text");
        assert_eq!(
            text(request(None, "api.openai.com", 443)),
            "CONNECT api.openai.com:443 HTTP/1.1\r\nhost: api.openai.com:443\r\n\r\n"
        );
        assert_eq!(
            text(request(Some(("me", b"p:w")), "::1", 80)),
            "CONNECT [::1]:80 HTTP/1.1\r\nhost: [::1]:80\r\n\
             proxy-authorization: Basic bWU6cDp3\r\n\r\n"
        );
    }

    #[test]
    fn only_a_whole_2xx_head_opens_the_tunnel() {
        for open in
            ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 299\r\nvia: x\r\n\r\n", "HTTP/1.1 200 \n\n"]
        {
            for at in 0..open.len() {
                assert_eq!(judge(&open.as_bytes()[..at]).expect("more"), Judged::More, "{open:?}");
            }
            assert_eq!(judge(open.as_bytes()).expect("open"), Judged::Open);
        }
        let refused = |text: &str| judge(text.as_bytes()).expect_err(text).to_string();
        assert!(refused("HTTP/1.1 407 Who?\r\n").contains("407"));
        assert!(refused("HTTP/1.1 403 No\r\nx: y").contains("403"));
        assert!(refused("HTTP/1.1 302 Found\r\nlocation: http://evil/\r\n\r\n").contains("302"));
        assert!(refused("HTTP/1.1 100 Continue\r\n\r\n").contains("100"));
        assert!(refused("HTTP/1.1 200 OK\r\n\r\nx").contains("before"));
        for no in ["SSH-2.0", "\x05\x00", "HTTP/2 200\r\n", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1\n"] {
            assert!(refused(no).contains("HTTP"), "{no:?}");
        }
    }

    #[test]
    fn a_head_without_an_end_is_cut() {
        let mut endless = b"HTTP/1.1 200 OK\r\n".to_vec();
        while endless.len() <= HEAD_BYTES_MAX {
            assert_eq!(judge(&endless).expect("more"), Judged::More);
            endless.extend_from_slice(b"x-pad: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
        }
        assert!(matches!(judge(&endless), Err(ProxyError::HeadTooLong)));
        assert!(matches!(judge(&vec![b'H'; 1 << 14]), Err(ProxyError::NotHttp)));
        let mut line = b"HTTP/1.1 200 ".to_vec();
        line.resize(HEAD_BYTES_MAX + 1, b'a');
        assert!(matches!(judge(&line), Err(ProxyError::HeadTooLong)));
    }

    proptest! {
        /// Byte by byte or at once, an answer is judged the same.
        #[test]
        fn the_verdict_does_not_depend_on_how_the_bytes_come(
            head in "HTTP/1\\.[01] [0-9]{2,4} ?[a-z\\r\\n: ]{0,40}\r?\n\r?\n[a-z]{0,3}",
        ) {
            let bytes = head.as_bytes();
            let whole = judge(bytes).map_err(|error| error.to_string());
            let first = (1..=bytes.len()).map(|end| judge(&bytes[..end])).find(|judged| {
                !matches!(judged, Ok(Judged::More))
            });
            let stepped = first.unwrap_or(Ok(Judged::More)).map_err(|error| error.to_string());
            // What comes behind an open tunnel is seen only where it came with it.
            if stepped == Ok(Judged::Open) {
                prop_assert!(whole == Ok(Judged::Open) || whole == Err(ProxyError::EarlyBytes.to_string()));
            } else {
                prop_assert_eq!(whole, stepped);
            }
        }

        #[test]
        fn hostile_bytes_never_panic_and_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if !bytes.starts_with(b"HTTP/1.") {
                prop_assert!(!matches!(judge(&bytes), Ok(Judged::Open)));
            }
            let mut behind = b"HTTP/1.1 ".to_vec();
            behind.extend_from_slice(&bytes);
            drop(judge(&behind));
        }
    }
}
