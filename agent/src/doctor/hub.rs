//! The hub over UDP: every address that the agent knows, at once.

use super::Finding;
use super::identity::Known;
use crate::app::Parts;
use crate::uplink::{MTU_FLOOR, probe, show};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use weft_certs::HubAddress;
use weft_proto::causes::causes;

/// Limit on looking at the addresses, each with its handshake and the search for its MTU; and again
/// on showing the certificate.
const HUB_MAX: Duration = Duration::from_secs(15);
/// A round trip above this is worth a word.
const ROUND_TRIP_SLOW: Duration = Duration::from_millis(300);

pub(super) async fn look(known: &Known, running: bool, parts: &Parts) -> Vec<Finding> {
    let addresses = known.record.addresses.iter();
    let looks = addresses.map(|address| address_of(known, address, parts));
    let mut findings: Vec<Finding> = join_all(looks).await.into_iter().flatten().collect();
    // While an agent runs, its tunnel is the proof.
    if !running && findings.iter().any(|finding| finding.level != super::Level::Fail) {
        let showing = tokio::time::timeout(HUB_MAX, own_certificate(known, parts));
        findings.extend(showing.await.ok().flatten());
    }
    findings
}

async fn address_of(known: &Known, address: &HubAddress, parts: &Parts) -> Vec<Finding> {
    let check = format!("hub {address}");
    let looking = probe(
        &known.record,
        address,
        parts.net.as_ref(),
        Arc::clone(&parts.clock),
        parts.entropy.as_ref(),
    );
    let remedy = format!(
        "let UDP pass to {address} and back, through firewalls and NAT; see that the hub runs and \
         that its address is this one; if its certificate is refused, set the clock or join again"
    );
    let seen = match tokio::time::timeout(HUB_MAX, looking).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => return vec![Finding::fail(check, causes(&error), remedy)],
        Err(_) => {
            let saw = format!("nothing within {} s", HUB_MAX.as_secs());
            return vec![Finding::fail(check, saw, remedy)];
        }
    };
    let saw = format!(
        "the pinned hub answers over UDP; handshake {} ms, round trip {} ms",
        seen.handshake.as_millis(),
        seen.round_trip.as_millis()
    );
    let reach = if seen.round_trip > ROUND_TRIP_SLOW {
        let remedy = "a slow path: every request pays for it; a hub nearer to the agent would help";
        Finding::warn(check, saw, remedy)
    } else {
        Finding::ok(check, saw)
    };
    let check = format!("path MTU to {address}");
    let saw = format!("{} bytes", seen.mtu);
    let mtu = if seen.mtu <= MTU_FLOOR {
        let remedy = "larger datagrams are lost on the way: look at the MTU of VPNs, tunnels and \
                      PPPoE links, and at firewalls that drop ICMP; it works, with more packets";
        Finding::warn(check, saw, remedy)
    } else {
        Finding::ok(check, saw)
    };
    vec![reach, mtu]
}

/// Whether the hub lets this agent's certificate stand, at the first address that answers.
async fn own_certificate(known: &Known, parts: &Parts) -> Option<Finding> {
    let check = "certificate at the hub";
    for address in &known.record.addresses {
        let showing = show(
            &known.record,
            address,
            &known.identity,
            parts.net.as_ref(),
            Arc::clone(&parts.clock),
            parts.entropy.as_ref(),
        );
        match showing.await {
            Ok(None) => return Some(Finding::ok(check, "the hub lets it stand")),
            Ok(Some(why)) => {
                let remedy = "it may be revoked or past its end: ask the hub's operator, and join \
                              again with a fresh invite";
                return Some(Finding::fail(check, why, remedy));
            }
            // Whether the address answers is another finding's matter.
            Err(_) => {}
        }
    }
    None
}
