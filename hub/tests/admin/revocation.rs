//! The order in which an agent is revoked, seen from the tunnels: by the time that they are closed,
//! neither the store nor the handshake lets the agent in again.

use axum::body::Body;
use http::{Request, StatusCode};
use std::sync::{Arc, Mutex};
use tower::ServiceExt;
use weft_certs::{AgentTrust, Pins, Verdict};
use weft_hub::admin::{
    AdminRooms, AdminToken, InviteDesk, ReloadRefused, Reloaded, Reloads, Tunnels, routes,
};
use weft_hub::auth::Auth;
use weft_hub::ledger_key::LedgerKey;
use weft_hub::lifecycle::{Readiness, Tasks};
use weft_hub::pricing::Pricing;
use weft_hub::telemetry::Metrics;
use weft_hub::terms::Terms;
use weft_hub::trust::Trust;
use weft_hub::tunnel::TunnelInfo;
use weft_hub::wallets::Wallets;
use weft_hub::webhook::{LiveWebhook, webhook};
use weft_proto::entropy::{Entropy, SeededEntropy};
use weft_proto::ids::{AgentId, HubId, InviteId, OwnerId};
use weft_proto::time::{Clock, ManualClock, Timestamp};
use weft_store::{
    Agent, Invite, MemoryStore, Name, OWNER_TIER_DEFAULT, Owner, Redeemed, Redemption, SpkiHash,
    Store, TokenHash,
};

/// Tunnels that note what the handshake would have said when they were closed.
#[derive(Debug)]
struct Watched {
    trust: Arc<Trust>,
    spki: weft_certs::SpkiHash,
    closed: Mutex<Vec<(AgentId, Verdict)>>,
}

impl Tunnels for Watched {
    fn revoke(&self, agent: AgentId) -> usize {
        self.closed.lock().unwrap().push((agent, self.trust.verdict(agent, self.spki)));
        2
    }

    fn list(&self) -> Vec<TunnelInfo> {
        Vec::new()
    }
}

/// Nothing to read again.
#[derive(Debug)]
struct Settled;

impl Reloads for Settled {
    fn reload(&self) -> Result<Reloaded, ReloadRefused> {
        Ok(Reloaded { changed: Vec::new(), restart: Vec::new(), users_certificate_until: None })
    }
}

async fn joined(store: &dyn Store, clock: &ManualClock, entropy: &SeededEntropy) -> Agent {
    let now = Timestamp::from_secs(10);
    let owner = Owner {
        id: OwnerId::generate(clock, entropy),
        name: Name::parse("carol").unwrap(),
        created_at: now,
        tier: OWNER_TIER_DEFAULT,
    };
    let owner = store.owners().find_or_create(&owner).await.unwrap();
    let token_hash = TokenHash::new([7; 32]);
    let invite = Invite {
        id: InviteId::generate(clock, entropy),
        owner: owner.id,
        token_hash,
        expires_at: Timestamp::from_secs(1_000),
        created_at: now,
        redeemed: None,
    };
    store.invites().create(&invite).await.unwrap();
    let redemption = Redemption {
        token_hash,
        spki: SpkiHash::new([1; 32]),
        name: Name::parse("edge").unwrap(),
        agent: AgentId::generate(clock, entropy),
        now,
    };
    let redeemed = store.invites().redeem(&redemption).await.unwrap();
    let Redeemed::Joined(agent) = redeemed else { panic!("{redeemed:?}") };
    agent
}

#[tokio::test]
async fn an_agent_cannot_come_back_by_the_time_its_tunnels_are_closed() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(10)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let agent = joined(&*store, &clock, &entropy).await;
    let trust = Arc::new(Trust::load(&*store.agents()).await.unwrap());
    let spki = weft_certs::SpkiHash::from_bytes([1; 32]);
    assert_eq!(trust.verdict(agent.id, spki), Verdict::Trusted);

    let tunnels = Arc::new(Watched { trust: Arc::clone(&trust), spki, closed: Mutex::default() });
    let metrics = Metrics::new();
    let token = AdminToken::generate(&*entropy);
    let bearer = format!("Bearer {}", token.expose());
    let data = tempfile::tempdir().unwrap();
    let key = LedgerKey::open(data.path(), &*entropy).unwrap();
    let wall: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let chance: Arc<dyn Entropy> = Arc::<SeededEntropy>::clone(&entropy);
    let pricing = Pricing::open(store.price_books(), key, Arc::clone(&wall)).await.unwrap();
    let (notifier, _courier) = webhook(LiveWebhook::new(None), Arc::clone(&wall));
    let router = routes(AdminRooms {
        pricing,
        terms: Terms::load(&*store).await.unwrap(),
        wallets: Wallets::new(&*store, wall, chance),
        notifier,
        auth: Arc::new(Auth::new(store.keys(), 10, metrics.clone())),
        trust: Arc::clone(&trust),
        tunnels: Arc::<Watched>::clone(&tunnels),
        invites: InviteDesk {
            hub: HubId::generate(&*clock, &*entropy),
            addresses: vec!["127.0.0.1:7443".parse().unwrap()],
            pins: Pins { current: spki, next: spki },
        },
        metrics,
        readiness: Readiness::new(Tasks::new(), Arc::clone(&store)),
        token,
        reloads: Arc::new(Settled),
        clock,
        entropy,
        store: Arc::clone(&store),
    });
    for _ in 0..2 {
        let request = Request::post(format!("/api/v1/agents/{}/revoke", agent.id))
            .header("authorization", &bearer)
            .body(Body::empty())
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "revoking twice is harmless");
    }
    let closed = tunnels.closed.lock().unwrap().clone();
    assert_eq!(closed, [(agent.id, Verdict::Revoked), (agent.id, Verdict::Revoked)]);
    let stored = store.agents().find(agent.id).await.unwrap().unwrap();
    assert!(stored.revoked_at.is_some());
    // A restart knows it too.
    let restarted = Trust::load(&*store.agents()).await.unwrap();
    assert_eq!(restarted.verdict(agent.id, spki), Verdict::Revoked);
}
