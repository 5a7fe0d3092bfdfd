//! The node's own name, the same over restarts: leases are taken in it, and a node that comes back
//! finds its own.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use weft_proto::entropy::Entropy;
use weft_proto::ids::NodeId;
use weft_proto::time::Clock;

/// The file with the node's id, in the ledger's folder.
pub const NODE_FILE: &str = "node.id";

/// An id as text.
const ID_BYTES_MAX: u64 = 64;

/// Reads the node's id, or makes one; the folder, too. Blocks shortly.
pub(super) fn open(dir: &Path, clock: &dyn Clock, entropy: &dyn Entropy) -> io::Result<NodeId> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if let Some(id) = read(dir)? {
        return Ok(id);
    }
    let id = NodeId::generate(clock, entropy);
    let path = dir.join(NODE_FILE);
    let partial = path.with_extension("partial");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&partial, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(id)
}

/// Reads the node's id; `None` where there is none. Blocks shortly.
pub(super) fn read(dir: &Path) -> io::Result<Option<NodeId>> {
    match File::open(dir.join(NODE_FILE)) {
        Ok(file) => {
            let mut text = String::new();
            file.take(ID_BYTES_MAX).read_to_string(&mut text)?;
            let damaged = |_| io::Error::new(ErrorKind::InvalidData, "node.id is no id");
            text.trim().parse().map(Some).map_err(damaged)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
