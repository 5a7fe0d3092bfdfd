//! bore: a TCP tunnel without encryption, one connection of its own for each of a user's.

use super::super::peers::Peer;
use super::super::site::Side;
use super::{Contestant, Door, Ground, Name};
use crate::mesh::process::command;

/// The port on which its server takes clients; it cannot be told another.
const CONTROL_PORT: u16 = 7835;
/// Seconds that it may take to listen.
const READY_SECONDS: u64 = 10;

/// Server on the users' side, client beside the provider.
///
/// # Errors
/// Where it is not installed or does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>) -> anyhow::Result<Contestant> {
    let program = ground.stage.peers.program(Peer::Bore)?;
    let port = ground.site.port(Side::Server)?;
    let mut serve = command(&program);
    serve.args(["server", "--bind-addr", "0.0.0.0", "--bind-tunnels", "127.0.0.1"]);
    serve.args(["--min-port", &port.to_string(), "--max-port", &port.to_string()]);
    let server =
        ground.server(Side::Server, "bore-server", serve, CONTROL_PORT, READY_SECONDS).await?;
    let mut dial = command(&program);
    let to = ground.site.server().to_string();
    dial.args(["local", &ground.provider.port().to_string(), "--local-host", "127.0.0.1"]);
    dial.args(["--to", &to, "--port", &port.to_string()]);
    let client = ground.client(Side::Provider, "bore-client", dial)?;
    let mut members = vec![client, server];
    ground.site.listens(Side::Server, &mut members[0].process, port, READY_SECONDS).await?;
    Ok(Contestant { name: Name::Bore, door: Door::plain(port), members })
}
