//! The boundary parameter of a form's content type.

use super::FormError;

/// The longest boundary, in bytes (RFC 2046 section 5.1.1).
pub const MAX_BOUNDARY_BYTES: usize = 70;

/// A boundary of the permitted characters and length. Only [`parse_boundary`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// The boundary without its leading `--`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads the boundary out of the value of `content-type`.
///
/// # Errors
/// [`FormError::Boundary`] where the value is no `multipart/form-data`, where the boundary is
/// missing, given twice or of other characters, and where the parameters are malformed.
pub fn parse_boundary(content_type: &str) -> Result<Boundary, FormError> {
    let (essence, parameters) = content_type.split_once(';').ok_or(FormError::Boundary)?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(FormError::Boundary);
    }
    let mut found = None;
    for parameter in parameters.split(';') {
        let parameter = parameter.trim_matches([' ', '\t']);
        if parameter.is_empty() {
            continue;
        }
        let (name, value) = parameter.split_once('=').ok_or(FormError::Boundary)?;
        let name = name.to_ascii_lowercase();
        if name.starts_with("boundary") && name != "boundary" {
            // `boundary*` and `boundary*0`, which some parsers put together.
            return Err(FormError::Boundary);
        }
        if name == "boundary" && found.replace(value).is_some() {
            return Err(FormError::Boundary);
        }
    }
    let value = found.ok_or(FormError::Boundary)?;
    // No boundary character needs a backslash, and `;` is none: a quoted value has no inner quotes.
    let boundary = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').ok_or(FormError::Boundary)?,
        None if value.bytes().all(is_token_byte) => value,
        None => return Err(FormError::Boundary),
    };
    let well_formed = (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len())
        && boundary.bytes().all(is_boundary_byte)
        && !boundary.ends_with(' ');
    if well_formed { Ok(Boundary(boundary.to_owned())) } else { Err(FormError::Boundary) }
}

/// What may stand unquoted, widened by the slashes, colons and the like that clients leave bare.
fn is_token_byte(byte: u8) -> bool {
    is_boundary_byte(byte) && byte != b' '
}

fn is_boundary_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'\''
                | b'('
                | b')'
                | b'+'
                | b'_'
                | b','
                | b'-'
                | b'.'
                | b'/'
                | b':'
                | b'='
                | b'?'
                | b' '
        )
}
