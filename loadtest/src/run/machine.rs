//! On which machine, with which versions.

use super::peers::{Peer, Peers};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;

/// What a reader must know of the machine to judge figures, and whether two runs can be compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// What they are.
    pub(crate) processor: String,
    /// Memory, in MiB.
    pub(crate) memory_mib: u64,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// `release`, or `debug`: whose figures say nothing.
    pub(crate) profile: String,
    /// The load averages at the start.
    pub(crate) load_average: String,
    /// Weft's version, and those of the peers that are there.
    pub(crate) versions: BTreeMap<String, String>,
}

impl Machine {
    /// This one, now.
    pub(crate) fn look(peers: &Peers) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib: u64 =
            memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let mut versions: BTreeMap<String, String> = Peer::ALL
            .into_iter()
            .filter_map(|peer| Some((peer.word().to_owned(), peers.version(peer)?)))
            .collect();
        versions.insert("weft".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Self {
            cores: std::thread::available_parallelism().map_or(1, NonZero::get),
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            memory_mib: memory_kib / 1_024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            load_average: read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
            versions,
        }
    }

    /// In what it differs from `other`, so that figures of both say nothing of each other.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut look = |what: &str, one: &dyn ToString, two: &dyn ToString| {
            let (one, two) = (one.to_string(), two.to_string());
            if one != two {
                found.push(format!("{what}: {one} and {two}"));
            }
        };
        look("cores", &self.cores, &other.cores);
        look("processor", &self.processor, &other.processor);
        look("memory in MiB", &self.memory_mib, &other.memory_mib);
        look("kernel", &self.kernel, &other.kernel);
        look("build", &self.profile, &other.profile);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_like_itself_and_unlike_one_with_more_cores() {
        let own = Machine::look(&Peers::of_user());
        assert!(own.cores > 0 && own.memory_mib > 0 && !own.kernel.is_empty());
        assert!(own.differences(&own).is_empty());
        let other = Machine { cores: own.cores + 1, ..own.clone() };
        assert_eq!(own.differences(&other).len(), 1);
    }
}
