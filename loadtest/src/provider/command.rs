//! `weft-loadtest provider`: the simulated provider as a process of its own.

use super::{Control, ExpectedKey, Protocols, Provider, ProviderConfig};
use anyhow::Context;
use std::net::SocketAddr;

/// Runs a simulated provider on a loopback address until it is interrupted.
///
/// All four dialects answer on one address: OpenAI and Anthropic under /v1, Azure under /openai,
/// DeepSeek at / (and at /v1 for deepseek-* models). Requests choose pace, sizes and faults by the
/// header `x-weft-sim`, the query parameter `weft-sim`, or in brackets behind the model's name.
/// What was received is at /_sim/requests?after=N.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-loadtest provider --pace-ms 20 --deltas 64\n  \
    curl -N http://127.0.0.1:4010/v1/chat/completions -H 'authorization: Bearer any' \\\n    \
    -d '{\"model\":\"sim[fault=cut,at=5]\",\"stream\":true,\"messages\":[]}'")]
pub struct Args {
    /// Address to listen on; refused unless it is a loopback address.
    #[arg(long, default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// Milliseconds between deltas.
    #[arg(long, value_name = "MS")]
    pace_ms: Option<u64>,
    /// Deltas in an answer.
    #[arg(long, value_name = "N")]
    deltas: Option<u32>,
    /// Bytes of text in a delta; one word where it is not given.
    #[arg(long, value_name = "N")]
    delta_bytes: Option<u32>,
    /// A fault for every request, such as cut, stall, reset, 429.
    #[arg(long, value_name = "NAME")]
    fault: Option<String>,
    /// Whole events sent before the fault.
    #[arg(long, value_name = "N")]
    at: Option<u32>,
    /// Further defaults in the control language, such as `gzip;keep-alive=3`.
    #[arg(long, value_name = "CONTROL", default_value = "")]
    sim: String,
    /// Mixed into every answer's seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Speaks HTTP/2 with prior knowledge only; otherwise HTTP/1.1 and HTTP/2.
    #[arg(long)]
    h2: bool,
    /// The only (simulated) key accepted; any nonempty one where it is not given.
    #[arg(long, env = "WEFT_SIM_EXPECT_KEY", hide_env_values = true, value_name = "KEY")]
    expect_key: Option<String>,
}

impl Args {
    fn into_config(self) -> anyhow::Result<ProviderConfig> {
        let mut items = vec![self.sim];
        items.extend(self.pace_ms.map(|ms| format!("pace={ms}ms")));
        items.extend(self.deltas.map(|count| format!("deltas={count}")));
        items.extend(self.delta_bytes.map(|count| format!("delta-bytes={count}")));
        items.extend(self.fault.map(|name| format!("fault={name}")));
        items.extend(self.at.map(|count| format!("at={count}")));
        let defaults = items
            .iter()
            .try_fold(Control::default(), |control, item| control.overlaid(item))
            .context("the defaults for requests")?;
        Ok(ProviderConfig {
            listen: self.listen,
            protocols: if self.h2 { Protocols::H2Only } else { Protocols::Both },
            expect_key: self.expect_key.as_deref().map(ExpectedKey::of),
            defaults,
            seed: self.seed,
        })
    }
}

/// Runs until the process is interrupted.
///
/// # Errors
/// A default that is not understood, an address that is not loopback or not free.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let provider = Provider::bind(args.into_config()?).await?;
    tracing::info!(url = provider.url(), "simulated provider listens");
    tokio::signal::ctrl_c().await.context("waiting for the interrupt")?;
    provider.shutdown().await;
    Ok(())
}
