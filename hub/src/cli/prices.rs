//! `weft-hub prices`: what exchanges cost.

use super::client::{AdminClient, escape};
use super::output::{Output, or_dash};
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use weft_hub::admin::{ActivationView, BooksView, DiffView, ImportedBook, RowView, WholeBookView};
use weft_hub::pricing::import::{Format, IMPORT_BYTES_MAX, Places};

/// The word that stands for the book in force.
const ACTIVE: &str = "active";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Prices {
    /// Read a price list and keep it as a book
    ///
    /// Only the four providers are taken. Whatever in an entry of theirs speaks of money and is not
    /// understood refuses the import; the answer names it.
    #[command(after_help = "Example:\n  weft-hub prices import prices.csv --activate")]
    Import {
        /// The file: LiteLLM's map, genai-prices' list, or a table in CSV
        file: PathBuf,
        /// litellm, genai or csv; guessed from the file where nothing is said
        #[arg(long)]
        format: Option<Format>,
        /// Import although something that speaks of money is not understood; the report says what
        #[arg(long)]
        accept_unread: bool,
        /// Put the book in force at once
        #[arg(long)]
        activate: bool,
    },
    /// List the kept books, the one in force marked
    #[command(after_help = "Example:\n  weft-hub prices list --json")]
    List,
    /// Show the rows of a book
    #[command(after_help = "Example:\n  weft-hub prices show --model gpt-5.4")]
    Show {
        /// The book's hash; the one in force where nothing is said
        hash: Option<String>,
        /// Only rows that this model matches
        #[arg(long)]
        model: Option<String>,
    },
    /// Show what two books differ in
    #[command(after_help = "Example:\n  weft-hub prices diff active HASH")]
    Diff {
        /// The first book's hash, or "active"
        from: String,
        /// The second book's hash, or "active"
        to: String,
    },
    /// Put a kept book in force
    #[command(after_help = "Example:\n  weft-hub prices activate HASH")]
    Activate {
        /// The book's hash
        hash: String,
    },
}

impl Prices {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Import { file, format, accept_unread, activate } => {
                let bytes = read(&file)?;
                let mut path =
                    format!("/api/v1/prices?accept_unread={accept_unread}&activate={activate}");
                if let Some(format) = format {
                    write!(path, "&format={format}")?;
                }
                if let Some(name) = file.file_name() {
                    write!(path, "&note={}", escape(&name.to_string_lossy()))?;
                }
                let imported: ImportedBook = hub.upload(&path, bytes).await?;
                Ok(out.value(&imported, &told(&imported)?)?)
            }
            Self::List => {
                let view: BooksView = hub.get("/api/v1/prices").await?;
                let columns = ["HASH", "ROWS", "NOTE", "IMPORTED", "IN FORCE SINCE"];
                Ok(out.report(&view, &view.books, columns, |book| {
                    let since = book.activated_at.as_ref().filter(|_| book.active);
                    [
                        book.hash.clone(),
                        book.rows.to_string(),
                        book.note.clone(),
                        book.imported_at.clone(),
                        or_dash(since),
                    ]
                })?)
            }
            Self::Show { hash, model } => {
                let hash = hash.as_deref().unwrap_or(ACTIVE);
                let mut path = format!("/api/v1/prices/{}", escape(hash));
                if let Some(model) = &model {
                    write!(path, "?model={}", escape(model))?;
                }
                let view: WholeBookView = hub.get(&path).await?;
                let columns =
                    ["PROVIDER", "MODEL", "TIER", "PLACE", "WHEN", "ABOVE", "FROM", "USD A UNIT"];
                Ok(out.report(&view, &view.rows, columns, cells)?)
            }
            Self::Diff { from, to } => {
                let path = format!("/api/v1/prices/{}/diff/{}", escape(&from), escape(&to));
                let view: DiffView = hub.get(&path).await?;
                let mut rows: Vec<(&str, &RowView)> = Vec::new();
                rows.extend(view.removed.iter().map(|row| ("-", row)));
                rows.extend(view.added.iter().map(|row| ("+", row)));
                for changed in &view.changed {
                    rows.push(("<", &changed.from));
                    rows.push((">", &changed.to));
                }
                let columns = [
                    "",
                    "PROVIDER",
                    "MODEL",
                    "TIER",
                    "PLACE",
                    "WHEN",
                    "ABOVE",
                    "FROM",
                    "USD A UNIT",
                ];
                Ok(out.report(&view, &rows, columns, |(mark, row)| {
                    let [provider, model, tier, place, when, above, from, prices] = cells(row);
                    [(*mark).to_owned(), provider, model, tier, place, when, above, from, prices]
                })?)
            }
            Self::Activate { hash } => {
                let path = format!("/api/v1/prices/{}/activate", escape(&hash));
                let view: ActivationView = hub.command(&path).await?;
                let text = format!("price book {} is in force since {}", view.hash, view.at);
                Ok(out.value(&view, &text)?)
            }
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("{} cannot be read", file.display());
    let mut bytes = Vec::new();
    let most = IMPORT_BYTES_MAX as u64;
    let opened = std::fs::File::open(file).with_context(failed)?;
    opened.take(most + 1).read_to_end(&mut bytes).with_context(failed)?;
    ensure!(bytes.len() as u64 <= most, "{} is longer than {most} bytes", file.display());
    Ok(bytes)
}

fn cells(row: &RowView) -> [String; 8] {
    let prices = row.prices.iter().map(|(class, price)| format!("{class} {price}"));
    let above = if row.above > 0 { row.above.to_string() } else { "-".to_owned() };
    [
        row.provider.clone(),
        row.model.clone(),
        row.tier.clone(),
        row.place.clone(),
        or_dash(row.when.as_ref()),
        above,
        or_dash(row.from.as_ref()),
        prices.collect::<Vec<_>>().join(", "),
    ]
}

/// What an import did, for people.
fn told(imported: &ImportedBook) -> anyhow::Result<String> {
    let report = &imported.report;
    let state = if imported.new { "imported" } else { "was imported before" };
    let mut text = format!("price book {} {state}: {} rows", imported.hash, report.rows);
    let entries = report.entries.iter().map(|(provider, count)| format!("{provider} {count}"));
    let entries = entries.collect::<Vec<_>>().join(", ");
    write!(text, "\nentries taken    {entries}; of other providers {}", report.others)?;
    let kinds: [(&str, &BTreeMap<String, Places>); 4] = [
        ("not understood", &report.unread),
        ("contradicted", &report.contradicted),
        ("rounded", &report.rounded),
        ("note", &report.notes),
    ];
    for (kind, met) in kinds {
        for (what, places) in met {
            write!(text, "\n{kind:<16} {what}: {} times, first {}", places.count, places.first)?;
        }
    }
    if imported.active {
        text += "\nin force         yes";
    } else {
        write!(text, "\nin force         no: weft-hub prices activate {}", imported.hash)?;
    }
    Ok(text)
}
