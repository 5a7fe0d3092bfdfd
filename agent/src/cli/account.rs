//! `weft-agent account add | list | remove`.

use super::{CliError, DataArg, print_json, print_line};
use crate::account::{Account as Declared, AccountDraft, DEFAULT_CONCURRENCY, use_text};
use crate::vault::{Secret, Vault};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::AccountId;
use weft_proto::model::{ModelName, ModelPatterns};
use weft_proto::provider::Provider;
use weft_proto::time::SystemClock;
use zeroize::Zeroizing;

/// Most bytes of standard input that are taken for a key.
const INPUT_BYTES_MAX: u64 = 8 * 1024;

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Add an account; its key is read from standard input
    #[command(
        after_help = "Examples:\n  weft-agent account add --provider openai --label main < key.txt\n  \
        weft-agent account add --provider azure --site myres --label prod --deployment chat=gpt-4o\n\n\
        The key is never an argument: type it when asked, or pipe it in. By adding an account you \
        attest that you may use it as --use says."
    )]
    Add(Add),
    /// List the accounts, without their keys
    #[command(after_help = "Example:\n  weft-agent account list --json | jq -r '.[].label'")]
    List(List),
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
            models: self.models,
            deployments: self.deployments.into_iter().collect::<BTreeMap<_, _>>(),
            max_concurrency: self.concurrency,
            permitted_use: self.permitted_use,
            http2: self.http2,
        };
        // A declaration that will be refused is refused before anybody types a key.
        drop(draft.clone().check(id)?);
        let vault = Vault::open(&self.data.open()?)?;
        let secret = read_secret()?;
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
        let accounts = Vault::open(&self.data.open()?)?.accounts();
        let listed: Vec<Listed> = accounts.iter().map(|account| Listed::of(account)).collect();
        if self.json {
            return print_json(&listed);
        }
        for account in listed {
            print_line(&format!(
                "{}  {:<9}  {}  models {}  at most {}  use {}{}",
                account.id,
                account.declared.provider,
                account.declared.label,
                account.declared.models,
                account.declared.max_concurrency,
                account.declared.permitted_use,
                if account.declared.http2 { "  http2" } else { "" },
            ))?;
        }
        Ok(())
    }
}

impl Remove {
    fn execute(self) -> Result<(), CliError> {
        let vault = Vault::open(&self.data.open()?)?;
        let named: Vec<AccountId> = vault
            .accounts()
            .iter()
            .filter(|account| {
                account.label() == self.account || account.id().to_string() == self.account
            })
            .map(|account| account.id())
            .collect();
        let &[id] = named.as_slice() else {
            return Err(CliError::Which { name: self.account, found: named.len() });
        };
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
}

impl Listed {
    fn of(account: &Declared) -> Self {
        Self { id: account.id(), declared: account.draft() }
    }
}

fn read_secret() -> Result<Secret, CliError> {
    let input = if io::stdin().is_terminal() {
        Zeroizing::new(rpassword::prompt_password("Provider key: ")?.into_bytes())
    } else {
        // Full capacity at once: a buffer that grows leaves copies behind.
        let mut input = Zeroizing::new(Vec::with_capacity(INPUT_BYTES_MAX as usize + 1));
        io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut input)?;
        input
    };
    Ok(Secret::parse(input)?)
}

fn parse_deployment(text: &str) -> Result<(String, ModelName), String> {
    let (name, model) = text.split_once('=').ok_or("want NAME=MODEL")?;
    let model = ModelName::parse(model).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), model))
}
