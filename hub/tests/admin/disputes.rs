//! Disputes over the real binary: listed with what was found, proven offline, decided by a person.

use super::operator::Hub;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use weft_hub::ledger::claims::{Claim, Evidence, Record, TicketSealer};
use weft_proto::codes::EndReason;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::{AccountId, AgentId, ExchangeId, KeyId, LeaseId, NodeId, OwnerId, UserId};
use weft_proto::ledger::{Body, Close, End, Entry, Hash, Open, Position};
use weft_proto::money::{ListPrice, NanoUsd, Ratio};
use weft_proto::prices::BookHash;
use weft_proto::provider::Provider;
use weft_proto::time::{Clock, SystemClock};
use weft_proto::usage::{Basis, Class, Geo, ServiceTier, Usage};
use weft_proto::wire::ticket::{Terms, Ticket};
use weft_store::sqlite::SqliteStore;
use weft_store::{
    Bearer, ClaimRef, Finding, LegAnswer, LegVerdict, Metered, Outlay, Posting, Served, Settlement,
    Store,
};

/// What the hub has metered as income, nano-USD; the agent claims twice as much.
const INCOME: i64 = 800_000;

fn usage(units: u64) -> Usage {
    Usage::NONE.with(Class::Input, units)
}

/// The entries of an exchange that an agent claims with twice the usage.
fn claimed(ticket: &Ticket) -> Claim {
    let at = |seq| Position { epoch: 1, seq };
    let entry = |position, prev, body| {
        let entry = Entry { position, at: SystemClock.now(), prev, body };
        Bytes::from(entry.encode().expect("an entry"))
    };
    let open = Body::Open(Open { ticket: ticket.clone(), provider: Provider::OpenAi });
    let open = entry(at(1), Hash::leaf(b"the epoch"), open);
    let close = Body::Close(Close {
        exchange: ticket.exchange,
        attempt: ticket.attempt,
        open: at(1),
        end: End::Proper,
        status: 200,
        usage: usage(2_000),
        basis: Basis::Reported,
        tier: ServiceTier::Standard,
        geo: Geo::default(),
        finish_marker: true,
        usage_seen: true,
        charged_although_refused: false,
        bytes_up: 1,
        bytes_down: 1,
        list: ListPrice::from_pico(2_000_000_000),
        income: NanoUsd::new(2 * INCOME),
    });
    let close = entry(at(2), Hash::leaf(&open), close);
    Claim::again(open, close).expect("a claim")
}

/// Settles an exchange in the database of a hub that does not run, and disputes its agent leg.
async fn dispute(hub: &Hub) -> ExchangeId {
    let store = SqliteStore::open(&hub.data.path().join("hub.sqlite")).await.expect("opened");
    let (clock, chance) = (&SystemClock, &OsEntropy);
    let exchange = ExchangeId::generate(clock, chance);
    let account = AccountId::generate(clock, chance);
    let mut ticket = Ticket::free(exchange, 1, account, clock.now());
    ticket.terms = Some(Terms {
        lease: LeaseId::generate(clock, chance),
        counter: 1,
        book: BookHash::from_bytes([3; 32]),
        model: "gpt-4o".to_owned(),
        place: None,
        tier: Ratio::from_ppm(800_000),
        cap: NanoUsd::new(10 * INCOME),
    });
    TicketSealer::existing(&hub.data.path()).expect("the hub has run").seal(&mut ticket);
    let (agent, owner) = (AgentId::generate(clock, chance), OwnerId::generate(clock, chance));
    let now = clock.now();
    let settlement = Settlement {
        exchange,
        user: UserId::generate(clock, chance),
        key: KeyId::generate(clock, chance),
        served: Some(Served { agent, owner, account, attempt: 1 }),
        metered: Metered {
            provider: Some(Provider::OpenAi),
            model: None,
            usage: usage(1_000),
            basis: Basis::Reported,
            service: ServiceTier::Standard.number(),
            geo: Geo::default().number(),
            book: Some([3; 32]),
            priced_at: ticket.issued_at,
            zone: Ratio::ONE,
            tier: Ratio::from_ppm(800_000),
        },
        end: EndReason::Complete,
        outlay: Outlay {
            charge: NanoUsd::new(1_000_000),
            income: NanoUsd::new(INCOME),
            rounding: NanoUsd::ZERO,
            bearer: Bearer::User,
        },
        node: NodeId::generate(clock, chance),
        hold: None,
        held: NanoUsd::ZERO,
        settled_at: now,
        claim_until: now.after(Duration::from_secs(86_400)),
    };
    let overdraft_max = NanoUsd::new(1_000_000_000);
    let posting = Posting { settlement, draws: Vec::new(), overdraft_max };
    let ledger = store.ledger();
    ledger.settle(&[posting]).await.expect("settled");
    let claim = claimed(&ticket);
    let agreed = ledger.settlement(exchange).await.expect("read").expect("settled");
    let evidence = Evidence::of_claim(agent, &claim, Some(&Record::from(&agreed)));
    let finding = Finding {
        id: evidence.id(),
        agent,
        name: "usage_inflated".to_owned(),
        epoch: 1,
        seq: 2,
        exchange: Some(exchange),
        evidence: evidence.encode(),
        found_at: now,
    };
    store.receipts().keep_finding(&finding).await.expect("kept");
    let answer = LegAnswer {
        exchange,
        verdict: LegVerdict::Dispute,
        claim: Some(ClaimRef { epoch: 1, seq: 2, hash: *claim.hash.as_bytes() }),
        at: now,
        due_at: now.after(Duration::from_secs(86_400)),
    };
    ledger.answer(&[answer]).await.expect("disputed");
    store.close().await;
    exchange
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_listed_with_its_finding_proven_offline_and_decided_once() {
    let mut hub = Hub::start().await;
    hub.signal("-TERM");
    assert!(hub.ended().await.success());
    let exchange = dispute(&hub).await.to_string();
    hub.restart().await;

    let listed = hub.cli_json(&["ledger", "disputes"]);
    let found = &listed[0]["findings"][0];
    assert_eq!(
        (&listed[0]["exchange"], &listed[0]["state"]),
        (&json!(exchange), &json!("disputed"))
    );
    assert_eq!((&found["name"], &found["seq"]), (&json!("usage_inflated"), &json!(2)));
    assert!(hub.cli(&["ledger", "disputes"]).contains("usage_inflated"));
    assert_eq!(hub.cli_json(&["ledger", "findings"]), json!([found]));
    assert!(hub.cli(&["ledger", "disputes", "--csv"]).starts_with("exchange,owner,agent,"));

    let id = found["id"].as_str().expect("an id").to_owned();
    let file = hub.data.path().join("finding.bin");
    let to = file.to_str().expect("a path").to_owned();
    let shown = hub.cli(&["ledger", "finding", &id, "--evidence", &to]);
    assert!(shown.contains("usage_inflated") && shown.contains("verify --evidence"), "{shown}");
    for (words, error) in [
        (&["ledger", "finding", &id, "--evidence", &to][..], "cannot be made"),
        (&["ledger", "finding", "x"], "64 hexadecimal digits"),
        (&["ledger", "finding", &"0".repeat(64)], "no such finding"),
        (&["ledger", "decide", &exchange, "--reason", "r"], "--pay"),
        (&["ledger", "decide", &exchange, "--pay", "1", "--refuse", "--reason", "r"], "cannot"),
        (&["ledger", "decide", &exchange, "--pay", "0.0008001", "--reason", "r"], "0.0008"),
        (&["ledger", "decide", &exchange, "--pay", "-1", "--reason", "r"], ""),
        (&["ledger", "decide", &exchange, "--refuse", "--reason", ""], "reason"),
    ] {
        let output = hub.data.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(error), "{words:?}: {said}");
    }

    let pay = ["ledger", "decide", &exchange, "--pay", "0.0005", "--reason", "half was real"];
    for _ in 0..2 {
        let decided = hub.cli_json(&pay);
        assert_eq!((&decided["state"], &decided["paid"]), (&json!("paid"), &json!("0.0005")));
    }
    let other = hub.data.run(&["ledger", "decide", &exchange, "--refuse", "--reason", "no"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("not disputed"), "{other:?}");
    assert_eq!(hub.cli_json(&["ledger", "disputes"]), json!([]));
    assert_eq!(hub.cli_json(&["ledger", "verify"])["agrees"], true);
    hub.signal("-TERM");
    assert!(hub.ended().await.success());

    // Nothing runs, and the evidence is judged all the same; altered, it is none.
    let judged = |file: &str| {
        let output = hub.data.run(&["ledger", "verify", "--evidence", file, "--json"]);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).ok())
    };
    let (code, shown) = judged(&to);
    let shown = shown.expect("an answer");
    assert_eq!((code, &shown["finding"]), (Some(0), &json!("usage_inflated")));
    assert_eq!(shown["id"], json!(id));
    let evidence = std::fs::read(&file).expect("read");
    let cut = &evidence[..evidence.len() - 1];
    std::fs::write(&file, cut).expect("written");
    assert_eq!(judged(&to), (Some(1), None));
}
