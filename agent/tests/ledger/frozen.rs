//! Ledgers that older versions wrote are readable for ever.
//!
//! `agent/testdata/ledger-v1` and `ledger-v2`, which has cosignatures that show the hub's journal, were
//! written once by the test below and are frozen: a build that cannot read them, or reads something
//! else in them, is a broken format. Mend the code, never the files.

use std::fs;
use std::path::{Path, PathBuf};
use weft_agent::datadir::DataDir;
use weft_agent::ledger::read::read;
use weft_proto::ledger::verify::Trust;

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

#[test]
fn the_frozen_ledgers_read_as_they_did() {
    assert_eq!(reads_as_it_did("ledger-v1"), None, "it was shown nothing that was signed");
    assert_eq!(reads_as_it_did("ledger-v2"), Some(8));
}

/// How much of the hub's journal it was shown.
fn reads_as_it_did(name: &str) -> Option<u64> {
    let data = DataDir::existing(sample(name)).expect("data");
    let mut kinds = Vec::new();
    let reading = read(&data, Trust::default(), true, |entry| kinds.push(entry.body.name()));
    let reading = reading.expect("readable");
    assert_eq!(reading.verifier.findings(), []);
    let expected = fs::read_to_string(sample(name).join("expected.txt")).expect("expected");
    assert_eq!(summary(&reading, &kinds), expected);
    reading.verifier.witness().head().map(|head| head.size)
}

fn summary(reading: &weft_agent::ledger::read::Reading, kinds: &[&str]) -> String {
    let (totals, head) = (reading.verifier.totals(), reading.verifier.head());
    format!(
        "epoch {} size {}\nroot {}\nlast {}\nentries {} opened {} proper {} cut {} interrupted {}\n\
         paid {} claimed {} income {} cosigned {}\n{}\n",
        head.epoch,
        head.size,
        head.root,
        head.last,
        totals.entries,
        totals.opened,
        totals.closed_proper,
        totals.closed_cut,
        totals.closed_interrupted,
        totals.paid,
        totals.claimed_nanos,
        totals.income_nanos,
        totals.cosigned,
        kinds.join(" ")
    )
}

/// Wrote the sample. Run it again only for a new version, into a new folder.
#[tokio::test]
#[ignore = "writes a sample, once"]
async fn write_the_sample_of_this_version() {
    let to = std::env::var_os("WEFT_SAMPLE_TO").map(PathBuf::from).expect("WEFT_SAMPLE_TO");
    crate::life::live_on_disk(&to).await;
    let data = DataDir::existing(&to).expect("data");
    let mut kinds = Vec::new();
    let reading = read(&data, Trust::default(), true, |entry| kinds.push(entry.body.name()));
    let text = summary(&reading.expect("readable"), &kinds);
    fs::write(Path::new(&to).join("expected.txt"), text).expect("write");
}
