//! `weft-hub credit`: money of users, and codes that give it.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use super::span::Span;
use weft_hub::admin::{AddedCodes, BatchView, CreditView, NewCodes, NewCredit};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Credit {
    /// Write down money that came in for a user
    #[command(after_help = "Example:\n  weft-hub credit add alice 10.00 --reason invoice-17")]
    Add {
        /// Name or id of the user
        user: String,
        /// Decimal USD
        amount: String,
        /// What it is known by elsewhere
        #[arg(long)]
        reason: Option<String>,
    },
    /// Correct a user's balance, up or down
    #[command(after_help = "Example:\n  weft-hub credit adjust alice -2.50 --reason paid-twice")]
    Adjust {
        /// Name or id of the user
        user: String,
        /// Decimal USD; below zero to take
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Write down money that went back to a user
    #[command(after_help = "Example:\n  weft-hub credit refund alice 5.00 --reason closed")]
    Refund {
        /// Name or id of the user
        user: String,
        /// Decimal USD
        amount: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Give a user promotional credit, which nobody is ever paid out
    #[command(after_help = "Example:\n  weft-hub credit promo alice 5.00")]
    Promo {
        /// Name or id of the user
        user: String,
        /// Decimal USD
        amount: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Make codes that give promotional credit, and print them: the only time that they are shown
    #[command(after_help = "Example:\n  weft-hub credit codes 5.00 --count 20 --expires 90d")]
    Codes {
        /// Decimal USD that each gives
        amount: String,
        /// How many
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// How long they may be redeemed, such as 90d; for ever where not given
        #[arg(long, value_name = "SPAN")]
        expires: Option<Span>,
    },
    /// List the batches of codes
    #[command(after_help = "Example:\n  weft-hub credit batches")]
    Batches,
}

impl Credit {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        let (user, kind, amount, reason) = match self {
            Self::Add { user, amount, reason } => (user, "deposit", amount, reason),
            Self::Adjust { user, amount, reason } => (user, "adjustment", amount, Some(reason)),
            Self::Refund { user, amount, reason } => (user, "refund", amount, Some(reason)),
            Self::Promo { user, amount, reason } => (user, "promotion", amount, reason),
            Self::Codes { amount, count, expires } => {
                let expires_in_seconds = expires.map(|span| span.seconds);
                let new = NewCodes { count, amount, expires_in_seconds };
                let added: AddedCodes = hub.post("/api/v1/codes", &new).await?;
                let note = format!("batch {}; the codes are shown this once:", added.batch);
                return Ok(out.secret(&added, &added.codes.join("\n"), &note)?);
            }
            Self::Batches => {
                let batches: Vec<BatchView> = hub.all("/api/v1/codes").await?;
                let columns = ["ID", "AMOUNT", "CODES", "REDEEMED", "CREATED", "EXPIRES"];
                return Ok(out.table(&batches, columns, |batch| {
                    [
                        batch.id.clone(),
                        batch.amount.clone(),
                        batch.codes.to_string(),
                        batch.redeemed.to_string(),
                        batch.created_at.clone(),
                        or_dash(batch.expires_at.as_ref()),
                    ]
                })?);
            }
        };
        let path = format!("/api/v1/users/{}/credit", escape(&user));
        let new = NewCredit { kind: kind.to_owned(), amount, reason };
        let done: CreditView = hub.post(&path, &new).await?;
        let text =
            format!("{} of {} USD; the balance is {} USD", done.kind, done.amount, done.balance);
        Ok(out.value(&done, &text)?)
    }
}
