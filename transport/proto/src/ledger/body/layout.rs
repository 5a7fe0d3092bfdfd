//! How bodies stand in bytes: what each kind puts, and what it takes back.
//!
//! Taking refuses what putting would not have written. The layouts are drawn beside the types.

use super::{Body, Checkpoint, Close, Cosigned, End, Epoch, HeadOf, HubHead, Open, Why};
use crate::ids::{AccountId, AgentId, ExchangeId, HubId, LeaseId};
use crate::ledger::ack::SignedAcks;
use crate::ledger::codec::Reader;
use crate::ledger::entry::{BadEntry, Position};
use crate::ledger::journal::{JOURNAL_SIZE_MAX, Shown};
use crate::ledger::note::{Cosignature, PublicKey, Signature};
use crate::ledger::tree::Hash;
use crate::limits::{JOURNAL_NODES_MAX, TEXT_BYTES_MAX};
use crate::money::{ListPrice, NanoUsd, Ratio};
use crate::prices::{BookHash, Label};
use crate::provider::Provider;
use crate::time::Timestamp;
use crate::usage::{Basis, Class, Geo, ServiceTier, Usage};
use crate::wire::head::{Terms, Ticket};
use crate::wire::receipts::Showing;

/// What says of an OPEN whether its ticket has terms, and whether they name a place.
const WITHOUT_TERMS: u8 = 0;
const WITH_TERMS: u8 = 1;
const WITH_PLACE: u8 = 2;

impl Body {
    pub(in crate::ledger) fn put(&self, out: &mut Vec<u8>) -> Result<(), BadEntry> {
        match self {
            Self::Epoch(epoch) => epoch.put(out),
            Self::Open(open) => return open.put(out),
            Self::Close(close) => return close.put(out),
            Self::Acks(acks) => return acks.put(out),
            Self::Checkpoint(checkpoint) => checkpoint.put(out),
            Self::Cosigned(cosigned) => return cosigned.put(out),
        }
        Ok(())
    }

    pub(in crate::ledger) fn take(kind: u8, reader: &mut Reader<'_>) -> Result<Self, BadEntry> {
        Ok(match kind {
            1 => Self::Epoch(Epoch::take(reader)?),
            2 => Self::Open(Open::take(reader)?),
            3 => Self::Close(Close::take(reader)?),
            4 => Self::Acks(SignedAcks::take(reader)?),
            5 => Self::Checkpoint(Checkpoint::take(reader)?),
            6 => Self::Cosigned(Cosigned::take(false, reader)?),
            7 => Self::Cosigned(Cosigned::take(true, reader)?),
            _ => return Err(BadEntry("kind")),
        })
    }
}

impl Epoch {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.agent.as_bytes());
        out.extend_from_slice(self.hub.as_bytes());
        out.extend_from_slice(self.key.as_bytes());
        out.push(self.why as u8);
        out.push(u8::from(self.before.is_some()));
        if let Some(before) = &self.before {
            out.extend_from_slice(&before.epoch.to_be_bytes());
            out.extend_from_slice(&before.size.to_be_bytes());
            out.extend_from_slice(before.root.as_bytes());
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, BadEntry> {
        Ok(Self {
            agent: reader.id(AgentId::from_slice)?,
            hub: reader.id(HubId::from_slice)?,
            key: PublicKey::new(reader.array()?),
            why: match reader.u8()? {
                1 => Why::First,
                2 => Why::Restored,
                _ => return Err(BadEntry("why")),
            },
            before: if reader.flag()? {
                let (epoch, size) = (reader.u64()?, reader.u64()?);
                Some(HeadOf { epoch, size, root: Hash::new(reader.array()?) })
            } else {
                None
            },
        })
    }
}

impl Open {
    fn put(&self, out: &mut Vec<u8>) -> Result<(), BadEntry> {
        let ticket = &self.ticket;
        if ticket.attempt == 0 {
            return Err(BadEntry("attempt"));
        }
        out.extend_from_slice(ticket.exchange.as_bytes());
        out.push(ticket.attempt);
        out.extend_from_slice(ticket.account.as_bytes());
        out.push(u8::try_from(self.provider.number()).map_err(|_| BadEntry("provider"))?);
        out.extend_from_slice(&ticket.issued_at.as_micros().to_be_bytes());
        out.push(match &ticket.terms {
            None => WITHOUT_TERMS,
            Some(Terms { place: None, .. }) => WITH_TERMS,
            Some(Terms { place: Some(_), .. }) => WITH_PLACE,
        });
        let Some(terms) = &ticket.terms else {
            return if ticket.mac == [0; 32] { Ok(()) } else { Err(BadEntry("mac")) };
        };
        if terms.cap.is_negative() {
            return Err(BadEntry("cap"));
        }
        out.extend_from_slice(terms.lease.as_bytes());
        out.extend_from_slice(&terms.counter.to_be_bytes());
        out.extend_from_slice(terms.book.as_bytes());
        out.extend_from_slice(&terms.tier.ppm().to_be_bytes());
        out.extend_from_slice(&terms.cap.nanos().to_be_bytes());
        out.extend_from_slice(&ticket.mac);
        if let Some(place) = &terms.place {
            let place = place.as_str().as_bytes();
            out.push(u8::try_from(place.len()).map_err(|_| BadEntry("place"))?);
            out.extend_from_slice(place);
        }
        let model = bounded(&terms.model)?.as_bytes();
        out.extend_from_slice(&u16::try_from(model.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(model);
        Ok(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, BadEntry> {
        let exchange = reader.id(ExchangeId::from_slice)?;
        let attempt = reader.u8()?;
        let account = reader.id(AccountId::from_slice)?;
        let provider =
            Provider::from_number(u32::from(reader.u8()?)).map_err(|_| BadEntry("provider"))?;
        let issued_at = Timestamp::from_micros(reader.u64()?);
        if attempt == 0 {
            return Err(BadEntry("attempt"));
        }
        let mut ticket = Ticket::free(exchange, attempt, account, issued_at);
        let terms = reader.u8()?;
        if !matches!(terms, WITHOUT_TERMS | WITH_TERMS | WITH_PLACE) {
            return Err(BadEntry("terms"));
        }
        if terms != WITHOUT_TERMS {
            let lease = reader.id(LeaseId::from_slice)?;
            let counter = reader.u64()?;
            let book = BookHash::from_bytes(reader.array()?);
            let tier = Ratio::from_ppm(reader.u32()?);
            let cap = NanoUsd::new(reader.i64()?);
            if cap.is_negative() {
                return Err(BadEntry("cap"));
            }
            ticket.mac = reader.array()?;
            let place = if terms == WITH_PLACE {
                let length = usize::from(reader.u8()?);
                let place = str::from_utf8(reader.take(length)?).map_err(|_| BadEntry("place"))?;
                Some(Label::parse(place).map_err(|_| BadEntry("place"))?)
            } else {
                None
            };
            let length = usize::from(reader.u16()?);
            let model = str::from_utf8(reader.take(length)?).map_err(|_| BadEntry("model"))?;
            let model = bounded(model)?.to_owned();
            ticket.terms = Some(Terms { lease, counter, book, model, place, tier, cap });
        }
        Ok(Self { ticket, provider })
    }
}

fn bounded(model: &str) -> Result<&str, BadEntry> {
    if model.len() > TEXT_BYTES_MAX || model.chars().any(char::is_control) {
        return Err(BadEntry("model"));
    }
    Ok(model)
}

impl Close {
    fn put(&self, out: &mut Vec<u8>) -> Result<(), BadEntry> {
        if self.attempt == 0 {
            return Err(BadEntry("attempt"));
        }
        if self.income.is_negative() {
            return Err(BadEntry("income"));
        }
        out.extend_from_slice(self.exchange.as_bytes());
        out.push(self.attempt);
        out.extend_from_slice(&self.open.epoch.to_be_bytes());
        out.extend_from_slice(&self.open.seq.to_be_bytes());
        out.extend_from_slice(&match self.end {
            End::Proper => [1, 0],
            End::Cut { code } => [2, code],
            End::Interrupted => [3, 0],
        });
        out.extend_from_slice(&self.status.to_be_bytes());
        out.extend_from_slice(&[self.basis as u8, self.tier.number(), self.geo.number()]);
        let facts = [self.finish_marker, self.usage_seen, self.charged_although_refused];
        out.push((0..).zip(facts).fold(0, |bits, (bit, fact)| bits | (u8::from(fact) << bit)));
        out.extend_from_slice(&self.bytes_up.to_be_bytes());
        out.extend_from_slice(&self.bytes_down.to_be_bytes());
        out.push(u8::from(self.list.is_some()));
        if let Some(list) = self.list {
            out.extend_from_slice(&list.pico().to_be_bytes());
        }
        out.extend_from_slice(&self.income.nanos().to_be_bytes());
        out.push(u8::try_from(self.usage.iter().count()).unwrap_or(u8::MAX));
        for (class, units) in self.usage.iter() {
            out.push(class.number());
            out.extend_from_slice(&units.to_be_bytes());
        }
        Ok(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, BadEntry> {
        let exchange = reader.id(ExchangeId::from_slice)?;
        let attempt = reader.u8()?;
        let open = Position { epoch: reader.u64()?, seq: reader.u64()? };
        let end = match (reader.u8()?, reader.u8()?) {
            (1, 0) => End::Proper,
            (2, code) => End::Cut { code },
            (3, 0) => End::Interrupted,
            _ => return Err(BadEntry("end")),
        };
        let status = reader.u16()?;
        let basis = Basis::from_number(reader.u8()?).ok_or(BadEntry("basis"))?;
        let tier = ServiceTier::from_number(reader.u8()?).ok_or(BadEntry("service tier"))?;
        let geo = Geo::from_number(reader.u8()?).ok_or(BadEntry("place"))?;
        let facts = reader.u8()?;
        if facts > 0b111 || attempt == 0 {
            return Err(BadEntry("facts"));
        }
        let (bytes_up, bytes_down) = (reader.u64()?, reader.u64()?);
        let list = if reader.flag()? {
            Some(ListPrice::from_pico(reader.i128()?).ok_or(BadEntry("list price"))?)
        } else {
            None
        };
        let income = NanoUsd::new(reader.i64()?);
        if income.is_negative() {
            return Err(BadEntry("income"));
        }
        let mut usage = Usage::NONE;
        let mut least = 0;
        for _ in 0..reader.u8()? {
            let (number, units) = (reader.u8()?, reader.u64()?);
            let class = Class::from_number(number).ok_or(BadEntry("usage"))?;
            if number < least || units == 0 {
                return Err(BadEntry("usage"));
            }
            least = number + 1;
            usage.set(class, units);
        }
        Ok(Self {
            exchange,
            attempt,
            open,
            end,
            status,
            usage,
            basis,
            tier,
            geo,
            finish_marker: facts & 1 != 0,
            usage_seen: facts & 2 != 0,
            charged_although_refused: facts & 4 != 0,
            bytes_up,
            bytes_down,
            list,
            income,
        })
    }
}

impl Checkpoint {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out.push(u8::from(self.hub.is_some()));
        if let Some(hub) = self.hub {
            out.extend_from_slice(&hub.size.to_be_bytes());
            out.extend_from_slice(hub.root.as_bytes());
        }
        out.extend_from_slice(self.signature.as_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, BadEntry> {
        let size = reader.u64()?;
        let root = Hash::new(reader.array()?);
        let hub = if reader.flag()? {
            Some(HubHead { size: reader.u64()?, root: Hash::new(reader.array()?) })
        } else {
            None
        };
        Ok(Self { size, root, hub, signature: Signature::new(reader.array()?) })
    }
}

impl Cosigned {
    fn put(&self, out: &mut Vec<u8>) -> Result<(), BadEntry> {
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(&self.cosignature.at_secs.to_be_bytes());
        match &self.cosignature.journal {
            None if self.nodes.is_empty() => {}
            Some(shown)
                if self.nodes.len() <= JOURNAL_NODES_MAX
                    && shown.head.size <= JOURNAL_SIZE_MAX
                    && shown.growth == Shown::growth_of(&self.nodes) =>
            {
                out.extend_from_slice(&shown.head.size.to_be_bytes());
                out.extend_from_slice(shown.head.root.as_bytes());
                out.push(shown.how as u8);
                out.push(u8::try_from(self.nodes.len()).unwrap_or(u8::MAX));
                self.nodes.iter().for_each(|node| out.extend_from_slice(node.as_bytes()));
            }
            Some(_) | None => return Err(BadEntry("journal")),
        }
        out.extend_from_slice(self.cosignature.signature.as_bytes());
        Ok(())
    }

    fn take(witnessed: bool, reader: &mut Reader<'_>) -> Result<Self, BadEntry> {
        let size = reader.u64()?;
        let key = PublicKey::new(reader.array()?);
        let at_secs = reader.u64()?;
        let mut nodes = Vec::new();
        let journal = if witnessed {
            let head = HubHead { size: reader.u64()?, root: Hash::new(reader.array()?) };
            let how = Showing::from_number(reader.u8()?).ok_or(BadEntry("journal"))?;
            let count = usize::from(reader.u8()?);
            if count > JOURNAL_NODES_MAX || head.size > JOURNAL_SIZE_MAX {
                return Err(BadEntry("journal"));
            }
            for _ in 0..count {
                nodes.push(Hash::new(reader.array()?));
            }
            Some(Shown { head, how, growth: Shown::growth_of(&nodes) })
        } else {
            None
        };
        let signature = Signature::new(reader.array()?);
        Ok(Self { size, key, cosignature: Cosignature { at_secs, journal, signature }, nodes })
    }
}
