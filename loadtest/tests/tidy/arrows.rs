//! Which crate may know which: `proto ← transport, certs, store`; those ← hub; `transport, certs`
//! ← agent; hub and agent ← loadtest. Hub and agent never know each other, not even in tests.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::tree::Tree;

/// Each crate and the crates of the house that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("weft-proto", &[]),
    ("weft-proto-fuzz", &["weft-proto"]),
    ("weft-transport", &["weft-proto"]),
    ("weft-certs", &["weft-proto"]),
    ("weft-store", &["weft-proto"]),
    ("weft-hub", &["weft-proto", "weft-transport", "weft-certs", "weft-store"]),
    ("weft-agent", &["weft-proto", "weft-transport", "weft-certs"]),
    (
        "weft-loadtest",
        &["weft-proto", "weft-transport", "weft-certs", "weft-store", "weft-hub", "weft-agent"],
    ),
];

/// What a crate must not know even in its tests.
const NEVER: &[(&str, &[&str])] = &[
    ("weft-proto", &["weft-hub", "weft-agent", "weft-loadtest"]),
    ("weft-transport", &["weft-hub", "weft-agent", "weft-store", "weft-loadtest"]),
    ("weft-certs", &["weft-hub", "weft-agent", "weft-store", "weft-loadtest"]),
    ("weft-store", &["weft-hub", "weft-agent", "weft-transport", "weft-loadtest"]),
    ("weft-hub", &["weft-agent", "weft-loadtest"]),
    ("weft-agent", &["weft-hub", "weft-store", "weft-loadtest"]),
];

/// Dependencies of one manifest on crates of the house, apart from those of tests.
struct Uses {
    product: BTreeSet<String>,
    tests: BTreeSet<String>,
}

/// Every dependency against the arrows.
pub(crate) fn breaches(tree: &Tree) -> Vec<String> {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let never: BTreeMap<_, _> = NEVER.iter().copied().collect();
    let mut found = Vec::new();
    for (path, name, manifest) in packages(tree) {
        let Some(allowed) = allowed.get(name.as_str()) else {
            found.push(format!("{path}: crate {name} is not in the table"));
            continue;
        };
        let uses = uses(&manifest);
        for other in uses.product.iter().filter(|other| !allowed.contains(&other.as_str())) {
            found.push(format!("{path}: {name} must not depend on {other}"));
        }
        let never = never.get(name.as_str()).copied().unwrap_or_default();
        for other in uses.tests.iter().filter(|other| never.contains(&other.as_str())) {
            found.push(format!("{path}: {name} must not depend on {other}, not even in tests"));
        }
    }
    found
}

/// Crates of the workspace that leave its lints out.
pub(crate) fn without_lints(tree: &Tree) -> Vec<String> {
    packages(tree)
        // A fuzz crate is a workspace of its own.
        .filter(|(_, _, manifest)| !manifest.contains_key("workspace"))
        .filter(|(_, _, manifest)| {
            let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
            lints.and_then(Value::as_bool) != Some(true)
        })
        .map(|(path, _, _)| path)
        .collect()
}

fn packages(tree: &Tree) -> impl Iterator<Item = (String, String, Table)> {
    let manifests = tree.files().filter(|(path, _)| path.ends_with("Cargo.toml"));
    manifests.filter_map(|(path, text)| {
        let manifest: Table =
            toml::from_str(text).unwrap_or_else(|error| panic!("{path} is not TOML: {error}"));
        let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
        Some((path.to_owned(), name, manifest))
    })
}

fn uses(manifest: &Table) -> Uses {
    let mut uses = Uses { product: house(manifest, "dependencies"), tests: BTreeSet::new() };
    uses.product.extend(house(manifest, "build-dependencies"));
    uses.tests.extend(house(manifest, "dev-dependencies"));
    let targets = manifest.get("target").and_then(Value::as_table);
    for target in targets.into_iter().flat_map(Table::values).filter_map(Value::as_table) {
        uses.product.extend(house(target, "dependencies"));
        uses.tests.extend(house(target, "dev-dependencies"));
    }
    uses
}

fn house(table: &Table, section: &str) -> BTreeSet<String> {
    let entries = table.get(section).and_then(Value::as_table);
    entries
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            // A renamed dependency names its package apart.
            let package = value.get("package").and_then(Value::as_str);
            package.unwrap_or(name).to_owned()
        })
        .filter(|name| name.starts_with("weft-"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = "[package]\nname = \"weft-hub\"\n[lints]\nworkspace = true\n";

    #[test]
    fn a_hub_that_knows_the_agent_is_found_also_by_another_name_and_in_tests() {
        for section in [
            "[dependencies]\nweft-agent.workspace = true\n",
            "[dev-dependencies]\nweft-agent = { path = \"../agent\" }\n",
            "[dependencies]\nfriend = { package = \"weft-agent\", path = \"../agent\" }\n",
            "[target.'cfg(unix)'.dependencies]\nweft-agent.workspace = true\n",
        ] {
            let tree = Tree::of(&[("hub/Cargo.toml", &format!("{HUB}{section}"))]);
            assert_eq!(breaches(&tree).len(), 1, "{section}");
        }
        let clean = format!("{HUB}[dependencies]\nweft-store.workspace = true\n");
        assert!(breaches(&Tree::of(&[("hub/Cargo.toml", &clean)])).is_empty());
    }

    #[test]
    fn a_crate_without_the_lints_or_outside_the_table_is_found() {
        let tree = Tree::of(&[("new/Cargo.toml", "[package]\nname = \"weft-new\"\n")]);
        assert_eq!(without_lints(&tree), ["new/Cargo.toml"]);
        assert_eq!(breaches(&tree).len(), 1);
    }
}
