//! The webhook: tells another system of what happened, with retries, in the background.
//!
//! Events wait in a queue of [`QUEUE_MAX`]; what finds it full is counted and dropped, because an
//! exchange must never wait for somebody's web server. Each is posted as one JSON object, up to
//! [`TRIES_MAX`] times. Where a secret is set, `weft-signature` carries the HMAC-SHA-256 of the body.
//!
//! Spoken over TLS with the public authorities verified; plain HTTP reaches this machine alone.
//! Redirects are not followed, nothing of an answer is kept but its status.

mod post;

pub use post::{InvalidWebhook, Webhook, WebhookUrl};

use crate::config::Live;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_proto::time::Clock;

/// Events that wait.
pub const QUEUE_MAX: usize = 1_024;

/// Tries of one event.
pub const TRIES_MAX: u32 = 6;

/// The wait before the second try; it doubles.
const BACK_OFF: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Its name, such as `payout.requested`.
    pub event: &'static str,
    /// When, in microseconds since 1970.
    pub at_us: u64,
    /// What there is to say.
    pub data: serde_json::Value,
}

/// The webhook in force, where there is one: a reload may change it between two posts.
pub type LiveWebhook = Live<Option<Webhook>>;

/// Hands events in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notifier {
    queue: mpsc::Sender<Event>,
    hook: LiveWebhook,
    dropped: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

/// Posts what was handed in.
#[derive(Debug)]
pub struct Courier {
    queue: mpsc::Receiver<Event>,
    hook: LiveWebhook,
}

/// A notifier and its courier; while there is no webhook, events go nowhere.
#[must_use]
pub fn webhook(hook: LiveWebhook, clock: Arc<dyn Clock>) -> (Notifier, Courier) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let notifier = Notifier { queue: sender, hook: hook.clone(), dropped: Arc::default(), clock };
    (notifier, Courier { queue: receiver, hook })
}

impl Notifier {
    /// Tells of something. Never waits.
    pub fn notify(&self, event: &'static str, data: serde_json::Value) {
        if self.hook.now().is_none() {
            return;
        }
        let event = Event { event, at_us: self.clock.now().as_micros(), data };
        if self.queue.try_send(event).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(dropped, "the webhook's queue is full");
        }
    }
}

impl Courier {
    /// Posts until `stop`, and what waits then once more.
    pub async fn run(self, stop: CancellationToken) {
        let Self { mut queue, hook } = self;
        loop {
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                event = queue.recv() => event,
            };
            let Some(event) = event else { return };
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    attempt(&hook, &event).await;
                    break;
                }
                () = deliver(&hook, &event) => {}
            }
        }
        // Not for long: a stop has its deadline, and each post its own.
        while let Ok(event) = queue.try_recv() {
            if !attempt(&hook, &event).await {
                return;
            }
        }
    }
}

async fn deliver(hook: &LiveWebhook, event: &Event) {
    let mut wait = BACK_OFF;
    for number in 1..=TRIES_MAX {
        if attempt(hook, event).await {
            return;
        }
        if number < TRIES_MAX {
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }
    tracing::error!(event = event.event, "the webhook was not reached: the event is lost");
}

/// One try, and whether it is done with: delivered, refused for good, or wanted by nobody any more.
async fn attempt(hook: &LiveWebhook, event: &Event) -> bool {
    let hook = hook.now();
    let Some(webhook) = hook.as_ref() else { return true };
    let Ok(body) = serde_json::to_vec(event) else { return true };
    match webhook.post(body).await {
        Ok(status) if status.is_success() => true,
        // It was understood and is not wanted: another try would be the same.
        Ok(status) if status.is_client_error() && status.as_u16() != 429 => {
            tracing::warn!(event = event.event, %status, "the webhook does not want an event");
            true
        }
        Ok(status) => {
            tracing::warn!(event = event.event, %status, "the webhook did not take an event");
            false
        }
        Err(error) => {
            let error = error.as_ref() as &dyn std::error::Error;
            tracing::warn!(event = event.event, error, "the webhook is not reached");
            false
        }
    }
}

#[cfg(test)]
mod tests;
