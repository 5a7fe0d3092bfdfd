//! The header block of one part: which field it is.

use super::super::references::{FormField, form_field};
use super::super::{ScanError, is_utf8_charset};
use super::FormError;
use crate::objects::ObjectKind;

/// The fields that the scan reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    Stream,
    /// The id of an object of this kind.
    Reference(ObjectKind),
    #[default]
    Other,
}

/// What a `content-disposition` says.
struct Disposition {
    name: String,
    is_file: bool,
}

/// Reads a whole header block, the empty line included.
pub(super) fn field_of_part(head: &[u8]) -> Result<Field, ScanError> {
    let head = std::str::from_utf8(head).map_err(|_| FormError::PartHead)?;
    let mut found = None;
    let mut content_type = None;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        // Bare CR or LF would be a line's end to some parsers; NUL ends a string in others.
        if line.contains(['\r', '\n', '\0']) {
            return Err(FormError::PartHead.into());
        }
        // A folded line has white space where the name should be; one that begins like a boundary
        // ends the part for parsers that look for boundaries first.
        let (name, value) = line.split_once(':').ok_or(FormError::PartHead)?;
        if name.is_empty() || name.starts_with("--") || !name.bytes().all(is_token_byte) {
            return Err(FormError::PartHead.into());
        }
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" => once(&mut found, disposition(value)?)?,
            "content-type" => once(&mut content_type, value)?,
            "content-transfer-encoding"
                if !["7bit", "8bit", "binary"]
                    .iter()
                    .any(|known| value.eq_ignore_ascii_case(known)) =>
            {
                return Err(FormError::TransferEncoding.into());
            }
            _ => {}
        }
    }
    let disposition = found.ok_or(FormError::PartHead)?;
    field(&disposition, content_type)
}

fn field(disposition: &Disposition, content_type: Option<&str>) -> Result<Field, ScanError> {
    match disposition.name.as_str() {
        "model" if disposition.is_file => Err(ScanError::ModelNotText),
        "model" if content_type.is_some_and(|value| !is_plain_text(value)) => {
            Err(ScanError::ModelNotText)
        }
        "model" => Ok(Field::Model),
        "stream" if !disposition.is_file => Ok(Field::Stream),
        // As some other parser may see it: without its backslashes, percent-decoded, in another
        // case or with white space around it.
        name if plainest(name) == "model" => Err(ScanError::AmbiguousModel),
        name => reference(name, disposition.is_file, content_type),
    }
}

/// A field that may name a stored object.
fn reference(name: &str, is_file: bool, content_type: Option<&str>) -> Result<Field, ScanError> {
    // What a user calls their own metadata is their own affair.
    if name.starts_with("metadata[") {
        return Ok(Field::Other);
    }
    match form_field(name) {
        None if form_field(&plainest(name)).is_some() => Err(ScanError::AmbiguousReference),
        None => Ok(Field::Other),
        Some(FormField::Almost) => Err(ScanError::AmbiguousReference),
        Some(FormField::NoneOfTheirs) => Err(ScanError::StoredObject),
        Some(FormField::Id(_)) if is_file => Err(ScanError::ReferenceNotText),
        Some(FormField::Id(_)) if content_type.is_some_and(|value| !is_plain_text(value)) => {
            Err(ScanError::ReferenceNotText)
        }
        Some(FormField::Id(kind)) => Ok(Field::Reference(kind)),
    }
}

/// Fills a place that only one value may have.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), FormError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(FormError::PartHead),
    }
}

fn plainest(name: &str) -> String {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        rest = after;
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            (b'\\', _, _) => {}
            (other, _, _) => decoded.push(other.to_ascii_lowercase()),
        }
    }
    String::from_utf8_lossy(&decoded).trim().to_ascii_lowercase()
}

/// `form-data; name=…; filename=…`, each parameter a token or a quoted string.
fn disposition(value: &str) -> Result<Disposition, FormError> {
    let (kind, mut rest) = value.split_once(';').ok_or(FormError::PartHead)?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(FormError::PartHead);
    }
    let mut name = None;
    let mut is_file = false;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            break;
        }
        let (key, after) = rest.split_once('=').ok_or(FormError::PartHead)?;
        let (value, after) = parameter_value(after)?;
        match key.trim_end_matches([' ', '\t']).to_ascii_lowercase().as_str() {
            "name" => once(&mut name, value.to_owned())?,
            "filename" | "filename*" => is_file = true,
            // `name*` and `name*0`, which some parsers put together.
            other if other.starts_with("name") => return Err(FormError::PartHead),
            other if other.is_empty() || !other.bytes().all(is_token_byte) => {
                return Err(FormError::PartHead);
            }
            _ => {}
        }
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.strip_prefix(';') {
            Some(more) => more,
            None if after.is_empty() => after,
            None => return Err(FormError::PartHead),
        };
    }
    Ok(Disposition { name: name.ok_or(FormError::PartHead)?, is_file })
}

/// One value with its backslashes kept, and what follows it.
fn parameter_value(text: &str) -> Result<(&str, &str), FormError> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        let value = value.trim_end_matches([' ', '\t']);
        if value.is_empty() || value.contains(['"', ' ', '\t']) {
            return Err(FormError::PartHead);
        }
        return Ok((value, rest));
    };
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok((&quoted[..at], &quoted[at + 1..])),
            _ => {}
        }
    }
    Err(FormError::PartHead)
}

/// A content type under which the bytes of a field are its text.
fn is_plain_text(content_type: &str) -> bool {
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/plain")
        && parts.all(|part| match part.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                is_utf8_charset(value.trim().trim_matches('"'))
            }
            Some(_) => true,
            None => part.trim().is_empty(),
        })
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
