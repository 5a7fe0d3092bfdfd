//! Ends connections with a code of the wire and the words that belong to it.

use crate::stream::varint;
use quinn::{Connection, Endpoint};
use weft_proto::codes::CloseCode;

/// Closes one connection at once; its streams end with it. A connection that is closed already
/// stays as it is.
pub fn connection(connection: &Connection, code: CloseCode) {
    connection.close(varint(code.number()), code.reason().as_bytes());
}

/// Closes all connections of an endpoint at once, and lets no further one in.
pub fn endpoint(endpoint: &Endpoint, code: CloseCode) {
    endpoint.close(varint(code.number()), code.reason().as_bytes());
}
