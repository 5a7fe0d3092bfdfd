//! Any value of the wire, within its limits.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;
use weft_proto::limits::{BOOKS_MAX, PRICE_BOOK_BYTES_MAX};
use weft_proto::model::{ModelPattern, ModelPatterns};
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::prices::{BookHash, Label};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::wire::control::{
    Account, AccountsPage, AgentMessage, Deployment, Drain, Features, Health, Hello, HubMessage,
    PermittedUse, Refuse, RefuseCause, Welcome,
};
use weft_proto::wire::head::{AnswerHead, RequestHead, SwitchedHead, Terms, Ticket};
use weft_proto::wire::join::{JoinAnswer, JoinRefusal, JoinRequest};
use weft_proto::wire::receipts::{
    Accepted, Ack, AckBatch, AgentLedger, ChainFault, ChainHead, Cosigned, Handover, HubLedger,
    JournalHead, LedgerFault, PricesOffer, Showing, Verdict,
};

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
        place(),
    );
    parts.prop_map(|parts| {
        let (id, provider, label, models, deployments, concurrency_max, permitted_use, place) =
            parts;
        Account { id, provider, label, models, deployments, concurrency_max, permitted_use, place }
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
        agent_ledger().prop_map(AgentMessage::Ledger),
    ]
}

fn chain_head() -> impl Strategy<Value = ChainHead> {
    (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(epoch, size, leaf)| ChainHead {
        epoch,
        size,
        leaf,
    })
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    vec(any::<u8>(), 64).prop_map(|bytes| bytes.try_into().unwrap())
}

fn handover() -> impl Strategy<Value = Option<Handover>> {
    let handover =
        (any::<[u8; 32]>(), signature()).prop_map(|(from, signature)| Handover { from, signature });
    proptest::option::of(handover)
}

fn agent_ledger() -> impl Strategy<Value = AgentLedger> {
    let books = vec(any::<[u8; 32]>().prop_map(BookHash::from_bytes), 0..=BOOKS_MAX);
    let parts = (any::<[u8; 32]>(), handover(), proptest::option::of(chain_head()), books);
    parts.prop_map(|(key, handover, head, books)| AgentLedger { key, handover, head, books })
}

fn ack() -> impl Strategy<Value = Ack> {
    let verdict = proptest::sample::select(Verdict::ALL.to_vec());
    let parts = (any_id!(ExchangeId), 1..=u8::MAX, any::<u64>(), verdict, 0..=i64::MAX);
    parts.prop_map(|(exchange, attempt, seq, verdict, amount)| Ack {
        exchange,
        attempt,
        seq,
        verdict,
        amount: NanoUsd::new(amount),
    })
}

fn ledger_word() -> impl Strategy<Value = HubMessage> {
    let accepted =
        (chain_head(), signature()).prop_map(|(head, signature)| Accepted { head, signature });
    let handovers = vec(handover().prop_filter_map("a key before", |handover| handover), 0..3);
    let ledger = (any::<[u8; 32]>(), handovers, proptest::option::of(accepted))
        .prop_map(|(key, handovers, accepted)| HubLedger { key, handovers, accepted });
    let size = 1..=u32::try_from(PRICE_BOOK_BYTES_MAX).unwrap();
    let prices = (any::<[u8; 32]>(), size, signature(), any::<bool>()).prop_map(
        |(hash, size, signature, active)| PricesOffer {
            hash: BookHash::from_bytes(hash),
            size,
            signature,
            active,
        },
    );
    let acks = vec(ack(), 1..20);
    let batch = (any_id!(AgentId), any::<u64>(), any::<u64>(), acks, signature()).prop_map(
        |(agent, epoch, at, acks, signature)| AckBatch {
            agent,
            epoch,
            at: Timestamp::from_micros(at),
            acks,
            signature,
        },
    );
    let journal =
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(size, root)| JournalHead { size, root });
    let how = proptest::sample::select(Showing::ALL.to_vec());
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    let shown = (journal, how, vec(any::<[u8; 32]>(), 0..5));
    let cosigned = (numbers, signature(), shown).prop_map(
        |((epoch, size, at_secs), signature, (journal, how, nodes))| Cosigned {
            epoch,
            size,
            at_secs,
            signature,
            journal,
            how,
            nodes,
        },
    );
    let fault = proptest::sample::select(ChainFault::ALL.to_vec());
    let fault = (fault, any::<u64>(), any::<u64>()).prop_map(|(fault, epoch, seq)| LedgerFault {
        fault,
        epoch,
        seq,
    });
    prop_oneof![
        ledger.prop_map(HubMessage::Ledger),
        prices.prop_map(HubMessage::Prices),
        batch.prop_map(HubMessage::Ack),
        cosigned.prop_map(HubMessage::Cosigned),
        fault.prop_map(HubMessage::LedgerFault),
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
        ledger_word(),
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

fn place() -> impl Strategy<Value = Option<Label>> {
    proptest::option::of("[a-z0-9.-]{1,128}".prop_map(|text| Label::parse(&text).unwrap()))
}

fn terms() -> impl Strategy<Value = Option<(Terms, [u8; 32])>> {
    let parts = (
        any_id!(LeaseId),
        any::<u64>(),
        any::<[u8; 32]>(),
        text(),
        place(),
        any::<u32>(),
        0..=i64::MAX,
        any::<[u8; 32]>(),
    );
    let terms = parts.prop_map(|(lease, counter, book, model, place, tier, cap, mac)| {
        let book = BookHash::from_bytes(book);
        let (tier, cap) = (Ratio::from_ppm(tier), NanoUsd::new(cap));
        (Terms { lease, counter, book, model, place, tier, cap }, mac)
    });
    proptest::option::of(terms)
}

pub(crate) fn request_head() -> impl Strategy<Value = RequestHead> {
    let ticket = (any_id!(ExchangeId), 1..=u8::MAX, any_id!(AccountId), any::<u64>()).prop_map(
        |(exchange, attempt, account, issued_at)| Ticket {
            exchange,
            attempt,
            account,
            issued_at: Timestamp::from_micros(issued_at),
            terms: None,
            mac: [0; 32],
        },
    );
    let ticket = (ticket, terms()).prop_map(|(ticket, terms)| match terms {
        Some((terms, mac)) => Ticket { terms: Some(terms), mac, ..ticket },
        None => ticket,
    });
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
