//! The whole mesh, told in stories: the real hub and agents as processes, a simulated provider at
//! one end and a user's bare HTTP client at the other.
//!
//! Each story begins a world of its own and compares both ends by digest. Times are printed, and
//! asserted only in seconds. The binaries come from `cargo build --workspace --bins`.

#[path = "stories/bodies.rs"]
mod bodies;
#[path = "stories/broken.rs"]
mod broken;
#[path = "stories/crashes.rs"]
mod crashes;
#[path = "stories/joining.rs"]
mod joining;
#[path = "stories/leaving.rs"]
mod leaving;
#[path = "stories/passthrough.rs"]
mod passthrough;
#[path = "stories/refusals.rs"]
mod refusals;
#[path = "stories/secrets.rs"]
mod secrets;
#[path = "stories/siblings.rs"]
mod siblings;
#[path = "stories/talk.rs"]
mod talk;
#[path = "stories/wire.rs"]
mod wire;
