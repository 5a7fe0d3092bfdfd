//! One row of a price book.

use super::{Label, Source};
use crate::model::ModelPattern;
use crate::money::{Ratio, UnitPrice};
use crate::provider::Provider;
use crate::time::Timestamp;
use crate::usage::{CLASSES, Class, ServiceTier};
use std::cmp::Ordering;
use std::fmt;

/// Parts per million in the whole.
const PPM: i128 = 1_000_000;

/// Where an exchange is served, as far as its price depends on it: the region of the provider's
/// host, or the geography that the provider reports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Anywhere.
    Any,
    /// In any place that has a name, and not at the provider's global host.
    Regional,
    /// In the place of this name.
    Named(Label),
}

impl Place {
    /// How specific it is; more is more.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Regional => 1,
            Self::Named(_) => 2,
        }
    }

    /// Whether an exchange at `place` is meant; `None` is the provider's global host.
    #[must_use]
    pub fn fits(&self, place: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Regional => place.is_some(),
            Self::Named(name) => place == Some(name.as_str()),
        }
    }
}

/// `any`, `regional`, or the name.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Regional => f.write_str("regional"),
            Self::Named(name) => f.write_str(name.as_str()),
        }
    }
}

/// Unit prices by class, each stated or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Prices([Option<UnitPrice>; CLASSES]);

impl Prices {
    /// Nothing stated.
    pub const NONE: Self = Self([None; CLASSES]);

    /// The stated price of `class`.
    #[must_use]
    pub const fn get(&self, class: Class) -> Option<UnitPrice> {
        self.0[class as usize]
    }

    /// States the price of `class`.
    pub const fn set(&mut self, class: Class, price: UnitPrice) {
        self.0[class as usize] = Some(price);
    }

    /// The same with `price` for `class`.
    #[must_use]
    pub const fn with(mut self, class: Class, price: UnitPrice) -> Self {
        self.set(class, price);
        self
    }

    /// The stated prices, in the order of the classes.
    pub fn iter(&self) -> impl Iterator<Item = (Class, UnitPrice)> + '_ {
        Class::ALL.into_iter().filter_map(|class| Some((class, self.get(class)?)))
    }

    /// Whether nothing is stated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The same, where what is not stated is as in `base`.
    #[must_use]
    pub fn or(&self, base: &Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index].or(base.0[index])))
    }

    /// All token prices times `factor`; `None` where one of them is no whole pico-USD then.
    #[must_use]
    pub fn times(&self, factor: Ratio) -> Option<Self> {
        let mut prices = *self;
        for (class, price) in self.iter().filter(|(class, _)| factored(*class)) {
            let product = i128::from(price.pico()) * i128::from(factor.ppm());
            if product % PPM != 0 {
                return None;
            }
            let pico = i64::try_from(product / PPM).ok()?;
            prices.set(class, UnitPrice::from_pico(pico)?);
        }
        Some(prices)
    }
}

/// Whether the factor of a row applies to a class: to what a model reads and writes, never to calls.
#[must_use]
pub const fn factored(class: Class) -> bool {
    match class {
        Class::Input
        | Class::InputAudio
        | Class::InputImage
        | Class::CacheRead
        | Class::CacheReadAudio
        | Class::CacheReadImage
        | Class::CacheWrite
        | Class::CacheWrite1h
        | Class::Output
        | Class::Reasoning
        | Class::OutputAudio
        | Class::OutputImage
        | Class::AudioMillis
        | Class::Characters
        | Class::Image
        | Class::RejectedPrediction
        | Class::VideoMillis => true,
        Class::WebSearch
        | Class::WebFetch
        | Class::FileSearch
        | Class::CodeSession
        | Class::ToolCall
        | Class::Request => false,
    }
}

/// One row: what the units of an exchange cost where all of this fits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose API.
    pub provider: Provider,
    /// Which models.
    pub model: ModelPattern,
    /// In which service tier.
    pub tier: ServiceTier,
    /// Where.
    pub place: Place,
    /// In which part of the week; always where none is named.
    pub schedule: Option<Label>,
    /// From this moment on.
    pub from: Timestamp,
    /// Until before this moment; for ever where none is given.
    pub until: Option<Timestamp>,
    /// Where the total input is more than so many tokens. A class that a row with a threshold says
    /// nothing of costs what it costs below the threshold.
    pub above: u64,
    /// What the prices of tokens, time, characters and images are multiplied by; calls are not.
    pub factor: Ratio,
    /// The prices, before the factor.
    pub prices: Prices,
    /// Where they are from.
    pub source: Source,
}

impl Row {
    /// A row for all times and places, in the standard tier.
    #[must_use]
    pub fn new(provider: Provider, model: ModelPattern, prices: Prices) -> Self {
        Self {
            provider,
            model,
            tier: ServiceTier::Standard,
            place: Place::Any,
            schedule: None,
            from: Timestamp::from_micros(0),
            until: None,
            above: 0,
            factor: Ratio::ONE,
            prices,
            source: Source::default(),
        }
    }

    /// Whether it holds at this moment, its schedule not considered.
    #[must_use]
    pub fn holds_at(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// The end of its time as a number that can be compared.
    pub(super) fn end(&self) -> u64 {
        self.until.map_or(u64::MAX, Timestamp::as_micros)
    }

    /// What it says of the order of rows: everything that a question is matched with, then the rest.
    fn key(&self) -> impl Ord + '_ {
        (
            (self.provider, &self.model, self.tier.number(), &self.place, &self.schedule),
            (self.from, self.end(), self.above, self.factor, &self.prices, &self.source),
        )
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What the row is for, not what it says: `openai gpt-5.4 standard any above 272000`.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.provider, self.model, self.tier.name(), self.place)?;
        if let Some(schedule) = &self.schedule {
            write!(f, " in {schedule}")?;
        }
        if self.above > 0 {
            write!(f, " above {}", self.above)?;
        }
        if self.from.as_micros() > 0 {
            write!(f, " from {}", self.from.as_secs())?;
        }
        if let Some(until) = self.until {
            write!(f, " until {}", until.as_secs())?;
        }
        Ok(())
    }
}
