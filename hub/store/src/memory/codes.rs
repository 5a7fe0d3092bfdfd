//! Redemption codes in memory.

use super::Memory;
use crate::{
    Batch, CODES_PER_BATCH_MAX, Code, Codes, Page, Redeeming, StoreError, Subject, TokenHash,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use weft_proto::ids::UserId;
use weft_proto::time::Timestamp;

#[async_trait]
impl Codes for Memory {
    async fn create(&self, codes: &[Code]) -> Result<(), StoreError> {
        if codes.len() > CODES_PER_BATCH_MAX {
            return Err(StoreError::Conflict { what: "the last place for a code in a batch" });
        }
        self.with(|tables| {
            let mut new = BTreeMap::new();
            for code in codes {
                let taken = tables.codes.contains_key(&code.hash);
                if taken || new.insert(code.hash, code.clone()).is_some() {
                    return Err(StoreError::Conflict { what: "code" });
                }
            }
            tables.codes.extend(new);
            Ok(())
        })
    }

    async fn redeem(
        &self,
        hash: &TokenHash,
        user: UserId,
        at: Timestamp,
    ) -> Result<Redeeming, StoreError> {
        self.with(|tables| {
            let Some(code) = tables.codes.get_mut(hash) else { return Ok(Redeeming::Unknown) };
            if let Some(answer) = code.judge(user, at) {
                return Ok(answer);
            }
            code.redeemed = Some((user, at));
            Ok(Redeeming::Redeemed(code.clone()))
        })
    }

    async fn batches(&self, page: Page<Subject>) -> Result<Vec<Batch>, StoreError> {
        self.with(|tables| {
            let mut batches: BTreeMap<Subject, Batch> = BTreeMap::new();
            for code in tables.codes.values() {
                let batch = batches.entry(code.batch).or_insert(Batch {
                    id: code.batch,
                    amount: code.amount,
                    codes: 0,
                    redeemed: 0,
                    created_at: code.created_at,
                    expires_at: code.expires_at,
                });
                batch.created_at = batch.created_at.min(code.created_at);
                batch.expires_at = batch.expires_at.max(code.expires_at);
                batch.codes += 1;
                batch.redeemed += u64::from(code.redeemed.is_some());
            }
            Ok(super::page(&batches, page))
        })
    }
}
