//! The whole mesh, told in stories: the real hub and agents as processes, a simulated provider at
//! one end and a user's bare HTTP client at the other.
//!
//! Each story begins a world of its own and compares both ends by digest. Times are printed, and
//! asserted only in seconds. The binaries come from `cargo build --workspace --bins`.

#[path = "stories/crashes.rs"]
mod crashes;
#[path = "stories/passthrough.rs"]
mod passthrough;
#[path = "stories/talk.rs"]
mod talk;
