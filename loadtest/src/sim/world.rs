//! The world of one seed: its machines, the faults done to them, and the order of its phases.
//!
//! ```text
//! 0 s ── agents join ── 3 s ── requests and faults ── 20 s ── mended ── recovered ── stopped
//! ```

mod faults;

use super::agent::AgentHost;
use super::books::{self, Audit, Parties};
use super::clock::{BEGINNING, SimClock};
use super::dice::{Dice, entropy};
use super::hub::HubHost;
use super::machine::Stood;
use super::net::{HUB, LATENCY, PROVIDER, Sky, Weather};
use super::plan::{Fault, HEALED_AT, Plan};
use super::seen::{Seen, UserEnd};
use super::till::CLAIM_WINDOW;
use super::trace::Trace;
use super::upstream::Providers;
use super::verdict;
use faults::Machine;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use turmoil::Sim;
use weft_certs::Authority;
use weft_hub::auth::KeySecret;
use weft_hub::ledger_key::LedgerKey;
use weft_hub::wallets::{CreditKind, Wallets};
use weft_proto::entropy::Entropy;
use weft_proto::ids::{HubId, InviteId, KeyId, OwnerId, UserId};
use weft_proto::money::NanoUsd;
use weft_proto::provider::Provider;
use weft_store::{
    Invite, Key, KeyHash, KeyHint, MemoryStore, ModelAllowList, Name, Networks, OWNER_TIER_DEFAULT,
    Owner, SpendLimits, Store, TokenHash, User,
};

/// What the user has: more than all requests of a world can cost.
const CREDIT: NanoUsd = NanoUsd::new(1_000_000_000_000);
/// Simulated time of one step: within it a machine's own timers are exact, and what machines send
/// each other arrives at its end.
const TICK: Duration = Duration::from_millis(2);
/// How long after the mending all agents must be back and every provider must serve. The longest
/// chain: a handshake that began in the dark gives up (10 s), then a back-off; a tunnel that only
/// the hub has lost is noticed by the agent's next keep-alive (21 s), or after its idle time.
const RECOVERY_MAX: Duration = Duration::from_secs(75);
/// How long the last exchanges may take to leave the counts, once their users are gone.
const SETTLE: Duration = Duration::from_secs(3);
/// How long the ledgers may take to agree, once the world is mended: claims come, what nobody claims
/// runs out, and is looked at some time later.
const AGREE_MAX: Duration = Duration::from_secs(CLAIM_WINDOW.as_secs() + 90);
/// Between two looks at whether they do.
const AGREE_LOOK: Duration = Duration::from_millis(500);
/// How long an orderly stop of everything may take.
const STOP_MAX: Duration = Duration::from_secs(30);
/// Datagrams, and segments of one TCP stream, that a machine queues.
const QUEUE: usize = 4_096;

/// One world while it runs.
pub(super) struct World<'a> {
    sim: Sim<'a>,
    plan: Arc<Plan>,
    hub: Arc<HubHost>,
    agents: Vec<Arc<AgentHost>>,
    weather: Weather,
    seen: Seen,
    trace: Trace,
    machines: BTreeMap<String, Machine>,
    /// Partitions, and when they end.
    broken: Vec<(Duration, Fault)>,
    /// What the disks of failing machines have taken.
    taken: BTreeMap<String, Stood>,
    /// What becomes of the rest.
    power: Dice,
    user: UserId,
    /// Of each agent.
    owners: Vec<OwnerId>,
}

impl World<'_> {
    /// Builds the machines of `seed`; data directories go under `root`.
    pub(super) fn build(seed: u64, root: &Path, trace: Trace) -> anyhow::Result<Self> {
        let plan = Arc::new(Plan::draw(seed));
        let (weather, seen) = (Weather::default(), Seen::default());
        let chance = entropy(seed, "world");
        let hub_id = HubId::generate(&SimClock, &chance);
        let authority =
            Arc::new(Authority::create(&root.join("ca"), hub_id, &[], &SimClock, &chance)?);
        let mut agents = Vec::new();
        for agent in &plan.agents {
            let data = root.join(&agent.name);
            let host =
                AgentHost::make(&plan, agent, &authority, data, weather.clone(), trace.clone())?;
            agents.push(Arc::new(host));
        }
        let Filled { store, users_key, user, owners } = fill(seed, &chance, &agents)
            .now_or_never()
            .ok_or_else(|| anyhow::anyhow!("the store in memory waited"))??;
        let mut reset_key = [0; 32];
        chance.fill(&mut reset_key);
        let hub = Arc::new(HubHost {
            plan: Arc::clone(&plan),
            authority,
            data: root.join("hub"),
            store,
            reset_key,
            users_key,
            weather: weather.clone(),
            seen: seen.clone(),
            trace: trace.clone(),
            running: Mutex::new(None),
        });

        let mut sim = turmoil::Builder::new()
            .epoch(UNIX_EPOCH + Duration::from_micros(BEGINNING.as_micros()))
            .simulation_duration(Duration::MAX)
            .tick_duration(TICK)
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .udp_capacity(QUEUE)
            .tcp_capacity(QUEUE)
            .rng_seed(seed)
            .build();
        let providers =
            Providers { plan: Arc::clone(&plan), seen: seen.clone(), trace: trace.clone() };
        sim.host(PROVIDER, move || providers.clone().run());
        let machine = Arc::clone(&hub);
        sim.host(HUB, move || Arc::clone(&machine).run());
        let mut machines: BTreeMap<_, _> =
            [HUB, PROVIDER].map(|name| (name.to_owned(), Machine::Up)).into();
        for agent in &agents {
            let machine = Arc::clone(agent);
            sim.host(agent.name.as_str(), move || Arc::clone(&machine).run());
            machines.insert(agent.name.clone(), Machine::Up);
        }
        Ok(Self {
            sim,
            plan,
            hub,
            agents,
            weather,
            seen,
            trace,
            machines,
            broken: Vec::new(),
            taken: BTreeMap::new(),
            power: Dice::new(seed, "disks"),
            user,
            owners,
        })
    }

    /// Lives through all phases; says what was wrong, and how often what happened.
    pub(super) fn live(mut self) -> (Vec<String>, BTreeMap<&'static str, u64>) {
        if let Err(stopped) = self.phases() {
            self.seen.wrong(stopped);
        }
        let (mut wrong, mut tally) = (verdict::of(&self.seen), verdict::tally(&self.seen));
        match self.audit() {
            Ok(audit) => {
                wrong.extend(audit.wrong);
                tally.extend(audit.tally);
            }
            Err(error) => wrong.push(format!("the hub's ledger key cannot be read: {error}")),
        }
        (wrong, tally)
    }

    /// Holds the books against each other, now that everything has stopped.
    fn audit(&self) -> anyhow::Result<Audit> {
        let key = LedgerKey::open(&self.hub.data, &entropy(self.plan.seed, "audit"))?;
        let seen = self.seen.open();
        Ok(books::of(&Parties {
            store: &*self.hub.store,
            hub: self.hub.authority.hub(),
            key: key.public(),
            user: self.user,
            credit: CREDIT,
            agents: self.agents.iter().cloned().zip(self.owners.iter().copied()).collect(),
            seen: &seen,
            trace: &self.trace,
        }))
    }

    fn phases(&mut self) -> Result<(), String> {
        let mut faults = self.plan.faults.clone().into_iter().peekable();
        while self.sim.elapsed() < HEALED_AT {
            while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= self.sim.elapsed()) {
                self.inflict(fault);
            }
            self.mend(false);
            self.step()?;
        }
        self.trace.event_at(self.sim.elapsed(), "world", format_args!("mended"));
        self.weather.set(Sky::default());
        let deadline = HEALED_AT + RECOVERY_MAX;
        loop {
            self.mend(true);
            self.step()?;
            let missing = self.missing();
            if missing.is_empty() {
                break;
            }
            if self.sim.elapsed() > deadline {
                return Err(format!("{RECOVERY_MAX:?} after the mending: {}", missing.join(", ")));
            }
        }
        self.trace.event_at(self.sim.elapsed(), "world", format_args!("recovered"));
        self.run_for(SETTLE)?;
        let (running, on_accounts) = self.hub.in_flight();
        if (running, on_accounts) != (0, 0) {
            self.seen.wrong(format!(
                "the idle hub counts {running} exchanges, {on_accounts} on accounts"
            ));
        }
        for agent in &self.agents {
            let in_flight = agent.in_flight();
            if in_flight != 0 {
                self.seen.wrong(format!("the idle {} counts {in_flight} exchanges", agent.name));
            }
        }
        self.agree()?;
        self.stop()
    }

    /// Runs until the two ledgers have nothing to say to each other any more.
    fn agree(&mut self) -> Result<(), String> {
        let deadline = self.sim.elapsed() + AGREE_MAX;
        loop {
            self.run_for(AGREE_LOOK)?;
            let mut open = Vec::new();
            for agent in &self.agents {
                let waiting = agent.unacknowledged();
                if waiting > 0 {
                    open.push(format!("{waiting} closes of {} have no final word", agent.name));
                }
            }
            let legs = books::open_legs(&*self.hub.store);
            let orphans = self.hub.ledger().map_or(0, |ledger| ledger.orphans().len());
            if (legs, orphans) != (0, 0) {
                open.push(format!("{legs} legs and {orphans} orphans are open"));
            }
            if open.is_empty() {
                self.trace.event_at(self.sim.elapsed(), "world", format_args!("agrees"));
                return Ok(());
            }
            if self.sim.elapsed() > deadline {
                return Err(format!("{AGREE_MAX:?} after the recovery: {}", open.join(", ")));
            }
        }
    }

    /// What is not as it should be in the end.
    fn missing(&mut self) -> Vec<String> {
        let mut missing = Vec::new();
        let connected = self.hub.connected();
        if connected != self.agents.len() {
            missing.push(format!("{connected} of {} agents are connected", self.agents.len()));
        }
        let seen = self.seen.open();
        for provider in Provider::ALL {
            if !seen.recovered.contains(&provider) {
                missing.push(format!("{provider} does not serve"));
            }
        }
        for (marker, saw) in &seen.users {
            if saw.end == UserEnd::Running {
                missing.push(format!("user {marker} still waits"));
            }
        }
        missing
    }

    /// Stops everything in order; all must end by itself.
    fn stop(&mut self) -> Result<(), String> {
        self.trace.event_at(self.sim.elapsed(), "world", format_args!("stops"));
        self.agents.iter().for_each(|agent| agent.drain());
        self.hub.drain();
        let deadline = self.sim.elapsed() + STOP_MAX;
        loop {
            self.step()?;
            let mut names = self.agents.iter().map(|agent| agent.name.clone()).collect::<Vec<_>>();
            names.push(HUB.to_owned());
            names.retain(|name| self.sim.is_host_running(name.as_str()));
            if names.is_empty() {
                return Ok(());
            }
            if self.sim.elapsed() > deadline {
                return Err(format!(
                    "{STOP_MAX:?} after the request to stop: {}",
                    names.join(", ")
                ));
            }
        }
    }

    fn run_for(&mut self, time: Duration) -> Result<(), String> {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map(drop).map_err(|error| format!("a machine's software failed: {error}"))
    }
}

/// A store that was filled, and what is in it.
struct Filled {
    store: Arc<dyn Store>,
    users_key: String,
    user: UserId,
    /// Of each agent.
    owners: Vec<OwnerId>,
}

/// A store that knows one user with credit, an owner and an invite for each agent; and the user's key.
async fn fill(
    seed: u64,
    chance: &dyn Entropy,
    agents: &[Arc<AgentHost>],
) -> anyhow::Result<Filled> {
    let store = MemoryStore::new();
    let user = User {
        id: UserId::generate(&SimClock, chance),
        name: Name::parse("user")?,
        owner: None,
        zone: None,
        created_at: BEGINNING,
        disabled: false,
    };
    store.users().create(&user).await?;
    let wallets = Wallets::new(&store, Arc::new(SimClock), Arc::new(entropy(seed, "credit")));
    wallets.credit(&user, CreditKind::Deposit, CREDIT, None).await?;
    let secret = KeySecret::generate(chance);
    let key = Key {
        id: KeyId::generate(&SimClock, chance),
        user: user.id,
        label: Name::parse("key")?,
        hash: KeyHash::new(secret.hash()),
        hint: KeyHint::of(&secret.expose())?,
        models: ModelAllowList::Any,
        expires_at: None,
        networks: Networks::any(),
        zone: None,
        limits: SpendLimits::default(),
        created_at: BEGINNING,
        revoked_at: None,
    };
    store.keys().create(&key).await?;
    let mut owners = Vec::new();
    for agent in agents {
        let owner = Owner {
            id: OwnerId::generate(&SimClock, chance),
            name: Name::parse(&agent.name)?,
            created_at: BEGINNING,
            tier: OWNER_TIER_DEFAULT,
        };
        let owner = store.owners().find_or_create(&owner).await?;
        owners.push(owner.id);
        let invite = Invite {
            id: InviteId::generate(&SimClock, chance),
            owner: owner.id,
            token_hash: TokenHash::new(*agent.invite.token().hash().as_bytes()),
            expires_at: agent.invite.expiry(),
            created_at: BEGINNING,
            redeemed: None,
        };
        store.invites().create(&invite).await?;
    }
    let users_key = secret.expose().to_string();
    Ok(Filled { store: Arc::new(store), users_key, user: user.id, owners })
}
