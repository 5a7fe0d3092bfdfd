//! Carries packets between the devices and the junction: one thread, woken by packets and by time.
//!
//! It decides nothing. It says how late it was and how much CPU it took, because a link on a busy
//! machine is no better than its relay; and it never blocks on one device while another waits.

use super::LinkError;
use super::junction::{Arrival, End, Junction};
use super::tun::Tun;
use hdrhistogram::Histogram;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Packets read from one device before the next has its turn.
const BATCH: usize = 64;
/// The largest packet that IPv4 knows.
const PACKET_BYTES_MAX: usize = 65_535;
/// The longest time that lateness is told for.
const LATE_MICROS_MAX: u64 = 60_000_000;
/// Significant digits of the lateness.
const DIGITS: u8 = 2;
/// The kernel may wake a thread so much later than asked; by default it is fifty times that.
const SLACK_NANOS: NonZeroU64 = NonZeroU64::MIN.saturating_add(999);
/// The relay goes before what it serves, where it may: late packets would be its own doing.
const NICE: i32 = -10;

/// What is told of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Punctuality {
    /// CPU time of the thread, the kernel's work on its behalf included.
    pub cpu_micros: u64,
    /// Packets handed to a device.
    pub packets: u64,
    /// Packets that a device did not take.
    pub refused: u64,
    /// How late half of them were.
    pub late_p50_micros: u64,
    /// How late one of a hundred was.
    pub late_p99_micros: u64,
    /// How late the latest was.
    pub late_max_micros: u64,
}

/// A running relay. Stopped when dropped.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    junction: Mutex<Junction>,
    account: Mutex<Account>,
    bell: OwnedFd,
    stopped: AtomicBool,
    began: Duration,
}

#[derive(Debug)]
struct Account {
    late: Histogram<u64>,
    refused: u64,
    cpu: Duration,
    failed: Option<io::Error>,
}

impl Relay {
    /// Starts one between `devices`, in the order of the junction's ends.
    ///
    /// # Errors
    /// [`LinkError::System`].
    pub(super) fn start(junction: Junction, devices: Vec<Tun>) -> Result<Self, LinkError> {
        let system = |source: io::Error| LinkError::System { what: "the relay's thread", source };
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| system(errno.into()))?;
        let late = Histogram::new_with_bounds(1, LATE_MICROS_MAX, DIGITS)
            .map_err(|error| system(io::Error::other(error)))?;
        let account = Account { late, refused: 0, cpu: Duration::ZERO, failed: None };
        let shared = Arc::new(Shared {
            junction: Mutex::new(junction),
            account: Mutex::new(account),
            bell,
            stopped: AtomicBool::new(false),
            began: monotonic(),
        });
        let own = Arc::clone(&shared);
        let thread = Builder::new()
            .name("link relay".to_owned())
            .spawn(move || {
                if let Err(error) = own.run(&devices) {
                    own.account().failed = Some(error);
                }
            })
            .map_err(system)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Looks at the junction, or changes it; the relay minds the change at once.
    pub fn with<T>(&self, act: impl FnOnce(&mut Junction) -> T) -> T {
        let answer = act(&mut self.shared.junction());
        self.shared.ring();
        answer
    }

    /// How punctual it has been so far.
    #[must_use]
    pub fn punctuality(&self) -> Punctuality {
        let account = self.shared.account();
        let late = |quantile| account.late.value_at_quantile(quantile);
        Punctuality {
            cpu_micros: u64::try_from(account.cpu.as_micros()).unwrap_or(u64::MAX),
            packets: account.late.len(),
            refused: account.refused,
            late_p50_micros: late(0.5),
            late_p99_micros: late(0.99),
            late_max_micros: account.late.max(),
        }
    }

    /// Why it ended, where it did so by itself.
    ///
    /// # Errors
    /// [`LinkError::System`]: nothing passes any more.
    pub fn check(&self) -> Result<(), LinkError> {
        match self.shared.account().failed.take() {
            Some(source) => Err(LinkError::System { what: "the relay", source }),
            None => Ok(()),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to save.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn junction(&self) -> MutexGuard<'_, Junction> {
        self.junction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        match rustix::io::write(&self.bell, &1_u64.to_ne_bytes()) {
            // Full means that it has been rung and not yet heard.
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => tracing::warn!(%error, "a link's relay was not woken"),
        }
    }

    fn now(&self) -> Duration {
        monotonic().saturating_sub(self.began)
    }

    fn run(&self, devices: &[Tun]) -> io::Result<()> {
        punctual();
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        let mut arrivals = Vec::new();
        while !self.stopped.load(Ordering::Acquire) {
            let next_due = self.junction().next_due();
            let readable = self.wait(devices, next_due)?;
            for (number, device) in devices.iter().enumerate() {
                if readable.get(number).copied().unwrap_or(false) {
                    self.read(End::numbered(number), device, &mut buffer)?;
                }
            }
            let now = self.now();
            {
                let mut junction = self.junction();
                arrivals.extend(std::iter::from_fn(|| junction.take(now)));
            }
            self.write(devices, &mut arrivals);
        }
        Ok(())
    }

    /// Waits for a packet, for `until`, or for the bell; says which devices have packets.
    fn wait(&self, devices: &[Tun], until: Option<Duration>) -> io::Result<Vec<bool>> {
        let mut waiting: Vec<PollFd<'_>> =
            devices.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect();
        waiting.push(PollFd::new(&self.bell, PollFlags::IN));
        let left = until.map(|until| until.saturating_sub(self.now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let heard: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        if heard.last().copied().unwrap_or(false) {
            // Emptied, so that it can be rung again.
            rustix::io::read(&self.bell, &mut [0_u8; 8])?;
        }
        Ok(heard)
    }

    fn read(&self, from: End, device: &Tun, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            match device.read(buffer) {
                Ok(length) => {
                    let packet = buffer.get(..length).unwrap_or_default().to_vec();
                    let now = self.now();
                    self.junction().offer(from, now, packet);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&self, devices: &[Tun], arrivals: &mut Vec<Arrival>) {
        if arrivals.is_empty() {
            return;
        }
        let mut refused = 0;
        let mut late = Vec::with_capacity(arrivals.len());
        for Arrival { at, due, packet } in arrivals.drain(..) {
            late.push(self.now().saturating_sub(due));
            let taken = devices.get(at.number()).map(|device| device.write(packet.bytes()));
            refused += u64::from(!matches!(taken, Some(Ok(_))));
        }
        let mut account = self.account();
        for late in late {
            let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            account.late.saturating_record(micros);
        }
        account.refused += refused;
        account.cpu = read_clock(ClockId::ThreadCPUTime);
    }
}

/// Asks the kernel to wake this thread on time. Refusals cost punctuality, which is told.
fn punctual() {
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(SLACK_NANOS)) {
        tracing::debug!(%error, "the relay keeps the usual slack of its timers");
    }
    // Linux takes the calling thread where no process is named.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the relay has no priority over what it serves");
    }
}

/// Time since some beginning, which no simulation drives: devices live in the kernel's time.
fn monotonic() -> Duration {
    read_clock(ClockId::Monotonic)
}

fn read_clock(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}
