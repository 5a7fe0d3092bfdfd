//! Names of things: one id type per noun, all UUIDv7, so that ids sort by the time they were made.
//!
//! An id says which thing is meant and nothing else. Ids are made from a [`Clock`] and an
//! [`Entropy`], never from the machine's own, so that a simulation with the same seed makes the
//! same ids.

use crate::entropy::Entropy;
use crate::time::Clock;
use std::fmt;
use std::str::FromStr;

/// A text or byte string that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: want a UUID such as 01920c1e-7b8a-7000-8000-000000000000")]
pub struct InvalidId(());

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// Makes a fresh id from the time of `clock` and the chance of `entropy`.
            #[must_use]
            pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(clock, entropy))
            }

            /// Takes the 16 bytes of an id as they stand on the wire, big-endian.
            ///
            /// # Errors
            /// [`InvalidId`] unless there are exactly 16 bytes.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidId> {
                uuid::Uuid::from_slice(bytes).map(Self).map_err(|_| InvalidId(()))
            }

            /// The 16 bytes of the id as they stand on the wire, big-endian.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                uuid::Uuid::try_parse(text).map(Self).map_err(|_| InvalidId(()))
            }
        }
    )*};
}

ids! {
    /// One user request and its answer.
    ExchangeId;
    /// Who consumes and pays.
    UserId;
    /// One `wk-…` secret of a user; the id is not secret.
    KeyId;
    /// Who runs agents and earns.
    OwnerId;
    /// One edge process's identity, given by the hub when it joins.
    AgentId;
    /// One provider credential in an agent's vault, named by the agent.
    AccountId;
    /// One installation of hub nodes that share an authority: the name agents pin.
    HubId;
    /// One hub process.
    NodeId;
    /// One run of an agent process: two copies of one data directory differ in it.
    InstanceId;
    /// One accepted tunnel.
    SessionId;
    /// One invitation to join.
    InviteId;
    /// One reservation of a user's balance by a node.
    LeaseId;
}

/// UUIDv7 with the millisecond of `clock` and 74 bits of `entropy`.
fn uuid_v7(clock: &dyn Clock, entropy: &dyn Entropy) -> uuid::Uuid {
    let mut random = [0u8; 10];
    entropy.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(clock.now().as_millis(), &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;
    use crate::time::{ManualClock, Timestamp};

    #[test]
    fn ids_of_one_seed_and_clock_are_the_same_and_sort_by_time() {
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let first = ExchangeId::generate(&clock, &SeededEntropy::new(7));
        let again = ExchangeId::generate(&clock, &SeededEntropy::new(7));
        assert_eq!(first, again);
        clock.advance(std::time::Duration::from_millis(1));
        assert!(ExchangeId::generate(&clock, &SeededEntropy::new(8)) > first);
    }

    #[test]
    fn text_and_bytes_round_trip_and_junk_is_refused() {
        let clock = ManualClock::new(Timestamp::from_millis(1));
        let id = AgentId::generate(&clock, &SeededEntropy::new(1));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(AgentId::from_slice(id.as_bytes()), Ok(id));
        assert!(AgentId::from_slice(&[0; 15]).is_err());
        assert!("agent".parse::<AgentId>().is_err());
    }
}
