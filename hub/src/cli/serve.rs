//! `weft-hub serve`: runs the hub until a signal ends it.

use super::output::Output;
use anyhow::Context;
use std::path::Path;
use std::process::ExitCode;
use weft_hub::app::App;
use weft_hub::config::{HubConfig, Overrides};
use weft_hub::lifecycle::Signals;
use weft_hub::telemetry::Log;

/// Run the hub. SIGTERM drains it, a second one cuts it off; SIGHUP reads the settings and the
/// operator's own certificate again, as "weft-hub reload" does
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-hub serve --data ./weft-hub --log-format json")]
pub(super) struct Serve {
    #[command(flatten)]
    overrides: Overrides,
}

impl Serve {
    pub(super) fn run(self, data: &Path, out: &mut Output) -> anyhow::Result<ExitCode> {
        let config = HubConfig::load(data, &self.overrides)?;
        let log = Log::start(&config.log)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("weft-hub")
            .build()
            .context("the runtime does not start")?;
        let ended = runtime.block_on(async {
            // Before the doors: a signal from now on is a request to stop, not the end.
            let signals = Signals::listen().context("signals cannot be listened to")?;
            let app = App::bind(config).await?;
            out.value(app.addrs(), &app.addrs().to_string())?;
            app.reloads_with(self.overrides, log);
            anyhow::Ok(app.run(signals).await)
        })?;
        Ok(ended.exit_code())
    }
}
