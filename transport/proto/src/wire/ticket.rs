//! The ticket: a node's evidence of one dispatch, with the terms of money that both ends settle by.
//!
//! The first four fields are those of every ticket. A route that costs has [`Terms`] as well, and a
//! MAC that only nodes of the hub can make: with it a claim proves its dispatch to any node, long
//! after the one that dispatched it is gone. A ticket names no user.

use super::{Malformed, bounded_text, place, place_text};
use crate::ids::{AccountId, ExchangeId, LeaseId};
use crate::money::{NanoUsd, Ratio};
use crate::prices::{BookHash, Label};
use crate::time::Timestamp;

/// Bytes of a ticket's MAC: HMAC-SHA-256.
pub const MAC_BYTES: usize = 32;

/// What a MAC says that it is made for, so that no other use of the key makes one.
const MAC_DOMAIN: &[u8] = b"weft/1 ticket\0";

/// The same, where the terms name a place.
const MAC_DOMAIN_PLACED: &[u8] = b"weft/1 ticket at a place\0";

/// The node's evidence of a dispatch: which attempt of which exchange goes to which account, and
/// at which price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Counts from 1.
    pub attempt: u8,
    /// The account that is to serve it.
    pub account: AccountId,
    /// When the node made the ticket: the instant whose prices hold.
    pub issued_at: Timestamp,
    /// What it costs and earns; none on a free route, and from a hub that does not charge.
    pub terms: Option<Terms>,
    /// HMAC-SHA-256 over [`Ticket::mac_input`]; zeros where there are no terms.
    pub mac: [u8; MAC_BYTES],
}

/// The money side of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The balance lease that holds the exchange.
    pub lease: LeaseId,
    /// Counts the tickets of the lease, from 1.
    pub counter: u64,
    /// The price book that both ends price by.
    pub book: BookHash,
    /// The model that the book is asked for; at most
    /// [`TEXT_BYTES_MAX`](crate::limits::TEXT_BYTES_MAX) bytes.
    pub model: String,
    /// Where the account is served, as the book names it; `None` is the provider's global host.
    pub place: Option<Label>,
    /// The owner's share of the list price.
    pub tier: Ratio,
    /// The most that a claim is paid which the hub has no record of: income, in nano-USD.
    pub cap: NanoUsd,
}

impl Ticket {
    /// A ticket without terms.
    #[must_use]
    pub const fn free(
        exchange: ExchangeId,
        attempt: u8,
        account: AccountId,
        issued_at: Timestamp,
    ) -> Self {
        Self { exchange, attempt, account, issued_at, terms: None, mac: [0; MAC_BYTES] }
    }

    /// The bytes that the MAC is made over, or `None` without terms. Fixed widths, big-endian; the
    /// one text of variable length stands last, so that no two tickets share their bytes; a place
    /// stands before it, behind its length, and has a first line of its own.
    #[must_use]
    pub fn mac_input(&self) -> Option<Vec<u8>> {
        let terms = self.terms.as_ref()?;
        let mut out = Vec::with_capacity(160 + terms.model.len());
        out.extend_from_slice(match &terms.place {
            None => MAC_DOMAIN,
            Some(_) => MAC_DOMAIN_PLACED,
        });
        out.extend_from_slice(self.exchange.as_bytes());
        out.push(self.attempt);
        out.extend_from_slice(self.account.as_bytes());
        out.extend_from_slice(&self.issued_at.as_micros().to_be_bytes());
        out.extend_from_slice(terms.lease.as_bytes());
        out.extend_from_slice(&terms.counter.to_be_bytes());
        out.extend_from_slice(terms.book.as_bytes());
        out.extend_from_slice(&terms.tier.ppm().to_be_bytes());
        out.extend_from_slice(&terms.cap.nanos().to_be_bytes());
        if let Some(place) = &terms.place {
            let length = u16::try_from(place.as_str().len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(place.as_str().as_bytes());
        }
        out.extend_from_slice(terms.model.as_bytes());
        Some(out)
    }

    pub(super) fn terms_message(&self) -> Result<Option<TermsMessage>, Malformed> {
        let Some(terms) = &self.terms else {
            return Ok(None);
        };
        Ok(Some(TermsMessage {
            lease: terms.lease.as_bytes().to_vec(),
            counter: terms.counter,
            book: terms.book.as_bytes().to_vec(),
            model: bounded_text(&terms.model, "priced model")?,
            tier_ppm: terms.tier.ppm(),
            cap_nanos: u64::try_from(terms.cap.nanos()).map_err(|_| Malformed("cap"))?,
            mac: self.mac.to_vec(),
            place: place_text(terms.place.as_ref()),
        }))
    }

    pub(super) fn with_terms(mut self, message: Option<TermsMessage>) -> Result<Self, Malformed> {
        let Some(message) = message else {
            return Ok(self);
        };
        self.mac = message.mac.try_into().map_err(|_| Malformed("ticket MAC"))?;
        self.terms = Some(Terms {
            lease: LeaseId::from_slice(&message.lease).map_err(|_| Malformed("lease id"))?,
            counter: message.counter,
            book: BookHash::from_bytes(
                message.book.try_into().map_err(|_| Malformed("book hash"))?,
            ),
            model: bounded_text(&message.model, "priced model")?,
            place: place(&message.place)?,
            tier: Ratio::from_ppm(message.tier_ppm),
            cap: i64::try_from(message.cap_nanos)
                .map(NanoUsd::new)
                .map_err(|_| Malformed("cap"))?,
        });
        Ok(self)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TermsMessage {
    #[prost(bytes = "vec", tag = "1")]
    lease: Vec<u8>,
    #[prost(uint64, tag = "2")]
    counter: u64,
    #[prost(bytes = "vec", tag = "3")]
    book: Vec<u8>,
    #[prost(string, tag = "4")]
    model: String,
    #[prost(uint32, tag = "5")]
    tier_ppm: u32,
    #[prost(uint64, tag = "6")]
    cap_nanos: u64,
    #[prost(bytes = "vec", tag = "7")]
    mac: Vec<u8>,
    #[prost(string, tag = "8")]
    place: String,
}
