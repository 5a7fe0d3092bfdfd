//! Honest agents: paid what the record says, once, in whatever order and however often it is told.

use super::world::{Agent, Hub, income, usage};
use proptest::prelude::*;
use std::time::Duration;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::ledger::{Body, Close, End, Position, Why};
use weft_proto::money::NanoUsd;
use weft_proto::time::Clock;
use weft_proto::usage::{Basis, Usage};
use weft_proto::wire::control::HubMessage;
use weft_proto::wire::receipts::Verdict;
use weft_store::{LegState, Store};

/// Longer than a claim waits for its record.
const GRACE: Duration = Duration::from_secs(11);

async fn one(
    end: EndReason,
    hub_units: u64,
    close: impl FnOnce(Close) -> Close,
) -> (Hub, Agent, (Verdict, NanoUsd)) {
    let hub = Hub::new(1);
    let mut agent = Agent::new(&hub, 5);
    let ticket = hub.ticket(1_000_000);
    hub.settle(&ticket, agent.id, hub_units, end).await;
    let open = agent.open(&ticket);
    let body = close(Agent::close_of(&ticket, open, hub_units));
    agent.push(Body::Close(body));
    agent.report(&hub).await;
    let word = agent.words.get(&(ticket.exchange, 1)).copied().expect("a word");
    (hub, agent, word)
}

#[tokio::test]
async fn a_proper_end_that_agrees_is_paid_the_hubs_figure() {
    let (hub, _, word) = one(EndReason::Complete, 100, |close| close).await;
    assert_eq!(word, (Verdict::Paid, income(100)));
    assert!(hub.findings().await.is_empty());
}

#[tokio::test]
async fn of_a_cut_the_agent_has_seen_more_and_the_hubs_figure_is_paid() {
    let more = |close| Close {
        end: End::cut(AbortCode::UserAbort),
        usage: usage(170),
        income: income(170),
        ..close
    };
    let (hub, _, word) = one(EndReason::UserAbort, 100, more).await;
    assert_eq!(word, (Verdict::Paid, income(100)));
    assert!(hub.findings().await.is_empty());
}

#[tokio::test]
async fn of_a_cut_that_was_counted_here_the_smaller_figure_is_paid_without_a_dispute() {
    let less = |close| Close {
        end: End::Proper,
        usage: usage(90),
        income: income(90),
        basis: Basis::Estimated,
        ..close
    };
    let (hub, _, word) = one(EndReason::UserAbort, 100, less).await;
    assert_eq!(word, (Verdict::Paid, income(90)));
    assert!(hub.findings().await.is_empty());
}

#[tokio::test]
async fn nothing_used_is_nothing_however_it_was_counted() {
    let close = |close| Close { basis: Basis::Estimated, ..close };
    let (hub, _, word) = one(EndReason::AccountFault, 0, close).await;
    assert_eq!(word, (Verdict::Paid, NanoUsd::ZERO));
    assert!(hub.findings().await.is_empty());
}

#[tokio::test]
async fn an_agent_that_lost_the_thread_is_paid_what_the_hub_has_metered() {
    let lost = |close| Close {
        end: End::Interrupted,
        usage: Usage::NONE,
        list: None,
        income: NanoUsd::new(1_000_000),
        ..close
    };
    let (hub, _, word) = one(EndReason::Complete, 100, lost).await;
    assert_eq!(word, (Verdict::Paid, income(100)));
    assert!(hub.findings().await.is_empty());
}

#[tokio::test]
async fn a_claim_without_the_book_is_paid_the_hubs_figure() {
    let unpriced = |close| Close { list: None, income: NanoUsd::new(1_000_000), ..close };
    let (hub, _, word) = one(EndReason::Complete, 100, unpriced).await;
    assert_eq!(word, (Verdict::Paid, income(100)));
    assert!(hub.findings().await.is_empty());
}

#[tokio::test]
async fn a_stream_that_outgrew_its_ticket_is_paid_its_cap_without_the_book_and_not_disputed() {
    let cap = NanoUsd::new(79_000);
    for (end, close_end) in
        [(EndReason::Complete, End::Proper), (EndReason::UserAbort, End::cut(AbortCode::UserAbort))]
    {
        let unpriced = |close| Close { end: close_end, list: None, income: cap, ..close };
        let (hub, _, word) = one(end, 100, unpriced).await;
        assert!(cap < income(100));
        assert_eq!(word, (Verdict::Paid, cap), "{end:?}");
        assert!(hub.findings().await.is_empty());
    }
}

#[tokio::test]
async fn a_receipt_that_comes_before_its_settlement_waits_for_it() {
    let hub = Hub::new(2);
    let mut agent = Agent::new(&hub, 5);
    let ticket = hub.ticket(1_000_000);
    agent.serve(&ticket, 100);
    let (mut session, next) = agent.greet(&hub).await;
    let said = session.take(agent.from(next.expect("welcome"))).await.expect("taken");
    assert!(said.is_empty() && session.waits());
    hub.settle(&ticket, agent.id, 100, EndReason::Complete).await;
    let said = session.look_again().await.expect("looked");
    agent.hear(&hub, said);
    assert!(!session.waits());
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, income(100)));
}

#[tokio::test]
async fn a_claim_that_no_record_meets_is_paid_from_suspense_up_to_its_cap_and_once() {
    let hub = Hub::new(3);
    let mut agent = Agent::new(&hub, 5);
    let ticket = hub.ticket(50_000);
    agent.serve(&ticket, 100);
    let (mut session, next) = agent.greet(&hub).await;
    let said = session.take(agent.from(next.expect("welcome"))).await.expect("taken");
    agent.hear(&hub, said);
    hub.clock.advance(GRACE);
    let said = session.look_again().await.expect("looked");
    agent.hear(&hub, said);
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, NanoUsd::new(50_000)));
    // The node comes back and finds its settlement in the spool: it is settled already.
    hub.settle(&ticket, agent.id, 100, EndReason::Complete).await;
    let agreed = hub.agreed(ticket.exchange).await.expect("settled");
    assert_eq!((agreed.leg.state, agreed.leg.paid), (LegState::Paid, NanoUsd::new(50_000)));
    // And the claim again, however often, is the same word.
    agent.words.clear();
    agent.report(&hub).await;
    agent.report(&hub).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, NanoUsd::new(50_000)));
}

#[tokio::test]
async fn an_agent_restored_from_a_backup_goes_on_in_a_new_epoch_and_is_paid_once() {
    let hub = Hub::new(4);
    let mut agent = Agent::new(&hub, 5);
    let first = hub.ticket(1_000_000);
    hub.settle(&first, agent.id, 10, EndReason::Complete).await;
    let open = agent.open(&first);
    let backup = agent.clone();
    agent.push(Body::Close(Agent::close_of(&first, open, 10)));
    agent.report(&hub).await;
    assert_eq!(agent.words[&(first.exchange, 1)], (Verdict::Paid, income(10)));

    let mut restored = backup;
    restored.begin(2, Why::Restored);
    let close = Close {
        end: End::Interrupted,
        usage: Usage::NONE,
        list: None,
        income: NanoUsd::new(1_000_000),
        ..Agent::close_of(&first, open, 10)
    };
    restored.push(Body::Close(close));
    restored.report(&hub).await;
    assert_eq!(restored.words[&(first.exchange, 1)], (Verdict::Paid, income(10)));
    assert!(restored.faults.is_empty(), "{:?}", restored.faults);
    assert_eq!(hub.agreed(first.exchange).await.expect("settled").leg.paid, income(10));
}

#[tokio::test]
async fn a_hub_restored_to_yesterday_is_caught_by_its_agents_and_repaired_by_replay() {
    let hub = Hub::new(6);
    let mut agent = Agent::new(&hub, 5);
    let tickets: Vec<_> = (0..20).map(|_| hub.ticket(1_000_000)).collect();
    for (units, ticket) in (1..).zip(&tickets) {
        hub.settle(ticket, agent.id, units, EndReason::Complete).await;
        agent.serve(ticket, units);
        agent.report(&hub).await;
    }
    agent.checkpoint();
    agent.report(&hub).await;
    let earned = agent.earned();
    assert_eq!(earned, (1..=20).map(|units| income(units).nanos()).sum::<i64>());

    // Yesterday nothing of this had been.
    let hub = hub.forgotten();
    agent.report(&hub).await;
    agent.report(&hub).await;
    let mut paid = 0;
    for ticket in &tickets {
        let agreed = hub.agreed(ticket.exchange).await.expect("repaired");
        assert_eq!(agreed.leg.state, LegState::Paid);
        paid += agreed.leg.paid.nanos();
    }
    assert_eq!(paid, earned, "equal to the nano-dollar");
    let findings = hub.findings().await;
    assert!(!findings.is_empty() && findings.iter().all(|name| name == "hub_restored"));
}

#[tokio::test]
async fn a_restored_hub_is_repaired_of_an_exchange_that_was_open_when_its_copy_was_made() {
    let hub = Hub::new(16);
    let mut agent = Agent::new(&hub, 5);
    let ticket = hub.ticket(1_000_000);
    let open = agent.open(&ticket);
    agent.report(&hub).await;
    let yesterday = hub.store.receipts().chain(agent.id).await.expect("looked").expect("taken");
    hub.settle(&ticket, agent.id, 10, EndReason::Complete).await;
    agent.push(Body::Close(Agent::close_of(&ticket, open, 10)));
    agent.report(&hub).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, income(10)));

    let hub = hub.forgotten();
    assert!(hub.store.receipts().advance(&yesterday, None).await.expect("restored"));
    agent.report(&hub).await;
    let agreed = hub.agreed(ticket.exchange).await.expect("repaired");
    assert_eq!((agreed.leg.state, agreed.leg.paid), (LegState::Paid, income(10)));
    assert_eq!(hub.findings().await, ["hub_restored"]);
}

#[tokio::test]
async fn a_word_of_another_session_of_the_same_hub_is_no_sign_of_a_restored_one() {
    let hub = Hub::new(17);
    let mut agent = Agent::new(&hub, 5);
    let ticket = hub.ticket(1_000_000);
    agent.serve(&ticket, 10);
    let (mut old, next) = agent.greet(&hub).await;
    let said = old.take(agent.from(next.expect("welcome"))).await.expect("taken");
    assert!(said.is_empty() && old.waits());
    // The agent comes back on another tunnel, whose session answers first.
    hub.settle(&ticket, agent.id, 10, EndReason::Complete).await;
    let behind = agent.log.last().map(|(at, _)| Position { seq: at.seq + 1, ..*at });
    agent.report(&hub).await;
    assert_eq!(agent.words[&(ticket.exchange, 1)], (Verdict::Paid, income(10)));
    let word = agent.from(behind.expect("entries"));
    assert_eq!(word.len(), 1, "the hub's word stands in the chain");
    // The old one reads it before it looks at what waits; its head is not moved any more.
    drop(old.take(word).await);
    assert_eq!(hub.findings().await, Vec::<String>::new());
    assert_eq!(hub.agreed(ticket.exchange).await.expect("settled").leg.paid, income(10));
}

/// What an agent says that was killed before the end, or has no prices: what the hub has on record.
fn unknowing(close: Close, end: End) -> Close {
    Close { end, usage: Usage::NONE, list: None, income: NanoUsd::new(1_000_000), ..close }
}

#[tokio::test]
async fn an_attempt_that_another_one_followed_earns_nothing_and_accuses_nobody() {
    for (end, by_itself, brought) in [
        (End::Interrupted, true, true),
        (End::Interrupted, false, true),
        (End::Interrupted, false, false),
        (End::Proper, false, true),
    ] {
        let hub = Hub::new(18);
        let mut agent = Agent::new(&hub, 5);
        let other = Agent::new(&hub, 6);
        let first = hub.ticket(1_000_000);
        let open = agent.open(&first);
        if !brought {
            agent.report(&hub).await;
        }
        let mut second = first.clone();
        second.attempt = 2;
        hub.sealer.seal(&mut second);
        let served_by = if by_itself { agent.id } else { other.id };
        hub.settle(&second, served_by, 100, EndReason::Complete).await;
        agent.push(Body::Close(unknowing(Agent::close_of(&first, open, 0), end)));
        agent.report(&hub).await;
        assert_eq!(agent.words[&(first.exchange, 1)], (Verdict::Paid, NanoUsd::ZERO), "{end:?}");
        assert_eq!(hub.findings().await, Vec::<String>::new());
        assert_eq!(hub.agreed(first.exchange).await.expect("settled").leg.state, LegState::Open);
    }
}

#[tokio::test]
async fn an_interrupted_close_that_no_record_meets_earns_nothing_and_accuses_nobody() {
    let hub = Hub::new(19);
    let mut agent = Agent::new(&hub, 5);
    let ticket = hub.ticket(1_000_000);
    let open = agent.open(&ticket);
    agent.push(Body::Close(unknowing(Agent::close_of(&ticket, open, 0), End::Interrupted)));
    let (mut session, next) = agent.greet(&hub).await;
    let said = session.take(agent.from(next.expect("welcome"))).await.expect("taken");
    agent.hear(&hub, said);
    // Until the claim window is over the hub may find out yet.
    for (time, word) in [
        (GRACE, Some((Verdict::Later, NanoUsd::ZERO))),
        (Duration::from_secs(86_400), Some((Verdict::Refused, NanoUsd::ZERO))),
    ] {
        hub.clock.advance(time);
        let said = session.look_again().await.expect("looked");
        agent.hear(&hub, said);
        assert_eq!(agent.words.get(&(ticket.exchange, 1)).copied(), word);
    }
    assert!(!session.waits());
    assert_eq!(hub.findings().await, Vec::<String>::new());
    assert_eq!(hub.agreed(ticket.exchange).await, None, "nothing is posted of it");
}

#[tokio::test]
async fn a_checkpoint_is_cosigned_over_what_the_hub_has_followed() {
    let hub = Hub::new(7);
    let mut agent = Agent::new(&hub, 5);
    let (mut session, next) = agent.greet(&hub).await;
    agent.serve(&hub.ticket(1), 1);
    agent.checkpoint();
    let said = session.take(agent.from(next.expect("welcome"))).await.expect("taken");
    let cosigned = said.into_iter().find_map(|message| {
        if let HubMessage::Cosigned(cosigned) = message { Some(cosigned) } else { None }
    });
    let cosigned = cosigned.expect("a cosignature");
    assert_eq!((cosigned.epoch, cosigned.size), (1, 3));
    let head = hub.store.ledger().journal_head().await.expect("read").expect("an entry");
    assert_eq!(cosigned.journal.size, head.number, "the hub's own head is in it");
    assert_eq!(cosigned.at_secs, hub.clock.now().as_secs());
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Happening {
    /// The agent serves an exchange; the hub may settle it before the receipt, after, or never.
    Serve { units: u64, settled: u8 },
    /// What was to be settled late is.
    SettleLate,
    /// A session that takes so many frames at a time and breaks off after so many takes, its words
    /// lost from one on.
    Session { frames: usize, takes: usize, heard: usize },
    /// Claims that wait are looked at after a while.
    Later,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..500_u64, 0..4_u8).prop_map(|(units, settled)| Happening::Serve { units, settled }),
        2 => Just(Happening::SettleLate),
        3 => (1..9_usize, 0..4_usize, 0..4_usize)
            .prop_map(|(frames, takes, heard)| Happening::Session { frames, takes, heard }),
        1 => Just(Happening::Later),
    ]
}

async fn live(happenings: Vec<Happening>) {
    let hub = Hub::new(8);
    let mut agent = Agent::new(&hub, 5);
    let (mut late, mut all) = (Vec::new(), Vec::new());
    for happening in happenings {
        match happening {
            Happening::Serve { units, settled } => {
                let ticket = hub.ticket(1_000_000);
                let end = if settled == 1 { EndReason::UserAbort } else { EndReason::Complete };
                match settled {
                    0 | 1 => hub.settle(&ticket, agent.id, units, end).await,
                    2 => late.push((ticket.clone(), units)),
                    _ => {}
                }
                agent.serve(&ticket, units);
                all.push((ticket, units));
            }
            Happening::SettleLate => {
                for (ticket, units) in late.drain(..) {
                    hub.settle(&ticket, agent.id, units, EndReason::Complete).await;
                }
            }
            Happening::Session { frames, takes, heard } => {
                let (mut session, next) = agent.greet(&hub).await;
                let next = next.expect("an honest agent is welcome");
                let mut receipts = agent.claims(next);
                receipts.extend(agent.from(next));
                let parts = receipts.chunks(frames).take(takes).enumerate();
                for (number, part) in parts {
                    let said = session.take(part.to_vec()).await.expect("taken");
                    if number < heard {
                        agent.hear(&hub, said);
                    }
                }
            }
            Happening::Later => hub.clock.advance(GRACE),
        }
    }
    // In the end the world is whole: everything comes, and what has no record is proven.
    for _ in 0..3 {
        let (mut session, next) = agent.greet(&hub).await;
        let next: Position = next.expect("welcome");
        let mut receipts = agent.claims(next);
        receipts.extend(agent.from(next));
        let said = session.take(receipts).await.expect("taken");
        agent.hear(&hub, said);
        hub.clock.advance(GRACE);
        let said = session.look_again().await.expect("looked");
        agent.hear(&hub, said);
    }
    assert!(agent.faults.is_empty(), "{:?}", agent.faults);
    assert_eq!(hub.findings().await, Vec::<String>::new());
    let mut paid = 0;
    for (ticket, units) in &all {
        let word = agent.words.get(&(ticket.exchange, 1)).copied();
        assert_eq!(word, Some((Verdict::Paid, income(*units))), "{units} units");
        // Nothing is posted for nothing; everything else stands paid.
        match hub.agreed(ticket.exchange).await {
            Some(agreed) => paid += agreed.leg.paid.nanos(),
            None => assert_eq!(*units, 0),
        }
    }
    assert_eq!(paid, agent.earned(), "both ledgers have the same sum");
    let wrong = hub.store.ledger().recompute().await.expect("recomputed");
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// How many lives are drawn: 200, or as many as `WEFT_CLAIM_LIVES` says.
fn lives() -> u32 {
    std::env::var("WEFT_CLAIM_LIVES").ok().and_then(|lives| lives.parse().ok()).unwrap_or(200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(lives()))]
    #[test]
    fn claims_late_repeated_and_crossed_with_restarts_end_in_one_payment_each(
        happenings in proptest::collection::vec(happening(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(live(happenings));
    }
}
