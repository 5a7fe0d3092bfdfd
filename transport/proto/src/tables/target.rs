//! The one form of request target that Weft forwards.
//!
//! Two parsers that read a path differently are the oldest way round an allow list. So there is
//! no normalising here: a target either reads the same to everybody, or it is refused. What is
//! accepted goes on verbatim, byte for byte.

use std::fmt;

/// The longest request target, path and query together, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// How often a parameter name is percent-decoded in search of a hidden key.
const MAX_DECODE_ROUNDS: usize = 3;

/// Names of query parameters that carry credentials, in lower case, letters and digits only.
const KEY_PARAMETERS: [&str; 8] = [
    "key",
    "apikey",
    "xapikey",
    "accesstoken",
    "subscriptionkey",
    "ocpapimsubscriptionkey",
    "authorization",
    "clientsecret",
];

/// Why a request target is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TargetRefused {
    /// Longer than [`MAX_TARGET_BYTES`].
    #[error("the request target is longer than {MAX_TARGET_BYTES} bytes")]
    TooLong,
    /// Not a path: absolute, authority or asterisk form, or empty.
    #[error("the request target must be a path that begins with `/`")]
    NotOriginForm,
    /// A control character, a space, or a byte beyond ASCII.
    #[error("the request target holds a character that must be percent-encoded")]
    ForbiddenCharacter,
    /// A `#`, which no request line carries.
    #[error("the request target holds a fragment")]
    Fragment,
    /// A backslash, which some servers read as a slash.
    #[error("the request target holds a backslash")]
    Backslash,
    /// A `.` or `..` segment.
    #[error("the path holds a `.` or `..` segment")]
    DotSegment,
    /// `//`, which some servers merge.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// A `%` that two hex digits do not follow.
    #[error("the request target holds a broken percent-encoding")]
    BrokenEncoding,
    /// The path encodes a character that must stand plain, or whose decoding would change the
    /// routing: letters, digits, `-._~`, `/`, `\`, `%`, and control characters.
    #[error("the path percent-encodes a character that would change its meaning")]
    DeceptiveEncoding,
    /// The query carries a credential, where logs would keep it.
    #[error("the query carries a key: send it in a header")]
    KeyInQuery,
}

/// A request target in its one strict form: `/path` or `/path?query`.
///
/// Its `Debug` and `Display` show the path alone: a query may hold what a user typed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    text: String,
    path_len: usize,
}

impl Target {
    /// Accepts `text` if every HTTP parser would read it alike.
    ///
    /// # Errors
    /// [`TargetRefused`] names the first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, TargetRefused> {
        if text.len() > MAX_TARGET_BYTES {
            return Err(TargetRefused::TooLong);
        }
        if !text.starts_with('/') {
            return Err(TargetRefused::NotOriginForm);
        }
        for byte in text.bytes() {
            check_byte(byte)?;
        }
        let path_len = text.find('?').unwrap_or(text.len());
        let (path, query) = text.split_at(path_len);
        check_path(path)?;
        if let Some(query) = query.strip_prefix('?') {
            check_query(query)?;
        }
        Ok(Self { text: text.to_owned(), path_len })
    }

    /// The path, verbatim; begins with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[..self.path_len]
    }

    /// The query, verbatim and without its `?`. An empty query (`/path?`) is `Some("")`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.text[self.path_len..].strip_prefix('?')
    }

    /// The whole target, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value of the first query parameter called `name`, still percent-encoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query()?.split('&').find_map(|pair| {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            (found == name).then_some(value)
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("path", &self.path())
            .field("query_bytes", &self.query().map(str::len))
            .finish()
    }
}

fn check_byte(byte: u8) -> Result<(), TargetRefused> {
    match byte {
        b'#' => Err(TargetRefused::Fragment),
        b'\\' => Err(TargetRefused::Backslash),
        b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
            Err(TargetRefused::ForbiddenCharacter)
        }
        0x21..=0x7e => Ok(()),
        _ => Err(TargetRefused::ForbiddenCharacter),
    }
}

fn check_path(path: &str) -> Result<(), TargetRefused> {
    if path.contains("//") {
        return Err(TargetRefused::EmptySegment);
    }
    if path.split('/').any(is_dot_segment) {
        return Err(TargetRefused::DotSegment);
    }
    if path.contains(['[', ']']) {
        return Err(TargetRefused::ForbiddenCharacter);
    }
    for part in path.split('%').skip(1) {
        let byte = encoded_byte(part.as_bytes()).ok_or(TargetRefused::BrokenEncoding)?;
        let deceptive = byte.is_ascii_alphanumeric()
            || byte.is_ascii_control()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\' | b'%');
        if deceptive {
            return Err(TargetRefused::DeceptiveEncoding);
        }
    }
    Ok(())
}

/// `.`, `..`, and both with a `;parameter`, which some servers cut off before they resolve dots.
fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.split(';').next(), Some("." | ".."))
}

fn check_query(query: &str) -> Result<(), TargetRefused> {
    if query.split('%').skip(1).any(|part| encoded_byte(part.as_bytes()).is_none()) {
        return Err(TargetRefused::BrokenEncoding);
    }
    // A second `?` and a `;` start a parameter for some parsers.
    for pair in query.split(['&', ';', '?']) {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if names_a_key(name) {
            return Err(TargetRefused::KeyInQuery);
        }
    }
    Ok(())
}

fn names_a_key(name: &str) -> bool {
    let mut name = name.as_bytes().to_vec();
    for _ in 0..MAX_DECODE_ROUNDS {
        if !name.contains(&b'%') {
            break;
        }
        name = percent_decoded(&name);
    }
    let bare: String = name
        .iter()
        .take_while(|byte| !matches!(byte, b'[' | b'='))
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    KEY_PARAMETERS.contains(&bare.as_str())
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match (first, encoded_byte(after)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

/// The byte that the two hex digits at the front stand for.
fn encoded_byte(after_percent: &[u8]) -> Option<u8> {
    let hex = |at: usize| after_percent.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let value = hex(0)? * 16 + hex(1)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests;
