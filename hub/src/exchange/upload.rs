//! The gate: a user's body on its way to an agent, never ahead of its own verdict.
//!
//! Each read is scanned before it is forwarded, so that the newest read is always held back until
//! the gate has passed what it holds: a body that turns out to be malformed, to name a second model
//! or somebody else's object, never becomes a whole request at the provider. What was read first is
//! kept, up to [`REPLAY_BYTES_MAX`], for another attempt.

use super::belongings::Guard;
use super::refusal::Refusal;
use super::till::{Reading, not_priced};
use crate::pricing::Quote;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::collections::BTreeSet;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_proto::codes::AbortCode;
use weft_proto::limits::REPLAY_BYTES_MAX;
use weft_proto::objects::Reference;
use weft_proto::scan::{BodyScan, ScanError};
use weft_store::Home;
use weft_transport::exchange::RequestWriter;

/// A read below this many bytes is copied together with its neighbours where it is kept: what is
/// kept must not cost more than its bytes.
const SMALL_READ_BYTES: usize = 4 * 1024;

/// What bounds an upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct UploadLimits {
    /// Longest silence of the user.
    pub(super) idle: Duration,
    /// Longest wait for the agent to take a read.
    pub(super) stall: Duration,
    /// Longest body.
    pub(super) bytes: u64,
}

/// Why a body goes no further.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The gate refuses it.
    Refused(Refusal),
    /// The user's connection broke, or broke the rules of HTTP.
    Broken,
}

/// How forwarding a body to one agent ended.
#[derive(Debug)]
pub(super) enum Forwarded {
    /// The agent has all of it.
    Whole,
    /// The agent wants no more of it, and says by its answer or a reset why.
    Unwanted,
    /// The agent took nothing for the stall limit: its provider does not read.
    Stuck,
    /// It goes no further.
    Stopped(Stopped),
}

/// A body under the gate.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    scan: BodyScan,
    /// Who meters it, where it costs.
    reading: Option<Reading>,
    limits: UploadLimits,
    /// Bytes taken from the user so far, as the record of the exchange sees them too.
    taken: Arc<AtomicU64>,
    /// The model that routing was told of by a header; the body may name no other.
    expected: Option<String>,
    /// What prices the model that the body has yet to name: one without a price is refused.
    late: Option<Quote>,
    /// The objects that the body has named and on which there is no verdict yet.
    named: Vec<Reference>,
    /// Who gives it, once an account is chosen.
    guard: Option<Guard>,
    /// The newest read, until then.
    held: Option<Bytes>,
    kept: Kept,
    ended: bool,
}

/// What was read first, for another attempt.
#[derive(Debug)]
struct Kept {
    /// Bytes that are kept at most.
    max: usize,
    reads: Vec<Bytes>,
    /// Small reads, gathered.
    tail: BytesMut,
    bytes: usize,
    /// Something was read that is not here.
    lost: bool,
}

impl Default for Kept {
    fn default() -> Self {
        let (reads, tail) = (Vec::new(), BytesMut::new());
        Self { max: REPLAY_BYTES_MAX, reads, tail, bytes: 0, lost: false }
    }
}

impl Kept {
    /// Keeps a read, while there is room; what one read brings over the limit is still kept. A body
    /// that is not kept whole is of no more use here.
    fn keep(&mut self, read: Bytes) {
        if self.lost || self.bytes >= self.max {
            *self = Self { lost: true, max: self.max, ..Self::default() };
            return;
        }
        self.bytes += read.len();
        if read.len() < SMALL_READ_BYTES {
            self.tail.extend_from_slice(&read);
            return;
        }
        self.gather();
        self.reads.push(read);
    }

    /// Makes all that is kept readable as reads.
    fn gather(&mut self) {
        if !self.tail.is_empty() {
            self.reads.push(mem::take(&mut self.tail).freeze());
        }
    }
}

impl Upload {
    pub(super) fn new(
        body: Body,
        scan: BodyScan,
        limits: UploadLimits,
        taken: Arc<AtomicU64>,
    ) -> Self {
        Self {
            body,
            scan,
            reading: None,
            limits,
            taken,
            expected: None,
            late: None,
            named: Vec::new(),
            guard: None,
            held: None,
            kept: Kept::default(),
            ended: false,
        }
    }

    /// From here on the body is kept whole, up to its limit of `bytes`: it is known to its end before
    /// anything of it goes on.
    pub(super) fn kept_whole(&mut self, bytes: u64) {
        self.limits.bytes = self.limits.bytes.min(bytes);
        // One more, so that what just fits is read to its end.
        let max = self.limits.bytes.saturating_add(1);
        self.kept.max = usize::try_from(max).unwrap_or(usize::MAX);
    }

    /// From here on `reading` sees what is read.
    pub(super) fn metered_by(&mut self, reading: Option<Reading>) {
        self.reading = reading;
    }

    /// Holds the rest of the body to `model`, which was named outside of it.
    ///
    /// # Errors
    /// [`Stopped::Refused`] where the body has named another one already.
    pub(super) fn expect(&mut self, model: String) -> Result<(), Stopped> {
        self.expected = Some(model);
        self.hold_to_expected()
    }

    /// From here on the body may name such models only as have a price by `late`.
    pub(super) fn priced_by(&mut self, late: Option<Quote>) {
        self.late = late;
    }

    /// Reads until the body has ended or the replay buffer is full: what can be known, of the model
    /// and of objects, before an account is chosen.
    pub(super) async fn peek(&mut self) -> Result<(), Stopped> {
        let opaque = matches!(self.scan, BodyScan::Empty);
        while !opaque && self.kept.bytes < self.kept.max {
            match self.read().await? {
                Some(bytes) => self.kept.keep(bytes),
                None => break,
            }
        }
        Ok(())
    }

    /// The model that the body has named so far.
    pub(super) fn model(&self) -> Option<&str> {
        self.scan.model()
    }

    /// What was kept of the body: all of it, where it was to be [`kept_whole`](Self::kept_whole).
    pub(super) fn kept_bytes(&mut self) -> Bytes {
        self.kept.gather();
        self.kept.reads.concat().into()
    }

    /// The models that the requests of a batch have named so far; `None` where it is none.
    pub(super) fn batch_models(&self) -> Option<&BTreeSet<String>> {
        match &self.scan {
            BodyScan::Batch(scan) => Some(scan.models()),
            BodyScan::Json(_) | BodyScan::Multipart(_) | BodyScan::Empty => None,
        }
    }

    /// Whether the body has asked the provider to store the response, where it has said so yet.
    pub(super) fn store(&self) -> Option<bool> {
        self.scan.store()
    }

    /// The objects that the body has named so far. Whoever takes them answers for them.
    pub(super) fn take_named(&mut self) -> Vec<Reference> {
        mem::take(&mut self.named)
    }

    /// From here on `guard` gives the verdict on what the body names.
    pub(super) fn guarded_by(&mut self, guard: Guard) {
        self.guard = Some(guard);
    }

    /// Whether all that was forwarded is still at hand.
    pub(super) const fn replay_whole(&self) -> bool {
        !self.kept.lost
    }

    /// Forwards the body to the account at `home`: what was kept, then each further read when the
    /// gate has passed it. Comes back with the upload, for another attempt; at once when `recalled`.
    pub(super) async fn forward(
        mut self,
        mut writer: RequestWriter,
        home: Home,
        recalled: CancellationToken,
    ) -> (Self, Forwarded) {
        if let Some(guard) = &mut self.guard {
            guard.goes_to(home);
        }
        let forwarded = tokio::select! {
            biased;
            () = recalled.cancelled() => Forwarded::Unwanted,
            forwarded = self.forward_to(&mut writer) => forwarded,
        };
        match &forwarded {
            Forwarded::Whole | Forwarded::Unwanted => {}
            Forwarded::Stuck => writer.abort(AbortCode::Deadline),
            // The reset must be out before anybody can mistake the silence for an end.
            Forwarded::Stopped(Stopped::Refused(_)) => writer.abort(AbortCode::Gate),
            Forwarded::Stopped(Stopped::Broken) => writer.abort(AbortCode::UserAbort),
        }
        (self, forwarded)
    }

    async fn forward_to(&mut self, writer: &mut RequestWriter) -> Forwarded {
        self.kept.gather();
        for read in self.kept.reads.clone() {
            if let Err(forwarded) = send(writer, read, self.limits.stall).await {
                return forwarded;
            }
        }
        let mut stopped = pin!(writer.stopped());
        while !self.is_done() {
            let read = tokio::select! {
                biased;
                _ = &mut stopped => return Forwarded::Unwanted,
                read = self.read() => read,
            };
            let bytes = match read {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(stopped) => return Forwarded::Stopped(stopped),
            };
            self.kept.keep(bytes.clone());
            if let Err(forwarded) = send(writer, bytes, self.limits.stall).await {
                return forwarded;
            }
        }
        if writer.finish().is_ok() { Forwarded::Whole } else { Forwarded::Unwanted }
    }

    /// Whether there is nothing left to read, and no verdict left to wait for.
    const fn is_done(&self) -> bool {
        self.ended && self.held.is_none() && self.named.is_empty()
    }

    /// One read, passed by the gate; `None` at the body's end. Cancel safe: what waits for a verdict
    /// is held here.
    async fn read(&mut self) -> Result<Option<Bytes>, Stopped> {
        loop {
            if let Some(guard) = &mut self.guard {
                guard.pass(&self.named).await.map_err(Stopped::Refused)?;
                self.named.clear();
            }
            if let Some(bytes) = self.held.take() {
                return Ok(Some(bytes));
            }
            if self.ended {
                return Ok(None);
            }
            let frame = tokio::time::timeout(self.limits.idle, self.body.frame())
                .await
                .map_err(|_| Stopped::Refused(Refusal::upload_idle()))?;
            let Some(frame) = frame else {
                self.ended = true;
                if let Some(reading) = &self.reading {
                    reading.finish();
                }
                self.scan.finish().map_err(|error| Stopped::Refused(refused(error)))?;
                self.hold_to_expected()?;
                self.named.extend(self.scan.take_references());
                continue;
            };
            // Trailers of a request are not carried; no SDK sends any.
            let Ok(bytes) = frame.map_err(|_| Stopped::Broken)?.into_data() else {
                continue;
            };
            let read = bytes.len() as u64;
            let taken = self.taken.fetch_add(read, Ordering::Relaxed) + read;
            if taken > self.limits.bytes {
                return Err(Stopped::Refused(Refusal::too_large(self.limits.bytes)));
            }
            self.scan.feed(&bytes).map_err(|error| Stopped::Refused(refused(error)))?;
            if let Some(reading) = &self.reading {
                reading.feed(&bytes);
            }
            self.hold_to_expected()?;
            self.named.extend(self.scan.take_references());
            self.held = Some(bytes).filter(|bytes| !bytes.is_empty());
        }
    }

    fn hold_to_expected(&mut self) -> Result<(), Stopped> {
        if let Some(named) = self.scan.model()
            && let Some(late) = self.late.take()
            && late.for_model(named).is_none()
        {
            return Err(Stopped::Refused(not_priced(named)));
        }
        match (&self.expected, self.scan.model()) {
            (Some(expected), Some(named)) if expected != named => {
                let message = "the body names another model than the header weft-model";
                Err(Stopped::Refused(Refusal::malformed("model_mismatch", message)))
            }
            (_, _) => Ok(()),
        }
    }
}

/// Sends one read on, as long as the agent takes it.
async fn send(writer: &mut RequestWriter, read: Bytes, stall: Duration) -> Result<(), Forwarded> {
    match tokio::time::timeout(stall, writer.send(read)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Forwarded::Unwanted),
        Err(_) => Err(Forwarded::Stuck),
    }
}

/// What the caller hears of a body that the gate refuses: what is wrong, never what it held.
pub(super) fn refused(error: ScanError) -> Refusal {
    let message = match std::error::Error::source(&error) {
        Some(detail) => format!("{error}: {detail}"),
        None => error.to_string(),
    };
    match error {
        ScanError::StoredObject => Refusal::forbidden("stored_object", message),
        ScanError::OwnerState => Refusal::forbidden("owner_state", message),
        ScanError::BilledLater => Refusal::forbidden("billed_later", message),
        ScanError::ContentType => Refusal::media_type(message),
        ScanError::Json(_)
        | ScanError::NotAnObject
        | ScanError::DuplicateModel
        | ScanError::AmbiguousModel
        | ScanError::ModelNotText
        | ScanError::ModelTooLong
        | ScanError::ReferenceNotText
        | ScanError::BadReference
        | ScanError::DuplicateReference
        | ScanError::AmbiguousReference
        | ScanError::TooManyReferences
        | ScanError::UnwantedBody
        | ScanError::NotABatch
        | ScanError::NoModel
        | ScanError::TooManyModels
        | ScanError::Form(_) => Refusal::malformed("request_body", message),
    }
}

#[cfg(test)]
mod tests;
