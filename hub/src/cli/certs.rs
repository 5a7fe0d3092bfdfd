//! `weft-hub certs`: what an operator does with the authorities, while no hub runs.

use super::output::Output;
use std::path::Path;
use weft_certs::Authority;
use weft_hub::app::{CERTS_DIR, DataDir};
use weft_proto::entropy::OsEntropy;
use weft_proto::time::SystemClock;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Certs {
    /// Make the next node authority the current one, and a new next one. The hub must not run.
    ///
    /// Agents know the hub by two pins, which they learn when they join: the authority that issues
    /// node certificates today, and the next one, whose key lies offline. This step uses up the
    /// second. Every agent that joined before it keeps its connection; but an agent that has not
    /// joined again since (with a fresh invite and an empty identity folder) does not survive a
    /// SECOND rotation. Bring certs/next-node-ca.key back into the data directory first, and take
    /// the new one offline afterwards.
    #[command(after_help = "Example:\n  weft-hub certs rotate --data ./weft-hub")]
    Rotate,
}

impl Certs {
    pub(super) fn run(self, data: &Path, out: &mut Output) -> anyhow::Result<()> {
        let Self::Rotate = self;
        let certs = data.join(CERTS_DIR);
        // Where there is no hub at all, that is what is wrong, and not its lock.
        drop(Authority::audit(&certs)?);
        // A running hub would go on showing certificates of the authority that is given up.
        let held = DataDir::lock(data)?;
        let authority = Authority::rotate_node_ca(&certs, &SystemClock, &OsEntropy)?;
        drop(held);
        let (pins, next_key) = (authority.pins(), authority.next_key_path());
        let value = serde_json::json!({
            "current": pins.current,
            "next": pins.next,
            "next_node_ca_key": next_key,
        });
        let text = format!(
            "current pin      {}\nnext pin         {}\nmove offline     {}\n\
             agents           those with the old pins stay connected until the next rotation;\n\
             \x20                let them join again before that",
            pins.current,
            pins.next,
            next_key.display(),
        );
        Ok(out.value(&value, &text)?)
    }
}
