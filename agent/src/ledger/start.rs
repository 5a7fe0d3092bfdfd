//! Opening a ledger: recovery, the epoch, what was left open, and the threads.

use super::chain::{Chain, Keeper};
use super::disk::{Disk, Files};
use super::frame;
use super::index::{Index, IndexAt};
use super::log::{COMMIT_BYTES_MAX, Log, Place, SEGMENT_BYTES};
use super::marker::{self, Marker};
use super::open::interrupted;
use super::recover::{self, Broken, Corruption, Known, WalkError};
use super::writer::{self, Core, Inline, Way};
use super::{Ledger, LedgerError, Shared, key, last_of, log, queue};
use crate::datadir::DataDir;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use weft_proto::entropy::Entropy;
use weft_proto::ids::{AgentId, HubId};
use weft_proto::ledger::verify::{Trust, Verifier};
use weft_proto::ledger::{Body, Head, HeadOf, Position, SigningKey, Why};
use weft_proto::time::Clock;

/// How long the index lets commits gather before it takes them over; a report that reads by it waits
/// for that.
const INDEX_PAUSE: Duration = Duration::from_millis(40);

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A thread of its own, in groups.
    Thread,
    /// Whoever asks, at once: for a simulation, whose machine has no other threads.
    Inline,
}

/// What a ledger is made of.
#[derive(Debug)]
pub struct LedgerParts {
    /// Where the log is.
    pub disk: Arc<dyn Disk>,
    /// Where the index is.
    pub index: IndexAt,
    /// What signs.
    pub key: SigningKey,
    /// Whose it is.
    pub agent: AgentId,
    /// The hub that it settles with.
    pub hub: HubId,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Who writes.
    pub writer: Writer,
    /// Bytes after which a segment is full: [`SEGMENT_BYTES`], in tests less.
    pub segment_bytes: u64,
}

impl LedgerParts {
    /// The ledger of a data directory; its directory and key are made where there are none. With
    /// `simulated` nothing waits for a disk and no thread is started. Blocks on the disk.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn of(
        data: &DataDir,
        agent: AgentId,
        hub: HubId,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        simulated: bool,
    ) -> Result<Self, LedgerError> {
        let root = data.ledger_dir();
        let doing = "making its directory";
        let files = Files::open(&root, !simulated);
        let files = files.map_err(|source| LedgerError::Disk { doing, source })?;
        // A log without its key is not given another one.
        let names = files.list().map_err(|source| LedgerError::Disk { doing, source })?;
        let is_new = !names.iter().any(|name| log::number(name).is_some());
        let key = key::load(&root.join(key::FILE), is_new, entropy)?;
        let (index, writer) = if simulated {
            (IndexAt::Memory, Writer::Inline)
        } else {
            (IndexAt::File(root.join("index.db")), Writer::Thread)
        };
        let segment_bytes = SEGMENT_BYTES;
        Ok(Self { disk: Arc::new(files), index, key, agent, hub, clock, writer, segment_bytes })
    }
}

impl From<WalkError> for LedgerError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Disk(source) => Self::Disk { doing: "reading the log", source },
            WalkError::Corrupt(corruption) => Self::Corrupt(corruption),
        }
    }
}

impl Ledger {
    /// Opens the ledger: reads all of it, sets a torn tail aside, begins an epoch where there is
    /// none or where the files are a restored copy, and closes as interrupted what was left open.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`LedgerError`]; [`LedgerError::Corrupt`] where the log cannot be trusted, and then nothing
    /// was changed.
    pub fn open(parts: LedgerParts) -> Result<Self, LedgerError> {
        let LedgerParts { disk, index, key, agent, hub, clock, writer, segment_bytes } = parts;
        let public = key.public();
        let io = |doing| move |source| LedgerError::Disk { doing, source };
        let index = Arc::new(Index::open(&index, Arc::clone(&disk))?);
        let marker = Marker::read(disk.as_ref()).map_err(io("reading the marker"))?;
        let cosigned = marker::cosigned(disk.as_ref(), &public);
        let cosigned = cosigned.map_err(io("reading the cosigned note"))?;
        let known = Known { cosigned, indexed: index.last() };
        let heads = cosigned.into_iter().collect();
        let trust = Trust { agent: Some(agent), hub: Some(hub), hub_keys: Vec::new(), heads };
        let mut verifier = Verifier::new(trust);
        let mut first = None;
        let mut end_of_index = None;
        let walked =
            recover::walk(disk.as_ref(), &known, true, &mut verifier, |place, bytes, e| {
                if let Body::Epoch(_) = e.body {
                    first = Some(weft_proto::ledger::Hash::leaf(bytes));
                }
                if Some(e.position) == known.indexed {
                    let length = (frame::FRAME_HEADER_BYTES + bytes.len()) as u64;
                    end_of_index = Some(Place { offset: place.offset + length, ..place });
                }
            })?;
        let head = verifier.head();
        if known.indexed.is_some() && end_of_index != Some(index.end()) {
            // Derived, and of another log: it is made anew.
            index.reset()?;
        }
        if let (Some(marker), 0) = (&marker, head.epoch) {
            let known = Position { epoch: marker.epoch, seq: 0 };
            let (file, what) = (log::name(1), Broken::Short { known });
            return Err(LedgerError::Corrupt(Corruption { file, offset: 0, what }));
        }
        let end = recover::settle(disk.as_ref(), &walked).map_err(io("settling the log's end"))?;
        let opens: BTreeMap<_, _> =
            verifier.unclosed().map(|(at, open)| (at, open.clone())).collect();
        let keeper = Keeper { agent, hub, key };
        let log = Log::at(Arc::clone(&disk), end, segment_bytes);
        let (heads, seen) = watch::channel(head);
        let (failures, failed) = watch::channel(None);
        let witness = verifier.witness().clone();
        let chain = Chain::new(keeper, head, verifier.tree().clone(), opens, witness);
        let mut core = Core { chain, log, clock, head: heads, failed: failures };
        let marked = begin(&mut core, marker.as_ref(), first, head)?;
        if marker.as_ref() != Some(&marked) {
            marked.write(disk.as_ref()).map_err(io("marking an epoch"))?;
        }
        close_all(&mut core)?;
        let until = last_of(&core.chain.head());
        let mut running = Vec::new();
        let way = match writer {
            Writer::Inline => Way::Inline(Box::new(Inline::new(core))),
            Writer::Thread => {
                if let Some(until) = until {
                    index.catch_up(until)?;
                }
                let started = threads(core, Arc::clone(&index));
                let (sender, started) = started.map_err(io("starting its threads"))?;
                running = started;
                Way::Thread(sender)
            }
        };
        Ok(Self(Arc::new(Shared {
            way,
            disk,
            index,
            head: seen,
            failed,
            agent,
            hub,
            key: public,
            torn: walked.torn,
            words: Mutex::new(()),
            threads: std::sync::Mutex::new(running),
        })))
    }
}

/// Begins an epoch where one is due. Returns the marker of the epoch that is in force.
fn begin(
    core: &mut Core,
    marker: Option<&Marker>,
    first: Option<weft_proto::ledger::Hash>,
    head: Head,
) -> Result<Marker, LedgerError> {
    let at = core.clock.now();
    let mut commit = Vec::new();
    let Some(leaf) = first else {
        core.chain.begin_epoch(Why::First, 0, None, at, &mut commit)?;
        return begun(core, &commit);
    };
    let ours = Marker { epoch: head.epoch, leaf };
    // An epoch that holds nothing yet may have been cut short before its marker was written.
    let cut_short = head.size == 1 && marker.is_none_or(|marker| marker.epoch < head.epoch);
    if marker == Some(&ours) || cut_short {
        return Ok(ours);
    }
    tracing::warn!(epoch = head.epoch, "the ledger is a restored copy: a new epoch begins");
    let before = HeadOf { epoch: head.epoch, size: head.size, root: head.root };
    // The number is a time: of two restorations of one copy, neither knows of the other, and what
    // they write under one number would look like a fork to the hub.
    let above = marker.map_or(0, |marker| marker.epoch).max(at.as_secs());
    core.chain.begin_epoch(Why::Restored, above, Some(before), at, &mut commit)?;
    begun(core, &commit)
}

fn begun(core: &mut Core, commit: &[u8]) -> Result<Marker, LedgerError> {
    core.commit(commit).map_err(LedgerError::Failed)?;
    let head = core.chain.head();
    Ok(Marker { epoch: head.epoch, leaf: head.last })
}

/// Closes what the process before has left open.
fn close_all(core: &mut Core) -> Result<(), LedgerError> {
    let mut commit = Vec::new();
    while let Some((at, open)) = core.chain.opens().first_key_value() {
        let close = interrupted(*at, open);
        let now = core.clock.now();
        core.chain.put(Body::Close(close), now, &mut commit)?;
        if commit.len() >= COMMIT_BYTES_MAX {
            core.commit(&commit).map_err(LedgerError::Failed)?;
            commit.clear();
        }
    }
    core.commit(&commit).map_err(LedgerError::Failed)
}

/// Starts the writer and the index. They end when nobody can ask any more.
fn threads(
    core: Core,
    index: Arc<Index>,
) -> std::io::Result<(tokio::sync::mpsc::Sender<writer::Request>, Vec<JoinHandle<()>>)> {
    let (sender, requests) = queue();
    let (wake, woken) = sync_channel(1);
    let (head, failed) = (core.head.subscribe(), core.failed.clone());
    let following =
        std::thread::Builder::new().name("ledger-index".to_owned()).spawn(move || {
            if let Err(error) = follow(&index, &woken, &head) {
                tracing::error!(%error, "the ledger's index failed: the agent stops");
                failed.send_replace(Some(Arc::new(error)));
            }
        })?;
    let writing = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
        writer::run(core, requests, || match wake.try_send(()) {
            // A full channel has woken it already; a closed one has told its failure.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        });
    })?;
    Ok((sender, vec![writing, following]))
}

/// Keeps the index up with what is durable.
fn follow(
    index: &Index,
    woken: &Receiver<()>,
    head: &watch::Receiver<Head>,
) -> Result<(), LedgerError> {
    loop {
        let last = woken.recv().is_err();
        if !last {
            std::thread::sleep(INDEX_PAUSE);
        }
        let until = last_of(&head.borrow());
        if let Some(until) = until {
            index.catch_up(until)?;
        }
        if last {
            return Ok(());
        }
    }
}
