//! What may pass, as data: hosts, request targets, routes and headers.
//!
//! Both ends read the same tables, each for itself: the hub so that a user is refused early and in
//! words, the agent because it trusts the hub no further than it must. A table here only says yes
//! or no and why; it opens no connection, and none of it can be changed by a setting.

pub mod headers;
pub mod hosts;
pub mod routes;
pub mod target;
