//! `weft-hub user`: who may use the hub.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use weft_hub::admin::{NewUser, UserView};

#[derive(Debug, clap::Subcommand)]
pub(super) enum User {
    /// Add a user
    #[command(after_help = "Example:\n  weft-hub user add alice --owner bob")]
    Add {
        /// Name of the user
        name: String,
        /// Name of the owner whose house the user belongs to: accounts for own use, or for the
        /// organisation's, serve only users of their owner's house
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
    },
    /// List all users
    #[command(after_help = "Example:\n  weft-hub user list --json")]
    List,
    /// Refuse all keys of a user from now on
    #[command(after_help = "Example:\n  weft-hub user disable alice")]
    Disable {
        /// Name or id of the user
        user: String,
    },
    /// Take the keys of a user again
    #[command(after_help = "Example:\n  weft-hub user enable alice")]
    Enable {
        /// Name or id of the user
        user: String,
    },
}

impl User {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        let user: UserView = match self {
            Self::List => {
                let users: Vec<UserView> = hub.all("/api/v1/users").await?;
                out.table(&users, ["ID", "NAME", "STATE", "OWNER", "CREATED"], |user| {
                    let state = if user.disabled { "disabled" } else { "enabled" };
                    [
                        user.id.clone(),
                        user.name.clone(),
                        state.to_owned(),
                        or_dash(user.owner.as_ref()),
                        user.created_at.clone(),
                    ]
                })?;
                return Ok(());
            }
            Self::Add { name, owner } => {
                hub.post("/api/v1/users", &NewUser { name, owner }).await?
            }
            Self::Disable { user } => {
                hub.command(&format!("/api/v1/users/{}/disable", escape(&user))).await?
            }
            Self::Enable { user } => {
                hub.command(&format!("/api/v1/users/{}/enable", escape(&user))).await?
            }
        };
        let state = if user.disabled { "disabled" } else { "enabled" };
        Ok(out.value(&user, &format!("user {} ({}) is {state}", user.name, user.id))?)
    }
}
