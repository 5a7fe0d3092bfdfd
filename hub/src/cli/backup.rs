//! `weft-hub backup`: all of a hub in one file, while it runs or not.
//!
//! The database is copied from one snapshot by SQLite itself, which lets the running hub write on.
//! Certificates that the hub makes anew by itself (the node's and the users' door's) stay out, and
//! so does what belongs to the running process. The node's id goes along, its journal of tickets
//! does not: it speaks of exchanges under way, and a copy of it is out of date a moment later. A
//! database of a server is not in it either: the server's own tools copy that,
//! and this says both.

use super::archive::{self, DATABASE, FORMAT, Listed, SMALL_BYTES_MAX, Table, is_inside};
use super::output::Output;
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use weft_certs::Authority;
use weft_hub::admin::TOKEN_FILE;
use weft_hub::app::{CERTS_DIR, LEDGER_DIR, RESET_KEY_FILE};
use weft_hub::config::{CONFIG_FILE, HubConfig, Overrides};
use weft_hub::ledger::NODE_FILE;
use weft_hub::ledger::claims::TICKET_KEY_FILE;
use weft_hub::ledger_key::{HANDOVERS_FILE, LEDGER_KEY_FILE};
use weft_proto::time::{Clock, SystemClock};
use weft_store::sqlite::upkeep;

/// Certificates and keys that a start makes anew, inside the folder of the authority.
const MADE_ANEW: [&str; 4] = ["node.pem", "node.key", "users.pem", "users.key"];

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-hub backup --data ./weft-hub --to hub-backup.tar")]
pub(super) struct Backup {
    /// The file to make; it must not exist
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// A file that goes when the backup is done or given up.
struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    const fn new(path: PathBuf) -> Self {
        Self { path, kept: false }
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // Renamed away where all went well.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl Backup {
    pub(super) async fn run(self, data: &Path, out: &mut Output) -> anyhow::Result<()> {
        let config = HubConfig::load(data, &Overrides::default())?;
        let audit = Authority::audit(&data.join(CERTS_DIR))?;
        let Some(name) = self.to.file_name() else {
            bail!("{} is not a file's name", self.to.display());
        };
        let beside = |suffix: &str| {
            let name = format!(".{}.{}.{suffix}", name.to_string_lossy(), std::process::id());
            Scratch::new(self.to.with_file_name(name))
        };
        // Taken first, so that nothing is ever overwritten: the whole file takes its place.
        drop(private(&self.to).with_context(|| format!("{} cannot be made", self.to.display()))?);
        let taken = Scratch::new(self.to.clone());

        let copy = beside("sqlite");
        let mut sources = BTreeMap::new();
        let database = config.database();
        if let Some(file) = database.file() {
            upkeep::copy(file, &copy.path).await?;
            let examined = upkeep::examine(&copy.path).await?;
            ensure!(examined.faults.is_empty(), "the database is damaged: {}", examined.faults[0]);
            sources.insert(DATABASE.to_owned(), copy.path.clone());
        }
        let left_out = collect(data, &config, &mut sources)?;
        let settings = data.join(CONFIG_FILE);
        let mut files = Vec::new();
        for (path, from) in &sources {
            files.push(Listed::of(path.clone(), from)?);
        }
        files.push(Listed::of(CONFIG_FILE.to_owned(), &settings)?);
        sources.insert(CONFIG_FILE.to_owned(), settings);
        let table = Table {
            format: FORMAT,
            hub: audit.hub,
            made_at: super::output::time_text(SystemClock.now()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            database: match &config.store.url {
                Some(url) => url.to_string(),
                None => config.store.path.to_string_lossy().into_owned(),
            },
            files,
        };

        let partial = beside("partial");
        let file = private(&partial.path).with_context(|| partial.path.display().to_string())?;
        let open = |listed: &Listed| File::open(&sources[&listed.path]);
        archive::write(&file, &table, open)?;
        file.sync_all()?;
        drop(copy);
        // Read back from where it was written: a backup that nobody has read is none.
        let read = File::open(&partial.path).map_err(anyhow::Error::from);
        let read = read.and_then(|file| archive::read(file, |_| Ok(std::io::sink())));
        let read = read.context("the backup cannot be read back")?;
        ensure!(read == table, "the backup reads back as another than was written");
        std::fs::rename(&partial.path, &self.to)?;
        taken.keep();
        if let Some(folder) = self.to.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()?;
        }

        let bytes = std::fs::metadata(&self.to)?.len();
        let to = self.to.display();
        let value = serde_json::json!({
            "file": self.to,
            "hub": table.hub,
            "made_at": table.made_at,
            "bytes": bytes,
            "files": table.files.iter().map(|listed| &listed.path).collect::<Vec<_>>(),
            "left_out": left_out,
            "database_inside": database.file().is_some(),
            "tickets_inside": false,
            "next_key_inside": audit.next_key_is_here,
        });
        let mut text = format!(
            "backup of hub {} in {to}: {} files, {bytes} bytes, read back and sound\n\
             it holds every secret of the hub: keep it like a key\n\
             not in it: the journal of tickets: what exchanges under way hold is their users' again\n\
             after a restore, and what agents prove of them is paid by the hub",
            table.hub,
            table.files.len(),
        );
        if database.file().is_none() {
            text.push_str(&format!(
                "\nnot in it: the database {database}: without a copy of its own this backup is\n\
                 certificates and settings alone; take one with the server's tools, for one\n\
                 \x20 mariadb-dump --single-transaction --databases NAME"
            ));
        }
        for path in left_out {
            text.push_str(&format!(
                "\nnot in it: {} lies outside the data directory",
                path.display()
            ));
        }
        if audit.next_key_is_here {
            text.push_str(
                "\nthe next node authority's key is in it: it belongs offline, elsewhere",
            );
        }
        Ok(out.value(&value, &text)?)
    }
}

/// Finds what belongs into a backup beside database and settings; returns what lies elsewhere.
fn collect(
    data: &Path,
    config: &HubConfig,
    sources: &mut BTreeMap<String, PathBuf>,
) -> anyhow::Result<Vec<PathBuf>> {
    let node = format!("{LEDGER_DIR}/{NODE_FILE}");
    let keys = [RESET_KEY_FILE, LEDGER_KEY_FILE, HANDOVERS_FILE, TICKET_KEY_FILE];
    for name in keys.into_iter().chain([TOKEN_FILE, &node]) {
        let path = data.join(name);
        if path.try_exists().with_context(|| path.display().to_string())? {
            sources.insert(name.to_owned(), path);
        }
    }
    let certs = data.join(CERTS_DIR);
    for entry in std::fs::read_dir(&certs).with_context(|| certs.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link is as good as what it leads to. Half-written files begin with a dot.
        let path = entry.path();
        let meta = std::fs::metadata(&path).with_context(|| path.display().to_string())?;
        if meta.is_file() && !name.starts_with('.') && !MADE_ANEW.contains(&&*name) {
            sources.insert(format!("{CERTS_DIR}/{name}"), path);
        }
    }
    let mut left_out = Vec::new();
    if let Some(own) = &config.users.certificate {
        for path in [&own.chain, &own.key] {
            if is_inside(path) {
                sources.insert(path.to_string_lossy().into_owned(), data.join(path));
            } else {
                left_out.push(path.clone());
            }
        }
    }
    for (name, path) in &*sources {
        let bytes = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
        ensure!(
            name == DATABASE || bytes <= SMALL_BYTES_MAX,
            "{} is longer than {SMALL_BYTES_MAX} bytes",
            path.display()
        );
    }
    Ok(left_out)
}

/// A new file that its owner alone may read.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
