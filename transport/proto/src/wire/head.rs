//! Heads of exchanges: what stands before the raw body, in each direction.
//!
//! A head is a protobuf message behind a length prefix. Header names are lower case, as HTTP/2 has
//! them; values are bytes, unchanged; repeated lines keep their order.

use super::Malformed;
use super::ticket::TermsMessage;
use crate::ids::{AccountId, ExchangeId};
use crate::limits::{HEAD_BYTES_MAX, HEADER_LINES_MAX};
use crate::provider::Provider;
use crate::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use prost::Message as _;
use std::time::Duration;

pub use super::ticket::{Terms, Ticket};

/// The head of a request, from hub to agent.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestHead {
    /// Evidence of the dispatch.
    pub ticket: Ticket,
    /// Whose endpoint the hub means; the agent holds it against the account's.
    pub provider: Provider,
    /// The request's method.
    pub method: Method,
    /// Path and query at the provider's host, in origin form.
    pub target: String,
    /// End-to-end headers, already filtered once by the hub.
    pub headers: HeaderMap,
    /// How long the provider's answer head may take, in whole milliseconds.
    pub head_within: Duration,
    /// It asks for a WebSocket: the handshake's headers stand among `headers`, the answer may be
    /// SWITCHED, and the stream's bytes are then the connection's. Sent only to agents that
    /// announced [`Features::WEBSOCKET`](super::control::Features::WEBSOCKET).
    pub upgrade: bool,
}

/// The head of an answer that switched protocols, from agent to hub. Its status is 101.
#[derive(Debug, Clone, PartialEq)]
pub struct SwitchedHead {
    /// End-to-end headers and those of the handshake, already filtered once by the agent.
    pub headers: HeaderMap,
}

/// The head of an answer, from agent to hub.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerHead {
    /// The provider's status.
    pub status: StatusCode,
    /// End-to-end headers, already filtered once by the agent.
    pub headers: HeaderMap,
    /// The answer speaks about the key's owner: its body stays at the agent, the hub answers itself.
    pub account_fault: bool,
    /// The body is framed because trailers were declared; otherwise it is raw.
    pub framed: bool,
}

impl RequestHead {
    /// The head as it stands on the wire, its length prefix not included.
    ///
    /// # Errors
    /// [`Malformed`] for what [`RequestHead::decode`] would refuse, so where it is longer than
    /// [`HEAD_BYTES_MAX`] or has more than [`HEADER_LINES_MAX`] lines.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        if self.ticket.attempt == 0 {
            return Err(Malformed("attempt"));
        }
        if !self.target.starts_with('/') {
            return Err(Malformed("request target"));
        }
        let message = RequestHeadMessage {
            exchange: self.ticket.exchange.as_bytes().to_vec(),
            attempt: u32::from(self.ticket.attempt),
            account: self.ticket.account.as_bytes().to_vec(),
            issued_at_us: self.ticket.issued_at.as_micros(),
            provider: self.provider.number(),
            method: self.method.as_str().to_owned(),
            target: self.target.clone(),
            fields: fields_of(&self.headers)?,
            head_within_ms: u32::try_from(self.head_within.as_millis()).unwrap_or(u32::MAX),
            upgrade: self.upgrade,
            terms: self.ticket.terms_message()?,
        };
        bounded(message.encode_to_vec())
    }

    /// Reads a head.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not a head within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Malformed("head length"));
        }
        let message =
            RequestHeadMessage::decode(bytes).map_err(|_| Malformed("request head message"))?;
        if !message.target.starts_with('/') {
            return Err(Malformed("request target"));
        }
        Ok(Self {
            ticket: Ticket::free(
                ExchangeId::from_slice(&message.exchange).map_err(|_| Malformed("exchange id"))?,
                u8::try_from(message.attempt)
                    .ok()
                    .filter(|attempt| *attempt > 0)
                    .ok_or(Malformed("attempt"))?,
                AccountId::from_slice(&message.account).map_err(|_| Malformed("account id"))?,
                Timestamp::from_micros(message.issued_at_us),
            )
            .with_terms(message.terms)?,
            provider: Provider::from_number(message.provider).map_err(|_| Malformed("provider"))?,
            method: Method::from_bytes(message.method.as_bytes())
                .map_err(|_| Malformed("method"))?,
            target: message.target,
            headers: headers_of(message.fields)?,
            head_within: Duration::from_millis(u64::from(message.head_within_ms)),
            upgrade: message.upgrade,
        })
    }
}

impl AnswerHead {
    /// The head as it stands on the wire, its length prefix not included.
    ///
    /// # Errors
    /// [`Malformed`] for what [`AnswerHead::decode`] would refuse, so for a 1xx status, and where
    /// it is longer than [`HEAD_BYTES_MAX`] or has more than [`HEADER_LINES_MAX`] lines.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        if self.status.is_informational() {
            return Err(Malformed("status"));
        }
        let message = AnswerHeadMessage {
            status: u32::from(self.status.as_u16()),
            fields: fields_of(&self.headers)?,
            account_fault: self.account_fault,
            framed: self.framed,
        };
        bounded(message.encode_to_vec())
    }

    /// Reads a head.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not a head within the limits; a 1xx status is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Malformed("head length"));
        }
        let message =
            AnswerHeadMessage::decode(bytes).map_err(|_| Malformed("answer head message"))?;
        let status = u16::try_from(message.status)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok())
            .filter(|status| !status.is_informational())
            .ok_or(Malformed("status"))?;
        Ok(Self {
            status,
            headers: headers_of(message.fields)?,
            account_fault: message.account_fault,
            framed: message.framed,
        })
    }
}

impl SwitchedHead {
    /// The head as it stands on the wire, its length prefix not included.
    ///
    /// # Errors
    /// [`Malformed`] where it is longer than [`HEAD_BYTES_MAX`] or has more than
    /// [`HEADER_LINES_MAX`] lines.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let message = AnswerHeadMessage {
            status: u32::from(StatusCode::SWITCHING_PROTOCOLS.as_u16()),
            fields: fields_of(&self.headers)?,
            account_fault: false,
            framed: false,
        };
        bounded(message.encode_to_vec())
    }

    /// Reads a head.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not a head within the limits, or whose status is not 101:
    /// what did not switch is a final answer. One that speaks about an account, or frames its body,
    /// did not switch either.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Malformed("head length"));
        }
        let message =
            AnswerHeadMessage::decode(bytes).map_err(|_| Malformed("answer head message"))?;
        if message.status != u32::from(StatusCode::SWITCHING_PROTOCOLS.as_u16()) {
            return Err(Malformed("status"));
        }
        if message.account_fault || message.framed {
            return Err(Malformed("switched head"));
        }
        Ok(Self { headers: headers_of(message.fields)? })
    }
}

/// Header lines alone, as trailers travel.
pub(crate) fn encode_fields(headers: &HeaderMap) -> Result<Vec<u8>, Malformed> {
    bounded(FieldsMessage { fields: fields_of(headers)? }.encode_to_vec())
}

/// The inverse of [`encode_fields`].
pub(crate) fn decode_fields(bytes: &[u8]) -> Result<HeaderMap, Malformed> {
    let message = FieldsMessage::decode(bytes).map_err(|_| Malformed("fields message"))?;
    headers_of(message.fields)
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, Malformed> {
    if bytes.len() > HEAD_BYTES_MAX { Err(Malformed("head length")) } else { Ok(bytes) }
}

fn fields_of(headers: &HeaderMap) -> Result<Vec<FieldMessage>, Malformed> {
    if headers.len() > HEADER_LINES_MAX {
        return Err(Malformed("header lines"));
    }
    Ok(headers
        .iter()
        .map(|(name, value)| FieldMessage {
            name: name.as_str().to_owned(),
            value: value.as_bytes().to_vec(),
        })
        .collect())
}

fn headers_of(fields: Vec<FieldMessage>) -> Result<HeaderMap, Malformed> {
    if fields.len() > HEADER_LINES_MAX {
        return Err(Malformed("header lines"));
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        // A name that is not lower case already is not of this wire: two spellings of one name
        // would be two names to a filter.
        let name = HeaderName::from_lowercase(field.name.as_bytes())
            .map_err(|_| Malformed("header name"))?;
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(field.value))
            .map_err(|_| Malformed("header value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[derive(Clone, PartialEq, prost::Message)]
struct FieldMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FieldsMessage {
    #[prost(message, repeated, tag = "1")]
    fields: Vec<FieldMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestHeadMessage {
    #[prost(bytes = "vec", tag = "1")]
    exchange: Vec<u8>,
    #[prost(uint32, tag = "2")]
    attempt: u32,
    #[prost(bytes = "vec", tag = "3")]
    account: Vec<u8>,
    #[prost(fixed64, tag = "4")]
    issued_at_us: u64,
    #[prost(uint32, tag = "5")]
    provider: u32,
    #[prost(string, tag = "6")]
    method: String,
    #[prost(string, tag = "7")]
    target: String,
    #[prost(message, repeated, tag = "8")]
    fields: Vec<FieldMessage>,
    #[prost(uint32, tag = "9")]
    head_within_ms: u32,
    #[prost(bool, tag = "10")]
    upgrade: bool,
    #[prost(message, optional, tag = "11")]
    terms: Option<TermsMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerHeadMessage {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<FieldMessage>,
    #[prost(bool, tag = "3")]
    account_fault: bool,
    #[prost(bool, tag = "4")]
    framed: bool,
}
