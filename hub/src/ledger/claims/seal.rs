//! The MAC of tickets: what tells a dispatch of this hub from an invented one.
//!
//! The key is 32 random bytes in a file of the data directory, made at the first start, for the
//! hub's user alone. Nodes of one hub share the file: any of them takes any other's tickets. Agents
//! never have it.

use crate::keyfile::{self, KeyFileError};
use aws_lc_rs::hmac;
use std::path::Path;
use std::sync::Arc;
use weft_proto::entropy::Entropy;
use weft_proto::wire::ticket::Ticket;

/// The file of the key, inside the data directory.
pub const TICKET_KEY_FILE: &str = "ticket.key";
/// Length of the key, bytes.
const KEY_BYTES: usize = 32;

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
    /// [`KeyFileError`].
    pub fn open(data: &Path, entropy: &dyn Entropy) -> Result<Self, KeyFileError> {
        keyfile::open::<KEY_BYTES>(data, TICKET_KEY_FILE, entropy).map(|key| Self::new(&key))
    }

    /// Reads the key of the data directory, and never makes one. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn existing(data: &Path) -> Result<Self, KeyFileError> {
        keyfile::existing::<KEY_BYTES>(data, TICKET_KEY_FILE).map(|key| Self::new(&key))
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
    fn the_key_is_made_once_and_a_damaged_one_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut sealed = ticket();
        TicketSealer::open(dir.path(), &SeededEntropy::new(1)).expect("made").seal(&mut sealed);
        let again = TicketSealer::open(dir.path(), &SeededEntropy::new(2)).expect("read");
        assert!(again.holds(&sealed));
        let path = dir.path().join(TICKET_KEY_FILE);
        std::fs::write(&path, "short").expect("written");
        let damaged = TicketSealer::open(dir.path(), &SeededEntropy::new(3));
        assert!(matches!(damaged, Err(KeyFileError::Damaged { .. })), "{damaged:?}");
    }
}
