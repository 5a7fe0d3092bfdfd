//! Compares what the users, the provider and the store saw. Every sentence returned is a defect.

use super::plan::{Leaves, ProviderFault, Shape};
use super::seen::{Seen, Sights, UserEnd, UserSaw};
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::codes::EndReason;
use weft_store::Outcome;

/// Exchanges that took more than one attempt, in a tally.
const RETRIED: &str = "retried";
/// Machines whose power went, and how many of their disks lost something by it, in a tally.
const POWER_CUT: &str = "power_cut";
const TORN: &str = "torn";
/// Answers that were cut after they had begun, in a tally.
const CUT: &str = "cut";

/// Judges a world that has ended.
pub(super) fn of(seen: &Seen) -> Vec<String> {
    let seen = seen.open();
    let mut wrong = seen.wrong.clone();
    rows(&seen, &mut wrong);
    for saw in seen.users.values() {
        user(saw, &seen, &mut wrong);
    }
    provider(&seen, &mut wrong);
    for (life, hub) in seen.lives.iter().enumerate() {
        match hub.ended {
            Some(ended) if ended.failed => {
                wrong.push(format!("hub life {life} ended in a failure"))
            }
            None if !hub.crashed => wrong.push(format!("hub life {life} never ended")),
            Some(_) | None => {}
        }
    }
    wrong
}

/// The row of each request, told by its model. One whose user left before the hub had read the
/// model has a row without one.
fn rows(seen: &Sights, wrong: &mut Vec<String>) {
    let mut by_exchange = BTreeMap::new();
    for (_, row) in &seen.rows {
        *by_exchange.entry(row.exchange).or_insert(0) += 1;
    }
    for (exchange, count) in by_exchange {
        if count != 1 {
            wrong.push(format!("exchange {exchange} has {count} outcomes"));
        }
    }
    let claimed: BTreeSet<_> =
        seen.users.values().filter_map(|saw| row_of(saw, seen)).map(|row| row.exchange).collect();
    for (life, hub) in seen.lives.iter().enumerate() {
        let unclaimed =
            |(of, row): &&(usize, Outcome)| *of == life && !claimed.contains(&row.exchange);
        let unclaimed: Vec<_> = seen.rows.iter().filter(unclaimed).collect();
        if let Some((_, row)) = unclaimed.iter().find(|(_, row)| row.model.is_some()) {
            wrong.push(format!("nobody asked for the row of {:?}", row.model));
        }
        let unclaimed = unclaimed.len();
        let users = seen.users.values().filter(|saw| saw.life == life);
        // Who was answered without an exchange's name was not admitted, and has no row.
        let rowless = users.filter(|saw| {
            let answered = saw.status.is_some() && saw.exchange.is_none();
            row_of(saw, seen).is_none() && !answered
        });
        let rowless = rowless.count();
        // An exchange that was running when the hub's process died may be lost with it.
        if rowless != unclaimed && !(hub.crashed && rowless > unclaimed) {
            wrong.push(format!(
                "hub life {life}: {rowless} admitted requests without a row of their own, \
                 {unclaimed} rows of nobody"
            ));
        }
    }
}

/// How often each thing happened: what a run never sees it does not prove.
pub(super) fn tally(seen: &Seen) -> BTreeMap<&'static str, u64> {
    let seen = seen.open();
    let mut tally = BTreeMap::new();
    for (_, row) in &seen.rows {
        *tally.entry(row.end.name()).or_default() += 1;
        if row.attempts > 1 {
            *tally.entry(RETRIED).or_default() += 1;
        }
    }
    for saw in seen.users.values() {
        if saw.from_provider && saw.end == UserEnd::Cut {
            *tally.entry(CUT).or_default() += 1;
        }
    }
    for (what, times) in [(POWER_CUT, seen.power_cuts), (TORN, seen.torn)] {
        if times > 0 {
            tally.insert(what, times);
        }
    }
    tally
}

fn row_of<'a>(saw: &UserSaw, seen: &'a Sights) -> Option<&'a Outcome> {
    let model = saw.plan.model();
    let mut rows = seen.rows.iter().map(|(_, row)| row);
    rows.find(|row| {
        saw.exchange == Some(row.exchange)
            || row.model.as_ref().is_some_and(|named| named.as_str() == model)
    })
}

/// One user's exchange against its row and its provider's plan.
fn user(saw: &UserSaw, seen: &Sights, wrong: &mut Vec<String>) {
    let mut say = |what: String| {
        let (marker, leaves, fault) = (saw.plan.marker, saw.plan.leaves, saw.plan.answer.fault);
        wrong.push(format!("request {marker} ({leaves:?}, {fault:?}, {:?}): {what}", saw.end));
    };
    let row = row_of(saw, seen);
    let whole = saw.plan.whole_answer();
    let clean = saw.end == UserEnd::Clean;
    if saw.from_provider {
        if saw.status != Some(saw.plan.answer.status) {
            say(format!(
                "the provider said {}, the user saw {:?}",
                saw.plan.answer.status, saw.status
            ));
        }
        let common = whole.iter().zip(&saw.body).take_while(|(sent, got)| sent == got).count();
        let rest = &saw.body[common..];
        // The hub's own event begins like one of the provider's.
        let event = saw.body[..common].windows(2).rposition(|two| two == b"\n\n");
        let tail = String::from_utf8_lossy(&saw.body[event.map_or(0, |end| end + 2)..]);
        // What is not the provider's can only be the hub's error event, and never a clean end.
        let event = saw.plan.answer.shape == Shape::Events && !clean && tail.contains("\"error\"");
        if !rest.is_empty() && !event {
            say(format!("bytes that the provider never sent, from {common}: {tail:.80}"));
        }
        if clean && saw.body != whole {
            say(format!("{} of {} bytes look like all", saw.body.len(), whole.len()));
        }
        let breaks = matches!(
            saw.plan.answer.fault,
            ProviderFault::Cut(_) | ProviderFault::Stall(_) | ProviderFault::NoAnswer
        );
        if clean && breaks {
            say("a broken answer looks whole".to_owned());
        }
    }
    if let Some(row) = row {
        let complete = row.end == EndReason::Complete;
        if complete && !(clean && saw.from_provider) {
            say("the row says complete, the user did not see it".to_owned());
        }
        let died = row.end == EndReason::NodeLost && seen.died(row.exchange);
        if clean && saw.from_provider && !complete && !died {
            say(format!("the user saw all, the row says {}", row.end));
        }
        if complete && row.response_bytes != saw.body.len() as u64 {
            say(format!(
                "the row counts {} bytes, the user {}",
                row.response_bytes,
                saw.body.len()
            ));
        }
        if saw.end == UserEnd::Left && row.end == EndReason::Internal {
            say("the row of a user that left says internal".to_owned());
        }
        if row.end == EndReason::Internal {
            say("a fault of the hub's own".to_owned());
        }
        if row.end == EndReason::NodeLost && !seen.died(row.exchange) {
            say("the row says that the hub died, which it did not".to_owned());
        }
        let breaks_off = matches!(saw.plan.leaves, Leaves::InUpload(_));
        if complete && breaks_off && saw.plan.answer.fault != ProviderFault::Early {
            say("complete, though its request never was".to_owned());
        }
    } else if clean && saw.from_provider && !saw.exchange.is_some_and(|id| seen.forgot(id)) {
        say("answered, and no row".to_owned());
    }
}

/// No request reaches a provider twice, and none that its user did not send whole ever looks whole.
fn provider(seen: &Sights, wrong: &mut Vec<String>) {
    for (marker, at) in &seen.provider {
        if at.heads > 1 {
            wrong.push(format!("request {marker} reached its provider {} times", at.heads));
        }
        if at.changed > 0 {
            wrong.push(format!("request {marker} reached its provider changed"));
        }
        let Some(user) = seen.users.get(marker) else {
            wrong.push(format!("request {marker} reached its provider and nobody sent it"));
            continue;
        };
        if at.wholes > 0 && !user.sent_whole {
            wrong.push(format!(
                "request {marker} was whole at its provider before its user had sent it"
            ));
        }
    }
}
