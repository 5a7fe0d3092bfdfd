//! Readers of request bodies that keep nothing: which model, streamed or not, well-formed or not.
//!
//! The gate holds back the newest read of an upload until one of these has passed it. Bodies come
//! decoded (no content coding) and in any split; what is kept of them is the model's name and,
//! for forms, the part's header block under inspection. Where two parsers could read a body
//! differently, it is refused: that is the difference between a scan and a check.

use std::fmt;

use crate::tables::routes::ModelSource;

pub mod json;
pub mod model;
pub mod multipart;

pub use model::ModelScan;
pub use multipart::MultipartScan;

/// The longest model name, in bytes of UTF-8.
pub const MAX_MODEL_BYTES: usize = 256;

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ScanError {
    /// The body is not JSON, or beyond the tokenizer's limits.
    #[error("the body is not acceptable JSON")]
    Json(#[from] json::JsonError),
    /// The body is JSON, but no object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// `model` stands in it twice.
    #[error("`model` is given twice")]
    DuplicateModel,
    /// A key or field that some parsers would take for `model` and others would not.
    #[error("a field is called almost `model`, which parsers read differently")]
    AmbiguousModel,
    /// `model` is not a string of text.
    #[error("`model` must be a string")]
    ModelNotText,
    /// `model` is longer than [`MAX_MODEL_BYTES`].
    #[error("`model` is longer than {MAX_MODEL_BYTES} bytes")]
    ModelTooLong,
    /// It names a response or a conversation that is stored at the provider: nobody knows yet whose
    /// it is.
    #[error(
        "responses and conversations stored at the provider are not available through this hub: \
         send the whole input, and leave out `previous_response_id` and `conversation`"
    )]
    StoredObject,
    /// It asks for an answer that is made, and billed, after this one.
    #[error("`background` answers are not available through this hub")]
    BilledLater,
    /// The route does not take this content type.
    #[error("this path does not take this content type")]
    ContentType,
    /// The form breaks its format, or the scan's limits.
    #[error("the body is not an acceptable form")]
    Form(#[from] multipart::FormError),
}

/// The scan that fits a request's content type and route.
pub enum BodyScan {
    /// A JSON object.
    Json(Box<ModelScan>),
    /// A form.
    Multipart(Box<MultipartScan>),
    /// Nothing is looked for: the route's model is in the path, or there is none.
    Opaque,
}

impl fmt::Debug for BodyScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(scan) => scan.fmt(f),
            Self::Multipart(scan) => scan.fmt(f),
            Self::Opaque => f.write_str("Opaque"),
        }
    }
}

impl BodyScan {
    /// The scan for a body of `content_type` (the header's value) on a route whose model is at
    /// `source`. A JSON route takes a body without a content type; every route with a form also
    /// takes JSON.
    ///
    /// # Errors
    /// [`ScanError::ContentType`] where the route takes no such body, and
    /// [`ScanError::Form`] where a form's boundary is unusable.
    pub fn for_content_type(
        content_type: Option<&str>,
        source: ModelSource,
    ) -> Result<Self, ScanError> {
        let json = || Self::Json(Box::default());
        let form = |value| {
            let boundary = multipart::parse_boundary(value)?;
            Ok(Self::Multipart(Box::new(MultipartScan::new(&boundary))))
        };
        let kind = content_type.map_or(Ok(Media::Absent), media)?;
        match (source, kind, content_type) {
            (ModelSource::Path | ModelSource::None, _, _) => Ok(Self::Opaque),
            (ModelSource::JsonBody, Media::Json | Media::Absent, _) => Ok(json()),
            (ModelSource::JsonBody, Media::Form | Media::Other, _) => Err(ScanError::ContentType),
            (ModelSource::Multipart | ModelSource::Deployment, Media::Json, _) => Ok(json()),
            (ModelSource::Multipart | ModelSource::Deployment, Media::Form, Some(value)) => {
                form(value)
            }
            (ModelSource::Deployment, Media::Absent, _) => Ok(json()),
            (ModelSource::Multipart, Media::Form | Media::Other | Media::Absent, _)
            | (ModelSource::Deployment, Media::Form | Media::Other, _) => {
                Err(ScanError::ContentType)
            }
        }
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// [`ScanError`] as soon as the body cannot be accepted any more, and the same one ever after.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        match self {
            Self::Json(scan) => scan.feed(bytes),
            Self::Multipart(scan) => scan.feed(bytes),
            Self::Opaque => Ok(()),
        }
    }

    /// The model, once its whole name has been read.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Json(scan) => scan.model(),
            Self::Multipart(scan) => scan.model(),
            Self::Opaque => None,
        }
    }

    /// Whether the body asks for a streamed answer, where it has said so yet.
    #[must_use]
    pub fn stream(&self) -> Option<bool> {
        match self {
            Self::Json(scan) => scan.stream(),
            Self::Multipart(scan) => scan.stream(),
            Self::Opaque => None,
        }
    }

    /// Ends the body: the model, or `None` where the body names none.
    ///
    /// # Errors
    /// [`ScanError`] of an earlier [`BodyScan::feed`], or that the body is incomplete.
    pub fn finish(&mut self) -> Result<Option<String>, ScanError> {
        match self {
            Self::Json(scan) => scan.finish(),
            Self::Multipart(scan) => scan.finish(),
            Self::Opaque => Ok(None),
        }
    }
}

enum Media {
    Json,
    Form,
    Other,
    Absent,
}

/// Tells the kinds apart. A character set other than UTF-8 is refused: the scan would read other
/// letters than the provider.
fn media(content_type: &str) -> Result<Media, ScanError> {
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let foreign_charset = parts.filter_map(|part| part.split_once('=')).any(|(name, value)| {
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("charset") && !is_utf8_charset(value)
    });
    if foreign_charset {
        return Err(ScanError::ContentType);
    }
    Ok(match essence.as_str() {
        "application/json" => Media::Json,
        "multipart/form-data" => Media::Form,
        other if other.starts_with("application/") && other.ends_with("+json") => Media::Json,
        _ => Media::Other,
    })
}

/// Whether text of this character set reads the same as UTF-8.
fn is_utf8_charset(name: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
