//! The Merkle tree of RFC 6962 over leaf hashes: roots, proofs, and their checks.
//!
//! [`Frontier`] keeps the roots of the perfect subtrees alone, so that a log of any length appends
//! and knows its root in memory of its logarithm. Proofs are made from all leaves. A leaf and a node
//! are hashed behind different first bytes, so neither can pass for the other.

use aws_lc_rs::digest::{Context, SHA256};
use std::fmt;

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// A SHA-256 hash: of an entry, a node of a tree, or a batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_BYTES]);

impl Hash {
    /// What stands where there is nothing before.
    pub const ZERO: Self = Self([0; HASH_BYTES]);

    /// The hash with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// SHA-256 of all parts, one after the other.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        let mut bytes = [0; HASH_BYTES];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// The leaf of an entry: SHA-256(0x00 ‖ entry).
    #[must_use]
    pub fn leaf(entry: &[u8]) -> Self {
        Self::of(&[&[0x00], entry])
    }

    /// An inner node: SHA-256(0x01 ‖ left ‖ right).
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        Self::of(&[&[0x01], &left.0, &right.0])
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// A tree that only grows, by the roots of its perfect subtrees, the largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// Leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its perfect subtrees, the largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The tree of `size` leaves with these peaks; `None` where a tree of that size has another
    /// number of them.
    #[must_use]
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // As many perfect subtrees close as the old size has ones at its end.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = Hash::node(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Adds a perfect subtree of 2^`level` leaves by its root. `false`, and nothing is added, where
    /// no perfect subtree of that size begins at the tree's end.
    pub fn push_subtree(&mut self, level: u32, root: Hash) -> bool {
        let Some(size) = 1_u64.checked_shl(level).and_then(|more| self.size.checked_add(more))
        else {
            return false;
        };
        if self.size.trailing_zeros() < level && self.size > 0 {
            return false;
        }
        let mut node = root;
        for _ in 0..(self.size >> level).trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = Hash::node(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size = size;
        true
    }

    /// The root; SHA-256 of nothing for the empty tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return Hash::of(&[]);
        };
        peaks.fold(*last, |right, left| Hash::node(left, &right))
    }
}

impl FromIterator<Hash> for Frontier {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}

/// A perfect subtree by its place: 2^`level` leaves from number `index` × 2^`level` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subtree {
    /// Its height.
    pub level: u32,
    /// How many subtrees of this height stand before it.
    pub index: u64,
}

/// The fewest perfect subtrees that cover the leaves from `from` up to `to`, in their order; at most
/// 126 of them. None where `from` is not below `to`.
#[must_use]
pub fn cover(from: u64, to: u64) -> Vec<Subtree> {
    let mut subtrees = Vec::new();
    let mut at = from;
    while at < to {
        let fits = (to - at).ilog2();
        let level = if at == 0 { fits } else { fits.min(at.trailing_zeros()) };
        subtrees.push(Subtree { level, index: at >> level });
        at += 1 << level;
    }
    subtrees
}

/// The root over `leaves`.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    leaves.iter().copied().collect::<Frontier>().root()
}

/// The proof that leaf `index` stands in the tree over `leaves`; `None` where it does not.
#[must_use]
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    (index < leaves.len()).then(|| path(leaves, index))
}

fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, sibling) = if index < left.len() {
        (path(left, index), root(right))
    } else {
        (path(right, index - left.len()), root(left))
    };
    proof.push(sibling);
    proof
}

/// The proof that the tree over `leaves` begins with the tree over its first `before` leaves;
/// `None` where it is not that long.
#[must_use]
pub fn consistency(leaves: &[Hash], before: usize) -> Option<Vec<Hash>> {
    (before <= leaves.len()).then(|| match before {
        0 => Vec::new(),
        _ => subproof(leaves, before, true),
    })
}

fn subproof(leaves: &[Hash], before: usize, whole: bool) -> Vec<Hash> {
    if before == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, sibling) = if before <= left.len() {
        (subproof(left, before, whole), root(right))
    } else {
        (subproof(right, before - left.len(), false), root(left))
    };
    proof.push(sibling);
    proof
}

/// The largest power of two below `length`, which is at least 2.
const fn split(length: usize) -> usize {
    1 << (usize::BITS - 1 - (length - 1).leading_zeros())
}

/// Whether `proof` shows that `leaf` is number `index` of the tree of `size` with `root`.
#[must_use]
pub fn includes(leaf: Hash, index: u64, size: u64, root: Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut end, mut node) = (index, size - 1, leaf);
    for sibling in proof {
        if end == 0 {
            return false;
        }
        if at & 1 == 1 || at == end {
            node = Hash::node(sibling, &node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                end >>= 1;
            }
        } else {
            node = Hash::node(&node, sibling);
        }
        at >>= 1;
        end >>= 1;
    }
    end == 0 && node == root
}

/// Whether `proof` shows that the tree of `size` with `root` begins with the tree of `before_size`
/// with `before_root`.
#[must_use]
pub fn extends(before_size: u64, before_root: Hash, size: u64, root: Hash, proof: &[Hash]) -> bool {
    if before_size == 0 {
        return proof.is_empty() && before_root == Hash::of(&[]);
    }
    if before_size >= size {
        return before_size == size && before_root == root && proof.is_empty();
    }
    // A perfect tree is its own first node, which the proof leaves out.
    let (first, rest) = match proof.split_first() {
        _ if before_size.is_power_of_two() => (before_root, proof),
        Some((first, rest)) => (*first, rest),
        None => return false,
    };
    let (mut at, mut end) = (before_size - 1, size - 1);
    while at & 1 == 1 {
        at >>= 1;
        end >>= 1;
    }
    let (mut old, mut new) = (first, first);
    for sibling in rest {
        if end == 0 {
            return false;
        }
        if at & 1 == 1 || at == end {
            old = Hash::node(sibling, &old);
            new = Hash::node(sibling, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                end >>= 1;
            }
        } else {
            new = Hash::node(&new, sibling);
        }
        at >>= 1;
        end >>= 1;
    }
    end == 0 && old == before_root && new == root
}
