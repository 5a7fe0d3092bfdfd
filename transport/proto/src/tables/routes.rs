//! Which requests pass: a closed list of (provider, method, path pattern).
//!
//! The rows are data ([`table`]); this file only matches them. Whatever no row names is refused,
//! so a route that a provider adds tomorrow stays shut until somebody has thought about who sees
//! what through it and how it is metered. Paths are the provider's own full paths, after the hub
//! has taken off its prefix (`/openai`, `/azure`, …), and they have already been through
//! [`Target::parse`](super::target::Target::parse).

use std::fmt;

use http::Method;

use crate::objects::{MAX_OBJECT_ID_BYTES, ObjectId, ObjectKind, Reference, is_object_id_byte};
use crate::provider::{Dialect, Provider};

mod forbidden;
mod query;
pub mod table;

pub use forbidden::FORBIDDEN;
pub use query::{QueryRefused, named_in_query};
pub use table::ROUTES;

/// The longest value of a `{parameter}` in a path, in bytes: as long as an object's id may be.
pub const MAX_PARAMETER_BYTES: usize = MAX_OBJECT_ID_BYTES;

/// Where a request of a route names its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelSource {
    /// The top-level `model` of a JSON body.
    JsonBody,
    /// The `model` field of a form; the same routes may also take a JSON body.
    Multipart,
    /// The `{deployment}` in an Azure path. Its owner has declared the model behind it.
    Deployment,
    /// The `{model}` in the path.
    Path,
    /// The `model` or the `deployment` in the query ([`named_in_query`]).
    Query,
    /// No model is wanted: any account of the provider may serve the request, or the one that has
    /// the objects it names.
    NotNeeded,
    /// The request names no model, so that nobody can tell which one serves it.
    None,
}

/// Who answers a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// The provider, through an agent.
    Relay,
    /// The hub, from its own tables. An agent refuses it.
    MadeByHub,
    /// The provider, through an agent, after an upgrade to a WebSocket.
    WebSocket,
    /// The hub, which lists the caller's own objects: a provider would list everybody's. An agent
    /// refuses it.
    ListedByHub,
}

/// What a route does with objects that live at the provider. Objects that a request *names* are
/// found in its path ([`Match::objects`]) and in its body ([`crate::scan::BodyScan`]) on any route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectUse {
    /// Its answers make no object known.
    None,
    /// Its answers may make objects known: new ones, or parts of one that the path names.
    Makes(Tap),
    /// It reads or changes objects that are known already.
    Reads,
    /// It deletes the last object that the path names.
    Deletes,
    /// It lists the caller's objects of one kind; the hub answers.
    Lists(ObjectKind),
}

/// The shape of an answer that makes objects known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tap {
    /// A file.
    File,
    /// An upload, and the file that it became.
    Upload,
    /// A chat completion that may hold audio, whole or as events.
    Chat,
    /// A response with its items, whole or as events.
    Response,
    /// A conversation.
    Conversation,
    /// A list of items of a response or a conversation.
    Items,
    /// A container.
    Container,
    /// A file of a container, or a list of them.
    ContainerFiles,
    /// An answer of Anthropic's Messages API, whole or as events.
    Messages,
    /// A batch, and the files of its results once they are there.
    Batch,
}

impl Tap {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::File,
        Self::Upload,
        Self::Chat,
        Self::Response,
        Self::Conversation,
        Self::Items,
        Self::Container,
        Self::ContainerFiles,
        Self::Messages,
        Self::Batch,
    ];
}

/// How an answer of a route says what it took, or that it takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metering {
    /// It costs nothing: no meter reads it.
    Free,
    /// A chat completion, or a completion of the older kind, whole or as chunks.
    Chat,
    /// An answer of the Responses API, whole or as events.
    Responses,
    /// A response that was made, and perhaps billed, before: read again, or cancelled. Its usage
    /// counts once for each response.
    StoredResponse,
    /// An answer of Anthropic's Messages API, whole or as events.
    Messages,
    /// Embeddings.
    Embeddings,
    /// Images, whole or as events.
    Images,
    /// What was said in a recording, as JSON, as events or as bare text.
    Transcription,
    /// Spoken text: events, or nothing but sound.
    Speech,
    /// The server's frames of a realtime session.
    Realtime,
    /// A container, which costs once where it is made.
    Container,
    /// A batch that is made: what it takes is told by its results.
    Batch,
    /// The results of a batch: one answer on each line. Where they are read without terms, they are
    /// billed elsewhere.
    BatchResults,
}

/// What a route's request body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// There is none.
    None,
    /// One JSON object.
    Json,
    /// One JSON object, or nothing at all.
    OptionalJson,
    /// `multipart/form-data`, or one JSON object.
    Multipart,
    /// One JSON object that holds the requests of a batch.
    Requests,
}

/// Whether a refused path is refused for the time being, or for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It shows or changes what belongs to the owner of the key alone.
    OwnerState,
    /// It reaches objects that live at the provider, of a kind of which nobody knows whose they are.
    Objects,
    /// It would let the user talk to the provider past the meter.
    PastTheMeter,
    /// It is billed later or elsewhere than in its answer.
    BilledLater,
    /// It is spoken over a WebSocket, which is not carried yet.
    WebSocket,
}

impl Reason {
    /// A sentence for the caller.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::OwnerState => "this path shows or changes the private state of the key's owner",
            Self::Objects => {
                "objects of this kind, stored at the provider, are not available through this hub"
            }
            Self::PastTheMeter => "this path would let requests go past the meter",
            Self::BilledLater => "what is billed later than its answer is not available here",
            Self::WebSocket => "WebSockets are not available here: use the HTTP API",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// One row of the list of what passes.
#[derive(Debug)]
pub struct Route {
    /// Whose path it is.
    pub provider: Provider,
    /// The one method that passes.
    pub method: Method,
    /// The path: plain segments and `{parameters}`, each of which stands for one whole segment.
    pub pattern: &'static str,
    /// The name in logs and metrics; the same for the same operation of different providers.
    pub name: &'static str,
    /// Where the request names its model.
    pub model: ModelSource,
    /// Who answers.
    pub kind: RouteKind,
    /// What the request body is.
    pub body: BodyKind,
    /// What it does with objects that live at the provider.
    pub objects: ObjectUse,
    /// How its answers are metered.
    pub metering: Metering,
}

impl Route {
    /// The dialect of the route's bodies and errors.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        dialect(self.provider, self.pattern)
    }
}

/// One row of the list of what is refused for a reason worth telling.
#[derive(Debug)]
pub struct Forbidden {
    /// Whose path it is.
    pub provider: Provider,
    /// The refused methods; none named means all.
    pub methods: &'static [Method],
    /// As in [`Route`], and a final `/**` stands for any number of further segments, or none.
    pub pattern: &'static str,
    /// Why.
    pub reason: Reason,
}

/// A request that a row of the table lets pass.
#[derive(Debug, Clone)]
pub struct Match {
    /// The row.
    pub route: &'static Route,
    /// The values of the pattern's parameters, verbatim, in the order of the path.
    pub params: Vec<(&'static str, String)>,
}

impl Match {
    /// The value of the parameter `name`, verbatim.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The model or deployment that the path itself names.
    #[must_use]
    pub fn named_in_path(&self) -> Option<&str> {
        match self.route.model {
            ModelSource::Deployment => self.param("deployment"),
            ModelSource::Path => self.param("model"),
            ModelSource::JsonBody
            | ModelSource::Multipart
            | ModelSource::Query
            | ModelSource::NotNeeded
            | ModelSource::None => None,
        }
    }

    /// The objects that the path names, in its order: the parameters that are called like a kind.
    #[must_use]
    pub fn objects(&self) -> Vec<Reference> {
        let named = self.params.iter().filter_map(|(name, value)| {
            let kind = Some(name.parse::<ObjectKind>().ok()?);
            Some(Reference { kind, id: ObjectId::parse(value).ok()? })
        });
        named.collect()
    }
}

/// Why a request is not in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteRefused {
    /// No row knows the path.
    #[error("{provider} has no such path here")]
    Unknown {
        /// Whose path was asked for.
        provider: Provider,
    },
    /// The path exists with other methods.
    #[error("this path does not take this method")]
    MethodNotAllowed {
        /// The methods that pass, for `allow`.
        allow: Vec<Method>,
    },
    /// The path is refused on purpose.
    #[error("{0}")]
    Forbidden(Reason),
}

/// Finds the row that lets `method` on `path` of `provider` pass. HEAD passes where GET does, and is
/// answered with GET's row; only an upgrade is GET's alone.
///
/// # Errors
/// [`RouteRefused`]; a row of [`FORBIDDEN`] is told apart from a path that nobody knows.
pub fn find(provider: Provider, method: &Method, path: &str) -> Result<Match, RouteRefused> {
    let mut allow = Vec::new();
    for route in ROUTES.iter().filter(|route| route.provider == provider) {
        if let Some(params) = matched(route.pattern, path) {
            let head = route.method == Method::GET && route.kind != RouteKind::WebSocket;
            if route.method == *method || (head && *method == Method::HEAD) {
                return Ok(Match { route, params });
            }
            allow.push(route.method.clone());
            if head {
                allow.push(Method::HEAD);
            }
        }
    }
    let forbidden = FORBIDDEN
        .iter()
        .filter(|row| row.provider == provider)
        .filter(|row| row.methods.is_empty() || row.methods.contains(method))
        .find(|row| matched(row.pattern, path).is_some());
    match forbidden {
        Some(row) => Err(RouteRefused::Forbidden(row.reason)),
        None if allow.is_empty() => Err(RouteRefused::Unknown { provider }),
        None => Err(RouteRefused::MethodNotAllowed { allow }),
    }
}

/// The shape in which a caller on `path` of `provider` expects errors.
#[must_use]
pub fn dialect(provider: Provider, path: &str) -> Dialect {
    match provider {
        Provider::Anthropic => Dialect::Anthropic,
        Provider::DeepSeek if path.starts_with("/anthropic/") => Dialect::Anthropic,
        Provider::OpenAi | Provider::Azure | Provider::DeepSeek => Dialect::OpenAi,
    }
}

/// The parameters, where `path` has the form of `pattern`.
fn matched(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let (pattern, open_ended) = match pattern.strip_suffix("/**") {
        Some(stem) => (stem, true),
        None => (pattern, false),
    };
    let mut params = Vec::new();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let segment = segments.next()?;
        let parameter = wanted.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match parameter {
            Some(name) if is_parameter(segment) => params.push((name, segment.to_owned())),
            Some(_) => return None,
            None if wanted == segment => {}
            None => return None,
        }
    }
    (open_ended || segments.next().is_none()).then_some(params)
}

/// Names of models, deployments and objects: nothing that any server could read as a separator.
fn is_parameter(segment: &str) -> bool {
    (1..=MAX_PARAMETER_BYTES).contains(&segment.len()) && segment.bytes().all(is_object_id_byte)
}

#[cfg(test)]
mod tests;
