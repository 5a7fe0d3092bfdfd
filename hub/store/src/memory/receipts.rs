//! The agents' chains in memory.

use super::Memory;
use crate::{AgentChain, FINDINGS_PER_AGENT_MAX, Finding, Page, PageSize, Receipts, StoreError};
use async_trait::async_trait;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use weft_proto::ids::{AgentId, ExchangeId};

/// Chains and findings.
#[derive(Debug, Default)]
pub(super) struct ReceiptTables {
    chains: BTreeMap<AgentId, AgentChain>,
    findings: BTreeMap<[u8; 32], Finding>,
}

#[async_trait]
impl Receipts for Memory {
    async fn chain(&self, agent: AgentId) -> Result<Option<AgentChain>, StoreError> {
        self.with(|tables| Ok(tables.receipts.chains.get(&agent).cloned()))
    }

    async fn chains(&self, page: Page<AgentId>) -> Result<Vec<AgentChain>, StoreError> {
        self.with(|tables| Ok(super::page(&tables.receipts.chains, page)))
    }

    async fn advance(&self, to: &AgentChain, from: Option<(u64, u64)>) -> Result<bool, StoreError> {
        self.with(|tables| {
            let stands = tables.receipts.chains.get(&to.agent).map(|at| (at.epoch, at.size));
            if stands != from {
                return Ok(false);
            }
            tables.receipts.chains.insert(to.agent, to.clone());
            Ok(true)
        })
    }

    async fn keep_finding(&self, finding: &Finding) -> Result<bool, StoreError> {
        self.with(|tables| {
            let findings = &mut tables.receipts.findings;
            let kept = findings.values().filter(|kept| kept.agent == finding.agent).count();
            let has_room = u32::try_from(kept).is_ok_and(|kept| kept < FINDINGS_PER_AGENT_MAX);
            match findings.entry(finding.id) {
                Entry::Vacant(place) if has_room => {
                    place.insert(finding.clone());
                    Ok(true)
                }
                Entry::Vacant(_) | Entry::Occupied(_) => Ok(false),
            }
        })
    }

    async fn findings(
        &self,
        agent: Option<AgentId>,
        size: PageSize,
    ) -> Result<Vec<Finding>, StoreError> {
        self.with(|tables| {
            let all = tables.receipts.findings.values();
            let mut found: Vec<_> = all
                .filter(|finding| agent.is_none_or(|agent| finding.agent == agent))
                .cloned()
                .collect();
            found.sort_by_key(|finding| Reverse((finding.found_at, finding.id)));
            found.truncate(size.as_usize());
            Ok(found)
        })
    }

    async fn finding(&self, id: [u8; 32]) -> Result<Option<Finding>, StoreError> {
        self.with(|tables| Ok(tables.receipts.findings.get(&id).cloned()))
    }

    async fn findings_about(
        &self,
        exchange: ExchangeId,
        size: PageSize,
    ) -> Result<Vec<Finding>, StoreError> {
        self.with(|tables| {
            let all = tables.receipts.findings.values();
            let mut found: Vec<_> =
                all.filter(|finding| finding.exchange == Some(exchange)).cloned().collect();
            found.sort_by_key(|finding| Reverse((finding.found_at, finding.id)));
            found.truncate(size.as_usize());
            Ok(found)
        })
    }
}
