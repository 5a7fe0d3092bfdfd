//! rathole: a TCP tunnel, plain TCP between its halves, a pool of connections kept open.

use super::super::peers::Peer;
use super::super::site::Side;
use super::{Contestant, Door, Ground, Name};
use crate::mesh::process::command;

/// Seconds that it may take to listen.
const READY_SECONDS: u64 = 10;
/// A token that both halves know; nobody else reaches the port.
const TOKEN: &str = "loadtest";

/// Server on the users' side, client beside the provider.
///
/// # Errors
/// Where it is not installed or does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>) -> anyhow::Result<Contestant> {
    let program = ground.stage.peers.program(Peer::Rathole)?;
    let (control, port) = (ground.site.port(Side::Server)?, ground.site.port(Side::Server)?);
    let server_file = ground.file("server.toml");
    std::fs::write(
        &server_file,
        format!(
            "[server]\nbind_addr = \"0.0.0.0:{control}\"\ndefault_token = \"{TOKEN}\"\n\
             [server.services.provider]\nbind_addr = \"127.0.0.1:{port}\"\n"
        ),
    )?;
    let client_file = ground.file("client.toml");
    let (server, provider) = (ground.site.server(), ground.provider);
    std::fs::write(
        &client_file,
        format!(
            "[client]\nremote_addr = \"{server}:{control}\"\ndefault_token = \"{TOKEN}\"\n\
             [client.services.provider]\nlocal_addr = \"{provider}\"\n"
        ),
    )?;
    let mut serve = command(&program);
    serve.arg("--server").arg(&server_file).env("RUST_LOG", "warn");
    let server =
        ground.server(Side::Server, "rathole-server", serve, control, READY_SECONDS).await?;
    let mut dial = command(&program);
    dial.arg("--client").arg(&client_file).env("RUST_LOG", "warn");
    let client = ground.client(Side::Provider, "rathole-client", dial)?;
    let mut members = vec![client, server];
    ground.site.listens(Side::Server, &mut members[0].process, port, READY_SECONDS).await?;
    Ok(Contestant { name: Name::Rathole, door: Door::plain(port), members })
}
