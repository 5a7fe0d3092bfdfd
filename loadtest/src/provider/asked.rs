//! What a request's body asks for: the few fields that change an answer.
//!
//! The rest of the body is skipped, not kept.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

/// The fields that are read. Unknown ones are skipped; a repeated one is an error.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    pub(crate) model: Option<String>,
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    pub(crate) encoding_format: Option<String>,
    pub(crate) dimensions: Option<u32>,
    pub(crate) stream_format: Option<String>,
    pub(crate) response_format: Option<Value>,
    pub(crate) background: Option<bool>,
    input: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Inputs of one embeddings request that are answered; more is a 400.
pub(crate) const EMBEDDINGS_MAX: usize = 2_048;

#[derive(Debug, Deserialize)]
struct Inputs {
    input: Value,
}

/// A body that is not what its content type says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskedError {
    #[error("the body is not the JSON of this endpoint")]
    Json(#[from] serde_json::Error),
    #[error("the multipart body has no boundary or no parts")]
    Multipart,
}

impl Asked {
    /// Reads `body` by the content type in `headers`; an empty body asks for nothing.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, AskedError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if kind.starts_with("multipart/") {
            let boundary = kind.split_once("boundary=").ok_or(AskedError::Multipart)?.1;
            let boundary = boundary.split(';').next().unwrap_or_default().trim_matches('"');
            return Self::from_parts(body, boundary);
        }
        Ok(serde_json::from_slice(body)?)
    }

    pub(crate) fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub(crate) fn includes_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// Whether speech is to come as events.
    pub(crate) fn speech_events(&self) -> bool {
        self.stream_format.as_deref() == Some("sse")
    }

    /// Characters of a text that is the whole input.
    pub(crate) fn characters(&self) -> u64 {
        let text = self.input.as_ref().and_then(Value::as_str);
        text.map_or(0, |text| text.chars().count() as u64)
    }

    fn from_parts(body: &[u8], boundary: &str) -> Result<Self, AskedError> {
        let delimiter = format!("--{boundary}");
        let starts: Vec<usize> = memmem::find_iter(body, delimiter.as_bytes()).collect();
        if boundary.is_empty() || starts.len() < 2 {
            return Err(AskedError::Multipart);
        }
        let mut asked = Self::default();
        for pair in starts.windows(2) {
            let part = &body[pair[0] + delimiter.len()..pair[1]];
            let Some(end) = memmem::find(part, b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&part[..end]).into_owned();
            let value = String::from_utf8_lossy(part[end + 4..].trim_ascii_end());
            if head.contains("filename=") {
                continue;
            }
            if head.contains("name=\"model\"") {
                asked.model = Some(value.into_owned());
            } else if head.contains("name=\"stream\"") {
                asked.stream = Some(value.eq_ignore_ascii_case("true"));
            } else if head.contains("name=\"response_format\"") {
                asked.response_format = Some(Value::from(value.into_owned()));
            }
        }
        Ok(asked)
    }
}

/// How many vectors an embeddings request wants; nothing for a malformed one.
pub(crate) fn embedding_inputs(body: &[u8]) -> Option<usize> {
    let Inputs { input } = serde_json::from_slice(body).ok()?;
    let count = match &input {
        Value::String(_) => 1,
        Value::Array(items) if items.iter().all(Value::is_number) => 1,
        Value::Array(items) => items.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    (1..=EMBEDDINGS_MAX).contains(&count).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_body_gives_its_model_even_behind_the_file() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "multipart/form-data; boundary=xyz".parse().unwrap());
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\
            \x00\x01\r\n--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
            --xyz\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--xyz--\r\n";
        let asked = Asked::parse(&headers, body).unwrap();
        assert_eq!(asked.model.as_deref(), Some("whisper-1"));
        assert!(asked.streams());
        assert!(Asked::parse(&headers, b"no parts").is_err());
    }

    #[test]
    fn a_second_model_key_is_refused() {
        let headers = HeaderMap::new();
        assert!(Asked::parse(&headers, br#"{"model":"a","model":"b"}"#).is_err());
    }
}
