//! Price books on their way: what announces one and what brings it come on streams of their own,
//! and the hub's key on yet another word, in whatever order.
//!
//! Nothing that was announced is lost by coming early. What nobody announces waits in a small room,
//! and goes first where there is no more.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use weft_proto::ledger::Hash;
use weft_proto::prices::BookHash;
use weft_proto::wire::receipts::PricesOffer;

/// Announced price books that may wait for their bytes.
pub(super) const OFFERS_MAX: usize = 16;

/// Price books that may wait for what announces them, or for the hub's key.
const EARLY_MAX: usize = 2;

/// What has come of price books, and cannot be taken yet.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    offers: BTreeMap<BookHash, PricesOffer>,
    early: VecDeque<(BookHash, Bytes)>,
}

impl Arrivals {
    /// A book is announced.
    pub(super) fn announced(&mut self, offer: PricesOffer) {
        if self.offers.len() >= OFFERS_MAX {
            let waits = |hash: &BookHash| self.early.iter().any(|(early, _)| early == hash);
            let goes = self.offers.keys().copied().find(|hash| !waits(hash));
            let goes = goes.or_else(|| self.offers.keys().next().copied());
            if let Some(hash) = goes {
                self.offers.remove(&hash);
            }
        }
        self.offers.insert(offer.hash, offer);
    }

    /// A book's bytes have come. It is named by their hash: so it is found among what is announced.
    pub(super) fn came(&mut self, canonical: Bytes) {
        let hash = BookHash::from_bytes(*Hash::of(&[&canonical]).as_bytes());
        if self.early.iter().any(|(early, _)| *early == hash) {
            return;
        }
        if self.early.len() >= EARLY_MAX {
            let stranger = |(early, _): &(BookHash, Bytes)| !self.offers.contains_key(early);
            let goes = self.early.iter().position(stranger).unwrap_or(0);
            self.early.remove(goes);
            tracing::warn!("a price book came that cannot be waited with");
        }
        self.early.push_back((hash, canonical));
    }

    /// The books that are here and announced, with what announced them. Once the hub's key is known
    /// they can be taken.
    pub(super) fn ready(&mut self) -> Vec<(PricesOffer, Bytes)> {
        let mut ready = Vec::new();
        for (hash, canonical) in std::mem::take(&mut self.early) {
            match self.offers.remove(&hash) {
                Some(offer) => ready.push((offer, canonical)),
                None => self.early.push_back((hash, canonical)),
            }
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(name: &'static str) -> (PricesOffer, Bytes) {
        let bytes = Bytes::from_static(name.as_bytes());
        let hash = BookHash::from_bytes(*Hash::of(&[&bytes]).as_bytes());
        (PricesOffer { hash, size: 0, signature: [0; 64], active: true }, bytes)
    }

    #[test]
    fn a_book_and_its_word_meet_in_either_order_and_once() {
        let (offer, bytes) = book("one");
        let mut arrivals = Arrivals::default();
        arrivals.came(bytes.clone());
        assert!(arrivals.ready().is_empty(), "nobody has announced it");
        arrivals.announced(offer);
        assert_eq!(arrivals.ready(), [(offer, bytes.clone())]);
        assert!(arrivals.ready().is_empty());
        arrivals.announced(offer);
        assert!(arrivals.ready().is_empty(), "its bytes have not come again");
        arrivals.came(bytes.clone());
        assert_eq!(arrivals.ready(), [(offer, bytes)]);
    }

    #[test]
    fn what_nobody_announced_never_drives_out_what_was() {
        let (offer, bytes) = book("announced");
        let mut arrivals = Arrivals::default();
        arrivals.announced(offer);
        arrivals.came(bytes.clone());
        for name in ["a", "b", "c", "d"] {
            arrivals.came(book(name).1);
            assert!(arrivals.early.len() <= EARLY_MAX);
        }
        for at in 0..100_u8 {
            let hash = BookHash::from_bytes([at; 32]);
            arrivals.announced(PricesOffer { hash, ..offer });
            assert!(arrivals.offers.len() <= OFFERS_MAX);
        }
        assert_eq!(arrivals.ready(), [(offer, bytes)]);
    }
}
