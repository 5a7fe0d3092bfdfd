//! Taking an agent in: the request of the agents' door, the invite of the store, the certificate of
//! the authority, and the table of the handshake, which do not know each other.

use crate::trust::Trust;
use crate::tunnel::Enrol;
use crate::wallets::Wallets;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use weft_certs::{AGENT_LIFETIME, Authority, ProvenKey, Token};
use weft_proto::entropy::Entropy;
use weft_proto::ids::AgentId;
use weft_proto::time::Clock;
use weft_proto::wire::join::{JoinAnswer, JoinRefusal, JoinRequest};
use weft_store::{Agent, Agents, Invites, Name, Redeemed, Redemption, SpkiHash, TokenHash};

/// How long after its certificate ran out an agent may renew without an invite.
const LATE_RENEWAL_MAX: Duration = Duration::from_secs(90 * 24 * 3_600);

/// What decides on requests to join. Public so that a simulated hub takes agents in by the same
/// rules.
#[derive(Debug)]
pub struct Enrolment {
    /// Certifies who is taken in.
    pub authority: Arc<Authority>,
    /// Knows who was invited.
    pub invites: Arc<dyn Invites>,
    /// Who has joined.
    pub agents: Arc<dyn Agents>,
    /// Told of each agent before it is answered.
    pub trust: Arc<Trust>,
    /// Writes into the hub's journal who was taken in.
    pub wallets: Wallets,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance. Agents' ids are made of it.
    pub entropy: Arc<dyn Entropy>,
}

#[async_trait]
impl Enrol for Enrolment {
    async fn enrol(&self, request: JoinRequest) -> JoinAnswer {
        match self.join(request).await {
            Ok(joined) => joined,
            Err(refusal) => JoinAnswer::Refused(refusal),
        }
    }
}

impl Enrolment {
    async fn join(&self, request: JoinRequest) -> Result<JoinAnswer, JoinRefusal> {
        // The proof of the key comes first: a token may not be bound to a key that nobody has.
        let key = ProvenKey::from_csr(&request.csr).map_err(|_| JoinRefusal::BadRequest)?;
        let agent = match self.known(&key).await? {
            Some(agent) => self.renews(agent, request.token.is_some())?,
            None => self.redeem(&key, &request).await?,
        };
        let chain = self.authority.sign_proven(&key, agent.id, &*self.clock).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "agent not certified");
            JoinRefusal::Unavailable
        })?;
        // Before the answer: the agent dials as soon as it has read it.
        self.trust.learn(&agent);
        Ok(JoinAnswer::Joined {
            agent: agent.id,
            chain: chain.ders().map(<[u8]>::to_vec).collect(),
        })
    }

    /// The agent that has this key already.
    async fn known(&self, key: &ProvenKey) -> Result<Option<Agent>, JoinRefusal> {
        let spki = SpkiHash::new(*key.spki_hash().as_bytes());
        self.agents.find_by_spki(&spki).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "agents not looked up");
            JoinRefusal::Unavailable
        })
    }

    /// Whether a known agent gets its certificate anew. An invite that it shows beside its key is
    /// not spent: it belongs to nobody yet.
    fn renews(&self, agent: Agent, invited: bool) -> Result<Agent, JoinRefusal> {
        if agent.revoked_at.is_some() {
            return Err(JoinRefusal::Revoked);
        }
        // Its last certificate was made when it was last seen, or later.
        let seen = agent.last_seen_at.unwrap_or(agent.joined_at);
        let lapses = seen.after(AGENT_LIFETIME).after(LATE_RENEWAL_MAX);
        if !invited && lapses < self.clock.now() {
            return Err(JoinRefusal::Lapsed);
        }
        Ok(agent)
    }

    /// Takes in a key that nobody has, by an invite.
    async fn redeem(&self, key: &ProvenKey, request: &JoinRequest) -> Result<Agent, JoinRefusal> {
        let token = request.token.ok_or(JoinRefusal::UnknownKey)?;
        let token = Token::from_slice(&token).ok_or(JoinRefusal::BadRequest)?;
        let redemption = Redemption {
            token_hash: TokenHash::new(*token.hash().as_bytes()),
            spki: SpkiHash::new(*key.spki_hash().as_bytes()),
            name: Name::parse(&request.name).map_err(|_| JoinRefusal::BadRequest)?,
            agent: AgentId::generate(&*self.clock, &*self.entropy),
            now: self.clock.now(),
        };
        match self.invites.redeem(&redemption).await {
            Ok(Redeemed::Joined(agent)) => {
                self.note(&agent).await;
                Ok(agent)
            }
            Ok(Redeemed::Unknown) => Err(JoinRefusal::UnknownToken),
            Ok(Redeemed::Expired) => Err(JoinRefusal::Expired),
            Ok(Redeemed::Taken) => Err(JoinRefusal::Used),
            // Joined through another connection since it was looked up: the next try renews.
            Ok(Redeemed::KeyInUse) => Err(JoinRefusal::Unavailable),
            Ok(Redeemed::Revoked) => Err(JoinRefusal::Revoked),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "invite not redeemed");
                Err(JoinRefusal::Unavailable)
            }
        }
    }

    /// Writes the new agent into the journal. The invite is spent by now: where the journal cannot be
    /// written the agent is an agent all the same, and the log says so.
    async fn note(&self, agent: &Agent) {
        let (id, owner, spki) =
            (agent.id.to_string(), agent.owner.to_string(), agent.spki.to_string());
        let facts =
            [("joined", &*id), ("owner", &owner), ("name", agent.name.as_str()), ("spki", &spki)];
        if let Err(error) = self.wallets.note_agent(&facts).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, agent = id, "a joined agent is not in the journal");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use weft_certs::{AgentChain, AgentIdentity, AgentKey, AgentTrust, Verdict};
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::ids::{HubId, InviteId, OwnerId};
    use weft_proto::time::{ManualClock, SystemClock};
    use weft_store::{Invite, MemoryStore, Owner, Page, Store};

    struct House {
        _certs: tempfile::TempDir,
        store: MemoryStore,
        clock: Arc<ManualClock>,
        enrolment: Enrolment,
    }

    impl House {
        fn new() -> Self {
            let certs = tempfile::tempdir().unwrap();
            let clock = Arc::new(ManualClock::new(SystemClock.now()));
            let entropy = Arc::new(SeededEntropy::new(1));
            let hub = HubId::generate(&*clock, &*entropy);
            let authority = Authority::create(certs.path(), hub, &[], &*clock, &*entropy).unwrap();
            let store = MemoryStore::new();
            let enrolment = Enrolment {
                authority: Arc::new(authority),
                invites: store.invites(),
                agents: store.agents(),
                trust: Arc::default(),
                wallets: Wallets::new(
                    &store,
                    Arc::<ManualClock>::clone(&clock),
                    Arc::<SeededEntropy>::clone(&entropy),
                ),
                clock: Arc::<ManualClock>::clone(&clock),
                entropy,
            };
            Self { _certs: certs, store, clock, enrolment }
        }

        async fn invite(&self) -> Token {
            let (clock, entropy) = (&*self.clock, &*self.enrolment.entropy);
            let owner = Owner {
                id: OwnerId::generate(clock, entropy),
                name: Name::parse("carol").unwrap(),
                created_at: clock.now(),
                tier: weft_store::OWNER_TIER_DEFAULT,
            };
            let owner = self.store.owners().find_or_create(&owner).await.unwrap();
            let token = Token::generate(entropy);
            let invite = Invite {
                id: InviteId::generate(clock, entropy),
                owner: owner.id,
                token_hash: TokenHash::new(*token.hash().as_bytes()),
                expires_at: clock.now().after(Duration::from_secs(60)),
                created_at: clock.now(),
                redeemed: None,
            };
            self.store.invites().create(&invite).await.unwrap();
            token
        }

        async fn join(&self, token: &Token, key: &AgentKey) -> JoinAnswer {
            let (token, csr) = (Some(*token.expose()), key.csr_der());
            self.enrolment.enrol(JoinRequest { token, csr, name: "edge".to_owned() }).await
        }
    }

    fn key(seed: u64) -> AgentKey {
        AgentKey::generate(&SeededEntropy::new(seed))
    }

    #[tokio::test]
    async fn who_joins_gets_a_certificate_and_the_handshake_knows_it_at_once() {
        let house = House::new();
        let token = house.invite().await;
        let JoinAnswer::Joined { agent, chain } = house.join(&token, &key(2)).await else {
            panic!("refused");
        };
        let chain = AgentChain::from_ders(chain).unwrap();
        let identity = AgentIdentity::new(key(2), chain).unwrap();
        assert_eq!(identity.agent(), agent);
        let verdict = house.enrolment.trust.verdict(agent, key(2).spki_hash());
        assert_eq!(verdict, Verdict::Trusted);

        // The hub's journal names it, once, however often it asks.
        house.join(&token, &key(2)).await;
        let journal = house.store.ledger().journal(Page::first()).await.unwrap();
        let bodies: Vec<_> =
            journal.into_iter().map(|entry| String::from_utf8(entry.body).unwrap()).collect();
        assert!(bodies.len() == 1 && bodies[0].starts_with(&format!("joined={agent}\n")));
        assert!(bodies[0].contains("\nname=edge\n"), "{bodies:?}");

        // The answer was lost: asking again gives the same agent, and another key gets nothing.
        let again = house.join(&token, &key(2)).await;
        assert!(matches!(again, JoinAnswer::Joined { agent: same, .. } if same == agent));
        let other = house.join(&token, &key(3)).await;
        assert_eq!(other, JoinAnswer::Refused(JoinRefusal::Used));
    }

    #[tokio::test]
    async fn a_known_key_renews_its_own_agent_and_only_while_it_is_not_gone_too_long() {
        let house = House::new();
        let token = house.invite().await;
        let renewal = |seed| JoinRequest {
            token: None,
            csr: key(seed).csr_der(),
            name: "renewal".to_owned(),
        };
        let renew = |seed| house.enrolment.enrol(renewal(seed));
        assert_eq!(renew(2).await, JoinAnswer::Refused(JoinRefusal::UnknownKey));
        let JoinAnswer::Joined { agent, .. } = house.join(&token, &key(2)).await else {
            panic!("refused");
        };
        house.clock.advance(AGENT_LIFETIME + LATE_RENEWAL_MAX);
        let again = renew(2).await;
        assert!(matches!(again, JoinAnswer::Joined { agent: same, .. } if same == agent));

        house.clock.advance(Duration::from_secs(1));
        assert_eq!(renew(2).await, JoinAnswer::Refused(JoinRefusal::Lapsed));
        let invited = house.join(&house.invite().await, &key(2)).await;
        assert!(matches!(invited, JoinAnswer::Joined { agent: same, .. } if same == agent));

        house.store.agents().revoke(agent, house.clock.now()).await.unwrap();
        assert_eq!(renew(2).await, JoinAnswer::Refused(JoinRefusal::Revoked));
    }

    #[tokio::test]
    async fn who_may_not_join_is_told_why() {
        let house = House::new();
        let refused = JoinAnswer::Refused;
        let nobodys = Token::generate(&SeededEntropy::new(9));
        assert_eq!(house.join(&nobodys, &key(2)).await, refused(JoinRefusal::UnknownToken));

        let token = house.invite().await;
        let bad = |csr: Vec<u8>, name: &str| JoinRequest {
            token: Some(*token.expose()),
            csr,
            name: name.to_owned(),
        };
        for request in [bad(vec![0; 64], "edge"), bad(key(2).csr_der(), "\u{1b}[2J")] {
            let answer = house.enrolment.enrol(request).await;
            assert_eq!(answer, refused(JoinRefusal::BadRequest));
        }

        let JoinAnswer::Joined { agent, .. } = house.join(&token, &key(2)).await else {
            panic!("a refused request does not use the invite up");
        };
        house.store.agents().revoke(agent, house.clock.now()).await.unwrap();
        assert_eq!(house.join(&token, &key(2)).await, refused(JoinRefusal::Revoked));

        let late = house.invite().await;
        house.clock.advance(Duration::from_secs(61));
        assert_eq!(house.join(&late, &key(4)).await, refused(JoinRefusal::Expired));
    }
}
