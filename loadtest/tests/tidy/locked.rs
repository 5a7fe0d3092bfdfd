//! What the lockfile must hold: versions below which a known fault lives, and crates that must not
//! come in at all.
//!
//! The advisories behind the floors are other people's; what each would do here stands beside it.

use crate::tree::Tree;

const LOCKFILE: &str = "Cargo.lock";

/// Crates with the lowest version that is fit for use, and why.
const FLOORS: [(&str, [u64; 3], &str); 5] = [
    ("quinn", [0, 11, 12], "connections were given up for dead that lived"),
    ("quinn-proto", [0, 11, 19], "a peer could end the process, or keep its memory"),
    ("h2", [0, 4, 20], "a hundred small unread frames closed a connection"),
    ("hyper", [1, 12, 0], "a body is polled before capacity is reserved: no sibling starves"),
    // 0.37.0 bundles SQLite 3.51.3; the store asks the library itself when it opens.
    ("libsqlite3-sys", [0, 37, 0], "SQLite before 3.51.3 could lose a committed write"),
];

/// Crates that have no place, and why.
const BANNED: [(&str, &str); 4] = [
    ("openssl", "one TLS: rustls"),
    ("native-tls", "one TLS: rustls"),
    ("bincode", "unmaintained"),
    ("fail", "failures are injected from outside"),
];

/// Crates that have one place, the packages that may depend on them, and why no other.
const PLACED: [(&str, &[&str], &str); 2] = [
    ("h3", &["weft-hub", "weft-loadtest", "h3-quinn"], "tunnels are framed by ourselves"),
    ("h3-quinn", &["weft-hub", "weft-loadtest"], "tunnels are framed by ourselves"),
];

/// The other crypto provider. Cargo locks it for targets and features that nobody builds here, so
/// the lockfile cannot tell: no manifest may ask for it, and `make deny` bans it from what is built.
const OTHER_CRYPTO: &str = "ring";

/// Crates that link a C library or hold a protocol's state: one version of each.
const ALONE: [&str; 5] = ["libsqlite3-sys", "quinn-proto", "rustls", "h2", "aws-lc-rs"];

/// Every breach.
pub(crate) fn breaches(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.text(LOCKFILE) else {
        return vec![format!("{LOCKFILE} is not there")];
    };
    let packages = packages(text);
    let versions = |name: &str| {
        let found = packages.iter().filter(|(known, _)| *known == name);
        found.map(|(_, version)| *version).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for (name, floor, why) in FLOORS {
        let locked = versions(name);
        if locked.is_empty() {
            found.push(format!("{name} is not locked: has its floor a reason still?"));
        }
        let low = locked.into_iter().filter(|version| number(version) < Some(floor));
        found.extend(low.map(|version| format!("{name} {version} is below {floor:?}: {why}")));
    }
    for (name, why) in BANNED {
        found.extend(versions(name).into_iter().map(|version| format!("{name} {version}: {why}")));
    }
    for (name, places, why) in PLACED {
        let asking = text.split("[[package]]").skip(1).filter(|block| depends(block, name));
        let asking = asking.filter_map(package).map(|(package, _)| package);
        let wrong = asking.filter(|package| !places.contains(package));
        found.extend(wrong.map(|package| format!("{package} depends on {name}: {why}")));
    }
    let several = ALONE.into_iter().filter(|name| versions(name).len() > 1);
    found.extend(several.map(|name| format!("{name} in {} versions", versions(name).len())));
    found
}

/// Manifests that ask for the other crypto provider, and a ban on it that is gone.
pub(crate) fn other_crypto(tree: &Tree) -> Vec<String> {
    let asked = format!("\"{OTHER_CRYPTO}\"");
    let manifests = tree.files().filter(|(path, _)| path.ends_with("Cargo.toml"));
    let asking = manifests.filter(|(_, text)| text.contains(&asked));
    let mut found: Vec<_> = asking.map(|(path, _)| format!("{path} asks for {asked}")).collect();
    let ban = format!("crate = {asked}");
    if !tree.text("deny.toml").is_some_and(|text| text.contains(&ban)) {
        found.push(format!("deny.toml does not ban {asked}"));
    }
    found
}

/// Name and version of each locked package.
fn packages(text: &str) -> Vec<(&str, &str)> {
    text.split("[[package]]").skip(1).filter_map(package).collect()
}

/// Whether the package of `block` depends on `name`, in whatever version.
fn depends(block: &str, name: &str) -> bool {
    let Some((_, list)) = block.split_once("dependencies = [") else { return false };
    let list = list.split_once(']').map_or(list, |(list, _)| list);
    list.split('"').any(|entry| entry.split(' ').next() == Some(name))
}

/// Name and version of the package of one block.
fn package(block: &str) -> Option<(&str, &str)> {
    Some((value(block, "name = \"")?, value(block, "version = \"")?))
}

fn value<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    block.split_once(key)?.1.split('"').next()
}

/// The three numbers of a version, whatever stands behind them.
fn number(version: &str) -> Option<[u64; 3]> {
    let plain = version.split(['-', '+']).next()?;
    let mut parts = plain.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str)]) -> Vec<String> {
        let block = |(name, version): &(&str, &str)| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n")
        };
        let text: String = packages.iter().map(block).collect();
        breaches(&Tree::of(&[(LOCKFILE, &text)]))
    }

    #[test]
    fn a_version_below_its_floor_and_a_banned_crate_are_found() {
        let good = [
            ("quinn", "0.11.12"),
            ("quinn-proto", "0.12.0"),
            ("h2", "0.4.20+build"),
            ("hyper", "1.12.0"),
            ("libsqlite3-sys", "0.37.0"),
        ];
        assert!(lock(&good).is_empty(), "{:?}", lock(&good));
        for bad in [("h2", "0.4.16"), ("bincode", "1.3.3"), ("quinn-proto", "0.11.18")] {
            let mut packages = good.to_vec();
            packages.push(bad);
            assert!(!lock(&packages).is_empty(), "{bad:?}");
        }
        assert_eq!(lock(&good[1..]).len(), 1, "a floor without its crate");
    }

    #[test]
    fn http3_is_spoken_by_the_hub_and_the_harness_and_on_no_tunnel() {
        let lock = |package: &str, dependency: &str| {
            let head = format!("[[package]]\nname = \"{package}\"\nversion = \"0.1.0\"\n");
            let text = format!("{head}dependencies = [\n \"bytes\",\n \"{dependency}\",\n]\n");
            let found = breaches(&Tree::of(&[(LOCKFILE, &text)]));
            found.into_iter().filter(|breach| breach.contains("depends on")).count()
        };
        for good in ["weft-hub", "weft-loadtest", "h3-quinn"] {
            assert_eq!(lock(good, "h3"), 0, "{good}");
        }
        for bad in ["weft-transport", "weft-agent", "weft-proto", "somebody"] {
            assert_eq!(lock(bad, "h3 0.0.8"), 1, "{bad}");
            assert_eq!(lock(bad, "h3-quinn"), 1, "{bad}");
            assert_eq!(lock(bad, "h3o"), 0, "another crate");
        }
    }

    #[test]
    fn a_manifest_that_asks_for_the_other_crypto_provider_is_found() {
        let ban = ("deny.toml", "deny = [{ crate = \"ring\" }]");
        let good = ("a/Cargo.toml", "rustls = { features = [\"aws_lc_rs\"] }");
        assert!(other_crypto(&Tree::of(&[ban, good])).is_empty());
        let bad = ("a/Cargo.toml", "rustls = { features = [\"ring\"] }");
        assert_eq!(other_crypto(&Tree::of(&[ban, bad])).len(), 1);
        assert_eq!(other_crypto(&Tree::of(&[good])).len(), 1);
    }
}
