//! The words of `weft-certs`. Prints to the writer it is given; never prints a token or a key.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use weft_certs::{CertSummary, Invite, MAX_INVITE_LEN, summaries};

/// Shows the certificates, pins and invites of a Weft mesh.
#[derive(Debug, Parser)]
#[command(
    name = "weft-certs",
    version,
    after_help = "Example:\n  weft-certs inspect hub-data/certs/node.pem"
)]
pub(crate) struct Cli {
    /// Print JSON for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Show subject, names, usages, validity and key hash of each certificate in a PEM file.
    #[command(after_help = "Example:\n  weft-certs inspect hub-data/certs/node.pem --json")]
    Inspect {
        /// The PEM file.
        file: PathBuf,
    },
    /// Show the pin of an authority's certificate.
    #[command(after_help = "Example:\n  weft-certs pin hub-data/certs/next-node-ca.pem")]
    Pin {
        /// The PEM file of the authority.
        file: PathBuf,
    },
    /// Show addresses, pins and expiry of an invite, without its token.
    #[command(after_help = "Example:\n  weft-certs invite - < invite.txt")]
    Invite {
        /// The invite, or `-` to read it from stdin and keep it out of the process list.
        text: String,
    },
}

impl Cli {
    /// Does what was asked and prints the answer to `out`.
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        match self.word {
            Word::Inspect { file } => inspect(&file, self.json, out),
            Word::Pin { file } => pin(&file, self.json, out),
            Word::Invite { text } => invite(&text, self.json, out),
        }
    }
}

fn inspect(file: &Path, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let certs = summaries(file)?;
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&certs)?)?;
        return Ok(());
    }
    let texts: Vec<_> = certs.iter().map(ToString::to_string).collect();
    writeln!(out, "{}", texts.join("\n\n"))?;
    Ok(())
}

fn pin(file: &Path, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let certs = summaries(file)?;
    let authorities: Vec<&CertSummary> = certs.iter().filter(|cert| cert.authority).collect();
    let [authority] = authorities.as_slice() else {
        anyhow::bail!("{} does not hold exactly one authority's certificate", file.display());
    };
    if json {
        writeln!(out, "{}", serde_json::json!({ "pin": authority.spki }))?;
    } else {
        writeln!(out, "{}", authority.spki)?;
    }
    Ok(())
}

fn invite(text: &str, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let invite: Invite = if text == "-" {
        let limit = u64::try_from(MAX_INVITE_LEN)?.saturating_add(2);
        std::io::read_to_string(std::io::stdin().lock().take(limit))
            .context("reading stdin")?
            .parse()?
    } else {
        text.parse()?
    };
    let expiry = i64::try_from(invite.expiry().as_secs())
        .ok()
        .and_then(|secs| jiff::Timestamp::from_second(secs).ok())
        .map_or_else(|| "never".to_owned(), |moment| moment.to_string());
    let addresses: Vec<_> = invite.addresses().iter().map(ToString::to_string).collect();
    if json {
        let shown = serde_json::json!({
            "hub": invite.hub(),
            "addresses": addresses,
            "pins": { "current": invite.pins().current, "next": invite.pins().next },
            "expiry": expiry,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        return Ok(());
    }
    writeln!(out, "hub        {}", invite.hub())?;
    writeln!(out, "addresses  {}", addresses.join(", "))?;
    writeln!(out, "current    {}", invite.pins().current)?;
    writeln!(out, "next       {}", invite.pins().next)?;
    writeln!(out, "expires    {expiry}")?;
    Ok(())
}
