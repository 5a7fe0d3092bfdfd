//! The doctors of hub and agent find what is wrong.

#[path = "doctor/agent.rs"]
mod agent;
#[path = "doctor/care.rs"]
mod care;
#[path = "doctor/hub.rs"]
mod hub;
