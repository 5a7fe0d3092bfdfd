//! `weft-hub init`: the data directory of a new hub.

use super::output::Output;
use anyhow::{Context, bail};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use weft_certs::{Authority, HostName, MAX_INVITE_ADDRESSES};
use weft_hub::admin::{AdminToken, TOKEN_FILE};
use weft_hub::app::CERTS_DIR;
use weft_hub::config::{CONFIG_FILE, agents_door_of, render_initial};
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::HubId;
use weft_proto::time::SystemClock;

/// Make the data directory of a new hub: authority, certificates, hub.toml, admin token
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-hub init --data ./weft-hub --host hub.example.org")]
pub(super) struct Init {
    /// Name or IP address under which users and agents reach the hub; may be given several times.
    /// This machine's own (localhost) is always one
    #[arg(long, value_name = "NAME")]
    host: Vec<HostName>,
}

impl Init {
    pub(super) fn run(self, data: &Path, out: &mut Output) -> anyhow::Result<()> {
        for name in [CONFIG_FILE, CERTS_DIR, TOKEN_FILE] {
            let path = data.join(name);
            if path.try_exists().with_context(|| format!("{}", path.display()))? {
                bail!("{} exists: a hub was made here before, and stays as it is", path.display());
            }
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .with_context(|| format!("{} cannot be made", data.display()))?;

        let names: Vec<String> = self.host.iter().map(ToString::to_string).collect();
        let hub = HubId::generate(&SystemClock, &OsEntropy);
        let certs = data.join(CERTS_DIR);
        let authority = Authority::create(&certs, hub, &names, &SystemClock, &OsEntropy)?;
        AdminToken::generate(&OsEntropy).store(data)?;

        let public = self.host.iter().take(MAX_INVITE_ADDRESSES).map(agents_door_of);
        let public = public.collect::<Result<Vec<_>, _>>()?;
        // Last, so that a directory with settings is a whole one.
        let path = data.join(CONFIG_FILE);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("{}", path.display()))?;
        file.write_all(render_initial(&public).as_bytes())?;
        file.sync_all()?;

        let (ca, next_key) = (authority.users_ca_path(), authority.next_key_path());
        let value = serde_json::json!({
            "hub": hub,
            "data": data,
            "ca": ca,
            "next_node_ca_key": next_key,
            "names": authority.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        let data = data.display();
        let text = format!(
            "hub {hub} made in {data}\n\
             users trust      {}\n\
             move offline     {}\n\
             next             weft-hub serve --data {data}",
            ca.display(),
            next_key.display(),
        );
        Ok(out.value(&value, &text)?)
    }
}
