//! `weft-agent status`.

use super::{CliError, DataArg, print_json, print_line};
use crate::status::{Status as Look, UplinkState};
use clap::Args;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn execute(self) -> Result<(), CliError> {
        let data = self.data.existing()?;
        let look = Look::read(&data, data.is_running()?)?;
        if self.json {
            return print_json(&look);
        }
        print_line(&format!("agent {} of hub {}", look.agent, look.hub))?;
        let state = match look.state {
            UplinkState::Connecting => "connecting",
            UplinkState::Connected => "connected",
            UplinkState::Waiting => "waiting to dial again",
            UplinkState::Draining => "draining",
            UplinkState::Stopped => "not running",
        };
        let simulated = if look.simulated { ", simulated providers" } else { "" };
        print_line(&format!("{state}, {} exchanges in flight{simulated}", look.in_flight))?;
        if let Some(error) = &look.last_error {
            print_line(&format!("last error: {error}"))?;
        }
        for account in &look.accounts {
            let paused = match (account.paused_for_seconds, &account.fault) {
                (Some(seconds), Some(fault)) => format!(", paused for {seconds} s: {fault}"),
                (Some(_) | None, _) => String::new(),
            };
            print_line(&format!(
                "  {} {} ({}): {} in flight{paused}",
                account.provider, account.label, account.id, account.in_flight
            ))?;
        }
        Ok(())
    }
}
