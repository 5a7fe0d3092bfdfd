//! `weft-agent account add | list | set | set-key | remove`.

mod set;

pub use set::{Set, SetKey};

use super::{CliError, DataArg, input, print_json, print_line};
use crate::account::Egress;
use crate::account::{Account as Declared, AccountDraft, DEFAULT_CONCURRENCY, use_text};
use crate::vault::Vault;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::AccountId;
use weft_proto::model::{ModelName, ModelPatterns};
use weft_proto::provider::Provider;
use weft_proto::time::SystemClock;

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Add an account; its key is read from standard input
    #[command(
        after_help = "Examples:\n  weft-agent account add --provider openai --label main < key.txt\n  \
        weft-agent account add --provider azure --site myres --label prod --place eu \
        --deployment chat=gpt-4o\n  \
        cat key.txt password.txt | weft-agent account add --provider openai --label far --egress \
        socks5://me@proxy.example:1080\n\n\
        The key is never an argument: type it when asked, or pipe it in. Where --egress names a \
        user, the proxy's password is asked for behind the key, or stands on the second line of \
        standard input. A proxy is never taken from the environment; the provider's name is \
        resolved by the proxy, and TLS with the provider is verified inside the tunnel. By adding \
        an account you attest that you may use it as --use says."
    )]
    Add(Add),
    /// List the accounts, without their keys
    #[command(after_help = "Example:\n  weft-agent account list --json | jq -r '.[].label'")]
    List(List),
    /// Change what an account declares; its key stays
    #[command(
        after_help = "Examples:\n  weft-agent account set main --concurrency 8 --models 'gpt-4o*'\n  \
        weft-agent account set main --egress http://me@proxy.example:3128 < password.txt\n\n\
        Where --egress names a user, the proxy's password is asked for, or read from standard \
        input. A running agent takes the change over within a second; requests that run go on."
    )]
    Set(Set),
    /// Replace an account's key; the new one is read from standard input
    #[command(
        after_help = "Example:\n  weft-agent account set-key main < key.txt\n\nRequests that run \
        end with the key that they began with. The password of the account's proxy stays."
    )]
    SetKey(SetKey),
    /// Remove an account and its key
    #[command(after_help = "Example:\n  weft-agent account remove main")]
    Remove(Remove),
}

/// Arguments of `account add`.
#[derive(Debug, Args)]
pub struct Add {
    /// openai, azure, anthropic or deepseek
    #[arg(long)]
    provider: Provider,
    /// Your name for the account
    #[arg(long)]
    label: String,
    /// The provider's site: an OpenAI region such as eu, or an Azure resource
    #[arg(long, default_value = "")]
    site: String,
    /// Azure: the data zone or region that it is billed for, as price books name it, such as eu
    #[arg(long, default_value = "", hide_default_value = true)]
    place: String,
    /// Models it may serve, as comma-separated patterns with `*`
    #[arg(long, default_value = "*")]
    models: ModelPatterns,
    /// Azure: a deployment and the model behind it; may be repeated
    #[arg(long = "deployment", value_name = "NAME=MODEL", value_parser = parse_deployment)]
    deployments: Vec<(String, ModelName)>,
    /// Exchanges at a time
    #[arg(long, default_value_t = DEFAULT_CONCURRENCY.get())]
    concurrency: u32,
    /// What you may use it for: own, organisation, application or licensed:REFERENCE
    #[arg(long = "use", value_name = "USE", default_value = "own")]
    permitted_use: String,
    /// Call the provider over one HTTP/2 connection instead of pooled HTTP/1.1 ones
    #[arg(long)]
    http2: bool,
    /// How its requests leave: `direct`, or http, https or socks5 as `http://[USER@]HOST:PORT`
    // Text here: clap repeats what it cannot parse, and it may hold a password.
    #[arg(long, default_value = "direct")]
    egress: String,
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `account list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `account remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The account's id or label
    account: String,
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Account {
    pub(super) fn execute(self) -> Result<(), CliError> {
        match self {
            Self::Add(add) => add.execute(),
            Self::List(list) => list.execute(),
            Self::Set(set) => set.execute(),
            Self::SetKey(set) => set.execute(),
            Self::Remove(remove) => remove.execute(),
        }
    }
}

impl Add {
    fn execute(self) -> Result<(), CliError> {
        let id = AccountId::generate(&SystemClock, &OsEntropy);
        let draft = AccountDraft {
            provider: self.provider,
            label: self.label,
            site: self.site,
            place: self.place,
            models: self.models,
            deployments: self.deployments.into_iter().collect::<BTreeMap<_, _>>(),
            max_concurrency: self.concurrency,
            permitted_use: self.permitted_use,
            http2: self.http2,
            egress: self.egress.parse()?,
        };
        // A declaration that will be refused is refused before anybody types a key.
        draft.clone().check(id)?.check_announcement()?;
        let vault = Vault::open(&self.data.open()?)?;
        let secret = input::read_key(draft.egress.wants_password())?;
        let account = vault.add(id, draft, secret, &OsEntropy)?;
        if self.json {
            print_json(&Listed::of(&account))
        } else {
            print_line(&format!(
                "added {} account {} ({}), attested for {} use",
                account.provider(),
                account.label(),
                account.id(),
                use_text(account.permitted_use()),
            ))
        }
    }
}

impl List {
    fn execute(self) -> Result<(), CliError> {
        let accounts = Vault::open(&self.data.existing()?)?.accounts();
        let listed: Vec<Listed> = accounts.iter().map(|account| Listed::of(account)).collect();
        if self.json {
            return print_json(&listed);
        }
        let rows: Vec<_> = listed.iter().map(Listed::cells).collect();
        for line in aligned(&rows) {
            print_line(&line)?;
        }
        Ok(())
    }
}

impl Remove {
    fn execute(self) -> Result<(), CliError> {
        let vault = Vault::open(&self.data.existing()?)?;
        let id = named(&vault, &self.account)?;
        vault.remove(id)?;
        if self.json {
            print_json(&json!({ "removed": id }))
        } else {
            print_line(&format!("removed account {id}"))
        }
    }
}

/// An account as a script reads it.
#[derive(Serialize)]
struct Listed {
    id: AccountId,
    #[serde(flatten)]
    declared: AccountDraft,
    egress: Egress,
}

impl Listed {
    fn of(account: &Declared) -> Self {
        // What is left out of a file where it says nothing is always told to a reader.
        let mut declared = account.draft();
        let egress = std::mem::take(&mut declared.egress);
        Self { id: account.id(), declared, egress }
    }

    /// What a person reads of it, column by column.
    fn cells(&self) -> [String; 7] {
        let declared = &self.declared;
        let http2 = if declared.http2 { "  http2" } else { "" };
        let place = match declared.place.as_str() {
            "" => String::new(),
            place => format!("  at {place}"),
        };
        [
            self.id.to_string(),
            declared.provider.to_string(),
            declared.label.clone(),
            format!("models {}", declared.models),
            format!("at most {}", declared.max_concurrency),
            format!("use {}{place}{http2}", declared.permitted_use),
            format!("egress {}", self.egress),
        ]
    }
}

/// Rows as lines, their columns below each other.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| widest(column).unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cells().join("  "))
    }
}

/// The one account of this id or label.
fn named(vault: &Vault, name: &str) -> Result<AccountId, CliError> {
    let named: Vec<AccountId> = vault
        .accounts()
        .iter()
        .filter(|account| account.label() == name || account.id().to_string() == name)
        .map(|account| account.id())
        .collect();
    match named.as_slice() {
        &[id] => Ok(id),
        other => Err(CliError::Which { name: name.to_owned(), found: other.len() }),
    }
}

fn parse_deployment(text: &str) -> Result<(String, ModelName), String> {
    let (name, model) = text.split_once('=').ok_or("want NAME=MODEL")?;
    let model = ModelName::parse(model).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), model))
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn accounts_of_long_and_short_names_stand_in_columns() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let rows = [row(["openai", "ünna", "x"]), row(["anthropic", "a", ""])];
        assert_eq!(aligned(&rows), ["openai     ünna  x", "anthropic  a"]);
        assert!(aligned::<2>(&[]).is_empty());
    }
}
