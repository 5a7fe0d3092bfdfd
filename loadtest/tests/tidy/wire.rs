//! The wire's document names the sources that it describes, by their hash.
//!
//! The hash runs over `transport/proto/src/wire.rs` and all files under `wire/` that are not
//! tests, in the order of their paths. Whoever changes them reads the document again, mends what
//! is no longer true, and writes the new hash.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::code;
use crate::tree::Tree;

const DOCUMENT: &str = "transport/docs/wire.md";
const MODULE: &str = "transport/proto/src/wire.rs";
const FOLDER: &str = "transport/proto/src/wire/";

/// The document, where it was not read again after its sources changed.
pub(crate) fn breaches(tree: &Tree) -> Vec<String> {
    let Some(document) = tree.text(DOCUMENT) else {
        return Vec::new();
    };
    let now = hash(tree);
    let written = document.lines().find_map(|line| line.trim().strip_prefix("sources: "));
    if written.map(str::trim) == Some(now.as_str()) {
        return Vec::new();
    }
    vec![format!(
        "{DOCUMENT} was written for other sources. Check that it still tells what {FOLDER} does, \
         then put this line into it:\n\nsources: {now}\n"
    )]
}

fn hash(tree: &Tree) -> String {
    let mut hasher = Sha256::new();
    for (path, text) in tree.rust() {
        if (path == MODULE || path.starts_with(FOLDER)) && !code::is_test_file(path) {
            hasher.update(text.as_bytes());
        }
    }
    let mut hex = String::new();
    for byte in hasher.finalize() {
        write!(hex, "{byte:02x}").expect("writing to a string succeeds");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_holds_only_for_the_sources_it_names() {
        let source = ("transport/proto/src/wire/head.rs", "//! Heads.\n");
        let tree = Tree::of(&[source, (DOCUMENT, "")]);
        assert_eq!(breaches(&tree).len(), 1);
        let named = format!("# Wire\n\nsources: {}\n", hash(&tree));
        assert!(breaches(&Tree::of(&[source, (DOCUMENT, &named)])).is_empty());
        let changed = ("transport/proto/src/wire/head.rs", "//! Other heads.\n");
        assert_eq!(breaches(&Tree::of(&[changed, (DOCUMENT, &named)])).len(), 1);
        assert!(breaches(&Tree::of(&[source])).is_empty(), "no document, nothing to follow");
    }
}
