//! Portkey's gateway on Node: requests say by header which provider they are for, and where.

use super::super::peers::{Peer, system};
use super::super::site::Side;
use super::{Contestant, Door, Ground, Name};
use crate::mesh::process::command;
use anyhow::Context;

/// Seconds that it may take to listen.
const READY_SECONDS: u64 = 30;

/// The gateway, beside the provider.
///
/// # Errors
/// Where it is not installed or does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>) -> anyhow::Result<Contestant> {
    let script = ground.stage.peers.program(Peer::Portkey)?;
    let node = system("node").context("node is not there: loadtest/peers/install portkey")?;
    let port = ground.site.port(Side::Server)?;
    let mut serve = command(&node);
    serve.arg(script).arg(format!("--port={port}")).arg("--headless");
    serve.env("NODE_ENV", "production").env("HOME", ground.dir);
    let member = ground.server(Side::Server, "portkey", serve, port, READY_SECONDS).await?;
    let host = format!("http://{}/v1", ground.provider);
    let headers =
        vec![("x-portkey-provider", "openai".to_owned()), ("x-portkey-custom-host", host)];
    let door = Door { headers, sim: "none", ..Door::plain(port) };
    Ok(Contestant { name: Name::Portkey, door, members: vec![member] })
}
