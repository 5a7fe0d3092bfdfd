//! `weft-hub exchange`: how requests ended.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use weft_hub::admin::{ExchangeView, Listed};

/// Exchanges listed where nothing else is said.
const LIMIT_DEFAULT: u32 = 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Exchange {
    /// List the latest ended exchanges, latest first
    #[command(after_help = "Example:\n  weft-hub exchange list --limit 5 --json")]
    List {
        /// How many at most: 1 to 1000
        #[arg(long, default_value_t = LIMIT_DEFAULT)]
        limit: u32,
    },
    /// Show how one exchange ended
    #[command(
        after_help = "Example:\n  weft-hub exchange show 01920c1e-7b8a-7000-8000-000000000000"
    )]
    Show {
        /// Id of the exchange: what its user saw as `weft-request-id`
        exchange: String,
    },
}

impl Exchange {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        let exchanges = match self {
            Self::List { limit } => {
                let path = format!("/api/v1/exchanges?limit={limit}");
                hub.get::<Listed<ExchangeView>>(&path).await?.items
            }
            Self::Show { exchange } => {
                vec![hub.get(&format!("/api/v1/exchanges/{}", escape(&exchange))).await?]
            }
        };
        let columns = [
            "ID",
            "ADMITTED",
            "PROVIDER",
            "ROUTE",
            "MODEL",
            "STATUS",
            "END",
            "TRIES",
            "FIRST BYTE",
            "TOTAL",
            "IN",
            "OUT",
        ];
        out.table(&exchanges, columns, |exchange| {
            [
                exchange.id.clone(),
                exchange.admitted_at.clone(),
                or_dash(exchange.provider.as_ref()),
                exchange.route.clone(),
                or_dash(exchange.model.as_ref()),
                or_dash(exchange.status),
                exchange.end.clone(),
                exchange.attempts.to_string(),
                or_dash(exchange.first_byte_after_us.map(millis)),
                millis(exchange.ended_after_us),
                exchange.request_bytes.to_string(),
                exchange.response_bytes.to_string(),
            ]
        })?;
        Ok(())
    }
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}
