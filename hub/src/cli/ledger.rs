//! `weft-hub ledger`: where the money is, and whether it adds up.

use super::client::{AdminClient, escape};
use super::disputes;
use super::output::{Output, or_dash};
use anyhow::ensure;
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weft_hub::admin::{BalanceView, FindingView, LineView, StatementView, VerifyView, VestedView};
use weft_hub::app::{DataDir, LEDGER_DIR};
use weft_hub::ledger::{TicketAudit, TicketFinding};
use weft_hub::ledger_key::{LEDGER_KEY_FILE, LedgerKey};
use weft_proto::entropy::OsEntropy;

/// Whose money.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct Whose {
    /// Name or id of a user
    #[arg(long)]
    user: Option<String>,
    /// Name or id of an owner
    #[arg(long)]
    owner: Option<String>,
}

impl Whose {
    /// As parameters of a query.
    fn query(&self) -> Vec<String> {
        let user = self.user.as_ref().map(|user| format!("user={}", escape(user)));
        let owner = self.owner.as_ref().map(|owner| format!("owner={}", escape(owner)));
        user.into_iter().chain(owner).collect()
    }
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Ledger {
    /// Show balances: of a user, of an owner, or all
    #[command(after_help = "Example:\n  weft-hub ledger balance --user alice")]
    Balance {
        #[command(flatten)]
        whose: Whose,
        /// Print CSV
        #[arg(long)]
        csv: bool,
    },
    /// Show what came and went of a user's or an owner's money, the latest first
    #[command(after_help = "Example:\n  weft-hub ledger statement --user alice --from 2026-11-01 \
                            --csv > alice.csv")]
    Statement {
        #[command(flatten)]
        whose: Whose,
        /// From this date or time on
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Before this date or time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Print CSV
        #[arg(long)]
        csv: bool,
    },
    /// Hold the ledger against itself
    ///
    /// All debits against all credits, every balance against its transfers, every exchange against
    /// its postings, the hub's journal link by link, this node's journal of tickets against what was
    /// signed of it. What should not be has a name. The exit code is 1 where anything was found.
    ///
    /// With --tickets only the journal of tickets in the data directory is looked at, and no hub has
    /// to run. With --evidence a finding's evidence is judged anew instead, by the keys in the data
    /// directory and without a running hub; the exit code is 1 where it proves nothing.
    #[command(after_help = "Example:\n  weft-hub ledger verify --json && weft-hub ledger verify \
                            --evidence finding.bin")]
    Verify {
        /// Judge the evidence in this file, offline
        #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "tickets"])]
        evidence: Option<PathBuf>,
        /// Look at the journal of tickets alone, offline
        #[arg(long)]
        tickets: bool,
        /// Print CSV
        #[arg(long)]
        csv: bool,
    },
    /// List receipts that differ from the hub's own record, and what was found about each
    #[command(after_help = "Example:\n  weft-hub ledger disputes")]
    Disputes {
        /// Print CSV
        #[arg(long)]
        csv: bool,
    },
    /// List what was found wrong with agents' ledgers and claims, the latest first
    #[command(after_help = "Example:\n  weft-hub ledger findings --json")]
    Findings {
        /// The id of an agent
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// Print CSV
        #[arg(long)]
        csv: bool,
    },
    /// Show a finding, and write what proves it into a file
    #[command(after_help = "Example:\n  weft-hub ledger finding 5f3c --evidence finding.bin")]
    Finding {
        /// The id of the finding
        id: String,
        /// The file to make; it must not exist
        #[arg(long, value_name = "FILE")]
        evidence: Option<PathBuf>,
    },
    /// Decide a dispute, once
    ///
    /// What is paid is at most what the hub's own figures and the agent's claim say. The reason
    /// stands in the hub's journal, and the agent hears of it when it claims again, within about a
    /// minute.
    #[command(
        after_help = "Example:\n  weft-hub ledger decide 01920c1e-7b8a-7000-8000-000000000000 \
                            --refuse --reason counted-twice"
    )]
    Decide(disputes::Decide),
    /// Replace the key that signs acknowledgements, checkpoints and price books. The hub must not run
    ///
    /// The old key vouches for the new one and is deleted. Agents follow at their next connection,
    /// however many replacements they missed, and keep the old key for what it has signed. Make a
    /// backup afterwards: one of before has a key that agents do not go back to.
    #[command(after_help = "Example:\n  weft-hub ledger rotate-key --data ./weft-hub")]
    RotateKey,
    /// Move income whose dispute window is over to the owners' wallets now
    #[command(after_help = "Example:\n  weft-hub ledger vest")]
    Vest,
}

/// What `verify` prints as JSON.
#[derive(Debug, Serialize)]
struct Verified {
    agrees: bool,
    findings: Vec<FindingView>,
    exchanges: u64,
    journal: u64,
    tickets: Signed,
}

/// What was looked at of the journal of tickets.
#[derive(Debug, Serialize)]
struct Signed {
    records: u64,
    tickets: u64,
    checkpoints: u64,
    /// Records behind the last checkpoint.
    unsigned: u64,
    /// Bytes that were being written when the power went.
    torn: u64,
}

impl Ledger {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Balance { whose, csv } => balance(hub, out, &whose, csv).await?,
            Self::Statement { whose, from, until, csv } => {
                statement(hub, out, &whose, from, until, csv).await?;
            }
            Self::Disputes { csv } => disputes::disputes(hub, out, csv).await?,
            Self::Findings { agent, csv } => disputes::findings(hub, out, agent, csv).await?,
            Self::Finding { id, evidence } => {
                disputes::finding(hub, out, &id, evidence.as_deref()).await?;
            }
            Self::Decide(said) => disputes::decide(hub, out, said).await?,
            // Done without a hub, or not with a hub alone.
            Self::RotateKey | Self::Verify { .. } => {}
            Self::Vest => {
                let vested: VestedView = hub.command("/api/v1/ledger/vest").await?;
                let text = format!("the income of {} exchanges has vested", vested.exchanges);
                out.value(&vested, &text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Replaces the ledger key of a hub that does not run.
pub(super) fn rotate_key(data: &Path, out: &mut Output) -> anyhow::Result<()> {
    ensure!(data.join(LEDGER_KEY_FILE).is_file(), "there is no ledger key in {}", data.display());
    let held = DataDir::lock(data)?;
    let key = LedgerKey::rotate(data, &OsEntropy)?;
    drop(held);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let before: Vec<String> = key.handovers().iter().map(|word| hex(&word.from)).collect();
    let new = hex(key.public().as_bytes());
    let text = format!(
        "new key   {new}\nold keys  {}\nagents    follow when they connect next; make a backup now",
        before.join("\n          ")
    );
    Ok(out.value(&json!({"key": new, "before": before}), &text)?)
}

async fn balance(
    hub: &AdminClient,
    out: &mut Output,
    whose: &Whose,
    csv: bool,
) -> anyhow::Result<()> {
    let query = whose.query().join("&");
    let balances: Vec<BalanceView> =
        hub.all(&format!("/api/v1/ledger/balances{}{query}", joint(&query))).await?;
    let columns = ["ACCOUNT", "BALANCE", "HELD", "AVAILABLE"];
    let cells = |row: &BalanceView| {
        [row.account.clone(), row.balance.clone(), row.held.clone(), row.available.clone()]
    };
    if csv {
        return Ok(out.csv(&balances, columns, cells)?);
    }
    Ok(out.table(&balances, columns, cells)?)
}

async fn statement(
    hub: &AdminClient,
    out: &mut Output,
    whose: &Whose,
    from: Option<String>,
    until: Option<String>,
    csv: bool,
) -> anyhow::Result<()> {
    let mut query = whose.query();
    query.extend(from.map(|time| format!("from={}", escape(&time))));
    query.extend(until.map(|time| format!("until={}", escape(&time))));
    let path = format!("/api/v1/ledger/statement?{}", query.join("&"));
    let statement: StatementView = hub.get(&path).await?;
    let columns =
        ["AT", "AMOUNT", "WHAT", "ID", "MODEL", "INPUT", "OUTPUT", "BASIS", "INCOME", "MEMO"];
    let cells = |line: &LineView| {
        [
            line.at.clone(),
            line.amount.clone(),
            line.what.clone(),
            line.id.clone(),
            or_dash(line.model.as_ref()),
            or_dash(line.input),
            or_dash(line.output),
            or_dash(line.basis.as_ref()),
            or_dash(line.income.as_ref()),
            or_dash(line.memo.as_ref()),
        ]
    };
    if csv {
        out.csv(&statement.lines, columns, cells)?;
    } else {
        out.report(&statement, &statement.lines, columns, cells)?;
    }
    if statement.more {
        eprintln!("there is more: ask again with --until and the time of the last line");
    }
    Ok(())
}

/// Looks at the journal of tickets in the data directory, and at what the running hub says of the
/// rest, where there is one to ask.
pub(super) async fn verify(
    data: &Path,
    hub: Option<&AdminClient>,
    out: &mut Output,
    csv: bool,
) -> anyhow::Result<ExitCode> {
    let key = data.join(LEDGER_KEY_FILE);
    ensure!(key.is_file(), "{} is missing: restore it from a backup", key.display());
    let keys = LedgerKey::open(data, &OsEntropy)?.keys();
    let looked = TicketAudit::of(&data.join(LEDGER_DIR), &keys)?;
    let TicketAudit { records, tickets, checkpoints, unsigned, torn, findings } = looked;
    let view = |TicketFinding { name, detail }| FindingView { name: name.to_owned(), detail };
    let mut all = Verified {
        agrees: true,
        findings: findings.into_iter().map(view).collect(),
        exchanges: 0,
        journal: 0,
        tickets: Signed { records, tickets, checkpoints, unsigned, torn },
    };
    if let Some(hub) = hub {
        let mut page: VerifyView = hub.get("/api/v1/ledger/verify").await?;
        loop {
            all.findings.append(&mut page.findings);
            all.exchanges += page.exchanges;
            all.journal += page.journal;
            let Some(after) = &page.next else { break };
            page = hub.get(&format!("/api/v1/ledger/verify?after={after}")).await?;
        }
    }
    all.agrees = all.findings.is_empty();
    let cells = |found: &FindingView| [found.name.clone(), found.detail.clone()];
    if csv {
        out.csv(&all.findings, ["FINDING", "DETAIL"], cells)?;
    } else if all.agrees {
        let tickets = format!("{records} records of tickets, the last {unsigned} not signed yet");
        let text = match hub {
            Some(_) => format!(
                "the ledger agrees with itself: {} exchanges, {} journal entries, {tickets}",
                all.exchanges, all.journal
            ),
            None => format!("the journal of tickets is what was signed: {tickets}"),
        };
        out.value(&all, &text)?;
    } else {
        out.report(&all, &all.findings, ["FINDING", "DETAIL"], cells)?;
    }
    Ok(if all.agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn joint(query: &str) -> &'static str {
    if query.is_empty() { "" } else { "?" }
}
