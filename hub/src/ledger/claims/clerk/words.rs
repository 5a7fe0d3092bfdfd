//! The hub's words on a session: acknowledgements and cosignatures made, and its own words of earlier
//! met again in the agent's chain.

use super::super::evidence::{Evidence, HUB_RESTORED};
use super::session::{Session, SessionError, ack_of};
use bytes::Bytes;
use weft_proto::ledger::note::Statement;
use weft_proto::ledger::{Position, SignedAcks};
use weft_proto::limits::ACKS_PER_BATCH_MAX;
use weft_proto::wire::control::HubMessage;
use weft_proto::wire::receipts::{Ack, AckBatch, Cosigned, JournalHead, Verdict};
use weft_store::{LegAnswered, LegVerdict, Page, PageSize, Settled};

/// Words of this hub that a session remembers to have sent.
const SAID_MAX: usize = 1_024;

impl Session {
    /// The hub's own word of earlier. One that this session did not say, about an exchange of which
    /// nothing is known, is the word of a hub that was restored from an older copy since: it holds.
    pub(super) async fn own_word(
        &mut self,
        word: &SignedAcks,
        entry: Bytes,
    ) -> Result<Vec<(Position, Ack)>, SessionError> {
        let parts = &self.clerk.0;
        let ours = word.batch.agent == self.agent
            && word.key == parts.key.public()
            && !self.said.contains(&word.hash())
            && word.is_signed();
        if !ours {
            return Ok(Vec::new());
        }
        let mut acks = Vec::new();
        for said in &word.batch.acks {
            let at = word.close_of(said);
            let Some(waits) = self.waiting.get(&at) else {
                continue;
            };
            let close = &waits.claim.close;
            let same = (close.exchange, close.attempt) == (said.exchange, said.attempt);
            if !same || said.verdict != Verdict::Paid {
                continue;
            }
            let claim = waits.claim.clone();
            // Settled since it began to wait, and answered by another session of this hub.
            if self.record(&claim).await?.is_some() {
                continue;
            }
            self.hub_restored(at, entry.clone()).await?;
            let Some(posting) = self.borne(&claim, said.amount).await? else {
                continue;
            };
            let parts = &self.clerk.0;
            let settled = parts.store.settle(std::slice::from_ref(&posting)).await?;
            if let [Settled::Fresh { .. } | Settled::Already] = settled.as_slice() {
                let answer = self.clerk.answer(&claim, LegVerdict::Pay(said.amount));
                for outcome in parts.store.answer(&[answer]).await? {
                    if let LegAnswered::Done(leg) | LegAnswered::Already(leg) = outcome {
                        acks.push(ack_of(&claim, leg.state, leg.paid));
                    }
                }
                self.waiting.remove(&at);
            }
        }
        Ok(acks)
    }

    async fn hub_restored(&mut self, at: Position, entry: Bytes) -> Result<(), SessionError> {
        if !std::mem::replace(&mut self.restored, true) {
            tracing::error!(
                agent = %self.agent, %at,
                "hub_restored: an agent has this hub's word of which the hub has no record; \
                 the hub was restored from an older copy, and is repaired by replay"
            );
        }
        let mut evidence = Evidence::about(self.agent);
        evidence.entry = Some(entry);
        self.keep(HUB_RESTORED, at, None, &evidence).await
    }

    /// Cosigns a checkpoint that agrees with its entries.
    pub(super) async fn cosign(
        &mut self,
        statement: &Statement,
        entry: Bytes,
    ) -> Result<HubMessage, SessionError> {
        let store = &self.clerk.0.store;
        let journal = store.journal_head().await?;
        if let Some(seen) = statement.hub {
            let page = Page { after: seen.size.checked_sub(1), size: PageSize::clamped(1) };
            let stood = store.journal(page).await?.into_iter().next();
            let holds = stood.is_some_and(|stood| {
                stood.number == seen.size && stood.hash == *seen.root.as_bytes()
            });
            if !holds {
                let at = Position { epoch: statement.epoch, seq: statement.size };
                tracing::error!(
                    agent = %self.agent, seen = seen.size,
                    "hub_restored: an agent has seen a journal of this hub that the hub has not"
                );
                let mut evidence = Evidence::about(self.agent);
                evidence.entry = Some(entry);
                self.keep(HUB_RESTORED, at, None, &evidence).await?;
            }
        }
        let parts = &self.clerk.0;
        let at_secs = self.now().as_secs();
        let signature = statement.cosign(at_secs, &parts.key);
        Ok(HubMessage::Cosigned(Cosigned {
            epoch: statement.epoch,
            size: statement.size,
            at_secs,
            signature: *signature.as_bytes(),
            hub: journal.map(|head| JournalHead { size: head.number, root: head.hash }),
        }))
    }

    /// Signs acknowledgements, many under one signature.
    pub(super) fn say(&mut self, mut acks: Vec<(Position, Ack)>, messages: &mut Vec<HubMessage>) {
        let parts = &self.clerk.0;
        // One word on each close, and the last one where there are several.
        acks.reverse();
        acks.sort_by_key(|(at, _)| *at);
        acks.dedup_by_key(|(at, _)| *at);
        for of_one_epoch in acks.chunk_by(|(one, _), (other, _)| one.epoch == other.epoch) {
            for part in of_one_epoch.chunks(ACKS_PER_BATCH_MAX) {
                let mut batch = AckBatch {
                    agent: self.agent,
                    epoch: part.first().map_or(0, |(at, _)| at.epoch),
                    at: parts.clock.now(),
                    acks: part.iter().map(|(_, ack)| *ack).collect(),
                    signature: [0; 64],
                };
                batch.signature = *parts.key.sign(&batch.signed()).as_bytes();
                let word = SignedAcks { key: parts.key.public(), batch: batch.clone() };
                if self.said.len() >= SAID_MAX {
                    self.said.pop_first();
                }
                self.said.insert(word.hash());
                messages.push(HubMessage::Ack(batch));
            }
        }
    }
}
