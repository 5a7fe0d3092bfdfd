//! Random lives of exchanges: one end each, no second call, no retry after anything may have left.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Dispatch,
    ReplayLost,
    Answer,
    Complete,
    Broke(Break),
}

fn breaks() -> impl Strategy<Value = Break> {
    prop_oneof![
        proptest::sample::select(AbortCode::ALL.to_vec()).prop_map(Break::Agent),
        Just(Break::TunnelLost),
        Just(Break::NotOpened),
        Just(Break::UserGone),
        Just(Break::SlowReader),
        Just(Break::Gate),
        Just(Break::BadUpload),
        Just(Break::Deadline),
        Just(Break::Malformed),
        Just(Break::Shutdown),
        Just(Break::Exhausted),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(
        prop_oneof![
            3 => Just(Step::Dispatch),
            1 => Just(Step::ReplayLost),
            2 => Just(Step::Answer),
            1 => Just(Step::Complete),
            3 => breaks().prop_map(Step::Broke),
        ],
        1..40,
    )
}

proptest! {
    #[test]
    fn an_exchange_ends_once_and_is_retried_only_on_proof(steps in steps()) {
        let mut exchange = HubExchange::default();
        let (mut ends, mut lost, mut in_attempt, mut answered) = (0, false, false, false);
        for step in steps {
            let before = exchange.ended();
            match step {
                Step::Dispatch => {
                    if exchange.dispatch().is_some() {
                        prop_assert!(before.is_none() && !in_attempt && !answered);
                        in_attempt = true;
                    }
                }
                Step::ReplayLost => {
                    exchange.replay_lost();
                    lost = true;
                }
                Step::Answer => {
                    if exchange.answer() {
                        prop_assert!(in_attempt && !answered);
                        answered = true;
                    }
                }
                Step::Complete => {
                    if exchange.complete() {
                        prop_assert!(answered);
                        ends += 1;
                    }
                }
                Step::Broke(why) => match exchange.broke(why) {
                    Next::Retry => {
                        let proved = why == Break::NotOpened
                            || matches!(why, Break::Agent(code) if code.proves_unsent());
                        prop_assert!(proved && in_attempt && !answered && !lost);
                        prop_assert!(exchange.attempts() < ATTEMPTS_MAX);
                        in_attempt = false;
                    }
                    Next::Refuse(_) => {
                        prop_assert!(!answered);
                        ends += 1;
                    }
                    Next::Cut(_) => {
                        prop_assert!(answered);
                        ends += 1;
                    }
                    Next::Ended => prop_assert!(before.is_some()),
                },
            }
            prop_assert!(exchange.attempts() <= ATTEMPTS_MAX);
            prop_assert!(ends <= 1);
            prop_assert_eq!(ends == 1, exchange.ended().is_some());
            if let Some(reason) = before {
                prop_assert_eq!(exchange.ended(), Some(reason));
            }
        }
    }

    #[test]
    fn an_agent_never_says_unsent_once_an_answer_began_and_calls_once(
        script in proptest::collection::vec(0u8..4, 1..20),
        fault in proptest::sample::select(vec![
            Fault::NotAllowed, Fault::Busy, Fault::Draining, Fault::NotConnected,
            Fault::Upstream, Fault::Deadline, Fault::Malformed, Fault::Internal,
        ]),
    ) {
        let mut exchange = AgentExchange::default();
        let (mut calls, mut answers, mut ended) = (0, 0, false);
        for step in script {
            match step {
                0 => calls += u8::from(exchange.call()),
                1 => answers += u8::from(exchange.answer()),
                2 => ended |= exchange.complete(),
                _ => {
                    let code = exchange.broke(fault);
                    if code.proves_unsent() {
                        prop_assert!(answers == 0 && !ended);
                        prop_assert!(calls == 0 || fault == Fault::NotConnected);
                    }
                    ended = true;
                }
            }
            prop_assert!(calls <= 1 && answers <= calls);
        }
    }
}
