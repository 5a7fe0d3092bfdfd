//! Who this agent is and whom it trusts, on disk: key, chain and hub record.
//!
//! Written in that order when joining, the hub record last: a directory with a hub record is a
//! joined one, and an interrupted joining starts over with the same key.

use crate::datadir::{self, DataDir};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use weft_certs::{
    AgentChain, AgentIdentity, AgentKey, FileError, HubAddress, IdentityError, Invite, Pins,
};
use weft_proto::entropy::Entropy;
use weft_proto::ids::HubId;

/// Longest hub record, in bytes.
const RECORD_BYTES_MAX: u64 = 16 * 1024;

/// What can be wrong with the identity's files.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFilesError {
    /// This directory has not joined a hub.
    #[error("this agent has not joined a hub: run `weft-agent join INVITE --data {}`", data.display())]
    NotJoined {
        /// The data directory.
        data: PathBuf,
    },
    /// This directory has joined a hub before.
    #[error("this agent belongs to hub {hub} already: use another --data for another hub")]
    JoinedAlready {
        /// The hub.
        hub: HubId,
    },
    /// A key or certificate file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Key and certificate do not belong together.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The hub record is damaged.
    #[error("{} is damaged: join again with a fresh invite", path.display())]
    Record {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot use {}", path.display())]
    System {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Which hub this agent belongs to, where it is and how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRecord {
    /// The hub.
    pub hub: HubId,
    /// The authorities that may vouch for its nodes.
    pub pins: Pins,
    /// Where its agents' doors are.
    pub addresses: Vec<HubAddress>,
}

#[derive(Serialize, Deserialize)]
struct RecordText {
    hub: HubId,
    pins: String,
    addresses: Vec<String>,
}

impl HubRecord {
    /// What an invite says about its hub.
    #[must_use]
    pub fn of(invite: &Invite) -> Self {
        Self { hub: invite.hub(), pins: invite.pins(), addresses: invite.addresses().to_vec() }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text: RecordText = serde_json::from_slice(bytes).ok()?;
        let addresses: Result<Vec<HubAddress>, _> =
            text.addresses.iter().map(|address| address.parse()).collect();
        Some(Self {
            hub: text.hub,
            pins: text.pins.parse().ok()?,
            addresses: addresses.ok().filter(|list| !list.is_empty())?,
        })
    }

    fn to_json(&self) -> Vec<u8> {
        let text = RecordText {
            hub: self.hub,
            pins: self.pins.to_string(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
        };
        // Strings and an id have no way to fail.
        serde_json::to_vec_pretty(&text).unwrap_or_default()
    }
}

/// The identity's files in a data directory. Calls block.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    data: DataDir,
}

impl IdentityFiles {
    /// The files of `data`.
    #[must_use]
    pub const fn new(data: DataDir) -> Self {
        Self { data }
    }

    fn key_file(&self) -> PathBuf {
        self.data.identity_dir().join("agent.key")
    }

    fn chain_file(&self) -> PathBuf {
        self.data.identity_dir().join("agent.pem")
    }

    fn record_file(&self) -> PathBuf {
        self.data.identity_dir().join("hub.json")
    }

    /// The identity and the hub of a directory that has joined.
    ///
    /// # Errors
    /// [`IdentityFilesError::NotJoined`] where it has not, the others where files are damaged.
    pub fn load(&self) -> Result<(AgentIdentity, HubRecord), IdentityFilesError> {
        let record = self
            .record()?
            .ok_or_else(|| IdentityFilesError::NotJoined { data: self.data.root().to_owned() })?;
        let key = AgentKey::load(&self.key_file())?;
        let chain = AgentChain::load(&self.chain_file())?;
        Ok((AgentIdentity::new(key, chain)?, record))
    }

    /// The hub that this directory has joined, if it has.
    ///
    /// # Errors
    /// [`IdentityFilesError`] where the record cannot be read.
    pub fn record(&self) -> Result<Option<HubRecord>, IdentityFilesError> {
        let path = self.record_file();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > RECORD_BYTES_MAX => {
                return Err(IdentityFilesError::Record { path });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IdentityFilesError::System { path, source }),
        }
        let bytes = fs::read(&path)
            .map_err(|source| IdentityFilesError::System { path: path.clone(), source })?;
        HubRecord::parse(&bytes).map(Some).ok_or(IdentityFilesError::Record { path })
    }

    /// The key to join with: the one that an interrupted joining left, or a fresh one.
    ///
    /// # Errors
    /// [`IdentityFilesError`] where it cannot be read or written.
    pub fn joining_key(&self, entropy: &dyn Entropy) -> Result<AgentKey, IdentityFilesError> {
        let dir = self.data.identity_dir();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|source| IdentityFilesError::System { path: dir, source })?;
        match AgentKey::load(&self.key_file()) {
            Ok(key) => Ok(key),
            Err(error) if error.is_missing() => {
                let key = AgentKey::generate(entropy);
                key.save(&self.key_file())?;
                Ok(key)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what joining gave; the record last.
    ///
    /// # Errors
    /// [`IdentityFilesError`] where a file cannot be written.
    pub fn save(&self, chain: &AgentChain, record: &HubRecord) -> Result<(), IdentityFilesError> {
        chain.save(&self.chain_file())?;
        let path = self.record_file();
        datadir::replace_file(&path, &record.to_json())
            .map_err(|source| IdentityFilesError::System { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_certs::SpkiHash;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::time::{ManualClock, Timestamp};

    #[test]
    fn a_hub_record_round_trips_and_junk_is_none() {
        let clock = ManualClock::new(Timestamp::from_secs(1));
        let record = HubRecord {
            hub: HubId::generate(&clock, &SeededEntropy::new(1)),
            pins: Pins {
                current: SpkiHash::from_bytes([1; 32]),
                next: SpkiHash::from_bytes([2; 32]),
            },
            addresses: vec!["hub.example:7443".parse().expect("address")],
        };
        assert_eq!(HubRecord::parse(&record.to_json()), Some(record));
        assert_eq!(HubRecord::parse(b"{}"), None);
    }

    #[test]
    fn a_directory_that_never_joined_says_what_to_do() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let files = IdentityFiles::new(DataDir::open(dir.path()).expect("data"));
        let error = files.load().expect_err("not joined");
        assert!(error.to_string().contains("weft-agent join"));
        let key = files.joining_key(&SeededEntropy::new(1)).expect("key").spki_hash();
        let again = files.joining_key(&SeededEntropy::new(2)).expect("key").spki_hash();
        assert_eq!(key, again, "an interrupted joining keeps its key");
    }
}
