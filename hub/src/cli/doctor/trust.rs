//! Certificates: the authority's, this node's, and the operator's own.

use super::super::output::time_text;
use super::{Finding, Subject};
use std::path::Path;
use std::time::Duration;
use weft_certs::{Audited, Authority, HUB_LEAF_LIFETIME, summaries, users_door_from_pem};
use weft_hub::app::CERTS_DIR;
use weft_hub::config::OwnCertificate;
use weft_proto::causes::causes;
use weft_proto::time::{Clock, Timestamp};

/// Days that an authority must have left; there is time to plan, and much to plan.
const CA_DAYS_WARN: u64 = 180;
/// Days that the operator's own certificate must have left.
const OWN_DAYS_WARN: u64 = 14;
/// Seconds of a day.
const DAY_SECONDS: u64 = 24 * 60 * 60;

const CERTIFICATES: &str = "certificates";

/// Every certificate: readable, its key's, its issuer's, in force, with days left; and the pins.
pub(super) fn certificates(subject: &Subject) -> Vec<Finding> {
    let audit = match Authority::audit(&subject.data.join(CERTS_DIR)) {
        Ok(audit) => audit,
        Err(error) => {
            let remedy = "restore the folder from a backup; without it all agents join again";
            return vec![Finding::fail(CERTIFICATES, causes(&error), remedy)];
        }
    };
    let running = subject.holder.is_some();
    let folder = subject.data.join(CERTS_DIR);
    let mut found: Vec<Finding> = Vec::new();
    for one in &audit.certificates {
        // As a restore leaves it.
        if one.renews_itself && !running && !folder.join(one.file).exists() {
            let saw = format!("{} ({}) is not there", one.file, one.purpose);
            found.push(Finding::warn(CERTIFICATES, saw, "start the hub: it is made then"));
        } else {
            found.push(judged(one, &*subject.clock, running));
        }
    }
    match audit.pins {
        Some(pins) if pins.current == pins.next => found.push(Finding::warn(
            CERTIFICATES,
            "both pins are the same: a rotation was interrupted",
            "repeat \"weft-hub certs rotate\" with the hub stopped",
        )),
        Some(pins) => found.push(Finding::ok(
            CERTIFICATES,
            format!("pins: current {}, next {}", pins.current, pins.next),
        )),
        None => {}
    }
    if audit.next_key_is_here {
        let seen = "next-node-ca.key lies beside the keys that it is to replace";
        let remedy = "move it to a safe place offline; the hub runs without it";
        found.push(Finding::warn(CERTIFICATES, seen, remedy));
    }
    let names: Vec<String> = audit.names.iter().map(ToString::to_string).collect();
    found.push(Finding::ok(CERTIFICATES, format!("users reach it as {}", names.join(", "))));
    if let Some(own) = &subject.config.users.certificate {
        found.extend(operators_own(&subject.data, own, subject.now));
    }
    found
}

fn judged(one: &Audited, clock: &dyn Clock, running: bool) -> Finding {
    let (file, purpose, now) = (one.file, one.purpose, clock.now());
    if let Some(fault) = &one.fault {
        let remedy = if one.renews_itself {
            format!("remove certs/{file} and start the hub again: it is made anew")
        } else {
            "restore it from a backup".to_owned()
        };
        return Finding::fail(CERTIFICATES, format!("{file} ({purpose}): {fault}"), remedy);
    }
    let Some((from, until)) = one.valid else {
        return Finding::fail(CERTIFICATES, format!("{file}: unreadable"), "restore it");
    };
    let days = days_left(now, until);
    let seen = format!("{file} ({purpose}): until {}, {days} days left", time_text(until));
    let due = until.since(now) < HUB_LEAF_LIFETIME / 3;
    if now < from {
        let seen = format!("{file} ({purpose}): valid from {} on", time_text(from));
        let remedy = "set the clock right; what renews itself is made anew within the hour";
        Finding::fail(CERTIFICATES, seen, remedy)
    } else if until <= now {
        let remedy = if one.renews_itself {
            "start the hub: it is made anew; where it runs, its log says why it was not"
        } else {
            "make a new hub, and let agents and users join it"
        };
        Finding::fail(CERTIFICATES, seen, remedy)
    } else if one.renews_itself && due && running {
        let remedy = "it should have been renewed by now: the hub's log says why it was not";
        Finding::warn(CERTIFICATES, seen, remedy)
    } else if !one.renews_itself && days < CA_DAYS_WARN {
        Finding::warn(CERTIFICATES, seen, "plan a new hub, or for node-ca.pem a rotation")
    } else {
        Finding::ok(CERTIFICATES, seen)
    }
}

/// The operator's own certificate of the users' door.
fn operators_own(data: &Path, own: &OwnCertificate, now: Timestamp) -> Vec<Finding> {
    let (chain, key) = (data.join(&own.chain), data.join(&own.key));
    let bad = |error: &dyn std::error::Error| {
        let remedy = "put chain and key in place, then \"weft-hub reload\"";
        vec![Finding::fail(CERTIFICATES, causes(error), remedy)]
    };
    if let Err(error) = users_door_from_pem(&chain, &key) {
        return bad(&error);
    }
    let certs = match summaries(&chain) {
        Ok(certs) => certs,
        Err(error) => return bad(&error),
    };
    let (shown, mut found) = (chain.display(), Vec::new());
    let Some(leaf) = certs.first() else {
        return found;
    };
    for pair in certs.windows(2) {
        if pair[0].issuer != pair[1].subject {
            let seen = format!("{shown}: {} is not issued by {}", pair[0].subject, pair[1].subject);
            let remedy = "order the file: its own first, then each one's issuer";
            found.push(Finding::fail(CERTIFICATES, seen, remedy));
        }
    }
    if certs.len() == 1 && leaf.issuer != leaf.subject {
        let seen = format!("{shown} holds no intermediate certificate of {}", leaf.issuer);
        let remedy = "add the chain (fullchain.pem), unless users trust that issuer itself";
        found.push(Finding::warn(CERTIFICATES, seen, remedy));
    }
    if leaf.names.is_empty() {
        let seen = format!("{shown} names no host: today's clients look at nothing else");
        found.push(Finding::fail(CERTIFICATES, seen, "have it issued with the hub's host name"));
    }
    let moment = |text: &str| {
        let second = text.parse::<jiff::Timestamp>().ok()?.as_second();
        u64::try_from(second).ok().map(Timestamp::from_secs)
    };
    let (Some(from), Some(until)) = (moment(&leaf.not_before), moment(&leaf.not_after)) else {
        return found;
    };
    let days = days_left(now, until);
    let seen =
        format!("{shown} ({}): until {}, {days} days left", leaf.names.join(", "), leaf.not_after);
    let renew = "renew it, put it in place, then \"weft-hub reload\"";
    found.push(if now < from || until <= now {
        Finding::fail(CERTIFICATES, format!("not in force: {seen}"), renew)
    } else if days < OWN_DAYS_WARN {
        Finding::warn(CERTIFICATES, seen, renew)
    } else {
        Finding::ok(CERTIFICATES, seen)
    });
    found
}

fn days_left(now: Timestamp, until: Timestamp) -> u64 {
    Duration::as_secs(&until.since(now)) / DAY_SECONDS
}
