//! `weft-hub ledger disputes|findings|finding|decide`, and evidence judged offline: what is held back
//! from agents, what proves it, and what a person decides.
//!
//! Evidence is a file of the hub's own layout whose SHA-256 is the finding's id. Judging it needs the
//! keys in the data directory, and neither a running hub nor a database.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weft_certs::Authority;
use weft_hub::admin::{DisputeDecision, DisputeView, EvidenceView, LedgerFindingView};
use weft_hub::app::CERTS_DIR;
use weft_hub::ledger::claims::{Evidence, TicketSealer};
use weft_hub::ledger_key::{LEDGER_KEY_FILE, LedgerKey};
use weft_proto::entropy::OsEntropy;
use weft_store::EVIDENCE_BYTES_MAX;

/// What is decided about a dispute.
#[derive(Debug, clap::Args)]
pub(super) struct Decide {
    /// The id of the exchange
    exchange: String,
    /// Pay the agent this much, decimal USD
    #[arg(
        long,
        value_name = "AMOUNT",
        required_unless_present = "refuse",
        conflicts_with = "refuse"
    )]
    pay: Option<String>,
    /// Pay nothing, for good
    #[arg(long)]
    refuse: bool,
    /// Why; it stands in the hub's journal
    #[arg(long)]
    reason: String,
}

pub(super) async fn disputes(hub: &AdminClient, out: &mut Output, csv: bool) -> anyhow::Result<()> {
    let disputes: Vec<DisputeView> = hub.all("/api/v1/ledger/disputes").await?;
    let columns =
        ["EXCHANGE", "OWNER", "AGENT", "MODEL", "INCOME", "COVERED", "DUE", "FINDING", "ID"];
    let cells = |row: &DisputeView| {
        let newest = row.findings.first();
        [
            row.exchange.clone(),
            or_dash(row.owner.as_ref()),
            or_dash(row.agent.as_ref()),
            or_dash(row.model.as_ref()),
            row.income.clone(),
            row.covered.clone(),
            row.due_at.clone(),
            or_dash(newest.map(|found| &found.name)),
            or_dash(newest.map(|found| &found.id)),
        ]
    };
    if csv {
        return Ok(out.csv(&disputes, columns, cells)?);
    }
    Ok(out.table(&disputes, columns, cells)?)
}

pub(super) async fn findings(
    hub: &AdminClient,
    out: &mut Output,
    agent: Option<String>,
    csv: bool,
) -> anyhow::Result<()> {
    let agent = agent.map(|agent| format!("?agent={}", escape(&agent))).unwrap_or_default();
    let found: Vec<LedgerFindingView> = hub.all(&format!("/api/v1/ledger/findings{agent}")).await?;
    let columns = ["ID", "FINDING", "AGENT", "ENTRY", "EXCHANGE", "FOUND"];
    let cells = |row: &LedgerFindingView| {
        [
            row.id.clone(),
            row.name.clone(),
            row.agent.clone(),
            format!("{}/{}", row.epoch, row.seq),
            or_dash(row.exchange.as_ref()),
            row.found_at.clone(),
        ]
    };
    if csv {
        return Ok(out.csv(&found, columns, cells)?);
    }
    Ok(out.table(&found, columns, cells)?)
}

pub(super) async fn finding(
    hub: &AdminClient,
    out: &mut Output,
    id: &str,
    to: Option<&Path>,
) -> anyhow::Result<()> {
    let found: EvidenceView = hub.get(&format!("/api/v1/ledger/findings/{}", escape(id))).await?;
    let LedgerFindingView { id, name, agent, epoch, seq, exchange, found_at } = &found.finding;
    let exchange = or_dash(exchange.as_ref());
    let mut text = format!(
        "finding   {name}\nid        {id}\nagent     {agent}\nentry     {epoch}/{seq}\n\
         exchange  {exchange}\nfound     {found_at}"
    );
    if let Some(to) = to {
        let evidence = STANDARD.decode(&found.evidence).context("the hub's answer is damaged")?;
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
        written
            .and_then(|mut file| file.write_all(&evidence).and_then(|()| file.sync_all()))
            .with_context(|| format!("{} cannot be made", to.display()))?;
        let (to, bytes) = (to.display(), evidence.len());
        text.push_str(&format!(
            "\nevidence  {bytes} bytes in {to}: judge it anew with \"weft-hub ledger verify \
             --evidence {to}\""
        ));
    }
    Ok(out.value(&found, &text)?)
}

pub(super) async fn decide(
    hub: &AdminClient,
    out: &mut Output,
    said: Decide,
) -> anyhow::Result<()> {
    let Decide { exchange, pay, refuse: _, reason } = said;
    let path = format!("/api/v1/ledger/disputes/{}/decide", escape(&exchange));
    let decided: DisputeView = hub.post(&path, &DisputeDecision { pay, reason }).await?;
    let text = format!(
        "{}: {}, {} USD of {} USD; its agent hears of it when it claims again",
        decided.exchange, decided.state, decided.paid, decided.income
    );
    Ok(out.value(&decided, &text)?)
}

/// What evidence shows.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    agent: String,
    /// The finding's name; nothing where the evidence proves nothing.
    finding: Option<&'static str>,
}

/// Judges evidence anew by the keys of the data directory. The exit code is 1 where it proves
/// nothing.
pub(super) fn judge(data: &Path, file: &PathBuf, out: &mut Output) -> anyhow::Result<ExitCode> {
    let named = || file.display().to_string();
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).with_context(named)?;
    opened.take(EVIDENCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).with_context(named)?;
    ensure!(bytes.len() <= EVIDENCE_BYTES_MAX, "{} is longer than any evidence", file.display());
    let evidence = Evidence::decode(&bytes).with_context(named)?;
    let hub = Authority::audit(&data.join(CERTS_DIR))?.hub;
    let sealer = TicketSealer::existing(data)?;
    let key = data.join(LEDGER_KEY_FILE);
    ensure!(key.is_file(), "{} is missing: restore it from a backup", key.display());
    let keys = LedgerKey::open(data, &OsEntropy)?.keys();
    let id: String = evidence.id().iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = Shown {
        id,
        agent: evidence.agent.to_string(),
        finding: evidence.finds(hub, &sealer, &keys),
    };
    let text = match shown.finding {
        Some(name) => format!("it proves {name} of agent {}: finding {}", shown.agent, shown.id),
        None => format!("it proves nothing against agent {}", shown.agent),
    };
    out.value(&shown, &text)?;
    Ok(if shown.finding.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
