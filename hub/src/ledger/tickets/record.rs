//! Records of the journal.

use super::super::purse::Part;
use super::TicketsError;
use super::checkpoint::Checkpoint;
use super::codec::{Reader, Writer};
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::ids::{AccountId, AgentId, ExchangeId, KeyId, LeaseId, NodeId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::money::{NanoUsd, Ratio};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::usage::{Basis, Class, Usage};
use weft_store::{Bearer, Draw, Metered, Outcome, Outlay, Posting, Served, Settlement};

/// The longest terms of a ticket, bytes.
pub const TICKET_TERMS_BYTES_MAX: usize = 1_024;

const OPENED: u8 = 1;
const GROWN: u8 = 2;
const RELEASED: u8 = 3;
const SETTLED: u8 = 4;
const POSTED: u8 = 5;
const CHECKPOINT: u8 = 6;
const ENDED: u8 = 7;

/// What is written down of a dispatch, so that a claim can be held against it after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTicket {
    /// Who is to serve it.
    pub served: Served,
    /// The most that a claim is paid that no settlement of the hub's meets.
    pub cap: NanoUsd,
    /// What a claim needs to be priced, at most [`TICKET_TERMS_BYTES_MAX`]; opaque here.
    pub terms: Vec<u8>,
}

/// A ticket that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticketed {
    pub(crate) exchange: ExchangeId,
    pub(crate) user: UserId,
    pub(crate) key: KeyId,
    pub(crate) number: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) ticket: OpenTicket,
    pub(crate) at: Timestamp,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A ticket was opened.
    Opened(Ticketed),
    /// What an exchange holds now.
    Grown { exchange: ExchangeId, parts: Vec<Part> },
    /// An exchange ended that draws nothing, or is settled without this journal.
    Released { exchange: ExchangeId },
    /// How an exchange ended that is settled with the next record of it.
    Ended(Box<Outcome>),
    /// An exchange was settled.
    Settled(Box<Posting>),
    /// Settlements that the store has, and how they ended.
    Posted { exchanges: Vec<ExchangeId> },
    /// What the node signs of all records before this one.
    Checkpoint(Box<Checkpoint>),
}

impl Record {
    /// Appends the record's bytes.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), TicketsError> {
        let mut out = Writer(bytes);
        match self {
            Self::Opened(opened) => {
                if opened.ticket.terms.len() > TICKET_TERMS_BYTES_MAX {
                    return Err(TicketsError::TooLong);
                }
                out.byte(OPENED);
                out.id(opened.exchange.as_bytes());
                out.id(opened.user.as_bytes());
                out.id(opened.key.as_bytes());
                out.number(opened.number);
                parts(&mut out, &opened.parts);
                served(&mut out, &opened.ticket.served);
                out.amount(opened.ticket.cap);
                out.bytes(&opened.ticket.terms);
                out.moment(opened.at);
            }
            Self::Grown { exchange, parts: held } => {
                out.byte(GROWN);
                out.id(exchange.as_bytes());
                parts(&mut out, held);
            }
            Self::Released { exchange } => {
                out.byte(RELEASED);
                out.id(exchange.as_bytes());
            }
            Self::Ended(outcome) => {
                out.byte(ENDED);
                write_outcome(&mut out, outcome);
            }
            Self::Settled(posting) => {
                out.byte(SETTLED);
                write_posting(&mut out, posting);
            }
            Self::Posted { exchanges } => {
                out.byte(POSTED);
                out.length(exchanges.len());
                for exchange in exchanges {
                    out.id(exchange.as_bytes());
                }
            }
            Self::Checkpoint(checkpoint) => {
                out.byte(CHECKPOINT);
                checkpoint.encode(&mut out);
            }
        }
        Ok(())
    }

    /// Whether bytes of a record are a ticket's.
    pub(super) fn is_ticket(bytes: &[u8]) -> bool {
        bytes.first() == Some(&OPENED)
    }

    /// Whether the journal may have it a few milliseconds later. What it would not say of an exchange
    /// after a crash, a claim or the end of the claim window says instead: a settlement that neither
    /// the journal nor the store has makes its ticket an orphan. What is dispatched, and what that
    /// may cost, must be written down before.
    pub(super) const fn may_wait(&self) -> bool {
        match self {
            Self::Opened(_) | Self::Grown { .. } => false,
            Self::Released { .. }
            | Self::Ended(_)
            | Self::Settled(_)
            | Self::Posted { .. }
            | Self::Checkpoint(_) => true,
        }
    }

    /// Reads a record; `None` for bytes that are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let record = match from.byte()? {
            OPENED => Self::Opened(Ticketed {
                exchange: from.id(ExchangeId::from_slice)?,
                user: from.id(UserId::from_slice)?,
                key: from.id(KeyId::from_slice)?,
                number: from.number()?,
                parts: read_parts(&mut from)?,
                ticket: OpenTicket {
                    served: read_served(&mut from)?,
                    cap: from.amount()?,
                    terms: from.bytes()?.to_vec(),
                },
                at: from.moment()?,
            }),
            GROWN => Self::Grown {
                exchange: from.id(ExchangeId::from_slice)?,
                parts: read_parts(&mut from)?,
            },
            RELEASED => Self::Released { exchange: from.id(ExchangeId::from_slice)? },
            ENDED => Self::Ended(Box::new(read_outcome(&mut from)?)),
            SETTLED => Self::Settled(Box::new(read_posting(&mut from)?)),
            POSTED => {
                Self::Posted { exchanges: from.list(|from| from.id(ExchangeId::from_slice))? }
            }
            CHECKPOINT => Self::Checkpoint(Box::new(Checkpoint::decode(&mut from)?)),
            _ => return None,
        };
        from.is_done().then_some(record)
    }
}

fn parts(out: &mut Writer<'_>, parts: &[Part]) {
    out.length(parts.len());
    for part in parts {
        out.id(part.lease.as_bytes());
        out.amount(part.amount);
    }
}

fn read_parts(from: &mut Reader<'_>) -> Option<Vec<Part>> {
    from.list(|from| Some(Part { lease: from.id(LeaseId::from_slice)?, amount: from.amount()? }))
}

fn served(out: &mut Writer<'_>, served: &Served) {
    out.id(served.agent.as_bytes());
    out.id(served.owner.as_bytes());
    out.id(served.account.as_bytes());
    out.byte(served.attempt);
}

fn read_served(from: &mut Reader<'_>) -> Option<Served> {
    Some(Served {
        agent: from.id(AgentId::from_slice)?,
        owner: from.id(OwnerId::from_slice)?,
        account: from.id(AccountId::from_slice)?,
        attempt: from.byte()?,
    })
}

fn write_outcome(out: &mut Writer<'_>, outcome: &Outcome) {
    out.id(outcome.exchange.as_bytes());
    out.id(outcome.user.as_bytes());
    out.id(outcome.key.as_bytes());
    out.option(outcome.agent, |out, agent| out.id(agent.as_bytes()));
    out.option(outcome.account, |out, account| out.id(account.as_bytes()));
    out.option(outcome.provider, |out, provider| out.bytes(provider.name().as_bytes()));
    out.bytes(outcome.route.as_bytes());
    out.option(outcome.model.as_ref(), |out, model| out.bytes(model.as_str().as_bytes()));
    out.number(u64::from(outcome.attempts));
    out.option(outcome.status, |out, status| out.number(u64::from(status)));
    out.bytes(outcome.end.name().as_bytes());
    out.option(outcome.abort, |out, abort| out.bytes(abort.name().as_bytes()));
    out.number(outcome.request_bytes);
    out.number(outcome.response_bytes);
    out.moment(outcome.admitted_at);
    out.option(outcome.dispatched_after_us, Writer::number);
    out.option(outcome.head_after_us, Writer::number);
    out.option(outcome.first_byte_after_us, Writer::number);
    out.number(outcome.ended_after_us);
}

fn read_outcome(from: &mut Reader<'_>) -> Option<Outcome> {
    Some(Outcome {
        exchange: from.id(ExchangeId::from_slice)?,
        user: from.id(UserId::from_slice)?,
        key: from.id(KeyId::from_slice)?,
        agent: from.option(|from| from.id(AgentId::from_slice))?,
        account: from.option(|from| from.id(AccountId::from_slice))?,
        provider: from.option(|from| from.text()?.parse::<Provider>().ok())?,
        route: from.text()?.to_owned(),
        model: from.option(|from| ModelName::parse(from.text()?).ok())?,
        attempts: from.number()?.try_into().ok()?,
        status: from.option(|from| from.number()?.try_into().ok())?,
        end: EndReason::from_name(from.text()?)?,
        abort: from.option(|from| AbortCode::from_name(from.text()?))?,
        request_bytes: from.number()?,
        response_bytes: from.number()?,
        admitted_at: from.moment()?,
        dispatched_after_us: from.option(Reader::number)?,
        head_after_us: from.option(Reader::number)?,
        first_byte_after_us: from.option(Reader::number)?,
        ended_after_us: from.number()?,
    })
}

fn write_posting(out: &mut Writer<'_>, posting: &Posting) {
    let Posting { settlement, draws, overdraft_max } = posting;
    let Metered { provider, model, usage, basis, service, geo, book, priced_at, zone, tier } =
        &settlement.metered;
    out.id(settlement.exchange.as_bytes());
    out.id(settlement.user.as_bytes());
    out.id(settlement.key.as_bytes());
    out.option(settlement.served.as_ref(), served);
    out.option(*provider, |out, provider| out.bytes(provider.name().as_bytes()));
    out.option(model.as_ref(), |out, model| out.bytes(model.as_str().as_bytes()));
    out.length(usage.iter().count());
    for (class, units) in usage.iter() {
        out.byte(class.number());
        out.number(units);
    }
    out.byte(*basis as u8);
    out.byte(*service);
    out.byte(*geo);
    out.option(book.as_ref(), |out, hash| out.0.extend_from_slice(hash));
    out.moment(*priced_at);
    out.number(u64::from(zone.ppm()));
    out.number(u64::from(tier.ppm()));
    out.bytes(settlement.end.name().as_bytes());
    out.amount(settlement.outlay.charge);
    out.amount(settlement.outlay.income);
    out.amount(settlement.outlay.rounding);
    out.byte(settlement.outlay.bearer.number());
    out.id(settlement.node.as_bytes());
    out.option(settlement.hold, |out, (lease, number)| {
        out.id(lease.as_bytes());
        out.number(number);
    });
    out.amount(settlement.held);
    out.moment(settlement.settled_at);
    out.moment(settlement.claim_until);
    out.length(draws.len());
    for draw in draws {
        out.id(draw.lease.as_bytes());
        out.amount(draw.amount);
    }
    out.amount(*overdraft_max);
}

fn read_posting(from: &mut Reader<'_>) -> Option<Posting> {
    let settlement = Settlement {
        exchange: from.id(ExchangeId::from_slice)?,
        user: from.id(UserId::from_slice)?,
        key: from.id(KeyId::from_slice)?,
        served: from.option(read_served)?,
        metered: Metered {
            provider: from.option(|from| from.text()?.parse::<Provider>().ok())?,
            model: from.option(|from| ModelName::parse(from.text()?).ok())?,
            usage: read_usage(from)?,
            basis: Basis::from_number(from.byte()?)?,
            service: from.byte()?,
            geo: from.byte()?,
            book: from.option(Reader::hash)?,
            priced_at: from.moment()?,
            zone: from.ppm().map(Ratio::from_ppm)?,
            tier: from.ppm().map(Ratio::from_ppm)?,
        },
        end: EndReason::from_name(from.text()?)?,
        outlay: Outlay {
            charge: from.amount()?,
            income: from.amount()?,
            rounding: from.amount()?,
            bearer: Bearer::from_number(from.byte()?)?,
        },
        node: from.id(NodeId::from_slice)?,
        hold: from.option(|from| Some((from.id(LeaseId::from_slice)?, from.number()?)))?,
        held: from.amount()?,
        settled_at: from.moment()?,
        claim_until: from.moment()?,
    };
    let draws = from
        .list(|from| Some(Draw { lease: from.id(LeaseId::from_slice)?, amount: from.amount()? }))?;
    Some(Posting { settlement, draws, overdraft_max: from.amount()? })
}

fn read_usage(from: &mut Reader<'_>) -> Option<Usage> {
    let units = from.list(|from| Some((Class::from_number(from.byte()?)?, from.number()?)))?;
    Some(units.into_iter().collect())
}
