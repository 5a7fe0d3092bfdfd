//! Files that were cut or changed: each cut and each flipped bit is told for what it is.

use crate::disk::FaultyDisk;
use crate::world::{World, all, verify};
use std::sync::Arc;
use weft_agent::ledger::{Broken, LedgerError};

/// Bytes before a frame's entry, and before the first frame of a segment.
const FRAME_HEADER: usize = 12;
const SEGMENT_HEADER: usize = 20;
/// Bytes between two lines that say how far a long run is.
const TOLD_EVERY_BYTES: usize = 1_000;

/// A ledger of one exchange a commit, so that every frame is a commit of its own. Returns its disk,
/// its entries, the newest segment and where the frames of it begin and end.
async fn written(
    world: &World,
    exchanges: usize,
    cosign: bool,
) -> (Arc<FaultyDisk>, Vec<Vec<u8>>, String, Vec<usize>) {
    let disk = Arc::new(FaultyDisk::new(7, 512));
    let ledger = world.open(&disk).expect("open");
    for _ in 0..exchanges {
        let entry = ledger.open_exchange(world.ticket()).await.expect("open");
        let facts = world.facts(entry.opened());
        entry.close(facts);
    }
    if cosign {
        let note = ledger.checkpoint().await.expect("checkpoint");
        let cosigned = world.cosigned(&note.statement);
        ledger.cosigned(1, cosigned).await.expect("cosigned");
    }
    let entries = all(&ledger).await;
    let logs = disk.names().into_iter().filter(|name| name.starts_with("log-"));
    let newest = logs.max().expect("a segment");
    let bytes = disk.bytes(&newest);
    let mut ends = vec![SEGMENT_HEADER];
    while let Some(at) = ends.last().copied().filter(|at| *at < bytes.len()) {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
        ends.push(at + FRAME_HEADER + usize::try_from(length).expect("small"));
    }
    (disk, entries, newest, ends)
}

/// What a start makes of the disk.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It goes on, with so many of the entries that were there before.
    Works(usize),
    /// A torn tail was set aside; so many entries stayed.
    Torn(usize),
    Corrupt,
}

async fn start(world: &World, disk: &FaultyDisk, entries: &[Vec<u8>]) -> Told {
    let before: Vec<_> = disk.names().iter().map(|name| (name.clone(), disk.bytes(name))).collect();
    let disk = Arc::new(disk.copy());
    match world.open(&disk) {
        Ok(ledger) => {
            let now = all(&ledger).await;
            verify(&now);
            let same = now.iter().zip(entries).take_while(|(one, other)| one == other).count();
            if ledger.torn().is_some() { Told::Torn(same) } else { Told::Works(same) }
        }
        Err(LedgerError::Corrupt(_)) => {
            let after: Vec<_> =
                disk.names().iter().map(|name| (name.clone(), disk.bytes(name))).collect();
            assert!(before == after, "a corrupt ledger is left as it is");
            Told::Corrupt
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_log_cut_anywhere_in_its_last_segment_is_a_torn_tail_down_to_what_was_cosigned() {
    let world = World::new(1);
    let (disk, entries, newest, ends) = written(&world, 30, false).await;
    let whole = disk.bytes(&newest);
    let older = entries.len() - (ends.len() - 1);
    for cut in 0..whole.len() {
        disk.put(&newest, whole[..cut].to_vec());
        let kept = older + ends.iter().filter(|end| **end <= cut && **end > SEGMENT_HEADER).count();
        let told = start(&world, &disk, &entries).await;
        let expected = if ends.contains(&cut) { Told::Works(kept) } else { Told::Torn(kept) };
        assert_eq!(told, expected, "cut at {cut}");
    }
    let (disk, entries, newest, _) = written(&world, 30, true).await;
    let whole = disk.bytes(&newest);
    // The cosignature is the last entry: what it covers ends before the checkpoint.
    let covered = entries.len() - 2;
    for cut in (0..whole.len()).step_by(7) {
        disk.put(&newest, whole[..cut].to_vec());
        match start(&world, &disk, &entries).await {
            Told::Corrupt => {}
            Told::Works(kept) | Told::Torn(kept) => assert!(kept >= covered, "cut at {cut}"),
        }
    }
}

/// Flips bits of every frame of a log and looks what a start makes of it. `every` bytes one bit, and
/// every bit of the last frames.
async fn flip(exchanges: usize, every: usize) {
    let world = World::new(2);
    let (disk, entries, newest, ends) = written(&world, exchanges, false).await;
    assert!(entries.len() > 100);
    let mut segments: Vec<_> =
        disk.names().into_iter().filter(|name| name.starts_with("log-")).collect();
    segments.sort();
    let last_frame = ends[ends.len() - 2];
    for name in &segments {
        let whole = disk.bytes(name);
        for at in 0..whole.len() {
            if every == 1 && at.is_multiple_of(TOLD_EVERY_BYTES) {
                println!("{name}: {at} of {} bytes", whole.len());
            }
            let near = *name == newest && at >= last_frame;
            let bits = if near || every == 1 {
                0..8
            } else if at.is_multiple_of(every) {
                at % 8..at % 8 + 1
            } else {
                continue;
            };
            for bit in bits {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                disk.put(name, bytes);
                let told = start(&world, &disk, &entries).await;
                let expected = if near { Told::Torn(entries.len() - 1) } else { Told::Corrupt };
                assert_eq!(told, expected, "{name}: bit {bit} of byte {at}");
            }
        }
        disk.put(name, whole);
    }
}

#[tokio::test]
async fn a_flipped_bit_is_corruption_unless_it_is_in_the_last_frame() {
    flip(52, 13).await;
}

#[tokio::test]
#[ignore = "every bit of a hundred frames: make soak"]
async fn every_flipped_bit_of_a_hundred_frames_is_corruption_unless_it_is_in_the_last_frame() {
    flip(52, 1).await;
}

#[tokio::test]
async fn a_flipped_bit_in_what_was_cosigned_is_corruption_even_in_the_last_frame() {
    let world = World::new(3);
    let (disk, entries, newest, ends) = written(&world, 10, true).await;
    let whole = disk.bytes(&newest);
    // Take checkpoint and cosignature away: the last frame left is a cosigned one.
    let keep = ends[ends.len() - 3];
    disk.put(&newest, whole[..keep].to_vec());
    assert_eq!(start(&world, &disk, &entries).await, Told::Works(entries.len() - 2));
    for at in ends[ends.len() - 4]..keep {
        let mut bytes = whole[..keep].to_vec();
        bytes[at] ^= 4;
        disk.put(&newest, bytes);
        assert_eq!(start(&world, &disk, &entries).await, Told::Corrupt, "byte {at}");
    }
}

#[tokio::test]
async fn segments_that_are_missing_swapped_or_replaced_are_corruption() {
    let world = World::new(4);
    let (disk, entries, _, _) = written(&world, 60, false).await;
    let segments: Vec<_> =
        disk.names().into_iter().filter(|name| name.starts_with("log-")).collect();
    assert!(segments.len() > 3);
    let one = disk.bytes(&segments[1]);
    let changed = disk.copy();
    changed.remove(&segments[1]);
    assert_eq!(start(&world, &changed, &entries).await, Told::Corrupt);
    let changed = disk.copy();
    changed.put(&segments[2], one);
    assert_eq!(start(&world, &changed, &entries).await, Told::Corrupt);
    // All of the log is gone and the marker is not.
    let changed = disk.copy();
    segments.iter().for_each(|name| changed.remove(name));
    assert_eq!(start(&world, &changed, &entries).await, Told::Corrupt);
    let disk = Arc::new(changed);
    let Err(LedgerError::Corrupt(why)) = world.open(&disk) else { panic!("corrupt") };
    assert!(matches!(why.what, Broken::Short { .. }));
}
