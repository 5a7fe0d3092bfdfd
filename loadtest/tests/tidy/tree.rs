//! The checkout: which files belong to it, and what they say.
//!
//! Git names the files where it can (tracked and new, not ignored); a source archive without
//! git is walked instead. Files that are not UTF-8 have no text here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that a walk without git leaves out.
const NOT_SOURCES: [&str; 4] = [".git", "target", "node_modules", "__pycache__"];

/// The text files of the checkout by their path from its root, in order.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the checkout that this test was compiled from.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = root.parent().expect("loadtest/ lies in the workspace's root");
        assert!(root.join("Cargo.lock").is_file(), "no workspace at {}", root.display());
        let paths = listed_by_git(root).unwrap_or_else(|| walked(root));
        let text = |path: String| {
            // Listed by git, yet deleted or replaced since: not part of the tree any more.
            let text = std::fs::read_to_string(root.join(&path)).ok()?;
            Some((path, text))
        };
        let files: BTreeMap<_, _> = paths.into_iter().filter_map(text).collect();
        assert!(files.contains_key("Cargo.toml"), "the tree of {} is empty", root.display());
        Self { files }
    }

    /// A tree of the given files, for tests of the rules themselves.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self { files: files.iter().map(own).collect() }
    }

    /// All files: path and text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// All Rust files: path and text.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    let names = String::from_utf8(listing.stdout).ok()?;
    let names: Vec<_> = names.split_terminator('\0').map(str::to_owned).collect();
    (listing.status.success() && !names.is_empty()).then_some(names)
}

fn walked(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the checkout is readable") {
            let entry = entry.expect("an entry of the checkout is readable");
            let kind = entry.file_type().expect("an entry has a type");
            if kind.is_dir() {
                if !NOT_SOURCES.iter().any(|name| entry.file_name() == *name) {
                    folders.push(entry.path());
                }
            } else if kind.is_file() {
                let path = entry.path();
                let path = path.strip_prefix(root).expect("a walk stays inside its root");
                found.extend(path.to_str().map(str::to_owned));
            }
        }
    }
    found
}
