//! The simulated hub: the real parts on the simulated network, joined as the hub's own wiring joins
//! them, without the doors that listen on TCP. Users call the gateway where a connection would.

use super::clock::SimClock;
use super::dice::entropy;
use super::net::{HUB, HUB_PORT, HostNet, Weather};
use super::plan::{HEALED_AT, PROBES_MAX, Plan, RequestPlan, probe_marker};
use super::seen::{CountedOutcomes, Life, Seen, UserEnd};
use super::steady::Steady;
use super::till::Counter;
use super::trace::Trace;
use super::user::User;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weft_certs::{AgentTrust, Authority};
use weft_hub::app::{Enrolment, ReceiptDesks, ReceiptNeeds};
use weft_hub::auth::Auth;
use weft_hub::config::{Limits, LiveLimits};
use weft_hub::exchange::settle::Settler;
use weft_hub::exchange::{self, Spine};
use weft_hub::gateway::{self, Gateway};
use weft_hub::ledger::Ledger;
use weft_hub::lifecycle::{Lifecycle, Readiness, Signals, Stage, Tasks};
use weft_hub::objects::Objects;
use weft_hub::telemetry::Metrics;
use weft_hub::trust::Trust;
use weft_hub::tunnel::{Doorkeeper, Needs, Tunnels};
use weft_hub::wallets::Wallets;
use weft_proto::entropy::Entropy;
use weft_proto::provider::Provider;
use weft_proto::time::Clock;
use weft_store::{Outcomes, Store};

/// Pause between two probes of one provider.
const PROBE_EVERY: Duration = Duration::from_secs(3);
/// How long the hub lets exchanges finish when it is asked to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The hub's machine: what survives its process.
pub(super) struct HubHost {
    pub(super) plan: Arc<Plan>,
    pub(super) authority: Arc<Authority>,
    /// Its data directory: the ledger's journal, and keys.
    pub(super) data: PathBuf,
    pub(super) store: Arc<dyn Store>,
    pub(super) reset_key: [u8; 32],
    pub(super) users_key: String,
    pub(super) weather: Weather,
    pub(super) seen: Seen,
    pub(super) trace: Trace,
    pub(super) running: Mutex<Option<Running>>,
}

/// Handles of the process that runs now.
#[derive(Debug, Clone)]
pub(super) struct Running {
    tasks: Tasks,
    tunnels: Tunnels,
    spine: Spine,
    ledger: Ledger,
}

impl fmt::Debug for HubHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubHost").field("running", &self.running).finish_non_exhaustive()
    }
}

impl HubHost {
    /// One life of the hub's process.
    pub(super) async fn run(self: Arc<Self>) -> turmoil::Result {
        let clock: Arc<dyn Clock> = Arc::new(SimClock);
        let life = {
            let mut seen = self.seen.open();
            seen.lives.push(Life::begun(clock.now()));
            seen.lives.len() - 1
        };
        self.trace.event(HUB, format_args!("starts"));
        let chance: Arc<dyn Entropy> = Arc::new(entropy(self.plan.seed, &format!("{HUB}/{life}")));
        let limits = Arc::new(Limits {
            body_idle: Duration::from_secs(5),
            answer_head: Duration::from_secs(8),
            answer_idle: Duration::from_secs(8),
            stall: Duration::from_secs(4),
            drain: DRAIN,
            ..Limits::default()
        });
        let (tasks, metrics) = (Tasks::new(), Metrics::new());
        let auth = Arc::new(Auth::new(
            self.store.keys(),
            limits.failed_keys_per_minute_max,
            metrics.clone(),
        ));
        let trust = Arc::new(Trust::load(&*self.store.agents()).await?);
        let enrol = Enrolment {
            authority: Arc::clone(&self.authority),
            invites: self.store.invites(),
            agents: self.store.agents(),
            trust: Arc::clone(&trust),
            wallets: Wallets::new(&*self.store, Arc::clone(&clock), Arc::clone(&chance)),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&chance),
        };
        let outcomes: Arc<dyn Outcomes> =
            Arc::new(CountedOutcomes { kept: self.store.outcomes(), seen: self.seen.clone() });
        let counter = Counter {
            data: &self.data,
            store: &*self.store,
            outcomes: &outcomes,
            clock: &clock,
            chance: &chance,
            metrics: &metrics,
            places: limits.outcomes_waiting_max,
        };
        let (rooms, keeper) = counter.open().await?;
        let ledger = rooms.ledger.clone();
        let desks = ReceiptDesks::new(ReceiptNeeds {
            hub: self.authority.hub(),
            store: &*self.store,
            ledger: ledger.clone(),
            pricing: rooms.pricing,
            tickets: rooms.tickets,
            money: rooms.money,
            clock: Arc::clone(&clock),
        });
        let tunnels = Tunnels::open(Needs {
            node: ledger.node(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&chance),
            agents: self.store.agents(),
            enrol: Arc::new(enrol),
            desks: Some(Arc::new(desks)),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            tunnels_max: limits.tunnels_max,
        })
        .await?;
        let objects = Objects::new(self.store.objects(), Arc::clone(&clock), metrics.clone());
        let (settler, writer) = Settler::new(outcomes, limits.outcomes_waiting_max);
        let spine = Spine::new(exchange::Needs {
            auth: Arc::clone(&auth),
            tunnels: tunnels.clone(),
            objects: objects.clone(),
            settler: settler.clone(),
            till: Some(rooms.till),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            limits: LiveLimits::new(Limits::clone(&limits)),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&chance),
            closing: tasks.stopping(Stage::Work),
            cut_off: tasks.cutting_off(Stage::Work),
        });
        let gateway = Gateway::new(gateway::Needs {
            spine: spine.clone(),
            auth,
            tunnels: tunnels.clone(),
            objects,
            users: self.store.users(),
            wallets: Wallets::new(&*self.store, Arc::clone(&clock), Arc::clone(&chance)),
            readiness: Readiness::new(tasks.clone(), Arc::clone(&self.store)),
            metrics,
            clock: Arc::clone(&clock),
        });

        let agent_trust: Arc<dyn AgentTrust> = trust;
        let tls = self.authority.agents_door(agent_trust, clock)?;
        let quic = weft_transport::config::hub(Arc::new(tls))?;
        let net = HostNet::new(
            self.plan.seed,
            HUB,
            life as u64,
            self.weather.clone(),
            self.trace.clone(),
        );
        let udp = net.bind(HUB_PORT)?;
        let endpoint = weft_transport::endpoint::hub(udp, quic, &self.reset_key, &*chance)?;

        keeper.start(&tasks);
        tasks.spawn(Stage::Records, "outcome writer", writer.run(tasks.stopping(Stage::Records)));
        tasks.spawn(
            Stage::Carriers,
            "agents' door",
            Doorkeeper::new(tunnels.clone(), endpoint).run(),
        );
        let (watched, stopped) = (spine.clone(), tasks.stopping(Stage::Carriers));
        tasks.spawn(Stage::Carriers, "reader watch", async move {
            tokio::select! {
                biased;
                () = stopped.cancelled() => {}
                () = watched.watch_readers() => {}
            }
        });
        let (stopping, drained) = (tasks.stopping(Stage::Work), tunnels.clone());
        tasks.spawn(Stage::Carriers, "drain", async move {
            stopping.cancelled().await;
            drained.drain(DRAIN);
        });
        let users = Arc::clone(&self).users(life, tasks.clone(), gateway);
        let stopping = tasks.stopping(Stage::Work);
        tasks.spawn(Stage::Work, "users", async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = users => {}
            }
        });
        *self.running() = Some(Running { tasks: tasks.clone(), tunnels, spine, ledger });

        let ended = Lifecycle::new(tasks, || DRAIN).run(Signals::none()).await;
        drop(settler);
        self.trace.event(HUB, format_args!("stopped {ended:?}"));
        if let Some(life) = self.seen.open().lives.get_mut(life) {
            life.ended = Some(ended);
        }
        *self.running() = None;
        Ok(())
    }

    /// Lets users in when their plans say so, and probes once the world is mended.
    async fn users(self: Arc<Self>, life: usize, tasks: Tasks, gateway: Gateway) {
        let now = || turmoil::sim_elapsed().unwrap_or_default();
        let from = now();
        for plan in self.plan.requests.iter().filter(|request| request.at >= from) {
            tokio::time::sleep(plan.at.saturating_sub(now())).await;
            let user = self.user(plan.clone(), life);
            tasks.spawn(Stage::Work, "user", Steady::new(user.run(gateway.clone())));
        }
        tokio::time::sleep(HEALED_AT.saturating_sub(now())).await;
        for provider in Provider::ALL {
            tasks.spawn(
                Stage::Work,
                "probes",
                Steady::new(Arc::clone(&self).probe(provider, life, gateway.clone())),
            );
        }
    }

    /// Asks a provider again and again, until it has answered once.
    async fn probe(self: Arc<Self>, provider: Provider, life: usize, gateway: Gateway) {
        for index in 0..PROBES_MAX {
            let at = turmoil::sim_elapsed().unwrap_or_default();
            let plan = Plan::probe(probe_marker(provider, index), at, provider);
            let marker = plan.marker;
            self.user(plan, life).run(gateway.clone()).await;
            {
                let mut seen = self.seen.open();
                let served = seen.users.get(&marker).is_some_and(|saw| {
                    saw.from_provider && saw.end == UserEnd::Clean && saw.status == Some(200)
                });
                if served {
                    seen.recovered.insert(provider);
                    return;
                }
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }

    fn user(&self, plan: RequestPlan, life: usize) -> User {
        User {
            plan,
            life,
            key: self.users_key.clone(),
            seen: self.seen.clone(),
            trace: self.trace.clone(),
        }
    }

    /// The process has died.
    pub(super) fn crashed(&self) {
        *self.running() = None;
        if let Some(life) = self.seen.open().lives.last_mut() {
            life.crashed = true;
        }
    }

    /// Asks the process to stop gracefully.
    pub(super) fn drain(&self) {
        if let Some(running) = &*self.running() {
            running.tasks.stop();
        }
    }

    /// How many agents have a tunnel that takes exchanges now.
    pub(super) fn connected(&self) -> usize {
        let running = self.running();
        let tunnels = running.iter().flat_map(|running| running.tunnels.list());
        let agents = tunnels.filter(|tunnel| tunnel.takes_exchanges).map(|tunnel| tunnel.agent);
        agents.collect::<BTreeSet<_>>().len()
    }

    /// Exchanges that the hub counts: all of them, and those on each account.
    pub(super) fn in_flight(&self) -> (usize, u32) {
        let running = self.running();
        running.as_ref().map_or((0, 0), |running| {
            let tunnels = running.tunnels.list();
            let accounts = tunnels.iter().flat_map(|tunnel| &tunnel.accounts);
            let on_accounts = accounts.map(|account| account.in_flight).sum();
            (running.spine.running().count(), on_accounts)
        })
    }

    /// The ledger of the process that runs now.
    pub(super) fn ledger(&self) -> Option<Ledger> {
        self.running().as_ref().map(|running| running.ledger.clone())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
