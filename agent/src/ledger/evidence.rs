//! What the hub has shown an agent of its journal, as a file that stands for itself: for another agent
//! of the same hub, which holds it against what it was shown.
//!
//! ```text
//!  {"weft_evidence":1, "agent":…, "hub":…, "sightings":[{"agent_key":…, "hub_key":…,
//!    "note":"weft-ledger/…", "nodes":"…"}, …]}          keys and nodes in hexadecimal digits
//! ```
//! Each note is a checkpoint of the agent's ledger with both signatures; the nodes show the head of
//! the journal that the hub's signature covers. Of each head there is the first sighting and the last.
//! Nothing in it is believed that is not signed by a key of the hub that the reader knows.

use super::LedgerError;
use super::read::read;
use crate::datadir::DataDir;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use weft_proto::ids::{AgentId, HubId};
use weft_proto::ledger::journal::{History, NotTaken, Sighting, Sightings};
use weft_proto::ledger::verify::Trust;
use weft_proto::ledger::{HASH_BYTES, Hash, PublicKey};
use weft_proto::limits::JOURNAL_NODES_MAX;

/// The layout's version.
const VERSION: u32 = 1;

/// Bytes of a file of evidence at most.
pub const EVIDENCE_BYTES_MAX: u64 = 64 << 20;

/// A file that is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum BadEvidence {
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It is longer than evidence is.
    #[error("it is longer than {EVIDENCE_BYTES_MAX} bytes")]
    TooLong,
    /// It is no such JSON.
    #[error("it is no evidence of this version")]
    Form(#[source] Option<serde_json::Error>),
    /// It is about another hub.
    #[error("it is about hub {0}")]
    AnotherHub(HubId),
    /// A statement in it is not signed as it must be.
    #[error("its statement {number} is not signed by its agent and by a known key of the hub")]
    Signature {
        /// Which one, from 1.
        number: usize,
    },
    /// A statement in it does not follow those before it.
    #[error("its statement {number} does not follow those before it")]
    Gap {
        /// Which one, from 1.
        number: usize,
    },
    /// What it holds contradicts itself: the hub signed it all the same.
    #[error("its statement {number}: {why}")]
    Contradiction {
        /// Which one, from 1.
        number: usize,
        /// How.
        why: NotTaken,
    },
}

/// A file of evidence.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    weft_evidence: u32,
    agent: AgentId,
    hub: HubId,
    sightings: Vec<WrittenSighting>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenSighting {
    agent_key: String,
    hub_key: String,
    note: String,
    nodes: String,
}

/// Gathers what the hub has shown the agent in `data`. An agent that is running goes on.
///
/// # Errors
/// [`LedgerError`].
pub fn gather(data: &DataDir) -> Result<Sightings, LedgerError> {
    let mut sightings = Sightings::default();
    read(data, Trust::default(), false, |entry| sightings.see(entry))?;
    Ok(sightings)
}

/// The file's bytes; none of a ledger that has no entry.
#[must_use]
pub fn written(sightings: &Sightings) -> Option<String> {
    let (agent, hub) = sightings.owner()?;
    let shown = sightings.kept().iter().map(|(agent_key, sighting)| {
        let Sighting { note, key, nodes } = sighting;
        WrittenSighting {
            agent_key: agent_key.to_string(),
            hub_key: key.to_string(),
            note: note.text(agent_key, Some((hub, key))),
            nodes: nodes.iter().map(ToString::to_string).collect(),
        }
    });
    let written = Written { weft_evidence: VERSION, agent, hub, sightings: shown.collect() };
    serde_json::to_string(&written).ok()
}

/// The journal as `sightings` show it, of those that one of `hub_keys` has signed.
#[must_use]
pub fn history(sightings: &Sightings, hub_keys: &[PublicKey]) -> History {
    let mut history = History::default();
    for (_, sighting) in sightings.kept().iter().filter(|(_, one)| hub_keys.contains(&one.key)) {
        // What does not hold changes nothing, and is told by the verifier already.
        seen(&mut history, sighting).ok();
    }
    history
}

fn seen(history: &mut History, sighting: &Sighting) -> Result<(), NotTaken> {
    let note = &sighting.note;
    let shown = note.cosignature.and_then(|made| Some((made.at_secs, made.journal?)));
    let (at_secs, shown) = shown.ok_or(NotTaken::Unfit)?;
    history.see(&note.statement, at_secs, &shown, &sighting.nodes).map(drop)
}

/// Reads the evidence of another agent of `hub`, whose keys are `hub_keys`.
///
/// # Errors
/// [`BadEvidence`].
pub fn open(
    path: &Path,
    hub: HubId,
    hub_keys: &[PublicKey],
) -> Result<(AgentId, History), BadEvidence> {
    let mut bytes = Vec::new();
    File::open(path)?.take(EVIDENCE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > EVIDENCE_BYTES_MAX {
        return Err(BadEvidence::TooLong);
    }
    let written: Written =
        serde_json::from_slice(&bytes).map_err(|error| BadEvidence::Form(Some(error)))?;
    if written.weft_evidence != VERSION {
        return Err(BadEvidence::Form(None));
    }
    if written.hub != hub {
        return Err(BadEvidence::AnotherHub(written.hub));
    }
    let mut history = History::default();
    for (number, one) in (1..).zip(&written.sightings) {
        let sighting = opened(one, hub, hub_keys)
            .filter(|sighting| sighting.note.statement.agent == written.agent)
            .ok_or(BadEvidence::Signature { number })?;
        match seen(&mut history, &sighting) {
            Ok(()) => {}
            // Left out, or put together otherwise than it was shown: that is the file's doing.
            Err(NotTaken::Unfit) => return Err(BadEvidence::Gap { number }),
            Err(why) => return Err(BadEvidence::Contradiction { number, why }),
        }
    }
    Ok((written.agent, history))
}

fn opened(one: &WrittenSighting, hub: HubId, hub_keys: &[PublicKey]) -> Option<Sighting> {
    let agent_key = PublicKey::new(digits(&one.agent_key)?);
    let key = PublicKey::new(digits(&one.hub_key)?);
    let nodes = one.nodes.as_bytes();
    if !hub_keys.contains(&key) || nodes.len() > JOURNAL_NODES_MAX * HASH_BYTES * 2 {
        return None;
    }
    let nodes = nodes
        .chunks(HASH_BYTES * 2)
        .map(|node| digits(str::from_utf8(node).ok()?).map(Hash::new))
        .collect::<Option<Vec<_>>>()?;
    Sighting::open(one.note.as_bytes(), &agent_key, hub, key, nodes).ok().flatten()
}

/// 32 bytes in hexadecimal digits.
pub(crate) fn digits(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
