//! `weft-hub account`: what connected agents offer.

use super::client::AdminClient;
use super::output::Output;
use weft_hub::admin::AccountView;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Account {
    /// List the accounts that connected agents offer now
    #[command(after_help = "Example:\n  weft-hub account list")]
    List,
}

impl Account {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        let Self::List = self;
        let accounts: Vec<AccountView> = hub.all("/api/v1/accounts").await?;
        let columns = ["ID", "PROVIDER", "LABEL", "MODELS", "RUNNING", "AVAILABLE", "AGENT"];
        out.table(&accounts, columns, |account| {
            [
                account.id.clone(),
                account.provider.clone(),
                account.label.clone(),
                account.models.join(","),
                format!("{}/{}", account.in_flight, account.concurrency_max),
                if account.available { "yes" } else { "no" }.to_owned(),
                account.agent.clone(),
            ]
        })?;
        Ok(())
    }
}
