//! The values that the golden vectors hold.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::time::Duration;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, InstanceId, NodeId, SessionId};
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::wire::control::{
    Account, AccountsPage, Deployment, Drain, Features, Hello, PermittedUse, Welcome,
};
use weft_proto::wire::head::{AnswerHead, RequestHead, SwitchedHead, Ticket};
use weft_proto::wire::join::{JoinAnswer, JoinRequest};
use weft_proto::wire::ticket::MAC_BYTES;

/// The id that ends in this number.
pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(number: u8) -> T {
    format!("01920c1e-7b8a-7000-8000-0000000000{number:02x}").parse().unwrap()
}

pub(crate) fn hello() -> Hello {
    Hello {
        agent: id::<AgentId>(1),
        instance: id::<InstanceId>(2),
        slot: 1,
        generation: 300,
        features: Features(1 << 63 | 1),
        build: "weft-agent/0.1.0".to_owned(),
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        node: id::<NodeId>(3),
        session: id::<SessionId>(4),
        features: Features(0b101),
        build: "weft-hub 0.1.0".to_owned(),
    }
}

pub(crate) const DRAIN: Drain =
    Drain { deadline: Duration::from_secs(30), reconnect_in: Duration::from_millis(2_500) };

pub(crate) fn own_account() -> Account {
    Account {
        id: id::<AccountId>(6),
        provider: Provider::OpenAi,
        label: "main".to_owned(),
        models: "gpt-*,o3".parse::<ModelPatterns>().unwrap(),
        deployments: Vec::new(),
        concurrency_max: 64,
        permitted_use: PermittedUse::Own,
        place: None,
    }
}

pub(crate) fn azure_account() -> Account {
    Account {
        id: id::<AccountId>(7),
        provider: Provider::Azure,
        label: "büro".to_owned(),
        models: ModelPatterns::any(),
        deployments: vec![Deployment { name: "chat".to_owned(), model: "gpt-4o".to_owned() }],
        concurrency_max: 8,
        permitted_use: PermittedUse::Licensed { reference: "contract 17".to_owned() },
        place: None,
    }
}

pub(crate) fn placed_account() -> Account {
    Account { place: "eu".parse().ok(), ..azure_account() }
}

pub(crate) fn page(accounts: Vec<Account>) -> AccountsPage {
    AccountsPage { accounts, last: true }
}

pub(crate) fn fields(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value).unwrap();
        fields.append(HeaderName::from_static(name), value);
    }
    fields
}

pub(crate) fn request_head() -> RequestHead {
    RequestHead {
        ticket: Ticket {
            exchange: id::<ExchangeId>(5),
            attempt: 1,
            account: id::<AccountId>(6),
            issued_at: Timestamp::from_secs(1_700_000_000),
            terms: None,
            mac: [0; MAC_BYTES],
        },
        provider: Provider::OpenAi,
        method: Method::POST,
        target: "/v1/chat/completions?x=1".to_owned(),
        headers: fields(&[
            ("content-type", b"application/json"),
            ("x-binary", b"\xff\x80 \xfe"),
            ("x-twice", b"a"),
            ("x-twice", b"b"),
        ]),
        head_within: Duration::from_secs(300),
        upgrade: false,
    }
}

/// The request of the whole-stream vector, without its body.
pub(crate) fn small_request_head() -> RequestHead {
    RequestHead {
        target: "/v1/responses".to_owned(),
        headers: fields(&[("content-type", b"application/json")]),
        head_within: Duration::from_secs(60),
        ..request_head()
    }
}

/// The request that asks for a WebSocket.
pub(crate) fn upgrade_head() -> RequestHead {
    RequestHead {
        method: Method::GET,
        target: "/v1/realtime?model=gpt-realtime".to_owned(),
        headers: fields(&[
            ("sec-websocket-version", b"13"),
            ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ]),
        upgrade: true,
        ..small_request_head()
    }
}

pub(crate) fn switched_head() -> SwitchedHead {
    SwitchedHead { headers: fields(&[("sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]) }
}

pub(crate) fn answer_head() -> AnswerHead {
    AnswerHead {
        status: StatusCode::OK,
        headers: fields(&[("content-type", b"text/event-stream"), ("x-request-id", b"req_1")]),
        account_fault: false,
        framed: false,
    }
}

pub(crate) fn join_request() -> JoinRequest {
    JoinRequest {
        token: Some(std::array::from_fn(|index| u8::try_from(index).unwrap())),
        csr: b"\x30\x0a\x0c\x08certreq?".to_vec(),
        name: "edge-1".to_owned(),
    }
}

pub(crate) fn renewal() -> JoinRequest {
    JoinRequest { token: None, ..join_request() }
}

pub(crate) fn join_answer() -> JoinAnswer {
    JoinAnswer::Joined {
        agent: id::<AgentId>(1),
        chain: vec![vec![0x30, 2, 1, 1], vec![0x30, 2, 2, 2]],
    }
}
