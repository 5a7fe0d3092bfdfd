//! `weft-agent account set` and `set-key`: what an owner changes without adding an account anew.

use super::{Listed, named, parse_deployment};
use crate::account::Egress;
use crate::cli::{CliError, DataArg, input, print_json, print_line};
use crate::vault::Vault;
use clap::Args;
use serde_json::json;
use weft_proto::entropy::OsEntropy;
use weft_proto::model::{ModelName, ModelPatterns};

/// Arguments of `account set`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Set {
    /// The account's id or label
    account: String,
    /// How its requests leave: `direct`, or http, https or socks5 as `http://[USER@]HOST:PORT`
    #[arg(long, group = "what")]
    egress: Option<String>,
    /// Models it may serve, as comma-separated patterns with `*`
    #[arg(long, group = "what")]
    models: Option<ModelPatterns>,
    /// Azure: all its deployments and the models behind them; may be repeated
    #[arg(long = "deployment", value_name = "NAME=MODEL", value_parser = parse_deployment, group = "what")]
    deployments: Vec<(String, ModelName)>,
    /// Azure: the data zone or region that it is billed for, as price books name it; empty for none
    #[arg(long, group = "what")]
    place: Option<String>,
    /// Exchanges at a time
    #[arg(long, group = "what")]
    concurrency: Option<u32>,
    /// What you may use it for: own, organisation, application or licensed:REFERENCE
    #[arg(long = "use", value_name = "USE", group = "what")]
    permitted_use: Option<String>,
    /// Whether the provider is called over one HTTP/2 connection
    #[arg(long, value_name = "BOOL", group = "what")]
    http2: Option<bool>,
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `account set-key`.
#[derive(Debug, Args)]
pub struct SetKey {
    /// The account's id or label
    account: String,
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Set {
    pub(super) fn execute(self) -> Result<(), CliError> {
        let vault = Vault::open(&self.data.open()?)?;
        let id = named(&vault, &self.account)?;
        let egress = self.egress.as_deref().map(str::parse::<Egress>).transpose()?;
        let wants_password = egress.as_ref().is_some_and(Egress::wants_password);
        let password = if wants_password { Some(input::read_password()?) } else { None };
        let account = vault.set(
            id,
            |draft| {
                if let Some(egress) = egress {
                    draft.egress = egress;
                }
                if let Some(models) = self.models {
                    draft.models = models;
                }
                if !self.deployments.is_empty() {
                    draft.deployments = self.deployments.into_iter().collect();
                }
                if let Some(place) = self.place {
                    draft.place = place;
                }
                if let Some(concurrency) = self.concurrency {
                    draft.max_concurrency = concurrency;
                }
                if let Some(permitted_use) = self.permitted_use {
                    draft.permitted_use = permitted_use;
                }
                if let Some(http2) = self.http2 {
                    draft.http2 = http2;
                }
            },
            password,
            &OsEntropy,
        )?;
        let listed = Listed::of(&account);
        if self.json { print_json(&listed) } else { print_line(&format!("changed {listed}")) }
    }
}

impl SetKey {
    pub(super) fn execute(self) -> Result<(), CliError> {
        let vault = Vault::open(&self.data.open()?)?;
        let id = named(&vault, &self.account)?;
        vault.set_key(id, input::read_key(false)?, &OsEntropy)?;
        if self.json {
            print_json(&json!({ "changed": id }))
        } else {
            print_line(&format!("replaced the key of account {id}"))
        }
    }
}
