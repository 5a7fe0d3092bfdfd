//! `weft-hub owner`: who runs agents, and what they earn.

use super::client::{AdminClient, escape};
use super::output::Output;
use weft_hub::admin::{NewTier, OwnerView};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Owner {
    /// List all owners
    #[command(after_help = "Example:\n  weft-hub owner list --json")]
    List,
    /// Set what an owner's accounts earn of list prices
    #[command(after_help = "Example:\n  weft-hub owner set-tier bob 0.8")]
    SetTier {
        /// Name or id of the owner
        owner: String,
        /// Share of list prices: 0.8 is 80 %
        ratio: String,
        /// One account alone, by its id
        #[arg(long, value_name = "ID")]
        account: Option<String>,
    },
}

impl Owner {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let owners: Vec<OwnerView> = hub.all("/api/v1/owners").await?;
                out.table(&owners, ["ID", "NAME", "TIER PPM", "CREATED"], |owner| {
                    [
                        owner.id.clone(),
                        owner.name.clone(),
                        owner.tier_ppm.to_string(),
                        owner.created_at.clone(),
                    ]
                })?;
            }
            Self::SetTier { owner, ratio, account } => {
                let path = format!("/api/v1/owners/{}/tier", escape(&owner));
                let owner: OwnerView = hub.post(&path, &NewTier { ratio, account }).await?;
                let text =
                    format!("owner {} earns {} ppm of list prices", owner.name, owner.tier_ppm);
                out.value(&owner, &text)?;
            }
        }
        Ok(())
    }
}
