//! Properties: entries have one form in bytes, trees prove what they hold and nothing else.

use crate::chain::Chain;
use proptest::prelude::*;
use weft_proto::ledger::tree::{consistency, extends, includes, inclusion, root};
use weft_proto::ledger::{Body, Entry, Frontier, Hash, Verdict};

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|number| Hash::leaf(&number.to_be_bytes())).collect()
}

/// One entry of each kind.
fn samples() -> Vec<Vec<u8>> {
    let mut chain = Chain::new();
    let (at, close) = chain.served();
    chain.put(Body::Acks(chain.acks(&[(at, &close, Verdict::Paid, 4_000)])));
    let statement = chain.checkpoint();
    chain.put(Body::Cosigned(chain.cosigned(&statement)));
    chain.entries
}

#[test]
fn the_roots_of_rfc_6962_are_those_of_its_test_vectors() {
    let hex = |hash: Hash| hash.to_string();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hex(root(&[])), empty);
    // The eight inputs that implementations of the RFC share.
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let leaves: Vec<Hash> = inputs.into_iter().map(Hash::leaf).collect();
    let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    let eight = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
    assert_eq!(hex(root(&leaves[..1])), one);
    assert_eq!(hex(root(&leaves)), eight);
}

#[test]
fn an_entry_that_is_cut_or_goes_on_is_none() {
    for sample in samples() {
        for cut in 0..sample.len() {
            assert!(Entry::decode(&sample[..cut]).is_err());
        }
        let mut longer = sample.clone();
        longer.push(0);
        assert!(Entry::decode(&longer).is_err());
    }
}

proptest! {
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        which in 0_usize..6,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = samples()[which].clone();
        for (at, with) in flips {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), Ok(bytes));
        }
    }

    #[test]
    fn a_frontier_has_the_root_of_the_whole_tree_and_comes_back_from_its_peaks(count in 0_usize..200) {
        let leaves = leaves(count);
        let mut tree = Frontier::new();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        prop_assert_eq!(tree.root(), root(&leaves));
        let again = Frontier::from_peaks(tree.size(), tree.peaks().to_vec());
        prop_assert_eq!(again, Some(tree));
    }

    #[test]
    fn inclusion_is_proven_for_the_right_leaf_alone(
        count in 1_usize..130,
        at in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        let leaves = leaves(count);
        let (at, other) = (at.index(count), other.index(count));
        let proof = inclusion(&leaves, at).expect("inside");
        let (size, whole) = (count as u64, root(&leaves));
        prop_assert!(includes(leaves[at], at as u64, size, whole, &proof));
        prop_assert_eq!(includes(leaves[other], at as u64, size, whole, &proof), at == other);
        prop_assert_eq!(includes(leaves[at], other as u64, size, whole, &proof), at == other);
        prop_assert!(!includes(leaves[at], size, size, whole, &proof));
        let mut longer = proof.clone();
        longer.push(Hash::ZERO);
        prop_assert!(!includes(leaves[at], at as u64, size, whole, &longer));
        if let Some((_, shorter)) = proof.split_last() {
            prop_assert!(!includes(leaves[at], at as u64, size, whole, shorter));
        }
    }

    #[test]
    fn consistency_is_proven_between_a_tree_and_its_beginnings_alone(
        count in 1_usize..130,
        before in any::<prop::sample::Index>(),
        changed in any::<prop::sample::Index>(),
    ) {
        let leaves = leaves(count);
        let before = before.index(count + 1);
        let proof = consistency(&leaves, before).expect("inside");
        let (old, new) = (root(&leaves[..before]), root(&leaves));
        prop_assert!(extends(before as u64, old, count as u64, new, &proof));
        if before > 0 {
            // A past that was rewritten has no proof.
            let mut past = leaves[..before].to_vec();
            past[changed.index(before)] = Hash::ZERO;
            prop_assert!(!extends(before as u64, root(&past), count as u64, new, &proof));
        }
        let mut longer = proof;
        longer.push(Hash::ZERO);
        prop_assert!(!extends(before as u64, old, count as u64, new, &longer));
    }
}
