//! rusnel: a tunnel over QUIC, a stream for each of a user's connections. The nearest to Weft's own
//! transport.

use super::super::peers::Peer;
use super::super::site::Side;
use super::{Contestant, Door, Ground, Name};
use crate::mesh::process::command;

/// Seconds that it may take to listen.
const READY_SECONDS: u64 = 10;

/// Server on the users' side, client beside the provider. Its own help says which congestion
/// control suits a link: CUBIC on loopback, BBR where there is delay or loss.
///
/// # Errors
/// Where it is not installed or does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>) -> anyhow::Result<Contestant> {
    let program = ground.stage.peers.program(Peer::Rusnel)?;
    let (control, port) = (ground.site.port(Side::Server)?, ground.site.port(Side::Server)?);
    let congestion = if ground.site.is_apart() { "bbr" } else { "cubic" };
    let mut serve = command(&program);
    serve.args(["server", "--insecure", "--allow-reverse", "--no-admin-socket", "--quiet"]);
    serve.args(["--port", &control.to_string(), "--congestion", congestion]);
    let server = ground.client(Side::Server, "rusnel-server", serve)?;
    let mut dial = command(&program);
    dial.args(["client", "--insecure", "--quiet", "--congestion", congestion]);
    dial.args(["--max-retry-interval", "1"]);
    dial.arg(format!("{}:{control}", ground.site.server()));
    dial.arg(format!("R:127.0.0.1:{port}:127.0.0.1:{}", ground.provider.port()));
    let client = ground.client(Side::Provider, "rusnel-client", dial)?;
    let mut members = vec![client, server];
    ground.site.listens(Side::Server, &mut members[0].process, port, READY_SECONDS).await?;
    Ok(Contestant { name: Name::Rusnel, door: Door::plain(port), members })
}
