//! One direction of a link: packets go in, and come out later, or twice, or never.
//!
//! A packet passes in this order: the block of UDP, the MTU, the queue before the rate, the rate,
//! loss, delay with jitter, reordering, duplication. All is decided when it goes in, out of the
//! settings, the seed, the time and what went in before: the same packets at the same times come
//! out the same. Time is an argument, counted from any beginning; nothing here looks at a clock.
//!
//! Invariants: never more than the rate passes, never more than the queue's bytes wait, never more
//! than [`LINE_BYTES_MAX`] are on their way; packets keep their order unless they were chosen to be
//! reordered; each packet that went in is delivered, dropped for one reason, or still inside.

use super::dice::{Dice, Purpose};
use super::loss::Losses;
use super::packet::Packet;
use super::shaping::{Draft, LINE_BYTES_MAX, Reorder, Shaping};
use super::wander::Wander;
use serde::Serialize;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// Packets and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// How many.
    pub packets: u64,
    /// Of IP, headers and all.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, packet: &Packet) {
        self.packets += 1;
        self.bytes += packet.bytes().len() as u64;
    }
}

/// Packets that never arrive, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Drops {
    /// UDP where UDP is blocked.
    pub udp_blocked: u64,
    /// Larger than the MTU.
    pub too_big: u64,
    /// No room in the queue before the rate.
    pub queue_full: u64,
    /// Lost on the way.
    pub lost: u64,
    /// More on their way than a link holds: a limit of this program, not of the link it plays.
    pub line_full: u64,
}

impl Drops {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.udp_blocked + self.too_big + self.queue_full + self.lost + self.line_full
    }
}

/// What a direction has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Went in.
    pub offered: Tally,
    /// Came out; a duplicated one twice.
    pub delivered: Tally,
    /// Never will.
    pub dropped: Drops,
    /// Held back behind others.
    pub reordered: u64,
    /// Made twice.
    pub duplicated: u64,
    /// The most bytes that ever waited for the rate.
    pub queue_high_bytes: u64,
    /// The most bytes that were ever on their way.
    pub line_high_bytes: u64,
}

/// One direction.
#[derive(Debug)]
pub struct Shape {
    shaping: Shaping,
    seed: u64,
    losses: Losses,
    reorders: Dice,
    duplicates: Dice,
    wander: Wander,
    queue: Queue,
    line: BinaryHeap<Reverse<Traveller>>,
    line_bytes: u64,
    /// When the last packet that kept its turn arrives: none that keeps it arrives earlier.
    last_due: Duration,
    next_number: u64,
    counts: Counts,
}

impl Shape {
    /// A direction with nothing in it.
    #[must_use]
    pub fn new(shaping: Shaping, seed: u64) -> Self {
        let Draft { loss, jitter, .. } = *shaping.settings();
        Self {
            losses: Losses::new(loss, seed),
            reorders: Dice::new(seed, Purpose::Reorder),
            duplicates: Dice::new(seed, Purpose::Duplicate),
            wander: Wander::new(jitter, seed),
            shaping,
            seed,
            queue: Queue::default(),
            line: BinaryHeap::new(),
            line_bytes: 0,
            last_due: Duration::ZERO,
            next_number: 0,
            counts: Counts::default(),
        }
    }

    /// Goes on with other settings. What is inside arrives as it would have.
    pub fn change(&mut self, shaping: Shaping) {
        let Draft { loss, jitter, .. } = *shaping.settings();
        self.losses.change(loss);
        self.wander = Wander::new(jitter, self.seed);
        self.shaping = shaping;
    }

    /// Takes a packet at `now`.
    pub fn offer(&mut self, now: Duration, packet: Packet) {
        self.counts.offered.add(&packet);
        let settings = self.shaping.settings();
        if settings.udp_blocked && packet.is_udp() {
            self.counts.dropped.udp_blocked += 1;
            return;
        }
        if packet.bytes().len() > usize::from(settings.mtu) {
            self.counts.dropped.too_big += 1;
            return;
        }
        let Some(sent) = self.queue.send(now, packet.bytes().len(), settings) else {
            self.counts.dropped.queue_full += 1;
            return;
        };
        self.counts.queue_high_bytes = self.counts.queue_high_bytes.max(self.queue.bytes);
        // Drawn for each packet that was sent, so that draws do not depend on each other.
        let lost = self.losses.next();
        let reordered = settings
            .reorder
            .filter(|Reorder { share, by: _ }| self.reorders.falls((*share).into()));
        let duplicated = self.duplicates.falls(settings.duplicate.into());
        if lost {
            self.counts.dropped.lost += 1;
            return;
        }
        let turn = (sent + self.wander.at(sent, settings.delay)).max(self.last_due);
        let due = match reordered {
            Some(Reorder { share: _, by }) => {
                self.counts.reordered += 1;
                turn + by
            }
            None => {
                self.last_due = turn;
                turn
            }
        };
        let again = duplicated.then(|| packet.clone());
        self.travel(due, packet);
        if let Some(packet) = again {
            self.counts.duplicated += 1;
            self.travel(due, packet);
        }
    }

    /// The next packet that has arrived by `now`, with the time when it did.
    pub fn take(&mut self, now: Duration) -> Option<(Duration, Packet)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(Traveller { due, packet, .. }) = self.line.pop()?;
        self.line_bytes -= packet.bytes().len() as u64;
        self.counts.delivered.add(&packet);
        Some((due, packet))
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.line.peek().map(|Reverse(traveller)| traveller.due)
    }

    /// What it has done so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Packets that went in and neither came out nor were dropped.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.line.len()
    }

    fn travel(&mut self, due: Duration, packet: Packet) {
        let bytes = packet.bytes().len() as u64;
        if self.line_bytes + bytes > LINE_BYTES_MAX {
            self.counts.dropped.line_full += 1;
            return;
        }
        self.line_bytes += bytes;
        self.counts.line_high_bytes = self.counts.line_high_bytes.max(self.line_bytes);
        let number = self.next_number;
        self.next_number += 1;
        self.line.push(Reverse(Traveller { due, number, packet }));
    }
}

/// What waits for the rate, the packet that is being sent included.
#[derive(Debug, Default)]
struct Queue {
    /// When each is sent, and its bytes. As many as the queue's bytes allow.
    waiting: VecDeque<(Duration, u64)>,
    bytes: u64,
    busy_until: Duration,
}

impl Queue {
    /// When the last bit of a packet that comes at `now` is sent; nothing where it finds no room.
    fn send(&mut self, now: Duration, bytes: usize, settings: &Draft) -> Option<Duration> {
        while let Some((sent, bytes)) = self.waiting.front()
            && *sent <= now
        {
            self.bytes -= bytes;
            self.waiting.pop_front();
        }
        let Some(rate) = settings.rate else {
            // Behind what a rate that was taken away has left over.
            return Some(self.busy_until.max(now));
        };
        let more = bytes as u64;
        if self.bytes + more > settings.queue_bytes {
            return None;
        }
        self.busy_until = self.busy_until.max(now) + rate.time_of(bytes);
        self.waiting.push_back((self.busy_until, more));
        self.bytes += more;
        Some(self.busy_until)
    }
}

/// A packet on its way. Ordered by when it arrives, then by when it went in.
#[derive(Debug)]
struct Traveller {
    due: Duration,
    number: u64,
    packet: Packet,
}

impl Ord for Traveller {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Traveller {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Traveller {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Traveller {}

#[cfg(test)]
mod tests;
