//! Belongings: the objects of an exchange, from the ids that its request names to those that its
//! answer makes known.
//!
//! What a request names is looked up before the bytes that name it go on ([`Guard`]); what an answer
//! makes known is recorded before the bytes that tell it go out ([`Keeper`]). Both see bytes pass
//! and keep none of them.

use super::later::Owing;
use super::refusal::Refusal;
use crate::objects::{Objects, Unrecorded, Unusable, Whose};
use crate::tunnel::Offer;
use futures_util::future::BoxFuture;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName, StatusCode};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weft_proto::decode::ZSTD_WINDOW_LOG_MAX;
use weft_proto::ids::ExchangeId;
use weft_proto::objects::{Found, ObjectId, ObjectKind, Reference};
use weft_proto::scan::answer::AnswerScan;
use weft_proto::tables::routes::{Match, ObjectUse, Tap};
use weft_proto::time::Timestamp;
use weft_store::Home;

/// Names objects ahead of a body that names them too late to choose an account by.
pub(super) const OBJECT_HEADER: HeaderName = HeaderName::from_static("weft-object");

/// Objects that [`OBJECT_HEADER`] may name.
const OBJECTS_AHEAD_MAX: usize = 16;

/// Objects that are recorded of one answer. What comes after is nobody's, and nobody can use it.
const OBJECTS_PER_EXCHANGE_MAX: usize = 1_024;

/// Memory in which codings of watched answers are undone, for a whole node, KiB. An answer that finds
/// no room goes on unwatched: what it makes known is nobody's.
const WATCHED_KIB_MAX: u32 = 128 * 1024;

/// What a user is told to wait while objects cannot be looked up.
const STORE_AWAY_WAIT: Duration = Duration::from_secs(1);

/// Where objects live that the account of `offer` makes.
pub(super) fn home_of(offer: &Offer) -> Home {
    Home { account: offer.account().id, owner: offer.link().owner() }
}

/// The objects that are named ahead of the body: by the path, and by the header for it.
pub(super) fn named_ahead(route: &Match, headers: &HeaderMap) -> Result<Vec<Reference>, Refusal> {
    let mut named = route.objects();
    let values = headers.get_all(OBJECT_HEADER).iter();
    let texts = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    for (index, text) in texts.enumerate() {
        let text = std::str::from_utf8(text).map(str::trim).unwrap_or_default();
        let id = ObjectId::parse(text).ok().filter(|_| index < OBJECTS_AHEAD_MAX);
        let malformed = || {
            let rule = format!("{OBJECT_HEADER} wants ids, at most {OBJECTS_AHEAD_MAX} of them");
            Refusal::malformed("object_header", rule)
        };
        named.push(Reference { kind: None, id: id.ok_or_else(malformed)? });
    }
    Ok(named)
}

/// What becomes of the objects of a planned exchange.
#[derive(Debug, Clone)]
pub(super) struct Belongings {
    objects: Objects,
    whose: Whose,
    /// What the route does with objects.
    uses: ObjectUse,
    /// The last object that the path names.
    named: Option<ObjectId>,
    /// The request asks the provider not to keep the response.
    not_stored: bool,
    /// What the response will owe, where it is billed later.
    owing: Option<Box<Owing>>,
}

impl Belongings {
    pub(super) fn new(objects: Objects, whose: Whose, route: &Match, stored: Option<bool>) -> Self {
        Self {
            objects,
            whose,
            uses: route.route.objects,
            named: route.objects().pop().map(|reference| reference.id),
            not_stored: stored == Some(false),
            owing: None,
        }
    }

    /// What the answer would owe that is billed later.
    pub(super) fn owing(mut self, owing: Option<Owing>) -> Self {
        self.owing = owing.map(Box::new);
        self
    }

    /// Whether the answer is billed later, and can be. Where it is not, something is owed only where
    /// it is cut.
    pub(super) fn bills_later(&mut self, later: bool) -> bool {
        let Some(owing) = &mut self.owing else { return false };
        owing.is_due_where(later);
        later
    }

    /// The guard over the rest of a body of which `known` is accounted for.
    pub(super) fn guard(&self, known: Vec<Reference>) -> Guard {
        Guard {
            objects: self.objects.clone(),
            whose: self.whose,
            home: None,
            known: known.into_iter().collect(),
        }
    }

    /// The provider's answer has come: what it says is deleted there is forgotten here.
    pub(super) async fn settled(&self, home: Home, status: StatusCode) -> Result<(), Refusal> {
        let gone = status.is_success() || status == StatusCode::NOT_FOUND;
        match (self.uses, &self.named) {
            (ObjectUse::Deletes, Some(id)) if gone => {
                self.objects.deleted(self.whose, home, id).await.map_err(Refusal::from)
            }
            (
                ObjectUse::None
                | ObjectUse::Makes(_)
                | ObjectUse::Reads
                | ObjectUse::Deletes
                | ObjectUse::Lists(_),
                _,
            ) => Ok(()),
        }
    }

    /// Who records what the answer makes known; `None` where it can make nothing known.
    pub(super) fn keeper(
        self,
        home: Home,
        (exchange, now): (ExchangeId, Timestamp),
        status: StatusCode,
        headers: &HeaderMap,
        watched: &Watched,
    ) -> Option<Keeper> {
        let ObjectUse::Makes(tap) = self.uses else { return None };
        if !status.is_success() {
            return None;
        }
        let scan = AnswerScan::new(tap, headers)?;
        if scan.is_blind() {
            tracing::warn!(%exchange, "the answer's coding is not known: it is not watched");
            return None;
        }
        let parts = matches!(tap, Tap::Items | Tap::ContainerFiles);
        let scan = match self.named.filter(|_| parts) {
            Some(parent) => scan.under(parent),
            None => scan,
        };
        Some(Keeper {
            objects: self.objects,
            whose: self.whose,
            home,
            exchange,
            now,
            scan: Some(scan),
            // The audio of a chat lives apart from what a chat stores.
            not_stored: self.not_stored && tap != Tap::Chat && !is_due(self.owing.as_deref()),
            // What is not kept can never be read again.
            owing: self.owing.filter(|owing| owing.is_due() || !self.not_stored),
            left: OBJECTS_PER_EXCHANGE_MAX,
            watched: watched.clone(),
            kib: decoding_kib(headers),
            room: None,
        })
    }
}

/// Looks up what a body names while it is on its way to an account.
#[derive(Debug)]
pub(super) struct Guard {
    objects: Objects,
    whose: Whose,
    /// Where the body goes.
    home: Option<Home>,
    /// What is the caller's own there, so that nothing is looked up twice.
    known: BTreeSet<Reference>,
}

impl Guard {
    /// The body goes to `home` from here on.
    pub(super) const fn goes_to(&mut self, home: Home) {
        self.home = Some(home);
    }

    /// Whether all of `named` are the caller's own, and live where the body goes.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not answered can be asked again.
    pub(super) async fn pass(&mut self, named: &[Reference]) -> Result<(), Refusal> {
        let mut fresh: Vec<_> =
            named.iter().filter(|reference| !self.known.contains(reference)).cloned().collect();
        fresh.sort_unstable();
        fresh.dedup();
        if fresh.is_empty() {
            return Ok(());
        }
        // A body that goes nowhere yet names nothing that could be anywhere else.
        let verdict = match self.home {
            Some(home) => self.objects.live_at(self.whose, home, &fresh).await,
            None => self.objects.home_of(self.whose, &fresh).await.map(drop),
        };
        verdict.map_err(|unusable| match unusable {
            Unusable::Apart => too_late(),
            Unusable::NotFound | Unusable::Unavailable => Refusal::from(unusable),
        })?;
        self.known.extend(fresh);
        Ok(())
    }
}

/// A record under way.
pub(super) type Recording = BoxFuture<'static, Result<(), Unrecorded>>;

/// Records what an answer makes known.
pub(super) struct Keeper {
    objects: Objects,
    whose: Whose,
    home: Home,
    exchange: ExchangeId,
    /// The moment of the whole answer: parts of one object are known by it.
    now: Timestamp,
    /// Until nothing more can be told.
    scan: Option<AnswerScan>,
    not_stored: bool,
    /// What the response owes, until its id is known.
    owing: Option<Box<Owing>>,
    /// Objects that may still be recorded.
    left: usize,
    watched: Watched,
    /// The memory that undoing the answer's coding takes.
    kib: u32,
    /// That memory, while there is something to undo: an answer whose user takes nothing of it must
    /// not keep it from others.
    room: Option<OwnedSemaphorePermit>,
}

/// The memory in which codings of watched answers are undone, for a whole node.
#[derive(Debug, Clone)]
pub(super) struct Watched(Arc<Semaphore>);

impl Default for Watched {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WATCHED_KIB_MAX as usize)))
    }
}

impl Watched {
    /// So much of it, where there is any left.
    fn room(&self, kib: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(kib).ok()
    }
}

/// What undoing the coding of an answer with these headers holds at most.
fn decoding_kib(headers: &HeaderMap) -> u32 {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.map(|coding| coding_kib(coding.as_bytes())).max().unwrap_or_default()
}

/// The most that undoing one coding holds, in KiB: its window, and what it needs beside it.
fn coding_kib(coding: &[u8]) -> u32 {
    const BESIDE_KIB: u32 = 64;
    match coding.trim_ascii().to_ascii_lowercase().as_slice() {
        b"identity" => 0,
        b"gzip" | b"x-gzip" | b"deflate" => BESIDE_KIB,
        b"zstd" => BESIDE_KIB + (1 << (ZSTD_WINDOW_LOG_MAX - 10)),
        // Brotli's largest window, and the bound for what nobody can undo.
        _ => BESIDE_KIB + 16 * 1024,
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Looks at bytes that are about to go out. Where they make something known, they must wait for
    /// the record that comes back; once it has its turn, it is carried through although it is dropped.
    pub(super) fn sees(&mut self, bytes: &[u8]) -> Option<Recording> {
        let scan = self.scan.as_mut()?;
        if self.room.is_none() {
            self.room = self.watched.room(self.kib);
        }
        if self.room.is_none() {
            tracing::warn!(exchange = %self.exchange, "no memory to decode the answer: it is not watched");
            self.scan = None;
            return self.owing.take().filter(|owing| owing.is_due()).map(|_| unbillable());
        }
        scan.feed(bytes);
        let mut found = scan.take_found();
        let (blind, over) = (scan.is_blind(), scan.is_over());
        if blind {
            tracing::warn!(exchange = %self.exchange, "the answer cannot be read any further: it is not watched");
        }
        if blind || over {
            (self.scan, self.room) = (None, None);
        }
        let makes = self.owing.as_ref().map_or(ObjectKind::Response, |owing| owing.makes());
        let response = found.iter().find(|found| found.kind == makes);
        let bill = match (&self.owing, response) {
            (Some(owing), Some(found)) if !owing.is_due() => {
                owing.known(self.home, found.id.clone(), self.now);
                self.owing = None;
                None
            }
            (Some(owing), Some(found)) => {
                let Some(bill) = owing.bill(self.home, found.id.clone(), self.now) else {
                    return Some(unbillable());
                };
                self.owing.take().map(|owing| (owing, bill))
            }
            // Its id will never be known.
            (Some(owing), None) if owing.is_due() && (blind || over) => {
                return Some(unbillable());
            }
            (Some(_) | None, _) => None,
        };
        found.retain(|found| !(self.not_stored && goes_with_the_response(found)));
        if found.len() > self.left {
            tracing::warn!(exchange = %self.exchange, "the answer names more objects than are kept");
            found.truncate(self.left);
        }
        if found.is_empty() {
            return None;
        }
        self.left -= found.len();
        let (objects, exchange) = (self.objects.clone(), self.exchange);
        let (whose, home, now) = (self.whose, self.home, self.now);
        Some(Box::pin(async move {
            if let Some((owing, bill)) = bill {
                owing.keep(&bill).await?;
            }
            let foreign = objects.record(whose, home, found, now).await?;
            if foreign > 0 {
                tracing::warn!(%exchange, foreign, "an answer names objects of another user");
            }
            Ok(())
        }))
    }
}

fn is_due(owing: Option<&Owing>) -> bool {
    owing.is_some_and(Owing::is_due)
}

/// An answer that is billed later, and whose response nobody could read then.
fn unbillable() -> Recording {
    Box::pin(async { Err(Unrecorded) })
}

/// What a provider does not keep where it is asked not to.
const fn goes_with_the_response(found: &Found) -> bool {
    match found.kind {
        ObjectKind::Response | ObjectKind::Item => true,
        ObjectKind::File
        | ObjectKind::Upload
        | ObjectKind::Conversation
        | ObjectKind::Container
        | ObjectKind::Batch => false,
    }
}

fn too_late() -> Refusal {
    let message = format!(
        "the body names an object of another account than the one that was chosen before it could be \
         read that far: name it in the header {OBJECT_HEADER}"
    );
    Refusal::malformed("objects_apart", message)
}

impl From<Unusable> for Refusal {
    /// What is somebody else's and what does not exist are told in the same words.
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::NotFound => Self::not_found(
                "object_not_found",
                "no such object: it does not exist, or it was not made by this user",
            ),
            Unusable::Apart => Self::malformed(
                "objects_apart",
                "the objects that this request names live under different accounts",
            ),
            Unusable::Unavailable => {
                Self::unavailable("object_store", unusable.to_string(), STORE_AWAY_WAIT)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
