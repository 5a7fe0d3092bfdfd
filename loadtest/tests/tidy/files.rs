//! How long files are, how they begin and what they are called.

use crate::code;
use crate::tree::Tree;

/// Above this many lines a file is pointed out, tests not counted.
pub(crate) const LINES_WARN: usize = 400;

/// Above this many lines a file fails the test, tests not counted.
pub(crate) const LINES_MAX: usize = 600;

/// The hub's `main` parses, starts and waits; more belongs into its `app`.
const HUB_MAIN_LINES_MAX: usize = 80;

/// Names under which anything could stand, and `mod.rs`, which hides its module's name.
const BANNED_NAMES: [&str; 9] =
    ["common", "helper", "helpers", "misc", "mod", "shared", "types", "util", "utils"];

/// The length in lines of every source file that is not itself a test.
pub(crate) fn lengths(tree: &Tree) -> Vec<(String, usize)> {
    tree.rust()
        .filter(|(path, _)| !code::is_test_file(path))
        .map(|(path, text)| (path.to_owned(), code::without_test_tail(text).lines().count()))
        .collect()
}

/// The files above [`LINES_MAX`].
pub(crate) fn too_long(lengths: &[(String, usize)]) -> Vec<String> {
    let long = lengths.iter().filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(path, lines)| format!("{path}: {lines} lines")).collect()
}

/// The files that do not open with `//!`. A `tests.rs` is told by the module it belongs to, a
/// fuzz target by the one function that it calls.
pub(crate) fn without_header(tree: &Tree) -> Vec<String> {
    tree.rust()
        .filter(|(_, text)| !text.starts_with("//!"))
        .filter(|(path, _)| !path.ends_with("/tests.rs") && !path.contains("/fuzz_targets/"))
        .map(|(path, _)| path.to_owned())
        .collect()
}

/// The source files and folders with a banned name.
pub(crate) fn misnamed(tree: &Tree) -> Vec<String> {
    let banned = |part: &str| BANNED_NAMES.contains(&part.trim_end_matches(".rs"));
    let found = tree.rust().filter(|(path, _)| path.split('/').any(banned));
    found.map(|(path, _)| path.to_owned()).collect()
}

/// The hub's `main`, where it does more than start the hub.
pub(crate) fn long_main(tree: &Tree) -> Vec<String> {
    let main = "hub/src/main.rs";
    let lines = tree.text(main).map_or(0, |text| text.lines().count());
    let long = (lines > HUB_MAIN_LINES_MAX)
        .then(|| format!("{main}: {lines} lines, at most {HUB_MAIN_LINES_MAX}"));
    long.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_code_and_not_its_tests() {
        let text = "fn a() {}\n".repeat(LINES_MAX);
        let with_tests = format!("{text}#[cfg(test)]\nmod tests {{\n}}\n");
        let tree = Tree::of(&[("hub/src/a.rs", &with_tests), ("hub/src/a/tests.rs", &text)]);
        assert!(too_long(&lengths(&tree)).is_empty());
        let tree = Tree::of(&[("hub/src/a.rs", &format!("fn b() {{}}\n{text}"))]);
        assert_eq!(too_long(&lengths(&tree)).len(), 1);
    }

    #[test]
    fn a_file_without_a_purpose_or_with_an_empty_name_is_found() {
        let tree = Tree::of(&[("hub/src/util/a.rs", "fn a() {}"), ("hub/src/b.rs", "//! B.\n")]);
        assert_eq!(without_header(&tree), ["hub/src/util/a.rs"]);
        assert_eq!(misnamed(&tree), ["hub/src/util/a.rs"]);
    }
}
