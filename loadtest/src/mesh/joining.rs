//! Joining a hub without an agent's process: invites from its admin door, and identities by them.

use super::caller::{Caller, Connection, Version, full};
use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use weft_certs::{AgentChain, AgentIdentity, AgentKey, Invite, join_tls, server_name};
use weft_hub::admin::{AddedInvite, AdminToken, NewInvite};
use weft_hub::app::{CERTS_DIR, announced, reachable_here};
use weft_proto::codes::CloseCode;
use weft_proto::entropy::OsEntropy;
use weft_proto::time::SystemClock;
use weft_proto::wire::join::{JoinAnswer, JoinRequest};
use weft_transport::{close, join};

/// Has invites written by the admin door of a hub on this machine, over one connection.
pub(crate) struct InviteDesk {
    caller: Caller,
    connection: Connection,
    token: AdminToken,
    owner: String,
}

impl InviteDesk {
    /// The desk of the hub that runs on the directory `data`; invites are for `owner`.
    ///
    /// # Errors
    /// Where no hub runs there.
    pub(crate) async fn open(data: &Path, owner: &str) -> anyhow::Result<Self> {
        let addresses = announced(data)
            .with_context(|| format!("no hub runs on {}: it tells no addresses", data.display()))?;
        let ca = data.join(CERTS_DIR).join("ca.pem");
        let caller = Caller::new(reachable_here(addresses.admin), &ca)?;
        let connection = caller
            .connect(Version::H1)
            .await
            .with_context(|| format!("the admin door of the hub in {}", data.display()))?;
        Ok(Self { caller, connection, token: AdminToken::load(data)?, owner: owner.to_owned() })
    }

    /// The next invite.
    ///
    /// # Errors
    /// Where the hub writes none.
    pub(crate) async fn invite(&mut self) -> anyhow::Result<Invite> {
        let new = NewInvite { owner: self.owner.clone(), expires_in_seconds: None };
        let body = Bytes::from(serde_json::to_vec(&new)?);
        if self.connection.is_closed() || self.connection.ready().await.is_err() {
            self.connection = self.caller.connect(Version::H1).await?;
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/invites")
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(CONTENT_TYPE, "application/json")
            .body(full(body))?;
        let response = self.connection.send(request).await?;
        let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
        anyhow::ensure!(status.is_success(), "the hub wrote no invite: {status}");
        let added: AddedInvite = serde_json::from_slice(&body)?;
        Ok(added.line.parse()?)
    }
}

/// Where the hub of an invite is.
///
/// # Errors
/// Where the invite names no address.
pub(crate) fn address(invite: &Invite) -> anyhow::Result<SocketAddr> {
    let address = invite.addresses().first().context("an invite without an address")?;
    let host = address.host();
    let ip = if host == "localhost" { "127.0.0.1" } else { host };
    let ip = ip.parse().with_context(|| format!("{host} is no IP address"))?;
    Ok(SocketAddr::new(ip, address.port()))
}

/// Joins by an invite under a name; `config` makes quinn's settings of TLS's.
///
/// # Errors
/// Where the hub cannot be reached, or refuses.
///
/// # Cancel safety
/// A dropped call may have used the invite up.
pub(crate) async fn join_by(
    invite: &Invite,
    name: String,
    endpoint: &quinn::Endpoint,
    config: impl FnOnce(rustls::ClientConfig) -> anyhow::Result<quinn::ClientConfig>,
) -> anyhow::Result<AgentIdentity> {
    let key = AgentKey::generate(&OsEntropy);
    let config = config(join_tls(invite.pins(), invite.hub(), Arc::new(SystemClock))?)?;
    let server = server_name(invite.hub());
    let connection = endpoint.connect_with(config, address(invite)?, &server.to_str())?.await?;
    let token = Some(*invite.token().expose());
    let request = JoinRequest { token, csr: key.csr_der(), name };
    let answer = join::ask(&connection, &request).await?;
    close::connection(&connection, CloseCode::Done);
    match answer {
        JoinAnswer::Joined { chain, .. } => {
            Ok(AgentIdentity::new(key, AgentChain::from_ders(chain)?)?)
        }
        JoinAnswer::Refused(refusal) => anyhow::bail!("not joined: {}", refusal.reason()),
    }
}
