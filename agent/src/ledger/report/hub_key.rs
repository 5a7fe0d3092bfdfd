//! The hub's ledger key, pinned: the first one that the hub shows over an authenticated tunnel. A
//! later one is taken only where the one before it has vouched for it, however many there were in
//! between; the words stay beside the log, so that what older keys have signed can be told from what
//! strangers have.

use crate::datadir::replace_file;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use weft_proto::ids::AgentId;
use weft_proto::ledger::{PublicKey, Signature};
use weft_proto::limits::HANDOVERS_MAX;
use weft_proto::wire::receipts::{Accepted, HANDOVER_BYTES, Handover, HubLedger};

/// The name of the file, in the ledger's directory.
pub(crate) const HUB_PIN: &str = "hub.pin";

/// The layout: version 1, the first key 32, then every key that followed 32 with the word of the one
/// before it 64.
const VERSION: u8 = 2;

/// The layout of before: version 1, key 32, and 41 bytes that said nothing that was signed.
const UNSIGNED_VERSION: u8 = 1;

/// What is wrong with what the hub shows of itself.
#[derive(Debug, thiserror::Error)]
pub enum HubFault {
    /// Its key is another, and the pinned one does not vouch for it.
    #[error("the hub's ledger key changed without the old one's word (hub_key_changed)")]
    KeyChanged,
    /// It changed its key more often than is kept.
    #[error("the hub changed its ledger key more than {HANDOVERS_MAX} times")]
    TooManyKeys,
    /// What it says to have taken is not signed by its key.
    #[error("the hub does not sign what it has taken of this ledger (hub_unsigned_head)")]
    Unsigned,
    /// What is known of it cannot be kept.
    #[error("what is known of the hub cannot be kept")]
    Disk(#[from] io::Error),
}

/// The keys of a hub, each vouched for by the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    first: PublicKey,
    later: Vec<(PublicKey, Signature)>,
}

impl Known {
    fn newest(&self) -> PublicKey {
        self.later.last().map_or(self.first, |(key, _)| *key)
    }

    fn keys(&self) -> impl Iterator<Item = PublicKey> {
        std::iter::once(self.first).chain(self.later.iter().map(|(key, _)| *key))
    }
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
        self.known().as_ref().map(Known::newest)
    }

    /// The pinned key, and those that it follows: the oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        self.known().as_ref().map(|known| known.keys().collect()).unwrap_or_default()
    }

    /// Takes the key that the hub shows, at first sight or with the pinned one's word, and what it
    /// says to have taken of `agent`'s ledger, which must be signed by it. Blocks on the disk where
    /// the key is new.
    ///
    /// # Errors
    /// [`HubFault`]: nothing was taken.
    pub fn meet(&self, agent: AgentId, hub: &HubLedger) -> Result<PublicKey, HubFault> {
        let shown = PublicKey::new(hub.key);
        if let Some(Accepted { head, signature }) = &hub.accepted {
            let signature = Signature::new(*signature);
            if !shown.verifies(&Accepted::signed(agent, head), &signature) {
                return Err(HubFault::Unsigned);
            }
        }
        let mut known = self.known();
        let new = match &*known {
            Some(before) if before.newest() == shown => return Ok(shown),
            Some(before) => followed(before, &hub.handovers, shown)?,
            None => Known { first: shown, later: Vec::new() },
        };
        write(&self.path, &new)?;
        *known = Some(new);
        Ok(shown)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys that were known and those that follow them up to `shown`, each with the word of the one
/// before.
fn followed(known: &Known, words: &[Handover], shown: PublicKey) -> Result<Known, HubFault> {
    let mut keys = known.clone();
    let newest = known.newest();
    let from = words.iter().position(|word| word.from == *newest.as_bytes());
    let words = from.and_then(|from| words.get(from..)).ok_or(HubFault::KeyChanged)?;
    let next = words.iter().skip(1).map(|word| PublicKey::new(word.from));
    for (word, to) in words.iter().zip(next.chain([shown])) {
        let signature = Signature::new(word.signature);
        if !keys.newest().verifies(&Handover::signed(to.as_bytes()), &signature) {
            return Err(HubFault::KeyChanged);
        }
        if keys.later.len() >= HANDOVERS_MAX {
            return Err(HubFault::TooManyKeys);
        }
        keys.later.push((to, signature));
    }
    Ok(keys)
}

fn write(path: &Path, known: &Known) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(33 + known.later.len() * HANDOVER_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(known.first.as_bytes());
    for (key, signature) in &known.later {
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(signature.as_bytes());
    }
    replace_file(path, &bytes)
}

fn parse(bytes: &[u8]) -> Option<Known> {
    let (version, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first_chunk()?;
    let mut known = Known { first: PublicKey::new(*first), later: Vec::new() };
    if *version == UNSIGNED_VERSION {
        return Some(known);
    }
    let (later, []) = rest.as_chunks::<HANDOVER_BYTES>() else {
        return None;
    };
    for one in later {
        let (key, signature) = one.split_first_chunk()?;
        let (key, signature) = (PublicKey::new(*key), Signature::new(signature.try_into().ok()?));
        // A file that was changed vouches for nobody.
        if !known.newest().verifies(&Handover::signed(key.as_bytes()), &signature) {
            return None;
        }
        known.later.push((key, signature));
    }
    (*version == VERSION && known.later.len() <= HANDOVERS_MAX).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::ledger::SigningKey;
    use weft_proto::wire::receipts::ChainHead;

    fn agent() -> AgentId {
        AgentId::from_slice(&[1; 16]).expect("an id")
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).expect("a key")
    }

    fn shown(key: &SigningKey, handovers: Vec<Handover>) -> HubLedger {
        HubLedger { key: *key.public().as_bytes(), handovers, accepted: None }
    }

    fn word(from: &SigningKey, by: &SigningKey, new: &SigningKey) -> Handover {
        Handover {
            from: *from.public().as_bytes(),
            signature: *by.sign(&Handover::signed(new.public().as_bytes())).as_bytes(),
        }
    }

    #[test]
    fn the_first_key_is_pinned_and_a_later_one_needs_its_word() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("hub.pin");
        let (one, two) = (key(1), key(2));
        let hub = HubKey::open(path.clone()).expect("opened");
        assert_eq!(hub.key(), None);
        assert_eq!(hub.meet(agent(), &shown(&one, Vec::new())).expect("pinned"), one.public());

        let hub = HubKey::open(path.clone()).expect("opened again");
        for nobody in [Vec::new(), vec![word(&two, &two, &two)], vec![word(&one, &two, &two)]] {
            let refused = hub.meet(agent(), &shown(&two, nobody));
            assert!(matches!(refused, Err(HubFault::KeyChanged)), "{refused:?}");
        }
        assert_eq!(hub.key(), Some(one.public()));
        hub.meet(agent(), &shown(&two, vec![word(&one, &one, &two)])).expect("vouched for");
        let again = HubKey::open(path).expect("opened");
        assert_eq!(again.keys(), [one.public(), two.public()]);
    }

    #[test]
    fn a_key_is_followed_over_those_that_were_missed_and_not_over_a_gap() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("hub.pin");
        let keys: Vec<_> = (1..=4).map(key).collect();
        let hub = HubKey::open(path.clone()).expect("opened");
        hub.meet(agent(), &shown(&keys[1], Vec::new())).expect("pinned");
        let words: Vec<_> = keys.windows(2).map(|two| word(&two[0], &two[0], &two[1])).collect();
        let gap = vec![words[0], words[2]];
        let refused = hub.meet(agent(), &shown(&keys[3], gap));
        assert!(matches!(refused, Err(HubFault::KeyChanged)), "{refused:?}");
        hub.meet(agent(), &shown(&keys[3], words)).expect("vouched for");
        let publics: Vec<_> = keys[1..].iter().map(SigningKey::public).collect();
        assert_eq!(HubKey::open(path.clone()).expect("opened").keys(), publics);

        let mut bytes = fs::read(&path).expect("read");
        bytes[40] ^= 1;
        fs::write(&path, &bytes).expect("changed");
        assert!(HubKey::open(path).is_err(), "a key that nobody vouched for was put in");
    }

    #[test]
    fn what_the_hub_says_to_have_taken_is_signed_for_this_agent() {
        let dir = tempfile::tempdir().expect("a folder");
        let hub = HubKey::open(dir.path().join("hub.pin")).expect("opened");
        let (one, two) = (key(1), key(2));
        let head = ChainHead { epoch: 1, size: 7, leaf: [3; 32] };
        let other = AgentId::from_slice(&[2; 16]).expect("an id");
        let said = |by: &SigningKey, agent| {
            let signature = *by.sign(&Accepted::signed(agent, &head)).as_bytes();
            HubLedger { accepted: Some(Accepted { head, signature }), ..shown(&one, Vec::new()) }
        };
        for forged in [said(&two, agent()), said(&one, other)] {
            let refused = hub.meet(agent(), &forged);
            assert!(matches!(refused, Err(HubFault::Unsigned)), "{refused:?}");
        }
        assert_eq!(hub.key(), None, "nothing is pinned by it");
        hub.meet(agent(), &said(&one, agent())).expect("signed");
    }

    #[test]
    fn the_file_of_before_still_pins_its_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("hub.pin");
        let one = key(1).public();
        fs::write(&path, [&[1], &one.as_bytes()[..], &[0; 41]].concat()).expect("written");
        assert_eq!(HubKey::open(path).expect("opened").key(), Some(one));
    }
}
