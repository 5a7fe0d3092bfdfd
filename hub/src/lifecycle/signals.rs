//! What the operating system asks of the process: stop, or read its files again.

use std::io;
use tokio::signal::unix::{self, SignalKind};

/// A request that came as a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals a process listens to; a hub inside a test listens to none.
#[derive(Debug)]
pub struct Signals(Option<Listening>);

#[derive(Debug)]
struct Listening {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    /// Listens to SIGTERM, SIGINT and SIGHUP, which from now on no longer end the process.
    ///
    /// # Errors
    /// When the operating system does not let a handler be installed.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(Some(Listening {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })))
    }

    /// No signals at all: the hub stops when its [`Tasks`](super::Tasks) are asked to.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// The next request.
    ///
    /// # Cancel safety
    /// Cancel safe: a signal that was not returned is returned by the next call.
    pub(super) async fn next(&mut self) -> Signal {
        let Some(listening) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            biased;
            _ = listening.terminate.recv() => Signal::Stop,
            _ = listening.interrupt.recv() => Signal::Stop,
            _ = listening.hangup.recv() => Signal::Reload,
        }
    }
}
