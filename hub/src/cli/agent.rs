//! `weft-hub agent`: the edge processes that have joined.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use weft_hub::admin::{AgentView, RevokedAgent};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Agent {
    /// List agents and their tunnels
    #[command(after_help = "Example:\n  weft-hub agent list --json")]
    List,
    /// Revoke an agent: its tunnels are closed at once, and it cannot come back
    #[command(
        after_help = "Example:\n  weft-hub agent revoke 01920c1e-7b8a-7000-8000-000000000000"
    )]
    Revoke {
        /// Id of the agent
        agent: String,
    },
}

impl Agent {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let agents: Vec<AgentView> = hub.all("/api/v1/agents").await?;
                let columns = ["ID", "NAME", "OWNER", "STATE", "TUNNELS", "JOINED", "LAST SEEN"];
                out.table(&agents, columns, |agent| {
                    [
                        agent.id.clone(),
                        agent.name.clone(),
                        agent.owner.clone(),
                        state(agent).to_owned(),
                        agent.tunnels.len().to_string(),
                        agent.joined_at.clone(),
                        or_dash(agent.last_seen_at.as_ref()),
                    ]
                })?;
            }
            Self::Revoke { agent } => {
                let path = format!("/api/v1/agents/{}/revoke", escape(&agent));
                let revoked: RevokedAgent = hub.command(&path).await?;
                let (id, closed) = (&revoked.agent.id, revoked.tunnels_closed);
                out.value(&revoked, &format!("agent {id} is revoked, {closed} tunnels closed"))?;
            }
        }
        Ok(())
    }
}

fn state(agent: &AgentView) -> &'static str {
    if agent.revoked_at.is_some() {
        "revoked"
    } else if agent.tunnels.is_empty() {
        "away"
    } else {
        "connected"
    }
}
