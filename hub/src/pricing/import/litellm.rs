//! LiteLLM's map: one flat object a model, USD a token, tiers and thresholds as suffixes of keys.
//!
//! A key is a class and suffixes (`input_cost_per_token_above_272k_tokens_priority`). Every key that
//! speaks of money ([`speaks_of_money`]) must be one of the known ones, whole; whatever else is in an
//! entry is not looked at.

use super::collect::Collector;
use super::csv::{product, window};
use super::decimal::Decimal;
use super::json::{Members, Raw, list, object, text};
use super::{Format, ImportError, Report, provider};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::model::ModelPattern;
use weft_proto::money::Ratio;
use weft_proto::prices::{
    BookError, Label, Place, Prices, ROWS_MAX, Row, Source, Weekdays, Window,
};
use weft_proto::provider::Provider;
use weft_proto::usage::{Class, ServiceTier};

/// The keys of prices without their suffixes: the class, and USD for how many units, as a power of
/// ten.
const BASES: [(&str, Class, i32); 15] = [
    ("input_cost_per_token", Class::Input, 0),
    ("output_cost_per_token", Class::Output, 0),
    ("output_cost_per_reasoning_token", Class::Reasoning, 0),
    ("cache_read_input_token_cost", Class::CacheRead, 0),
    ("cache_creation_input_token_cost", Class::CacheWrite, 0),
    ("input_cost_per_audio_token", Class::InputAudio, 0),
    ("output_cost_per_audio_token", Class::OutputAudio, 0),
    ("cache_read_input_audio_token_cost", Class::CacheReadAudio, 0),
    ("input_cost_per_image_token", Class::InputImage, 0),
    ("output_cost_per_image_token", Class::OutputImage, 0),
    ("cache_read_input_image_token_cost", Class::CacheReadImage, 0),
    ("input_cost_per_character", Class::Characters, 0),
    ("file_search_cost_per_1k_calls", Class::FileSearch, 3),
    ("code_interpreter_cost_per_session", Class::CodeSession, 0),
    ("output_cost_per_image", Class::Image, 0),
];

/// A second name of [`Class::CacheRead`], which says the same where both are there.
const CACHE_HIT: &str = "input_cost_per_token_cache_hit";

/// The places of Azure that stand before a model's name.
const AZURE_PLACES: [&str; 4] = ["us", "eu", "apac", "us-gov"];

/// The names that Azure's worldwide deployments have before a model's name.
const AZURE_GLOBAL: [&str; 2] = ["global", "global-standard"];

/// What a key prices: the tier, the threshold and the class.
type Priced = BTreeMap<(ServiceTier, u64), Prices>;

pub(super) fn read(bytes: &[u8], collector: &mut Collector) -> Result<(), ImportError> {
    let form = |why: String| ImportError::Form { format: Format::LiteLlm, why };
    let Members(mut entries): Raw<'_> =
        serde_json::from_slice(bytes).map_err(|error| form(error.to_string()))?;
    // The plain name of a model before a longer one that may say something else.
    entries.sort_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
    for (name, value) in &entries {
        let Some(members) = object(value) else {
            return Err(form(format!("{name:?} is not an object")));
        };
        let whose = members.get("litellm_provider").and_then(text);
        let Some(provider) = whose.as_deref().and_then(provider) else {
            collector.report.others += 1;
            continue;
        };
        Entry { name, provider, members }.read(collector);
        if collector.len() > ROWS_MAX {
            return Err(BookError::TooMany { what: "rows", most: ROWS_MAX }.into());
        }
    }
    Ok(())
}

/// Whether a key is about money. What is not is capabilities, dates and limits.
fn speaks_of_money(key: &str) -> bool {
    ["cost", "price", "pricing", "multiplier", "uplift", "fee", "discount", "surcharge"]
        .iter()
        .any(|word| key.contains(word))
        || key == "provider_specific_entry"
}

struct Entry<'a> {
    name: &'a str,
    provider: Provider,
    members: Raw<'a>,
}

impl Entry<'_> {
    fn read(&self, collector: &mut Collector) {
        let Some((model, place)) = self.model() else {
            // Its prices are by size or quality of an image, which no exchange's usage tells.
            collector.report.unread("an entry whose name is no model's", self.name);
            return;
        };
        let mut seen = BTreeSet::new();
        let mut priced = Priced::new();
        let mut off_peak = None;
        let mut factors = Factors::default();
        for (key, value) in &self.members.0 {
            if !seen.insert(key.as_str()) {
                collector.report.unread(format!("{key} (twice)"), self.name);
            } else if !speaks_of_money(key) {
                continue;
            } else if key == "off_peak_pricing" {
                off_peak = Some(*value);
            } else if key == "search_context_cost_per_query" {
                self.searches(value, &mut priced, collector);
            } else if key == "provider_specific_entry" {
                factors.specific(value, self.name, collector);
            } else if let Some(place) = key.strip_prefix("regional_processing_uplift_multiplier_") {
                factors.uplift(place, value, self.name, collector);
            } else {
                self.price(key, value, &mut priced, collector);
            }
        }
        if priced.values().all(Prices::is_empty) {
            Report::note(&mut collector.report.notes, "entries without a price", self.name);
            return;
        }
        let mut rows = self.rows(&model, &place, &priced);
        if let Some(value) = off_peak {
            rows.extend(self.off_peak(value, &rows, collector));
        }
        for row in factors.apply(rows, self.name, collector) {
            collector.row(row, self.name);
        }
        collector.entry(self.provider);
    }

    /// The model and the place that the name of the entry says.
    fn model(&self) -> Option<(ModelPattern, Place)> {
        let prefix = format!("{}/", self.provider);
        let mut name = self.name.strip_prefix(&prefix).unwrap_or(self.name);
        let mut place = Place::Any;
        if self.provider == Provider::Azure
            && let Some((first, rest)) = name.split_once('/')
        {
            if AZURE_PLACES.contains(&first) {
                place = Place::Named(Label::parse(first).ok()?);
                name = rest;
            } else if AZURE_GLOBAL.contains(&first) {
                name = rest;
            }
        }
        if name.contains('/') || name.contains('*') {
            return None;
        }
        // The owner's own name follows that of a fine-tuned model.
        let tuned = name.starts_with("ft:");
        let pattern = if tuned { format!("{name}:*") } else { name.to_owned() };
        Some((ModelPattern::parse(&pattern).ok()?, place))
    }

    fn price(&self, key: &str, value: &RawValue, priced: &mut Priced, collector: &mut Collector) {
        let number = value.get();
        if let Some((per_second, class)) = self.seconds(key) {
            if per_second && let Some(price) = collector.price(number, 3, key, self.name) {
                priced.entry((ServiceTier::Standard, 0)).or_default().set(class, price);
            }
            return;
        }
        if self.pieces(key)
            && let Some(price) = collector.price(number, 0, key, self.name)
        {
            priced.entry((ServiceTier::Standard, 0)).or_default().set(Class::Image, price);
            return;
        }
        let Some((tier, above, class, per)) = parts(key) else {
            if key == CACHE_HIT && self.same_as_cache_read(number) {
                return;
            }
            // Nothing is missing where nothing is charged.
            if !Decimal::parse(number).is_some_and(Decimal::is_zero) {
                collector.report.unread(key, self.name);
            }
            return;
        };
        if let Some(price) = collector.price(number, per, key, self.name) {
            priced.entry((tier, above)).or_default().set(class, price);
        }
    }

    /// A key of seconds: whether it is to be read, and what it prices. Audio that is heard is priced
    /// once, though the map may say it twice.
    fn seconds(&self, key: &str) -> Option<(bool, Class)> {
        let stated = |key: &str| self.members.get(key).map(RawValue::get);
        match key {
            "input_cost_per_second" => Some((true, Class::AudioMillis)),
            "output_cost_per_second" => {
                let input = stated("input_cost_per_second");
                (input.is_some() && input == stated(key)).then_some((false, Class::AudioMillis))
            }
            "output_cost_per_video_per_second" => Some((true, Class::VideoMillis)),
            _ => None,
        }
    }

    /// Whether the key is the price of an image that is made.
    fn pieces(&self, key: &str) -> bool {
        let makes_images = || {
            self.members.get("mode").and_then(text).is_some_and(|mode| mode == "image_generation")
        };
        key == "input_cost_per_image" && makes_images()
    }

    fn same_as_cache_read(&self, number: &str) -> bool {
        let stated = self.members.get("cache_read_input_token_cost").map(RawValue::get);
        stated.and_then(Decimal::parse) == Decimal::parse(number)
    }

    /// Searches are priced by how much they bring back, which no usage tells: the dearest counts.
    fn searches(&self, value: &RawValue, priced: &mut Priced, collector: &mut Collector) {
        const KEY: &str = "search_context_cost_per_query";
        let Some(Members(sizes)) = object(value) else {
            collector.report.unread(KEY, self.name);
            return;
        };
        let prices: BTreeSet<_> = sizes
            .iter()
            .filter_map(|(_, value)| collector.price(value.get(), 0, KEY, self.name))
            .collect();
        if prices.len() > 1 {
            let note = "searches priced by size, taken at the highest";
            Report::note(&mut collector.report.notes, note, self.name);
        }
        if let Some(dearest) = prices.last() {
            priced.entry((ServiceTier::Standard, 0)).or_default().set(Class::WebSearch, *dearest);
        }
    }

    fn rows(&self, model: &ModelPattern, place: &Place, priced: &Priced) -> Vec<Row> {
        let mut source = self.members.get("source").and_then(text).unwrap_or_default();
        source.truncate(source.floor_char_boundary(weft_proto::prices::SOURCE_BYTES_MAX));
        let source = Source::parse(&source).unwrap_or_default();
        let standard = priced.get(&(ServiceTier::Standard, 0)).copied().unwrap_or_default();
        let tiers: BTreeSet<_> = priced.keys().map(|(tier, _)| *tier).collect();
        let mut rows = Vec::new();
        for tier in tiers {
            // What a tier does not price costs there what it costs everywhere.
            let own = priced.get(&(tier, 0)).copied().unwrap_or_default();
            let base = own.or(&standard);
            let steps = priced.iter().filter(|((of, above), _)| *of == tier && *above > 0);
            let steps = steps.map(|((_, above), prices)| (*above, *prices));
            for (above, prices) in std::iter::once((0, base)).chain(steps) {
                if prices.is_empty() {
                    continue;
                }
                let mut row = Row::new(self.provider, model.clone(), prices);
                row.tier = tier;
                row.place = place.clone();
                row.above = above;
                row.source = source.clone();
                rows.push(row);
            }
        }
        rows
    }

    /// The rows of the hours that are cheaper.
    fn off_peak(&self, value: &RawValue, rows: &[Row], collector: &mut Collector) -> Vec<Row> {
        let mut priced = Priced::new();
        let mut hours = None;
        for (key, value) in object(value).map(|members| members.0).unwrap_or_default() {
            if key == "windows" {
                hours = windows(value);
            } else {
                self.price(&key, value, &mut priced, collector);
            }
        }
        let schedule = hours.and_then(|hours| collector.schedule_of(hours).ok());
        let (Some(schedule), Some(cheaper)) =
            (schedule, priced.remove(&(ServiceTier::Standard, 0)))
        else {
            collector.report.unread("off_peak_pricing", self.name);
            return Vec::new();
        };
        if !priced.is_empty() {
            collector.report.unread("off_peak_pricing of a tier or above a threshold", self.name);
        }
        let note = "off-peak hours without holidays: add a list in CSV where the provider has one";
        Report::note(&mut collector.report.notes, note, self.name);
        rows.iter()
            .filter(|row| row.tier == ServiceTier::Standard && row.above == 0)
            .map(|row| {
                let mut row = row.clone();
                row.schedule = Some(schedule.clone());
                row.prices = cheaper.or(&row.prices);
                row
            })
            .collect()
    }
}

/// What a key with its suffixes prices: tier, threshold, class, and units as a power of ten.
fn parts(key: &str) -> Option<(ServiceTier, u64, Class, i32)> {
    // The longest of the keys that fit, so that no suffix is taken for a part of another key.
    let (base, class, per) = BASES
        .into_iter()
        .filter(|(base, _, _)| key.starts_with(base))
        .max_by_key(|(base, _, _)| base.len())?;
    let mut rest = key.strip_prefix(base)?;
    let (mut tier, mut above, mut class) = (ServiceTier::Standard, 0, class);
    while !rest.is_empty() {
        let tiers = [
            ("_batches", ServiceTier::Batch),
            ("_priority", ServiceTier::Priority),
            ("_flex", ServiceTier::Flex),
        ];
        if let Some((after, of)) =
            tiers.iter().find_map(|(suffix, of)| Some((rest.strip_prefix(suffix)?, *of)))
            && tier == ServiceTier::Standard
        {
            (rest, tier) = (after, of);
        } else if let Some(after) = rest.strip_prefix("_above_1hr")
            && class == Class::CacheWrite
        {
            (rest, class) = (after, Class::CacheWrite1h);
        } else if let Some(after) = rest.strip_prefix("_above_")
            && above == 0
        {
            let (thousands, after) = after.split_once("k_tokens")?;
            above = Decimal::parse(thousands)?.count()?.checked_mul(1_000).filter(|n| *n > 0)?;
            rest = after;
        } else {
            return None;
        }
    }
    Some((tier, above, class, per))
}

/// `[{"hours_utc": "00:00-01:00" | […], "weekdays": [1, …]}, …]`, Monday being 1.
fn windows(value: &RawValue) -> Option<Vec<Window>> {
    let mut windows = Vec::new();
    for part in list(value)? {
        let part = object(part)?;
        if part.0.iter().any(|(key, _)| key != "hours_utc" && key != "weekdays") {
            return None;
        }
        let days = match part.get("weekdays") {
            None => Weekdays::ALL,
            Some(days) => {
                let days: Vec<u8> = serde_json::from_str(days.get()).ok()?;
                let bits = days.iter().try_fold(0_u8, |bits, day| {
                    (1..=7).contains(day).then(|| bits | 1 << (day - 1))
                });
                Weekdays::from_bits(bits?)?
            }
        };
        let hours = part.get("hours_utc")?;
        let hours = match text(hours) {
            Some(one) => vec![one],
            None => list(hours)?.into_iter().map(text).collect::<Option<_>>()?,
        };
        for hours in hours {
            windows.extend(window(days, &hours)?);
        }
    }
    (!windows.is_empty()).then_some(windows)
}

/// What an entry's prices are multiplied by, at places and in tiers.
#[derive(Debug, Default)]
struct Factors {
    places: BTreeMap<String, Ratio>,
    fast: Option<Ratio>,
}

impl Factors {
    fn uplift(&mut self, place: &str, value: &RawValue, name: &str, collector: &mut Collector) {
        match Decimal::parse(value.get()).and_then(Decimal::ratio) {
            Some(factor) => drop(self.places.insert(place.to_owned(), factor)),
            None => collector.report.unread("regional_processing_uplift_multiplier", name),
        }
    }

    /// `{"us": 1.1, "fast": 2}`.
    fn specific(&mut self, value: &RawValue, name: &str, collector: &mut Collector) {
        for (key, value) in object(value).map(|members| members.0).unwrap_or_default() {
            let factor = Decimal::parse(value.get()).and_then(Decimal::ratio);
            match (key.as_str(), factor) {
                ("us", Some(factor)) => drop(self.places.insert(key, factor)),
                ("fast", Some(factor)) => self.fast = Some(factor),
                _ => collector.report.unread(format!("provider_specific_entry.{key}"), name),
            }
        }
    }

    /// The rows, and those of the places and tiers that have a factor.
    fn apply(self, mut rows: Vec<Row>, name: &str, collector: &mut Collector) -> Vec<Row> {
        if let Some(fast) = self.fast {
            let standard = rows.iter().filter(|row| row.tier == ServiceTier::Standard);
            let faster = standard.map(|row| {
                let mut row = row.clone();
                row.tier = ServiceTier::Fast;
                row.factor = fast;
                row
            });
            rows.extend(faster.collect::<Vec<_>>());
        }
        let equal =
            self.places.len() > 1 && self.places.values().collect::<BTreeSet<_>>().len() == 1;
        let places: Vec<(Place, Ratio)> = if equal {
            // The same in all places that are named: every region of the provider is meant.
            self.places.values().take(1).map(|factor| (Place::Regional, *factor)).collect()
        } else {
            let named = self.places.iter();
            named
                .filter_map(|(place, factor)| {
                    Some((Place::Named(Label::parse(place).ok()?), *factor))
                })
                .collect()
        };
        let mut all = rows.clone();
        for (place, factor) in places {
            for row in &rows {
                match product(row.factor, factor) {
                    Some(factor) => {
                        let mut row = row.clone();
                        row.place = place.clone();
                        row.factor = factor;
                        if row.prices.times(factor).is_some() {
                            all.push(row);
                        } else {
                            collector.report.unread("a factor that leaves no whole price", name);
                        }
                    }
                    None => collector.report.unread("a factor that is too fine", name),
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_whole_or_not_at_all() {
        use ServiceTier::{Batch, Flex, Priority, Standard};
        for (key, expected) in [
            ("input_cost_per_token", Some((Standard, 0, Class::Input, 0))),
            (
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
                Some((Standard, 200_000, Class::CacheWrite1h, 0)),
            ),
            (
                "output_cost_per_token_above_272k_tokens_priority",
                Some((Priority, 272_000, Class::Output, 0)),
            ),
            ("cache_read_input_token_cost_flex", Some((Flex, 0, Class::CacheRead, 0))),
            ("input_cost_per_image_token_batches", Some((Batch, 0, Class::InputImage, 0))),
            ("input_cost_per_token_ultrafast", None),
            ("input_cost_per_token_flex_priority", None),
            ("input_cost_per_token_above_1hr", None),
            ("input_cost_per_token_above_k_tokens", None),
            ("cache_creation_input_token_cost_above_12hr", None),
            ("input_cost_per_pixel", None),
        ] {
            assert_eq!(parts(key), expected, "{key}");
        }
    }
}
