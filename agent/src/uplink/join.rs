//! Joining: an invite becomes an identity.
//!
//! The hub proves itself by the invite's pins in the handshake, before the token is sent. The key
//! is made here and never leaves; a token is idempotent for one key, so a joining that broke off
//! is simply run again. A joined agent renews its certificate by its key alone.

use super::identity::{HubRecord, IdentityFiles, IdentityFilesError};
use super::net::HubNet;
use super::tunnel::{self, ConnectError};
use std::sync::Arc;
use std::time::Duration;
use weft_certs::{AgentChain, AgentIdentity, AgentKey, Expired, IdentityError, Invite, join_tls};
use weft_proto::codes::CloseCode;
use weft_proto::entropy::Entropy;
use weft_proto::ids::{AgentId, HubId};
use weft_proto::time::Clock;
use weft_proto::wire::join::{JoinAnswer, JoinRefusal, JoinRequest};
use weft_transport::stream::StreamError;

/// Limit on the hub's answer to a request to join.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// What a renewing agent says in the place of its name, which the hub has already.
const RENEWAL_NAME: &str = "renewal";

/// Why an agent did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The invite has run out.
    #[error(transparent)]
    Expired(#[from] Expired),
    /// A file stands in the way.
    #[error(transparent)]
    Files(#[from] IdentityFilesError),
    /// No address of the invite could be reached, or what answered is not the hub.
    #[error("cannot reach the hub: {0}")]
    Connect(#[from] ConnectError),
    /// The conversation broke off.
    #[error("the hub did not answer: {0}")]
    Stream(#[from] StreamError),
    /// The hub took too long.
    #[error("the hub did not answer in time")]
    TimedOut,
    /// The hub said no.
    #[error("{}", .0.reason())]
    Refused(JoinRefusal),
    /// The hub's certificate for this agent is not one.
    #[error("the hub answered with a certificate that does not fit")]
    Certificate(#[from] IdentityError),
}

/// What joining gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// This agent's name from now on.
    pub agent: AgentId,
    /// The hub that it belongs to.
    pub hub: HubId,
}

/// Joins the hub of `invite` and writes the identity to `files`. `name` is for people.
///
/// # Errors
/// [`JoinError`]; the invite can be used again with the same data directory.
///
/// # Cancel safety
/// Safe to drop and to run again.
pub async fn join(
    invite: &Invite,
    name: &str,
    files: &IdentityFiles,
    net: &dyn HubNet,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Joined, JoinError> {
    refuse_if_joined(invite, files, clock.as_ref())?;
    invite.check_expiry(clock.now())?;
    let key = files.joining_key(entropy)?;
    let record = HubRecord::of(invite);
    let request = JoinRequest {
        token: Some(*invite.token().expose()),
        csr: key.csr_der(),
        name: name.to_owned(),
    };
    let identity = ask(&record, &request, key, net, clock, entropy).await?;
    files.save(identity.chain(), &record)?;
    Ok(Joined { agent: identity.agent(), hub: record.hub })
}

/// Renews the certificate of the identity in `files`, and loads it anew. Its key is its proof: no
/// invite is needed, also for a while after the certificate has run out.
///
/// # Errors
/// [`JoinError`]; the files are as they were.
///
/// # Cancel safety
/// Safe to drop and to run again.
pub(super) async fn renew(
    files: &IdentityFiles,
    net: &dyn HubNet,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<AgentIdentity, JoinError> {
    let (identity, record) = files.load()?;
    let (key, agent) = (files.joining_key(entropy)?, identity.agent());
    let request = JoinRequest { token: None, csr: key.csr_der(), name: RENEWAL_NAME.to_owned() };
    let renewed = ask(&record, &request, key, net, clock, entropy).await?;
    if renewed.agent() != agent {
        return Err(IdentityError::NotAnAgent.into());
    }
    files.save(renewed.chain(), &record)?;
    Ok(renewed)
}

/// Asks the hub for a certificate for `key`.
async fn ask(
    record: &HubRecord,
    request: &JoinRequest,
    key: AgentKey,
    net: &dyn HubNet,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<AgentIdentity, JoinError> {
    let tls = join_tls(record.pins, record.hub, clock).map_err(ConnectError::Tls)?;
    let connection = tunnel::connect(record, tls, net, entropy).await?;
    let answer = tokio::time::timeout(
        ANSWER_WAIT,
        weft_transport::join::ask(connection.connection(), request),
    )
    .await
    .map_err(|_| JoinError::TimedOut)??;
    connection.close(CloseCode::Done).await;
    match answer {
        JoinAnswer::Refused(refusal) => Err(JoinError::Refused(refusal)),
        JoinAnswer::Joined { agent, chain } => {
            let identity = AgentIdentity::new(key, AgentChain::from_ders(chain)?)?;
            if identity.agent() != agent {
                return Err(IdentityError::NotAnAgent.into());
            }
            Ok(identity)
        }
    }
}

/// A healthy identity is not overwritten, nor one of another hub.
fn refuse_if_joined(
    invite: &Invite,
    files: &IdentityFiles,
    clock: &dyn Clock,
) -> Result<(), JoinError> {
    let Some(record) = files.record()? else {
        return Ok(());
    };
    let healthy = files.load().is_ok_and(|(identity, _)| !identity.renewal_due(clock.now()));
    if healthy || record.hub != invite.hub() {
        return Err(IdentityFilesError::JoinedAlready { hub: record.hub }.into());
    }
    Ok(())
}
