//! How a request can fail, by kind, and how the errors of the three protocols fall into the kinds.

use super::wire::Unsent;
use h3::error::StreamError;
use std::error::Error;
use std::io;

/// Why a request has no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// No connection.
    Connect,
    /// The other end does not prove itself, or TLS fails otherwise.
    Tls,
    /// The connection ended where an answer should have begun.
    Closed,
    /// A reset of the connection or of the stream.
    Reset,
    /// The body ended before its end.
    Short,
    /// Nothing whole within the time that a request may take.
    Timeout,
    /// What came is not the protocol.
    Protocol,
    /// An answer with this status, which is no success.
    Status(u16),
}

impl Fault {
    /// The kinds without a status, in the order in which they are told, with their names.
    pub(super) const NAMED: [(&'static str, Self); 7] = [
        ("connect", Self::Connect),
        ("tls", Self::Tls),
        ("closed", Self::Closed),
        ("reset", Self::Reset),
        ("short", Self::Short),
        ("timeout", Self::Timeout),
        ("protocol", Self::Protocol),
    ];

    /// What an error of hyper's is; `begun` says whether the answer's head had come.
    pub(super) fn of_hyper(error: &hyper::Error, begun: bool) -> Self {
        if error.is_incomplete_message() {
            return if begun { Self::Short } else { Self::Closed };
        }
        if error.is_canceled() || error.is_closed() {
            return if begun { Self::Short } else { Self::Closed };
        }
        if error.is_parse() {
            return Self::Protocol;
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                return Self::of_io(error, begun);
            }
            if let Some(error) = cause.downcast_ref::<h2::Error>() {
                if let Some(error) = error.get_io() {
                    return Self::of_io(error, begun);
                }
                return if error.is_reset() || error.is_go_away() {
                    Self::Reset
                } else {
                    Self::Protocol
                };
            }
            source = cause.source();
        }
        Self::Protocol
    }

    /// What an error of a connection is.
    pub(super) fn of_io(error: &io::Error, begun: bool) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let kind = error.kind();
        if [ConnectionReset, BrokenPipe, ConnectionAborted].contains(&kind) {
            return Self::Reset;
        }
        if kind == UnexpectedEof {
            return if begun { Self::Short } else { Self::Closed };
        }
        let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        if is_tls { Self::Tls } else { Self::Protocol }
    }

    /// What an error of a stream of HTTP/3 is.
    pub(super) fn of_h3(error: &StreamError, begun: bool) -> Self {
        match error {
            StreamError::RemoteTerminate { .. } => Self::Reset,
            StreamError::ConnectionError(_) | StreamError::RemoteClosing if begun => Self::Reset,
            StreamError::ConnectionError(_) | StreamError::RemoteClosing => Self::Closed,
            StreamError::StreamError { .. }
            | StreamError::HeaderTooBig { .. }
            | StreamError::Undefined(_)
            | _ => Self::Protocol,
        }
    }

    /// What happened when a connection was to be opened.
    pub(super) const fn of_unsent(unsent: &Unsent) -> Self {
        match unsent {
            Unsent::Connect(_) => Self::Connect,
            Unsent::Tls(_) => Self::Tls,
            Unsent::Protocol(_) => Self::Protocol,
        }
    }
}
