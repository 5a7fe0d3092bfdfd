//! The whole mesh, told in stories: the real hub and agents as processes, a simulated provider at
//! one end and a user's bare HTTP client at the other.
//!
//! Each story begins a world of its own and compares both ends by digest. Times are printed, and
//! asserted only in seconds. The binaries come from `cargo build --workspace --bins`.

#[path = "stories/agents.rs"]
mod agents;
#[path = "stories/bad_bodies.rs"]
mod bad_bodies;
#[path = "stories/bad_callers.rs"]
mod bad_callers;
#[path = "stories/bad_heads.rs"]
mod bad_heads;
#[path = "stories/bad_tunnels.rs"]
mod bad_tunnels;
#[path = "stories/billing.rs"]
mod billing;
#[path = "stories/bodies.rs"]
mod bodies;
#[path = "stories/broken.rs"]
mod broken;
#[path = "stories/coding_agents.rs"]
mod coding_agents;
#[path = "stories/crashes.rs"]
mod crashes;
#[path = "stories/doctor.rs"]
mod doctor;
#[path = "stories/egress.rs"]
mod egress;
#[path = "stories/faults.rs"]
mod faults;
#[path = "stories/http3.rs"]
mod http3;
#[path = "stories/joining.rs"]
mod joining;
#[path = "stories/leaving.rs"]
mod leaving;
#[path = "stories/lifecycle.rs"]
mod lifecycle;
#[path = "stories/link.rs"]
mod link;
#[path = "stories/money.rs"]
mod money;
#[path = "stories/passthrough.rs"]
mod passthrough;
#[path = "stories/receipts.rs"]
mod receipts;
#[path = "stories/refusals.rs"]
mod refusals;
#[path = "stories/run.rs"]
mod run;
#[path = "stories/secrets.rs"]
mod secrets;
#[path = "stories/server.rs"]
mod server;
#[path = "stories/siblings.rs"]
mod siblings;
#[path = "stories/talk.rs"]
mod talk;
#[path = "stories/tenancy.rs"]
mod tenancy;
#[path = "stories/users.rs"]
mod users;
#[path = "stories/waiting.rs"]
mod waiting;
#[path = "stories/webhook.rs"]
mod webhook;
#[path = "stories/websocket.rs"]
mod websocket;
#[path = "stories/wire.rs"]
mod wire;
