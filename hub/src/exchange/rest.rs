//! The rest of an upload whose answer has begun.
//!
//! It goes on by itself, whether or not the user takes the answer: one who sends everything before
//! it reads anything must not wait for itself. When the agent wants no more, the body is given back
//! to the door at once, which reads on and throws away.

use super::dispatch::Forwarding;
use super::upload::{Forwarded, Stopped};
use tokio::task::JoinSet;

/// An upload that goes on. Dropped, it breaks off.
#[derive(Debug)]
pub(super) struct Rest(JoinSet<Forwarded>);

impl Rest {
    /// Lets `forwarding` go on.
    pub(super) fn of(forwarding: Forwarding) -> Self {
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (upload, forwarded) = forwarding.await;
            // No further attempt follows an answer: what was kept for one goes, and the body with it.
            drop(upload);
            forwarded
        });
        Self(task)
    }

    /// Waits until it has ended, and says how; for ever where there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ended(rest: &mut Option<Self>) -> Forwarded {
        match rest {
            Some(rest) => match rest.0.join_next().await {
                Some(Ok(forwarded)) => forwarded,
                // A panic: what was forwarded is no whole body.
                Some(Err(_)) | None => Forwarded::Stopped(Stopped::Broken),
            },
            None => std::future::pending().await,
        }
    }
}
