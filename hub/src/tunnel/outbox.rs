//! Control messages that wait for a tunnel.
//!
//! Bounded, in order, from any number of senders to the one task of the session. Unlike a channel of
//! tokio's, which reserves room for 32 messages as it is made, it holds nothing while nothing waits:
//! nearly all tunnels are idle nearly all of the time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore};
use weft_proto::wire::control::HubMessage;

/// Messages that may wait; more are dropped with a warning, for a peer that reads none is found out
/// by its silence.
const OUTBOX_MAX: usize = 16;

/// Why a message was not put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotPut {
    #[error("as many messages wait as may")]
    Full,
    #[error("the session has ended")]
    Ended,
}

#[derive(Debug)]
struct Shared {
    places: Semaphore,
    waiting: Mutex<VecDeque<HubMessage>>,
    put: Notify,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<HubMessage>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, message: HubMessage) {
        self.waiting().push_back(message);
        self.put.notify_one();
    }
}

/// Where messages are put.
#[derive(Debug)]
pub(super) struct Outbox(Arc<Shared>);

/// Where they are taken. Dropped, nothing more can be put.
#[derive(Debug)]
pub(super) struct Outgoing(Arc<Shared>);

/// An outbox in which nothing waits.
pub(super) fn outbox() -> (Outbox, Outgoing) {
    let shared = Arc::new(Shared {
        places: Semaphore::new(OUTBOX_MAX),
        waiting: Mutex::default(),
        put: Notify::new(),
    });
    (Outbox(Arc::clone(&shared)), Outgoing(shared))
}

impl Outbox {
    /// Puts a message as soon as there is a place.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call has put nothing.
    pub(super) async fn put(&self, message: HubMessage) -> Result<(), NotPut> {
        // The place is given back by whoever takes the message.
        self.0.places.acquire().await.map_err(|_| NotPut::Ended)?.forget();
        self.0.put(message);
        Ok(())
    }

    /// Puts a message where there is a place; never waits.
    pub(super) fn try_put(&self, message: HubMessage) -> Result<(), NotPut> {
        match self.0.places.try_acquire() {
            Ok(place) => place.forget(),
            Err(tokio::sync::TryAcquireError::NoPermits) => return Err(NotPut::Full),
            Err(tokio::sync::TryAcquireError::Closed) => return Err(NotPut::Ended),
        }
        self.0.put(message);
        Ok(())
    }
}

impl Outgoing {
    /// The message that has waited longest.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call has taken nothing.
    pub(super) async fn next(&mut self) -> HubMessage {
        loop {
            // Bound here: the lock must not be held while anything is waited for.
            let taken = {
                let mut waiting = self.0.waiting();
                let taken = waiting.pop_front();
                if waiting.is_empty() {
                    *waiting = VecDeque::new();
                }
                taken
            };
            if let Some(message) = taken {
                self.0.places.add_permits(1);
                return message;
            }
            self.0.put.notified().await;
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.0.places.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn messages_come_in_order_and_one_that_finds_no_place_is_refused_or_waits() {
        let (outbox, mut outgoing) = outbox();
        for nonce in 0..OUTBOX_MAX as u64 {
            outbox.try_put(HubMessage::Ping(nonce)).expect("a place");
        }
        assert_eq!(outbox.try_put(HubMessage::Revoked), Err(NotPut::Full));
        let mut context = Context::from_waker(Waker::noop());
        let mut waits = pin!(outbox.put(HubMessage::Ping(OUTBOX_MAX as u64)));
        assert!(waits.as_mut().poll(&mut context).is_pending());
        assert_eq!(outgoing.next().await, HubMessage::Ping(0));
        waits.await.expect("the place that was given back");
        for nonce in 1..=OUTBOX_MAX as u64 {
            assert_eq!(outgoing.next().await, HubMessage::Ping(nonce));
        }
        let mut nothing = pin!(outgoing.next());
        assert!(nothing.as_mut().poll(&mut context).is_pending());
    }

    #[tokio::test]
    async fn nothing_is_put_for_a_session_that_has_ended_and_who_waits_is_told() {
        let (outbox, outgoing) = outbox();
        for nonce in 0..OUTBOX_MAX as u64 {
            outbox.try_put(HubMessage::Ping(nonce)).expect("a place");
        }
        let mut waits = pin!(outbox.put(HubMessage::Revoked));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        drop(outgoing);
        assert_eq!(waits.await, Err(NotPut::Ended));
        assert_eq!(outbox.try_put(HubMessage::Revoked), Err(NotPut::Ended));
    }

    #[tokio::test]
    async fn an_empty_outbox_holds_no_room() {
        let (outbox, mut outgoing) = outbox();
        outbox.put(HubMessage::Revoked).await.expect("a place");
        assert_eq!(outgoing.next().await, HubMessage::Revoked);
        assert_eq!(outbox.0.waiting().capacity(), 0);
    }
}
