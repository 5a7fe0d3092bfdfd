//! Where peers are installed, and in which versions.
//!
//! `loadtest/peers/install` puts them into the cache folder; what the distribution brings is looked
//! for on the path, and where servers live. One that is not there is never an error of a run: it is
//! reported.

use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where servers live that are not on everybody's path.
const SERVER_DIRS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];

/// A peer that can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// nginx, of the distribution.
    Nginx,
    /// OpenSSH, of the distribution.
    Openssh,
    /// rathole, by cargo.
    Rathole,
    /// rusnel, by cargo.
    Rusnel,
    /// bore, by cargo.
    Bore,
    /// LiteLLM, by pip.
    Litellm,
    /// Portkey, by npm.
    Portkey,
    /// TensorZero, by pip.
    Tensorzero,
}

impl Peer {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Nginx,
        Self::Openssh,
        Self::Rathole,
        Self::Rusnel,
        Self::Bore,
        Self::Litellm,
        Self::Portkey,
        Self::Tensorzero,
    ];

    /// As `loadtest/peers/install` calls it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Openssh => "openssh",
            Self::Rathole => "rathole",
            Self::Rusnel => "rusnel",
            Self::Bore => "bore",
            Self::Litellm => "litellm",
            Self::Portkey => "portkey",
            Self::Tensorzero => "tensorzero",
        }
    }
}

/// The folder that peers were installed into.
#[derive(Debug, Clone)]
pub(crate) struct Peers(PathBuf);

impl Peers {
    /// The folder in the user's cache.
    pub(crate) fn of_user() -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
        Self(cache.or_else(home).unwrap_or_default().join("weft/peers"))
    }

    /// What is started for a peer: a program, or the script that one runs.
    ///
    /// # Errors
    /// A sentence that says how it is installed.
    pub(crate) fn program(&self, peer: Peer) -> anyhow::Result<PathBuf> {
        let word = peer.word();
        let path = match peer {
            Peer::Nginx => system("nginx"),
            Peer::Openssh => system("sshd"),
            Peer::Rathole | Peer::Rusnel | Peer::Bore | Peer::Litellm => {
                Some(self.0.join(word).join("bin").join(word))
            }
            Peer::Portkey => {
                Some(self.0.join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js"))
            }
            Peer::Tensorzero => Some(self.0.join("tensorzero/bin/python")),
        };
        path.filter(|path| path.is_file())
            .with_context(|| format!("not installed: loadtest/peers/install {word}"))
    }

    /// Its version; nothing where it is not there.
    pub(crate) fn version(&self, peer: Peer) -> Option<String> {
        let program = self.program(peer).ok()?;
        match peer {
            Peer::Nginx => said(&program, "-v").and_then(|text| number_in(&text)),
            Peer::Openssh => said(&system("ssh")?, "-V").and_then(|text| number_in(&text)),
            Peer::Rathole
            | Peer::Rusnel
            | Peer::Bore
            | Peer::Litellm
            | Peer::Portkey
            | Peer::Tensorzero => {
                let stamp = std::fs::read_to_string(self.0.join(peer.word()).join(".stamp"));
                Some(stamp.ok()?.trim().to_owned())
            }
        }
    }
}

/// A program of the system, on the path or where servers live.
pub(crate) fn system(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SERVER_DIRS.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn said(program: &Path, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The first word of `text` that begins with a digit, behind a slash or an underscore too.
fn number_in(text: &str) -> Option<String> {
    let mut words = text.split(|c: char| c.is_whitespace() || "/_,".contains(c));
    words.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(number_in("nginx version: nginx/1.22.1").as_deref(), Some("1.22.1"));
        assert_eq!(number_in("OpenSSH_9.2p1 Debian-2, OpenSSL 3").as_deref(), Some("9.2p1"));
        assert_eq!(number_in("no number"), None);
    }

    #[test]
    fn what_is_not_there_says_how_it_is_installed() {
        let nowhere = Peers(PathBuf::from("/nonexistent"));
        let said = nowhere.program(Peer::Rathole).expect_err("not there").to_string();
        assert!(said.contains("loadtest/peers/install rathole"), "{said}");
        assert_eq!(nowhere.version(Peer::Litellm), None);
    }
}
