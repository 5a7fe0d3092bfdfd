//! Rows to try things with: all from one seed, so that a failure repeats.

use std::sync::Arc;
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::entropy::{Entropy, SeededEntropy};
use weft_proto::ids::{AgentId, ExchangeId, InviteId, KeyId, OwnerId, UserId};
use weft_proto::time::{Clock, ManualClock, Timestamp};
use weft_store::{
    Agent, Invite, Key, KeyHint, ModelAllowList, Name, Networks, OWNER_TIER_DEFAULT, Outcome,
    Owner, Redeemed, Redemption, SpendLimits, Store, User,
};

/// Makes rows; each later than the one before.
#[derive(Debug)]
pub(crate) struct World {
    clock: ManualClock,
    entropy: SeededEntropy,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            clock: ManualClock::new(Timestamp::from_secs(1_700_000_000)),
            entropy: SeededEntropy::new(seed),
        }
    }

    /// A moment after all moments before.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.advance(Duration::from_millis(1));
        self.clock.now()
    }

    pub(crate) fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes);
        bytes
    }

    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.entropy.next_u64() % limit
    }

    pub(crate) fn agent_id(&self) -> AgentId {
        self.now();
        AgentId::generate(&self.clock, &self.entropy)
    }

    pub(crate) fn exchange_id(&self) -> ExchangeId {
        self.now();
        ExchangeId::generate(&self.clock, &self.entropy)
    }

    pub(crate) fn user_id(&self) -> UserId {
        UserId::generate(&self.clock, &self.entropy)
    }

    pub(crate) fn key_id(&self) -> KeyId {
        KeyId::generate(&self.clock, &self.entropy)
    }

    pub(crate) fn user(&self, name: &str) -> User {
        let created_at = self.now();
        User {
            id: self.user_id(),
            name: named(name),
            owner: None,
            zone: None,
            created_at,
            disabled: false,
        }
    }

    pub(crate) fn key(&self, user: &User) -> Key {
        let created_at = self.now();
        Key {
            id: self.key_id(),
            user: user.id,
            label: named("laptop"),
            hash: self.bytes().into(),
            hint: KeyHint::of("wk-abcdWXYZ").expect("a hint"),
            models: ModelAllowList::Any,
            expires_at: None,
            networks: Networks::any(),
            zone: None,
            limits: SpendLimits::default(),
            created_at,
            revoked_at: None,
        }
    }

    pub(crate) fn owner(&self, name: &str) -> Owner {
        let created_at = self.now();
        let id = OwnerId::generate(&self.clock, &self.entropy);
        Owner { id, name: named(name), created_at, tier: OWNER_TIER_DEFAULT }
    }

    /// An invite for an hour.
    pub(crate) fn invite(&self, owner: &Owner) -> Invite {
        let created_at = self.now();
        Invite {
            id: InviteId::generate(&self.clock, &self.entropy),
            owner: owner.id,
            token_hash: self.bytes().into(),
            expires_at: created_at.after(Duration::from_secs(3_600)),
            created_at,
            redeemed: None,
        }
    }

    /// A new agent with a new public key that shows the token of `invite`.
    pub(crate) fn redemption(&self, invite: &Invite) -> Redemption {
        Redemption {
            token_hash: invite.token_hash,
            spki: self.bytes().into(),
            name: named("edge"),
            agent: self.agent_id(),
            now: self.now(),
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let exchange = self.exchange_id();
        Outcome {
            exchange,
            user: self.user_id(),
            key: self.key_id(),
            agent: None,
            account: None,
            provider: None,
            route: "responses".to_owned(),
            model: None,
            attempts: 0,
            status: None,
            end: EndReason::Refused,
            abort: None,
            request_bytes: 0,
            response_bytes: 0,
            admitted_at: self.clock.now(),
            dispatched_after_us: None,
            head_after_us: None,
            first_byte_after_us: None,
            ended_after_us: 250,
        }
    }

    /// An invite that is kept in `store`, under a new owner.
    pub(crate) async fn kept_invite(&self, store: &Arc<dyn Store>) -> Invite {
        let owner = self.owner(&format!("owner {}", self.below(u64::MAX)));
        let owner = store.owners().find_or_create(&owner).await.expect("an owner");
        let invite = self.invite(&owner);
        store.invites().create(&invite).await.expect("an invite");
        invite
    }

    /// An agent that has joined.
    pub(crate) async fn joined(&self, store: &Arc<dyn Store>) -> Agent {
        let invite = self.kept_invite(store).await;
        match store.invites().redeem(&self.redemption(&invite)).await.expect("an answer") {
            Redeemed::Joined(agent) => agent,
            other @ (Redeemed::Unknown
            | Redeemed::Expired
            | Redeemed::Taken
            | Redeemed::KeyInUse
            | Redeemed::Revoked) => panic!("a fresh invite was answered {other:?}"),
        }
    }
}

pub(crate) fn named(text: &str) -> Name {
    Name::parse(text).expect("a name")
}
