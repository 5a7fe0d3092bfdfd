//! Every seed through its target, on the stable toolchain; and nothing forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use weft_proto_fuzz::TARGETS;

fn names(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).expect("a folder of the fuzz crate");
    entries
        .map(|entry| entry.expect("a readable entry").path())
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn every_target_has_its_binary_and_its_seeds() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("seeds"), known);
}

#[test]
fn every_seed_keeps_its_targets_promises() {
    for (name, body) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut seeds = 0;
        for entry in fs::read_dir(folder).expect("the seeds of a target") {
            let seed = fs::read(entry.expect("a readable entry").path()).expect("a seed");
            body(&seed);
            // Every beginning of a seed too: cut bodies are what a decoder meets most.
            (0..seed.len()).for_each(|end| body(&seed[..end]));
            seeds += 1;
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
}
