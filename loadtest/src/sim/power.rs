//! Power cuts: what a machine had written and its disk had not taken is lost, in whole or in part.
//!
//! The simulated processes sync nothing, so that what a disk has taken is decided here: all that was
//! there a moment before the power went, and of what came later as much as a disk could have.
//!
//! - Of the hub's **journal** that may be any sectors: it is synced behind those who write it, and
//!   nobody waits for that. What it had written has had its effects.
//! - Of an agent's **log** it is so many commits, and of the next one any sectors: a commit is
//!   written when the one before is durable. Nothing that it wrote in that time may have had an
//!   effect, so that the world keeps such an agent from being heard.
//!
//! Names are durable as soon as they are made: where files came or went meanwhile, nothing is lost.

use super::dice::Dice;
use super::machine::Stood;
use std::path::Path;

/// What disks write at once, old ones and new ones.
const SECTORS: [usize; 2] = [512, 4_096];
/// Bytes of a frame of an agent's log before its entry, as `agent/docs/ledger-format.md` has it.
const FRAME_HEADER_BYTES: usize = 12;

/// What a power cut leaves.
#[derive(Debug)]
pub(super) struct Cut {
    /// What stands on the disk.
    pub(super) left: Stood,
    /// All that was written since the disk had last taken everything, where some of it is lost.
    pub(super) lost: Vec<u8>,
}

impl Cut {
    /// What is left of the hub's journal: `taken` stood on the disk for certain, `now` is what was
    /// written.
    pub(super) fn of_journal(taken: &Stood, now: Stood, dice: &Dice) -> Self {
        let mut cut = Self { left: now, lost: Vec::new() };
        if !taken.files.keys().eq(cut.left.files.keys()) {
            return cut;
        }
        let sector = sector(dice);
        for (path, bytes) in &mut cut.left.files {
            let durable = taken.files.get(path).map_or(0, Vec::len).min(bytes.len());
            let kept = torn(bytes, durable, sector, dice);
            if kept != *bytes {
                cut.lost.extend_from_slice(&bytes[durable..]);
                *bytes = kept;
            }
        }
        cut
    }

    /// What is left of an agent's ledger.
    pub(super) fn of_log(taken: &Stood, now: Stood, dice: &Dice) -> Self {
        let nothing = |left| Self { left, lost: Vec::new() };
        if !taken.files.keys().eq(now.files.keys()) {
            return nothing(now);
        }
        let is_log = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("log-"))
        };
        let Some((path, bytes)) = now.files.iter().rfind(|(path, _)| is_log(path)) else {
            return nothing(now);
        };
        let durable = taken.files.get(path).map_or(0, Vec::len).min(bytes.len());
        let commits = commits(bytes, durable);
        let Some(&begin) = commits.get(dice.size(0..commits.len())) else {
            return nothing(now);
        };
        let end = commits.iter().find(|next| **next > begin).copied().unwrap_or(bytes.len());
        let kept = torn(&bytes[..end], begin, sector(dice), dice);
        if kept == *bytes {
            return nothing(now);
        }
        let lost = bytes[begin..].to_vec();
        // What is written beside the log is written behind a commit of it.
        let mut left = taken.clone();
        left.files.insert(path.clone(), kept);
        Self { left, lost }
    }
}

fn sector(dice: &Dice) -> usize {
    SECTORS[dice.size(0..SECTORS.len())]
}

/// Where commits begin from `from` on: each frame says how far it is from the begin of its own.
fn commits(bytes: &[u8], from: usize) -> Vec<usize> {
    let number = |at: usize| {
        let four = bytes.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_be_bytes(*four)).ok()
    };
    let (mut begins, mut at) = (Vec::new(), from);
    while let (Some(length), Some(back)) = (number(at), number(at + 8)) {
        if back == 0 {
            begins.push(at);
        }
        at += FRAME_HEADER_BYTES + length;
    }
    begins
}

/// `bytes` as a disk has them that had taken all up to `durable`: each sector behind that is there or
/// is not.
fn torn(bytes: &[u8], durable: usize, sector: usize, dice: &Dice) -> Vec<u8> {
    let mut kept = bytes[..durable].to_vec();
    for at in durable / sector..bytes.len().div_ceil(sector) {
        let (from, to) = ((at * sector).max(durable), ((at + 1) * sector).min(bytes.len()));
        if from >= to || dice.chance(50) {
            continue;
        }
        // The length grows with what arrived; between is what was there: nothing.
        if kept.len() < to {
            kept.resize(to, 0);
        }
        kept[from..to].copy_from_slice(&bytes[from..to]);
    }
    // Or the length grew and the bytes did not come.
    if dice.chance(25) {
        kept.resize(bytes.len(), 0);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of so many bytes of entry, so far from the begin of its commit.
    fn frame(length: u32, back: u32) -> Vec<u8> {
        let entry = vec![7; usize::try_from(length).unwrap()];
        [&length.to_be_bytes()[..], &[9; 4], &back.to_be_bytes(), &entry].concat()
    }

    #[test]
    fn commits_are_told_from_frames() {
        let log = [frame(60, 0), frame(80, 0), frame(58, 92), frame(70, 0)].concat();
        assert_eq!(commits(&log, 0), [0, 72, 234]);
        assert_eq!(commits(&log, 72), [72, 234]);
        assert_eq!(commits(&log, log.len()), [0; 0]);
    }

    #[test]
    fn what_was_durable_stays_and_of_the_rest_each_sector_is_there_or_is_not() {
        let bytes: Vec<u8> = (0..5_000).map(|at| (at % 251) as u8 + 1).collect();
        let (mut whole, mut none) = (0, 0);
        for seed in 0..200 {
            let kept = torn(&bytes, 1_000, 512, &Dice::new(seed, "torn"));
            assert_eq!(kept[..1_000], bytes[..1_000]);
            for (at, byte) in kept.iter().enumerate().skip(1_000) {
                assert!(*byte == bytes[at] || *byte == 0, "{seed}: {at}");
            }
            whole += usize::from(kept == bytes);
            none += usize::from(kept.len() == 1_000);
        }
        assert!(whole < 20 && none < 20, "{whole} whole, {none} with nothing");
    }
}
