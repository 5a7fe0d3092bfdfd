//! Keeps needless wake-ups away from the scheduler.
//!
//! The cache of keys tidies up inside of some look-ups, by the machine's own clock, and wakes the
//! task that it is running in when it has. Such a wake-up changes nothing but the turn in which
//! tasks run, and with it the trace. A task is therefore always polled twice, which answers a
//! wake-up of itself, and only what wakes it in the second poll is passed on. Twice whether or not
//! there was one: a poll more is not nothing to the tables of wakers that it registers with, which
//! may grow and are then gone through in another order.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// How often a task is polled in its turn.
const POLLS: usize = 2;

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
        for _ in 0..POLLS {
            bell.rung.store(false, Ordering::Relaxed);
            bell.polling.store(true, Ordering::Relaxed);
            let polled = self.inner.as_mut().poll(&mut inner);
            bell.polling.store(false, Ordering::Relaxed);
            if polled.is_ready() {
                return polled;
            }
        }
        if bell.rung.load(Ordering::Relaxed) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
