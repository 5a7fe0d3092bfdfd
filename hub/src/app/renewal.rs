//! Certificates of this node renew themselves while it runs.
//!
//! Doors ask for their certificate at each handshake, so that a new one needs no restart and cuts
//! nobody off. What cannot be renewed is told as an error at every look, and the old one goes on
//! being shown: there are months between the first look that fails and the end.

use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use weft_certs::{Authority, AuthorityError, Renewed};
use weft_proto::time::Clock;

/// Time between two looks. Short beside the third of a year that is left when a renewal is due, so
/// that a clock which was wrong is put right the same day.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Looks at the certificates now and then, until the hub stops.
pub(super) async fn keep_renewed(
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        // The files are small, but a disk may be slow: not on a thread that carries streams.
        let (authority, clock) = (Arc::clone(&authority), Arc::clone(&clock));
        match tokio::task::spawn_blocking(move || authority.renew(&*clock)).await {
            Ok(looked) => tell(looked),
            Err(panic) => tracing::error!(%panic, "the renewal of certificates panicked"),
        }
    }
}

fn tell(looked: Result<Renewed, AuthorityError>) {
    match looked {
        Ok(Renewed { node: false, users: false }) => {}
        Ok(Renewed { node, users }) => tracing::info!(node, users, "certificates renewed"),
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "certificates cannot be renewed; the old ones stay"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_certs::HUB_LEAF_LIFETIME;
    use weft_proto::entropy::OsEntropy;
    use weft_proto::ids::HubId;
    use weft_proto::time::{ManualClock, Timestamp};

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_runs_for_years_keeps_fresh_certificates() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_900_000_000)));
        let hub = HubId::generate(&*clock, &OsEntropy);
        let authority = Authority::create(dir.path(), hub, &[], &*clock, &OsEntropy).unwrap();
        let leaf = || std::fs::read(dir.path().join("node.pem")).unwrap();
        let stop = CancellationToken::new();
        let years = async {
            let mut renewals = 0;
            let mut shown = leaf();
            for _ in 0..30 {
                clock.advance(HUB_LEAF_LIFETIME / 10);
                // Past one look, in the time that tasks wait by.
                tokio::time::sleep(LOOK_EVERY + Duration::from_secs(60)).await;
                let now = leaf();
                renewals += usize::from(now != shown);
                shown = now;
                let audit = Authority::audit(dir.path()).unwrap();
                for one in audit.certificates.iter().filter(|one| one.renews_itself) {
                    let (from, until) = one.valid.unwrap();
                    assert!(from <= clock.now() && clock.now() < until, "{}", one.file);
                }
            }
            stop.cancel();
            renewals
        };
        let keeper =
            keep_renewed(Arc::new(authority), Arc::<ManualClock>::clone(&clock), stop.clone());
        let (renewals, ()) = tokio::join!(years, keeper);
        assert!((3..=5).contains(&renewals), "{renewals} renewals in three years");
    }
}
