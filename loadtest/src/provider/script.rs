//! Scripted answers: a test in the same process says to the byte what one request is answered, and
//! is told to the byte what came.
//!
//! The dialects of this provider answer as real ones do; a script answers as HTTP allows. A request
//! asks for its script with `x-weft-sim: script=N`, and each script is played once. Scripted
//! requests are not written down among the provider's records: their [`Ticket`] tells all of them.
//! Credentials are seen by their digests only.

mod coding;
mod flow;
mod play;

pub use coding::Coding;
pub(crate) use flow::Flow;
pub use flow::{Breath, Pieces, Split};
pub(super) use play::play;

use super::serve::CONTROL_HEADER;
use http::request::Parts;
use http::{HeaderMap, StatusCode, Version};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Bytes of an improper answer that are kept to be compared.
pub const KEPT_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// What stands before a script's number in the control header.
const WORD: &str = "script=";

/// When the answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// After the whole request.
    Read,
    /// At once; the request is read beside it.
    AtOnce,
    /// At once, and its end comes after the request's.
    Duplex,
    /// At once; the request is left unread, as by a provider that has seen enough.
    Unread,
    /// Never: the request is read, and nothing is said.
    Never,
}

/// How the length of the answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By `content-length`, of as many bytes as the coding gives.
    Length,
    /// By its end: chunks over HTTP/1.1, frames over HTTP/2.
    Chunked,
}

/// How the answer ends. All but the first come after so many bytes of it, or at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Properly.
    Proper,
    /// In an error: no last chunk, a length that is not reached, a reset stream.
    Cut(u64),
    /// In a reset of the whole connection.
    Reset(u64),
    /// As if it were proper, though the length is not reached; of use over HTTP/2.
    Short(u64),
    /// In silence; the connection stays.
    Silence(u64),
}

impl End {
    const fn after(self) -> Option<u64> {
        match self {
            Self::Proper => None,
            Self::Cut(after) | Self::Reset(after) | Self::Short(after) | Self::Silence(after) => {
                Some(after)
            }
        }
    }
}

/// What one request is answered.
pub struct Script {
    /// When.
    pub when: When,
    /// The status.
    pub status: StatusCode,
    /// The headers, and no others but those of the framing.
    pub fields: HeaderMap,
    /// The answer's pieces before the coding. Nothing of them is sent where the answer has no body.
    pub pieces: Pieces,
    /// How they are coded; the header is among `fields`.
    pub coding: Coding,
    /// Whether the coding is flushed after each piece.
    pub flush: bool,
    /// How the length is told.
    pub framing: Framing,
    /// How the coded bytes are cut into frames.
    pub split: Split,
    /// What is waited for between them.
    pub breath: Breath,
    /// The chance in cuts and waits.
    pub seed: u64,
    /// What follows a chunked answer; declared among `fields`.
    pub trailers: Option<HeaderMap>,
    /// How it ends.
    pub end: End,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script")
            .field("when", &self.when)
            .field("status", &self.status)
            .field("coding", &self.coding)
            .field("framing", &self.framing)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// The request as it came.
#[derive(Debug, Clone)]
pub struct SeenHead {
    /// Over which version of HTTP.
    pub version: Version,
    /// The method.
    pub method: http::Method,
    /// Path and query.
    pub target: String,
    /// The headers; a credential's value is `sha256:` and the digest of the key.
    pub headers: HeaderMap,
}

/// How an answer ended, as its sender saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All of it was handed over.
    Complete,
    /// The other end went before that.
    Gone,
    /// It was broken off, as the script says.
    AsScripted,
}

/// What a scripted request brought, and what was answered.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How often the script was asked for: more than once is a fault of whoever is in between.
    pub calls: u32,
    /// The request, once it has come.
    pub head: Option<SeenHead>,
    /// Bytes of its body so far.
    pub body_bytes: u64,
    /// The digest of those bytes in hex, at the end.
    pub body_sha256: Option<String>,
    /// Whether the body came to a proper end; nothing before it has ended.
    pub body_whole: Option<bool>,
    /// Trailers of the request.
    pub body_trailers: Option<HeaderMap>,
    /// Bytes of the answer handed over so far, as coded.
    pub answer_bytes: u64,
    /// The digest of those bytes in hex, at the end.
    pub answer_sha256: Option<String>,
    /// The first [`KEPT_BYTES_MAX`] of those bytes, where the answer's end is not proper.
    pub answer_kept: Vec<u8>,
    /// The length that the answer declared.
    pub declared: Option<u64>,
    /// How the answer ended; nothing before it has.
    pub ended: Option<Ended>,
}

impl Seen {
    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.ended.is_some() && self.body_whole.is_some()
    }
}

/// A script and what became of it.
pub(super) struct Slot {
    script: Mutex<Option<Script>>,
    seen: watch::Sender<Seen>,
}

/// The scripts that wait to be asked for.
#[derive(Default)]
pub(super) struct Scripts {
    last: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Arc<Slot>>>,
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripts").field("waiting", &self.waiting().len()).finish()
    }
}

impl Scripts {
    /// Takes a script in. It is forgotten with its ticket.
    pub(super) fn add(self: &Arc<Self>, script: Script) -> Ticket {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let seen = watch::Sender::new(Seen::default());
        let watched = seen.subscribe();
        let slot = Arc::new(Slot { script: Mutex::new(Some(script)), seen });
        self.waiting().insert(number, slot);
        Ticket { number, scripts: Arc::clone(self), seen: watched }
    }

    /// The script that a request asks for; nothing where it asks for none that is known.
    pub(super) fn asked(&self, head: &Parts) -> Option<Arc<Slot>> {
        let control = head.headers.get(CONTROL_HEADER)?.to_str().ok()?;
        let number = control.strip_prefix(WORD)?.parse().ok()?;
        self.waiting().get(&number).map(Arc::clone)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Slot>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hold of whoever wrote a script. Dropped, the script is forgotten.
#[derive(Debug)]
pub struct Ticket {
    number: u64,
    scripts: Arc<Scripts>,
    seen: watch::Receiver<Seen>,
}

impl Ticket {
    /// The value of [`CONTROL_HEADER`] that asks for the script.
    #[must_use]
    pub fn control(&self) -> String {
        format!("{WORD}{}", self.number)
    }

    /// What has come of it so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// The same, to be watched.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }

    /// Waits until `found` says so, and returns what has come of it. The caller sets the limit.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn when(&mut self, found: impl FnMut(&Seen) -> bool) -> Seen {
        // An error means that nobody is left who could add anything.
        drop(self.seen.wait_for(found).await);
        self.seen()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.scripts.waiting().remove(&self.number);
    }
}
