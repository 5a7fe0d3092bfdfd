//! OpenSSH with `-R`: one TCP connection for everything, encrypted, a channel for each of a user's.
//!
//! A server of its own with a host key and a user key of its own, made for the run: the machine's
//! server, its keys and its users' files are not touched.

use super::super::peers::{Peer, system};
use super::super::site::Side;
use super::{Contestant, Door, Ground, Name};
use crate::mesh::process::{answer, command};
use anyhow::Context;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Seconds that it may take to listen.
const READY_SECONDS: u64 = 10;
/// Where a server that gives up its rights wants to live; it must be there and empty.
const PRIVILEGE_DIR: &str = "/run/sshd";

/// Server on the users' side, client beside the provider.
///
/// # Errors
/// Where it is not installed or does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>) -> anyhow::Result<Contestant> {
    let sshd = ground.stage.peers.program(Peer::Openssh)?;
    let ssh = system("ssh").context("ssh is not there: loadtest/peers/install openssh")?;
    let keygen = system("ssh-keygen").context("ssh-keygen is not there")?;
    let (control, port) = (ground.site.port(Side::Server)?, ground.site.port(Side::Server)?);
    for name in ["host_key", "user_key"] {
        let mut make = command(&keygen);
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", "loadtest", "-f"]).arg(ground.file(name));
        answer(make, "")?;
    }
    if !Path::new(PRIVILEGE_DIR).is_dir() {
        // Where it cannot be made sshd says so itself.
        drop(std::fs::create_dir_all(PRIVILEGE_DIR));
    }
    let keys = ground.file("authorized_keys");
    std::fs::copy(ground.file("user_key.pub"), &keys)?;
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600))?;
    let file = ground.file("sshd_config");
    std::fs::write(
        &file,
        format!(
            "Port {control}\nListenAddress 0.0.0.0\nHostKey {}\nAuthorizedKeysFile {}\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             PubkeyAuthentication yes\nPermitRootLogin prohibit-password\n\
             AllowTcpForwarding remote\nGatewayPorts no\nUseDNS no\nLogLevel ERROR\n",
            ground.file("host_key").display(),
            keys.display(),
        ),
    )?;
    let mut serve = command(&sshd);
    serve.arg("-D").arg("-e").arg("-f").arg(&file);
    let server = ground.server(Side::Server, "sshd", serve, control, READY_SECONDS).await?;
    let user = rustix::process::getuid();
    let name = user_name(user.as_raw()).context("this user has no name in /etc/passwd")?;
    let mut dial = command(&ssh);
    dial.args(["-N", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o"]);
    dial.arg(format!("UserKnownHostsFile={}", ground.file("known_hosts").display()));
    dial.args(["-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]);
    dial.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(ground.file("user_key"));
    dial.args(["-p", &control.to_string(), "-l", &name, "-R"]);
    dial.arg(format!("127.0.0.1:{port}:127.0.0.1:{}", ground.provider.port()));
    dial.arg(ground.site.server().to_string());
    let client = ground.client(Side::Provider, "ssh", dial)?;
    let mut members = vec![client, server];
    ground.site.listens(Side::Server, &mut members[0].process, port, READY_SECONDS).await?;
    Ok(Contestant { name: Name::Openssh, door: Door::plain(port), members })
}

fn user_name(id: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_user_of_every_machine_has_a_name() {
        assert_eq!(user_name(0).as_deref(), Some("root"));
    }
}
