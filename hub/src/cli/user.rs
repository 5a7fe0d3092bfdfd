//! `weft-hub user`: who may use the hub.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use std::io::Read;
use weft_hub::admin::{CreditView, NewUser, Redemption, UserChange, UserView};

/// Bytes of standard input that are read for a code.
const CODE_INPUT_MAX: u64 = 4_096;

#[derive(Debug, clap::Subcommand)]
pub(super) enum User {
    /// Add a user
    #[command(after_help = "Example:\n  weft-hub user add alice --credit 10.00")]
    Add {
        /// Name of the user
        name: String,
        /// Name of the owner whose house the user belongs to: accounts for own use, or for the
        /// organisation's, serve only users of their owner's house
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
        /// Name of the price zone; the standard one where not given
        #[arg(long, value_name = "NAME")]
        zone: Option<String>,
        /// Money to begin with, decimal USD
        #[arg(long, value_name = "USD")]
        credit: Option<String>,
    },
    /// Change a user's price zone or owner
    #[command(after_help = "Example:\n  weft-hub user set alice --zone discount")]
    Set {
        /// Name or id of the user
        user: String,
        /// Name of the price zone
        #[arg(long, value_name = "NAME")]
        zone: Option<String>,
        /// Name of the owner whose house the user belongs to
        #[arg(long, value_name = "NAME", conflicts_with = "no_owner")]
        owner: Option<String>,
        /// The user belongs to no owner from now on
        #[arg(long)]
        no_owner: bool,
    },
    /// Redeem a code for a user; the code is read from standard input
    #[command(after_help = "Example:\n  weft-hub user redeem alice")]
    Redeem {
        /// Name or id of the user
        user: String,
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
                out.table(&users, ["ID", "NAME", "STATE", "OWNER", "ZONE", "CREATED"], |user| {
                    let state = if user.disabled { "disabled" } else { "enabled" };
                    [
                        user.id.clone(),
                        user.name.clone(),
                        state.to_owned(),
                        or_dash(user.owner.as_ref()),
                        or_dash(user.zone.as_ref()),
                        user.created_at.clone(),
                    ]
                })?;
                return Ok(());
            }
            Self::Add { name, owner, zone, credit } => {
                let given = credit.clone();
                let new = NewUser { name, owner, zone, credit };
                let user: UserView = hub.post("/api/v1/users", &new).await?;
                let credit =
                    given.map_or_else(String::new, |usd| format!(", with a credit of {usd} USD"));
                let text = format!("user {} ({}) made{credit}", user.name, user.id);
                return Ok(out.value(&user, &text)?);
            }
            Self::Set { user, zone, owner, no_owner } => {
                let path = format!("/api/v1/users/{}/terms", escape(&user));
                hub.post(&path, &UserChange { zone, owner, no_owner }).await?
            }
            Self::Redeem { user } => {
                let mut code = String::new();
                std::io::stdin().take(CODE_INPUT_MAX).read_to_string(&mut code)?;
                let code = code.trim().to_owned();
                let path = format!("/api/v1/users/{}/redeem", escape(&user));
                let done: CreditView = hub.post(&path, &Redemption { code }).await?;
                let text = format!("{} USD of credit; {} USD in all", done.amount, done.balance);
                return Ok(out.value(&done, &text)?);
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
