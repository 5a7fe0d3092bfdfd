//! `weft-hub restore`: a data directory out of a backup, into a place where nothing is.
//!
//! The archive is read to its end and held against its table before the first byte is written, and
//! again while it is written. What was written is taken away again where anything fails.

use super::archive::{self, DATABASE, Listed, Table};
use super::output::Output;
use anyhow::{Context, bail, ensure};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use weft_certs::Authority;
use weft_hub::app::{CERTS_DIR, DataDir};
use weft_hub::config::{HubConfig, Overrides};
use weft_store::sqlite::upkeep;

/// What an empty directory may hold: the root of a file system has it from its birth.
const NOTHING: &str = "lost+found";

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-hub restore --from hub-backup.tar --data ./weft-hub")]
pub(super) struct Restore {
    /// The file that "weft-hub backup" made
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
}

/// What was made so far; taken away again unless it is kept.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    kept: bool,
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.kept {
            // The failure that led here is the one to report.
            self.files.iter().for_each(|path| drop(std::fs::remove_file(path)));
            self.folders.iter().rev().for_each(|path| drop(std::fs::remove_dir(path)));
        }
    }
}

impl Restore {
    pub(super) async fn run(self, data: &Path, out: &mut Output) -> anyhow::Result<()> {
        let from = self.from.display();
        let open = || File::open(&self.from).with_context(|| from.to_string());
        let verified = archive::read(open()?, |_| Ok(std::io::sink()));
        let table = verified.with_context(|| format!("{from} was not restored"))?;
        empty(data)?;

        let mut made = Made::default();
        made.folder(data)?;
        let held = DataDir::lock(data)?;
        made.files.push(data.join("hub.lock"));
        let database = data.join(&table.database);
        let again = archive::read(open()?, |listed| {
            let path =
                if listed.path == DATABASE { database.clone() } else { data.join(&listed.path) };
            made.file(&path, listed)
        });
        let again = again.with_context(|| format!("{from} was not restored"))?;
        ensure!(again == table, "{from} changed while it was read");
        check(data, &table).await?;
        for folder in made.folders.iter().map(PathBuf::as_path).chain([data]) {
            File::open(folder)?.sync_all()?;
        }
        made.kept = true;
        drop(held);
        tell(&table, data, &database, out)
    }
}

/// Sees that what was restored is a hub that can start.
async fn check(data: &Path, table: &Table) -> anyhow::Result<()> {
    let database = data.join(&table.database);
    let served = archive::is_server(&table.database);
    if !served {
        let examined = upkeep::examine(&database).await?;
        ensure!(examined.faults.is_empty(), "the database is damaged: {}", examined.faults[0]);
        ensure!(
            !examined.from_elsewhere,
            "the database is of a newer version of Weft: restore with that version"
        );
    }
    let audit = Authority::audit(&data.join(CERTS_DIR))?;
    // What renews itself is not in a backup, and is made by the first start.
    let mut kept = audit.certificates.into_iter().filter(|one| !one.renews_itself);
    if let Some((file, fault)) = kept.find_map(|one| Some((one.file, one.fault?))) {
        bail!("{file}: {fault}");
    }
    let kept_at = HubConfig::load(data, &Overrides::default())?.database();
    if served {
        ensure!(
            kept_at.file().is_none(),
            "the backup's hub kept its database on a server, {}, but by hub.toml and the \
             environment it lies at {kept_at}: set WEFT_STORE__URL, or the hub would start empty",
            table.database
        );
    } else {
        ensure!(
            kept_at.file() == Some(&*database),
            "the backup's hub kept its database at {}, but by hub.toml and the environment it lies \
             at {kept_at}: set WEFT_STORE__PATH as it was set there, or the hub would start \
             without it",
            database.display()
        );
    }
    Ok(())
}

fn tell(table: &Table, data: &Path, database: &Path, out: &mut Output) -> anyhow::Result<()> {
    let served = archive::is_server(&table.database);
    let database = if served { Path::new(&table.database) } else { database };
    let value = serde_json::json!({
        "hub": table.hub,
        "data": data,
        "database": database,
        "made_at": table.made_at,
        "files": table.files.len(),
    });
    let elsewhere = if served {
        format!(
            "not restored     the database {}: it was never in this backup; where the server\n\
             \x20                lost it, its own copy of {} comes first\n",
            table.database, table.made_at
        )
    } else if archive::is_inside(Path::new(&table.database)) {
        String::new()
    } else {
        format!("database         {}\n", database.display())
    };
    let (made_at, data) = (&table.made_at, data.display());
    let text = format!(
        "hub {} as of {made_at} restored into {data}\n\
         {elsewhere}\
         missing          everything that happened after {made_at}: users, keys, invites,\n\
         \x20                agents and outcomes since then are not known to this hub\n\
         revoke again     keys and agents that were revoked since then, users disabled since\n\
         join again       agents that joined since then, each with a fresh invite\n\
         one hub only     the hub that the backup was taken of must not run any more\n\
         next             weft-hub doctor --data {data} && weft-hub serve --data {data}",
        table.hub,
    );
    Ok(out.value(&value, &text)?)
}

/// Refuses a directory in which something is.
fn empty(data: &Path) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| data.display().to_string()),
    };
    for entry in entries {
        let name = entry?.file_name();
        if name != NOTHING {
            bail!(
                "{} is not empty ({} is in it): a backup is restored into a new directory only",
                data.display(),
                name.to_string_lossy()
            );
        }
    }
    Ok(())
}

impl Made {
    /// Makes the directory `path`, for its owner alone, where there is none.
    fn folder(&mut self, path: &Path) -> anyhow::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        self.folders.push(path.to_owned());
        Ok(())
    }

    /// Makes the new file `path`; certificates may be seen by anybody, all else by its owner.
    fn file(&mut self, path: &Path, listed: &Listed) -> anyhow::Result<impl Write + use<>> {
        if let Some(folder) = path.parent() {
            self.folder(folder)?;
        }
        let public = Path::new(&listed.path).starts_with(CERTS_DIR)
            && Path::new(&listed.path).extension().is_none_or(|kind| kind != "key");
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(if public { 0o644 } else { 0o600 })
            .open(path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        self.files.push(path.to_owned());
        Ok(Synced(file))
    }
}

/// A file whose flush means that it is on the disk.
struct Synced(File);

impl Write for Synced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.sync_all()
    }
}
