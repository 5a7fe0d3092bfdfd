//! What is signed of the journal: when, over what, and what a look at it finds after somebody, or a
//! bad disk, had a hand in it.

use super::*;
use crate::ledger::tickets::checkpoint::{Chain, Newest, Place};
use std::sync::LazyLock;
use weft_proto::ledger::PublicKey;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tickets");

fn keys() -> &'static [PublicKey] {
    static KEYS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| signer().key.keys());
    &KEYS
}

fn looked(dir: &Path) -> TicketAudit {
    TicketAudit::of_node(dir, NodeId::from_slice(&[4; 16]).ok(), keys()).expect("it can be read")
}

fn names(audit: &TicketAudit) -> Vec<&'static str> {
    audit.findings.iter().map(|finding| finding.name).collect()
}

/// Three stretches of records, each signed and synced, and a fourth that is neither: the folder of
/// the ledger, and the segment.
fn signed_thrice() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    for stretch in 0..3 {
        for record in
            [opened(10 * stretch + 1), opened(10 * stretch + 2), settled(10 * stretch + 1)]
        {
            tickets.append(&record).expect("appended");
        }
        assert!(tickets.sync_now(true).expect("signed"));
    }
    tickets.append(&opened(91)).expect("appended");
    tickets.append(&opened(92)).expect("appended");
    let segment = tickets.path(1);
    (dir, segment)
}

/// The frames of a segment.
fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    Pieces::new(bytes)
        .map(|(from, to, _)| {
            bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].to_vec()
        })
        .collect()
}

/// A record that is well made, and another than the one that was there.
fn another() -> Vec<u8> {
    let mut frame = Vec::new();
    frame::write(&opened(77), &mut frame).expect("a frame");
    frame
}

#[test]
fn what_is_signed_is_found_as_it_was_and_a_tail_that_is_not_signed_accuses_nobody() {
    let (dir, segment) = signed_thrice();
    let audit = looked(dir.path());
    // Each segment begins with a checkpoint, too.
    assert_eq!((audit.records, audit.tickets, audit.checkpoints), (15, 8, 4));
    assert_eq!((audit.unsigned, audit.torn, names(&audit)), (2, 0, vec![]));
    let bytes = fs::read(&segment).expect("read");
    let signed = bytes.len() - 2 * another().len();
    for cut in signed..bytes.len() {
        fs::write(&segment, &bytes[..cut]).expect("torn");
        let audit = looked(dir.path());
        let whole = signed + if cut >= signed + another().len() { another().len() } else { 0 };
        assert_eq!((names(&audit), audit.torn), (vec![], (cut - whole) as u64), "{cut}");
    }
    // Bent there, it may have been torn by the power.
    let mut bent = bytes.clone();
    bent[signed + 20] ^= 1;
    fs::write(&segment, &bent).expect("bent");
    assert_eq!(names(&looked(dir.path())), [""; 0]);
    fs::write(&segment, &bytes).expect("as it was");
    let (_, left) = reopened(dir.path());
    assert_eq!(ids(&left), (vec![2, 12, 22, 91, 92], vec![1, 11, 21]));
}

#[test]
fn whatever_is_cut_below_the_newest_checkpoint_is_missed() {
    let (dir, segment) = signed_thrice();
    let bytes = fs::read(&segment).expect("read");
    let newest = bytes.len() - 2 * another().len();
    for cut in (0..newest).step_by(7) {
        fs::write(&segment, &bytes[..cut]).expect("cut");
        let found = names(&looked(dir.path()));
        assert_eq!(found.len(), 1, "{cut}: {found:?}");
        assert!(matches!(found[0], "tickets_cut" | "checkpoint_missing"), "{cut}: {found:?}");
    }
    fs::remove_file(&segment).expect("removed");
    assert_eq!(names(&looked(dir.path())), ["segment_missing"]);
}

#[test]
fn every_bent_bit_below_the_newest_checkpoint_is_found_and_what_follows_is_read() {
    let (dir, segment) = signed_thrice();
    let bytes = fs::read(&segment).expect("read");
    let newest = bytes.len() - 2 * another().len();
    let last = frames(&bytes).iter().rev().nth(2).expect("a checkpoint").len();
    for byte in (0..newest).step_by(7) {
        let mut bent = bytes.clone();
        bent[byte] ^= 1 << (byte % 8);
        fs::write(&segment, &bent).expect("bent");
        let audit = looked(dir.path());
        let is_last = byte >= newest - last;
        let name = if is_last { "checkpoint_missing" } else { "tickets_damaged" };
        assert_eq!(names(&audit), [name], "byte {byte}");
        assert_eq!(audit.records, if is_last { 12 } else { 14 }, "byte {byte}");
    }
}

#[test]
fn a_record_that_was_changed_removed_added_or_moved_has_a_name() {
    let (dir, segment) = signed_thrice();
    let whole = frames(&fs::read(&segment).expect("read"));
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut frames = whole.clone();
        change(&mut frames);
        fs::write(&segment, frames.concat()).expect("written");
        names(&looked(dir.path()))
    };
    // 0 is the checkpoint that begins the segment; 4, 8 and 12 follow their stretches.
    assert_eq!(with(&|frames| frames[5] = another()), ["tickets_changed"]);
    assert_eq!(with(&|frames| drop(frames.remove(5))), ["tickets_removed"]);
    assert_eq!(with(&|frames| frames.insert(5, another())), ["tickets_added"]);
    assert_eq!(with(&|frames| frames.swap(5, 6)), ["tickets_reordered"]);
    assert_eq!(with(&|frames| drop(frames.remove(8))), ["tickets_removed"]);
    assert_eq!(with(&|frames| drop(frames.remove(12))), ["checkpoint_missing"]);
    assert_eq!(with(&|frames| drop(frames.remove(0))), ["checkpoint_missing"]);
    // All that is signed in the segment is gone, and the newest says that there was something.
    let unsigned = |frames: &mut Vec<Vec<u8>>| {
        for at in [12, 8, 4, 0] {
            drop(frames.remove(at));
        }
    };
    assert_eq!(with(&unsigned), ["tickets_cut"]);
    assert_eq!(with(&|_| {}), [""; 0]);
}

#[test]
fn nobody_else_signs_for_the_node() {
    let (dir, segment) = signed_thrice();
    let bytes = fs::read(&segment).expect("read");
    let mut frames = frames(&bytes);
    let Some((Record::Checkpoint(old), ..)) = frame::next(&frames[8]) else { panic!("one") };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let key = LedgerKey::open(elsewhere.path(), &SeededEntropy::new(10)).expect("a key");
    let forger = Signer { key, ..signer() };
    let forged = forger.sign(old.place, old.synced, old.chain);
    let mut frame = Vec::new();
    frame::write(&Record::Checkpoint(Box::new(forged)), &mut frame).expect("a frame");
    frames[8] = frame;
    fs::write(&segment, frames.concat()).expect("written");
    // The next one covers it.
    assert_eq!(names(&looked(dir.path())), ["checkpoint_forged", "tickets_changed"]);
    fs::write(&segment, &bytes).expect("as it was");
    let other = NodeId::from_slice(&[5; 16]).expect("an id");
    let audit = TicketAudit::of_node(dir.path(), Some(other), keys()).expect("read");
    assert!(audit.findings.iter().all(|finding| finding.name == "checkpoint_forged"));
    assert_eq!(audit.findings.len(), 5, "and the newest");
}

#[test]
fn a_start_after_damage_tells_it_keeps_the_segment_and_goes_on_with_the_rest() {
    let (dir, segment) = signed_thrice();
    let mut frames = frames(&fs::read(&segment).expect("read"));
    frames[1][30] ^= 4;
    fs::write(&segment, frames.concat()).expect("bent");
    let (tickets, left) = Tickets::open(dir.path(), signer(), true).expect("it opens");
    assert_eq!(left.found.len(), 1);
    assert_eq!(left.found[0].name, "tickets_damaged");
    assert_eq!(ids(&left), (vec![2, 12, 22, 91, 92], vec![1, 11, 21]), "all but one ticket");
    assert!(segment.with_extension("damaged").is_file());
    tickets.append(&opened(93)).expect("it goes on");
    tickets.sync_now(true).expect("signed");
    assert_eq!(names(&looked(dir.path())), ["segment_set_aside"]);
    drop(tickets);
    let (_, left) = reopened(dir.path());
    assert_eq!(left.open.len(), 6);
}

#[test]
fn segments_and_restarts_carry_one_chain_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut records = 0;
    for life in 0..3_u8 {
        let (tickets, _) = reopened(dir.path());
        tickets.append(&opened(10 * life + 1)).expect("appended");
        rotated(&tickets);
        tickets.append(&opened(10 * life + 2)).expect("appended");
        tickets.sync_now(true).expect("signed");
        let audit = looked(dir.path());
        assert_eq!(names(&audit), [""; 0]);
        let newest = Newest::read(&dir.path().join(FOLDER)).expect("read").expect("one");
        assert!(newest.chain.records > records, "it counts on");
        records = newest.chain.records;
    }
    // A segment in the middle.
    let (tickets, _) = reopened(dir.path());
    rotated(&tickets);
    rotated(&tickets);
    tickets.sync_now(true).expect("signed");
    let numbers = segments::list(&tickets.dir).expect("listed");
    fs::remove_file(&numbers[1].1).expect("removed");
    let found = names(&looked(dir.path()));
    assert_eq!(found, ["segment_missing"]);
}

#[tokio::test]
async fn what_is_new_is_signed_within_a_moment_and_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    let tickets = Arc::new(tickets);
    let over = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Arc::clone(&tickets).keep_synced(over.clone()));
    tickets.append(&settled(1)).expect("appended");
    let mut tries = 0;
    while looked(dir.path()).checkpoints < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tries += 1;
        assert!(tries < 500, "it is signed by itself");
    }
    let audit = looked(dir.path());
    assert_eq!((audit.records, audit.unsigned, names(&audit)), (3, 0, vec![]));
    // Nothing is new.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(looked(dir.path()).checkpoints, 2);
    // More than may wait for the time to pass.
    for number in 0..=255 {
        tickets.append(&opened(number)).expect("appended");
    }
    over.cancel();
    tasks.join_next().await.expect("one").expect("it ends").expect("synced");
    let audit = looked(dir.path());
    assert_eq!((audit.tickets, audit.unsigned, names(&audit)), (256, 0, vec![]));
}

#[test]
fn as_many_tickets_as_may_be_unsigned_are_signed_at_the_next_sync() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    for number in 0..255 {
        tickets.append(&opened(number)).expect("appended");
    }
    assert!(!tickets.sync_now(false).expect("synced"));
    assert_eq!(looked(dir.path()).unsigned, 255);
    tickets.append(&opened(255)).expect("appended");
    assert!(tickets.sync_now(false).expect("synced"));
    assert_eq!(looked(dir.path()).unsigned, 0);
}

#[test]
fn how_an_exchange_ended_waits_for_the_task_and_keeps_its_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tickets, _) = reopened(dir.path());
    let length = || fs::metadata(tickets.path(1)).expect("there").len();
    tickets.append(&opened(1)).expect("appended");
    let with_ticket = length();
    tickets.append(&settled(1)).expect("appended");
    assert_eq!(length(), with_ticket, "it waits");
    // What must not wait takes it along.
    tickets.append(&opened(2)).expect("appended");
    let (_, read) = whole(&fs::read(tickets.path(1)).expect("read"));
    assert_eq!(read[1..], [opened(1), settled(1), opened(2)]);
    tickets.append(&settled(2)).expect("appended");
    // The process dies: the ticket is an orphan.
    drop(tickets);
    let (_, left) = reopened(dir.path());
    assert_eq!(ids(&left), (vec![2], vec![1]));
}

/// A journal of the version before checkpoints, written by its code.
fn write_unsigned(dir: &Path) {
    let records = [
        opened(1),
        opened(2),
        Record::Grown { exchange: exchange(2), parts: parts(250) },
        settled(1),
        opened(3),
        Record::Released { exchange: exchange(3) },
        settled(4),
        Record::Posted { exchanges: vec![exchange(4)] },
    ];
    let mut bytes = Vec::new();
    for record in &records {
        frame::write(record, &mut bytes).expect("a frame");
    }
    let dir = dir.join(FOLDER);
    fs::create_dir_all(&dir).expect("a folder");
    fs::write(segments::path(&dir, 1), bytes).expect("written");
}

/// The same with checkpoints, a second segment and a tail that is not signed.
fn write_signed(dir: &Path) {
    write_in_two_segments(dir, &[opened(1), opened(2), settled(1)], &[settled(4)]);
}

/// The same where outcomes go with settlements.
fn write_ended(dir: &Path) {
    let first = [opened(1), opened(2), ended(1), settled(1)];
    write_in_two_segments(dir, &first, &[ended(4), settled(4)]);
}

fn write_in_two_segments(dir: &Path, first: &[Record], second: &[Record]) {
    let (tickets, _) = reopened(dir);
    for record in first {
        tickets.append(record).expect("appended");
    }
    tickets.sync_now(true).expect("signed");
    tickets.append(&Record::Grown { exchange: exchange(2), parts: parts(250) }).expect("appended");
    rotated(&tickets);
    tickets.sync_now(false).expect("synced");
    for record in second {
        tickets.append(record).expect("appended");
    }
    tickets.append(&Record::Posted { exchanges: vec![exchange(4)] }).expect("appended");
    tickets.flush().expect("written");
}

/// All files under a folder.
fn files(dir: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let listed = fs::read_dir(dir.join(FOLDER)).expect("listed").map(|entry| entry.expect("one"));
    listed.map(|entry| (entry.file_name(), fs::read(entry.path()).expect("read"))).collect()
}

/// A format that there has been, and who writes it.
type Format = (&'static str, fn(&Path));

const FORMATS: [Format; 3] =
    [("unsigned", write_unsigned), ("signed", write_signed), ("ended", write_ended)];

#[test]
#[ignore = "writes the samples that are not there, which must not change afterwards"]
fn freeze_a_sample_of_the_journal() {
    for (name, write) in FORMATS {
        let dir = Path::new(SAMPLES).join(name);
        if !dir.exists() {
            write(&dir);
        }
    }
}

#[test]
fn the_frozen_journals_of_all_formats_are_read_and_written_as_they_were() {
    for (name, write) in FORMATS {
        let (frozen, fresh) = (Path::new(SAMPLES).join(name), tempfile::tempdir().expect("one"));
        write(fresh.path());
        assert_eq!(files(&frozen), files(fresh.path()), "{name}");
        let audit = looked(&frozen);
        assert_eq!((names(&audit), audit.torn), (vec![], 0), "{name}");
        assert_eq!(audit.checkpoints, if name == "unsigned" { 0 } else { 4 });
        let (_, left) = reopened(fresh.path());
        assert_eq!(ids(&left), (vec![2], vec![1]), "{name}");
        assert_eq!(left.open[0].held, NanoUsd::new(250));
        let ended = if name == "ended" { vec![outcome(1)] } else { vec![] };
        assert_eq!(left.ended, ended, "{name}");
        // From here on all of it is signed.
        let audit = looked(fresh.path());
        assert_eq!((audit.unsigned, names(&audit)), (0, vec![]), "{name}");
    }
}

#[test]
fn the_newest_checkpoint_survives_a_write_that_was_torn() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut newest = Newest::open(dir.path()).expect("made");
    assert_eq!(Newest::read(dir.path()).expect("read"), None);
    let sign = |offset| signer().sign(Place { segment: 1, offset }, Place::default(), Chain::START);
    newest.write(&sign(1)).expect("written");
    newest.write(&sign(2)).expect("written");
    drop(newest);
    let path = dir.path().join("newest");
    let bytes = fs::read(&path).expect("read");
    // The slot of the second is the one that was written last, and the next is not.
    let mut newest = Newest::open(dir.path()).expect("opened");
    newest.write(&sign(3)).expect("written");
    let after = fs::read(&path).expect("read");
    for torn in 0..200 {
        let mixed: Vec<u8> = after
            .iter()
            .zip(bytes.iter().chain(std::iter::repeat(&0)))
            .enumerate()
            .map(|(at, (new, old))| if at < torn || at >= 512 { *new } else { *old })
            .collect();
        fs::write(&path, mixed).expect("torn");
        let said = Newest::read(dir.path()).expect("read").expect("one is whole");
        assert!([sign(2), sign(3)].contains(&said), "{torn}");
    }
}
