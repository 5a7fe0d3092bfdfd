//! Waiting for a moment to some tens of microseconds, where the runtime's own timer counts
//! milliseconds.
//!
//! A timer of the kernel's, so that nothing spins.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// A timer of the kernel's.
#[derive(Debug)]
pub(super) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// A timer that is not set.
    ///
    /// # Errors
    /// Where the system has none to give.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe, for types that may change their descriptor: this one owns it"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    /// Waits until `moment`; not at all where that is past.
    ///
    /// # Errors
    /// Those of the timer.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn until(&mut self, moment: Instant) -> io::Result<()> {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let value = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let once =
                Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            // Setting it anew takes back what an earlier wait has left in it.
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            let mut ready = self.0.readable().await?;
            let mut expirations = [0; 8];
            match rustix::io::read(ready.get_inner(), &mut expirations) {
                Ok(_) | Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_alarm_never_rings_early_and_can_be_set_again_after_a_dropped_wait() {
        let mut alarm = Alarm::new().expect("a timer");
        let began = Instant::now();
        let dropped = alarm.until(began + Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(5), dropped).await.is_err());
        for millis in [10, 20, 15] {
            let moment = began + Duration::from_millis(millis);
            alarm.until(moment).await.expect("rings");
            assert!(Instant::now() >= moment);
        }
    }
}
