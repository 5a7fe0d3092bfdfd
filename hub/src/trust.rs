//! Which agents may come in, as the handshake of the agents' door sees it.
//!
//! A table in memory, because a handshake cannot wait for a store: loaded whole before the door
//! opens, then told of each joining and each revocation after the store was. A revocation is never
//! taken back, in whatever order the two are told.
//!
//! Its size is the number of agents that ever joined, about 60 bytes each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{PoisonError, RwLock};
use weft_certs::{AgentTrust, Verdict};
use weft_proto::ids::AgentId;
use weft_store::{Agent, Agents, PAGE_ROWS_MAX, Page, PageSize, SpkiHash, StoreError};

/// The table of agents in memory.
#[derive(Debug, Default)]
pub struct Trust {
    agents: RwLock<BTreeMap<AgentId, Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    spki: SpkiHash,
    revoked: bool,
}

impl Trust {
    /// Reads all agents of the store.
    ///
    /// # Errors
    /// [`StoreError`] where a page cannot be read: a door must not open on half a table.
    pub async fn load(agents: &dyn Agents) -> Result<Self, StoreError> {
        let trust = Self::default();
        let mut page = Page { after: None, size: PageSize::clamped(PAGE_ROWS_MAX) };
        loop {
            let rows = agents.list(page).await?;
            rows.iter().for_each(|agent| trust.learn(agent));
            match rows.last() {
                Some(last) => page = page.next(last.id),
                None => return Ok(trust),
            }
        }
    }

    /// An agent as the store has it now: just joined, or just revoked.
    pub fn learn(&self, agent: &Agent) {
        let now = Known { spki: agent.spki, revoked: agent.revoked_at.is_some() };
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        match agents.entry(agent.id) {
            Entry::Occupied(mut known) => known.get_mut().revoked |= now.revoked,
            Entry::Vacant(place) => drop(place.insert(now)),
        }
    }
}

impl AgentTrust for Trust {
    fn verdict(&self, agent: AgentId, spki: weft_certs::SpkiHash) -> Verdict {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        match agents.get(&agent) {
            Some(known) if known.revoked => Verdict::Revoked,
            Some(known) if known.spki.as_bytes() == spki.as_bytes() => Verdict::Trusted,
            Some(_) | None => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::ids::OwnerId;
    use weft_proto::time::{ManualClock, Timestamp};
    use weft_store::Name;

    fn agent(seed: u64, revoked: bool) -> Agent {
        let (clock, entropy) =
            (ManualClock::new(Timestamp::from_secs(1)), SeededEntropy::new(seed));
        Agent {
            id: AgentId::generate(&clock, &entropy),
            owner: OwnerId::generate(&clock, &entropy),
            spki: SpkiHash::new([seed as u8; 32]),
            name: Name::parse("edge").unwrap(),
            joined_at: Timestamp::from_secs(1),
            revoked_at: revoked.then_some(Timestamp::from_secs(2)),
            last_seen_at: None,
        }
    }

    fn key(seed: u8) -> weft_certs::SpkiHash {
        weft_certs::SpkiHash::from_bytes([seed; 32])
    }

    #[test]
    fn only_a_known_agent_with_its_own_key_is_trusted() {
        let trust = Trust::default();
        let one = agent(1, false);
        assert_eq!(trust.verdict(one.id, key(1)), Verdict::Unknown);
        trust.learn(&one);
        assert_eq!(trust.verdict(one.id, key(1)), Verdict::Trusted);
        assert_eq!(trust.verdict(one.id, key(2)), Verdict::Unknown);
        assert_eq!(trust.verdict(agent(2, false).id, key(1)), Verdict::Unknown);
    }

    #[test]
    fn a_revocation_stands_though_the_joining_is_told_later() {
        let trust = Trust::default();
        trust.learn(&agent(1, true));
        trust.learn(&agent(1, false));
        assert_eq!(trust.verdict(agent(1, false).id, key(1)), Verdict::Revoked);
    }
}
