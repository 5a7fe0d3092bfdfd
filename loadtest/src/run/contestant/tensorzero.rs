//! TensorZero's gateway, which its Python package carries whole: a few lines of Python start its
//! HTTP server inside their process and then sleep. Requests never touch Python. Observability is
//! off, as there is no database here.

use super::super::peers::Peer;
use super::super::site::Side;
use super::{Contestant, Door, Ground, Name};
use crate::mesh::process::command;
use std::time::Duration;

/// Looks for the line that says where it listens, ten a second.
const LOOKS: u32 = 300;
/// How often.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// It takes a port of its own choice and says which.
const SERVE: &str = "\
import signal, sys
from tensorzero.tensorzero import _start_http_gateway
gateway = _start_http_gateway(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None,
                              valkey_url=None, async_setup=False)
print('listens', gateway.base_url, flush=True)
signal.pause()
";

/// The gateway, beside the provider.
///
/// # Errors
/// Where it is not installed or does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>) -> anyhow::Result<Contestant> {
    let python = ground.stage.peers.program(Peer::Tensorzero)?;
    let (file, script) = (ground.file("tensorzero.toml"), ground.file("serve.py"));
    std::fs::write(
        &file,
        format!(
            "[gateway]\nobservability.enabled = false\n\n[models.sim]\nrouting = [\"sim\"]\n\n\
             [models.sim.providers.sim]\ntype = \"openai\"\nmodel_name = \"gpt-4o\"\n\
             api_base = \"http://{}/v1/\"\napi_key_location = \"env::LOADTEST_PROVIDER_KEY\"\n",
            ground.provider
        ),
    )?;
    std::fs::write(&script, SERVE)?;
    let mut serve = command(&python);
    serve.arg(&script).arg(&file);
    serve.env("LOADTEST_PROVIDER_KEY", "simulated").env("HOME", ground.dir);
    let mut member = ground.client(Side::Server, "tensorzero", serve)?;
    let mut url = None;
    for _ in 0..LOOKS {
        member.process.check()?;
        url = told(&std::fs::read_to_string(member.process.log()).unwrap_or_default());
        if url.is_some() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let url = url.ok_or_else(|| {
        anyhow::anyhow!("it does not say where it listens; its log:\n{}", member.process.tail())
    })?;
    let door = Door { url, model: "tensorzero::model_name::sim", sim: "none", ..Door::plain(0) };
    Ok(Contestant { name: Name::Tensorzero, door, members: vec![member] })
}

/// The base URL in its log, without `/v1`, which users add.
fn told(log: &str) -> Option<String> {
    let url = log.lines().find_map(|line| line.strip_prefix("listens "))?;
    Some(url.trim().trim_end_matches('/').trim_end_matches("/v1").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_found_among_lines_of_its_log() {
        let log = "2026 INFO started\nlistens http://127.0.0.1:40949/openai/v1\n";
        assert_eq!(told(log).as_deref(), Some("http://127.0.0.1:40949/openai"));
        assert_eq!(told("nothing yet"), None);
    }
}
