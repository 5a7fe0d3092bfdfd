//! Who is away and may be back in a moment: what a request may wait for.
//!
//! # Invariants
//! - Nobody is expected for longer than [`RETURN_WITHIN`] after the loss, or after the node's start.
//! - An agent that was revoked is not expected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::ids::{AccountId, AgentId, OwnerId};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::wire::control::Account;
use weft_store::{Agents, Page, PageSize, StoreError};

/// How long after its loss, or after the node's start, an agent is expected back: by then all
/// agents of a full hub have dialled again.
const RETURN_WITHIN: Duration = Duration::from_secs(30);
/// How long before a node's start an agent was seen at the latest for it to be expected there.
const SEEN_WITHIN: Duration = Duration::from_secs(24 * 3_600);
/// Accounts that are remembered as away. Nobody waits for a further one.
const AWAY_MAX: usize = 4_096;

/// Who is away.
#[derive(Debug)]
pub(super) struct Absent {
    /// Agents that have not announced themselves since the node's start.
    unseen: BTreeSet<AgentId>,
    /// Until when they are expected.
    unseen_until: Instant,
    /// Accounts whose tunnel was lost.
    lost: BTreeMap<AccountId, Lost>,
}

#[derive(Debug)]
struct Lost {
    account: Account,
    agent: AgentId,
    owner: OwnerId,
    until: Instant,
}

impl Absent {
    /// At a node's start at `now`, which expects those of `agents` that were connected lately, `most`
    /// of them at most.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn at_start(
        agents: &dyn Agents,
        now: Timestamp,
        most: usize,
    ) -> Result<Self, StoreError> {
        let mut page = Page { after: None, size: PageSize::clamped(u32::MAX) };
        let mut seen = BTreeSet::new();
        while seen.len() < most {
            let rows = agents.list(page).await?;
            let Some(last) = rows.last() else { break };
            page = page.next(last.id);
            let lately = rows.iter().filter(|agent| {
                agent.revoked_at.is_none()
                    && agent.last_seen_at.is_some_and(|at| now.since(at) <= SEEN_WITHIN)
            });
            seen.extend(lately.map(|agent| agent.id));
        }
        Ok(Self::new(seen))
    }

    /// At a node's start, at which it expects `unseen`.
    fn new(unseen: BTreeSet<AgentId>) -> Self {
        let unseen_until = Instant::now() + RETURN_WITHIN;
        Self { unseen, unseen_until, lost: BTreeMap::new() }
    }

    /// The tunnel of `agent` with the account was lost.
    pub(super) fn lost(&mut self, account: Account, agent: AgentId, owner: OwnerId) {
        let now = Instant::now();
        if self.lost.len() >= AWAY_MAX {
            self.lost.retain(|_, lost| lost.until > now);
        }
        if self.lost.len() < AWAY_MAX {
            let lost = Lost { account, agent, owner, until: now + RETURN_WITHIN };
            self.lost.insert(lost.account.id, lost);
        }
    }

    /// The agent has announced what it offers now, or is not to come back: it is not waited for.
    pub(super) fn settled(&mut self, agent: AgentId) {
        self.unseen.remove(&agent);
        self.lost.retain(|_, lost| lost.agent != agent);
    }

    /// Until when an account of `provider` that `would_do` may be back; none where none is expected.
    /// Nobody knows what an agent offers that was not seen yet: it may be anything.
    pub(super) fn expected_until(
        &self,
        provider: Provider,
        would_do: impl Fn(&Account, OwnerId) -> bool,
    ) -> Option<Instant> {
        let now = Instant::now();
        let unseen = (!self.unseen.is_empty()).then_some(self.unseen_until);
        let lost = self.lost.values().filter(|lost| {
            lost.account.provider == provider && would_do(&lost.account, lost.owner)
        });
        lost.map(|lost| lost.until).chain(unseen).filter(|until| *until > now).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::time::ManualClock;
    use weft_proto::wire::control::PermittedUse;

    fn account(entropy: &SeededEntropy) -> Account {
        Account {
            id: AccountId::generate(&ManualClock::new(Timestamp::from_secs(1)), entropy),
            provider: Provider::OpenAi,
            label: "an account".to_owned(),
            models: "gpt-*".parse().unwrap(),
            deployments: Vec::new(),
            concurrency_max: 1,
            permitted_use: PermittedUse::Application,
            place: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_is_expected_from_its_loss_until_it_is_back_or_overdue() {
        let entropy = SeededEntropy::new(1);
        let clock = ManualClock::new(Timestamp::from_secs(1));
        let owner = OwnerId::generate(&clock, &entropy);
        let (one, other) = (account(&entropy), account(&entropy));
        let [agent, twin] = [(); 2].map(|()| AgentId::generate(&clock, &entropy));
        let mut absent = Absent::new(BTreeSet::new());
        let expected = |absent: &Absent| absent.expected_until(Provider::OpenAi, |_, _| true);
        assert_eq!(expected(&absent), None);
        absent.lost(one, agent, owner);
        let first = Instant::now() + RETURN_WITHIN;
        assert_eq!(expected(&absent), Some(first));
        assert_eq!(absent.expected_until(Provider::Anthropic, |_, _| true), None);
        assert_eq!(absent.expected_until(Provider::OpenAi, |_, _| false), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        absent.lost(other, twin, owner);
        assert_eq!(expected(&absent), Some(Instant::now() + RETURN_WITHIN));
        absent.settled(twin);
        assert_eq!(expected(&absent), Some(first));
        tokio::time::advance(RETURN_WITHIN).await;
        assert_eq!(expected(&absent), None, "overdue");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_starts_expects_whom_it_knew_for_a_while() {
        let entropy = SeededEntropy::new(2);
        let agents = [(); 2]
            .map(|()| AgentId::generate(&ManualClock::new(Timestamp::from_secs(1)), &entropy));
        let mut absent = Absent::new(agents.into());
        let settled = Instant::now() + RETURN_WITHIN;
        let expected = |absent: &Absent| absent.expected_until(Provider::Azure, |_, _| false);
        absent.settled(agents[0]);
        assert_eq!(expected(&absent), Some(settled), "one is still to come");
        absent.settled(agents[1]);
        assert_eq!(expected(&absent), None, "all are here");
        let absent = Absent::new(agents.into());
        tokio::time::advance(RETURN_WITHIN).await;
        assert_eq!(expected(&absent), None, "they are overdue");
    }

    #[tokio::test(start_paused = true)]
    async fn of_more_than_it_remembers_those_that_are_overdue_give_way() {
        let entropy = SeededEntropy::new(3);
        let clock = ManualClock::new(Timestamp::from_secs(1));
        let owner = OwnerId::generate(&clock, &entropy);
        let agent = AgentId::generate(&clock, &entropy);
        let mut absent = Absent::new(BTreeSet::new());
        for _ in 0..=AWAY_MAX {
            absent.lost(account(&entropy), agent, owner);
        }
        assert_eq!(absent.lost.len(), AWAY_MAX);
        tokio::time::advance(RETURN_WITHIN).await;
        absent.lost(account(&entropy), agent, owner);
        assert_eq!(absent.lost.len(), 1);
    }
}
