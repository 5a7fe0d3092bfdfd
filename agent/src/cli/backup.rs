//! `weft-agent backup` and `weft-agent restore`.

use super::{CliError, DataArg, print_json, print_line};
use crate::backup;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use weft_proto::time::SystemClock;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; it must not exist
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    data: DataArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(super) fn execute(self) -> Result<(), CliError> {
        let done = backup::write(&self.data.existing()?, &self.to, &SystemClock)?;
        if self.json {
            return print_json(&json!({
                "file": self.to, "agent": done.agent, "hub": done.hub, "files": done.files,
            }));
        }
        print_line(&format!(
            "wrote agent {} of hub {} to {}; it holds its keys in the clear: keep it secret",
            done.agent,
            done.hub,
            self.to.display()
        ))
    }
}

impl Restore {
    pub(super) fn execute(self) -> Result<(), CliError> {
        let path = self.data.path()?;
        let done = backup::restore(&self.from, &path)?;
        if self.json {
            return print_json(&json!({
                "data": path, "agent": done.agent, "hub": done.hub, "files": done.files,
            }));
        }
        print_line(&format!(
            "restored agent {} of hub {} into {}; never run it beside the one it was made from",
            done.agent,
            done.hub,
            path.display()
        ))
    }
}
