//! What a link did, as a table for people and as JSON for programs.

use super::network::{Account, Network};
use super::place::Access;
use super::shape::Counts;
use super::shaping::{Draft, Reorder};
use super::{amount::Share, loss::Loss};
use serde::Serialize;
use std::time::Duration;

/// What there is to say of one run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// Of all chance.
    seed: u64,
    /// How long the network was up, in seconds.
    seconds: f64,
    /// The near ends and their links.
    links: Vec<Link>,
    #[serde(flatten)]
    account: Account,
}

#[derive(Debug, Clone, Serialize)]
struct Link {
    name: String,
    address: String,
    up: String,
    down: String,
}

impl Report {
    pub(super) fn new(network: &Network, links: &[Access], seed: u64, lasted: Duration) -> Self {
        let links = network.near().iter().zip(links).map(|(host, access)| Link {
            name: host.name().to_owned(),
            address: host.address().to_string(),
            up: words(access.up.settings()),
            down: words(access.down.settings()),
        });
        Self {
            seed,
            seconds: lasted.as_secs_f64(),
            links: links.collect(),
            account: network.account(),
        }
    }

    /// The table.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        for (link, ways) in self.links.iter().zip(&self.account.near) {
            row(&mut text, &link.name, "up", "down");
            for (name, value) in rows() {
                let [up, down] = [&ways.up, &ways.down].map(value);
                if ALWAYS.contains(&name) || up + down > 0 {
                    row(&mut text, &format!("  {name}"), &up.to_string(), &down.to_string());
                }
            }
        }
        let relay = &self.account.relay;
        let share = 100.0 * relay.cpu_micros as f64 / 1e6 / self.seconds.max(1e-9);
        line(
            &mut text,
            &format!(
                "relay: {} packets, {share:.1} % of a core; late by {}, p99 {}, at most {}",
                relay.packets,
                millis(relay.late_p50_micros),
                millis(relay.late_p99_micros),
                millis(relay.late_max_micros)
            ),
        );
        for (count, what) in [
            (self.account.unread, "dropped by the kernel because the relay did not read in time"),
            (relay.refused, "refused by a device"),
            (self.account.strays, "for nobody (IPv6, or an address without an end)"),
        ] {
            if count > 0 {
                line(&mut text, &format!("{count} packets {what}"));
            }
        }
        text
    }
}

/// Rows that are shown even where they are zero.
const ALWAYS: [&str; 3] = ["packets in", "packets out", "bytes out"];

type Row = (&'static str, fn(&Counts) -> u64);

fn rows() -> [Row; 14] {
    [
        ("packets in", |counts| counts.offered.packets),
        ("bytes in", |counts| counts.offered.bytes),
        ("packets out", |counts| counts.delivered.packets),
        ("bytes out", |counts| counts.delivered.bytes),
        ("lost", |counts| counts.dropped.lost),
        ("dropped: queue full", |counts| counts.dropped.queue_full),
        ("dropped: above the MTU", |counts| counts.dropped.too_big),
        ("dropped: UDP blocked", |counts| counts.dropped.udp_blocked),
        ("dropped: too many on their way", |counts| counts.dropped.line_full),
        ("held back behind others", |counts| counts.reordered),
        ("made twice", |counts| counts.duplicated),
        ("still on their way", on_their_way),
        ("most bytes in the queue", |counts| counts.queue_high_bytes),
        ("most bytes on their way", |counts| counts.line_high_bytes),
    ]
}

fn on_their_way(counts: &Counts) -> u64 {
    let in_all = counts.offered.packets + counts.duplicated;
    in_all.saturating_sub(counts.delivered.packets + counts.dropped.all())
}

fn row(text: &mut String, name: &str, up: &str, down: &str) {
    line(text, &format!("{name:<34}{up:>16}{down:>16}"));
}

fn line(text: &mut String, words: &str) {
    text.push_str(words);
    text.push('\n');
}

fn millis(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1_000.0)
}

/// The settings of one direction in words.
pub(super) fn words(settings: &Draft) -> String {
    let mut words = vec![format!("{:?}", settings.delay)];
    if !settings.jitter.is_zero() {
        words.push(format!("± {:?}", settings.jitter));
    }
    words.push(match settings.rate {
        Some(rate) => format!("{rate} behind {} KiB", settings.queue_bytes / 1_024),
        None => "no limit of the rate".to_owned(),
    });
    match settings.loss {
        Loss::None => {}
        Loss::Random { share } => words.push(format!("{share} lost")),
        Loss::Burst { share, mean } => {
            words.push(format!("{share} lost in bursts of {mean}"));
        }
    }
    if let Some(Reorder { share, by }) = settings.reorder {
        words.push(format!("{share} held back by {by:?}"));
    }
    if settings.duplicate != Share::NONE {
        words.push(format!("{} made twice", settings.duplicate));
    }
    words.push(format!("MTU {}", settings.mtu));
    if settings.udp_blocked {
        words.push("UDP blocked".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::place::Place;
    use super::*;

    #[test]
    fn settings_are_told_in_words() {
        assert_eq!(words(&Draft::default()), "0ns, no limit of the rate, MTU 1500");
        let (up, _) = Place::Mobile.drafts();
        assert_eq!(
            words(&up),
            "30ms, ± 12ms, 8 Mbit/s behind 256 KiB, 0.3 % lost in bursts of 4, MTU 1400"
        );
    }
}
