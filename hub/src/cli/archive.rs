//! A backup: one tar file with a table of contents at its head.
//!
//! The table names every file with its size and its SHA-256, in order; the files follow. Reading
//! holds the archive against its table, so that what is short, altered or added is never restored.
//! The last file is `hub.toml`: a directory with settings is a whole one.

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path};
use weft_hub::config::CONFIG_FILE;
use weft_proto::ids::HubId;

/// The version of the form that this program writes and reads.
pub(super) const FORMAT: u32 = 1;
/// The table of contents, the first file of the archive.
const TABLE: &str = "weft-backup.json";
/// The longest table that is read, bytes.
const TABLE_BYTES_MAX: u64 = 256 * 1024;
/// The most files in a backup.
const FILES_MAX: usize = 256;
/// The longest file beside the database, bytes.
pub(super) const SMALL_BYTES_MAX: u64 = 1024 * 1024;
/// The database inside the archive, whatever it is called in the data directory.
pub(super) const DATABASE: &str = "hub.sqlite";
/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;
/// Mode of every entry.
const ENTRY_MODE: u32 = 0o600;

/// The table of contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// The version of the form.
    pub(super) format: u32,
    /// Whose backup it is.
    pub(super) hub: HubId,
    /// When it was taken, in RFC 3339.
    pub(super) made_at: String,
    /// The version of the program that took it.
    pub(super) version: String,
    /// Where the settings keep the database: a path, or the URL of a server, without its password.
    pub(super) database: String,
    /// The files, in the order in which they follow.
    pub(super) files: Vec<Listed>,
}

/// One file of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Where it belongs, relative to the data directory.
    pub(super) path: String,
    /// Its length.
    pub(super) bytes: u64,
    /// The SHA-256 of what it holds, in lower-case hex.
    pub(super) sha256: String,
}

impl Listed {
    /// Reads the file at `from` to its end, to list it as `path`.
    pub(super) fn of(path: String, from: &Path) -> anyhow::Result<Self> {
        let mut sum = Sum::default();
        let file = File::open(from).with_context(|| from.display().to_string())?;
        copy(file, &mut sum).with_context(|| from.display().to_string())?;
        Ok(Self { path, bytes: sum.bytes, sha256: sum.hex() })
    }
}

/// Whether `path` stays inside of the directory that it is relative to.
pub(super) fn is_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Writes the archive: the table, then each of its files, which `open` opens.
pub(super) fn write(
    out: impl Write,
    table: &Table,
    mut open: impl FnMut(&Listed) -> io::Result<File>,
) -> anyhow::Result<()> {
    let mut archive = tar::Builder::new(out);
    let text = serde_json::to_vec_pretty(table)?;
    append(&mut archive, TABLE, text.len() as u64, text.as_slice())?;
    for listed in &table.files {
        let file = open(listed).with_context(|| listed.path.clone())?;
        // A file that grew meanwhile is cut at what was listed; reading the archive will tell.
        append(&mut archive, &listed.path, listed.bytes, file.take(listed.bytes))
            .with_context(|| listed.path.clone())?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    bytes: u64,
    from: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(ENTRY_MODE);
    header.set_entry_type(tar::EntryType::Regular);
    archive.append_data(&mut header, path, from)
}

/// Reads the archive to its end and holds it against its table. Each file goes to what `into` gives
/// for it, as it is read: what was written is only good once the whole call has succeeded.
pub(super) fn read<W: Write>(
    from: impl Read,
    mut into: impl FnMut(&Listed) -> anyhow::Result<W>,
) -> anyhow::Result<Table> {
    let mut archive = tar::Archive::new(from);
    let mut entries = archive.entries().context("it is no archive")?;
    let first = entries.next().context("it is empty")?.context("it is no archive")?;
    ensure!(path_of(&first)? == TABLE, "it is no backup of a Weft hub");
    ensure!(first.size() <= TABLE_BYTES_MAX, "its table of contents is too long");
    let mut text = Vec::new();
    first.take(TABLE_BYTES_MAX).read_to_end(&mut text).context("it breaks off")?;
    let table = parse(&text)?;
    for listed in &table.files {
        let entry = entries.next().with_context(|| format!("{} is missing", listed.path))?;
        let entry = entry.context("it breaks off")?;
        let regular = entry.header().entry_type() == tar::EntryType::Regular;
        ensure!(
            regular && path_of(&entry)? == listed.path && entry.size() == listed.bytes,
            "{} is not what the table of contents says",
            listed.path
        );
        let mut sum = Sum::default();
        let out = into(listed)?;
        copy(entry, &mut Both(&mut sum, out)).with_context(|| listed.path.clone())?;
        ensure!(
            sum.bytes == listed.bytes && sum.hex() == listed.sha256,
            "{} is damaged: its SHA-256 is another than the table of contents says",
            listed.path
        );
    }
    ensure!(entries.next().is_none(), "it holds more than its table of contents says");
    Ok(table)
}

/// Parses a table and sees that nothing in it leads out of the data directory.
fn parse(text: &[u8]) -> anyhow::Result<Table> {
    #[derive(Deserialize)]
    struct Form {
        format: u32,
    }
    let form: Form = serde_json::from_slice(text).context("its table of contents is damaged")?;
    ensure!(form.format == FORMAT, "its form is of version {}: want {FORMAT}", form.format);
    let table: Table = serde_json::from_slice(text).context("its table of contents is damaged")?;
    ensure!(table.files.len() <= FILES_MAX, "it has more than {FILES_MAX} files");
    let mut seen = std::collections::BTreeSet::new();
    for listed in &table.files {
        let path = &listed.path;
        ensure!(is_inside(Path::new(path)), "{path:?} leads out of the data directory");
        ensure!(seen.insert(path), "{path} is in it twice");
        let small = path == DATABASE || listed.bytes <= SMALL_BYTES_MAX;
        ensure!(small, "{path} is longer than {SMALL_BYTES_MAX} bytes");
    }
    match table.files.last() {
        Some(last) if last.path == CONFIG_FILE => {}
        Some(_) | None => bail!("{CONFIG_FILE} is not its last file"),
    }
    let served = is_server(&table.database);
    ensure!(served != seen.contains(&DATABASE.to_owned()), "it has no database, or one too many");
    Ok(table)
}

/// Whether a server keeps the database: then it is not in the backup.
pub(super) fn is_server(database: &str) -> bool {
    database.starts_with(weft_store::mysql::SCHEME)
}

fn path_of(entry: &tar::Entry<'_, impl Read>) -> anyhow::Result<String> {
    Ok(entry.path().context("a path of it is no text")?.to_string_lossy().into_owned())
}

/// Counts and hashes what is written to it.
#[derive(Default)]
struct Sum {
    hash: Sha256,
    bytes: u64,
}

impl Sum {
    fn hex(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to both.
struct Both<'a, W>(&'a mut Sum, W);

impl<W: Write> Write for Both<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.1.write(bytes)?;
        self.0.write(&bytes[..written])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; READ_BYTES]);
    loop {
        match from.read(&mut buffer)? {
            0 => return to.flush(),
            read => to.write_all(&buffer[..read])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of a table and files, as they are given.
    fn archive(table: &Table, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let text = serde_json::to_vec(table).unwrap();
        append(&mut builder, TABLE, text.len() as u64, text.as_slice()).unwrap();
        for (path, bytes) in files {
            append(&mut builder, path, bytes.len() as u64, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn listed(path: &str, bytes: &[u8]) -> Listed {
        let mut sum = Sum::default();
        sum.write_all(bytes).unwrap();
        Listed { path: path.to_owned(), bytes: sum.bytes, sha256: sum.hex() }
    }

    fn table(files: Vec<Listed>) -> Table {
        Table {
            format: FORMAT,
            hub: "01920c1e-7b8a-7000-8000-000000000000".parse().unwrap(),
            made_at: "2026-01-01T00:00:00Z".to_owned(),
            version: "0.1.0".to_owned(),
            database: DATABASE.to_owned(),
            files,
        }
    }

    fn told(bytes: &[u8]) -> Result<Table, String> {
        read(bytes, |_| Ok(io::sink())).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_archive_is_what_its_table_says_or_it_is_refused() {
        let files: [(&str, &[u8]); 2] = [(DATABASE, b"rows"), (CONFIG_FILE, b"")];
        let good = table(files.iter().map(|(path, bytes)| listed(path, bytes)).collect());
        let whole = archive(&good, &files);
        assert_eq!(told(&whole).unwrap(), good);

        // Cut anywhere before its last file ended, altered, swapped, or with more in it.
        for cut in (0..whole.len() - 1_024).step_by(97) {
            told(&whole[..cut]).unwrap_err();
        }
        let altered: [(&str, &[u8]); 2] = [(DATABASE, b"wors"), (CONFIG_FILE, b"")];
        assert!(told(&archive(&good, &altered)).unwrap_err().contains("SHA-256"));
        let swapped: [(&str, &[u8]); 2] = [(CONFIG_FILE, b""), (DATABASE, b"rows")];
        told(&archive(&good, &swapped)).unwrap_err();
        let more: [(&str, &[u8]); 3] = [(DATABASE, b"rows"), (CONFIG_FILE, b""), ("x", b"x")];
        assert!(told(&archive(&good, &more)).unwrap_err().contains("more than"));
        assert!(told(&archive(&good, &files[..1])).unwrap_err().contains("missing"));
        told(b"no archive at all").unwrap_err();
        told(b"").unwrap_err();
    }

    #[test]
    fn a_table_that_leads_elsewhere_is_refused() {
        let end = || [listed(DATABASE, b""), listed(CONFIG_FILE, b"")].to_vec();
        for path in ["/etc/passwd", "../x", "a/../../x", "", "."] {
            let files = [vec![listed(path, b"")], end()].concat();
            let error = told(&archive(&table(files), &[])).unwrap_err();
            assert!(error.contains("leads out"), "{path:?}: {error}");
        }
        let twice = [end(), end()].concat();
        assert!(told(&archive(&table(twice), &[])).unwrap_err().contains("twice"));
        told(&archive(&table(Vec::new()), &[])).unwrap_err();
        let newer = Table { format: 2, ..table(end()) };
        assert!(told(&archive(&newer, &[])).unwrap_err().contains("version 2"));
    }
}
