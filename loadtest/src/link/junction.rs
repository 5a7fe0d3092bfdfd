//! The middle of the network: each near end has its own link to it, the far end has none to speak
//! of, and packets go on to whomever they are addressed to.
//!
//! ```text
//!   near 1 ── up/down ──┐
//!   near 2 ── up/down ──┼── far
//!   near 3 ── up/down ──┘
//! ```
//!
//! What goes from one near end to another passes the first one's way up and the second one's way
//! down. In the middle each near end may be behind a NAT whose address changes. Pure, as [`Shape`]
//! is: time is an argument.

use super::packet::Packet;
use super::place::Access;
use super::shape::{Counts, Shape};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

/// An end of the network, by its number: the far end is 0, near ends count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct End(usize);

impl End {
    /// The end that everybody has a link to.
    pub const FAR: Self = Self(0);

    /// The near end with this index, from 0.
    #[must_use]
    pub const fn near(index: usize) -> Self {
        Self(index + 1)
    }

    /// The end with this number.
    pub(super) const fn numbered(number: usize) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0
    }
}

/// What the link of one near end has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BothWays {
    /// From the near end.
    pub up: Counts,
    /// To the near end.
    pub down: Counts,
}

/// A packet that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Where.
    pub at: End,
    /// When, by its settings; the relay may be late.
    pub due: Duration,
    /// What.
    pub packet: Packet,
}

/// The middle.
#[derive(Debug)]
pub struct Junction {
    near: Vec<Line>,
    by_address: BTreeMap<Ipv4Addr, End>,
    /// At most what one offer makes; a relay empties it before the next.
    arrived: VecDeque<Arrival>,
    strays: u64,
}

#[derive(Debug)]
struct Line {
    up: Shape,
    down: Shape,
    /// Its own address, and the one by which others know it.
    own: Ipv4Addr,
    known: Ipv4Addr,
}

impl Junction {
    /// The middle between `far` and the near ends, each with its address and its link.
    #[must_use]
    pub fn new(far: Ipv4Addr, near: Vec<(Ipv4Addr, Access)>, seed: u64) -> Self {
        let mut by_address = BTreeMap::from([(far, End::FAR)]);
        by_address.extend(
            near.iter().enumerate().map(|(index, (address, _))| (*address, End::near(index))),
        );
        let lines = near.into_iter().enumerate().map(|(index, (own, access))| {
            // Each direction of each link has chance of its own.
            let seed = seed.wrapping_add((index as u64) << 1);
            let (up, down) = (seed, seed.wrapping_add(1));
            Line {
                up: Shape::new(access.up, up),
                down: Shape::new(access.down, down),
                own,
                known: own,
            }
        });
        Self { near: lines.collect(), by_address, arrived: VecDeque::new(), strays: 0 }
    }

    /// Takes what the end `from` sends at `now`. What is no packet for one of the ends is counted
    /// and dropped.
    pub fn offer(&mut self, from: End, now: Duration, bytes: Vec<u8>) {
        let Some(packet) = Packet::parse(bytes) else {
            self.strays += 1;
            return;
        };
        if !self.by_address.contains_key(&packet.destination()) {
            self.strays += 1;
            return;
        }
        match self.line(from) {
            Some(line) => line.up.offer(now, packet),
            None => self.onward(now, packet),
        }
    }

    /// The next packet that has arrived by `now`, wherever.
    pub fn take(&mut self, now: Duration) -> Option<Arrival> {
        while self.arrived.is_empty() {
            let (index, way, _) = self.first().filter(|(_, _, due)| *due <= now)?;
            let line = self.near.get_mut(index)?;
            match way {
                Way::Up => {
                    let (due, mut packet) = line.up.take(now)?;
                    if line.known != line.own {
                        packet.set_source(line.known);
                    }
                    self.onward(due, packet);
                }
                Way::Down => {
                    let (due, packet) = line.down.take(now)?;
                    self.arrived.push_back(Arrival { at: End::near(index), due, packet });
                }
            }
        }
        self.arrived.pop_front()
    }

    /// When there is something to take, at the earliest.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        match self.arrived.front() {
            Some(arrival) => Some(arrival.due),
            None => self.first().map(|(_, _, due)| due),
        }
    }

    /// Gives the link of a near end other settings; nothing for the far end, which has none.
    pub fn change(&mut self, end: End, access: Access) {
        if let Some(line) = self.line(end) {
            line.up.change(access.up);
            line.down.change(access.down);
        }
    }

    /// Gives the NAT of a near end another address, at once: what it sends comes from there from
    /// now on, and what others send to the old one is for nobody. Nothing for the far end, which
    /// is behind none, and where the address is another end's.
    pub fn rebind(&mut self, end: End, known: Ipv4Addr) {
        if self.by_address.contains_key(&known) {
            return;
        }
        let Some(line) = self.line(end) else { return };
        let before = std::mem::replace(&mut line.known, known);
        self.by_address.remove(&before);
        self.by_address.insert(known, end);
    }

    /// What each near end's link has done, in their order.
    #[must_use]
    pub fn counts(&self) -> Vec<BothWays> {
        let both = |line: &Line| BothWays { up: *line.up.counts(), down: *line.down.counts() };
        self.near.iter().map(both).collect()
    }

    /// How much came that was no packet between two ends, such as IPv6.
    #[must_use]
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    fn line(&mut self, end: End) -> Option<&mut Line> {
        end.0.checked_sub(1).and_then(|index| self.near.get_mut(index))
    }

    /// A packet in the middle at `now`: down to its near end, or there where that is the far one.
    fn onward(&mut self, now: Duration, mut packet: Packet) {
        let Some(&at) = self.by_address.get(&packet.destination()) else {
            // Its end has been given another address while it was on its way up.
            self.strays += 1;
            return;
        };
        match self.line(at) {
            Some(line) => {
                if line.known != line.own {
                    packet.set_destination(line.own);
                }
                line.down.offer(now, packet);
            }
            None => self.arrived.push_back(Arrival { at, due: now, packet }),
        }
    }

    /// The direction whose next packet arrives first; the lower number where two tie.
    fn first(&self) -> Option<(usize, Way, Duration)> {
        let each = self.near.iter().enumerate().flat_map(|(index, line)| {
            let due = |way, shape: &Shape| shape.next_due().map(|due| (index, way, due));
            [due(Way::Up, &line.up), due(Way::Down, &line.down)]
        });
        each.flatten().min_by_key(|(_, _, due)| *due)
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Up,
    Down,
}

#[cfg(test)]
mod tests {
    use super::super::packet::made;
    use super::super::shaping::Draft;
    use super::*;

    const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
    const NEAR: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 0, 2), Ipv4Addr::new(198, 18, 0, 3)];

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn access(up: u64, down: u64) -> Access {
        let draft = |delay| Draft { delay: millis(delay), ..Draft::default() };
        Access::new(draft(up), draft(down)).expect("possible")
    }

    fn junction() -> Junction {
        Junction::new(FAR, vec![(NEAR[0], access(10, 20)), (NEAR[1], access(1, 2))], 1)
    }

    fn to(destination: Ipv4Addr) -> Vec<u8> {
        made(destination, 6, 100, 1).bytes().to_vec()
    }

    fn arrivals(junction: &mut Junction) -> Vec<(usize, Duration)> {
        let all = std::iter::from_fn(|| junction.take(Duration::from_secs(100)));
        all.map(|arrival| (arrival.at.number(), arrival.due)).collect()
    }

    #[test]
    fn a_packet_passes_the_way_up_of_its_sender_and_the_way_down_of_its_receiver() {
        let mut junction = junction();
        junction.offer(End::near(0), Duration::ZERO, to(FAR));
        assert_eq!(junction.next_due(), Some(millis(10)));
        assert_eq!(arrivals(&mut junction), [(0, millis(10))]);
        junction.offer(End::FAR, Duration::ZERO, to(NEAR[0]));
        assert_eq!(arrivals(&mut junction), [(1, millis(20))]);
        junction.offer(End::near(0), Duration::ZERO, to(NEAR[1]));
        assert_eq!(arrivals(&mut junction), [(2, millis(12))]);
    }

    #[test]
    fn a_relay_that_comes_late_does_not_make_the_second_half_late() {
        let mut junction = junction();
        junction.offer(End::near(0), Duration::ZERO, to(NEAR[1]));
        assert_eq!(junction.take(millis(9)), None);
        // Looked at no earlier than at 50 ms, the packet still arrived at 10 + 2.
        assert_eq!(junction.take(millis(50)).map(|arrival| arrival.due), Some(millis(12)));
    }

    #[test]
    fn arrivals_come_in_the_order_of_their_times() {
        let mut junction = junction();
        junction.offer(End::FAR, Duration::ZERO, to(NEAR[0]));
        junction.offer(End::FAR, Duration::ZERO, to(NEAR[1]));
        junction.offer(End::near(0), Duration::ZERO, to(FAR));
        assert_eq!(arrivals(&mut junction), [(2, millis(2)), (0, millis(10)), (1, millis(20))]);
    }

    #[test]
    fn what_is_for_none_of_the_ends_is_counted_and_dropped() {
        let mut junction = junction();
        junction.offer(End::near(0), Duration::ZERO, to(Ipv4Addr::new(198, 18, 0, 9)));
        junction.offer(End::near(0), Duration::ZERO, vec![0x60; 48]);
        assert_eq!((junction.strays(), junction.next_due()), (2, None));
        assert_eq!(junction.counts()[0].up.offered.packets, 0);
    }

    #[test]
    fn behind_a_nat_an_end_is_known_by_another_address() {
        let mut junction = junction();
        let known = Ipv4Addr::new(198, 18, 1, 1);
        junction.rebind(End::near(0), known);
        junction.offer(End::near(0), Duration::ZERO, to(FAR));
        let seen = junction.take(millis(10)).expect("a packet").packet;
        assert_eq!(seen.bytes()[12..16], known.octets());
        // Back to the new address it arrives at the end's own; to the old one it does not.
        junction.offer(End::FAR, Duration::ZERO, to(known));
        junction.offer(End::FAR, Duration::ZERO, to(NEAR[0]));
        let back = junction.take(millis(20)).expect("a packet");
        assert_eq!((back.at, back.packet.destination()), (End::near(0), NEAR[0]));
        assert_eq!((junction.take(millis(100)), junction.strays()), (None, 1));
        // Nobody is given an address that another end has.
        junction.rebind(End::near(0), FAR);
        junction.offer(End::near(1), Duration::ZERO, to(FAR));
        assert_eq!(junction.take(millis(100)).map(|arrival| arrival.at), Some(End::FAR));
    }

    #[test]
    fn links_are_changed_one_by_one() {
        let mut junction = junction();
        junction.change(End::near(1), access(0, 5));
        junction.change(End::FAR, access(100, 100));
        junction.offer(End::FAR, Duration::ZERO, to(NEAR[0]));
        junction.offer(End::FAR, Duration::ZERO, to(NEAR[1]));
        assert_eq!(arrivals(&mut junction), [(2, millis(5)), (1, millis(20))]);
    }
}
