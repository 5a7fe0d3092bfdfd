//! A crowd of light agents at a hub: `weft-loadtest agents` as a process of its own.

use super::contestant::Member;
use super::site::{Side, Site};
use super::stage::Stage;
use crate::mesh::process::command;
use anyhow::Context;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A crowd that runs.
#[derive(Debug)]
pub(crate) struct Crowd {
    member: Member,
    json: PathBuf,
    ready: PathBuf,
}

impl Crowd {
    /// Starts `mode` with `count` agents at the hub in `data` whose process is `hub`.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn start(
        stage: &Stage,
        site: &Site,
        mode: &str,
        count: usize,
        data: &Path,
        hub: u32,
        more: &[String],
    ) -> anyhow::Result<Self> {
        let folder = stage.folder(mode)?;
        let [json, ready, log] =
            ["json", "ready", "log"].map(|end| folder.join(format!("agents-{count}.{end}")));
        for old in [&json, &ready] {
            drop(std::fs::remove_file(old));
        }
        let mut run = command(&stage.program);
        run.args(["agents", mode, "--hub-data"]).arg(data).args(["--count", &count.to_string()]);
        run.args(["--seed", &stage.seed.to_string(), "--hub-pid", &hub.to_string()]);
        run.arg("--ready").arg(&ready).arg("--json").arg(&json).args(more);
        run.env("WEFT_LOG", "warn");
        let process = site.start(Side::Server, "weft-loadtest agents", run, &log)?;
        Ok(Self { member: Member { role: "agents", process }, json, ready })
    }

    /// Waits until all are in service.
    ///
    /// # Errors
    /// Where they are not `within` that time, with the end of its log.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ready(&mut self, within: Duration) -> anyhow::Result<()> {
        let ready = self.ready.clone();
        let there = self
            .member
            .process
            .until("all agents in service", within, async || Ok(ready.exists().then_some(())));
        Ok(there.await?)
    }

    /// Waits for its end; its document.
    ///
    /// # Errors
    /// Where it does not end in time, or wrote none.
    ///
    /// # Cancel safety
    /// Dropped, it ends the crowd.
    pub(crate) async fn end(mut self, within: Duration) -> anyhow::Result<Value> {
        self.member.process.wait(within).await?;
        let tail = self.member.process.tail();
        let text = std::fs::read(&self.json).with_context(|| format!("no document: {tail}"))?;
        serde_json::from_slice(&text).context("the document of `agents`")
    }
}

/// A number of a document, by its way down.
pub(crate) fn number(document: &Value, way: &str) -> Option<f64> {
    document.pointer(way)?.as_f64()
}
