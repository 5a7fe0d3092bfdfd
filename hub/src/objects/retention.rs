//! How long a row lives whose object nobody has deleted: providers forget stored responses,
//! containers and batches by themselves, and tell nobody.
//!
//! A row that is gone refuses its object, so rows live twice as long as any provider keeps what they
//! stand for. Files, uploads and conversations stay for ever at the provider, and so do their rows.

use super::Objects;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_proto::objects::ObjectKind;
use weft_proto::time::Timestamp;

/// The kinds of which old rows are forgotten.
pub const FORGOTTEN_KINDS: [ObjectKind; 4] =
    [ObjectKind::Response, ObjectKind::Item, ObjectKind::Container, ObjectKind::Batch];

/// Age from which on they are: providers keep a response for thirty days.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// How often the rows are looked at.
pub const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// Pause between two transactions of one look, so that others get their turn at the store.
const BETWEEN_BATCHES: Duration = Duration::from_millis(20);

impl Objects {
    /// Forgets old rows, now and again, until `stopping`.
    ///
    /// # Cancel safety
    /// A dropped call leaves rows to the next one.
    pub async fn keep_forgetting(self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = self.forget_old() => {}
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
        }
    }

    /// Forgets what is old now.
    pub(super) async fn forget_old(&self) {
        let now = self.0.clock.now().as_micros();
        let age = u64::try_from(FORGOTTEN_AFTER.as_micros()).unwrap_or(u64::MAX);
        let before = Timestamp::from_micros(now.saturating_sub(age));
        let mut forgotten = 0;
        loop {
            match self.0.rows.purge(&FORGOTTEN_KINDS, before).await {
                Ok(0) => break,
                Ok(rows) => forgotten += rows,
                Err(error) => {
                    tracing::warn!(%error, "old objects cannot be forgotten; trying again later");
                    break;
                }
            }
            tokio::time::sleep(BETWEEN_BATCHES).await;
        }
        if forgotten > 0 {
            tracing::info!(rows = forgotten, "old objects forgotten");
        }
    }
}
