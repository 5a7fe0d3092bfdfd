//! The hub's own journal as a tree: what agents are shown of it, under the hub's signature.
//!
//! ```text
//!  store ─ entries ─▶ leaves ─▶ tiles of 256, their roots in memory, level over level ─▶ any head,
//!                                                        and how it grew from any other one
//! ```
//! Memory is two hashes for 256 entries; the leaves of a tile are read again where they are needed.
//! What the store has is looked at anew each time, so that every node of a hub shows the same, and a
//! store that was set back is seen at once.

use std::collections::BTreeMap;
use tokio::sync::Mutex;
use weft_proto::ledger::journal::growth;
use weft_proto::ledger::tree::{self, Subtree};
use weft_proto::ledger::{Frontier, Hash, HubHead, Shown};
use weft_proto::wire::receipts::Showing;
use weft_store::{Ledger, Page, PageSize, StoreError};

/// The height of a tile.
const TILE_LEVEL: u32 = 8;

/// Leaves of a tile.
const TILE_LEAVES: usize = 1 << TILE_LEVEL;

/// Entries that are read together.
const TOGETHER: u32 = TILE_LEAVES as u32;

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Entries that were read before are others now.
    #[error("entries of the hub's journal were changed in the store")]
    Changed,
}

/// The journal of a hub, as a node of it shows it.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Tree>);

/// What is shown, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Showed {
    /// Goes under the signature.
    pub shown: Shown,
    /// Goes beside it.
    pub nodes: Vec<Hash>,
}

impl Journal {
    /// Shows the newest head to whoever names `named` as the newest that it was shown.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn show(
        &self,
        store: &dyn Ledger,
        named: Option<HubHead>,
    ) -> Result<Showed, JournalError> {
        let mut tree = self.0.lock().await;
        tree.refresh(store).await?;
        let head = tree.head();
        let (how, subtrees) = match named {
            None => (Showing::First, tree::cover(0, head.size)),
            Some(named) if tree.stood(store, named).await? => {
                (Showing::Grown, growth(named.size, head.size))
            }
            Some(_) => (Showing::Restored, tree::cover(0, head.size)),
        };
        let nodes = tree.nodes(store, &subtrees).await?;
        Ok(Showed { shown: Shown::new(head, how, &nodes), nodes })
    }

    /// Whether the journal is, or was, what this head says.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn stood(&self, store: &dyn Ledger, head: HubHead) -> Result<bool, JournalError> {
        let mut tree = self.0.lock().await;
        tree.refresh(store).await?;
        tree.stood(store, head).await
    }
}

#[derive(Debug, Default)]
struct Tree {
    /// Roots of whole tiles, then of two of them, and so on.
    levels: Vec<Vec<Hash>>,
    /// Leaves behind the last whole tile.
    tail: Vec<Hash>,
    /// All of it.
    frontier: Frontier,
    last: Option<Hash>,
}

impl Tree {
    fn head(&self) -> HubHead {
        HubHead { size: self.frontier.size(), root: self.frontier.root() }
    }

    /// Reads what is new. A store that does not have the last entry that is known was set back:
    /// everything is read anew.
    async fn refresh(&mut self, store: &dyn Ledger) -> Result<(), StoreError> {
        loop {
            let known = self.frontier.size();
            let after = known.checked_sub(1);
            let page = Page { after, size: PageSize::clamped(TOGETHER + 1) };
            let entries = store.journal(page).await?;
            let whole = entries.len() > TOGETHER as usize;
            let mut entries = entries.into_iter();
            if let Some(last) = self.last {
                let there = entries.next().map(|entry| (entry.number, Hash::new(entry.hash)));
                if there != Some((known, last)) {
                    tracing::error!(known, "the hub's journal was set back under a running hub");
                    *self = Self::default();
                    continue;
                }
            }
            for entry in entries {
                self.push(Hash::new(entry.hash));
            }
            if !whole {
                return Ok(());
            }
        }
    }

    fn push(&mut self, leaf: Hash) {
        self.frontier.push(leaf);
        self.last = Some(leaf);
        self.tail.push(leaf);
        if self.tail.len() < TILE_LEAVES {
            return;
        }
        let mut node = tree::root(&std::mem::take(&mut self.tail));
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(nodes) = self.levels.get_mut(level) else {
                return;
            };
            nodes.push(node);
            match nodes.as_chunks::<2>() {
                (pairs, []) => match pairs.last() {
                    Some([left, right]) => node = Hash::node(left, right),
                    None => return,
                },
                _ => return,
            }
            level += 1;
        }
    }

    async fn stood(&self, store: &dyn Ledger, head: HubHead) -> Result<bool, JournalError> {
        if head.size >= self.frontier.size() {
            return Ok(head == self.head());
        }
        let subtrees = tree::cover(0, head.size);
        let peaks = self.nodes(store, &subtrees).await?;
        let before = Frontier::from_peaks(head.size, peaks);
        Ok(before.is_some_and(|before| before.root() == head.root))
    }

    /// The roots of these subtrees, all of which are whole.
    async fn nodes(
        &self,
        store: &dyn Ledger,
        subtrees: &[Subtree],
    ) -> Result<Vec<Hash>, JournalError> {
        let mut tiles = BTreeMap::new();
        let mut nodes = Vec::with_capacity(subtrees.len());
        for Subtree { level, index } in subtrees {
            let index = usize::try_from(*index).map_err(|_| JournalError::Changed)?;
            if let Some(above) = level.checked_sub(TILE_LEVEL) {
                let roots = self.levels.get(above as usize);
                let root = roots.and_then(|roots| roots.get(index)).ok_or(JournalError::Changed)?;
                nodes.push(*root);
                continue;
            }
            let first = index << level;
            let tile = first / TILE_LEAVES;
            if let std::collections::btree_map::Entry::Vacant(place) = tiles.entry(tile) {
                place.insert(self.leaves(store, tile).await?);
            }
            let from = first % TILE_LEAVES;
            let leaves = tiles.get(&tile).and_then(|leaves| leaves.get(from..from + (1 << level)));
            nodes.push(tree::root(leaves.ok_or(JournalError::Changed)?));
        }
        Ok(nodes)
    }

    async fn leaves(&self, store: &dyn Ledger, tile: usize) -> Result<Vec<Hash>, JournalError> {
        let Some(root) = self.levels.first().and_then(|roots| roots.get(tile)) else {
            return Ok(self.tail.clone());
        };
        let after = Some((tile * TILE_LEAVES) as u64).filter(|after| *after > 0);
        let page = Page { after, size: PageSize::clamped(TOGETHER) };
        let entries = store.journal(page).await?;
        let leaves: Vec<Hash> = entries.iter().map(|entry| Hash::new(entry.hash)).collect();
        if tree::root(&leaves) == *root { Ok(leaves) } else { Err(JournalError::Changed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weft_proto::ledger::Witness;
    use weft_proto::time::Timestamp;
    use weft_store::{JournalKind, JournalNote, MemoryStore, Store};

    async fn write(store: &MemoryStore, count: usize) {
        let notes: Vec<_> = (0..count)
            .map(|_| JournalNote {
                kind: JournalKind::Agent,
                body: b"an agent".to_vec(),
                at: Timestamp::from_secs(1_700_000_000),
            })
            .collect();
        for notes in notes.chunks(50) {
            store.ledger().note(notes).await.expect("written");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// However the journal grows between two looks, by leaves or by whole subtrees, each head
        /// shown continues the one before for a reader that keeps the tree's edge alone.
        #[test]
        fn every_head_shown_continues_every_head_before(
            steps in proptest::collection::vec(0..700_usize, 1..6),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let store = MemoryStore::new();
                let (one, mut seen) = (Journal::default(), Vec::<Witness>::new());
                for step in steps {
                    write(&store, step).await;
                    for before in seen.clone() {
                        let mut reader = before.clone();
                        let said = one.show(&*store.ledger(), before.head()).await.expect("shown");
                        assert_eq!(said.shown.how, Showing::Grown);
                        reader.take(before.head(), &said.shown, &said.nodes).expect("it follows");
                    }
                    // Another node, that has seen nothing yet, shows the same.
                    let other = Journal::default();
                    let said = other.show(&*store.ledger(), None).await.expect("shown");
                    assert_eq!(one.show(&*store.ledger(), None).await.expect("shown"), said);
                    let mut reader = Witness::default();
                    reader.take(None, &said.shown, &said.nodes).expect("the first");
                    seen.push(reader);
                }
            });
        }
    }

    #[tokio::test]
    async fn a_journal_that_was_set_back_says_so_and_nothing_else_is_admitted() {
        let (store, journal) = (MemoryStore::new(), Journal::default());
        write(&store, 300).await;
        let said = journal.show(&*store.ledger(), None).await.expect("shown");
        let lost = said.shown.head;
        assert!(journal.stood(&*store.ledger(), lost).await.expect("looked"));
        let yesterday = MemoryStore::new();
        write(&yesterday, 200).await;
        let said = journal.show(&*yesterday.ledger(), Some(lost)).await.expect("shown");
        assert_eq!((said.shown.how, said.shown.head.size), (Showing::Restored, 200));
        assert!(!journal.stood(&*yesterday.ledger(), lost).await.expect("looked"));
        let now = said.shown.head;
        let said = journal.show(&*yesterday.ledger(), Some(now)).await.expect("shown");
        assert_eq!((said.shown.how, said.nodes.len()), (Showing::Grown, 0));
    }
}
