//! Which headers travel, and which end here: one table for both ends and both directions.
//!
//! What no row names is end-to-end and passes unchanged. Names are lower case, as HTTP/2 and
//! HTTP/3 write them; values are never touched and keep the order in which they came. Nothing is
//! forged here: the agent adds the provider's credential ([`credential`]) and [`VIA`], the hub its
//! own `weft-…` response headers, and both do that after these functions.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::provider::Provider;
use crate::websocket::handshake;

pub mod limits;
mod table;

pub use table::ROWS;

/// What Weft adds to a forwarded request, so that the provider sees that a gateway stands between:
/// the protocol that was received and a pseudonym. The user's own `via` is dropped.
pub const VIA: &str = "1.1 weft";

/// The prefix of the headers that are Weft's own, in both directions.
pub const WEFT_PREFIX: &str = "weft-";

/// What becomes of a header in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Goes on unchanged.
    Pass,
    /// Ends here.
    Drop,
    /// Becomes exactly `trailers` where one of its values says so, and ends here otherwise.
    TrailersOnly,
    /// Goes on where the exchange opens a WebSocket, and ends here otherwise. What would name the
    /// user's key or the owner's scope among the sub-protocols ends here in any case.
    UpgradeOnly,
}

/// One row: a header name, or a prefix that ends with `*`, and its fate in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The name in lower case, or a prefix with a final `*`.
    pub name: &'static str,
    /// Towards the provider.
    pub request: Fate,
    /// Towards the user.
    pub response: Fate,
    /// Why.
    pub reason: Why,
}

impl Row {
    /// Whether the row speaks of `name`, which is in lower case.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == self.name,
        }
    }
}

/// Why a header has the fate it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It belongs to one connection, not to the message.
    HopByHop,
    /// The next hop needs its own: the agent sets the host of its table.
    Addressing,
    /// It is a credential: the user's ends at the hub, the agent adds the provider's.
    Credential,
    /// It chooses among the key owner's organisations, projects or profiles: the owner's choice.
    OwnerScope,
    /// It tells the user who owns the key.
    NamesTheOwner,
    /// It ties requests to a browser session.
    Cookie,
    /// It reveals the user's network or how the request came here.
    Network,
    /// It describes the browser page that made the request.
    Browser,
    /// It is a rule about the transport or the origin that the user's client would apply to the
    /// hub.
    TransportPolicy,
    /// It is Weft's own, and no other party may set it.
    Weft,
    /// It is answered by the hub, which is the origin to the client.
    AnsweredByHub,
    /// It is agreed on by the two ends of a WebSocket, and means nothing without one.
    Handshake,
    /// It belongs to the message and reaches the other end verbatim.
    EndToEnd,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Request,
    Response,
}

/// Whether a message is one of the two that open a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    Nothing,
    WebSocket,
}

/// The headers of a request as they may go on towards the provider.
///
/// Besides the rows of [`ROWS`], every header that `connection` names is dropped.
#[must_use]
pub fn request_headers(headers: &HeaderMap) -> HeaderMap {
    filtered(headers, Direction::Request, Opens::Nothing)
}

/// The same of a request that asks for a WebSocket: the handshake's own headers go on too. The two
/// that ask for it, `connection` and `upgrade`, are each hop's own.
#[must_use]
pub fn upgrade_request_headers(headers: &HeaderMap) -> HeaderMap {
    filtered(headers, Direction::Request, Opens::WebSocket)
}

/// The headers of a response as they may go on towards the user.
///
/// Besides the rows of [`ROWS`], every header that `connection` names is dropped.
#[must_use]
pub fn response_headers(headers: &HeaderMap) -> HeaderMap {
    filtered(headers, Direction::Response, Opens::Nothing)
}

/// The same of a response that switched to a WebSocket.
#[must_use]
pub fn upgrade_response_headers(headers: &HeaderMap) -> HeaderMap {
    filtered(headers, Direction::Response, Opens::WebSocket)
}

fn filtered(headers: &HeaderMap, direction: Direction, opens: Opens) -> HeaderMap {
    let named_in_connection = connection_options(headers);
    let mut out = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        match fate(name, direction) {
            Fate::Drop => {}
            // `te` is named in `connection` by rule, and its one end-to-end value is made anew.
            Fate::TrailersOnly => {
                if lists_trailers(value) {
                    out.insert(name.clone(), HeaderValue::from_static("trailers"));
                }
            }
            Fate::UpgradeOnly if opens == Opens::Nothing => {}
            Fate::Pass | Fate::UpgradeOnly if named_in_connection.contains(name) => {}
            Fate::UpgradeOnly if name == header::SEC_WEBSOCKET_PROTOCOL => {
                if let Some(value) = handshake::forwarded_protocols(value) {
                    out.append(name.clone(), value);
                }
            }
            Fate::UpgradeOnly => {
                out.append(name.clone(), value.clone());
            }
            Fate::Pass => {
                out.append(name.clone(), value.clone());
            }
        }
    }
    out
}

fn fate(name: &HeaderName, direction: Direction) -> Fate {
    ROWS.iter().find(|row| row.covers(name.as_str())).map_or(Fate::Pass, |row| match direction {
        Direction::Request => row.request,
        Direction::Response => row.response,
    })
}

/// The header names that the sender has declared to be for this hop alone. Options that are no
/// header names (there are none worth keeping) are passed over.
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        .collect()
}

fn lists_trailers(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// How a provider's credential is written in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The header that carries it.
    pub header: HeaderName,
    /// What stands before the key in the header's value; empty where the key stands alone.
    pub prefix: &'static str,
}

/// How an agent places its key for `provider`.
#[must_use]
pub const fn credential(provider: Provider) -> Credential {
    match provider {
        Provider::OpenAi | Provider::DeepSeek => {
            Credential { header: header::AUTHORIZATION, prefix: "Bearer " }
        }
        Provider::Azure => Credential { header: HeaderName::from_static("api-key"), prefix: "" },
        Provider::Anthropic => {
            Credential { header: HeaderName::from_static("x-api-key"), prefix: "" }
        }
    }
}

#[cfg(test)]
mod tests;
