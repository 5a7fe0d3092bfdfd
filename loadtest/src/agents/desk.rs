//! Where invites come from: the admin door of a hub on this machine, or a file.

use super::settings::Common;
use crate::mesh::joining::InviteDesk;
use anyhow::Context;
use std::vec;
use weft_certs::Invite;

/// Gives invites.
pub(super) enum Desk {
    /// Written by the hub, one after the other.
    Hub(Box<InviteDesk>),
    /// As many as a file has.
    File(vec::IntoIter<Invite>),
}

impl Desk {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// Where the hub is not there, or the file cannot be read.
    pub(super) async fn open(settings: &Common) -> anyhow::Result<Self> {
        match (&settings.hub_data, &settings.invites) {
            (Some(data), _) => {
                Ok(Self::Hub(Box::new(InviteDesk::open(data, &settings.owner).await?)))
            }
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("reading {}", file.display()))?;
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                let invites: Vec<Invite> =
                    lines.map(str::parse).collect::<Result<_, _>>().with_context(|| {
                        format!("{} holds a line that is no invite", file.display())
                    })?;
                Ok(Self::File(invites.into_iter()))
            }
            (None, None) => anyhow::bail!("neither --hub-data nor --invites"),
        }
    }

    /// The next invite.
    ///
    /// # Errors
    /// Where the hub writes none, or the file has no more.
    pub(super) async fn invite(&mut self) -> anyhow::Result<Invite> {
        match self {
            Self::Hub(desk) => desk.invite().await,
            Self::File(invites) => {
                invites.next().context("the file has fewer invites than agents are asked for")
            }
        }
    }
}
