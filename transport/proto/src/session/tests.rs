//! Any order of messages: a session comes into force once, by the right greeting, or not at all.

use super::*;
use crate::entropy::SeededEntropy;
use crate::ids::{InstanceId, NodeId, SessionId};
use crate::time::{ManualClock, Timestamp};
use crate::wire::control::{AccountsPage, Features, RefuseCause};
use proptest::prelude::*;
use std::time::Duration;

fn ids() -> (ManualClock, SeededEntropy) {
    (ManualClock::new(Timestamp::from_secs(1)), SeededEntropy::new(5))
}

fn hello(agent: AgentId) -> Hello {
    let (clock, entropy) = ids();
    Hello {
        agent,
        instance: InstanceId::generate(&clock, &entropy),
        slot: 0,
        generation: 1,
        features: Features::default(),
        build: "test".to_owned(),
    }
}

fn welcome() -> Welcome {
    let (clock, entropy) = ids();
    Welcome {
        node: NodeId::generate(&clock, &entropy),
        session: SessionId::generate(&clock, &entropy),
        features: Features::default(),
        build: "test".to_owned(),
    }
}

const DRAIN: Drain = Drain { deadline: Duration::ZERO, reconnect_in: Duration::ZERO };
const REFUSE: Refuse =
    Refuse { cause: RefuseCause::Busy, retry_after: Duration::ZERO, permanent: false };

fn agent_message(agent: AgentId) -> impl Strategy<Value = AgentMessage> {
    prop_oneof![
        Just(AgentMessage::Hello(hello(agent))),
        any::<bool>()
            .prop_map(|last| AgentMessage::Accounts(AccountsPage { accounts: Vec::new(), last })),
        any::<u64>().prop_map(AgentMessage::Pong),
        Just(AgentMessage::Drain(DRAIN)),
        Just(AgentMessage::Unknown),
    ]
}

fn hub_message() -> impl Strategy<Value = HubMessage> {
    prop_oneof![
        Just(HubMessage::Welcome(welcome())),
        Just(HubMessage::Refuse(REFUSE)),
        any::<u64>().prop_map(HubMessage::Ping),
        Just(HubMessage::Drain(DRAIN)),
        Just(HubMessage::Revoked),
        Just(HubMessage::Unknown),
    ]
}

fn one_agent() -> AgentId {
    let (clock, entropy) = ids();
    AgentId::generate(&clock, &entropy)
}

proptest! {
    #[test]
    fn the_hub_takes_one_hello_first_and_no_other(
        messages in proptest::collection::vec(agent_message(one_agent()), 1..20)
    ) {
        let mut session = HubSession::new(one_agent());
        for (index, message) in messages.into_iter().enumerate() {
            let is_hello = matches!(message, AgentMessage::Hello(_));
            match session.receive(message) {
                Ok(HubEvent::Hello(_)) => prop_assert!(index == 0 && is_hello),
                Ok(_) => prop_assert!(index > 0 && !is_hello),
                Err(_) => {
                    prop_assert!((index == 0) != is_hello);
                    return Ok(());
                }
            }
        }
    }

    #[test]
    fn the_agent_answers_no_ping_before_it_is_welcome(
        messages in proptest::collection::vec(hub_message(), 1..20)
    ) {
        let (mut session, mut welcomed) = (AgentSession::default(), false);
        for message in messages {
            match session.receive(message) {
                Ok(AgentEvent::Welcome(_)) => {
                    prop_assert!(!welcomed);
                    welcomed = true;
                }
                Ok(AgentEvent::Ping(_) | AgentEvent::Drain(_) | AgentEvent::Ledger(_)) => {
                    prop_assert!(welcomed);
                }
                Ok(AgentEvent::Refused(_)) => prop_assert!(!welcomed),
                Ok(AgentEvent::Revoked | AgentEvent::Nothing) => {}
                Err(_) => return Ok(()),
            }
        }
    }
}

#[test]
fn a_hello_in_another_agents_name_is_malformed() {
    let (clock, entropy) = ids();
    entropy.next_u64_for_test();
    let other = AgentId::generate(&clock, &entropy);
    let mut session = HubSession::new(one_agent());
    assert!(session.receive(AgentMessage::Hello(hello(other))).is_err());
}

trait Skip {
    fn next_u64_for_test(&self);
}

impl Skip for SeededEntropy {
    fn next_u64_for_test(&self) {
        crate::entropy::Entropy::next_u64(self);
    }
}
