//! Acknowledgements in the chain: the hub's signed word on what closes earned.
//!
//! A batch under one signature is one entry, so that a torn write leaves a whole batch or none, and
//! the evidence stands where the income does. What is signed is what went over the wire
//! ([`AckBatch::signed`]), byte for byte, so the entry proves itself without the tunnel.

use super::codec::Reader;
use super::entry::{BadEntry, Position};
use super::note::{PublicKey, Signature};
use super::tree::Hash;
use crate::ids::{AgentId, ExchangeId};
use crate::limits::ACKS_PER_BATCH_MAX;
use crate::money::NanoUsd;
use crate::time::Timestamp;
pub use crate::wire::receipts::{Ack, AckBatch, Verdict};

/// A batch with the hub's key that signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAcks {
    /// The hub's ledger key.
    pub key: PublicKey,
    /// What it signed.
    pub batch: AckBatch,
}

impl SignedAcks {
    /// Whether the batch's key signed it. Whether the key is the hub's is for the caller to know.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.key.verifies(&self.batch.signed(), &Signature::new(self.batch.signature))
    }

    /// The batch's name: SHA-256 of what is signed.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[&self.batch.signed()])
    }

    /// The position of the close that `ack`, one of the batch, answers.
    #[must_use]
    pub const fn close_of(&self, ack: &Ack) -> Position {
        Position { epoch: self.batch.epoch, seq: ack.seq }
    }

    fn check(&self) -> Result<(), BadEntry> {
        if self.batch.acks.is_empty() || self.batch.acks.len() > ACKS_PER_BATCH_MAX {
            return Err(BadEntry("acknowledgements"));
        }
        for ack in &self.batch.acks {
            let fits = match ack.verdict {
                Verdict::Paid => !ack.amount.is_negative(),
                Verdict::Later | Verdict::Disputed | Verdict::Refused => {
                    ack.amount == NanoUsd::ZERO
                }
            };
            if !fits || ack.attempt == 0 {
                return Err(BadEntry("acknowledgement"));
            }
        }
        Ok(())
    }

    /// ```text
    /// key        32   the hub's ledger key
    /// agent      16
    /// epoch       8   of the closes
    /// at          8   when the hub signed, microseconds
    /// count       2   1 to 200
    /// each:  exchange 16, attempt 1, close seq 8, verdict 1, amount 8 (nano-USD, signed)
    /// signature  64   over the batch as the wire's page says
    /// ```
    pub(super) fn put(&self, out: &mut Vec<u8>) -> Result<(), BadEntry> {
        self.check()?;
        let batch = &self.batch;
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(batch.agent.as_bytes());
        out.extend_from_slice(&batch.epoch.to_be_bytes());
        out.extend_from_slice(&batch.at.as_micros().to_be_bytes());
        out.extend_from_slice(&u16::try_from(batch.acks.len()).unwrap_or(u16::MAX).to_be_bytes());
        for ack in &batch.acks {
            out.extend_from_slice(ack.exchange.as_bytes());
            out.push(ack.attempt);
            out.extend_from_slice(&ack.seq.to_be_bytes());
            out.push(ack.verdict as u8);
            out.extend_from_slice(&ack.amount.nanos().to_be_bytes());
        }
        out.extend_from_slice(&batch.signature);
        Ok(())
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self, BadEntry> {
        let key = PublicKey::new(reader.array()?);
        let agent = reader.id(AgentId::from_slice)?;
        let epoch = reader.u64()?;
        let at = Timestamp::from_micros(reader.u64()?);
        let count = usize::from(reader.u16()?);
        if count > ACKS_PER_BATCH_MAX {
            return Err(BadEntry("acknowledgements"));
        }
        let mut acks = Vec::with_capacity(count);
        for _ in 0..count {
            acks.push(Ack {
                exchange: reader.id(ExchangeId::from_slice)?,
                attempt: reader.u8()?,
                seq: reader.u64()?,
                verdict: Verdict::from_number(reader.u8()?).ok_or(BadEntry("verdict"))?,
                amount: NanoUsd::new(reader.i64()?),
            });
        }
        let signature = reader.array()?;
        let acks = Self { key, batch: AckBatch { agent, epoch, at, acks, signature } };
        acks.check()?;
        Ok(acks)
    }
}
