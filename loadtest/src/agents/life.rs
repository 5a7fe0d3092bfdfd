//! The life of one light agent: dial, serve, lose, wait, again, with the product's own back-off.

use super::crowd::{Crowd, Lane, one_more};
use super::session::{End, Session};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_certs::AgentIdentity;
use weft_proto::backoff::Backoff;
use weft_proto::codes::CloseCode;
use weft_proto::entropy::{Entropy, OsEntropy};
use weft_proto::ids::{AccountId, InstanceId};
use weft_proto::prices::BookHash;
use weft_proto::time::SystemClock;
use weft_proto::wire::receipts::KEY_BYTES;

/// One agent.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) identity: Arc<AgentIdentity>,
    pub(super) lane: Arc<Lane>,
    pub(super) instance: InstanceId,
    pub(super) account: AccountId,
    pub(super) ledger_key: [u8; KEY_BYTES],
    /// Price books that it has.
    pub(super) books: Vec<BookHash>,
}

impl Member {
    pub(super) fn new(number: usize, identity: Arc<AgentIdentity>, lane: Arc<Lane>) -> Self {
        Self {
            number,
            lane,
            instance: InstanceId::generate(&SystemClock, &OsEntropy),
            account: AccountId::generate(&SystemClock, &OsEntropy),
            ledger_key: ledger_key(&identity),
            books: Vec::new(),
            identity,
        }
    }
}

/// The key of its ledger: the hub remembers it, so that it has to be the same in every run. There is
/// no entry that it could have signed.
fn ledger_key(identity: &AgentIdentity) -> [u8; KEY_BYTES] {
    let name = identity.key().spki_hash();
    let seed = Sha256::new().chain_update("light ledger ").chain_update(name.as_bytes()).finalize();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok();
    pair.and_then(|pair| pair.public_key().as_ref().try_into().ok()).unwrap_or([0; KEY_BYTES])
}

/// When agents that flap lose their tunnels, and how.
#[derive(Debug)]
pub(super) struct Flaps {
    /// The mean time between two losses.
    pub(super) every: Duration,
    /// From here on nobody flaps.
    pub(super) enough: CancellationToken,
}

impl Flaps {
    /// Until the next loss is due; for ever once there were enough.
    async fn due(&self, entropy: &dyn Entropy) {
        let wait = entropy.duration_below(self.every * 2);
        tokio::select! {
            biased;
            () = self.enough.cancelled() => std::future::pending().await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Dials and serves until the run is over, or the hub says that it is no use.
pub(super) async fn live(crowd: Arc<Crowd>, mut member: Member, flaps: Option<Arc<Flaps>>) {
    let over = crowd.over.clone();
    tokio::select! {
        biased;
        () = over.cancelled() => {}
        () = lives(&crowd, &mut member, flaps.as_deref()) => {}
    }
}

async fn lives(crowd: &Arc<Crowd>, member: &mut Member, flaps: Option<&Flaps>) {
    let (mut backoff, mut generation, mut first) = (Backoff::default(), 0, true);
    // Sessions whose hub drains, or that the next one is to replace.
    let mut before = JoinSet::new();
    loop {
        generation += 1;
        while before.try_join_next().is_some() {}
        let opened = {
            let place = if first { crowd.first.acquire().await.ok() } else { None };
            one_more(&crowd.counts.attempts);
            let began = Instant::now();
            let opened = Session::open(crowd, member, generation).await;
            drop(place);
            opened.map(|session| (session, began.elapsed()))
        };
        let end = match opened {
            Ok((mut session, took)) => {
                first = false;
                backoff.succeeded();
                crowd.entered(member.number, session.connection.clone(), took);
                let number = member.number;
                let ended = tokio::select! {
                    biased;
                    end = session.serve(crowd, member) => Some(end),
                    () = flap(flaps, &crowd.entropy) => None,
                };
                crowd.left(number);
                match ended {
                    Some(End::Drains(drain)) => {
                        before.spawn(session.finish(drain.deadline));
                        End::Drains(drain)
                    }
                    Some(end) => end,
                    None => {
                        one_more(&crowd.counts.losses_made);
                        // Half of them say goodbye; the others are back before the hub knows that
                        // they were gone, and take their own place.
                        if crowd.entropy.next_u64() & 1 == 0 {
                            session.close(CloseCode::Done);
                        } else {
                            before.spawn(session.linger());
                        }
                        End::Lost
                    }
                }
            }
            Err(end) => {
                one_more(&crowd.counts.failures);
                end
            }
        };
        match end {
            End::Revoked => return,
            End::Refused(refuse) => {
                crowd.refused(refuse.cause);
                if refuse.permanent {
                    return;
                }
                backoff.ask(refuse.retry_after);
            }
            End::Drains(drain) => backoff.ask(drain.reconnect_in),
            End::Lost => {}
        }
        tokio::time::sleep(backoff.next_delay(&crowd.entropy)).await;
    }
}

async fn flap(flaps: Option<&Flaps>, entropy: &dyn Entropy) {
    match flaps {
        Some(flaps) => flaps.due(entropy).await,
        None => std::future::pending().await,
    }
}
