//! The hub's words on a session: acknowledgements and cosignatures made, and its own words of earlier
//! met again in the agent's chain.

use super::super::evidence::{Evidence, HUB_RESTORED};
use super::super::journal::Showed;
use super::Clerk;
use super::session::{Session, SessionError, ack_of};
use bytes::Bytes;
use std::sync::Arc;
use weft_proto::ledger::note::{Cosignature, Statement};
use weft_proto::ledger::{Cosigned, Position, SignedAcks};
use weft_proto::limits::ACKS_PER_BATCH_MAX;
use weft_proto::wire::control::HubMessage;
use weft_proto::wire::receipts::{self as wire, Ack, AckBatch, JournalHead, Showing, Verdict};
use weft_store::{JournalKind, JournalNote, LegAnswer, LegAnswered, LegState, LegVerdict, Settled};

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
            && parts.is_own(&word.key)
            && !self.said.contains(&word.hash())
            && word.is_signed();
        if !ours {
            return Ok(Vec::new());
        }
        let mut acks = Vec::new();
        for said in &word.batch.acks {
            let at = word.close_of(said);
            let Some(waits) = self.waiting.get(&at) else {
                acks.extend(self.decided(said, at, &entry).await?);
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
            self.hub_restored(at, entry.clone(), Evidence::about(self.agent)).await?;
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

    /// The hub's final word of earlier on a claim that its record has as undecided: a decision that
    /// was lost when the hub was restored from an older copy. It holds, and is written down again.
    async fn decided(
        &mut self,
        said: &Ack,
        at: Position,
        entry: &Bytes,
    ) -> Result<Option<(Position, Ack)>, SessionError> {
        let parts = Arc::clone(&self.clerk.0);
        let (verdict, word) = match said.verdict {
            Verdict::Paid => (LegVerdict::Decide(said.amount), "pay"),
            Verdict::Refused => (LegVerdict::Refuse, "refuse"),
            Verdict::Later | Verdict::Disputed => return Ok(None),
        };
        let Some(agreed) = parts.store.settlement(said.exchange).await? else {
            return Ok(None);
        };
        let leg = &agreed.leg;
        let ours = agreed
            .settlement
            .served
            .is_some_and(|served| (served.agent, served.attempt) == (self.agent, said.attempt));
        let Some(claim) = leg.claim.filter(|claim| (claim.epoch, claim.seq) == (at.epoch, at.seq))
        else {
            return Ok(None);
        };
        if !ours || !matches!(leg.state, LegState::Disputed | LegState::Uncovered) {
            return Ok(None);
        }
        self.hub_restored(at, entry.clone(), Evidence::about(self.agent)).await?;
        let now = self.now();
        let body = format!(
            "exchange={}\ndecision={word}\namount={}\nreason=decided before the hub was restored\n",
            said.exchange, said.amount
        );
        let note = JournalNote { kind: JournalKind::Decision, body: body.into_bytes(), at: now };
        parts.store.note(&[note]).await?;
        let exchange = said.exchange;
        let answer = LegAnswer { exchange, verdict, claim: Some(claim), at: now, due_at: now };
        parts.store.answer(&[answer]).await?;
        Ok(Some((at, *said)))
    }

    async fn hub_restored(
        &mut self,
        at: Position,
        entry: Bytes,
        mut evidence: Evidence,
    ) -> Result<(), SessionError> {
        if !std::mem::replace(&mut self.restored, true) {
            tracing::error!(
                agent = %self.agent, %at,
                "hub_restored: an agent has this hub's word of which the hub has no record; \
                 the hub was restored from an older copy, and is repaired by replay"
            );
        }
        evidence.entry = Some(entry);
        self.keep(HUB_RESTORED, at, None, &evidence).await
    }

    /// The hub's own cosignature of earlier. One that shows a head of the hub's journal that is no
    /// more is the word of a hub that was restored from an older copy since.
    pub(super) async fn own_head(
        &mut self,
        statement: &Statement,
        cosigned: &Cosigned,
        entry: Bytes,
    ) -> Result<(), SessionError> {
        let Some(shown) = cosigned.cosignature.journal else {
            return Ok(());
        };
        let Clerk(parts, journal) = &self.clerk;
        if self.stands == Some(shown.head) || !parts.is_own(&cosigned.key) {
            return Ok(());
        }
        if journal.stood(&*parts.store, shown.head).await? {
            self.stands = Some(shown.head);
            return Ok(());
        }
        if cosigned.cosignature.holds(statement, &cosigned.key) {
            let at = Position { epoch: statement.epoch, seq: statement.size };
            let mut evidence = Evidence::about(self.agent);
            evidence.statement = Some(statement.text());
            self.hub_restored(at, entry, evidence).await?;
        }
        Ok(())
    }

    /// Cosigns a checkpoint that agrees with its entries, and shows the journal as it stands. Where it
    /// has not what the agent names, the hub says so: it was restored from an older copy.
    pub(super) async fn cosign(
        &mut self,
        statement: &Statement,
    ) -> Result<HubMessage, SessionError> {
        let Clerk(parts, journal) = &self.clerk;
        let Showed { shown, nodes } = journal.show(&*parts.store, statement.hub).await?;
        if shown.how == Showing::Restored {
            tracing::error!(
                agent = %self.agent, seen = statement.hub.map(|head| head.size),
                now = shown.head.size,
                "hub_restored: an agent names a journal of this hub that the hub has not"
            );
        }
        let at_secs = self.now().as_secs();
        let made = Cosignature::sign(statement, at_secs, Some(shown), &parts.key);
        Ok(HubMessage::Cosigned(wire::Cosigned {
            epoch: statement.epoch,
            size: statement.size,
            at_secs,
            signature: *made.signature.as_bytes(),
            journal: JournalHead { size: shown.head.size, root: *shown.head.root.as_bytes() },
            how: shown.how,
            nodes: nodes.iter().map(|node| *node.as_bytes()).collect(),
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
