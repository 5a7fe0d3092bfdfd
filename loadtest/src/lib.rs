//! What Weft is tried with: a simulated provider, and the harness that drives whole meshes.
//!
//! Nothing here is part of the shipped hub or agent. The simulated provider listens on loopback
//! addresses alone, so that no test can be mistaken for, or reach, a real provider.

pub mod agents;
pub mod bench;
pub mod demo;
pub mod egress;
pub mod identity;
pub mod link;
pub mod mesh;
pub mod meter;
pub mod provider;
pub mod quic;
pub mod run;
pub mod sim;
pub mod sim_agent;
pub mod users;
