//! The two versions of HTTP that a provider may be spoken to in.

/// How a provider is spoken to; an account's setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// A pool of HTTP/1.1 connections, one exchange at a time on each. The default: no stream can
    /// hold up another.
    H1,
    /// One HTTP/2 connection for many exchanges.
    H2,
}

impl HttpVersion {
    pub(super) const fn alpn(self) -> &'static [u8] {
        match self {
            Self::H1 => b"http/1.1",
            Self::H2 => b"h2",
        }
    }
}
