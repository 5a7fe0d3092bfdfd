//! Any value of the wire, within its limits.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;
use weft_proto::model::{ModelPattern, ModelPatterns};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::wire::control::{
    Account, AccountsPage, AgentMessage, Deployment, Drain, Features, Health, Hello, HubMessage,
    PermittedUse, Refuse, RefuseCause, Welcome,
};
use weft_proto::wire::head::{AnswerHead, RequestHead, SwitchedHead, Ticket};
use weft_proto::wire::join::{JoinAnswer, JoinRefusal, JoinRequest};

macro_rules! any_id {
    ($name:ident) => {
        any::<[u8; 16]>().prop_map(|bytes| weft_proto::ids::$name::from_slice(&bytes).unwrap())
    };
}

/// Text of at most 256 bytes: 64 characters of at most four bytes.
fn text() -> impl Strategy<Value = String> {
    "\\PC{0,64}"
}

fn millis() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|millis| Duration::from_millis(millis.into()))
}

fn provider() -> impl Strategy<Value = Provider> {
    proptest::sample::select(Provider::ALL.to_vec())
}

fn drain() -> impl Strategy<Value = Drain> {
    (millis(), millis()).prop_map(|(deadline, reconnect_in)| Drain { deadline, reconnect_in })
}

fn patterns() -> impl Strategy<Value = ModelPatterns> {
    vec("[a-z0-9*.:-]{1,40}", 0..8).prop_map(|texts| {
        let patterns = texts.iter().filter_map(|text| ModelPattern::parse(text).ok());
        ModelPatterns::new(patterns).unwrap()
    })
}

fn permitted_use() -> impl Strategy<Value = PermittedUse> {
    prop_oneof![
        Just(PermittedUse::Own),
        Just(PermittedUse::Organisation),
        Just(PermittedUse::Application),
        text().prop_map(|reference| PermittedUse::Licensed { reference }),
    ]
}

pub(crate) fn account() -> impl Strategy<Value = Account> {
    let deployment = (text(), text()).prop_map(|(name, model)| Deployment { name, model });
    let parts = (
        any_id!(AccountId),
        provider(),
        text(),
        patterns(),
        vec(deployment, 0..8),
        any::<u32>(),
        permitted_use(),
    );
    parts.prop_map(|(id, provider, label, models, deployments, concurrency_max, permitted_use)| {
        Account { id, provider, label, models, deployments, concurrency_max, permitted_use }
    })
}

fn hello() -> impl Strategy<Value = Hello> {
    let parts = (
        any_id!(AgentId),
        any_id!(InstanceId),
        0..weft_proto::limits::SLOTS_MAX,
        any::<u64>(),
        any::<u64>(),
        text(),
    );
    parts.prop_map(|(agent, instance, slot, generation, features, build)| Hello {
        agent,
        instance,
        slot,
        generation,
        features: Features(features),
        build,
    })
}

pub(crate) fn agent_message() -> impl Strategy<Value = AgentMessage> {
    let accounts = (vec(account(), 0..3), any::<bool>())
        .prop_map(|(accounts, last)| AgentMessage::Accounts(AccountsPage { accounts, last }));
    let health = (any_id!(AccountId), millis())
        .prop_map(|(account, paused_for)| AgentMessage::Health(Health { account, paused_for }));
    prop_oneof![
        hello().prop_map(AgentMessage::Hello),
        accounts,
        health,
        any::<u64>().prop_map(AgentMessage::Pong),
        drain().prop_map(AgentMessage::Drain),
    ]
}

pub(crate) fn hub_message() -> impl Strategy<Value = HubMessage> {
    let welcome = (any_id!(NodeId), any_id!(SessionId), any::<u64>(), text()).prop_map(
        |(node, session, features, build)| {
            HubMessage::Welcome(Welcome { node, session, features: Features(features), build })
        },
    );
    let cause = proptest::sample::select(RefuseCause::ALL.to_vec());
    let refuse = (cause, millis(), any::<bool>()).prop_map(|(cause, retry_after, permanent)| {
        HubMessage::Refuse(Refuse { cause, retry_after, permanent })
    });
    prop_oneof![
        welcome,
        refuse,
        any::<u64>().prop_map(HubMessage::Ping),
        drain().prop_map(HubMessage::Drain),
        Just(HubMessage::Revoked),
    ]
}

/// Header lines of any names and values, names repeated, values with every byte that may stand in
/// one: from 0x20 but 0x7f, and the tab.
pub(crate) fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof!["[a-c]", "[!#$%&'*+.^_`|~0-9a-z-]{1,40}"];
    let byte = any::<u8>().prop_map(|byte| match byte {
        b'\t' | b' '..=b'~' | 0x80.. => byte,
        _ => b'\t',
    });
    vec((name, vec(byte, 0..60)), 0..40).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(&value).unwrap(),
            );
        }
        headers
    })
}

pub(crate) fn request_head() -> impl Strategy<Value = RequestHead> {
    let ticket = (any_id!(ExchangeId), 1..=u8::MAX, any_id!(AccountId), any::<u64>()).prop_map(
        |(exchange, attempt, account, issued_at)| Ticket {
            exchange,
            attempt,
            account,
            issued_at: Timestamp::from_micros(issued_at),
        },
    );
    let method = "[A-Z]{1,20}".prop_map(|text| Method::from_bytes(text.as_bytes()).unwrap());
    let parts = (ticket, provider(), method, "/\\PC{0,200}", headers(), millis(), any::<bool>());
    parts.prop_map(|(ticket, provider, method, target, headers, head_within, upgrade)| {
        RequestHead { ticket, provider, method, target, headers, head_within, upgrade }
    })
}

pub(crate) fn answer_head() -> impl Strategy<Value = AnswerHead> {
    let parts = (200..1000_u16, headers(), any::<bool>(), any::<bool>());
    parts.prop_map(|(status, headers, account_fault, framed)| AnswerHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        account_fault,
        framed,
    })
}

pub(crate) fn switched_head() -> impl Strategy<Value = SwitchedHead> {
    headers().prop_map(|headers| SwitchedHead { headers })
}

pub(crate) fn join_request() -> impl Strategy<Value = JoinRequest> {
    let parts = (any::<Option<[u8; 32]>>(), vec(any::<u8>(), 0..2_000), text());
    parts.prop_map(|(token, csr, name)| JoinRequest { token, csr, name })
}

pub(crate) fn join_answer() -> impl Strategy<Value = JoinAnswer> {
    let chain = vec(vec(any::<u8>(), 1..2_000), 1..=4);
    prop_oneof![
        (any_id!(AgentId), chain).prop_map(|(agent, chain)| JoinAnswer::Joined { agent, chain }),
        proptest::sample::select(JoinRefusal::ALL.to_vec()).prop_map(JoinAnswer::Refused),
    ]
}
