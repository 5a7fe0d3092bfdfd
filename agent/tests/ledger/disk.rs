//! A disk in memory that can lose power, fail, and lie as real ones do.
//!
//! It has two states of each file: what the system shows, and what is on the platter. A sync copies
//! one to the other. A power cut leaves the platter, plus any subset of the sectors that were
//! written and not synced, in any order, with the length grown as far as the disk got. A failed sync
//! marks the pages clean without writing them: what is shown stays, and only a new write of the same
//! bytes could still save them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use weft_agent::ledger::Disk;
use weft_proto::entropy::{Entropy, SeededEntropy};

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power goes: this operation and all after it fail.
    Power,
    /// A read or write error; a part of a write may stand.
    Eio,
    /// The disk is full: a part of a write may stand.
    Enospc,
    /// A sync fails: what it should have written is lost, and the system forgets that it was dirty.
    Sync,
}

#[derive(Debug, Default, Clone)]
struct File {
    /// What the system shows.
    shown: Vec<u8>,
    /// What is on the platter.
    stored: Vec<u8>,
    /// Sectors that were written and not synced.
    dirty: BTreeSet<usize>,
    /// Whether the name is on the platter.
    named: bool,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, File>,
    entropy: SeededEntropy,
    sector: usize,
    operations: u64,
    fault: Option<(u64, Fault)>,
    dead: Option<io::ErrorKind>,
    /// Whether syncs say that they are done and do nothing.
    lies: bool,
}

/// The disk.
#[derive(Debug)]
pub(crate) struct FaultyDisk(Mutex<State>);

impl FaultyDisk {
    /// An empty disk that writes in sectors of so many bytes.
    pub(crate) fn new(seed: u64, sector: usize) -> Self {
        let entropy = SeededEntropy::new(seed);
        let files = BTreeMap::new();
        let (operations, fault, dead, lies) = (0, None, None, false);
        Self(Mutex::new(State { files, entropy, sector, operations, fault, dead, lies }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, syncs and the like so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The next operation number `at` fails like this.
    pub(crate) fn fail_at(&self, at: u64, fault: Fault) {
        self.state().fault = Some((at, fault));
    }

    /// The process is started again. After a power cut, what is shown is what the disk kept.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        let cut = matches!(state.fault, Some((_, Fault::Power)));
        let State { files, entropy, sector, .. } = &mut *state;
        if cut {
            files.retain(|_, file| file.named || entropy.next_u64().is_multiple_of(2));
            for file in files.values_mut() {
                lose_power(file, *sector, entropy);
            }
        }
        (state.fault, state.dead) = (None, None);
    }

    /// From now on syncs do nothing.
    pub(crate) fn lie(&self) {
        self.state().lies = true;
    }

    /// The bytes that are shown.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.state().files.get(name).map(|file| file.shown.clone()).unwrap_or_default()
    }

    /// Makes a file be these bytes, durably.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let file =
            File { shown: bytes.clone(), stored: bytes, dirty: BTreeSet::new(), named: true };
        self.state().files.insert(name.to_owned(), file);
    }

    /// Takes a file away.
    pub(crate) fn remove(&self, name: &str) {
        self.state().files.remove(name);
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    /// A disk with the same files and no faults.
    pub(crate) fn copy(&self) -> Self {
        let other = Self::new(1, 512);
        other.state().files = self.state().files.clone();
        other
    }
}

/// Each dirty sector is on the platter or is not.
fn lose_power(file: &mut File, sector: usize, entropy: &SeededEntropy) {
    let mut kept = std::mem::take(&mut file.stored);
    for at in std::mem::take(&mut file.dirty) {
        let (from, to) = (at * sector, ((at + 1) * sector).min(file.shown.len()));
        if from >= to || entropy.next_u64().is_multiple_of(2) {
            continue;
        }
        // The length grows with what arrived; between is what was there: nothing.
        if kept.len() < to {
            kept.resize(to, 0);
        }
        kept[from..to].copy_from_slice(&file.shown[from..to]);
    }
    // Or the length grew and the bytes did not come.
    if kept.len() < file.shown.len() && entropy.next_u64().is_multiple_of(4) {
        kept.resize(file.shown.len(), 0);
    }
    file.shown = kept.clone();
    file.stored = kept;
    file.named = true;
}

impl State {
    /// Counts an operation that changes something. Returns the fault that strikes now.
    fn step(&mut self) -> io::Result<Option<Fault>> {
        if let Some(kind) = self.dead {
            return Err(kind.into());
        }
        self.operations += 1;
        match self.fault {
            Some((at, fault)) if at == self.operations => {
                self.dead = Some(match fault {
                    Fault::Power => io::ErrorKind::BrokenPipe,
                    Fault::Eio | Fault::Sync => io::ErrorKind::Other,
                    Fault::Enospc => io::ErrorKind::StorageFull,
                });
                Ok(Some(fault))
            }
            Some(_) | None => Ok(None),
        }
    }

    fn death(&self) -> io::Error {
        self.dead.unwrap_or(io::ErrorKind::Other).into()
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, name: &str, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let sector = self.sector;
        let file = self.file(name)?;
        let end = offset + bytes.len();
        if file.shown.len() < end {
            file.shown.resize(end, 0);
        }
        file.shown[offset..end].copy_from_slice(bytes);
        file.dirty.extend(offset / sector..end.div_ceil(sector));
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.state().file(name)?.shown.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let from = usize::try_from(offset).expect("small");
        let bytes = state.file(name)?.shown.get(from..).unwrap_or_default();
        let read = bytes.len().min(into.len());
        into[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.step()?.is_some() {
            return Err(state.death());
        }
        if state.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(name.to_owned(), File::default());
        Ok(())
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step()?;
        let offset = usize::try_from(offset).expect("small");
        if fault.is_none() {
            return state.write(name, offset, bytes);
        }
        // A part of it got as far as the system's pages.
        let part = usize::try_from(state.entropy.next_u64()).expect("64 bits") % (bytes.len() + 1);
        state.write(name, offset, &bytes[..part])?;
        Err(state.death())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step()?;
        let lies = state.lies;
        let file = state.file(name)?;
        match fault {
            None if lies => Ok(()),
            None => {
                file.stored = file.shown.clone();
                file.dirty.clear();
                Ok(())
            }
            Some(Fault::Power) => Err(state.death()),
            // Clean in the system's eyes, and not on the platter.
            Some(Fault::Eio | Fault::Enospc | Fault::Sync) => {
                file.dirty.clear();
                Err(state.death())
            }
        }
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.step()?.is_some() {
            return Err(state.death());
        }
        let length = usize::try_from(length).expect("small");
        let file = state.file(name)?;
        file.shown.truncate(length);
        file.stored.truncate(length);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.step()?.is_some() {
            return Err(state.death());
        }
        state.files.values_mut().for_each(|file| file.named = true);
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step()?;
        // Before or after the renaming, never between.
        let done = fault.is_none() || state.entropy.next_u64().is_multiple_of(2);
        if done {
            let (shown, stored) = (bytes.to_vec(), bytes.to_vec());
            let file = File { shown, stored, dirty: BTreeSet::new(), named: true };
            state.files.insert(name.to_owned(), file);
        }
        if fault.is_none() { Ok(()) } else { Err(state.death()) }
    }
}
