//! How many wrong keys one address may present in a minute.
//!
//! Guessing 256 bits is hopeless; the limit keeps somebody who tries anyway from turning each
//! guess into a read of the store and a line in the log. IPv6 neighbours count together by /64,
//! because one customer usually holds all of it.
//!
//! Invariant: at most [`ADDRESSES_MAX`] addresses are remembered. When the table is full, all
//! addresses that are not in it share one counter for the rest of the minute.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Length of the counting window, seconds.
const WINDOW_SECONDS: u64 = 60;
/// Addresses counted one by one in a window.
const ADDRESSES_MAX: usize = 65_536;
/// How many times one address's limit all others share when the table is full.
const OVERFLOW_FACTOR: u32 = 64;

/// Counts failures by address in windows of a minute.
#[derive(Debug)]
pub(super) struct FailureLimiter {
    per_minute_max: u32,
    addresses_max: usize,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    started: Instant,
    counts: BTreeMap<IpAddr, u32>,
    overflow: u32,
}

impl FailureLimiter {
    pub(super) fn new(per_minute_max: u32) -> Self {
        Self::with_table(per_minute_max, ADDRESSES_MAX)
    }

    fn with_table(per_minute_max: u32, addresses_max: usize) -> Self {
        let window = Window { started: Instant::now(), counts: BTreeMap::new(), overflow: 0 };
        Self { per_minute_max, addresses_max, window: Mutex::new(window) }
    }

    /// Counts a failure of `peer`.
    pub(super) fn failed(&self, peer: IpAddr) {
        self.with_window(|window| {
            let full = window.counts.len() >= self.addresses_max;
            let peer = neighbourhood(peer);
            let count = match window.counts.get_mut(&peer) {
                Some(count) => count,
                None if full => &mut window.overflow,
                None => window.counts.entry(peer).or_insert(0),
            };
            *count = count.saturating_add(1);
        });
    }

    /// How long `peer` must wait before another key of it is looked at; none where it need not.
    pub(super) fn wait(&self, peer: IpAddr) -> Option<Duration> {
        self.with_window(|window| {
            let (count, max) = match window.counts.get(&neighbourhood(peer)) {
                Some(count) => (*count, self.per_minute_max),
                None => (window.overflow, self.per_minute_max.saturating_mul(OVERFLOW_FACTOR)),
            };
            let left = Duration::from_secs(WINDOW_SECONDS).saturating_sub(window.started.elapsed());
            (count >= max).then_some(left)
        })
    }

    fn with_window<T>(&self, use_window: impl FnOnce(&mut Window) -> T) -> T {
        // Counters are valid at every moment: a panic elsewhere cannot have torn them.
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.started.elapsed() >= Duration::from_secs(WINDOW_SECONDS) {
            *window = Window { started: Instant::now(), counts: BTreeMap::new(), overflow: 0 };
        }
        use_window(&mut window)
    }
}

/// The address whose failures count together with those of `peer`.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(peer) => IpAddr::V4(peer),
        IpAddr::V6(peer) => {
            let [a, b, c, d, ..] = peer.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_too_often_waits_out_the_minute_and_others_do_not() {
        let limiter = FailureLimiter::new(3);
        for _ in 0..3 {
            assert_eq!(limiter.wait(ip("192.0.2.1")), None);
            limiter.failed(ip("192.0.2.1"));
        }
        assert!(limiter.wait(ip("192.0.2.1")).is_some_and(|wait| wait.as_secs() <= 60));
        assert!(
            limiter.wait(ip("::ffff:192.0.2.1")).is_some(),
            "the same address, written as IPv6"
        );
        assert_eq!(limiter.wait(ip("192.0.2.2")), None);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(limiter.wait(ip("192.0.2.1")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_addresses_of_one_ipv6_network_count_together() {
        let limiter = FailureLimiter::new(2);
        limiter.failed(ip("2001:db8::1"));
        limiter.failed(ip("2001:db8::2"));
        assert!(limiter.wait(ip("2001:db8::3")).is_some());
        assert_eq!(limiter.wait(ip("2001:db8:0:1::3")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_does_not_grow_and_newcomers_share_one_counter() {
        let limiter = FailureLimiter::with_table(1, 2);
        for last in 0..=255u8 {
            limiter.failed(IpAddr::from([192, 0, 2, last]));
        }
        assert_eq!(limiter.window.lock().unwrap().counts.len(), 2);
        assert!(limiter.wait(ip("198.51.100.1")).is_some(), "newcomers share the overflow");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(limiter.wait(ip("198.51.100.1")), None);
    }
}
