//! Which session of an agent is in force: the rule by which a newer tunnel takes over.
//!
//! A session's key is (agent, slot). A higher generation of the same instance replaces the one in
//! force at once, and never waits for it. Another instance takes over once: a restarted process is
//! another instance, and must come in. An instance that was taken over from and comes back inside
//! [`DUPLICATE_WINDOW`] proves that two or more processes hold one identity: all are parked until
//! the window has passed, or they would evict each other for ever.
//!
//! What is remembered is bounded: slots per agent by the wire, instances per slot by
//! [`OUSTED_INSTANCES_MAX`].

use crate::ids::{AgentId, InstanceId, SessionId};
use crate::limits::{DUPLICATE_WINDOW, OUSTED_INSTANCES_MAX};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a HELLO leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The session is in force; the one named before it is not, and is to be closed.
    InForce {
        /// The session it took over from.
        replaces: Option<SessionId>,
    },
    /// A session of the same or a higher generation is in force.
    Stale,
    /// Two instances hold one identity; the session named is to be closed as well.
    Duplicate {
        /// The session that was in force.
        closes: Option<SessionId>,
        /// How long both stay out.
        parked_for: Duration,
    },
}

#[derive(Debug, Clone, Default)]
struct Slot {
    current: Option<Current>,
    /// The instances taken over from, and when, oldest first.
    ousted: VecDeque<(InstanceId, Duration)>,
    parked_until: Option<Duration>,
}

impl Slot {
    fn was_ousted(&self, instance: InstanceId) -> bool {
        self.ousted.iter().any(|(ousted, _)| *ousted == instance)
    }

    fn oust(&mut self, instance: InstanceId, now: Duration) {
        if self.ousted.len() == OUSTED_INSTANCES_MAX {
            self.ousted.pop_front();
        }
        self.ousted.push_back((instance, now));
    }

    /// Forgets what lies further back than the window.
    fn forget(&mut self, now: Duration) {
        self.ousted.retain(|(_, at)| now < *at + DUPLICATE_WINDOW);
    }
}

#[derive(Debug, Clone, Copy)]
struct Current {
    session: SessionId,
    instance: InstanceId,
    generation: u64,
}

/// The sessions in force on one node. Times are durations by a clock that never goes back.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    slots: BTreeMap<(AgentId, u32), Slot>,
}

impl Roster {
    /// Decides on a HELLO that arrived at `now`.
    pub fn enter(
        &mut self,
        agent: AgentId,
        slot: u32,
        instance: InstanceId,
        generation: u64,
        session: SessionId,
        now: Duration,
    ) -> Entry {
        let slot = self.slots.entry((agent, slot)).or_default();
        if let Some(until) = slot.parked_until {
            if now < until {
                let closes = slot.current.take().map(|current| current.session);
                return Entry::Duplicate { closes, parked_for: until - now };
            }
            *slot = Slot::default();
        }
        slot.forget(now);
        let replaces = match slot.current {
            Some(current) if current.instance == instance => {
                if generation <= current.generation {
                    return Entry::Stale;
                }
                Some(current.session)
            }
            Some(current) => {
                if slot.was_ousted(instance) {
                    slot.parked_until = Some(now + DUPLICATE_WINDOW);
                    slot.current = None;
                    return Entry::Duplicate {
                        closes: Some(current.session),
                        parked_for: DUPLICATE_WINDOW,
                    };
                }
                slot.oust(current.instance, now);
                Some(current.session)
            }
            None => None,
        };
        slot.current = Some(Current { session, instance, generation });
        Entry::InForce { replaces }
    }

    /// The session ended. Only the one in force counts: a replaced one that ends later takes
    /// nothing with it.
    pub fn leave(&mut self, agent: AgentId, slot: u32, session: SessionId, now: Duration) {
        let Some(entry) = self.slots.get_mut(&(agent, slot)) else {
            return;
        };
        if entry.current.is_some_and(|current| current.session == session) {
            entry.current = None;
        }
        entry.forget(now);
        let remembers =
            entry.parked_until.is_some_and(|until| now < until) || !entry.ousted.is_empty();
        if entry.current.is_none() && !remembers {
            self.slots.remove(&(agent, slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;
    use crate::time::{ManualClock, Timestamp};
    use proptest::prelude::*;

    const AT: Duration = Duration::from_secs(1);

    struct Ids(ManualClock, SeededEntropy);

    impl Ids {
        fn new() -> Self {
            Self(ManualClock::new(Timestamp::from_secs(1)), SeededEntropy::new(1))
        }
        fn session(&self) -> SessionId {
            SessionId::generate(&self.0, &self.1)
        }
        fn instance(&self) -> InstanceId {
            InstanceId::generate(&self.0, &self.1)
        }
        fn agent(&self) -> AgentId {
            AgentId::generate(&self.0, &self.1)
        }
    }

    #[test]
    fn a_higher_generation_replaces_at_once_and_a_lower_one_is_stale() {
        let ids = Ids::new();
        let (agent, instance, first, second) =
            (ids.agent(), ids.instance(), ids.session(), ids.session());
        let mut roster = Roster::default();
        assert_eq!(
            roster.enter(agent, 0, instance, 1, first, AT),
            Entry::InForce { replaces: None }
        );
        assert_eq!(
            roster.enter(agent, 0, instance, 2, second, AT),
            Entry::InForce { replaces: Some(first) }
        );
        assert_eq!(roster.enter(agent, 0, instance, 2, ids.session(), AT), Entry::Stale);
        // The replaced session's end must not take the new one with it.
        roster.leave(agent, 0, first, AT);
        assert_eq!(roster.enter(agent, 0, instance, 1, ids.session(), AT), Entry::Stale);
    }

    #[test]
    fn restarts_come_in_but_two_copies_are_both_parked_and_let_in_again_later() {
        let ids = Ids::new();
        let (agent, a, b) = (ids.agent(), ids.instance(), ids.instance());
        let mut roster = Roster::default();
        roster.enter(agent, 0, a, 1, ids.session(), AT);
        let of_b = ids.session();
        assert!(matches!(
            roster.enter(agent, 0, b, 1, of_b, AT),
            Entry::InForce { replaces: Some(_) }
        ));
        assert_eq!(
            roster.enter(agent, 0, a, 2, ids.session(), AT),
            Entry::Duplicate { closes: Some(of_b), parked_for: DUPLICATE_WINDOW }
        );
        let later = AT + Duration::from_secs(10);
        assert!(matches!(
            roster.enter(agent, 0, b, 2, ids.session(), later),
            Entry::Duplicate { closes: None, .. }
        ));
        assert_eq!(
            roster.enter(agent, 0, b, 3, ids.session(), AT + DUPLICATE_WINDOW),
            Entry::InForce { replaces: None }
        );
    }

    #[test]
    fn three_copies_that_take_turns_are_found_out_too() {
        let ids = Ids::new();
        let (agent, copies) = (ids.agent(), [ids.instance(), ids.instance(), ids.instance()]);
        let mut roster = Roster::default();
        for copy in copies {
            assert!(matches!(
                roster.enter(agent, 0, copy, 1, ids.session(), AT),
                Entry::InForce { .. }
            ));
        }
        assert!(matches!(
            roster.enter(agent, 0, copies[0], 2, ids.session(), AT),
            Entry::Duplicate { closes: Some(_), .. }
        ));
    }

    #[test]
    fn a_slot_forgets_and_leaves_nothing_behind() {
        let ids = Ids::new();
        let agent = ids.agent();
        let mut roster = Roster::default();
        let mut now = AT;
        for _ in 0..100 {
            roster.enter(agent, 0, ids.instance(), 1, ids.session(), now);
            now += Duration::from_secs(1);
        }
        assert!(roster.slots[&(agent, 0)].ousted.len() <= OUSTED_INSTANCES_MAX);
        let last = ids.session();
        now += DUPLICATE_WINDOW;
        roster.enter(agent, 0, ids.instance(), 1, last, now);
        roster.leave(agent, 0, last, now + DUPLICATE_WINDOW);
        assert!(roster.slots.is_empty());
    }

    proptest! {
        /// At most one session is in force per slot, and every other one was named to be closed,
        /// left by itself, or refused.
        #[test]
        fn at_most_one_session_is_in_force(
            steps in proptest::collection::vec((0usize..3, 0u64..6, any::<bool>(), 0u64..200), 1..100)
        ) {
            let ids = Ids::new();
            let agent = ids.agent();
            let instances = [ids.instance(), ids.instance(), ids.instance()];
            let (mut roster, mut live, mut now) = (Roster::default(), Vec::new(), AT);
            for (who, generation, leave, advance) in steps {
                now += Duration::from_secs(advance);
                if leave && let Some(session) = live.pop() {
                    roster.leave(agent, 0, session, now);
                    continue;
                }
                let session = ids.session();
                match roster.enter(agent, 0, instances[who], generation, session, now) {
                    Entry::InForce { replaces } => {
                        live.retain(|other| Some(*other) != replaces);
                        live.push(session);
                    }
                    Entry::Duplicate { closes, .. } => live.retain(|other| Some(*other) != closes),
                    Entry::Stale => {}
                }
                prop_assert!(live.len() <= 1);
            }
        }
    }
}
