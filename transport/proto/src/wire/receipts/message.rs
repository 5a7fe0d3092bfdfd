//! The protobuf shapes of the ledger's control messages, and the way between them and the values.

use super::{
    Accepted, Ack, AckBatch, AgentLedger, ChainFault, ChainHead, Cosigned, Handover, HubLedger,
    JournalHead, LedgerFault, PricesOffer, Showing, Verdict,
};
use crate::ids::{AgentId, ExchangeId};
use crate::limits::{
    ACKS_PER_BATCH_MAX, BOOKS_MAX, HANDOVERS_MAX, JOURNAL_NODES_MAX, PRICE_BOOK_BYTES_MAX,
};
use crate::money::NanoUsd;
use crate::prices::BookHash;
use crate::time::Timestamp;
use crate::wire::Malformed;

impl From<&ChainHead> for HeadMessage {
    fn from(head: &ChainHead) -> Self {
        Self { epoch: head.epoch, size: head.size, leaf: head.leaf.to_vec() }
    }
}

impl TryFrom<HeadMessage> for ChainHead {
    type Error = Malformed;

    fn try_from(head: HeadMessage) -> Result<Self, Malformed> {
        Ok(Self { epoch: head.epoch, size: head.size, leaf: fixed(head.leaf, "leaf")? })
    }
}

impl From<&Handover> for HandoverMessage {
    fn from(handover: &Handover) -> Self {
        Self { from: handover.from.to_vec(), signature: handover.signature.to_vec() }
    }
}

impl TryFrom<HandoverMessage> for Handover {
    type Error = Malformed;

    fn try_from(handover: HandoverMessage) -> Result<Self, Malformed> {
        Ok(Self {
            from: fixed(handover.from, "ledger key")?,
            signature: fixed(handover.signature, "signature")?,
        })
    }
}

impl TryFrom<&AgentLedger> for AgentLedgerMessage {
    type Error = Malformed;

    fn try_from(ledger: &AgentLedger) -> Result<Self, Malformed> {
        bounded_books(ledger.books.len())?;
        Ok(Self {
            key: ledger.key.to_vec(),
            handover: ledger.handover.as_ref().map(Into::into),
            head: ledger.head.as_ref().map(Into::into),
            books: ledger.books.iter().map(|book| book.as_bytes().to_vec()).collect(),
        })
    }
}

impl TryFrom<AgentLedgerMessage> for AgentLedger {
    type Error = Malformed;

    fn try_from(ledger: AgentLedgerMessage) -> Result<Self, Malformed> {
        Ok(Self {
            key: fixed(ledger.key, "ledger key")?,
            handover: ledger.handover.map(TryInto::try_into).transpose()?,
            head: ledger.head.map(TryInto::try_into).transpose()?,
            books: {
                bounded_books(ledger.books.len())?;
                let books = ledger.books.into_iter();
                books
                    .map(|book| fixed(book, "book hash").map(BookHash::from_bytes))
                    .collect::<Result<_, _>>()?
            },
        })
    }
}

impl TryFrom<&HubLedger> for HubLedgerMessage {
    type Error = Malformed;

    fn try_from(ledger: &HubLedger) -> Result<Self, Malformed> {
        bounded_handovers(ledger.handovers.len())?;
        Ok(Self {
            key: ledger.key.to_vec(),
            handovers: ledger.handovers.iter().map(Into::into).collect(),
            accepted: ledger.accepted.as_ref().map(|accepted| AcceptedMessage {
                head: Some((&accepted.head).into()),
                signature: accepted.signature.to_vec(),
            }),
        })
    }
}

impl TryFrom<HubLedgerMessage> for HubLedger {
    type Error = Malformed;

    fn try_from(ledger: HubLedgerMessage) -> Result<Self, Malformed> {
        Ok(Self {
            key: fixed(ledger.key, "ledger key")?,
            handovers: {
                bounded_handovers(ledger.handovers.len())?;
                let handovers = ledger.handovers.into_iter();
                handovers.map(TryInto::try_into).collect::<Result<_, _>>()?
            },
            accepted: ledger.accepted.map(TryInto::try_into).transpose()?,
        })
    }
}

impl TryFrom<AcceptedMessage> for Accepted {
    type Error = Malformed;

    fn try_from(accepted: AcceptedMessage) -> Result<Self, Malformed> {
        Ok(Self {
            head: accepted.head.ok_or(Malformed("accepted head"))?.try_into()?,
            signature: fixed(accepted.signature, "signature")?,
        })
    }
}

impl TryFrom<&AckBatch> for AckBatchMessage {
    type Error = Malformed;

    fn try_from(batch: &AckBatch) -> Result<Self, Malformed> {
        bounded_acks(batch.acks.len())?;
        let acks = batch.acks.iter().map(|ack| {
            Ok(AckMessage {
                exchange: ack.exchange.as_bytes().to_vec(),
                attempt: u32::from(attempt(u32::from(ack.attempt))?),
                seq: ack.seq,
                verdict: u32::from(ack.verdict as u8),
                amount_nanos: u64::try_from(ack.amount.nanos()).map_err(|_| Malformed("income"))?,
            })
        });
        Ok(Self {
            agent: batch.agent.as_bytes().to_vec(),
            epoch: batch.epoch,
            at_us: batch.at.as_micros(),
            acks: acks.collect::<Result<_, Malformed>>()?,
            signature: batch.signature.to_vec(),
        })
    }
}

impl TryFrom<AckBatchMessage> for AckBatch {
    type Error = Malformed;

    fn try_from(batch: AckBatchMessage) -> Result<Self, Malformed> {
        bounded_acks(batch.acks.len())?;
        let acks = batch.acks.into_iter().map(|ack| {
            Ok(Ack {
                exchange: ExchangeId::from_slice(&ack.exchange)
                    .map_err(|_| Malformed("exchange id"))?,
                attempt: attempt(ack.attempt)?,
                seq: ack.seq,
                verdict: u8::try_from(ack.verdict)
                    .ok()
                    .and_then(Verdict::from_number)
                    .ok_or(Malformed("verdict"))?,
                amount: i64::try_from(ack.amount_nanos)
                    .map(NanoUsd::new)
                    .map_err(|_| Malformed("income"))?,
            })
        });
        Ok(Self {
            agent: AgentId::from_slice(&batch.agent).map_err(|_| Malformed("agent id"))?,
            epoch: batch.epoch,
            at: Timestamp::from_micros(batch.at_us),
            acks: acks.collect::<Result<_, Malformed>>()?,
            signature: fixed(batch.signature, "signature")?,
        })
    }
}

impl TryFrom<&PricesOffer> for PricesMessage {
    type Error = Malformed;

    fn try_from(offer: &PricesOffer) -> Result<Self, Malformed> {
        Ok(Self {
            hash: offer.hash.as_bytes().to_vec(),
            size: book_size(offer.size)?,
            signature: offer.signature.to_vec(),
            active: offer.active,
        })
    }
}

impl TryFrom<PricesMessage> for PricesOffer {
    type Error = Malformed;

    fn try_from(offer: PricesMessage) -> Result<Self, Malformed> {
        Ok(Self {
            hash: BookHash::from_bytes(fixed(offer.hash, "book hash")?),
            size: book_size(offer.size)?,
            signature: fixed(offer.signature, "signature")?,
            active: offer.active,
        })
    }
}

impl TryFrom<&Cosigned> for CosignedMessage {
    type Error = Malformed;

    fn try_from(cosigned: &Cosigned) -> Result<Self, Malformed> {
        bounded_nodes(cosigned.nodes.len())?;
        let JournalHead { size, root } = cosigned.journal;
        Ok(Self {
            epoch: cosigned.epoch,
            size: cosigned.size,
            at_secs: cosigned.at_secs,
            signature: cosigned.signature.to_vec(),
            journal: Some(JournalHeadMessage { size, root: root.to_vec() }),
            how: u32::from(cosigned.how as u8),
            nodes: cosigned.nodes.iter().map(|node| node.to_vec()).collect(),
        })
    }
}

impl TryFrom<CosignedMessage> for Cosigned {
    type Error = Malformed;

    fn try_from(message: CosignedMessage) -> Result<Self, Malformed> {
        bounded_nodes(message.nodes.len())?;
        let journal = message.journal.ok_or(Malformed("journal's head"))?;
        let nodes = message.nodes.into_iter().map(|node| fixed(node, "journal's node"));
        Ok(Self {
            epoch: message.epoch,
            size: message.size,
            at_secs: message.at_secs,
            signature: fixed(message.signature, "signature")?,
            journal: JournalHead {
                size: journal.size,
                root: fixed(journal.root, "journal's root")?,
            },
            how: u8::try_from(message.how)
                .ok()
                .and_then(Showing::from_number)
                .ok_or(Malformed("how a journal is shown"))?,
            nodes: nodes.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&LedgerFault> for FaultMessage {
    fn from(fault: &LedgerFault) -> Self {
        Self { fault: u32::from(fault.fault as u8), epoch: fault.epoch, seq: fault.seq }
    }
}

impl TryFrom<FaultMessage> for LedgerFault {
    type Error = Malformed;

    fn try_from(message: FaultMessage) -> Result<Self, Malformed> {
        let fault = ChainFault::ALL
            .into_iter()
            .find(|fault| u32::from(*fault as u8) == message.fault)
            .ok_or(Malformed("chain fault"))?;
        Ok(Self { fault, epoch: message.epoch, seq: message.seq })
    }
}

fn fixed<const N: usize>(bytes: Vec<u8>, what: &'static str) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed(what))
}

fn attempt(number: u32) -> Result<u8, Malformed> {
    u8::try_from(number).ok().filter(|attempt| *attempt > 0).ok_or(Malformed("attempt"))
}

fn bounded_acks(count: usize) -> Result<(), Malformed> {
    if count == 0 || count > ACKS_PER_BATCH_MAX {
        return Err(Malformed("acknowledgements of a batch"));
    }
    Ok(())
}

fn bounded_books(count: usize) -> Result<(), Malformed> {
    if count > BOOKS_MAX { Err(Malformed("price books")) } else { Ok(()) }
}

fn bounded_handovers(count: usize) -> Result<(), Malformed> {
    if count > HANDOVERS_MAX { Err(Malformed("ledger keys")) } else { Ok(()) }
}

fn bounded_nodes(count: usize) -> Result<(), Malformed> {
    if count > JOURNAL_NODES_MAX { Err(Malformed("journal's nodes")) } else { Ok(()) }
}

fn book_size(size: u32) -> Result<u32, Malformed> {
    let fits = usize::try_from(size).is_ok_and(|size| size > 0 && size <= PRICE_BOOK_BYTES_MAX);
    if fits { Ok(size) } else { Err(Malformed("price book length")) }
}

#[derive(Clone, PartialEq, prost::Message)]
struct HeadMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    size: u64,
    #[prost(bytes = "vec", tag = "3")]
    leaf: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HandoverMessage {
    #[prost(bytes = "vec", tag = "1")]
    from: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::wire) struct AgentLedgerMessage {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    handover: Option<HandoverMessage>,
    #[prost(message, optional, tag = "3")]
    head: Option<HeadMessage>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    books: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::wire) struct HubLedgerMessage {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    handovers: Vec<HandoverMessage>,
    #[prost(message, optional, tag = "3")]
    accepted: Option<AcceptedMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AcceptedMessage {
    #[prost(message, optional, tag = "1")]
    head: Option<HeadMessage>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AckMessage {
    #[prost(bytes = "vec", tag = "1")]
    exchange: Vec<u8>,
    #[prost(uint32, tag = "2")]
    attempt: u32,
    #[prost(uint64, tag = "3")]
    seq: u64,
    #[prost(uint32, tag = "4")]
    verdict: u32,
    #[prost(uint64, tag = "5")]
    amount_nanos: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::wire) struct AckBatchMessage {
    #[prost(bytes = "vec", tag = "1")]
    agent: Vec<u8>,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(fixed64, tag = "3")]
    at_us: u64,
    #[prost(message, repeated, tag = "4")]
    acks: Vec<AckMessage>,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::wire) struct PricesMessage {
    #[prost(bytes = "vec", tag = "1")]
    hash: Vec<u8>,
    #[prost(uint32, tag = "2")]
    size: u32,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bool, tag = "4")]
    active: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::wire) struct CosignedMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    size: u64,
    #[prost(fixed64, tag = "3")]
    at_secs: u64,
    #[prost(bytes = "vec", tag = "4")]
    signature: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    journal: Option<JournalHeadMessage>,
    #[prost(uint32, tag = "6")]
    how: u32,
    #[prost(bytes = "vec", repeated, tag = "7")]
    nodes: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct JournalHeadMessage {
    #[prost(uint64, tag = "1")]
    size: u64,
    #[prost(bytes = "vec", tag = "2")]
    root: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(in crate::wire) struct FaultMessage {
    #[prost(uint32, tag = "1")]
    fault: u32,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    seq: u64,
}
