//! `weft-agent doctor`.

use super::{CliError, DataArg, print_json, print_line};
use crate::app::Parts;
use crate::doctor::{Level, examine};
use clap::Args;
use serde_json::json;
use weft_proto::tables::hosts::HostTable;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn execute(self, hosts: HostTable) -> Result<(), CliError> {
        let findings = examine(&self.data.path()?, Parts::system(hosts)).await;
        let failed = findings.iter().filter(|finding| finding.level == Level::Fail).count();
        if self.json {
            print_json(&json!({ "ok": failed == 0, "findings": findings }))?;
        } else {
            let width = findings.iter().map(|one| one.check.chars().count()).max().unwrap_or(0);
            for finding in &findings {
                let level = match finding.level {
                    Level::Ok => "ok  ",
                    Level::Warn => "warn",
                    Level::Fail => "FAIL",
                };
                print_line(&format!("{level}  {:<width$}  {}", finding.check, finding.saw))?;
                if let Some(remedy) = &finding.remedy {
                    print_line(&format!("      {:<width$}  → {remedy}", ""))?;
                }
            }
        }
        match failed {
            0 => Ok(()),
            failed => Err(CliError::Unwell { failed, checks: findings.len() }),
        }
    }
}
