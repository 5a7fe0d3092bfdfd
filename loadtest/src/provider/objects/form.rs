//! The parts of a form that carries a file.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;

/// One part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) filename: Option<&'a str>,
    pub(super) bytes: &'a [u8],
}

impl<'a> Part<'a> {
    /// The value of a part that is text.
    pub(super) fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes).ok()
    }
}

/// The parts of `body` in their order; nothing where it is no form.
pub(super) fn parts<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<Vec<Part<'a>>> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    if !kind.starts_with("multipart/form-data") {
        return None;
    }
    let boundary = kind.split_once("boundary=")?.1;
    let boundary = boundary.split(';').next().unwrap_or_default().trim().trim_matches('"');
    let delimiter = format!("--{boundary}");
    let inner = format!("\r\n{delimiter}");
    let mut rest = body.get(memmem::find(body, delimiter.as_bytes())? + delimiter.len()..)?;
    let mut parts = Vec::new();
    while let Some(end) = memmem::find(rest, inner.as_bytes()) {
        parts.extend(part(&rest[..end]));
        rest = &rest[end + inner.len()..];
        if rest.starts_with(b"--") {
            break;
        }
    }
    (!parts.is_empty()).then_some(parts)
}

/// A part: the bytes from behind its delimiter to the next.
fn part(bytes: &[u8]) -> Option<Part<'_>> {
    let end = memmem::find(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let disposition =
        head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let value = |key: &str| {
        let start = disposition.find(&format!("; {key}="))? + key.len() + 3;
        let rest = disposition.get(start..)?;
        match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split(';').next(),
        }
    };
    Some(Part { name: value("name")?, filename: value("filename"), bytes: &bytes[end + 4..] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_gives_its_parts_with_their_bytes_untouched() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "multipart/form-data; boundary=\"xyz\"".parse().unwrap());
        let body =
            b"--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n\
            --xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\x00--xyz\r\n\xff\r\n\r\n--xyz--\r\n";
        let parts = parts(&headers, body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name, parts[0].text()), ("purpose", Some("user_data")));
        assert_eq!((parts[1].name, parts[1].filename), ("file", Some("a.bin")));
        assert_eq!(parts[1].bytes, b"\x00--xyz\r\n\xff\r\n");
        assert!(super::parts(&HeaderMap::new(), body).is_none());
    }
}
