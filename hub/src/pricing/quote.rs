//! What an exchange will cost, pinned: the book, the moment, the model and the place.

use super::SignedBook;
use std::sync::Arc;
use weft_proto::money::Ratio;
use weft_proto::prices::{BookHash, Label, PriceBook, Rates, Wanted};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::usage::{Geo, ServiceTier};

/// A price that was told, and by which everything about an exchange is priced until its end.
#[derive(Debug, Clone)]
pub struct Quote {
    book: Arc<SignedBook>,
    provider: Provider,
    model: String,
    place: Option<Label>,
    at: Timestamp,
    zone: Ratio,
}

impl Quote {
    /// A quote; `None` where the book has no price for the model in the standard tier.
    pub(super) fn of(
        book: Arc<SignedBook>,
        provider: Provider,
        model: &str,
        place: Option<&str>,
        at: Timestamp,
        zone: Ratio,
    ) -> Option<Self> {
        let place = place.map(Label::parse).transpose().ok()?;
        let quote = Self { book, provider, model: model.to_owned(), place, at, zone };
        quote.rates(ServiceTier::Standard, Geo::Unstated).is_some().then_some(quote)
    }

    /// The book's hash, as the ticket names it.
    #[must_use]
    pub fn hash(&self) -> BookHash {
        self.book.book.hash()
    }

    /// The book.
    #[must_use]
    pub fn book(&self) -> &PriceBook {
        &self.book.book
    }

    /// Whose API.
    #[must_use]
    pub const fn provider(&self) -> Provider {
        self.provider
    }

    /// The model that is priced.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The place of the account, where it is not the provider's global host.
    #[must_use]
    pub const fn place(&self) -> Option<&Label> {
        self.place.as_ref()
    }

    /// The pricing instant.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// What the user pays of a list price.
    #[must_use]
    pub const fn zone(&self) -> Ratio {
        self.zone
    }

    /// The same at another account: only the place differs. `None` where there is no price.
    #[must_use]
    pub fn at_place(&self, place: Option<&str>) -> Option<Self> {
        let book = Arc::clone(&self.book);
        Self::of(book, self.provider, &self.model, place, self.at, self.zone)
    }

    /// The same for another model: for a request that names its model late. `None` where there is no
    /// price.
    #[must_use]
    pub fn for_model(&self, model: &str) -> Option<Self> {
        let place = self.place.as_ref().map(Label::as_str);
        Self::of(Arc::clone(&self.book), self.provider, model, place, self.at, self.zone)
    }

    /// The rates for what both meters read in the end, or what a request asks for. There are some
    /// for every tier: one that the book does not know is priced as standard, which
    /// [`Rates::tier`] tells.
    #[must_use]
    pub fn rates(&self, tier: ServiceTier, geo: Geo) -> Option<Rates> {
        self.rates_of(None, tier, geo)
    }

    /// The same of `model`, where one is named.
    #[must_use]
    pub fn rates_of(&self, model: Option<&str>, tier: ServiceTier, geo: Geo) -> Option<Rates> {
        self.book.book.rates(&Wanted {
            provider: self.provider,
            model: model.unwrap_or(&self.model),
            place: self.place.as_ref().map(Label::as_str),
            at: self.at,
            tier,
            geo,
        })
    }
}
