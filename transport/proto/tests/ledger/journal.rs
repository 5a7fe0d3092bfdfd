//! The hub's journal as it is shown: what continues it, what does not, and what two agents find out
//! when they hold what they were shown against each other.

use crate::chain::Chain;
use proptest::prelude::*;
use std::collections::BTreeSet;
use weft_proto::ledger::journal::{
    Comparison, Differs, HISTORY_CLOCKS_MAX, History, NotTaken, Shift, growth,
};
use weft_proto::ledger::note::{Cosignature, Statement};
use weft_proto::ledger::tree::{self, cover};
use weft_proto::ledger::verify::{Check, Trust, Verifier};
use weft_proto::ledger::{
    Body, Checkpoint, Cosigned, Entry, Frontier, Hash, HubHead, Shown, Witness,
};
use weft_proto::limits::JOURNAL_NODES_MAX;
use weft_proto::wire::receipts::Showing;

/// A hub's journal of so many entries, of which those from `forked` on are another one's.
fn journal(size: u64, forked: u64) -> Vec<Hash> {
    let leaf = |at: u64| Hash::leaf(&[&at.to_be_bytes()[..], &[u8::from(at >= forked)]].concat());
    (0..size).map(leaf).collect()
}

/// A journal without a fork.
fn plain(size: u64) -> Vec<Hash> {
    journal(size, u64::MAX)
}

fn head(leaves: &[Hash]) -> HubHead {
    HubHead { size: leaves.len() as u64, root: tree::root(leaves) }
}

fn subtrees(leaves: &[Hash], parts: &[tree::Subtree]) -> Vec<Hash> {
    let root = |part: &tree::Subtree| {
        let from = usize::try_from(part.index << part.level).expect("small");
        tree::root(&leaves[from..from + (1 << part.level)])
    };
    parts.iter().map(root).collect()
}

/// As a hub with this journal shows it, however it likes.
fn show(leaves: &[Hash], how: Showing, from: u64) -> (Shown, Vec<Hash>) {
    let size = leaves.len() as u64;
    let nodes = match how {
        Showing::First | Showing::Restored => subtrees(leaves, &cover(0, size)),
        Showing::Grown => subtrees(leaves, &growth(from, size)),
    };
    (Shown::new(head(leaves), how, &nodes), nodes)
}

/// One that was shown these journals, one after the other, by a hub that owes it each.
fn witness(journals: &[&[Hash]]) -> Witness {
    let mut witness = Witness::default();
    for leaves in journals {
        let named = witness.head();
        let how = if named.is_some() { Showing::Grown } else { Showing::First };
        let (shown, nodes) = show(leaves, how, named.map_or(0, |head| head.size));
        witness.take(named, &shown, &nodes).expect("it follows");
    }
    witness
}

proptest! {
    /// Pushed by subtrees of any cover, a tree is the one that is pushed leaf by leaf.
    #[test]
    fn a_tree_grows_by_subtrees_as_by_leaves(from in 0..900_usize, more in 0..900_usize) {
        let leaves = plain((from + more) as u64);
        let mut by_parts: Frontier = leaves[..from].iter().copied().collect();
        let parts = cover(from as u64, (from + more) as u64);
        for (part, root) in parts.iter().zip(subtrees(&leaves, &parts)) {
            prop_assert!(by_parts.push_subtree(part.level, root));
        }
        prop_assert_eq!(by_parts, leaves.into_iter().collect::<Frontier>());
        prop_assert!(growth(from as u64, (from + more) as u64).len() <= JOURNAL_NODES_MAX);
    }

    /// No bytes that a hub may send as nodes make a reader that knows one journal take another.
    #[test]
    fn no_forked_journal_passes_for_one_that_grew(
        size in 1..500_u64, more in 0..500_u64, forked in 0..500_u64, flip in any::<u16>(),
    ) {
        prop_assume!(forked < size);
        let known = plain(size);
        let mut seen = witness(&[&known]);
        let other = journal(size + more, forked);
        let (shown, mut nodes) = show(&other, Showing::Grown, size);
        if !nodes.is_empty() {
            let at = usize::from(flip) % (nodes.len() + 1);
            if at < nodes.len() {
                nodes[at] = Hash::leaf(&flip.to_be_bytes());
            }
        }
        let shown = Shown::new(shown.head, shown.how, &nodes);
        let taken = seen.take(Some(head(&known)), &shown, &nodes);
        prop_assert_eq!(taken, Err(NotTaken::TwoFaces { shown: size + more, seen: size }));
        prop_assert_eq!(seen.head(), Some(head(&known)), "nothing was taken");
    }
}

#[test]
fn subtrees_go_where_they_fit_and_nowhere_else() {
    let mut tree: Frontier = plain(6).into_iter().collect();
    let before = tree.clone();
    assert!(!tree.push_subtree(2, Hash::ZERO), "four leaves do not begin at the sixth");
    assert!(!tree.push_subtree(64, Hash::ZERO));
    assert_eq!(tree, before);
    assert!(tree.push_subtree(1, Hash::ZERO));
    assert!(cover(7, 7).is_empty() && cover(8, 7).is_empty());
    assert!(cover(1, 1 << 62).len() <= JOURNAL_NODES_MAX);
}

#[test]
fn every_way_to_break_a_shown_journal_has_its_name() {
    let known = plain(300);
    let named = Some(head(&known));
    let told = |leaves: &[Hash], how, from, named| {
        let (shown, nodes) = show(leaves, how, from);
        witness(&[&known]).take(named, &shown, &nodes)
    };
    assert_eq!(told(&known, Showing::Grown, 300, named), Ok(Shift::Same));
    assert_eq!(told(&plain(301), Showing::Grown, 300, named), Ok(Shift::Grown));
    assert_eq!(told(&plain(9_000), Showing::Grown, 300, named), Ok(Shift::Grown));

    let old = NotTaken::OldHead { shown: 200, seen: 300 };
    assert_eq!(told(&plain(200), Showing::Grown, 200, named), Err(old));
    assert_eq!(told(&plain(200), Showing::First, 0, named), Err(old));
    let faces = |shown| NotTaken::TwoFaces { shown, seen: 300 };
    assert_eq!(told(&journal(300, 299), Showing::Grown, 300, named), Err(faces(300)));
    assert_eq!(told(&journal(320, 299), Showing::Grown, 300, named), Err(faces(320)));
    assert_eq!(told(&plain(320), Showing::First, 0, named), Err(faces(320)), "it shows no growth");

    // An admission is one, and takes nothing back that was shown elsewhere.
    let lost = head(&known);
    let restored = told(&journal(250, 200), Showing::Restored, 0, named);
    assert_eq!(restored, Ok(Shift::Restored { lost }));

    // What answers no checkpoint of this reader accuses nobody.
    let crossed = Some(head(&plain(280)));
    assert_eq!(told(&plain(290), Showing::Grown, 280, crossed), Err(NotTaken::Unfit));
    assert_eq!(told(&plain(300), Showing::Grown, 280, crossed), Ok(Shift::Same));
    assert_eq!(told(&plain(250), Showing::Restored, 0, crossed), Err(NotTaken::Unfit));
    assert_eq!(told(&plain(310), Showing::First, 0, None), Err(NotTaken::Unfit));
    let (shown, mut nodes) = show(&plain(301), Showing::Grown, 300);
    nodes.push(Hash::ZERO);
    let unsigned = witness(&[&known]).take(named, &shown, &nodes);
    assert_eq!(unsigned, Err(NotTaken::Unfit), "other nodes than those that were signed");
}

/// What one was shown: at each time, a journal. An admission is said where one is due.
fn history(shown: &[(u64, Vec<Hash>)]) -> History {
    let (mut history, chain) = (History::default(), Chain::new());
    for (at_secs, leaves) in shown {
        let named = history.head();
        let statement = Statement { hub: named, ..chain.statement() };
        let size = named.map_or(0, |head| head.size);
        let grows = leaves.len() as u64 >= size
            && named.is_none_or(|named| {
                head(&leaves[..usize::try_from(named.size).expect("small")]) == named
            });
        let how = match named {
            None => Showing::First,
            Some(_) if grows => Showing::Grown,
            Some(_) => Showing::Restored,
        };
        let (shown, nodes) = show(leaves, how, size);
        history.see(&statement, *at_secs, &shown, &nodes).expect("it follows");
    }
    history
}

fn both_ways(one: &History, other: &History) -> Comparison {
    let compared = one.compare(other);
    assert_eq!(other.compare(one), compared, "whoever compares finds the same");
    compared
}

#[test]
fn two_agents_that_were_shown_one_journal_agree_up_to_where_the_shorter_ends() {
    let one = history(&[(10, plain(40)), (20, plain(90)), (30, plain(1_000))]);
    let other = history(&[(15, plain(77)), (31, plain(120)), (32, plain(1_024))]);
    let Comparison { agree, differs } = both_ways(&one, &other);
    // The first was shown 910 entries at once, by subtrees: sizes in between meet where they fit.
    assert_eq!(differs, None);
    assert!(agree.is_some_and(|size| size >= 90), "{agree:?}");
    let same = history(&[(40, plain(1_024)), (50, plain(1_030))]);
    let compared = both_ways(&other, &same);
    assert_eq!(compared, Comparison { agree: Some(1_024), differs: None });
    let apart = history(&[(40, plain(5_000))]);
    assert_eq!(both_ways(&other, &apart), Comparison { agree: None, differs: None });
}

#[test]
fn two_journals_are_found_out_at_sizes_that_neither_was_told_of() {
    let one = history(&[(10, plain(40)), (20, plain(100)), (30, plain(140))]);
    let other = history(&[(10, journal(60, 95)), (22, journal(97, 95)), (33, journal(133, 95))]);
    let compared = both_ways(&one, &other);
    let differs = Some(Differs::TwoFaces { size: 96 });
    assert_eq!(compared, Comparison { agree: Some(95), differs });
}

#[test]
fn an_agent_that_is_held_on_an_old_head_finds_it_out_by_another() {
    let late = 1_000 + HISTORY_CLOCKS_MAX + 1;
    let one = history(&[(900, plain(40)), (1_000, plain(50))]);
    let held = history(&[(900, plain(45)), (late, plain(45))]);
    let differs = Some(Differs::OldHead { shown: 45, seen: 50, at_secs: late });
    assert_eq!(both_ways(&one, &held).differs, differs);
    // Clocks of two nodes may differ.
    let soon = history(&[(900, plain(45)), (late - 1, plain(45))]);
    assert_eq!(both_ways(&one, &soon).differs, None);
}

#[test]
fn what_a_hub_admits_to_have_lost_is_no_second_face() {
    let one = history(&[(10, plain(40)), (20, plain(100)), (400, journal(95, 90))]);
    assert_eq!(one.lost(), [head(&plain(100))]);
    let before = history(&[(12, plain(40)), (25, plain(98))]);
    assert_eq!(both_ways(&one, &before).differs, None, "of before it was restored");
    let after = history(&[(12, plain(40)), (500, journal(97, 90))]);
    assert_eq!(both_ways(&one, &after).differs, None);
    // One that is still shown the old journal after the other was told that it is lost.
    let lied_to = history(&[(12, plain(40)), (500, plain(99))]);
    assert!(matches!(both_ways(&one, &lied_to).differs, Some(Differs::TwoFaces { .. })));
}

/// A checkpoint in the chain, and what the hub answers by this journal.
fn cosigned(chain: &mut Chain, named: Option<HubHead>, (shown, nodes): (Shown, Vec<Hash>)) {
    let statement = Statement { hub: named, ..chain.statement() };
    chain.put(Body::Checkpoint(Checkpoint::sign(&statement, &chain.key)));
    let cosignature = Cosignature::sign(&statement, 1_790_000_010, Some(shown), &chain.hub_key);
    let (size, key) = (statement.size, chain.hub_key.public());
    chain.put(Body::Cosigned(Cosigned { size, key, cosignature, nodes }));
}

fn verified(chain: &Chain) -> (Verifier, BTreeSet<Check>) {
    let mut verifier = Verifier::new(Trust::default());
    for entry in &chain.entries {
        verifier.push(entry).expect("an entry");
    }
    verifier.finish(true);
    let found = verifier.findings().iter().map(|finding| finding.check).collect();
    (verifier, found)
}

#[test]
fn a_ledger_keeps_what_it_was_shown_and_every_break_of_it_is_named() {
    let first = plain(30);
    let with = |named: Option<HubHead>, shown: (Shown, Vec<Hash>)| {
        let mut chain = Chain::new();
        cosigned(&mut chain, None, show(&first, Showing::First, 0));
        chain.served();
        cosigned(&mut chain, named, shown);
        verified(&chain)
    };
    let named = Some(head(&first));
    let (verifier, found) = with(named, show(&plain(70), Showing::Grown, 30));
    assert_eq!(found, BTreeSet::new());
    assert_eq!(verifier.witness().head(), Some(head(&plain(70))));
    assert_eq!(verifier.totals().cosigned, 2);

    let only = |check| BTreeSet::from([check]);
    assert_eq!(with(named, show(&plain(20), Showing::Grown, 20)).1, only(Check::OldHead));
    let faces = with(named, show(&journal(70, 29), Showing::Grown, 30));
    assert_eq!(faces.1, only(Check::TwoFaces));
    let (verifier, found) = with(named, show(&plain(20), Showing::Restored, 0));
    assert_eq!(found, BTreeSet::new(), "it is admitted");
    assert_eq!(verifier.lost().iter().map(|(_, lost)| *lost).collect::<Vec<_>>(), [head(&first)]);
    let unseen = with(Some(head(&plain(9))), show(&plain(70), Showing::Grown, 9));
    assert_eq!(unseen.1, BTreeSet::from([Check::JournalUnseen, Check::JournalUnfit]));
}

#[test]
fn a_cosignature_with_a_journal_has_one_form_in_bytes() {
    let mut chain = Chain::new();
    cosigned(&mut chain, None, show(&plain(30), Showing::First, 0));
    let bytes = chain.entries.last().expect("an entry");
    let entry = Entry::decode(bytes).expect("an entry");
    assert_eq!((entry.body.kind(), entry.body.name()), (7, "cosignature"));
    assert_eq!(&entry.encode().expect("encoded"), bytes);
    let Body::Cosigned(cosigned) = entry.body else { panic!("a cosignature") };
    let with = |change: fn(&mut Cosigned)| {
        let mut cosigned = cosigned.clone();
        change(&mut cosigned);
        Entry { body: Body::Cosigned(cosigned), ..Entry::decode(bytes).expect("an entry") }.encode()
    };
    with(|_| {}).expect("unchanged");
    with(|cosigned| cosigned.nodes.push(Hash::ZERO)).expect_err("other nodes");
    with(|cosigned| cosigned.cosignature.journal = None).expect_err("nodes of nothing");
    let too_many = with(|cosigned| {
        cosigned.nodes = vec![Hash::ZERO; JOURNAL_NODES_MAX + 1];
        let nodes = Shown::growth_of(&cosigned.nodes);
        cosigned.cosignature.journal.as_mut().expect("shown").growth = nodes;
    });
    too_many.expect_err("too many nodes");
}
