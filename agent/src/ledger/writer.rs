//! The one writer: requests in, commits out.
//!
//! ```text
//!  requests ─▶ queue ─▶ take what is there ─▶ one write, one sync ─▶ answers, head, index
//! ```
//! Group commit without a timer: while one commit is on its way to the disk, the next one gathers.
//! The first failure ends it: nothing is written after it, every caller is told, and the process
//! ends through [`Ledger::failed`](super::Ledger::failed).

use super::LedgerError;
use super::chain::Chain;
use super::log::{COMMIT_BYTES_MAX, Log};
use super::open::{CloseFacts, OpenEntry, Place, interrupted};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::{oneshot, watch};
use weft_proto::ledger::journal::{NotTaken, Shift};
use weft_proto::ledger::note::{Signature, SignedNote, Statement};
use weft_proto::ledger::{
    BadEntry, Body, Close, Cosigned, Head, HeadOf, Open, Position, SignedAcks, Why,
};
use weft_proto::time::Clock;

/// Requests in one commit at most.
const COMMIT_REQUESTS_MAX: usize = 256;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// An OPEN, with the place of its CLOSE.
    Open {
        open: Box<Open>,
        place: OwnedPermit<Self>,
        reply: oneshot::Sender<Result<OpenEntry, Arc<LedgerError>>>,
    },
    /// A CLOSE.
    Close(Box<Close>),
    /// Anything else.
    Act(Act, oneshot::Sender<Result<Done, Arc<LedgerError>>>),
}

/// What else is written.
#[derive(Debug)]
pub(super) enum Act {
    /// The hub's words.
    Acks(Box<SignedAcks>),
    /// A signed checkpoint.
    Checkpoint,
    /// The hub's cosignature of a checkpoint of this epoch.
    Cosigned { epoch: u64, cosigned: Box<Cosigned> },
    /// A new epoch after a restored copy was noticed, its number above this one.
    Epoch { above: u64, before: Option<HeadOf> },
    /// Nothing: all that was asked for before is durable.
    Flush,
    /// The same, and nothing is taken any more.
    Stop,
}

/// What came of an [`Act`].
#[derive(Debug)]
pub(super) enum Done {
    /// It is written.
    Written(Position),
    /// The checkpoint.
    Checkpoint(SignedNote),
    /// The cosigned checkpoint, and what it changes of the hub's journal.
    Cosigned(SignedNote, Shift),
    /// The cosignature is of no checkpoint that waits for one, does not hold, or shows a journal that
    /// contradicts what the hub has shown before.
    NotTaken(NotTaken),
    /// Flushed.
    Flushed,
}

/// The way to the disk.
#[derive(Debug)]
pub(super) enum Way {
    /// A thread of its own, through a bounded queue.
    Thread(mpsc::Sender<Request>),
    /// The caller's own thread, at once.
    Inline(Box<Inline>),
}

/// The chain and its log.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) chain: Chain,
    pub(super) log: Log,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) head: watch::Sender<Head>,
    pub(super) failed: watch::Sender<Option<Arc<LedgerError>>>,
}

impl Core {
    /// Makes `commit` durable, and its head known.
    pub(super) fn commit(&mut self, commit: &[u8]) -> Result<(), Arc<LedgerError>> {
        if let Some(failed) = self.failed.borrow().as_ref() {
            return Err(Arc::clone(failed));
        }
        if commit.is_empty() {
            return Ok(());
        }
        match self.log.append(commit) {
            Ok(()) => {
                self.head.send_replace(self.chain.head());
                Ok(())
            }
            Err(source) => Err(self.fail(LedgerError::Disk { doing: "writing the log", source })),
        }
    }

    /// Ends it.
    fn fail(&self, error: LedgerError) -> Arc<LedgerError> {
        let error = Arc::new(error);
        tracing::error!(%error, "the ledger failed: the agent stops");
        self.failed.send_replace(Some(Arc::clone(&error)));
        error
    }

    fn put(&mut self, body: Body, commit: &mut Vec<u8>) -> Result<Position, BadEntry> {
        let at = self.clock.now();
        self.chain.put(body, at, commit)
    }

    /// A CLOSE is never lost: one that cannot be written as it is counts as interrupted.
    fn close(&mut self, close: Close, commit: &mut Vec<u8>) {
        let open = close.open;
        let Err(bad) = self.put(Body::Close(close), commit) else {
            return;
        };
        tracing::error!(%bad, "what became of an exchange cannot be written down as it is");
        let instead = self.chain.opens().get(&open).map(|opened| interrupted(open, opened));
        if let Some(Err(bad)) = instead.map(|close| self.put(Body::Close(close), commit)) {
            tracing::error!(%bad, "nor can it as interrupted");
        }
    }

    fn act(&mut self, act: Act, commit: &mut Vec<u8>) -> Result<Done, BadEntry> {
        let at = self.clock.now();
        match act {
            Act::Acks(acks) => self.put(Body::Acks(*acks), commit).map(Done::Written),
            Act::Checkpoint => {
                let (statement, made) = self.chain.checkpoint(at, commit)?;
                let signature = made.signature;
                Ok(Done::Checkpoint(SignedNote { statement, signature, cosignature: None }))
            }
            Act::Cosigned { epoch, cosigned } => {
                let Some((statement, signature)) = self.holds(epoch, &cosigned) else {
                    return Ok(Done::NotTaken(NotTaken::Unfit));
                };
                let cosignature = Some(cosigned.cosignature);
                Ok(match self.chain.cosigned(&statement, *cosigned, at, commit)? {
                    Ok(shift) => {
                        let note = SignedNote { statement, signature, cosignature };
                        Done::Cosigned(note, shift)
                    }
                    Err(not_taken) => Done::NotTaken(not_taken),
                })
            }
            Act::Epoch { above, before } => {
                let begun = self.chain.begin_epoch(Why::Restored, above, before, at, commit);
                begun.map(Done::Written)
            }
            Act::Flush | Act::Stop => Ok(Done::Flushed),
        }
    }

    /// The checkpoint that `cosigned` is of, where its key made it.
    fn holds(&self, epoch: u64, cosigned: &Cosigned) -> Option<(Statement, Signature)> {
        let checkpoint = self.chain.checkpoint_of(cosigned.size)?;
        let statement = checkpoint.statement(self.chain.keeper().agent, epoch);
        let ours = epoch == self.chain.head().epoch;
        (ours && cosigned.cosignature.holds(&statement, &cosigned.key))
            .then_some((statement, checkpoint.signature))
    }
}

/// The writer of a simulation: every request is a commit.
#[derive(Debug)]
pub(super) struct Inline(Mutex<Core>);

impl Inline {
    pub(super) const fn new(core: Core) -> Self {
        Self(Mutex::new(core))
    }

    fn core(&self) -> std::sync::MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self, open: Open) -> Result<Position, Arc<LedgerError>> {
        let mut core = self.core();
        let mut commit = Vec::new();
        let position = core.put(Body::Open(open), &mut commit).map_err(refused)?;
        core.commit(&commit)?;
        Ok(position)
    }

    /// A failure is told by the ledger's own watch.
    pub(super) fn close(&self, close: Close) {
        let mut core = self.core();
        let mut commit = Vec::new();
        core.close(close, &mut commit);
        drop(core.commit(&commit));
    }

    pub(super) fn act(&self, act: Act) -> Result<Done, Arc<LedgerError>> {
        let mut core = self.core();
        let mut commit = Vec::new();
        let done = core.act(act, &mut commit).map_err(refused)?;
        core.commit(&commit)?;
        Ok(done)
    }
}

/// Answers that wait for the commit that they are about.
enum Answer {
    Open {
        position: Position,
        open: Box<Open>,
        place: OwnedPermit<Request>,
        reply: oneshot::Sender<Result<OpenEntry, Arc<LedgerError>>>,
    },
    Act(Box<Done>, oneshot::Sender<Result<Done, Arc<LedgerError>>>),
}

/// The writer's thread: it ends when nobody can ask any more, or with the first failure.
pub(super) fn run(mut core: Core, mut requests: mpsc::Receiver<Request>, wake: impl Fn()) {
    let mut taken = Vec::with_capacity(COMMIT_REQUESTS_MAX);
    let mut stopped = false;
    while !stopped && requests.blocking_recv_many(&mut taken, COMMIT_REQUESTS_MAX) > 0 {
        let mut waiting = taken.drain(..).peekable();
        while waiting.peek().is_some() {
            let mut commit = Vec::new();
            let mut answers = Vec::new();
            while commit.len() < COMMIT_BYTES_MAX
                && let Some(request) = waiting.next()
            {
                stopped |= matches!(request, Request::Act(Act::Stop, _));
                stage(&mut core, request, &mut commit, &mut answers);
            }
            let committed = core.commit(&commit);
            answer(answers, &committed);
            if committed.is_ok() {
                wake();
            }
        }
    }
}

/// What cannot be written as an entry is refused; the ledger goes on.
fn refused(bad: BadEntry) -> Arc<LedgerError> {
    Arc::new(LedgerError::Entry(bad))
}

/// Puts one request into the commit.
fn stage(core: &mut Core, request: Request, commit: &mut Vec<u8>, answers: &mut Vec<Answer>) {
    match request {
        // Who asked is gone: nothing is opened.
        Request::Open { reply, .. } if reply.is_closed() => {}
        Request::Open { open, place, reply } => match core.put(Body::Open((*open).clone()), commit)
        {
            Ok(position) => answers.push(Answer::Open { position, open, place, reply }),
            Err(bad) => drop(reply.send(Err(refused(bad)))),
        },
        Request::Close(close) => core.close(*close, commit),
        Request::Act(act, reply) => match core.act(act, commit) {
            Ok(done) => answers.push(Answer::Act(Box::new(done), reply)),
            Err(bad) => drop(reply.send(Err(refused(bad)))),
        },
    }
}

fn answer(answers: Vec<Answer>, committed: &Result<(), Arc<LedgerError>>) {
    for answer in answers {
        match (answer, committed) {
            (Answer::Open { position, open, place, reply }, Ok(())) => {
                let entry = OpenEntry::new(position, *open, Place::Queue(place));
                // Who asked is gone, after the OPEN was written: the provider was not called.
                if let Err(Ok(entry)) = reply.send(Ok(entry)) {
                    entry.close(CloseFacts::not_called());
                }
            }
            (Answer::Open { reply, .. }, Err(error)) => {
                drop(reply.send(Err(Arc::clone(error))));
            }
            (Answer::Act(done, reply), Ok(())) => drop(reply.send(Ok(*done))),
            (Answer::Act(_, reply), Err(error)) => drop(reply.send(Err(Arc::clone(error)))),
        }
    }
}
