//! The hub's ledger key, pinned: the first one that the hub shows over an authenticated tunnel. A
//! later one is taken only where the one before has vouched for it.
//!
//! Beside it stands the newest head of the hub's journal that was seen: a hub that shows an older
//! one, or another one of the same size, is found out.

use crate::datadir::replace_file;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use weft_proto::ledger::{Hash, HubHead, PublicKey, Signature};
use weft_proto::wire::receipts::{Handover, HubLedger, JournalHead};

/// The name of the file, in the ledger's directory.
pub(crate) const HUB_PIN: &str = "hub.pin";

/// Bytes of the file: version, key, flag, size, root.
const FILE_BYTES: usize = 1 + 32 + 1 + 8 + 32;

/// The layout's version.
const VERSION: u8 = 1;

/// What is wrong with what the hub shows of itself.
#[derive(Debug, thiserror::Error)]
pub enum HubFault {
    /// Its key is another, and the pinned one does not vouch for it.
    #[error("the hub's ledger key changed without the old one's word (hub_key_changed)")]
    KeyChanged,
    /// Its journal is shorter than it was.
    #[error("the hub shows journal entry {shown} as its newest, and showed {seen} (hub_old_head)")]
    OldHead {
        /// The newest that it shows.
        shown: u64,
        /// The newest that it has shown.
        seen: u64,
    },
    /// Its journal has another entry at a place that it has shown.
    #[error("the hub shows two different journals of {0} entries (hub_two_faces)")]
    TwoFaces(u64),
    /// What is known of it cannot be kept.
    #[error("what is known of the hub cannot be kept")]
    Disk(#[from] io::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    key: PublicKey,
    journal: Option<JournalHead>,
}

/// What is known of the hub's ledger.
#[derive(Debug)]
pub struct HubKey {
    path: PathBuf,
    known: Mutex<Option<Known>>,
}

impl HubKey {
    /// What the file at `path` says; nothing where there is none. Blocks on the disk.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::InvalidData`] for another file.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let known = match fs::read(&path) {
            Ok(bytes) => {
                Some(parse(&bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, known: Mutex::new(known) })
    }

    /// The pinned key.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.known().map(|known| known.key)
    }

    /// The newest head of the hub's journal that was seen.
    #[must_use]
    pub fn journal(&self) -> Option<HubHead> {
        let journal = self.known().and_then(|known| known.journal)?;
        Some(HubHead { size: journal.size, root: Hash::new(journal.root) })
    }

    /// Takes the key that the hub shows, at first sight or with the pinned one's word. Blocks on the
    /// disk where it is new.
    ///
    /// # Errors
    /// [`HubFault::KeyChanged`], [`HubFault::Disk`].
    pub fn meet(&self, hub: &HubLedger) -> Result<PublicKey, HubFault> {
        let shown = PublicKey::new(hub.key);
        let mut known = self.known();
        let journal = match *known {
            Some(Known { key, .. }) if key == shown => return Ok(shown),
            Some(Known { key, journal }) => {
                let vouched = hub.handover.is_some_and(|handover| {
                    handover.from == *key.as_bytes()
                        && key.verifies(
                            &Handover::signed(&hub.key),
                            &Signature::new(handover.signature),
                        )
                });
                if !vouched {
                    return Err(HubFault::KeyChanged);
                }
                journal
            }
            None => None,
        };
        let new = Known { key: shown, journal };
        write(&self.path, &new)?;
        *known = Some(new);
        Ok(shown)
    }

    /// Takes a head of the hub's journal. Blocks on the disk where it is newer.
    ///
    /// # Errors
    /// [`HubFault::OldHead`], [`HubFault::TwoFaces`]: the newer one stays. [`HubFault::Disk`].
    pub fn saw(&self, shown: JournalHead) -> Result<(), HubFault> {
        let mut known = self.known();
        let Some(before) = *known else {
            return Ok(());
        };
        match before.journal {
            Some(seen) if seen == shown => return Ok(()),
            Some(seen) if seen.size == shown.size => return Err(HubFault::TwoFaces(seen.size)),
            Some(seen) if seen.size > shown.size => {
                return Err(HubFault::OldHead { shown: shown.size, seen: seen.size });
            }
            Some(_) | None => {}
        }
        let new = Known { journal: Some(shown), ..before };
        write(&self.path, &new)?;
        *known = Some(new);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(path: &Path, known: &Known) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(known.key.as_bytes());
    bytes.push(u8::from(known.journal.is_some()));
    let journal = known.journal.unwrap_or(JournalHead { size: 0, root: [0; 32] });
    bytes.extend_from_slice(&journal.size.to_be_bytes());
    bytes.extend_from_slice(&journal.root);
    replace_file(path, &bytes)
}

fn parse(bytes: &[u8]) -> Option<Known> {
    let (version, rest) = bytes.split_first()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (flag, rest) = rest.split_first()?;
    let (size, root) = rest.split_first_chunk()?;
    let head = JournalHead { size: u64::from_be_bytes(*size), root: root.try_into().ok()? };
    let journal = match flag {
        0 => None,
        1 => Some(head),
        _ => return None,
    };
    (*version == VERSION).then(|| Known { key: PublicKey::new(*key), journal })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::ledger::SigningKey;

    fn shown(key: &SigningKey, handover: Option<Handover>) -> HubLedger {
        HubLedger { key: *key.public().as_bytes(), handover, accepted: None }
    }

    #[test]
    fn the_first_key_is_pinned_and_a_later_one_needs_its_word() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("hub.pin");
        let one = SigningKey::from_seed(&[1; 32]).expect("a key");
        let two = SigningKey::from_seed(&[2; 32]).expect("a key");
        let hub = HubKey::open(path.clone()).expect("opened");
        assert_eq!(hub.key(), None);
        assert_eq!(hub.meet(&shown(&one, None)).expect("pinned"), one.public());

        let hub = HubKey::open(path.clone()).expect("opened again");
        assert!(matches!(hub.meet(&shown(&two, None)), Err(HubFault::KeyChanged)));
        let signed = |by: &SigningKey, new: &SigningKey| Handover {
            from: *by.public().as_bytes(),
            signature: *by.sign(&Handover::signed(new.public().as_bytes())).as_bytes(),
        };
        let by_itself = shown(&two, Some(signed(&two, &two)));
        assert!(matches!(hub.meet(&by_itself), Err(HubFault::KeyChanged)));
        assert_eq!(hub.key(), Some(one.public()));
        hub.meet(&shown(&two, Some(signed(&one, &two)))).expect("vouched for");
        assert_eq!(HubKey::open(path).expect("opened").key(), Some(two.public()));
    }

    #[test]
    fn an_older_journal_and_another_of_the_same_size_are_found_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("hub.pin");
        let key = SigningKey::from_seed(&[1; 32]).expect("a key");
        let hub = HubKey::open(path.clone()).expect("opened");
        hub.meet(&shown(&key, None)).expect("pinned");
        let head = |size, byte| JournalHead { size, root: [byte; 32] };
        hub.saw(head(7, 1)).expect("the first");
        hub.saw(head(9, 2)).expect("a newer one");
        let hub = HubKey::open(path).expect("opened again");
        hub.saw(head(9, 2)).expect("the same");
        assert!(matches!(hub.saw(head(7, 1)), Err(HubFault::OldHead { shown: 7, seen: 9 })));
        assert!(matches!(hub.saw(head(9, 3)), Err(HubFault::TwoFaces(9))));
        let newest = HubHead { size: 9, root: Hash::new([2; 32]) };
        assert_eq!(hub.journal(), Some(newest));
    }
}
