//! The agents' chains in SQL.

use super::{Connection, Db, Row, fault, row, was_new, was_there};
use crate::{
    AgentChain, FINDINGS_PER_AGENT_MAX, Finding, PEAKS_MAX, Page, PageSize, Receipts, StoreError,
};
use async_trait::async_trait;
use weft_proto::ids::{AgentId, ExchangeId};

/// Every id is greater: where the first page of agents begins.
const BEFORE_EVERY_ID: [u8; 0] = [];

#[async_trait]
impl Receipts for Db {
    async fn chain(&self, agent: AgentId) -> Result<Option<AgentChain>, StoreError> {
        sqlx::query(
            "SELECT agent_id, ledger_key, epoch, size, last_leaf, peaks, updated_at \
             FROM agent_chains WHERE agent_id = ?",
        )
        .bind(agent.as_bytes().as_slice())
        .fetch_optional(&self.readers)
        .await
        .map_err(fault)?
        .as_ref()
        .map(chain)
        .transpose()
    }

    async fn chains(&self, page: Page<AgentId>) -> Result<Vec<AgentChain>, StoreError> {
        let after = page.after.map(|agent| *agent.as_bytes());
        sqlx::query(
            "SELECT agent_id, ledger_key, epoch, size, last_leaf, peaks, updated_at \
             FROM agent_chains WHERE agent_id > ? ORDER BY agent_id LIMIT ?",
        )
        .bind(after.as_ref().map_or(BEFORE_EVERY_ID.as_slice(), <[u8; 16]>::as_slice))
        .bind(page.size.rows())
        .fetch_all(&self.readers)
        .await
        .map_err(fault)?
        .iter()
        .map(chain)
        .collect()
    }

    async fn advance(&self, to: &AgentChain, from: Option<(u64, u64)>) -> Result<bool, StoreError> {
        if to.peaks.len() > PEAKS_MAX {
            return Err(StoreError::corrupt("peaks", "more than a tree has"));
        }
        let to = to.clone();
        self.write(move |connection| {
            Box::pin(async move {
                match from {
                    None => begin(connection, &to).await,
                    Some(from) => advance(connection, &to, from).await,
                }
            })
        })
        .await
    }

    async fn keep_finding(&self, finding: &Finding) -> Result<bool, StoreError> {
        let finding = finding.clone();
        self.write(move |connection| Box::pin(async move { keep(connection, &finding).await }))
            .await
    }

    async fn findings(
        &self,
        agent: Option<AgentId>,
        size: PageSize,
    ) -> Result<Vec<Finding>, StoreError> {
        let rows = match &agent {
            Some(agent) => {
                sqlx::query(
                    "SELECT finding_id, agent_id, name, epoch, seq, exchange_id, evidence, \
                     found_at FROM ledger_findings WHERE agent_id = ? \
                     ORDER BY found_at DESC, finding_id DESC LIMIT ?",
                )
                .bind(agent.as_bytes().as_slice())
                .bind(size.rows())
                .fetch_all(&self.readers)
                .await
            }
            None => {
                sqlx::query(
                    "SELECT finding_id, agent_id, name, epoch, seq, exchange_id, evidence, \
                     found_at FROM ledger_findings ORDER BY found_at DESC, finding_id DESC LIMIT ?",
                )
                .bind(size.rows())
                .fetch_all(&self.readers)
                .await
            }
        };
        rows.map_err(fault)?.iter().map(finding).collect()
    }

    async fn finding(&self, id: [u8; 32]) -> Result<Option<Finding>, StoreError> {
        sqlx::query(
            "SELECT finding_id, agent_id, name, epoch, seq, exchange_id, evidence, found_at \
             FROM ledger_findings WHERE finding_id = ?",
        )
        .bind(id.as_slice())
        .fetch_optional(&self.readers)
        .await
        .map_err(fault)?
        .as_ref()
        .map(finding)
        .transpose()
    }

    async fn findings_about(
        &self,
        exchange: ExchangeId,
        size: PageSize,
    ) -> Result<Vec<Finding>, StoreError> {
        sqlx::query(
            "SELECT finding_id, agent_id, name, epoch, seq, exchange_id, evidence, found_at \
             FROM ledger_findings WHERE exchange_id = ? \
             ORDER BY found_at DESC, finding_id DESC LIMIT ?",
        )
        .bind(exchange.as_bytes().as_slice())
        .bind(size.rows())
        .fetch_all(&self.readers)
        .await
        .map_err(fault)?
        .iter()
        .map(finding)
        .collect()
    }
}

/// The first sight of a chain; another may have seen it first.
async fn begin(connection: &mut Connection, to: &AgentChain) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO agent_chains (agent_id, ledger_key, epoch, size, last_leaf, peaks, \
         updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(to.agent.as_bytes().as_slice())
    .bind(to.key.as_slice())
    .bind(row::number("epoch", to.epoch)?)
    .bind(row::number("size", to.size)?)
    .bind(to.last.as_slice())
    .bind(to.peaks.concat())
    .bind(row::micros("updated_at", to.updated_at)?)
    .execute(connection)
    .await;
    was_new(inserted)
}

async fn advance(
    connection: &mut Connection,
    to: &AgentChain,
    (epoch, size): (u64, u64),
) -> Result<bool, StoreError> {
    let updated = sqlx::query(
        "UPDATE agent_chains SET ledger_key = ?, epoch = ?, size = ?, last_leaf = ?, peaks = ?, \
         updated_at = ? WHERE agent_id = ? AND epoch = ? AND size = ?",
    )
    .bind(to.key.as_slice())
    .bind(row::number("epoch", to.epoch)?)
    .bind(row::number("size", to.size)?)
    .bind(to.last.as_slice())
    .bind(to.peaks.concat())
    .bind(row::micros("updated_at", to.updated_at)?)
    .bind(to.agent.as_bytes().as_slice())
    .bind(row::number("epoch", epoch)?)
    .bind(row::number("size", size)?)
    .execute(connection)
    .await
    .map_err(fault)?;
    was_there(&updated, "agent's chain")
}

async fn keep(connection: &mut Connection, finding: &Finding) -> Result<bool, StoreError> {
    let kept: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM ledger_findings WHERE agent_id = ?")
        .bind(finding.agent.as_bytes().as_slice())
        .fetch_one(&mut *connection)
        .await
        .map_err(fault)?;
    if kept >= i64::from(FINDINGS_PER_AGENT_MAX) {
        return Ok(false);
    }
    let inserted = sqlx::query(
        "INSERT INTO ledger_findings (finding_id, agent_id, name, epoch, seq, exchange_id, \
         evidence, found_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(finding.id.as_slice())
    .bind(finding.agent.as_bytes().as_slice())
    .bind(finding.name.as_str())
    .bind(row::number("epoch", finding.epoch)?)
    .bind(row::number("seq", finding.seq)?)
    .bind(finding.exchange.as_ref().map(|id| id.as_bytes().as_slice()))
    .bind(finding.evidence.as_slice())
    .bind(row::micros("found_at", finding.found_at)?)
    .execute(connection)
    .await;
    was_new(inserted)
}

fn chain(row: &Row) -> Result<AgentChain, StoreError> {
    Ok(AgentChain {
        agent: row::parsed(row, "agent_id", AgentId::from_slice)?,
        key: row::digest(row, "ledger_key")?,
        epoch: row::parsed(row, "epoch", |value: i64| u64::try_from(value))?,
        size: row::parsed(row, "size", |value: i64| u64::try_from(value))?,
        last: row::digest(row, "last_leaf")?,
        peaks: row::parsed(row, "peaks", |bytes: &[u8]| match bytes.as_chunks::<32>() {
            (peaks, []) if peaks.len() <= PEAKS_MAX => Ok(peaks.to_vec()),
            _ => Err("not the peaks of a tree"),
        })?,
        updated_at: row::timestamp(row, "updated_at")?,
    })
}

fn finding(row: &Row) -> Result<Finding, StoreError> {
    Ok(Finding {
        id: row::digest(row, "finding_id")?,
        agent: row::parsed(row, "agent_id", AgentId::from_slice)?,
        name: row::raw(row, "name")?,
        epoch: row::parsed(row, "epoch", |value: i64| u64::try_from(value))?,
        seq: row::parsed(row, "seq", |value: i64| u64::try_from(value))?,
        exchange: row::parsed_option(row, "exchange_id", ExchangeId::from_slice)?,
        evidence: row::raw(row, "evidence")?,
        found_at: row::timestamp(row, "found_at")?,
    })
}
