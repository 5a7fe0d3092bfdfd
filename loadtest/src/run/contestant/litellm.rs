//! LiteLLM's proxy: one worker, a wildcard model, no database, no telemetry.

use super::super::peers::Peer;
use super::super::site::Side;
use super::{Contestant, Door, Ground, Name};
use crate::mesh::process::command;

/// Seconds that it may take to listen: it reads a large table of models first.
const READY_SECONDS: u64 = 90;
/// What it wants from users.
const KEY: &str = "sk-simulated";

/// The proxy, beside the provider.
///
/// # Errors
/// Where it is not installed or does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>) -> anyhow::Result<Contestant> {
    let program = ground.stage.peers.program(Peer::Litellm)?;
    let port = ground.site.port(Side::Server)?;
    let file = ground.file("litellm.yaml");
    std::fs::write(
        &file,
        format!(
            "model_list:\n  - model_name: \"*\"\n    litellm_params:\n      model: \"openai/*\"\n      \
             api_base: \"http://{}/v1\"\n      api_key: \"simulated\"\n\
             general_settings:\n  master_key: \"{KEY}\"\n\
             litellm_settings:\n  telemetry: false\n  set_verbose: false\n",
            ground.provider
        ),
    )?;
    let mut serve = command(&program);
    serve.arg("--config").arg(&file).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    serve.args(["--num_workers", "1", "--telemetry", "False"]);
    // Its own table of models, instead of one from the net; nothing is fetched.
    serve.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("NO_PROXY", "*");
    serve.env("LITELLM_LOG", "ERROR").env("HOME", ground.dir);
    let member = ground.server(Side::Server, "litellm", serve, port, READY_SECONDS).await?;
    let door = Door { key: KEY.to_owned(), sim: "none", ..Door::plain(port) };
    Ok(Contestant { name: Name::Litellm, door, members: vec![member] })
}
