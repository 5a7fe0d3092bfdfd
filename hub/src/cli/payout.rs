//! `weft-hub payout`: money on its way out to owners.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use weft_hub::admin::{NewPayout, PayoutDecision, PayoutView};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Payout {
    /// Ask for a payout of what is in an owner's wallet
    #[command(after_help = "Example:\n  weft-hub payout request bob 25.00")]
    Request {
        /// Name or id of the owner
        owner: String,
        /// Decimal USD
        amount: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Approve a payout: it leaves the wallet
    #[command(
        after_help = "Example:\n  weft-hub payout approve 01920c1e-7b8a-7000-8000-000000000000 \
                            --reference SEPA-2026-11-23-17"
    )]
    Approve {
        /// Id of the payout
        payout: String,
        /// What the payment is known by at the bank
        #[arg(long)]
        reference: String,
    },
    /// Reject a payout
    #[command(
        after_help = "Example:\n  weft-hub payout reject 01920c1e-7b8a-7000-8000-000000000000 \
                            --reason no-bank-account"
    )]
    Reject {
        /// Id of the payout
        payout: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// List payouts
    #[command(after_help = "Example:\n  weft-hub payout list --owner bob --csv > payouts.csv")]
    List {
        /// Name or id of an owner
        #[arg(long)]
        owner: Option<String>,
        /// Print CSV
        #[arg(long)]
        csv: bool,
    },
}

impl Payout {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        let payout: PayoutView = match self {
            Self::Request { owner, amount, reason } => {
                hub.post("/api/v1/payouts", &NewPayout { owner, amount, reason }).await?
            }
            Self::Approve { payout, reference } => {
                let path = format!("/api/v1/payouts/{}/approve", escape(&payout));
                hub.post(&path, &PayoutDecision { reference }).await?
            }
            Self::Reject { payout, reason } => {
                let path = format!("/api/v1/payouts/{}/reject", escape(&payout));
                hub.post(&path, &PayoutDecision { reference: reason }).await?
            }
            Self::List { owner, csv } => return list(hub, out, owner, csv).await,
        };
        let text = format!("payout {} of {} USD is {}", payout.id, payout.amount, payout.state);
        Ok(out.value(&payout, &text)?)
    }
}

async fn list(
    hub: &AdminClient,
    out: &mut Output,
    owner: Option<String>,
    csv: bool,
) -> anyhow::Result<()> {
    let path = match owner {
        Some(owner) => format!("/api/v1/payouts?owner={}", escape(&owner)),
        None => "/api/v1/payouts".to_owned(),
    };
    let payouts: Vec<PayoutView> = hub.all(&path).await?;
    let columns = ["ID", "OWNER", "AMOUNT", "STATE", "REFERENCE", "REQUESTED", "DECIDED"];
    let cells = |payout: &PayoutView| {
        [
            payout.id.clone(),
            payout.owner.clone(),
            payout.amount.clone(),
            payout.state.clone(),
            or_dash(payout.reference.as_ref()),
            payout.requested_at.clone(),
            or_dash(payout.decided_at.as_ref()),
        ]
    };
    if csv {
        return Ok(out.csv(&payouts, columns, cells)?);
    }
    Ok(out.table(&payouts, columns, cells)?)
}
