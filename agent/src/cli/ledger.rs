//! `weft-agent ledger verify | statement | export | evidence`: offline, read-only, also beside a running agent.

mod compared;
mod export;

pub use export::Export;

use super::{CliError, DataArg, print_json, print_line};
use crate::ledger::LedgerError;
use crate::ledger::broken::{BrokenWords, HubFinding};
use crate::ledger::evidence::{digits, gather, written};
use crate::ledger::read::{Reading, pinned, read};
use crate::ledger::statement::{Sums, statement};
use clap::{Args, Subcommand};
use compared::{Compared, compare};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use weft_proto::ledger::journal::Sightings;
use weft_proto::ledger::verify::{Check, Finding, Trust};
use weft_proto::ledger::{Entry, PublicKey};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// Findings shown to a person at most; `--json` shows all that were kept.
const FINDINGS_SHOWN_MAX: usize = 20;

/// What can be done with the ledger.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Prove the whole ledger: bytes, chain, trees, signatures, claims and acknowledgements
    #[command(after_help = "Examples:\n  weft-agent ledger verify --data /var/lib/weft-agent\n  \
        weft-agent ledger verify --json | jq -r '.findings[].check'\n  \
        weft-agent ledger verify --against other-agent.evidence\n\n\
        Nothing is changed and nobody is asked. The exit code is 0 where everything holds, 1 where \
        the ledger does not, and 3 where the hub is proven to have broken its word: changed_receipt, \
        two_faces or old_head.")]
    Verify(Verify),
    /// Show what was claimed and what the hub acknowledged, by account
    #[command(
        after_help = "Example:\n  weft-agent ledger statement --from 2026-11-01 --to 2026-12-01"
    )]
    Statement(Statement),
    /// Write every exchange as a row
    #[command(
        after_help = "Example:\n  weft-agent ledger export --csv --from 2026-11-01 > november.csv"
    )]
    Export(Export),
    /// Write what the hub has shown of its own journal, under its signature, for another agent of the
    /// same hub to compare with
    #[command(after_help = "Example:\n  weft-agent ledger evidence > mine.evidence\n\n\
        The file holds checkpoints of this ledger (its size, never an exchange) and hashes.")]
    Evidence(Evidence),
}

/// Arguments of `ledger verify`.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    data: DataArg,
    /// A ledger key of the hub, 64 hexadecimal digits; without one, the key that this agent has
    /// pinned
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    hub_key: Vec<PublicKey>,
    /// What another agent of the same hub was shown (`ledger evidence`), or this one at another time:
    /// two journals, or an old one, are found out
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ledger evidence`.
#[derive(Debug, Args)]
pub struct Evidence {
    #[command(flatten)]
    data: DataArg,
}

/// Arguments of `ledger statement`.
#[derive(Debug, Args)]
pub struct Statement {
    #[command(flatten)]
    data: DataArg,
    #[command(flatten)]
    when: When,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// From when to when.
#[derive(Debug, Args)]
pub struct When {
    /// First moment: a date in UTC or an RFC 3339 time
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    from: Option<Timestamp>,
    /// First moment after it
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    to: Option<Timestamp>,
}

impl When {
    fn range(&self) -> Range<Timestamp> {
        let from = self.from.unwrap_or(Timestamp::from_micros(0));
        from..self.to.unwrap_or(Timestamp::from_micros(u64::MAX))
    }
}

fn parse_key(text: &str) -> Result<PublicKey, &'static str> {
    digits(text).map(PublicKey::new).ok_or("want 64 hexadecimal digits")
}

fn parse_when(text: &str) -> Result<Timestamp, &'static str> {
    let date = || {
        let date: jiff::civil::Date = text.parse().ok()?;
        date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(date);
    let micros = instant.and_then(|instant| u64::try_from(instant.as_microsecond()).ok());
    let wanted = "want a date such as 2026-11-01 or a time such as 2026-11-01T08:00:00Z";
    micros.map(Timestamp::from_micros).ok_or(wanted)
}

/// A time as people and spreadsheets read it.
fn shown(at: Timestamp) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| micros.to_string(), |at| at.to_string())
}

/// Nano-USD of any size as USD, in the words of the hub: at least two decimals, and no idle zeros.
fn usd(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, part) =
        (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let part = format!("{part:09}");
    let kept = part.trim_end_matches('0').len().max(2);
    format!("{sign}{whole}.{}", &part[..kept])
}

impl Ledger {
    pub(super) fn execute(self) -> Result<(), CliError> {
        match self {
            Self::Verify(verify) => verify.execute(),
            Self::Statement(statement) => statement.execute(),
            Self::Export(export) => export.execute(),
            Self::Evidence(evidence) => evidence.execute(),
        }
    }
}

impl Verify {
    fn execute(self) -> Result<(), CliError> {
        let data = self.data.existing()?;
        let idle = !data.is_running()?;
        let mut hub_keys = self.hub_key;
        if hub_keys.is_empty() {
            hub_keys.extend(pinned(&data)?);
        }
        let mut broken = BrokenWords::read(&data)?;
        let mut shown = Sightings::default();
        let trust = Trust { hub_keys: hub_keys.clone(), ..Trust::default() };
        let each = |entry: &Entry| {
            broken.see(entry);
            shown.see(entry);
        };
        let reading = match read(&data, trust, idle, each) {
            Err(LedgerError::Corrupt(corruption)) if self.json => {
                print_json(&json!({"ok": false, "corrupt": corruption.to_string()}))?;
                return Err(LedgerError::Corrupt(corruption).into());
            }
            read => read?,
        };
        let agent = reading.verifier.epoch().map(|epoch| epoch.agent);
        let mut broken = broken.findings(agent, &hub_keys);
        let own = reading.verifier.findings().iter().filter(|finding| is_hubs(finding.check));
        broken.extend(own.map(|finding| HubFinding { finding: *finding, rule: None }));
        let compared = compare(&self.against, &shown, &hub_keys)?;
        if self.json {
            let mut verdict = verdict(&reading, idle);
            verdict["hub_findings"] = broken.iter().map(hub_found).collect();
            verdict["compared"] = compared.iter().map(Compared::view).collect();
            print_json(&verdict)?;
        } else {
            tell(&reading, idle)?;
            for HubFinding { finding, rule } in broken.iter().take(FINDINGS_SHOWN_MAX) {
                let rule = rule.map_or_else(String::new, |rule| format!(" ({})", rule.says()));
                print_line(&format!("THE HUB BROKE ITS WORD: {finding}{rule}"))?;
            }
            for compared in &compared {
                print_line(&compared.sentence())?;
            }
        }
        sound(&reading)?;
        let checks = broken.iter().map(|found| found.finding.check.name());
        let checks = checks.chain(compared.iter().filter_map(Compared::check));
        let checks: BTreeSet<_> = checks.collect();
        if checks.is_empty() {
            return Ok(());
        }
        Err(CliError::HubBroke { checks: checks.into_iter().collect::<Vec<_>>().join(", ") })
    }
}

/// Whether a check of the log speaks of the hub and not of the agent.
fn is_hubs(check: Check) -> bool {
    matches!(check, Check::OldHead | Check::TwoFaces | Check::ChangedReceipt)
}

fn hub_found(HubFinding { finding, rule }: &HubFinding) -> Value {
    let mut value = found(finding);
    value["rule"] = json!(rule.map(Check::name));
    value
}

fn found(finding: &Finding) -> Value {
    json!({
        "check": finding.check.name(), "epoch": finding.position.epoch,
        "seq": finding.position.seq, "says": finding.check.says(),
    })
}

/// The command fails where the ledger does not hold. What the hub broke is no fault of the ledger.
fn sound(reading: &Reading) -> Result<(), CliError> {
    match unsound(reading) {
        0 => Ok(()),
        found => Err(CliError::LedgerUnsound { found }),
    }
}

/// How much does not hold that is not the hub's doing.
fn unsound(reading: &Reading) -> u64 {
    let verifier = &reading.verifier;
    let hubs = verifier.findings().iter().filter(|finding| is_hubs(finding.check)).count();
    verifier.found().saturating_sub(hubs as u64)
}

fn verdict(reading: &Reading, idle: bool) -> Value {
    let (totals, head) = (reading.verifier.totals(), reading.verifier.head());
    let findings = reading.verifier.findings().iter().map(found);
    let epoch = reading.verifier.epoch();
    let cosigned = reading.verifier.cosigned_head();
    json!({
        "ok": unsound(reading) == 0,
        "agent": epoch.map(|epoch| epoch.agent), "hub": epoch.map(|epoch| epoch.hub),
        "key": epoch.map(|epoch| epoch.key.to_string()),
        "epoch": head.epoch, "size": head.size, "root": head.root.to_string(),
        "last": head.last.to_string(), "entries": totals.entries, "running": !idle,
        "cosigned": cosigned.map(|head| json!({"epoch": head.epoch, "size": head.size})),
        "torn_bytes": reading.torn.as_ref().map_or(0, |torn| torn.bytes),
        "opened": totals.opened, "closed_proper": totals.closed_proper,
        "closed_cut": totals.closed_cut, "closed_interrupted": totals.closed_interrupted,
        "paid": totals.paid, "refused": totals.refused,
        "waiting": reading.verifier.unacknowledged().count(),
        "claimed_usd": usd(totals.claimed_nanos), "income_usd": usd(totals.income_nanos),
        "income_nanos": totals.income_nanos.to_string(),
        "hub_keys": totals.hub_keys.keys().map(ToString::to_string).collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(), "found": reading.verifier.found(),
        "hub_journal": reading.verifier.witness().head().map(|head| head.size),
        "hub_restored": reading.verifier.lost().iter().map(|(at, lost)| {
            json!({"epoch": at.epoch, "seq": at.seq, "lost_size": lost.size})
        }).collect::<Vec<_>>(),
    })
}

fn tell(reading: &Reading, idle: bool) -> Result<(), CliError> {
    let (totals, head) = (reading.verifier.totals(), reading.verifier.head());
    let Some(epoch) = reading.verifier.epoch() else {
        return print_line("the ledger is empty");
    };
    print_line(&format!("agent {} of hub {}", epoch.agent, epoch.hub))?;
    print_line(&format!("{} entries, epoch {}, root {}", totals.entries, head.epoch, head.root))?;
    if let Some(cosigned) = reading.verifier.cosigned_head() {
        print_line(&format!("cosigned up to entry {}.{}", cosigned.epoch, cosigned.size))?;
    }
    print_line(&format!(
        "{} exchanges: {} proper, {} cut, {} interrupted; {} without a final word of the hub",
        totals.opened,
        totals.closed_proper,
        totals.closed_cut,
        totals.closed_interrupted,
        reading.verifier.unacknowledged().count(),
    ))?;
    print_line(&format!(
        "claimed {} USD, acknowledged income {} USD",
        usd(totals.claimed_nanos),
        usd(totals.income_nanos)
    ))?;
    for key in totals.hub_keys.keys() {
        print_line(&format!("signed for the hub by {key}"))?;
    }
    if let Some(journal) = reading.verifier.witness().head() {
        print_line(&format!("the hub's own journal was shown up to entry {}", journal.size))?;
    }
    for (at, lost) in reading.verifier.lost().iter().take(FINDINGS_SHOWN_MAX) {
        print_line(&format!(
            "NOTE at {at} the hub says that it was restored from an older copy: of the {} entries \
             of its journal it lost some (hub_restored)",
            lost.size
        ))?;
    }
    if let Some(torn) = &reading.torn {
        let bytes = torn.bytes;
        print_line(&format!(
            "{bytes} bytes at the end are no entry{}",
            if idle { ": a torn tail, which the next start sets aside" } else { " yet" }
        ))?;
    }
    for finding in reading.verifier.findings().iter().take(FINDINGS_SHOWN_MAX) {
        print_line(&format!("WRONG {finding}"))?;
    }
    if reading.verifier.found() == 0 { print_line("the ledger holds") } else { Ok(()) }
}

impl Statement {
    fn execute(self) -> Result<(), CliError> {
        let data = self.data.existing()?;
        let idle = !data.is_running()?;
        let said = statement(&data, &self.when.range(), idle)?;
        if self.json {
            let accounts = said.accounts.iter().map(|(earner, sums)| {
                let mut value = view(sums);
                value["account"] = json!(earner.account);
                value["provider"] = json!(earner.provider);
                value
            });
            let accounts: Vec<Value> = accounts.collect();
            let sound = unsound(&said.reading) == 0;
            print_json(&json!({"accounts": accounts, "total": view(&said.total), "ok": sound}))?;
        } else {
            for (earner, sums) in &said.accounts {
                let account =
                    earner.account.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
                let provider = earner.provider.map_or("unknown", Provider::name);
                print_line(&format!("{account} {provider}: {}", sentence(sums)))?;
            }
            print_line(&format!("all: {}", sentence(&said.total)))?;
        }
        sound(&said.reading)
    }
}

impl Evidence {
    fn execute(self) -> Result<(), CliError> {
        let shown = gather(&self.data.existing()?)?;
        match written(&shown) {
            Some(text) => print_line(&text),
            None => Err(CliError::NothingShown),
        }
    }
}

fn view(sums: &Sums) -> Value {
    json!({
        "exchanges": sums.exchanges, "claimed_usd": usd(sums.claimed_nanos),
        "income_usd": usd(sums.income_nanos), "income_nanos": sums.income_nanos.to_string(),
        "waiting": sums.waiting, "waiting_usd": usd(sums.waiting_nanos),
        "disputed": sums.disputed, "refused": sums.refused,
    })
}

fn sentence(sums: &Sums) -> String {
    format!(
        "exchanges: {}; claimed {} USD, income {} USD; {} without a final word ({} USD), {} of them \
         disputed; {} refused",
        sums.exchanges,
        usd(sums.claimed_nanos),
        usd(sums.income_nanos),
        sums.waiting,
        usd(sums.waiting_nanos),
        sums.disputed,
        sums.refused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_or_times_and_nothing_else() {
        let day = Timestamp::from_secs(1_793_491_200);
        assert_eq!(parse_when("2026-11-01"), Ok(day));
        assert_eq!(parse_when("2026-11-01T00:00:00Z"), Ok(day));
        assert_eq!(shown(day), "2026-11-01T00:00:00Z");
        for bad in ["", "yesterday", "2026-13-01", "1969-01-01"] {
            assert!(parse_when(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sums_are_shown_to_the_nano() {
        assert_eq!(usd(1), "0.000000001");
        assert_eq!(usd(-12_500_000_000), "-12.50");
    }
}
