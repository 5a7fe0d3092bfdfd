//! Who is asking: from a presented key to a [`Caller`], or a refusal.
//!
//! A key's text is checked before anything is looked up; what was looked up is remembered, both
//! ways, for a short while. Concurrent requests with one key share one look-up.
//!
//! # Invariants
//! - Only [`Auth::admit`] makes a [`Caller`]: who holds one has passed this door.
//! - Expiry and network are judged at each request, never remembered.
//! - A revocation holds from the return of [`Auth::revoked`] on. What is remembered belongs to an
//!   epoch; a revocation begins the next one, so that not even a look-up which began before it can
//!   be found after it. The price is one read of the store for each key still in use.
//! - Memory is bounded: both caches and the table of failing addresses have a capacity.
//! - The secret is never kept, logged or repeated in an error. Remembered is its SHA-256.

mod caller;
mod key;
mod limiter;
mod presented;
#[cfg(test)]
mod tests;

pub use caller::Caller;
pub use key::{KEY_TEXT_BYTES, KeySecret, MalformedKey};
pub use presented::NotPresented;

use crate::telemetry::Metrics;
use http::HeaderMap;
use limiter::FailureLimiter;
use moka::future::Cache;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use weft_proto::ids::{KeyId, UserId};
use weft_proto::time::Timestamp;
use weft_store::{Key, KeyHash, Keys, StoreError, User};

/// Keys remembered.
const KNOWN_KEYS_MAX: u64 = 100_000;
/// How long a key is remembered before the store is asked again, seconds.
const KNOWN_KEY_SECONDS: u64 = 60;
/// Well-formed texts remembered as nobody's key.
const UNKNOWN_KEYS_MAX: u64 = 10_000;
/// How long a text is remembered as nobody's key, seconds.
const UNKNOWN_KEY_SECONDS: u64 = 10;
/// How long one look-up may take, seconds.
const LOOKUP_SECONDS: u64 = 5;

/// Why a request was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthRefused {
    /// The headers carry no single key.
    #[error(transparent)]
    NotPresented(#[from] NotPresented),
    /// The text is no key.
    #[error(transparent)]
    Malformed(#[from] MalformedKey),
    /// The text has a key's form, but is nobody's.
    #[error("no such key")]
    Unknown,
    /// The key was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// The key's time is over.
    #[error("the key has expired")]
    Expired,
    /// The key's user may not use the hub.
    #[error("the user of this key is disabled")]
    UserDisabled,
    /// The key may not be used from this address.
    #[error("the key may not be used from this address")]
    Network,
    /// The address presented too many wrong keys.
    #[error("too many wrong keys from this address")]
    TooManyFailures {
        /// How long to wait before the next try.
        retry_after: Duration,
    },
    /// The store could not be asked.
    #[error("keys cannot be checked at the moment")]
    Unavailable,
}

impl AuthRefused {
    /// The name of the cause in metrics and logs.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::NotPresented(_) => "key_missing",
            Self::Malformed(_) => "key_malformed",
            Self::Unknown => "key_unknown",
            Self::Revoked => "key_revoked",
            Self::Expired => "key_expired",
            Self::UserDisabled => "user_disabled",
            Self::Network => "key_network",
            Self::TooManyFailures { .. } => "key_failures",
            Self::Unavailable => "key_store",
        }
    }
}

/// What was looked up for one key.
type Known = Arc<(Key, User)>;
/// A hash, and the epoch in which it was looked up.
type Place = (u64, KeyHash);

/// The room that knows users' keys.
#[derive(Debug)]
pub struct Auth {
    keys: Arc<dyn Keys>,
    known: Cache<Place, Known>,
    unknown: Cache<Place, ()>,
    epoch: AtomicU64,
    failures: FailureLimiter,
    metrics: Metrics,
}

/// Why a look-up gave no key.
#[derive(Debug, thiserror::Error)]
enum NoKey {
    #[error("no such key")]
    Unknown,
    #[error("the store cannot be asked")]
    Store(#[source] StoreError),
    #[error("the store did not answer within {LOOKUP_SECONDS} s")]
    Slow,
}

impl Auth {
    /// A room over `keys`, in which an address may fail `failed_keys_per_minute_max` times.
    #[must_use]
    pub fn new(keys: Arc<dyn Keys>, failed_keys_per_minute_max: u32, metrics: Metrics) -> Self {
        let cache = |entries, seconds| {
            Cache::builder().max_capacity(entries).time_to_live(Duration::from_secs(seconds))
        };
        Self {
            keys,
            known: cache(KNOWN_KEYS_MAX, KNOWN_KEY_SECONDS).build(),
            unknown: Cache::builder()
                .max_capacity(UNKNOWN_KEYS_MAX)
                .time_to_live(Duration::from_secs(UNKNOWN_KEY_SECONDS))
                .build(),
            epoch: AtomicU64::new(0),
            failures: FailureLimiter::new(failed_keys_per_minute_max),
            metrics,
        }
    }

    /// The key text that `headers` carry: `authorization: Bearer`, `x-api-key` or `api-key`.
    ///
    /// # Errors
    /// [`AuthRefused::NotPresented`] where there is none, or two different ones.
    pub fn presented(headers: &HeaderMap) -> Result<&str, AuthRefused> {
        Ok(presented::presented(headers)?)
    }

    /// Admits the bearer of `presented`, who speaks from `peer`.
    ///
    /// An address that failed too often is refused, but for keys that were used lately: one
    /// neighbour behind a shared address cannot lock the others out.
    ///
    /// # Errors
    /// [`AuthRefused`]; the text of the error may be shown to the caller. The door counts it.
    ///
    /// # Cancel safety
    /// Cancel safe: a look-up that others wait for is taken over by one of them.
    pub async fn admit(
        &self,
        presented: &str,
        peer: IpAddr,
        now: Timestamp,
    ) -> Result<Caller, AuthRefused> {
        let known = match KeySecret::parse(presented) {
            Ok(secret) => self.known(KeyHash::new(secret.hash()), peer).await,
            Err(malformed) => match self.failures.wait(peer) {
                Some(retry_after) => Err(AuthRefused::TooManyFailures { retry_after }),
                None => Err(malformed.into()),
            },
        };
        let admitted = known.and_then(|known| Caller::judge(known, peer, now));
        if let Err(refused) = &admitted {
            match refused {
                AuthRefused::Malformed(_)
                | AuthRefused::Unknown
                | AuthRefused::Revoked
                | AuthRefused::Expired => self.failures.failed(peer),
                AuthRefused::NotPresented(_)
                | AuthRefused::UserDisabled
                | AuthRefused::Network
                | AuthRefused::TooManyFailures { .. }
                | AuthRefused::Unavailable => {}
            }
        }
        admitted
    }

    /// Forgets what is known of `key`, which the store has revoked. From the return on no request
    /// is admitted with it.
    pub fn revoked(&self, key: KeyId) {
        self.next_epoch();
        tracing::info!(%key, "key revoked");
    }

    /// Forgets what is known of `user`, which the store has disabled or enabled.
    pub fn user_changed(&self, user: UserId) {
        self.next_epoch();
        tracing::info!(%user, "user changed");
    }

    /// Forgets what is known of `key`, which the store has just got: its text may have been tried
    /// before.
    pub fn created(&self, key: KeyId) {
        self.next_epoch();
        tracing::info!(%key, "key created");
    }

    /// The key with this hash, from memory or the store.
    async fn known(&self, hash: KeyHash, peer: IpAddr) -> Result<Known, AuthRefused> {
        let place = (self.epoch.load(Ordering::Acquire), hash);
        if let Some(known) = self.known.get(&place).await {
            self.metrics.key_cache(true);
            return Ok(known);
        }
        if let Some(retry_after) = self.failures.wait(peer) {
            return Err(AuthRefused::TooManyFailures { retry_after });
        }
        if self.unknown.contains_key(&place) {
            self.metrics.key_cache(true);
            return Err(AuthRefused::Unknown);
        }
        self.metrics.key_cache(false);
        match self.known.try_get_with(place, self.look_up(hash)).await.as_ref() {
            Ok(known) => Ok(Arc::clone(known)),
            Err(no_key) => match no_key.as_ref() {
                NoKey::Unknown => {
                    self.unknown.insert(place, ()).await;
                    Err(AuthRefused::Unknown)
                }
                error @ (NoKey::Store(_) | NoKey::Slow) => {
                    tracing::error!(error = error as &dyn std::error::Error, "key not looked up");
                    Err(AuthRefused::Unavailable)
                }
            },
        }
    }

    async fn look_up(&self, hash: KeyHash) -> Result<Known, NoKey> {
        let limit = Duration::from_secs(LOOKUP_SECONDS);
        match tokio::time::timeout(limit, self.keys.find_by_hash(&hash)).await {
            Ok(Ok(Some(found))) => Ok(Arc::new(found)),
            Ok(Ok(None)) => Err(NoKey::Unknown),
            Ok(Err(error)) => Err(NoKey::Store(error)),
            Err(_) => Err(NoKey::Slow),
        }
    }

    fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}
