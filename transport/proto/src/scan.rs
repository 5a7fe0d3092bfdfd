//! Readers of bodies that keep nothing but names.
//!
//! A request's body is read for its model, for what it says of its answer, and for the stored
//! objects that it names ([`BodyScan`]); an answer's for the objects that it makes known
//! ([`AnswerScan`]). The gate holds back the newest read of an upload until the scan has passed it.
//! Bodies come in any split; what is kept of them is a few names and, for forms, the part's header
//! block under inspection. Where two parsers could read a request's body differently, it is
//! refused: that is the difference between a scan and a check. An answer is only watched: whatever
//! it is, it goes on its way.

use std::fmt;

use crate::objects::Reference;
use crate::tables::routes::{BodyKind, ModelSource, Route};

pub mod answer;
pub mod batch;
pub mod json;
pub mod model;
pub mod multipart;
pub(crate) mod nest;
pub(crate) mod paths;
mod references;

pub use answer::AnswerScan;
pub use batch::BatchScan;
pub use model::ModelScan;
pub use multipart::MultipartScan;

/// The longest model name, in bytes of UTF-8.
pub const MAX_MODEL_BYTES: usize = 256;

/// The most objects that one body may name.
pub const REFERENCES_MAX: usize = 256;

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
    /// It names an object, stored at the provider, of a kind of which nobody knows whose it is.
    #[error("vector stores of the provider are not available through this hub")]
    StoredObject,
    /// It names what the key's owner keeps at the provider for themselves.
    #[error("prompts, skills and data sources of the key's owner are not available here")]
    OwnerState,
    /// A key that names a stored object holds something else than its id.
    #[error("a key that names a stored object must hold its id")]
    ReferenceNotText,
    /// What stands where an id belongs is no id.
    #[error("the id of a stored object is malformed")]
    BadReference,
    /// A key that names a stored object stands twice in one object.
    #[error("a key that names a stored object is given twice")]
    DuplicateReference,
    /// A key that some parsers would take for one that names a stored object, and others would not.
    #[error("a key is called almost like one that names a stored object")]
    AmbiguousReference,
    /// More than [`REFERENCES_MAX`] objects are named.
    #[error("more than {REFERENCES_MAX} stored objects are named")]
    TooManyReferences,
    /// There is a body where the route has none.
    #[error("this path takes no body")]
    UnwantedBody,
    /// It is no batch, or not one that everybody reads alike.
    #[error(
        "a batch holds its requests, each with its id and its body once, and nothing that this hub \
         does not know"
    )]
    NotABatch,
    /// A request of a batch names no model.
    #[error("a request of the batch names no model")]
    NoModel,
    /// More than [`BATCH_MODELS_MAX`](batch::BATCH_MODELS_MAX) models in one batch.
    #[error("the batch names more models than can be priced at once")]
    TooManyModels,
    /// It asks for an answer that is made, and billed, after this one.
    #[error("`background` answers are not available through this hub")]
    BilledLater,
    /// The route does not take this content type.
    #[error(
        "this path does not take this content type: send application/json, or multipart/form-data \
         where it takes files"
    )]
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
    /// The requests of a batch.
    Batch(Box<BatchScan>),
    /// No body at all: not one byte passes.
    Empty,
}

impl fmt::Debug for BodyScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(scan) => scan.fmt(f),
            Self::Multipart(scan) => scan.fmt(f),
            Self::Batch(scan) => scan.fmt(f),
            Self::Empty => f.write_str("Empty"),
        }
    }
}

impl BodyScan {
    /// The scan for a body of `content_type` (the header's value) on `route`. A JSON route takes a
    /// body without a content type; every route with a form also takes JSON.
    ///
    /// # Errors
    /// [`ScanError::ContentType`] where the route takes no such body, and
    /// [`ScanError::Form`] where a form's boundary is unusable.
    pub fn for_route(content_type: Option<&str>, route: &Route) -> Result<Self, ScanError> {
        let json = |scan| Ok(Self::Json(Box::new(scan)));
        let scan = ModelScan::new(route.dialect());
        let kind = content_type.map_or(Ok(Media::Absent), media);
        // The dated paths of Azure are listed as forms where a deployment may also be told in JSON.
        let bare_json = route.body != BodyKind::Multipart || route.model == ModelSource::Deployment;
        match (route.body, kind, content_type) {
            // What a client says of a body that it does not send is of no interest.
            (BodyKind::None, _, _) => Ok(Self::Empty),
            (_, Err(error), _) => Err(error),
            (BodyKind::Json | BodyKind::Multipart, Ok(Media::Json), _) => json(scan),
            (BodyKind::Json | BodyKind::Multipart, Ok(Media::Absent), _) if bare_json => json(scan),
            (BodyKind::OptionalJson, Ok(Media::Json | Media::Absent), _) => json(scan.optional()),
            (BodyKind::Requests, Ok(Media::Json | Media::Absent), _) => {
                Ok(Self::Batch(Box::new(BatchScan::of_requests(route.dialect()))))
            }
            (BodyKind::Multipart, Ok(Media::Form), Some(value)) => {
                let boundary = multipart::parse_boundary(value)?;
                Ok(Self::Multipart(Box::new(MultipartScan::new(&boundary))))
            }
            (
                BodyKind::Json | BodyKind::OptionalJson | BodyKind::Multipart | BodyKind::Requests,
                Ok(_),
                _,
            ) => Err(ScanError::ContentType),
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
            Self::Batch(scan) => scan.feed(bytes),
            Self::Empty if bytes.is_empty() => Ok(()),
            Self::Empty => Err(ScanError::UnwantedBody),
        }
    }

    /// The model, once its whole name has been read.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Json(scan) => scan.model(),
            Self::Multipart(scan) => scan.model(),
            // Each of its requests names one.
            Self::Batch(_) | Self::Empty => None,
        }
    }

    /// Whether the body asks for a streamed answer, where it has said so yet.
    #[must_use]
    pub fn stream(&self) -> Option<bool> {
        match self {
            Self::Json(scan) => scan.stream(),
            Self::Multipart(scan) => scan.stream(),
            Self::Batch(_) | Self::Empty => None,
        }
    }

    /// Whether the body asks for its answer to be stored, where it has said so yet.
    #[must_use]
    pub fn store(&self) -> Option<bool> {
        match self {
            Self::Json(scan) => scan.store(),
            Self::Multipart(_) | Self::Batch(_) | Self::Empty => None,
        }
    }

    /// From here on the body may ask for an answer that is made later: somebody bills it then.
    pub fn takes_later(&mut self) {
        match self {
            Self::Json(scan) => scan.takes_later(),
            Self::Multipart(_) | Self::Batch(_) | Self::Empty => {}
        }
    }

    /// The objects that the bytes read since the last call have named, in their order. A body names
    /// at most [`REFERENCES_MAX`] in all; the same one may come more than once. After the whole
    /// body has been fed, [`BodyScan::finish`] never adds one.
    #[must_use]
    pub fn take_references(&mut self) -> Vec<Reference> {
        match self {
            Self::Json(scan) => scan.take_references(),
            Self::Multipart(scan) => scan.take_references(),
            Self::Batch(scan) => scan.take_references(),
            Self::Empty => Vec::new(),
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
            Self::Batch(scan) => scan.finish().map(|()| None),
            Self::Empty => Ok(None),
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
        // `charset*` too, which some servers read.
        name.trim().to_ascii_lowercase().starts_with("charset") && !is_utf8_charset(value)
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
