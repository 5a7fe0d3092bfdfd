//! Words that have no place: in the whole tree, in the sans-io crate, and in the hub.
//!
//! The list is written in pieces, so that it does not find itself.

use crate::code;
use crate::tree::Tree;

/// In any file. Each with its reason.
const IN_THE_TREE: &[(&str, &str)] = &[
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("../sha", "red"), "the project speaks of itself alone"),
    (concat!("registry.", "npmjs"), "which registry serves is the machine's setting"),
    (concat!("pypi", ".org"), "which registry serves is the machine's setting"),
    (concat!("python", "hosted.org"), "which registry serves is the machine's setting"),
    (concat!("index.", "crates.io"), "which registry serves is the machine's setting"),
    (concat!("static.", "crates.io"), "which registry serves is the machine's setting"),
    (concat!("deb.", "debian.org"), "which mirror serves is the machine's setting"),
    (concat!("<<<<", "<<< "), "a merge left half done"),
    (concat!(">>>>", ">>> "), "a merge left half done"),
];

/// In the code of `transport/proto`, which knows no I/O, no clock but its own and no task.
const IN_PROTO: &[&str] = &[
    "tokio",
    "quinn",
    "async",
    "std::fs",
    "std::thread",
    "std::process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::env",
];

/// In the code of the hub and its store: a name here would be a place for a provider key.
const IN_THE_HUB: &[&str] = &[
    "weft_agent",
    "vault",
    "Vault",
    "ProviderKey",
    "ProviderSecret",
    "provider_key",
    "provider_secret",
    "upstream_key",
    "account_key",
    "account_secret",
];

/// Every banned word, with the line it stands on.
pub(crate) fn breaches(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in text.lines().enumerate() {
            let hits = IN_THE_TREE.iter().filter(|(word, _)| line.contains(word));
            found.extend(
                hits.map(|(word, reason)| format!("{path}:{}: `{word}`: {reason}", number + 1)),
            );
        }
    }
    found
}

/// Traces of I/O in the sans-io crate.
pub(crate) fn io_in_proto(tree: &Tree) -> Vec<String> {
    words_under(tree, &["transport/proto/src/"], IN_PROTO)
}

/// Names in the hub that only the agent may have.
pub(crate) fn keys_in_hub(tree: &Tree) -> Vec<String> {
    words_under(tree, &["hub/src/", "hub/store/src/"], IN_THE_HUB)
}

fn words_under(tree: &Tree, folders: &[&str], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.rust() {
        if !folders.iter().any(|folder| path.starts_with(folder)) || code::is_test_file(path) {
            continue;
        }
        let bare = code::bare(code::without_test_tail(text));
        let hits = words.iter().filter(|word| code::has_word(&bare, word));
        found.extend(hits.map(|word| format!("{path}: `{word}`")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_word_is_found_with_its_line() {
        let text = format!("one\ntwo {}x\n", IN_THE_TREE[0].0);
        let found = breaches(&Tree::of(&[("README.md", &text)]));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("README.md:2:"), "{found:?}");
    }

    #[test]
    fn only_code_counts_in_proto_and_hub() {
        let words = "//! Unlike tokio, no vault.\nuse std::fmt;\n";
        let tree = Tree::of(&[("transport/proto/src/a.rs", words), ("hub/src/a.rs", words)]);
        assert!(io_in_proto(&tree).is_empty() && keys_in_hub(&tree).is_empty());
        let tree = Tree::of(&[
            ("transport/proto/src/a.rs", "use std::fs::File;"),
            ("hub/src/a.rs", "struct ProviderKey;"),
        ]);
        assert_eq!((io_in_proto(&tree).len(), keys_in_hub(&tree).len()), (1, 1));
    }
}
