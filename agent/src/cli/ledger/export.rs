//! Every exchange as a row: CSV for spreadsheets, JSON lines for programs.

use super::{CliError, DataArg, When, shown, sound};
use crate::ledger::statement::{Row, rows};
use clap::Args;
use serde_json::{Map, Value, json};
use std::io::{self, BufWriter, Write};

/// Arguments of `ledger export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    data: DataArg,
    #[command(flatten)]
    when: When,
    /// One JSON object a line, instead of CSV
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// CSV with a line of names (the default)
    #[arg(long)]
    csv: bool,
}

/// The columns of a CSV, which are the fields of the JSON too.
const COLUMNS: [&str; 25] = [
    "epoch",
    "seq",
    "exchange",
    "attempt",
    "account",
    "provider",
    "model",
    "opened_at",
    "closed_at",
    "end",
    "status",
    "basis",
    "service_tier",
    "geo",
    "usage",
    "bytes_up",
    "bytes_down",
    "book",
    "tier_ppm",
    "cap_nanos",
    "list_pico",
    "claimed_nanos",
    "verdict",
    "income_nanos",
    "charged_although_refused",
];

impl Export {
    pub(super) fn execute(self) -> Result<(), CliError> {
        let data = self.data.existing()?;
        let idle = !data.is_running()?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut written = if self.json { Ok(()) } else { writeln!(out, "{}", COLUMNS.join(",")) };
        let reading = rows(&data, &self.when.range(), idle, |row| {
            if written.is_ok() {
                let row = fields(row);
                written =
                    if self.json { json_line(&mut out, row) } else { csv_line(&mut out, &row) };
            }
        })?;
        match written.and_then(|()| out.flush()) {
            Ok(()) => {}
            // A reader that has seen enough (`| head`) is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error.into()),
        }
        sound(&reading)
    }
}

fn json_line(out: &mut impl Write, row: [Value; 25]) -> io::Result<()> {
    let names = COLUMNS.into_iter().map(str::to_owned);
    let object: Map<String, Value> = names.zip(row).collect();
    writeln!(out, "{}", Value::Object(object))
}

fn csv_line(out: &mut impl Write, row: &[Value; 25]) -> io::Result<()> {
    let cells: Vec<String> = row.iter().map(cell).collect();
    writeln!(out, "{}", cells.join(","))
}

/// A cell. Text that a spreadsheet could take for a formula is given a quote before it.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        Value::Object(units) => {
            let units: Vec<String> =
                units.iter().map(|(class, count)| format!("{class}={count}")).collect();
            units.join(" ")
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn fields(row: &Row) -> [Value; 25] {
    let Row { position, opened_at, closed_at, open, close, word } = row;
    let open = open.as_ref();
    let terms = open.and_then(|open| open.ticket.terms.as_ref());
    let usage: Map<String, Value> =
        close.usage.iter().map(|(class, units)| (class.name().to_owned(), json!(units))).collect();
    [
        json!(position.epoch),
        json!(position.seq),
        json!(close.exchange),
        json!(close.attempt),
        json!(open.map(|open| open.ticket.account)),
        json!(open.map(|open| open.provider)),
        json!(terms.map(|terms| &terms.model)),
        json!(opened_at.map(shown)),
        json!(shown(*closed_at)),
        json!(close.end.name()),
        json!(close.status),
        json!(close.basis.name()),
        json!(close.tier.name()),
        json!(close.geo.name()),
        Value::Object(usage),
        json!(close.bytes_up),
        json!(close.bytes_down),
        json!(terms.map(|terms| terms.book.to_string())),
        json!(terms.map(|terms| terms.tier.ppm())),
        json!(terms.map(|terms| terms.cap.nanos())),
        // Wider than the numbers of other programs: as text.
        json!(close.list.map(|list| list.pico().to_string())),
        json!(close.income.nanos()),
        json!(word.map(|(verdict, _)| verdict.name())),
        json!(word.map(|(_, amount)| amount.nanos())),
        json!(close.charged_although_refused),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_neither_a_formula_nor_two_cells() {
        assert_eq!(cell(&json!("=1+1")), "'=1+1");
        assert_eq!(cell(&json!("a,\"b\"")), "\"a,\"\"b\"\"\"");
        assert_eq!(cell(&json!(-4)), "-4");
        assert_eq!(cell(&json!({"input": 3, "output": 4})), "input=3 output=4");
        assert_eq!(cell(&Value::Null), "");
    }
}
