//! `weft-loadtest quic`: the bare transport, without HTTP, providers or money.
//!
//! The hub's end and the agents' end are processes of their own on loopback, with the product's
//! certificates and the product's settings of quinn; beside them the same work runs with quinn's
//! own settings, in turns. The hub opens streams, as it does in a mesh. `docs/quic.md` says what
//! each figure means.
//!
//! It never targets anything but the two processes that it starts itself.

mod agents;
pub mod command;
mod hub;
mod process;
mod table;
mod talk;
mod work;

use clap::ValueEnum;
use quinn::TransportConfig;
use std::sync::Arc;

/// Whose settings a connection has. The certificates and the endpoints are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Settings {
    /// Those of hubs and agents
    Weft,
    /// Those that quinn has by itself
    Quinn,
}

impl Settings {
    const ALL: [Self; 2] = [Self::Weft, Self::Quinn];

    const fn name(self) -> &'static str {
        match self {
            Self::Weft => "weft",
            Self::Quinn => "quinn",
        }
    }

    /// What replaces the product's settings, where something does.
    fn instead(self) -> Option<Arc<TransportConfig>> {
        match self {
            Self::Weft => None,
            Self::Quinn => {
                let mut transport = TransportConfig::default();
                // Its connections would end while the last of many are still being opened.
                transport.max_idle_timeout(None);
                Some(Arc::new(transport))
            }
        }
    }
}

#[cfg(test)]
mod tests;
