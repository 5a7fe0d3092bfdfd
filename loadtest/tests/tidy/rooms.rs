//! Which room inside a crate may know which.
//!
//! A module imports only from storeys below its own; two on one storey do not know each other,
//! so the spine carries values between rooms. A new module fails the test until it is given its
//! storey in the table below, which is the place to think about it. Tests are free.

use std::collections::{BTreeMap, BTreeSet};

use crate::code;
use crate::tree::Tree;

/// The storeys of a crate, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Storey {
    /// Settings, lifecycle, plain words: knows nothing of the crate.
    Ground,
    /// One concern each.
    Room,
    /// The way of an exchange, and what else stands on rooms.
    Spine,
    /// Where work comes in.
    Door,
    /// The only wiring.
    App,
    /// The command line, above everything.
    Edge,
}

use Storey::{App, Door, Edge, Ground, Room, Spine};

/// A crate's modules and their storeys.
pub(crate) struct House {
    /// The crate's source folder, with a slash at its end.
    source: &'static str,
    storeys: &'static [(&'static str, Storey)],
    /// Steps inside one storey that have a reason: who, whom.
    exceptions: &'static [(&'static str, &'static str)],
}

/// The hub: main > app > doors > spine > rooms > ground.
pub(crate) const HUB: House = House {
    source: "hub/src/",
    storeys: &[
        ("config", Ground),
        ("keyfile", Ground),
        ("ledger_key", Ground),
        ("lifecycle", Ground),
        ("places", Ground),
        ("telemetry", Ground),
        ("auth", Room),
        ("ledger", Room),
        ("limits", Room),
        ("objects", Room),
        ("pricing", Room),
        ("routing", Room),
        ("terms", Room),
        ("trust", Room),
        ("tunnel", Room),
        ("wallets", Room),
        ("webhook", Room),
        ("exchange", Spine),
        ("admin", Door),
        ("gateway", Door),
        ("app", App),
        ("cli", Edge),
    ],
    // What is logged, and how, is a setting. A key stands in a key file.
    exceptions: &[("telemetry", "config"), ("ledger_key", "keyfile")],
};

/// The agent: main > app > uplink > exchange > rooms > ground.
pub(crate) const AGENT: House = House {
    source: "agent/src/",
    storeys: &[
        ("account", Ground),
        ("datadir", Ground),
        ("lifecycle", Ground),
        ("telemetry", Ground),
        ("limits", Room),
        ("ledger", Room),
        ("upstream", Room),
        ("vault", Room),
        ("exchange", Spine),
        // Both gather what the rooms offer, for the wiring above.
        ("config", Spine),
        ("status", Spine),
        ("uplink", Door),
        ("app", App),
        ("backup", App),
        ("doctor", App),
        ("cli", Edge),
    ],
    // The one request that a key is lent to carries it as the vault's own type.
    // And the doctor looks at the parts that a run would be made of.
    exceptions: &[("upstream", "vault"), ("doctor", "app")],
};

impl House {
    /// Every import that goes up or sideways, and every module without a storey.
    pub(crate) fn breaches(&self, tree: &Tree) -> Vec<String> {
        let storeys: BTreeMap<_, _> = self.storeys.iter().copied().collect();
        let mut found = Vec::new();
        let mut unlisted = BTreeSet::new();
        for (path, text) in tree.rust() {
            let Some(inside) = path.strip_prefix(self.source) else {
                continue;
            };
            let Some((own, depth)) = module_of(inside) else {
                continue;
            };
            let Some(storey) = storeys.get(own) else {
                unlisted.insert(format!("{}: module {own} has no storey", self.source));
                continue;
            };
            if code::is_test_file(path) {
                continue;
            }
            let bare = code::bare(code::without_test_tail(text));
            for other in code::modules_named(&bare, depth) {
                // Macros and items of lib.rs are not modules.
                let Some(below) = storeys.get(other.as_str()) else {
                    continue;
                };
                let excepted = self.exceptions.contains(&(own, other.as_str()));
                if other != own && below >= storey && !excepted {
                    found.push(format!("{path}: {own} ({storey:?}) imports {other} ({below:?})"));
                }
            }
        }
        found.extend(unlisted);
        found
    }
}

/// The top-level module of a file in `src/`, and how many modules deep the file is. The crate's
/// roots (`lib.rs`, `main.rs`, `bin/`) belong to no module.
fn module_of(inside: &str) -> Option<(&str, usize)> {
    let (own, depth) = match inside.split_once('/') {
        Some((folder, rest)) => (folder, 2 + rest.matches('/').count()),
        None => (inside.strip_suffix(".rs")?, 1),
    };
    (!["lib", "main", "bin"].contains(&own)).then_some((own, depth))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> usize {
        HUB.breaches(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn a_room_may_look_down_but_neither_sideways_nor_up() {
        assert_eq!(of("hub/src/auth.rs", "use crate::config::Limits;"), 0);
        assert_eq!(of("hub/src/auth/key.rs", "use crate::auth::Key;"), 0);
        assert_eq!(of("hub/src/auth/key.rs", "use crate::tunnel::Session;"), 1);
        assert_eq!(of("hub/src/auth.rs", "use super::exchange::Plan;"), 1);
        assert_eq!(of("hub/src/exchange/plan.rs", "use crate::{auth, routing, app};"), 1);
    }

    #[test]
    fn a_module_without_a_storey_is_found_once() {
        let tree = Tree::of(&[("hub/src/new.rs", ""), ("hub/src/new/part.rs", "")]);
        assert_eq!(HUB.breaches(&tree).len(), 1);
    }

    #[test]
    fn tests_of_a_room_are_free() {
        assert_eq!(of("hub/src/auth/tests.rs", "use crate::tunnel::Session;"), 0);
        let tail = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use crate::tunnel::Session;\n}\n";
        assert_eq!(of("hub/src/auth.rs", tail), 0);
    }
}
