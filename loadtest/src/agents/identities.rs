//! Identities that have joined: each by an invite of its own over `weft-join/1`, as an agent's owner
//! would, or kept from a run before.
//!
//! A directory of identities has one folder for each, by its number. They are identities of a hub
//! that is tried, but keys all the same: others on the machine cannot read them.

use super::clients::{Clients, STREAM_BYTES, light};
use super::desk::Desk;
use super::report::{Joining, millis};
use super::settings::Common;
use super::watch::Bar;
use crate::mesh::joining::{address, join_by};
use anyhow::Context;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_certs::{AgentChain, AgentIdentity, AgentKey, Invite, Pins};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::HubId;

/// How long one joining may take.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// The hub of a run: what every invite of it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct HubAt {
    pub(super) address: SocketAddr,
    pub(super) id: HubId,
    pub(super) pins: Pins,
}

impl HubAt {
    /// What `invite` says.
    ///
    /// # Errors
    /// Where it names no address.
    pub(super) fn of(invite: &Invite) -> anyhow::Result<Self> {
        Ok(Self { address: address(invite)?, id: invite.hub(), pins: invite.pins() })
    }
}

/// Has `count` agents with identities, `more` of which are asked for beside the settings' own.
///
/// # Errors
/// Where one cannot join.
///
/// # Cancel safety
/// What was kept stays; the rest is forgotten.
pub(super) async fn all(
    settings: &Common,
    desk: &mut Desk,
    more: usize,
    bar: &Bar,
) -> anyhow::Result<(HubAt, Vec<Arc<AgentIdentity>>, Joining)> {
    let began = Instant::now();
    let count = settings.count as usize + more;
    bar.begin("joining", count);
    let mut first = Some(desk.invite().await?);
    let hub = first.as_ref().map(HubAt::of).context("no invite")??;
    settings.check_target(hub.address)?;
    let clients = Clients::bind(1, hub.address)?;
    let mut identities = Vec::with_capacity(count);
    let mut joining = JoinSet::new();
    let mut reused = 0;
    for number in 0..count {
        let kept = settings.identities.as_deref().map(|dir| folder(dir, number));
        if let Some(identity) = kept.as_deref().and_then(load) {
            identities.push((number, Arc::new(identity)));
            reused += 1;
            bar.at(identities.len());
            continue;
        }
        if joining.len() >= settings.at_once as usize
            && let Some(done) = joining.join_next().await
        {
            identities.push(done??);
            bar.at(identities.len());
        }
        let invite = match first.take() {
            Some(invite) => invite,
            None => desk.invite().await?,
        };
        let endpoint = clients.endpoint(0)?;
        joining.spawn(async move {
            let config = |tls| Ok(light(tls, 1, STREAM_BYTES, &OsEntropy)?);
            let joined = join_by(&invite, format!("light-{number}"), &endpoint, config);
            let identity = tokio::time::timeout(JOIN_MAX, joined).await??;
            if let Some(kept) = kept {
                keep(&kept, &identity)?;
            }
            anyhow::Ok((number, Arc::new(identity)))
        });
    }
    while let Some(done) = joining.join_next().await {
        identities.push(done??);
        bar.at(identities.len());
    }
    clients.close().await;
    identities.sort_unstable_by_key(|(number, _)| *number);
    let joined = count - reused;
    let joining = Joining { joined, reused, took_ms: millis(began.elapsed()) };
    Ok((hub, identities.into_iter().map(|(_, identity)| identity).collect(), joining))
}

fn folder(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("{number:06}"))
}

fn load(folder: &Path) -> Option<AgentIdentity> {
    let key = AgentKey::load(&folder.join("key.pem")).ok()?;
    let chain = AgentChain::load(&folder.join("chain.pem")).ok()?;
    AgentIdentity::new(key, chain).ok()
}

fn keep(folder: &Path, identity: &AgentIdentity) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    identity.key().save(&folder.join("key.pem"))?;
    identity.chain().save(&folder.join("chain.pem"))?;
    Ok(())
}
