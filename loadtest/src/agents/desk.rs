//! Where invites come from: the admin door of a hub on this machine, or a file.

use super::settings::Common;
use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::BodyExt;
use std::path::Path;
use std::vec;
use weft_certs::Invite;
use weft_hub::admin::{AddedInvite, AdminToken, NewInvite};
use weft_hub::app::{CERTS_DIR, announced, reachable_here};

/// Gives invites.
pub(super) enum Desk {
    /// Written by the hub, one after the other.
    Hub(Box<Door>),
    /// As many as a file has.
    File(vec::IntoIter<Invite>),
}

/// The admin door of a hub on this machine.
pub(super) struct Door {
    caller: crate::mesh::Caller,
    connection: crate::mesh::Connection,
    token: AdminToken,
    owner: String,
}

impl Desk {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// Where the hub is not there, or the file cannot be read.
    pub(super) async fn open(settings: &Common) -> anyhow::Result<Self> {
        match (&settings.hub_data, &settings.invites) {
            (Some(data), _) => Ok(Self::Hub(Box::new(Door::open(data, &settings.owner).await?))),
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
            Self::Hub(door) => door.invite().await,
            Self::File(invites) => {
                invites.next().context("the file has fewer invites than agents are asked for")
            }
        }
    }
}

impl Door {
    async fn open(data: &Path, owner: &str) -> anyhow::Result<Self> {
        let addresses = announced(data)
            .with_context(|| format!("no hub runs on {}: it tells no addresses", data.display()))?;
        let ca = data.join(CERTS_DIR).join("ca.pem");
        let caller = crate::mesh::Caller::new(reachable_here(addresses.admin), &ca)?;
        let connection = caller
            .connect(crate::mesh::Version::H1)
            .await
            .with_context(|| format!("the admin door of the hub in {}", data.display()))?;
        Ok(Self { caller, connection, token: AdminToken::load(data)?, owner: owner.to_owned() })
    }

    async fn invite(&mut self) -> anyhow::Result<Invite> {
        let new = NewInvite { owner: self.owner.clone(), expires_in_seconds: None };
        let body = Bytes::from(serde_json::to_vec(&new)?);
        if self.connection.is_closed() || self.connection.ready().await.is_err() {
            self.connection = self.caller.connect(crate::mesh::Version::H1).await?;
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/invites")
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(CONTENT_TYPE, "application/json")
            .body(crate::mesh::caller::full(body))?;
        let response = self.connection.send(request).await?;
        let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
        anyhow::ensure!(status.is_success(), "the hub wrote no invite: {status}");
        let added: AddedInvite = serde_json::from_slice(&body)?;
        Ok(added.line.parse()?)
    }
}
