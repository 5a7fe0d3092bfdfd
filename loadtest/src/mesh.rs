//! A whole mesh out of the real binaries: hub and agents as processes of their own.
//!
//! The demo and the end-to-end stories stand on it. Everything is done as an operator would do it:
//! `weft-hub init`, `serve`, `user`, `key` and `invite`, then `join`, `account add` and `run` of an
//! agent. Children get a clean environment, so that no key of the caller's reaches a process that
//! has no need of it; secrets go by standard input, never as arguments. A child never outlives the
//! value that holds it.

pub mod agent;
pub mod binaries;
pub mod caller;
pub mod hub;
pub(crate) mod joining;
pub mod process;
pub mod world;

pub use agent::Agent;
pub use binaries::Binaries;
pub use caller::{Caller, Connection, Version};
pub use hub::{Doors, Hub, NewKey};
pub use process::Process;
pub use world::World;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// What went wrong with a mesh.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// A binary is not beside the others.
    #[error("{} is not there: build it with `cargo build --workspace --bins`", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A process did not start, or could not be looked after.
    #[error("{name}")]
    System {
        /// What was tried.
        name: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A command ended with a failure.
    #[error("{command} failed ({status}): {said}")]
    Failed {
        /// The command's words, without what went in by standard input.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said on standard error.
        said: String,
    },
    /// A command's answer is not what it prints with `--json`.
    #[error("{command} printed something else than was expected")]
    Answer {
        /// The command's words.
        command: String,
    },
    /// A process ended that should have stayed.
    #[error("{name} ended ({status}); the end of {}:\n{tail}", log.display())]
    Died {
        /// Which process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not come within {} s; the end of {}:\n{tail}", waited.as_secs(), log.display())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The log of the process that was waited for.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
}

impl MeshError {
    fn system(name: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let name = name.into();
        |source| Self::System { name, source }
    }
}
