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
}

impl Promise {
    /// The stored form: version 1, provider 4, at 8 (µs), zone 4, tier 4 (ppm), service 1, book 32,
    /// then the model. Integers are big-endian. Version 2 has a place before the model, behind its
    /// length 1.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(54 + self.model.len());
        out.push(if self.place.is_some() { VERSION_PLACED } else { VERSION });
        out.extend_from_slice(&self.provider.number().to_be_bytes());
        out.extend_from_slice(&self.at.as_micros().to_be_bytes());
        out.extend_from_slice(&self.zone.ppm().to_be_bytes());
        out.extend_from_slice(&self.tier.ppm().to_be_bytes());
        out.push(self.service);
        out.extend_from_slice(self.book.as_bytes());
        if let Some(place) = &self.place {
            out.push(u8::try_from(place.as_str().len()).unwrap_or(u8::MAX));
            out.extend_from_slice(place.as_str().as_bytes());
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
            VERSION_PLACED => {
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
        };
        let bytes = promise.encode();
        assert_eq!(Promise::decode(&bytes), Some(promise.clone()));
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
}
