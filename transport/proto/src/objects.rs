//! Objects that live at a provider: their kinds, their ids, and how requests and answers name them.
//!
//! Files, stored responses, conversations and the like are kept under the account of the key's
//! owner and can be read by whoever uses that key. The hub makes them belong to the user who made
//! them; these are the words in which a request's references and an answer's new ids are told.
//! Nothing here knows whose an object is.

use std::fmt;
use std::str::FromStr;

/// The longest id, in bytes.
pub const MAX_OBJECT_ID_BYTES: usize = 128;

/// What lives at a provider.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// A file, in a container too.
    File,
    /// A file that is being uploaded in parts.
    Upload,
    /// A stored response.
    Response,
    /// A conversation.
    Conversation,
    /// A container in which a provider's tools run.
    Container,
    /// One item of a stored response or of a conversation: a message, a call, its reasoning; also
    /// the audio of a chat's message.
    Item,
    /// A batch of requests that are answered later.
    Batch,
}

/// A word that names no kind of object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of object {0:?}")]
pub struct UnknownObjectKind(String);

impl ObjectKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::File,
        Self::Upload,
        Self::Response,
        Self::Conversation,
        Self::Container,
        Self::Item,
        Self::Batch,
    ];

    /// The lower-case name: the one in path patterns, tables, logs and metrics. It never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Upload => "upload",
            Self::Response => "response",
            Self::Conversation => "conversation",
            Self::Container => "container",
            Self::Item => "item",
            Self::Batch => "batch",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ObjectKind {
    type Err = UnknownObjectKind;

    fn from_str(text: &str) -> Result<Self, UnknownObjectKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownObjectKind(text.chars().take(64).collect()))
    }
}

/// A text that no provider would give out as an id, or that is too long for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: want 1 to {MAX_OBJECT_ID_BYTES} letters, digits or `_.:-`")]
pub struct InvalidObjectId(());

/// A provider's own id of one of its objects: 1 to [`MAX_OBJECT_ID_BYTES`] of `[A-Za-z0-9_.:-]`.
///
/// The alphabet is that of a path's `{parameter}`: nothing that anybody could read as a separator,
/// so that an id found in a body and the same id in a path are the same text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(Box<str>);

impl ObjectId {
    /// Accepts `text` as an id.
    ///
    /// # Errors
    /// [`InvalidObjectId`] where it is empty, too long, or of other characters.
    pub fn parse(text: &str) -> Result<Self, InvalidObjectId> {
        let well_formed =
            (1..=MAX_OBJECT_ID_BYTES).contains(&text.len()) && text.bytes().all(is_object_id_byte);
        if well_formed { Ok(Self(text.into())) } else { Err(InvalidObjectId(())) }
    }

    /// The id as the provider writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a byte may stand in an id.
#[must_use]
pub(crate) const fn is_object_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':')
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(text: &str) -> Result<Self, InvalidObjectId> {
        Self::parse(text)
    }
}

/// An object that a request names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// What it is, where the place that names it says so.
    pub kind: Option<ObjectKind>,
    /// Which one.
    pub id: ObjectId,
}

/// An object whose id an answer has made known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Found {
    /// What it is.
    pub kind: ObjectKind,
    /// Which one.
    pub id: ObjectId,
    /// The response, conversation or container that it is part of, where the answer says so.
    pub parent: Option<ObjectId>,
    /// Its size in bytes, where the answer has said so by now.
    pub bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_a_path_could_hold() {
        for good in ["file-abc123", "resp_68", "a", "msg_1.x:y-Z", &"x".repeat(128)] {
            assert_eq!(ObjectId::parse(good).expect("an id").as_str(), good);
            assert_eq!(good.parse::<ObjectId>().expect("an id").to_string(), good);
        }
        let long = "x".repeat(129);
        for bad in
            ["", " ", "a b", "a/b", "a%2fb", "a?b", "a\0", "é", "a\n", "\"", "'--", "a,b", &long]
        {
            assert!(ObjectId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_names_of_kinds_are_read_back() {
        for kind in ObjectKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("File".parse::<ObjectKind>().is_err());
        assert!("".parse::<ObjectKind>().is_err());
    }
}
