//! What a command prints: JSON for scripts, or lines for people.

use serde::Serialize;
use std::io::{self, Write};
use weft_proto::time::Timestamp;

/// Standard output, and the form that was asked for.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `value` as JSON, or else `text`.
    pub(super) fn value(&mut self, value: &impl Serialize, text: &str) -> io::Result<()> {
        if self.json {
            let json = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
            return print(&json);
        }
        print(text)
    }

    /// Prints a secret alone on its line, so that a script can take it, and `note` beside it.
    pub(super) fn secret(
        &mut self,
        value: &impl Serialize,
        secret: &str,
        note: &str,
    ) -> io::Result<()> {
        if !self.json {
            eprintln!("{note}");
        }
        self.value(value, secret)
    }

    /// Prints `rows` as a JSON array, or else as a table of `columns`.
    pub(super) fn table<T: Serialize, const N: usize>(
        &mut self,
        rows: &[T],
        columns: [&str; N],
        cells: impl Fn(&T) -> [String; N],
    ) -> io::Result<()> {
        if rows.is_empty() {
            return self.value(&rows, "none");
        }
        self.report(&rows, rows, columns, cells)
    }

    /// Prints `rows` as CSV with a line of `columns`, whatever else was asked for.
    pub(super) fn csv<T, const N: usize>(
        &mut self,
        rows: &[T],
        columns: [&str; N],
        cells: impl Fn(&T) -> [String; N],
    ) -> io::Result<()> {
        let line = |cells: [String; N]| cells.map(|cell| field(&cell)).join(",");
        let head = columns.map(|column| column.to_lowercase().replace(' ', "_"));
        let mut lines = vec![head.join(",")];
        lines.extend(rows.iter().map(|row| line(cells(row))));
        print(&lines.join("\n"))
    }

    /// Prints `value` as JSON, or else `rows` as a table of `columns`.
    pub(super) fn report<T, const N: usize>(
        &mut self,
        value: &impl Serialize,
        rows: &[T],
        columns: [&str; N],
        cells: impl Fn(&T) -> [String; N],
    ) -> io::Result<()> {
        if self.json {
            return self.value(value, "");
        }
        let mut lines = vec![columns.map(str::to_owned)];
        lines.extend(rows.iter().map(|row| cells(row).map(|cell| shown(&cell))));
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let text = lines.iter().map(|line| {
            let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        });
        print(&text.collect::<Vec<_>>().join("\n"))
    }
}

/// A field of CSV (RFC 4180). What a spreadsheet would take for a formula is made text.
fn field(cell: &str) -> String {
    let cell = shown(cell);
    let number = cell.parse::<weft_proto::money::NanoUsd>().is_ok();
    let formula = cell.starts_with(['=', '+', '-', '@']) && !number && cell != "-";
    let cell = if formula { format!("'{cell}") } else { cell };
    if cell.contains([',', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// A cell as a terminal may be given it: agents name their accounts, and a name could hold sequences
/// that move the cursor.
fn shown(cell: &str) -> String {
    cell.chars()
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect()
}

/// A cell for what may be missing.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A time as people and scripts read it: RFC 3339, UTC, whole seconds.
pub(super) fn time_text(time: Timestamp) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    // Out of range only for years after 9999: the number still says when.
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_csv_is_quoted_and_is_never_a_formula() {
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(field("=cmd()"), "'=cmd()");
        assert_eq!(field("-1.50"), "-1.50");
        assert_eq!(field("-"), "-");
    }

    #[test]
    fn a_cell_cannot_move_the_cursor() {
        assert_eq!(shown("main\u{1b}[2J\r\n"), "main\u{fffd}[2J\u{fffd}\u{fffd}");
        assert_eq!(shown("Zoë's"), "Zoë's");
    }
}
