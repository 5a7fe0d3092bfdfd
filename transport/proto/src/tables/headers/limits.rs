//! How much header one message may carry.
//!
//! Both ends check what came in before anything else looks at it, requests and responses alike.

use http::HeaderMap;

/// The most header fields of one message; repeated names count each time.
pub const MAX_FIELDS: usize = 128;
/// The longest header name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest header value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;
/// The most header bytes of one message: names, values and [`FIELD_OVERHEAD_BYTES`] for each.
pub const MAX_TOTAL_BYTES: usize = 48 * 1024;
/// What a field costs besides name and value: `: ` and the line's end.
pub const FIELD_OVERHEAD_BYTES: usize = 4;

/// Which limit a message's headers break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeadersTooLarge {
    /// More than [`MAX_FIELDS`] fields.
    #[error("more than {MAX_FIELDS} header fields")]
    Fields,
    /// A name longer than [`MAX_NAME_BYTES`].
    #[error("a header name is longer than {MAX_NAME_BYTES} bytes")]
    Name,
    /// A value longer than [`MAX_VALUE_BYTES`].
    #[error("a header value is longer than {MAX_VALUE_BYTES} bytes")]
    Value,
    /// More than [`MAX_TOTAL_BYTES`] in all.
    #[error("the headers are larger than {MAX_TOTAL_BYTES} bytes")]
    Total,
}

/// Checks the headers of one message against every limit of this file.
///
/// # Errors
/// [`HeadersTooLarge`] names the first limit that is broken.
pub fn check(headers: &HeaderMap) -> Result<(), HeadersTooLarge> {
    if headers.len() > MAX_FIELDS {
        return Err(HeadersTooLarge::Fields);
    }
    let mut total = 0;
    for (name, value) in headers {
        if name.as_str().len() > MAX_NAME_BYTES {
            return Err(HeadersTooLarge::Name);
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(HeadersTooLarge::Value);
        }
        total += name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES;
    }
    if total > MAX_TOTAL_BYTES {
        return Err(HeadersTooLarge::Total);
    }
    Ok(())
}
