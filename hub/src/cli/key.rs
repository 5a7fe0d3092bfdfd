//! `weft-hub key`: the secrets by which users are known.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use super::span::Span;
use weft_hub::admin::{AddedKey, KeyChange, KeyView, NewKey, UserView};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Key {
    /// Add a key for a user, and print its secret: the only time that it is shown
    #[command(after_help = "Example:\n  weft-hub key add --user alice --models 'gpt-*,claude-*' \
                            --expires 30d --network 192.0.2.0/24 --label laptop")]
    Add {
        /// Name or id of the user
        #[arg(long)]
        user: String,
        /// Patterns of the models it may ask for, separated by commas; every model where not given
        #[arg(long, value_name = "PATTERN,…", value_delimiter = ',')]
        models: Option<Vec<String>>,
        /// How long it may be used, such as 12h or 30d; for ever where not given
        #[arg(long, value_name = "SPAN")]
        expires: Option<Span>,
        /// Address or network it may be used from; may be given several times; any where not given
        #[arg(long, value_name = "CIDR")]
        network: Vec<String>,
        /// What its user calls it
        #[arg(long)]
        label: Option<String>,
        /// Name of the price zone; its user's where not given
        #[arg(long, value_name = "NAME")]
        zone: Option<String>,
        /// The most that it may spend in a day (UTC), decimal USD
        #[arg(long, value_name = "USD")]
        day_limit: Option<String>,
        /// The most that it may spend in a calendar month (UTC), decimal USD
        #[arg(long, value_name = "USD")]
        month_limit: Option<String>,
    },
    /// Change a key's price zone or spend limits; "-" takes one away
    #[command(after_help = "Example:\n  weft-hub key set 01920c1e-7b8a-7000-8000-000000000000 \
                            --day-limit 5.00 --month-limit -")]
    Set {
        /// Id of the key
        key: String,
        /// Name of the price zone
        #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
        zone: Option<String>,
        /// The most that it may spend in a day (UTC), decimal USD
        #[arg(long, value_name = "USD", allow_hyphen_values = true)]
        day_limit: Option<String>,
        /// The most that it may spend in a calendar month (UTC), decimal USD
        #[arg(long, value_name = "USD", allow_hyphen_values = true)]
        month_limit: Option<String>,
    },
    /// List the keys of a user, or of all
    #[command(after_help = "Example:\n  weft-hub key list --user alice")]
    List {
        /// Name or id of the user
        #[arg(long)]
        user: Option<String>,
    },
    /// Revoke a key: no request is admitted with it from now on
    #[command(after_help = "Example:\n  weft-hub key revoke 01920c1e-7b8a-7000-8000-000000000000")]
    Revoke {
        /// Id of the key
        key: String,
    },
}

impl Key {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Add { user, models, expires, network, label, zone, day_limit, month_limit } => {
                let new = NewKey {
                    user,
                    label,
                    models,
                    networks: network,
                    expires_in_seconds: expires.map(|span| span.seconds),
                    zone,
                    day_limit,
                    month_limit,
                };
                let added: AddedKey = hub.post("/api/v1/keys", &new).await?;
                let note = format!("key {} made; its secret is shown this once:", added.key.id);
                out.secret(&added, &added.secret, &note)?;
            }
            Self::List { user } => {
                let users = match user {
                    Some(user) => vec![user],
                    None => {
                        let users: Vec<UserView> = hub.all("/api/v1/users").await?;
                        users.into_iter().map(|user| user.id).collect()
                    }
                };
                let mut keys: Vec<KeyView> = Vec::new();
                for user in users {
                    keys.extend(hub.all(&format!("/api/v1/keys?user={}", escape(&user))).await?);
                }
                let columns = ["ID", "USER", "LABEL", "HINT", "MODELS", "EXPIRES", "REVOKED"];
                out.table(&keys, columns, |key| {
                    [
                        key.id.clone(),
                        key.user.clone(),
                        key.label.clone(),
                        format!("…{}", key.hint),
                        or_dash(key.models.as_ref().map(|models| models.join(","))),
                        or_dash(key.expires_at.as_ref()),
                        or_dash(key.revoked_at.as_ref()),
                    ]
                })?;
            }
            Self::Set { key, zone, day_limit, month_limit } => {
                let path = format!("/api/v1/keys/{}/terms", escape(&key));
                let change = KeyChange { zone, day_limit, month_limit };
                let key: KeyView = hub.post(&path, &change).await?;
                let text = format!(
                    "key {}: zone {}, {} USD a day, {} USD a month",
                    key.id,
                    or_dash(key.zone.as_ref()),
                    or_dash(key.day_limit.as_ref()),
                    or_dash(key.month_limit.as_ref())
                );
                out.value(&key, &text)?;
            }
            Self::Revoke { key } => {
                let key: KeyView =
                    hub.command(&format!("/api/v1/keys/{}/revoke", escape(&key))).await?;
                out.value(&key, &format!("key {} is revoked", key.id))?;
            }
        }
        Ok(())
    }
}
