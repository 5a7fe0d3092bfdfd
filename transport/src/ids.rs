//! Connection ids of the hub: known to every life of it, and never given twice.
//!
//! ```text
//!   6 bytes of nonce │ 4 bytes of HMAC over it, by a key that survives a restart
//! ```
//! A hub that was killed tells the agents of the life before, by a stateless reset, that their
//! tunnels are gone; the HMAC says whether an id is one of its own. That takes more than knowing the
//! key: an id of the life before that the new life gives to another agent leads to that agent's
//! tunnel, where the packet is dropped as damaged, and the agent that sent it learns of the kill by
//! silence alone. quinn's own ids have a nonce of three bytes: of ten thousand agents, with eight
//! ids each, some fifty meet so.

use aws_lc_rs::hmac;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use std::time::Duration;
use weft_proto::entropy::Entropy;

/// What the key of the connection ids is derived for, from the reset key.
const CONNECTION_IDS: &[u8] = b"weft connection ids";

/// So many ids are given before two are likely to meet: 2 to the power of half its bits.
const NONCE_BYTES: usize = 6;
/// Of so many packets that bear no id of the hub's, 2 to the power of its bits, one is answered.
const TAG_BYTES: usize = 4;
const ID_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// Gives connection ids, and knows those of other lives of the same hub.
#[derive(Debug, Clone)]
pub(crate) struct HubIds {
    /// The same in each life.
    key: hmac::Key,
    /// This life's own: nonces are unlike one another to whoever does not know it.
    nonces: hmac::Key,
    given: u64,
}

impl HubIds {
    /// Ids of the hub with this reset key, in a life of its own.
    pub(crate) fn new(reset_key: &hmac::Key, entropy: &dyn Entropy) -> Self {
        let mut life = [0; 32];
        entropy.fill(&mut life);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(reset_key, CONNECTION_IDS).as_ref()),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, &life),
            given: 0,
        }
    }
}

impl ConnectionIdGenerator for HubIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.given += 1;
        let chance = hmac::sign(&self.nonces, &self.given.to_le_bytes());
        let mut id = [0; ID_BYTES];
        let (nonce, tag) = id.split_at_mut(NONCE_BYTES);
        nonce.copy_from_slice(&chance.as_ref()[..NONCE_BYTES]);
        tag.copy_from_slice(&hmac::sign(&self.key, nonce).as_ref()[..TAG_BYTES]);
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let (nonce, tag) = id.split_at_checked(NONCE_BYTES).ok_or(InvalidCid)?;
        // Not in constant time: whoever guesses an id is answered by a reset that nobody believes.
        match hmac::sign(&self.key, nonce).as_ref()[..TAG_BYTES] == *tag {
            true => Ok(()),
            false => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use weft_proto::entropy::SeededEntropy;

    /// What ten thousand agents have.
    const IDS: usize = 80_000;

    fn life(reset_key: u8, seed: u64) -> HubIds {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[reset_key; 32]);
        HubIds::new(&key, &SeededEntropy::new(seed))
    }

    #[test]
    fn no_life_gives_an_id_of_the_life_before() {
        let (mut before, mut after) = (life(7, 1), life(7, 2));
        let mut given = BTreeSet::new();
        for _ in 0..IDS {
            for id in [before.generate_cid(), after.generate_cid()] {
                assert_eq!(id.len(), before.cid_len());
                assert!(given.insert(id.to_vec()), "an id was given twice");
            }
        }
    }

    #[test]
    fn each_life_knows_the_ids_of_the_others_and_no_more() {
        let (mut before, after) = (life(7, 1), life(7, 2));
        for _ in 0..100 {
            let id = before.generate_cid();
            assert!(after.validate(&id).is_ok());
            assert!(life(8, 1).validate(&id).is_err(), "another hub's id");
            for place in 0..id.len() {
                let mut other = id.to_vec();
                other[place] ^= 1;
                assert!(after.validate(&ConnectionId::new(&other)).is_err(), "a made-up id");
            }
        }
        assert!(after.validate(&ConnectionId::new(&[])).is_err());
        assert!(after.validate(&ConnectionId::new(&[0; NONCE_BYTES])).is_err());
    }
}
