//! An agent as its owner runs it: join, add accounts, run.

use super::MeshError;
use super::process::{Process, answer, command};
use serde_json::Value;
use std::path::{Path, PathBuf};
use weft_proto::provider::Provider;

/// An agent's data directory and the program that works on it.
#[derive(Debug)]
pub struct Agent {
    program: PathBuf,
    data: PathBuf,
}

impl Agent {
    /// Joins the hub of `invite`, which goes in by standard input. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn join(program: &Path, data: &Path, name: &str, invite: &str) -> Result<Self, MeshError> {
        let agent = Self { program: program.to_owned(), data: data.to_owned() };
        agent.say(&["join", "-", "--name", name], invite)?;
        Ok(agent)
    }

    /// Adds an account whose key is `secret`, with `more` words of `account add`. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn add_account(
        &self,
        provider: Provider,
        label: &str,
        secret: &str,
        more: &[&str],
    ) -> Result<(), MeshError> {
        let mut words = vec!["account", "add"];
        words.extend(["--provider", provider.name(), "--label", label]);
        words.extend(more);
        self.say(&words, secret).map(drop)
    }

    /// What `status` says of it. Blocks.
    ///
    /// # Errors
    /// [`MeshError`] of the command.
    pub fn status(&self) -> Result<Value, MeshError> {
        let text = self.say(&["status", "--json"], "")?;
        serde_json::from_str(&text).map_err(|_| MeshError::Answer { command: "status".to_owned() })
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Runs it, with `more` words of `run` and `environment` on top of the clean one.
    ///
    /// # Errors
    /// [`MeshError::System`] where it does not start.
    pub fn run(
        &self,
        more: &[String],
        environment: &[(&str, &str)],
        log: &Path,
    ) -> Result<Process, MeshError> {
        let name = self.program.file_name().unwrap_or_default();
        let mut run = command(&self.program);
        run.arg("run").arg("--data").arg(&self.data).args(more);
        run.envs(environment.iter().copied());
        Process::start(&name.to_string_lossy(), run, log)
    }

    fn say(&self, words: &[&str], input: &str) -> Result<String, MeshError> {
        let mut say = command(&self.program);
        say.args(words).arg("--data").arg(&self.data);
        answer(say, input)
    }
}
