//! The hub's own journal as an agent is shown it: heads under the hub's signature, each with what
//! proves that it continues the one before.
//!
//! ```text
//!  statement ── hub m r ──▶ the hub signs: journal n R, shown grown H(nodes)     nodes travel beside
//!  Witness at m  +  nodes  =  Witness at n, root R ?      no ─▶ two_faces       n < m ─▶ old_head
//! ```
//! The leaves are the hashes of the journal's entries, the tree is RFC 6962's ([`tree`]).
//! Growth by few entries is shown leaf by leaf, growth by many in the fewest perfect subtrees, so that
//! a head is checked in the memory of a logarithm and whoever kept the nodes can compare them with
//! what another agent was shown ([`compare`]). Nothing of the journal's content can be read from it.

mod compare;

pub use compare::{Comparison, Differs, HISTORY_CLOCKS_MAX, History, Sighting, Sightings};

use super::body::HubHead;
use super::tree::{self, Frontier, Hash, Subtree};
use crate::limits::JOURNAL_NODES_MAX;
use crate::wire::receipts::Showing;

/// Entries that a journal is believed to have at most.
pub const JOURNAL_SIZE_MAX: u64 = 1 << 62;

/// What the hub says of its journal under a cosignature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Its head.
    pub head: HubHead,
    /// How it is shown.
    pub how: Showing,
    /// SHA-256 of the nodes that show it, one after the other.
    pub growth: Hash,
}

impl Shown {
    /// The head, shown by these nodes.
    #[must_use]
    pub fn new(head: HubHead, how: Showing, nodes: &[Hash]) -> Self {
        Self { head, how, growth: Self::growth_of(nodes) }
    }

    /// SHA-256 of nodes.
    #[must_use]
    pub fn growth_of(nodes: &[Hash]) -> Hash {
        let parts: Vec<&[u8]> = nodes.iter().map(|node| &node.as_bytes()[..]).collect();
        Hash::of(&parts)
    }
}

/// The subtrees whose roots show how a journal of `from` entries grew to `to`: single leaves where
/// they are few, the fewest subtrees otherwise.
#[must_use]
pub fn growth(from: u64, to: u64) -> Vec<Subtree> {
    if to.saturating_sub(from) > JOURNAL_NODES_MAX as u64 {
        return tree::cover(from, to);
    }
    (from..to).map(|index| Subtree { level: 0, index }).collect()
}

/// What a shown head changes for whoever was shown the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// It is the head that was known.
    Same,
    /// It is the first.
    First,
    /// The journal grew.
    Grown,
    /// The hub admits that it has lost a part of its journal: it was restored from an older copy, and
    /// goes on from there. This is the head that is no more.
    Restored {
        /// What was shown before.
        lost: HubHead,
    },
}

/// Why a shown head is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is older than one that the hub has shown before.
    #[error("the hub shows its journal at {shown} entries, and has shown {seen} (old_head)")]
    OldHead {
        /// The size that it shows.
        shown: u64,
        /// The size that it has shown.
        seen: u64,
    },
    /// It does not continue the one that the hub has shown before.
    #[error("the hub's journal of {shown} entries does not continue that of {seen} (two_faces)")]
    TwoFaces {
        /// The size that it shows.
        shown: u64,
        /// The size that it has shown.
        seen: u64,
    },
    /// It is the answer to a checkpoint that was overtaken, or is shown by what shows nothing. That
    /// accuses nobody.
    #[error("what is shown of the hub's journal does not fit the checkpoint")]
    Unfit,
}

/// What one party has been shown of a hub's journal: the newest head, and the tree up to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Witness(Option<Frontier>);

impl Witness {
    /// The newest head; none where nothing was shown yet.
    #[must_use]
    pub fn head(&self) -> Option<HubHead> {
        self.0.as_ref().map(head_of)
    }

    /// Takes what the hub shows under a statement that names `named` as the newest head known.
    ///
    /// # Errors
    /// [`NotTaken`]; nothing changes then.
    pub fn take(
        &mut self,
        named: Option<HubHead>,
        shown: &Shown,
        nodes: &[Hash],
    ) -> Result<Shift, NotTaken> {
        let (shift, tree) = self.judge(named, shown, nodes)?;
        if let Some(tree) = tree {
            self.0 = Some(tree);
        }
        Ok(shift)
    }

    fn judge(
        &self,
        named: Option<HubHead>,
        shown: &Shown,
        nodes: &[Hash],
    ) -> Result<(Shift, Option<Frontier>), NotTaken> {
        let head = shown.head;
        if shown.growth != Shown::growth_of(nodes) || head.size > JOURNAL_SIZE_MAX {
            return Err(NotTaken::Unfit);
        }
        let known = self.head();
        let whole = || {
            let tree = Frontier::from_peaks(head.size, nodes.to_vec());
            tree.filter(|tree| tree.root() == head.root).ok_or(NotTaken::Unfit)
        };
        match (shown.how, named) {
            (Showing::First, None) => {
                let tree = whole()?;
                match known {
                    None => Ok((Shift::First, Some(tree))),
                    Some(known) if known == head => Ok((Shift::Same, None)),
                    Some(_) => Err(NotTaken::Unfit),
                }
            }
            (Showing::Restored, Some(named)) => {
                let tree = whole()?;
                match known {
                    Some(known) if known == head => Ok((Shift::Same, None)),
                    Some(known) if known == named => {
                        Ok((Shift::Restored { lost: named }, Some(tree)))
                    }
                    Some(_) | None => Err(NotTaken::Unfit),
                }
            }
            (Showing::First | Showing::Grown, Some(named)) if head.size < named.size => {
                Err(NotTaken::OldHead { shown: head.size, seen: named.size })
            }
            (Showing::Grown, Some(named)) => match &self.0 {
                Some(_) if known == Some(head) => Ok((Shift::Same, None)),
                Some(tree) if known == Some(named) => {
                    let tree = grown(tree.clone(), shown, nodes);
                    tree.map(|tree| (Shift::Grown, Some(tree)))
                        .ok_or(NotTaken::TwoFaces { shown: head.size, seen: named.size })
                }
                Some(_) | None => Err(NotTaken::Unfit),
            },
            // It does not say how that follows from what it has shown.
            (Showing::First, Some(named)) if known == Some(named) && known != Some(head) => {
                Err(NotTaken::TwoFaces { shown: head.size, seen: named.size })
            }
            (Showing::First, Some(_)) | (Showing::Grown | Showing::Restored, None) => {
                Err(NotTaken::Unfit)
            }
        }
    }
}

/// The head of a journal with this tree.
#[must_use]
pub fn head_of(tree: &Frontier) -> HubHead {
    HubHead { size: tree.size(), root: tree.root() }
}

/// The tree after it grew as it is shown; `None` where that is no growth to the head shown.
fn grown(mut tree: Frontier, shown: &Shown, nodes: &[Hash]) -> Option<Frontier> {
    let subtrees = growth(tree.size(), shown.head.size);
    let all = subtrees.len() == nodes.len()
        && subtrees.iter().zip(nodes).all(|(part, node)| tree.push_subtree(part.level, *node));
    (all && head_of(&tree) == shown.head).then_some(tree)
}
