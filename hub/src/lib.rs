//! The hub of a Weft mesh: the users' door, the agents' door, the admin door, and what lies between.
//!
//! Only [`app`] joins the parts. Inside, arrows go one way:
//! `main > app > doors > spine > rooms > ground`. The ground is [`config`], [`keyfile`],
//! [`lifecycle`], `places` and [`telemetry`]; rooms do not import each other.

pub mod admin;
pub mod app;
pub mod auth;
pub mod config;
pub mod exchange;
pub mod gateway;
pub mod keyfile;
pub mod ledger;
pub mod ledger_key;
pub mod lifecycle;
pub mod objects;
mod places;
pub mod pricing;
pub mod routing;
pub mod telemetry;
pub mod terms;
pub mod trust;
pub mod tunnel;
pub mod wallets;
pub mod webhook;
