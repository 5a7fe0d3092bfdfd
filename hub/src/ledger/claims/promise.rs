//! What a node promised with a ticket, as its journal keeps it: enough to price a claim of it after
//! a crash, when nothing else is known of the exchange.

use weft_proto::limits::TEXT_BYTES_MAX;
use weft_proto::money::Ratio;
use weft_proto::prices::{BookHash, Label};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;

/// The layout's version.
const VERSION: u8 = 1;

/// The version with a place.
const VERSION_PLACED: u8 = 2;

/// The version of a linked pair: with a place, or with an empty one.
const VERSION_LINKED: u8 = 3;

/// By what an exchange is to be priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Whose API is asked.
    pub provider: Provider,
    /// The model that it is priced as; at most [`TEXT_BYTES_MAX`] bytes.
    pub model: String,
    /// Where the account is served, as the book names it; `None` is the provider's global host.
    pub place: Option<Label>,
    /// The price book.
    pub book: BookHash,
    /// The pricing instant.
    pub at: Timestamp,
    /// The user's share of the list price.
    pub zone: Ratio,
    /// The owner's share of it.
    pub tier: Ratio,
    /// The stored number of the service tier that was asked for.
    pub service: u8,
    /// Whether the owner who was asked is linked to the user: then promotional credit pays it
    /// nothing.
    pub linked: bool,
}

impl Promise {
    /// The stored form: version 1, provider 4, at 8 (µs), zone 4, tier 4 (ppm), service 1, book 32,
    /// then the model. Integers are big-endian. Version 2 has a place before the model, behind its
    /// length 1. Version 3 is the same of a linked pair, and its place may be empty; promises of the
    /// versions before it are of pairs that are not.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(54 + self.model.len());
        out.push(match (self.linked, &self.place) {
            (true, _) => VERSION_LINKED,
            (false, Some(_)) => VERSION_PLACED,
            (false, None) => VERSION,
        });
        out.extend_from_slice(&self.provider.number().to_be_bytes());
        out.extend_from_slice(&self.at.as_micros().to_be_bytes());
        out.extend_from_slice(&self.zone.ppm().to_be_bytes());
        out.extend_from_slice(&self.tier.ppm().to_be_bytes());
        out.push(self.service);
        out.extend_from_slice(self.book.as_bytes());
        if let Some(place) = &self.place {
            out.push(u8::try_from(place.as_str().len()).unwrap_or(u8::MAX));
            out.extend_from_slice(place.as_str().as_bytes());
        } else if self.linked {
            out.push(0);
        }
        out.extend_from_slice(self.model.as_bytes());
        out
    }

    /// Reads the stored form; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (provider, rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (zone, rest) = rest.split_first_chunk()?;
        let (tier, rest) = rest.split_first_chunk()?;
        let (service, rest) = rest.split_first()?;
        let (book, rest) = rest.split_first_chunk()?;
        let (place, model) = match *version {
            VERSION => (None, rest),
            VERSION_LINKED if rest.first() == Some(&0) => (None, &rest[1..]),
            VERSION_PLACED | VERSION_LINKED => {
                let (length, rest) = rest.split_first()?;
                let (place, model) = rest.split_at_checked(usize::from(*length))?;
                (Some(Label::parse(str::from_utf8(place).ok()?).ok()?), model)
            }
            _ => return None,
        };
        if model.len() > TEXT_BYTES_MAX {
            return None;
        }
        Some(Self {
            provider: Provider::from_number(u32::from_be_bytes(*provider)).ok()?,
            model: str::from_utf8(model).ok()?.to_owned(),
            place,
            book: BookHash::from_bytes(*book),
            at: Timestamp::from_micros(u64::from_be_bytes(*at)),
            zone: Ratio::from_ppm(u32::from_be_bytes(*zone)),
            tier: Ratio::from_ppm(u32::from_be_bytes(*tier)),
            service: *service,
            linked: *version == VERSION_LINKED,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_comes_back_as_it_was_and_nothing_cut_is_one() {
        let promise = Promise {
            provider: Provider::Anthropic,
            model: "claude-sonnet-4".to_owned(),
            place: None,
            book: BookHash::from_bytes([5; 32]),
            at: Timestamp::from_micros(1_700_000_000_000_001),
            zone: Ratio::from_ppm(1_250_000),
            tier: Ratio::from_ppm(800_000),
            service: 3,
            linked: false,
        };
        let bytes = promise.encode();
        assert_eq!(Promise::decode(&bytes), Some(promise.clone()));
        let linked = Promise { linked: true, ..promise.clone() };
        assert_eq!(Promise::decode(&linked.encode()), Some(linked.clone()));
        for end in 0..55 {
            assert_eq!(Promise::decode(&linked.encode()[..end]), None, "{end}");
        }
        let linked = Promise { place: Label::parse("eu").ok(), ..linked };
        assert_eq!(Promise::decode(&linked.encode()), Some(linked));
        for end in 0..54 {
            assert_eq!(Promise::decode(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Promise::decode(&[&bytes[..], &[b'x'; 256]].concat()), None);
        let placed = Promise { place: Label::parse("eu").ok(), ..promise };
        let bytes = placed.encode();
        assert_eq!(Promise::decode(&bytes), Some(placed));
        for end in 0..57 {
            assert_eq!(Promise::decode(&bytes[..end]), None, "{end}");
        }
    }

    /// What journals hold that hubs of the versions before linked pairs were told apart have left.
    #[test]
    fn the_frozen_promises_of_older_hubs_are_of_pairs_that_are_not_linked() {
        let hex = |text: &str| -> Vec<u8> {
            let digits = text.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            digits.map(byte).collect()
        };
        let facts = "00000003\
                     00060a24181e4001\
                     001312d0000c350003";
        let book = "05".repeat(32);
        let model = "636c617564652d736f6e6e65742d34";
        let (plain, placed) =
            (format!("01{facts}{book}{model}"), format!("02{facts}{book}026575{model}"));
        for (text, place) in [(plain, None), (placed, Label::parse("eu").ok())] {
            let promise = Promise::decode(&hex(&text)).expect("a promise");
            let expected = Promise {
                provider: Provider::Anthropic,
                model: "claude-sonnet-4".to_owned(),
                place,
                book: BookHash::from_bytes([5; 32]),
                at: Timestamp::from_micros(1_700_000_000_000_001),
                zone: Ratio::from_ppm(1_250_000),
                tier: Ratio::from_ppm(800_000),
                service: 3,
                linked: false,
            };
            assert_eq!(promise, expected);
            assert_eq!(promise.encode(), hex(&text), "and it is written as it was");
        }
    }
}
