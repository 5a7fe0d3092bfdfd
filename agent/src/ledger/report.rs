//! What the agent and its hub tell each other about the ledger.
//!
//! ```text
//!  session ─ LEDGER ─▶ hub … LEDGER{key, accepted} ─▶ entries behind it, in chain order, then each
//!            new one; CLAIMs of closes without a final word ◀─ ACK, COSIGNED ─▶ into the chain
//! ```
//! A [`Reporter`] runs beside one session, on its first slot. It loses nothing by ending: the hub
//! says where to go on, and a word that was missed is asked for again, because a claim is the same
//! receipt once more. A hub that breaks its word is named in the log, and nothing of what it says
//! against it is taken.

mod arrivals;
mod books;
mod hub_key;
mod sending;

pub use books::{BOOKS_MAX, BookRefused, Books};
pub(crate) use hub_key::HUB_PIN;
pub use hub_key::{HubFault, HubKey};

use super::{AckError, HeadSeen, Ledger, LedgerError, Met};
use arrivals::{Arrivals, OFFERS_MAX};
use bytes::Bytes;
use sending::Sending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use weft_proto::causes::causes;
use weft_proto::ledger::journal::Shift;
use weft_proto::ledger::note::Cosignature;
use weft_proto::ledger::{
    Cosigned, Hash, HubHead, Position, PublicKey, Shown, Signature, SignedAcks,
};
use weft_proto::session::LedgerWord;
use weft_proto::wire::receipts::{
    AckBatch, AgentLedger, ChainHead, HubLedger, JournalHead, LedgerFault,
};
use weft_transport::stream::StreamError;
use weft_transport::{Connection, prices};

/// How often the ledger is looked at for a checkpoint, and claims for being claimed again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the first new entry waits for others. Sent one by one, each would cost both ends a
/// datagram and its reading; nobody waits for it.
const GATHER: Duration = Duration::from_millis(50);

/// How long a close without a final word waits before it is claimed again.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Why nothing is reported for now.
#[derive(Debug, thiserror::Error)]
enum Halted {
    #[error(transparent)]
    Hub(#[from] HubFault),
    #[error("the hub has another entry at a place of this ledger (changed_receipt)")]
    Forked,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Reports the ledger to the hub. Clones mean the same ledger.
#[derive(Debug, Clone)]
pub struct Reporter {
    ledger: Ledger,
    books: Books,
    hub: Arc<HubKey>,
}

impl Reporter {
    /// Reports `ledger`, prices by `books` and trusts `hub`'s key.
    #[must_use]
    pub const fn new(ledger: Ledger, books: Books, hub: Arc<HubKey>) -> Self {
        Self { ledger, books, hub }
    }

    /// How the ledger greets.
    #[must_use]
    pub fn greeting(&self) -> AgentLedger {
        let head = self.ledger.head();
        let head = (head.size > 0).then(|| ChainHead {
            epoch: head.epoch,
            size: head.size,
            leaf: *head.last.as_bytes(),
        });
        AgentLedger {
            key: *self.ledger.public_key().as_bytes(),
            handover: None,
            head,
            books: self.books.hashes(),
        }
    }

    /// Reports on one session until it is dropped or the tunnel is lost. `words` are what the hub's
    /// ledger says on the control stream.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub async fn run(self, connection: Connection, words: mpsc::Receiver<LedgerWord>) {
        let mut report = Report {
            reporter: self,
            connection,
            key: None,
            sending: None,
            books: Arrivals::default(),
            arriving: JoinSet::new(),
            claimed_at: Instant::now(),
            puts_at: None,
        };
        if let Err(lost) = report.serve(words).await {
            tracing::debug!(error = %causes(&lost), "receipts end with the tunnel");
        }
    }
}

/// One session's report.
struct Report {
    reporter: Reporter,
    connection: Connection,
    /// The hub's key, once it has greeted as the one that is pinned.
    key: Option<PublicKey>,
    sending: Option<Sending>,
    books: Arrivals,
    arriving: JoinSet<Option<Bytes>>,
    claimed_at: Instant,
    /// When the ledger is looked at for what to send; none where all of it was.
    puts_at: Option<Instant>,
}

impl Report {
    async fn serve(&mut self, mut words: mpsc::Receiver<LedgerWord>) -> Result<(), StreamError> {
        let mut changes = self.reporter.ledger.changes();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.puts_at.is_some_and(|at| at <= Instant::now()) {
                changes.mark_unchanged();
                let put = self.put_next().await;
                self.note(put);
            }
            let unsent = self.sending.as_ref().is_some_and(|sending| !sending.is_flushed());
            let stopped = self.sending.as_ref().map(Sending::stopped);
            let stopped = async {
                match stopped {
                    Some(stopped) => stopped.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                word = words.recv() => match word {
                    Some(word) => self.hear(word).await,
                    None => return Ok(()),
                },
                error = stopped => {
                    // The hub greets anew when it takes receipts again.
                    self.sending = None;
                    if let Some(lost @ StreamError::TunnelLost(_)) = error {
                        return Err(lost);
                    }
                }
                // Beside the words, for a hub that takes slowly still says what it has decided.
                flushed = flush(&mut self.sending), if unsent => {
                    self.note(flushed.map_err(Halted::from));
                }
                Some(arrived) = self.arriving.join_next(), if !self.arriving.is_empty() => {
                    if let Ok(Some(book)) = arrived {
                        self.books.came(book);
                        self.take_books();
                    }
                }
                opened = self.connection.accept_uni(), if self.arriving.len() < OFFERS_MAX => {
                    let stream = opened?;
                    self.arriving.spawn(async move { prices::receive(stream).await.ok() });
                }
                () = at(self.puts_at), if !unsent => {}
                changed = changes.changed(), if self.puts_at.is_none() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.puts_at = Some(Instant::now() + GATHER);
                }
                _ = look.tick() => {
                    let looked = self.look().await;
                    self.note(looked);
                }
            }
        }
    }

    /// Puts what the hub has not had.
    async fn put_next(&mut self) -> Result<(), Halted> {
        self.puts_at = None;
        if let Some(sending) = &mut self.sending
            && sending.put_next(&self.reporter.ledger).await?
        {
            // Nothing was put where too much is without an answer: words make room.
            let wait = if sending.is_flushed() { GATHER } else { Duration::ZERO };
            self.puts_at = Some(Instant::now() + wait);
        }
        Ok(())
    }

    /// Says what halts the report; it goes on when the hub greets again.
    fn note(&mut self, result: Result<(), Halted>) {
        if let Err(halted) = result {
            tracing::error!(error = %causes(&halted), "receipts are not reported");
            self.sending = None;
        }
    }

    /// Signs what is new, and claims again what has waited long.
    async fn look(&mut self) -> Result<(), Halted> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        let ledger = &self.reporter.ledger;
        if sending.take_news() {
            ledger.checkpoint().await?;
        }
        // Where there are more than one round can ask after, the next one goes on at once: what is
        // decided among them must not wait for hours behind what nobody can decide yet.
        let pause = if sending.is_midway() { LOOK_EVERY } else { CLAIM_AGAIN_AFTER };
        if sending.is_flushed() && self.claimed_at.elapsed() >= pause {
            self.claimed_at = Instant::now();
            sending.claim_again(ledger).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, word: LedgerWord) {
        match word {
            LedgerWord::Greeting(hub) => {
                let begun = self.begin(&hub).await;
                self.note(begun);
                self.take_books();
            }
            LedgerWord::Prices(offer) => {
                if self.reporter.books.get(&offer.hash).is_none() {
                    self.books.announced(offer);
                    self.take_books();
                }
            }
            LedgerWord::Ack(batch) => self.acknowledge(batch).await,
            LedgerWord::Cosigned(cosigned) => self.cosigned(&cosigned).await,
            LedgerWord::Fault(LedgerFault { fault, epoch, seq }) => {
                tracing::error!(
                    why = fault.reason(), at = %Position { epoch, seq },
                    "the hub takes no receipts of this ledger"
                );
                self.sending = None;
            }
        }
    }

    /// The hub's ledger greets: receipts begin behind what it has.
    async fn begin(&mut self, hub: &HubLedger) -> Result<(), Halted> {
        self.sending = None;
        let ledger = &self.reporter.ledger;
        let key = self.reporter.hub.meet(ledger.agent(), hub)?;
        self.key = Some(key);
        let said = hub.accepted;
        let head = said.map(|said| said.head);
        if let Some((said, accepted)) = said.zip(head.filter(|head| head.size > 0)) {
            let position = Position { epoch: accepted.epoch, seq: accepted.size - 1 };
            let leaf = Hash::new(accepted.leaf);
            match ledger.meet(HeadSeen { position, leaf }).await? {
                Met::Agrees => {}
                Met::NewEpoch(at) => {
                    tracing::warn!(%at, "this ledger is a restored copy: a new epoch begins");
                }
                Met::Forked => {
                    ledger.contradicted(key, said).await?;
                    return Err(Halted::Forked);
                }
            }
        }
        let next = head.map_or(Position { epoch: 0, seq: 0 }, |accepted| Position {
            epoch: accepted.epoch,
            seq: accepted.size,
        });
        let mut sending = Sending::open(&self.connection, next).await?;
        self.claimed_at = Instant::now();
        sending.claim_again(ledger).await?;
        self.sending = Some(sending);
        self.puts_at = Some(Instant::now());
        Ok(())
    }

    async fn acknowledge(&mut self, batch: AckBatch) {
        let Some(key) = self.key else {
            return;
        };
        let said = SignedAcks { key, batch };
        let places: Vec<_> = said.batch.acks.iter().map(|ack| said.close_of(ack)).collect();
        match self.reporter.ledger.acknowledge(said).await {
            Ok(_) => {
                if let Some(sending) = &mut self.sending {
                    sending.answered(&places);
                }
            }
            Err(AckError::Ledger(error)) => {
                tracing::error!(error = %causes(&error), "a word of the hub is not written");
            }
            Err(
                error @ (AckError::Signature
                | AckError::Unknown(_)
                | AckError::AboveClaim(_)
                | AckError::Twice(_)
                | AckError::Cosignature
                | AckError::Journal(_)),
            ) => tracing::error!(%error, "the hub breaks its word (changed_receipt)"),
        }
    }

    async fn cosigned(&mut self, said: &weft_proto::wire::receipts::Cosigned) {
        let Some(key) = self.key else {
            return;
        };
        let nodes: Vec<Hash> = said.nodes.iter().copied().map(Hash::new).collect();
        let JournalHead { size, root } = said.journal;
        let head = HubHead { size, root: Hash::new(root) };
        let cosignature = Cosignature {
            at_secs: said.at_secs,
            journal: Some(Shown::new(head, said.how, &nodes)),
            signature: Signature::new(said.signature),
        };
        let cosigned = Cosigned { size: said.size, key, cosignature, nodes };
        match self.reporter.ledger.cosigned(said.epoch, cosigned).await {
            Ok(Shift::Restored { lost }) => tracing::error!(
                lost = lost.size,
                now = size,
                "the hub says that it was restored from an older copy and lost a part of its \
                 journal (hub_restored)"
            ),
            Ok(Shift::Same | Shift::First | Shift::Grown) => {}
            Err(error @ AckError::Journal(_)) => {
                tracing::error!(%error, "the hub's journal does not hold: the proof is kept");
            }
            // Of a checkpoint of a process before this one, which comes again behind a restart.
            Err(AckError::Cosignature) => {
                tracing::info!(size = said.size, "a cosignature fits no checkpoint that waits");
            }
            Err(error) => {
                tracing::error!(error = %causes(&error), "a cosignature is not taken");
            }
        }
    }

    /// Takes the books that are here, announced, and of a hub whose key is known.
    fn take_books(&mut self) {
        let Some(key) = self.key else {
            return;
        };
        for (offer, canonical) in self.books.ready() {
            match self.reporter.books.take(&offer, &canonical, &key) {
                Ok(()) => tracing::info!(book = %offer.hash, "prices taken"),
                Err(error) => tracing::error!(error = %causes(&error), "prices not taken"),
            }
        }
    }
}

/// Waits until then; for ever where it is never.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

/// Sends what was put.
///
/// # Cancel safety
/// Cancel safe.
async fn flush(sending: &mut Option<Sending>) -> Result<(), StreamError> {
    match sending {
        Some(sending) => sending.flush().await,
        None => Ok(()),
    }
}
