//! `weft-hub reload`: the running hub reads its settings and the users' certificate again.

use super::client::AdminClient;
use super::output::Output;
use weft_hub::admin::Reloaded;

/// Arguments of `reload`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-hub reload")]
pub(super) struct Reload {}

impl Reload {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        let reloaded: Reloaded = hub.command("/api/v1/reload").await?;
        let mut lines = Vec::new();
        for change in &reloaded.changed {
            lines.push(format!("changed  {} = {} (was {})", change.key, change.to, change.from));
        }
        for change in &reloaded.restart {
            let (key, to, from) = (&change.key, &change.to, &change.from);
            lines.push(format!("restart  {key} = {to} holds from the next start (now {from})"));
        }
        if reloaded.changed.is_empty() && reloaded.restart.is_empty() {
            lines.push("settings  as before".to_owned());
        }
        if let Some(until) = &reloaded.users_certificate_until {
            lines.push(format!("certificate of the users' door read again, valid until {until}"));
        }
        Ok(out.value(&reloaded, &lines.join("\n"))?)
    }
}
