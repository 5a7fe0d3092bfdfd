//! The agents' chains and findings.

use crate::fixture::World;
use std::sync::Arc;
use weft_proto::ids::{AgentId, ExchangeId};
use weft_store::{AgentChain, Finding, Page, PageSize, Store};

fn chain(world: &World, agent: AgentId, epoch: u64, size: u64) -> AgentChain {
    let peaks = (0..size.count_ones()).map(|_| world.bytes()).collect();
    let updated_at = world.now();
    AgentChain { agent, key: world.bytes(), epoch, size, last: world.bytes(), peaks, updated_at }
}

fn agent(world: &World) -> AgentId {
    let bytes: [u8; 32] = world.bytes();
    AgentId::from_slice(&bytes[..16]).expect("16 bytes")
}

pub(crate) async fn a_chain_moves_only_from_where_it_stands(store: Arc<dyn Store>) {
    let world = World::new(1);
    let receipts = store.receipts();
    let who = agent(&world);
    assert_eq!(receipts.chain(who).await.expect("looked"), None);
    let first = chain(&world, who, 1, 7);
    assert!(receipts.advance(&first, None).await.expect("begun"));
    assert!(!receipts.advance(&first, None).await.expect("begun before"));
    assert_eq!(receipts.chain(who).await.expect("looked"), Some(first.clone()));

    let next = chain(&world, who, 1, 1_023);
    assert!(!receipts.advance(&next, Some((1, 6))).await.expect("it stands elsewhere"));
    assert!(!receipts.advance(&next, Some((2, 7))).await.expect("it stands elsewhere"));
    assert_eq!(receipts.chain(who).await.expect("looked"), Some(first));
    assert!(receipts.advance(&next, Some((1, 7))).await.expect("moved"));
    let restored = chain(&world, who, 2, 1);
    assert!(receipts.advance(&restored, Some((1, 1_023))).await.expect("a new epoch"));
    assert_eq!(receipts.chain(who).await.expect("looked"), Some(restored.clone()));

    let other = chain(&world, agent(&world), 1, 1);
    assert!(receipts.advance(&other, None).await.expect("another's"));
    let mut both = [restored, other];
    both.sort_by_key(|chain| chain.agent);
    assert_eq!(receipts.chains(Page::first()).await.expect("listed"), both);
    let page = Page { after: Some(both[0].agent), size: PageSize::default() };
    assert_eq!(receipts.chains(page).await.expect("listed"), both[1..]);
}

pub(crate) async fn a_finding_is_kept_once_with_all_its_evidence(store: Arc<dyn Store>) {
    let world = World::new(2);
    let receipts = store.receipts();
    let who = agent(&world);
    let finding = |agent, length: usize| Finding {
        id: world.bytes(),
        agent,
        name: "chain_fork".to_owned(),
        epoch: 3,
        seq: 4_711,
        exchange: None,
        evidence: world.bytes().repeat(length / 32),
        found_at: world.now(),
    };
    let large = finding(who, weft_store::EVIDENCE_BYTES_MAX);
    let other = finding(agent(&world), 32);
    assert!(receipts.keep_finding(&large).await.expect("kept"));
    assert!(!receipts.keep_finding(&large).await.expect("known"));
    assert!(receipts.keep_finding(&other).await.expect("kept"));
    let all = receipts.findings(None, PageSize::default()).await.expect("listed");
    assert_eq!(all, [other, large.clone()]);
    let of_one = receipts.findings(Some(who), PageSize::default()).await.expect("listed");
    assert_eq!(of_one, std::slice::from_ref(&large));

    let bytes: [u8; 32] = world.bytes();
    let exchange = ExchangeId::from_slice(&bytes[..16]).expect("16 bytes");
    let about = [finding(who, 32), finding(who, 64)]
        .map(|finding| Finding { exchange: Some(exchange), ..finding });
    for finding in &about {
        assert!(receipts.keep_finding(finding).await.expect("kept"));
        assert_eq!(receipts.finding(finding.id).await.expect("found"), Some(finding.clone()));
    }
    assert_eq!(receipts.finding(large.id).await.expect("found"), Some(large));
    assert_eq!(receipts.finding(world.bytes()).await.expect("looked"), None);
    let found = receipts.findings_about(exchange, PageSize::default()).await.expect("listed");
    let [first, second] = about;
    assert_eq!(found, [second.clone(), first]);
    let one = receipts.findings_about(exchange, PageSize::clamped(1)).await.expect("listed");
    assert_eq!(one, [second]);
}

pub(crate) async fn findings_about_one_agent_have_a_limit(store: Arc<dyn Store>) {
    let world = World::new(3);
    let receipts = store.receipts();
    let finding = |agent| Finding {
        id: world.bytes(),
        agent,
        name: "double_claim".to_owned(),
        epoch: 1,
        seq: 1,
        exchange: None,
        evidence: vec![1],
        found_at: world.now(),
    };
    let who = agent(&world);
    for _ in 0..weft_store::FINDINGS_PER_AGENT_MAX {
        assert!(receipts.keep_finding(&finding(who)).await.expect("kept"));
    }
    assert!(!receipts.keep_finding(&finding(who)).await.expect("no room"));
    assert!(receipts.keep_finding(&finding(agent(&world))).await.expect("another's"));
}
