//! `weft-agent run`.

use super::{CliError, DataArg};
use crate::app::{Agent, Parts};
use crate::config::{AgentConfig, Overrides};
use crate::lifecycle::{Stop, follow_hangups, follow_signals};
use crate::telemetry::{self, LogFormat};
use clap::Args;
use weft_proto::tables::hosts::HostTable;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    data: DataArg,
    /// Shape of the logs
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
    /// Filter of the logs, such as `info` or `weft_agent=debug`
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How long streams may finish after a stop, in seconds
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<u64>,
}

impl Run {
    pub(super) async fn execute(self, hosts: HostTable) -> Result<(), CliError> {
        let data = self.data.open()?;
        let flags = Overrides {
            log_format: self.log_format,
            log: self.log,
            drain_seconds: self.drain_seconds,
        };
        let config = AgentConfig::load(&data, flags.clone())?;
        let logs = telemetry::init(config.log_format, &config.log)?;
        let stop = Stop::new();
        let simulated = hosts.is_simulated();
        let agent = Agent::new(Parts::system(hosts), data, &config, stop.clone())?;
        if simulated {
            tracing::warn!("providers are SIMULATED on this machine: no official host is called");
        }
        let reloader = agent.reloader(flags, Some(logs));
        tracing::info!(agent = %agent.id(), hub = %agent.hub(), "starting");
        let ended = tokio::select! {
            biased;
            ended = agent.run() => ended,
            followed = follow_signals(stop) => {
                followed?;
                Ok(())
            }
            followed = follow_hangups(move || reloader.reload()) => match followed? {},
        };
        tracing::info!("stopped");
        Ok(ended?)
    }
}
