//! `weft-agent join INVITE`.

use super::{CliError, DataArg, print_json, print_line};
use crate::uplink::{IdentityFiles, SystemNet, join};
use clap::Args;
use serde_json::json;
use std::io::{self, Read};
use std::sync::Arc;
use weft_certs::{Invite, InviteError, MAX_INVITE_LEN};
use weft_proto::entropy::OsEntropy;
use weft_proto::time::SystemClock;

/// Arguments of `join`.
#[derive(Debug, Args)]
pub struct Join {
    /// The invite, or `-` to read it from standard input
    invite: String,
    #[command(flatten)]
    data: DataArg,
    /// A name for this agent, for the people at the hub
    #[arg(long, default_value = "agent")]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Join {
    pub(super) async fn execute(self) -> Result<(), CliError> {
        let invite: Invite =
            if self.invite == "-" { read_invite()?.parse()? } else { self.invite.parse()? };
        let files = IdentityFiles::new(self.data.open()?);
        let joined =
            join(&invite, &self.name, &files, &SystemNet, Arc::new(SystemClock), &OsEntropy)
                .await?;
        if self.json {
            print_json(&json!({ "agent": joined.agent, "hub": joined.hub }))
        } else {
            print_line(&format!("joined hub {} as agent {}", joined.hub, joined.agent))
        }
    }
}

fn read_invite() -> Result<String, CliError> {
    let mut text = String::new();
    // Room for the longest invite and a line end, and one byte to see that there is more.
    io::stdin().lock().take(MAX_INVITE_LEN as u64 + 3).read_to_string(&mut text)?;
    if text.trim().len() > MAX_INVITE_LEN {
        return Err(InviteError::TooLong.into());
    }
    Ok(text)
}
