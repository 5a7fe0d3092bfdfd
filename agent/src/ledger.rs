//! The agent's ledger: what it did and what it earned, so that nobody can tell it otherwise.
//!
//! ```text
//!  open_exchange ─▶ OPEN durable ─▶ OpenEntry ─▶ the provider is called ─▶ close ─▶ CLOSE durable
//!  hub's words   ─▶ acknowledge  ─▶ ACK durable                             └─▶ changes, entries
//! ```
//! An append-only log is the truth ([`weft_proto::ledger`] says what stands in it, and
//! `agent/docs/ledger-format.md` its bytes); SQLite is its index. One writer commits in groups
//! without a timer. A failed write or sync is the end: [`Ledger::failed`] tells the wiring, which
//! ends the process, because a second try could "succeed" over lost bytes. Nothing of a request or
//! an answer is in it.

pub mod broken;
mod chain;
mod disk;
mod error;
pub mod evidence;
mod frame;
mod index;
mod key;
mod log;
mod marker;
mod open;
pub mod read;
mod recover;
mod report;
mod start;
pub mod statement;
mod writer;

pub use disk::{Disk, Files};
pub use error::{AckError, LedgerError};
pub use index::{IndexAt, Indexed, Unacknowledged};
pub use key::KeyError;
pub use log::SEGMENT_BYTES;
pub use open::{CloseFacts, OpenEntry};
pub use recover::{Broken, Corruption, Torn};
pub(crate) use report::HUB_PIN;
pub use report::{BOOKS_MAX, BookRefused, Books, HubFault, HubKey, Reporter};
pub use start::{LedgerParts, Writer};

use bytes::Bytes;
use index::Index;
use marker::{COSIGNED, Marker};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use weft_proto::ids::{AgentId, ExchangeId, HubId};
use weft_proto::ledger::journal::{NotTaken, Shift};
use weft_proto::ledger::note::SignedNote;
use weft_proto::ledger::{Cosigned, Hash, Head, HeadOf, Open, Position, PublicKey, SignedAcks};
use weft_proto::wire::receipts::Accepted;
use writer::{Act, Done, Request, Way};

/// Bytes that one reading of the log takes at most.
const READ_BYTES_MAX: u64 = 1 << 20;

/// An entry as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands in the chain.
    pub position: Position,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its leaf.
    pub leaf: Hash,
}

/// What the hub says that it has of this ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSeen {
    /// The last entry that it has.
    pub position: Position,
    /// That entry's leaf.
    pub leaf: Hash,
}

/// How the hub's view and the log fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// The hub has all of it, or a part: what it has is the same.
    Agrees,
    /// The hub has more: this is an older copy, and a new epoch begins here.
    NewEpoch(Position),
    /// The hub has another entry at a place that both have.
    Forked,
}

/// The agent's ledger. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Shared>);

/// What clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    way: Way,
    disk: Arc<dyn Disk>,
    index: Arc<Index>,
    head: watch::Receiver<Head>,
    failed: watch::Receiver<Option<Arc<LedgerError>>>,
    agent: AgentId,
    hub: HubId,
    key: PublicKey,
    torn: Option<Torn>,
    /// One word of the hub after the other: what is checked is not overtaken.
    words: Mutex<()>,
    /// The writer and the index, until they are waited for.
    threads: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Ledger {
    /// The ledger's public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.0.key
    }

    /// Whose ledger it is.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.0.agent
    }

    /// The hub that it settles with.
    #[must_use]
    pub fn hub(&self) -> HubId {
        self.0.hub
    }

    /// Where the durable chain ends.
    #[must_use]
    pub fn head(&self) -> Head {
        *self.0.head.borrow()
    }

    /// Tells every durable commit.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Head> {
        self.0.head.clone()
    }

    /// The torn tail that was set aside when it was opened.
    #[must_use]
    pub fn torn(&self) -> Option<&Torn> {
        self.0.torn.as_ref()
    }

    /// Waits for the failure after which nothing is written any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn failed(&self) -> Arc<LedgerError> {
        let mut failed = self.0.failed.clone();
        let told = failed.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
        told.unwrap_or_else(|| Arc::new(LedgerError::Closed))
    }

    /// Opens an exchange: when this returns, the OPEN is durable and the provider may be called.
    ///
    /// # Errors
    /// [`LedgerError`]: the provider must not be called.
    ///
    /// # Cancel safety
    /// An OPEN whose future was dropped is closed as not called, claiming nothing.
    pub async fn open_exchange(&self, open: Open) -> Result<OpenEntry, LedgerError> {
        match &self.0.way {
            Way::Inline(writer) => {
                let position = writer.open(open.clone()).map_err(LedgerError::Failed)?;
                let place = open::Place::Inline(Arc::clone(&self.0));
                Ok(OpenEntry::new(position, open, place))
            }
            Way::Thread(queue) => {
                let place = queue.clone().reserve_owned().await.map_err(|_| self.closed())?;
                let (reply, answer) = oneshot::channel();
                let open = Request::Open { open: Box::new(open), place, reply };
                queue.send(open).await.map_err(|_| self.closed())?;
                answer.await.map_err(|_| self.closed())?.map_err(LedgerError::Failed)
            }
        }
    }

    /// Entries of the durable chain from `from` on, in chain order, across epochs; at most `limit`,
    /// and no more than about 1 MiB. Empty means that there is nothing there yet.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn entries(&self, from: Position, limit: usize) -> Result<Vec<Stored>, LedgerError> {
        self.blocking(move |shared| shared.entries(from, limit)).await
    }

    /// The durable entries at `wanted`, which ascend; one that is not there is left out.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn exactly(&self, wanted: Vec<Position>) -> Result<Vec<Stored>, LedgerError> {
        self.blocking(move |shared| shared.exactly(&wanted)).await
    }

    /// Closes behind `after` without a final word of the hub, in chain order, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn unacknowledged(
        &self,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Unacknowledged>, LedgerError> {
        self.indexed().await?;
        self.blocking(move |shared| shared.index.unacknowledged(after, limit)).await
    }

    /// Every CLOSE of an exchange, with the hub's word on it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn closes_of(&self, exchange: ExchangeId) -> Result<Vec<Indexed>, LedgerError> {
        self.indexed().await?;
        self.blocking(move |shared| shared.index.closes_of(exchange)).await
    }

    /// Takes the hub's words on closes into the chain, durably. Whether the key is the hub's is for
    /// the caller to know, who has it from the tunnel. Returns whether there was news in it: a batch
    /// that repeats what is known is left out.
    ///
    /// # Errors
    /// [`AckError`]; nothing of the batch was taken. One that the hub has signed and that breaks an
    /// earlier word, or answers nothing, is kept as evidence ([`broken`]).
    ///
    /// # Cancel safety
    /// A dropped future may have taken the batch; giving it again is no news.
    pub async fn acknowledge(&self, acks: SignedAcks) -> Result<bool, AckError> {
        if !acks.is_signed() || acks.batch.agent != self.0.agent {
            return Err(AckError::Signature);
        }
        let words = self.0.words.lock().await;
        self.indexed().await?;
        let acks = Arc::new(acks);
        let news = self.blocking({
            let acks = Arc::clone(&acks);
            move |shared| {
                let news = shared.news(&acks);
                if let Err(AckError::Unknown(_) | AckError::AboveClaim(_) | AckError::Twice(_)) =
                    news
                {
                    // The hub has signed it: whoever has the log finds the same.
                    let word = broken::Word::Acks(SignedAcks::clone(&acks));
                    broken::keep(shared.disk.as_ref(), &word)?;
                }
                Ok(news)
            }
        });
        let news = news.await??;
        if news {
            self.act(Act::Acks(Box::new(Arc::unwrap_or_clone(acks)))).await?;
        }
        drop(words);
        Ok(news)
    }

    /// Signs a checkpoint over all of the current epoch, with the newest head of the hub's journal
    /// that was shown, and appends it, durably.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn checkpoint(&self) -> Result<SignedNote, LedgerError> {
        match self.act(Act::Checkpoint).await? {
            Done::Checkpoint(note) => Ok(note),
            Done::Written(_) | Done::Cosigned(..) | Done::NotTaken(_) | Done::Flushed => {
                Err(LedgerError::Closed)
            }
        }
    }

    /// Appends the hub's cosignature of a checkpoint of `epoch`, durably, and keeps the note beside
    /// the log: a log that is cut below it is noticed. Returns what it says of the hub's journal.
    ///
    /// # Errors
    /// [`AckError::Cosignature`] where it fits no checkpoint that waits for one, or shows nothing of
    /// the hub's journal; [`AckError::Journal`] where what it shows contradicts what the hub has shown
    /// before: that is kept as evidence ([`broken`]), and nothing of it is taken.
    pub async fn cosigned(&self, epoch: u64, cosigned: Cosigned) -> Result<Shift, AckError> {
        let key = cosigned.key;
        let act = Act::Cosigned { epoch, cosigned: Box::new(cosigned.clone()) };
        let (note, shift) = match self.act(act).await? {
            Done::Cosigned(note, shift) => (note, shift),
            Done::NotTaken(lie @ (NotTaken::OldHead { .. } | NotTaken::TwoFaces { .. })) => {
                let word = broken::Word::Cosigned { epoch, cosigned };
                self.blocking(move |shared| broken::keep(shared.disk.as_ref(), &word)).await?;
                return Err(AckError::Journal(lie));
            }
            Done::NotTaken(NotTaken::Unfit)
            | Done::Written(_)
            | Done::Checkpoint(_)
            | Done::Flushed => return Err(AckError::Cosignature),
        };
        let evidence = note.text(&self.0.key, Some((self.0.hub, &key)));
        let kept = self.blocking(move |shared| {
            let kept = shared.disk.replace(COSIGNED, evidence.as_bytes());
            kept.map_err(|source| LedgerError::Disk { doing: "keeping a cosigned note", source })
        });
        kept.await?;
        Ok(shift)
    }

    /// Keeps the hub's signed word on what it has taken of this ledger, which the log contradicts.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn contradicted(
        &self,
        key: PublicKey,
        accepted: Accepted,
    ) -> Result<(), LedgerError> {
        let word = broken::Word::Accepted { agent: self.0.agent, key, accepted };
        self.blocking(move |shared| broken::keep(shared.disk.as_ref(), &word)).await
    }

    /// Holds what the hub has of this ledger against the log. Where the hub has more, the files are
    /// a copy of an older state, and a new epoch begins.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn meet(&self, seen: HeadSeen) -> Result<Met, LedgerError> {
        let words = self.0.words.lock().await;
        let head = self.head();
        let end = Position { epoch: head.epoch, seq: head.size };
        if seen.position.epoch <= end.epoch && seen.position < end {
            let found = self.exactly(vec![seen.position]).await?;
            // An earlier epoch that ended before this entry is one that a restored copy left.
            return Ok(match found.first() {
                Some(stored) if stored.leaf != seen.leaf => Met::Forked,
                Some(_) | None => Met::Agrees,
            });
        }
        let before = HeadOf { epoch: head.epoch, size: head.size, root: head.root };
        let above = seen.position.epoch;
        let done = self.act(Act::Epoch { above, before: Some(before) }).await?;
        let Done::Written(begun) = done else {
            return Err(LedgerError::Closed);
        };
        if let Some(first) = self.entries(begun, 1).await?.first() {
            let marker = Marker { epoch: begun.epoch, leaf: first.leaf };
            self.blocking(move |shared| {
                let written = marker.write(shared.disk.as_ref());
                written.map_err(|source| LedgerError::Disk { doing: "marking an epoch", source })
            })
            .await?;
        }
        drop(words);
        tracing::warn!(epoch = begun.epoch, "the hub has more of this ledger: a new epoch begins");
        Ok(Met::NewEpoch(begun))
    }

    /// Waits until all that was asked for before is durable.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn flush(&self) -> Result<(), LedgerError> {
        self.act(Act::Flush).await.map(drop)
    }

    /// Waits until all that was asked for before is durable and indexed; nothing is taken any more.
    /// What is open then is closed as interrupted at the next start.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn stop(&self) -> Result<(), LedgerError> {
        self.act(Act::Stop).await?;
        let threads = &self.0.threads;
        let threads = std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = self.blocking(move |_| {
            // A panic of theirs was told by the answers that did not come.
            threads.into_iter().for_each(|thread| drop(thread.join()));
            Ok(())
        });
        ended.await
    }

    async fn act(&self, act: Act) -> Result<Done, LedgerError> {
        match &self.0.way {
            Way::Inline(writer) => writer.act(act).map_err(LedgerError::Failed),
            Way::Thread(queue) => {
                let (reply, answer) = oneshot::channel();
                queue.send(Request::Act(act, reply)).await.map_err(|_| self.closed())?;
                answer.await.map_err(|_| self.closed())?.map_err(LedgerError::Failed)
            }
        }
    }

    /// Waits until the index has all that is durable now.
    async fn indexed(&self) -> Result<(), LedgerError> {
        let Some(until) = last_of(&self.head()) else {
            return Ok(());
        };
        match &self.0.way {
            Way::Inline(_) => self.0.index.catch_up(until),
            Way::Thread(_) => {
                let mut reached = self.0.index.reached();
                let reached = reached.wait_for(|reached| reached.is_some_and(|at| at >= until));
                tokio::select! {
                    biased;
                    failed = self.failed() => Err(LedgerError::Failed(failed)),
                    reached = reached => reached.map(drop).map_err(|_| LedgerError::Closed),
                }
            }
        }
    }

    /// Reads or writes files off the runtime's threads; in a simulation, at once.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        match &self.0.way {
            Way::Inline(_) => work(&self.0),
            Way::Thread(_) => {
                let shared = Arc::clone(&self.0);
                let done = tokio::task::spawn_blocking(move || work(&shared)).await;
                done.unwrap_or(Err(LedgerError::Closed))
            }
        }
    }

    /// Why nothing is taken any more.
    fn closed(&self) -> LedgerError {
        match self.0.failed.borrow().as_ref() {
            Some(failed) => LedgerError::Failed(Arc::clone(failed)),
            None => LedgerError::Closed,
        }
    }
}

/// The last entry of a chain that ends in `head`.
fn last_of(head: &Head) -> Option<Position> {
    head.size.checked_sub(1).map(|seq| Position { epoch: head.epoch, seq })
}

/// Requests that wait for the writer at most, the kept places of CLOSEs among them: more than all
/// the streams that hubs may open.
const QUEUE_MAX: usize = 32 * 1024;

/// Makes the queue to the writer.
fn queue() -> (mpsc::Sender<Request>, mpsc::Receiver<Request>) {
    mpsc::channel(QUEUE_MAX)
}

impl Shared {
    fn entries(&self, from: Position, limit: usize) -> Result<Vec<Stored>, LedgerError> {
        let Some(until) = last_of(&self.head.borrow()) else {
            return Ok(Vec::new());
        };
        let place = self.index.place_before(from)?;
        read::entries(self.disk.as_ref(), place, from, until, limit)
    }

    fn exactly(&self, wanted: &[Position]) -> Result<Vec<Stored>, LedgerError> {
        let Some(until) = last_of(&self.head.borrow()) else {
            return Ok(Vec::new());
        };
        let durable = &wanted[..wanted.partition_point(|at| *at <= until)];
        read::exactly(self.disk.as_ref(), durable, |at| self.index.place_before(at))
    }

    /// Holds a batch against what is claimed. Returns whether it says anything new.
    fn news(&self, acks: &SignedAcks) -> Result<bool, AckError> {
        let mut news = false;
        for ack in &acks.batch.acks {
            let at = acks.close_of(ack);
            let close = self.index.close_at(at)?.ok_or(AckError::Unknown(at))?;
            if (close.exchange, close.attempt) != (ack.exchange, ack.attempt) {
                return Err(AckError::Unknown(at));
            }
            if ack.amount > close.income {
                return Err(AckError::AboveClaim(at));
            }
            match close.word {
                Some(word) if word == (ack.verdict, ack.amount) => {}
                Some((verdict, _)) if verdict.is_final() => return Err(AckError::Twice(at)),
                Some(_) | None => news = true,
            }
        }
        Ok(news)
    }
}

#[cfg(test)]
mod tests;
