//! Keeps needless wake-ups away from the scheduler.
//!
//! The cache of keys tidies up inside of some look-ups, by the machine's own clock, and wakes the
//! task that it is running in when it has. Such a wake-up changes nothing but the turn in which
//! tasks run, and with it the trace. A wake-up that arrives while its own task is being polled is
//! therefore answered by one more poll at once, and passed on only where another follows.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future whose wake-ups of itself do not reach the scheduler.
pub(super) struct Steady<F> {
    inner: Pin<Box<F>>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Bell {
    polling: AtomicBool,
    rung: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl<F> Steady<F> {
    /// Steadies `inner`.
    pub(super) fn new(inner: F) -> Self {
        Self { inner: Box::pin(inner), bell: Arc::default() }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if self.polling.load(Ordering::Relaxed) {
            self.rung.store(true, Ordering::Relaxed);
        } else if let Some(outer) = &*self.outer.lock().unwrap_or_else(PoisonError::into_inner) {
            outer.wake_by_ref();
        }
    }
}

impl<F: Future> Future for Steady<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let bell = Arc::clone(&self.bell);
        *bell.outer.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(&bell));
        let mut inner = Context::from_waker(&waker);
        for _ in 0..2 {
            bell.polling.store(true, Ordering::Relaxed);
            let polled = self.inner.as_mut().poll(&mut inner);
            bell.polling.store(false, Ordering::Relaxed);
            if polled.is_ready() {
                return polled;
            }
            if !bell.rung.swap(false, Ordering::Relaxed) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
