//! The only place where the parts of the hub are joined: binds early, runs late.
//!
//! [`App::bind`] takes the data directory, opens the store and binds every door, so that whatever
//! cannot work fails before anything runs. [`App::run`] starts what was bound and returns when all
//! of it has ended. Between the two nothing answers, but connections already queue.

mod addresses;
mod certificate;
mod data;
mod enrol;
mod error;
mod money;
mod receipts;
mod reload;
mod renewal;
mod webhook;

pub use addresses::{Addresses, reachable_here};
pub use data::{CERTS_DIR, DataDir, DataDirError, Holder, RESET_KEY_FILE, announced, holder};
pub use enrol::Enrolment;
pub use error::BindError;
pub use money::LEDGER_DIR;
pub use receipts::{ReceiptDesks, ReceiptNeeds};
pub use webhook::WebhookError;

use crate::admin::{self, AdminDoor, AdminRooms, AdminToken, InviteDesk};
use crate::auth::Auth;
use crate::config::{Database, HubConfig, LiveLimits, LiveMoney, Overrides};
use crate::exchange::settle::{OutcomeWriter, Settler};
use crate::exchange::{self, Spine};
use crate::gateway::{self, Gateway, Quic, UsersDoor};
use crate::lifecycle::{Ended, Lifecycle, Readiness, Signals, Stage, Tasks};
use crate::objects::Objects;
use crate::telemetry::{Log, Metrics};
use crate::terms::Terms;
use crate::trust::Trust;
use crate::tunnel::{Doorkeeper, Needs, Tunnels};
use crate::wallets::Wallets;
use crate::webhook::{Courier, LiveWebhook, Notifier};
use addresses::dialled;
use certificate::UsersCertificate;
use money::MoneyRooms;
use reload::ReloadDesk;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use weft_certs::{AgentTrust, Authority};
use weft_proto::entropy::{Entropy, OsEntropy};
use weft_proto::ids::NodeId;
use weft_proto::time::{Clock, SystemClock};
use weft_store::{MysqlStore, SqliteStore, Store};
use weft_transport::Endpoint;

/// What a hub takes from the machine; a simulation brings its own.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance. Keys and tokens are made of it.
    pub entropy: Arc<dyn Entropy>,
}

impl Machine {
    /// The machine as it is.
    #[must_use]
    pub fn real() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) }
    }
}

/// A hub whose doors are bound, and that does nothing yet.
pub struct App {
    data: DataDir,
    addresses: Addresses,
    tasks: Tasks,
    store: Arc<dyn Store>,
    tunnels: Tunnels,
    spine: Spine,
    objects: Objects,
    settler: Settler,
    writer: OutcomeWriter,
    gateway: Gateway,
    users: Vec<UsersDoor>,
    users_tls: Arc<rustls::ServerConfig>,
    users_h3_port: Option<NonZeroU16>,
    agents: Vec<Endpoint>,
    admin: AdminDoor,
    rooms: AdminRooms,
    terms: Terms,
    courier: Courier,
    notifier: Notifier,
    money: MoneyRooms,
    limits: LiveLimits,
    reload: Arc<ReloadDesk>,
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
}

/// Opens the store that the settings name.
async fn open_store(database: Database) -> Result<Arc<dyn Store>, BindError> {
    Ok(match database {
        Database::Sqlite(path) => match SqliteStore::open(&path).await {
            Ok(store) => Arc::new(store),
            Err(source) => return Err(BindError::Database { path, source }),
        },
        Database::Mysql(url) => match MysqlStore::open(&url).await {
            Ok(store) => Arc::new(store),
            Err(source) => return Err(BindError::Server { url, source }),
        },
    })
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl App {
    /// Opens the state of the hub and binds all of its doors.
    ///
    /// # Errors
    /// [`BindError`] for what cannot work; nothing runs then, and nothing stays bound.
    ///
    /// # Cancel safety
    /// A dropped call gives back what it had taken.
    pub async fn bind(config: HubConfig) -> Result<Self, BindError> {
        Self::bind_on(Machine::real(), config).await
    }

    /// The same, with the time and the chance of `machine`.
    ///
    /// # Errors
    /// As [`App::bind`].
    pub async fn bind_on(machine: Machine, config: HubConfig) -> Result<Self, BindError> {
        let Machine { clock, entropy } = machine;

        // The directory first: two hubs on one database would each believe themselves alone.
        let data = DataDir::lock(&config.data)?;
        let authority = Arc::new(Authority::open(&config.data.join(CERTS_DIR), &*clock)?);
        let token = AdminToken::load(&config.data)?;
        let store = open_store(config.database()).await?;

        let tasks = Tasks::new();
        let metrics = Metrics::new();
        let readiness = Readiness::new(tasks.clone(), Arc::clone(&store));
        let failed_keys = config.limits.failed_keys_per_minute_max;
        let auth = Arc::new(Auth::new(store.keys(), failed_keys, metrics.clone()));

        // Whole before the door can be knocked at: half a table would let revoked agents in.
        let trust = Arc::new(Trust::load(&*store.agents()).await?);
        let terms = Terms::load(&*store).await?;
        let money = LiveMoney::new(config.money.clone());
        let money_rooms = MoneyRooms::open(money::Parts {
            store: &*store,
            data: &config.data,
            terms: &terms,
            money: &money,
            metrics: &metrics,
            clock: &clock,
            entropy: &entropy,
            places: config.limits.outcomes_waiting_max,
        })
        .await?;
        let wallets = Wallets::new(&*store, Arc::clone(&clock), Arc::clone(&entropy));
        let hook = LiveWebhook::new(webhook::open(&config)?);
        let (notifier, courier) = crate::webhook::webhook(hook.clone(), Arc::clone(&clock));
        let enrol = Enrolment {
            authority: Arc::clone(&authority),
            invites: store.invites(),
            agents: store.agents(),
            trust: Arc::clone(&trust),
            wallets: wallets.clone(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        };
        let limits = LiveLimits::new(config.limits.clone());
        let desks = ReceiptDesks::new(ReceiptNeeds {
            hub: authority.hub(),
            store: &*store,
            ledger: money_rooms.ledger.clone(),
            pricing: money_rooms.pricing.clone(),
            tickets: money_rooms.tickets.clone(),
            money: money.clone(),
            clock: Arc::clone(&clock),
        });
        let tunnels = Tunnels::open(Needs {
            node: NodeId::generate(&*clock, &*entropy),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            agents: store.agents(),
            enrol: Arc::new(enrol),
            desks: Some(Arc::new(desks)),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            tunnels_max: config.limits.tunnels_max,
        })
        .await?;
        let objects = Objects::new(store.objects(), Arc::clone(&clock), metrics.clone());
        let (settler, writer) = Settler::new(store.outcomes(), config.limits.outcomes_waiting_max);
        let spine = Spine::new(exchange::Needs {
            auth: Arc::clone(&auth),
            tunnels: tunnels.clone(),
            objects: objects.clone(),
            settler: settler.clone(),
            till: money_rooms.till.clone(),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            limits: limits.clone(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            closing: tasks.stopping(Stage::Work),
            cut_off: tasks.cutting_off(Stage::Work),
        });
        let gateway = Gateway::new(gateway::Needs {
            spine: spine.clone(),
            wallets: wallets.clone(),
            users: store.users(),
            auth: Arc::clone(&auth),
            tunnels: tunnels.clone(),
            objects: objects.clone(),
            readiness: readiness.clone(),
            metrics: metrics.clone(),
            clock: Arc::clone(&clock),
        });

        let certificate = UsersCertificate::new(Arc::clone(&authority), &config)?;
        let users_tls = certificate.door()?;
        let reload = ReloadDesk::new(&config, limits.clone(), money.clone(), hook, certificate);
        let reload = Arc::new(reload);
        let reset_key = data.reset_key(&*entropy)?;
        let h3 = config.users.h3.then(|| Quic::new(&users_tls, reset_key, Arc::clone(&entropy)));
        let h3 = h3.transpose().map_err(BindError::UsersQuic)?;
        let mut users = Vec::new();
        for &address in &config.users.addresses {
            let door = UsersDoor::bind(address, h3.as_ref()).await;
            users.push(door.map_err(|source| BindError::Door {
                door: "users'",
                address,
                source,
            })?);
        }

        let agent_trust: Arc<dyn AgentTrust> = Arc::<Trust>::clone(&trust);
        let tls = authority.agents_door(agent_trust, Arc::clone(&clock))?;
        let quic = weft_transport::config::hub(Arc::new(tls))?;
        let mut agents = Vec::new();
        let mut agent_addresses = Vec::new();
        for &address in &config.agents.addresses {
            let failed = |source| BindError::Door { door: "agents'", address, source };
            let (udp, buffers) = weft_transport::endpoint::bind_udp(address).map_err(failed)?;
            let endpoint = weft_transport::endpoint::hub(udp, quic.clone(), &reset_key, &*entropy)
                .map_err(failed)?;
            tracing::info!(%address, receive = buffers.receive, send = buffers.send, "UDP buffers");
            agent_addresses.push(endpoint.local_addr().map_err(failed)?);
            agents.push(endpoint);
        }

        let address = config.admin.address;
        let admin = AdminDoor::bind(address, authority.users_door()?)
            .await
            .map_err(|source| BindError::Door { door: "admin", address, source })?;
        let addresses = Addresses {
            users: users.iter().map(UsersDoor::address).collect(),
            users_h3: users.iter().filter_map(UsersDoor::h3_address).collect(),
            agents: agent_addresses,
            admin: admin.address(),
        };

        data.announce(&addresses)?;

        let rooms = AdminRooms {
            store: Arc::clone(&store),
            auth,
            trust,
            tunnels: Arc::new(tunnels.clone()),
            invites: InviteDesk {
                hub: authority.hub(),
                addresses: dialled(&config, &addresses.agents),
                pins: authority.pins(),
            },
            metrics,
            readiness,
            token,
            pricing: money_rooms.pricing.clone(),
            reloads: Arc::<ReloadDesk>::clone(&reload),
            terms: terms.clone(),
            wallets,
            notifier: notifier.clone(),
            clock: Arc::clone(&clock),
            entropy,
        };
        Ok(Self {
            data,
            addresses,
            tasks,
            store,
            tunnels,
            spine,
            objects,
            settler,
            writer,
            gateway,
            users,
            users_tls: Arc::new(users_tls),
            users_h3_port: config.users.h3_port,
            agents,
            admin,
            rooms,
            terms,
            courier,
            notifier,
            money: money_rooms,
            limits,
            reload,
            authority,
            clock,
        })
    }

    /// Where the doors are.
    #[must_use]
    pub const fn addrs(&self) -> &Addresses {
        &self.addresses
    }

    /// The handle by which the hub is asked to stop: [`Tasks::stop`], then [`Tasks::force`].
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// Says what a reload has to know of the process: the flags, which stay above the file, and the
    /// log, whose level it sets.
    pub fn reloads_with(&self, overrides: Overrides, log: Log) {
        self.reload.process(overrides, log);
    }

    /// Runs until a signal, [`Tasks::stop`] or a defect ends it, and returns when all has ended.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped run leaves tasks behind. Ask the hub to stop instead.
    pub async fn run(self, signals: Signals) -> Ended {
        let Self { data, addresses, tasks, store, tunnels, .. } = self;
        let limits = self.limits;

        // Who records comes up first and goes last: no exchange may end with nobody to write it down.
        let flush = tasks.stopping(Stage::Records);
        let write = forever(self.writer.run(flush));
        tasks.spawn_critical(Stage::Records, "outcome writer", write);

        // Balances with the records: whoever is charged is settled before anything ends.
        let MoneyRooms { pricing, keeper, .. } = self.money;
        money::start(keeper, pricing, &tasks);

        // Agents before users: a request that comes in at once finds whom it needs sooner.
        for endpoint in self.agents {
            let door = Doorkeeper::new(tunnels.clone(), endpoint);
            tasks.spawn_critical(Stage::Carriers, "agents' door", forever(door.run()));
        }
        let serve = self.admin.serve(admin::routes(self.rooms), tasks.clone());
        tasks.spawn_critical(Stage::Carriers, "admin door", forever(serve));

        // Cuts stalled readers off for as long as there can be any; ended by the stop itself.
        let billing = self.spine.clone().bill_later(tasks.stopping(Stage::Work));
        tasks.spawn(Stage::Work, "later bills", billing);
        let (spine, stopped) = (self.spine, tasks.stopping(Stage::Carriers));
        tasks.spawn(Stage::Carriers, "reader watch", async move {
            tokio::select! {
                biased;
                () = stopped.cancelled() => {}
                () = spine.watch_readers() => {}
            }
        });

        // Money of people: terms that other nodes changed, and who is told.
        let fresh = self.terms.keep_fresh(tasks.stopping(Stage::Carriers));
        tasks.spawn(Stage::Carriers, "terms", fresh);
        let alerts = self.money.ledger.alerts();
        let telling =
            webhook::tell_of_limits(alerts, self.notifier, tasks.stopping(Stage::Carriers));
        tasks.spawn(Stage::Carriers, "spend alerts", telling);
        let courier = self.courier.run(tasks.stopping(Stage::Carriers));
        tasks.spawn(Stage::Carriers, "webhook", courier);

        // What providers have forgotten need not be remembered here.
        let forgetting = self.objects.keep_forgetting(tasks.stopping(Stage::Carriers));
        tasks.spawn(Stage::Carriers, "old objects", forgetting);

        // Users last: whatever answers them is there.
        for door in self.users {
            let (gateway, tls) = (self.gateway.clone(), Arc::clone(&self.users_tls));
            let serve = door.serve(gateway, tls, limits.clone(), tasks.clone(), self.users_h3_port);
            tasks.spawn_critical(Stage::Work, "users' door", forever(serve));
        }
        drop(self.gateway);

        // The stop begins for users and agents at the same moment: the one are refused, the others
        // told to finish what they have and to dial elsewhere.
        let (stopping, in_force) = (tasks.stopping(Stage::Work), limits.clone());
        tasks.spawn(Stage::Carriers, "drain", async move {
            stopping.cancelled().await;
            tunnels.drain(in_force.now().drain);
        });

        // The certificates of this node run out while it runs: a hub that is never restarted must
        // not be one day that nobody can reach.
        let stopping = tasks.stopping(Stage::Carriers);
        let renewal = renewal::keep_renewed(self.authority, self.clock, stopping);
        tasks.spawn(Stage::Carriers, "certificate renewal", renewal);

        tracing::info!(users = ?addresses.users, agents = ?addresses.agents, admin = %addresses.admin, "hub up");
        let mut lifecycle = Lifecycle::new(tasks, move || limits.now().drain);
        let reload = self.reload;
        lifecycle.on_reload(move || reload.on_signal());
        let ended = lifecycle.run(signals).await;

        // Held until here: a queue without a giver would end its writer before it was asked to.
        drop(self.settler);

        // Last of all: everything that could still write has ended.
        store.close().await;
        data.release();
        ended
    }
}

/// A task that ends only when it was asked to; ending earlier stops the hub.
async fn forever(task: impl Future<Output = ()>) -> Result<(), std::convert::Infallible> {
    task.await;
    Ok(())
}
