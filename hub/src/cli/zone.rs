//! `weft-hub zone`: what users pay of list prices.

use super::client::AdminClient;
use super::output::Output;
use weft_hub::admin::{NewZone, ZoneView};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Zone {
    /// Make a price zone, or change what its users pay of list prices
    #[command(after_help = "Example:\n  weft-hub zone set discount 0.9")]
    Set {
        /// Name of the zone
        name: String,
        /// Share of list prices: 1 is all, 0.9 is 90 %
        ratio: String,
    },
    /// List all price zones
    #[command(after_help = "Example:\n  weft-hub zone list --json")]
    List,
}

impl Zone {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Set { name, ratio } => {
                let zone: ZoneView = hub.post("/api/v1/zones", &NewZone { name, ratio }).await?;
                let text = format!("zone {} pays {} ppm of list prices", zone.name, zone.ratio_ppm);
                out.value(&zone, &text)?;
            }
            Self::List => {
                let zones: Vec<ZoneView> = hub.all("/api/v1/zones").await?;
                out.table(&zones, ["NAME", "PPM OF LIST PRICES"], |zone| {
                    [zone.name.clone(), zone.ratio_ppm.to_string()]
                })?;
            }
        }
        Ok(())
    }
}
