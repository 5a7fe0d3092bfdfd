//! The maps from dangers to tests: every test that they name is in the sources.
//!
//! A map is a document whose tables name tests in back quotes in their last column. A name counts
//! where a function of that name stands under a test attribute, in any crate of the checkout.

use crate::tree::Tree;
use std::collections::BTreeSet;

/// Documents whose tables end in a column of test names.
const MAPS: [&str; 2] = ["transport/docs/pitfalls.md", "hub/docs/bad-input.md"];

/// How a test names itself one: the attribute on a line of its own, its arguments aside.
const ATTRIBUTES: [&str; 2] = ["#[test]", "#[tokio::test"];

/// Rows without a test, and names that are no test's.
pub(crate) fn breaches(tree: &Tree) -> Vec<String> {
    let tests = tests(tree);
    let mut found = Vec::new();
    for map in MAPS {
        let Some(text) = tree.text(map) else {
            found.push(format!("{map} is not there"));
            continue;
        };
        let mut rows = 0;
        for (number, line) in text.lines().enumerate() {
            let Some(cell) = last_cell(line) else { continue };
            rows += 1;
            let named: Vec<_> = names(cell).collect();
            if named.is_empty() {
                found.push(format!("{map}:{}: a row without a test", number + 1));
            }
            let unknown = named.into_iter().filter(|name| !tests.contains(name));
            found.extend(unknown.map(|name| format!("{map}:{}: no test `{name}`", number + 1)));
        }
        if rows == 0 {
            found.push(format!("{map} has no rows"));
        }
    }
    found
}

/// The last column of a table's row; nothing for other lines, heads and rules of tables.
fn last_cell(line: &str) -> Option<&str> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cell = row.rsplit('|').next()?.trim();
    let is_rule = !cell.is_empty() && cell.chars().all(|c| c == '-' || c == ':');
    (!is_rule && cell != "tests").then_some(cell)
}

/// What stands in back quotes, a path before the name cut off.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.map(|name| name.rsplit("::").next().unwrap_or(name))
}

/// The names of all tests.
fn tests(tree: &Tree) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (_, text) in tree.rust() {
        let mut under = false;
        for line in text.lines().map(str::trim) {
            if ATTRIBUTES.iter().any(|attribute| line.starts_with(attribute)) {
                under = true;
            } else if let Some(name) = under.then(|| function(line)).flatten() {
                found.insert(name);
                under = false;
            }
        }
    }
    found
}

fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches_with(row: &str) -> Vec<String> {
        let source = "//! A.\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn it_holds() {}\n\
                      #[test]\n#[should_panic]\nfn it_breaks() {}\nfn no_test() {}\n";
        let map = format!("| what | tests |\n|---|---|\n{row}\n");
        breaches(&Tree::of(&[("a/src/a.rs", source), (MAPS[0], &map), (MAPS[1], &map)]))
    }

    #[test]
    fn a_row_holds_where_its_tests_are_in_the_sources() {
        assert!(breaches_with("| x | `it_holds`, `module::it_breaks` |").is_empty());
        for row in ["| x | `gone` |", "| x | `it_holds`, `no_test` |", "| x | later |", ""] {
            assert_eq!(breaches_with(row).len(), 2, "{row}");
        }
        assert_eq!(breaches(&Tree::of(&[])).len(), 2, "a map that is gone");
    }
}
