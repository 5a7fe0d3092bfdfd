//! The MAC of tickets: what tells a dispatch of this hub from an invented one.
//!
//! The key is 32 random bytes in a file of the data directory, made at the first start, for the
//! hub's user alone. Nodes of one hub share the file: any of them takes any other's tickets. Agents
//! never have it.

use aws_lc_rs::hmac;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weft_proto::entropy::Entropy;
use weft_proto::wire::ticket::Ticket;
use zeroize::Zeroizing;

/// The file of the key, inside the data directory.
pub const TICKET_KEY_FILE: &str = "ticket.key";
/// Length of the key, bytes.
const KEY_BYTES: usize = 32;
/// Readable by the hub's user alone.
const PRIVATE_MODE: u32 = 0o600;

/// Why there is no ticket key.
#[derive(Debug, thiserror::Error)]
pub enum TicketKeyError {
    /// The file cannot be read or made.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no key. It is not made anew: claims under it would be refused.
    #[error("{} is damaged: restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Seals tickets, and tells its own from others. Its `Debug` shows nothing of the key.
#[derive(Clone)]
pub struct TicketSealer(Arc<hmac::Key>);

impl std::fmt::Debug for TicketSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketSealer").finish_non_exhaustive()
    }
}

impl TicketSealer {
    /// The sealer with this key.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// Reads the key of the data directory; makes one where there is none. Blocks on the disk.
    ///
    /// # Errors
    /// [`TicketKeyError`].
    pub fn open(data: &Path, entropy: &dyn Entropy) -> Result<Self, TicketKeyError> {
        match Self::existing(data) {
            Err(TicketKeyError::File { path, source }) if source.kind() == ErrorKind::NotFound => {
                let failed = |source| TicketKeyError::File { path: path.clone(), source };
                let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
                entropy.fill(&mut *key);
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(PRIVATE_MODE)
                    .open(&path)
                    .and_then(|mut file| file.write_all(&*key).and_then(|()| file.sync_all()))
                    .and_then(|()| File::open(data)?.sync_all())
                    .map_err(failed)?;
                Ok(Self::new(&key))
            }
            opened => opened,
        }
    }

    /// Reads the key of the data directory, and never makes one. Blocks on the disk.
    ///
    /// # Errors
    /// [`TicketKeyError`].
    pub fn existing(data: &Path) -> Result<Self, TicketKeyError> {
        let path = data.join(TICKET_KEY_FILE);
        let failed = |source| TicketKeyError::File { path: path.clone(), source };
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
        let file = File::open(&path).map_err(failed)?;
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        match <&[u8; KEY_BYTES]>::try_from(bytes.as_slice()) {
            Ok(key) => Ok(Self::new(key)),
            Err(_) => Err(TicketKeyError::Damaged { path }),
        }
    }

    /// Puts the MAC on a ticket. One without terms has none.
    pub fn seal(&self, ticket: &mut Ticket) {
        if let Some(input) = ticket.mac_input() {
            ticket.mac.copy_from_slice(hmac::sign(&self.0, &input).as_ref());
        }
    }

    /// Whether a node of this hub made the ticket, with these terms.
    #[must_use]
    pub fn holds(&self, ticket: &Ticket) -> bool {
        ticket.mac_input().is_some_and(|input| hmac::verify(&self.0, &input, &ticket.mac).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::ids::{AccountId, ExchangeId, LeaseId};
    use weft_proto::money::{NanoUsd, Ratio};
    use weft_proto::prices::BookHash;
    use weft_proto::time::{ManualClock, Timestamp};
    use weft_proto::wire::ticket::Terms;

    fn ticket() -> Ticket {
        let clock = ManualClock::new(Timestamp::from_secs(1_700_000_000));
        let entropy = SeededEntropy::new(1);
        let mut ticket = Ticket::free(
            ExchangeId::generate(&clock, &entropy),
            1,
            AccountId::generate(&clock, &entropy),
            Timestamp::from_secs(1_700_000_000),
        );
        ticket.terms = Some(Terms {
            lease: LeaseId::generate(&clock, &entropy),
            counter: 7,
            book: BookHash::from_bytes([3; 32]),
            model: "gpt-4o".to_owned(),
            place: None,
            tier: Ratio::from_ppm(800_000),
            cap: NanoUsd::new(1_000_000),
        });
        ticket
    }

    #[test]
    fn a_ticket_that_was_changed_anywhere_does_not_hold() {
        let sealer = TicketSealer::new(&[9; 32]);
        let mut sealed = ticket();
        assert!(!sealer.holds(&sealed), "a ticket without its MAC");
        sealer.seal(&mut sealed);
        assert!(sealer.holds(&sealed));
        assert!(!TicketSealer::new(&[8; 32]).holds(&sealed), "another hub's key");
        let terms = |change: fn(&mut Terms)| {
            let mut changed = sealed.clone();
            change(changed.terms.as_mut().expect("terms"));
            changed
        };
        let changed = [
            Ticket { attempt: 2, ..sealed.clone() },
            Ticket { issued_at: Timestamp::from_secs(1), ..sealed.clone() },
            terms(|terms| terms.counter = 8),
            terms(|terms| terms.book = BookHash::from_bytes([4; 32])),
            terms(|terms| terms.model.push('x')),
            terms(|terms| terms.place = "eu".parse().ok()),
            terms(|terms| terms.tier = Ratio::ONE),
            terms(|terms| terms.cap = NanoUsd::new(1_000_001)),
        ];
        for ticket in changed {
            assert!(!sealer.holds(&ticket), "{ticket:?}");
        }
    }

    #[test]
    fn the_key_is_made_once_for_the_hub_alone_and_a_damaged_one_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut sealed = ticket();
        TicketSealer::open(dir.path(), &SeededEntropy::new(1)).expect("made").seal(&mut sealed);
        let again = TicketSealer::open(dir.path(), &SeededEntropy::new(2)).expect("read");
        assert!(again.holds(&sealed));
        let path = dir.path().join(TICKET_KEY_FILE);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "short").expect("written");
        let damaged = TicketSealer::open(dir.path(), &SeededEntropy::new(3));
        assert!(matches!(damaged, Err(TicketKeyError::Damaged { .. })), "{damaged:?}");
    }
}
