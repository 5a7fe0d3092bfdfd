//! Words of the hub that break an earlier one or answer nothing: kept beside the log as they came,
//! signed, so that the same is found again offline.
//!
//! They are no part of the chain: nothing of them was taken. A file holds one batch in the layout of
//! an ACKS entry, and is named by its leaf. There are no more than [`BROKEN_WORDS_MAX`]: a hub that
//! breaks its word more often proves nothing more.

use super::LedgerError;
use super::disk::{Disk, Files};
use crate::datadir::DataDir;
use std::collections::BTreeMap;
use weft_proto::ids::{AgentId, ExchangeId};
use weft_proto::ledger::verify::{Check, Finding};
use weft_proto::ledger::{
    Ack, Body, ENTRY_BYTES_MAX, Entry, Hash, Position, PublicKey, SignedAcks, Verdict,
};
use weft_proto::money::NanoUsd;

/// Batches that are kept at most.
pub const BROKEN_WORDS_MAX: usize = 64;

/// How the names of their files begin.
const PREFIX: &str = "broken-";

/// Keeps a batch, once.
pub(super) fn keep(disk: &dyn Disk, said: &SignedAcks) -> Result<(), LedgerError> {
    let position = Position { epoch: 1, seq: 0 };
    let body = Body::Acks(said.clone());
    let bytes = Entry { position, at: said.batch.at, prev: Hash::ZERO, body }.encode()?;
    let name = format!("{PREFIX}{}", Hash::leaf(&bytes));
    let failed = |source| LedgerError::Disk { doing: "keeping a word that the hub broke", source };
    let kept = names(disk).map_err(failed)?;
    if kept.len() >= BROKEN_WORDS_MAX || kept.contains(&name) {
        return Ok(());
    }
    disk.replace(&name, &bytes).map_err(failed)
}

fn names(disk: &dyn Disk) -> std::io::Result<Vec<String>> {
    let mut names = disk.list()?;
    names.retain(|name| name.starts_with(PREFIX));
    names.sort_unstable();
    Ok(names)
}

/// A close that a kept word speaks of, as the log has it.
#[derive(Debug, Clone, Copy)]
struct Known {
    exchange: (ExchangeId, u8),
    income: NanoUsd,
    word: Option<(Verdict, NanoUsd)>,
}

/// The words that were kept, and what the log says to them.
#[derive(Debug, Default)]
pub struct BrokenWords {
    words: Vec<SignedAcks>,
    closes: BTreeMap<Position, Option<Known>>,
}

impl BrokenWords {
    /// What is kept in `data`. A file that holds no such word is passed over.
    ///
    /// # Errors
    /// [`LedgerError::Disk`].
    pub fn read(data: &DataDir) -> Result<Self, LedgerError> {
        let disk = Files::existing(data.ledger_dir(), false);
        if !disk.root().is_dir() {
            return Ok(Self::default());
        }
        let failed = |source| LedgerError::Disk { doing: "reading a kept word", source };
        let mut found = Self::default();
        for name in names(&disk).map_err(failed)?.into_iter().take(BROKEN_WORDS_MAX) {
            let mut bytes = vec![0; ENTRY_BYTES_MAX];
            let read = disk.read(&name, 0, &mut bytes).map_err(failed)?;
            if let Ok(Entry { body: Body::Acks(said), .. }) = Entry::decode(&bytes[..read]) {
                found.closes.extend(said.batch.acks.iter().map(|ack| (said.close_of(ack), None)));
                found.words.push(said);
            }
        }
        Ok(found)
    }

    /// Takes notice of an entry of the log, in chain order.
    pub fn see(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Close(close) => {
                if let Some(known) = self.closes.get_mut(&entry.position) {
                    let exchange = (close.exchange, close.attempt);
                    *known = Some(Known { exchange, income: close.income, word: None });
                }
            }
            Body::Acks(said) => {
                for ack in &said.batch.acks {
                    let close = self.closes.get_mut(&said.close_of(ack)).and_then(Option::as_mut);
                    if let Some(known) = close
                        && known.word.is_none_or(|(verdict, _)| !verdict.is_final())
                    {
                        known.word = Some((ack.verdict, ack.amount));
                    }
                }
            }
            Body::Epoch(_) | Body::Open(_) | Body::Checkpoint(_) | Body::Cosigned(_) => {}
        }
    }

    /// What the kept words break, once the whole log was seen: of those that one of `hub_keys` (any,
    /// where there is none) has signed for this agent.
    #[must_use]
    pub fn findings(&self, agent: Option<AgentId>, hub_keys: &[PublicKey]) -> Vec<Finding> {
        let is_hubs = |said: &&SignedAcks| {
            (hub_keys.is_empty() || hub_keys.contains(&said.key))
                && agent.is_none_or(|agent| agent == said.batch.agent)
                && said.is_signed()
        };
        let mut findings = Vec::new();
        for said in self.words.iter().filter(is_hubs) {
            for ack in &said.batch.acks {
                let position = said.close_of(ack);
                let close = self.closes.get(&position).copied().flatten();
                findings.extend(broken(ack, close).map(|check| Finding { check, position }));
            }
        }
        findings
    }
}

/// What is wrong with the hub's word on a close.
fn broken(ack: &Ack, close: Option<Known>) -> Option<Check> {
    let Some(close) = close.filter(|close| close.exchange == (ack.exchange, ack.attempt)) else {
        return Some(Check::AckWithoutClose);
    };
    if ack.amount > close.income {
        return Some(Check::AckAboveClaim);
    }
    let stands = close.word.filter(|(verdict, _)| verdict.is_final())?;
    (stands != (ack.verdict, ack.amount)).then_some(Check::AckedTwice)
}
