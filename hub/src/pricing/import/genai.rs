//! genai-prices' list: providers with models, USD a million tokens, prices that depend on dates, on
//! the time of day and on the service tier.

use super::collect::Collector;
use super::csv::{moment, window};
use super::decimal::Decimal;
use super::json::{Members, Raw, list, object, text};
use super::{Format, ImportError, Report, provider};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::model::ModelPattern;
use weft_proto::prices::{BookError, Label, Prices, ROWS_MAX, Row, Source, Weekdays, Window};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::usage::{Class, ServiceTier};

/// The fields of prices: the class, and USD for how many units, as a power of ten.
const FIELDS: [(&str, Class, i32); 18] = [
    ("input_mtok", Class::Input, 6),
    ("output_mtok", Class::Output, 6),
    ("output_reasoning_mtok", Class::Reasoning, 6),
    ("cache_read_mtok", Class::CacheRead, 6),
    ("cache_write_mtok", Class::CacheWrite, 6),
    ("cache_write_5m_mtok", Class::CacheWrite, 6),
    ("cache_write_1h_mtok", Class::CacheWrite1h, 6),
    ("input_audio_mtok", Class::InputAudio, 6),
    ("output_audio_mtok", Class::OutputAudio, 6),
    ("cache_audio_read_mtok", Class::CacheReadAudio, 6),
    ("input_image_mtok", Class::InputImage, 6),
    ("output_image_mtok", Class::OutputImage, 6),
    ("cache_image_read_mtok", Class::CacheReadImage, 6),
    ("input_mchars", Class::Characters, 6),
    ("web_searches_kcount", Class::WebSearch, 3),
    ("storage_searches_kcount", Class::FileSearch, 3),
    ("tool_calls_kcount", Class::ToolCall, 3),
    ("requests_kcount", Class::Request, 3),
];

/// The fields in USD an hour of audio.
const HOURS: [&str; 2] = ["audio_hours", "input_audio_hours"];

/// How deep alternatives of matches may be nested.
const MATCH_DEPTH_MAX: u8 = 8;

/// The prices of one class: at first, and above thresholds.
type Field<'a> = (&'a RawValue, Vec<(u64, &'a RawValue)>);

/// Fields by name.
type Fields<'a> = BTreeMap<String, Field<'a>>;

pub(super) fn read(bytes: &[u8], collector: &mut Collector) -> Result<(), ImportError> {
    let form = |why: String| ImportError::Form { format: Format::GenAi, why };
    let providers: Vec<Raw<'_>> =
        serde_json::from_slice(bytes).map_err(|error| form(error.to_string()))?;
    for members in &providers {
        let id = members.get("id").and_then(text).unwrap_or_default();
        let Some(models) = members.get("models").and_then(list) else {
            return Err(form(format!("the provider {id:?} has no models")));
        };
        let Some(provider) = provider(&id) else {
            collector.report.others += u64::try_from(models.len()).unwrap_or(u64::MAX);
            continue;
        };
        let url = members.get("pricing_urls").and_then(list).unwrap_or_default();
        let source = url.first().copied().and_then(text).unwrap_or_default();
        let source = Source::parse(&source).unwrap_or_default();
        for model in models {
            let members = object(model).ok_or_else(|| form("a model is no object".to_owned()))?;
            let name = members.get("id").and_then(text).unwrap_or_default();
            let name = format!("{id}:{name}");
            Model { provider, name: &name, members, source: &source }.read(collector);
            if collector.len() > ROWS_MAX {
                return Err(BookError::TooMany { what: "rows", most: ROWS_MAX }.into());
            }
        }
    }
    Ok(())
}

struct Model<'a> {
    provider: Provider,
    name: &'a str,
    members: Raw<'a>,
    source: &'a Source,
}

/// When a price holds.
enum Held {
    Always,
    From(Timestamp),
    Hours(Window),
}

impl<'a> Model<'a> {
    fn read(&self, collector: &mut Collector) {
        let mut patterns = BTreeSet::new();
        if let Some(matches) = self.members.get("match") {
            self.patterns(matches, 0, &mut patterns, collector);
        }
        if patterns.is_empty() {
            collector.report.unread("a model whose names cannot be read", self.name);
            return;
        }
        let mut rows = Vec::new();
        let standard = self.standard(collector, &mut rows);
        if let Some(variants) = self.members.get("price_variants") {
            self.variants(variants, &standard, collector, &mut rows);
        }
        if rows.is_empty() {
            Report::note(&mut collector.report.notes, "entries without a price", self.name);
            return;
        }
        for pattern in patterns {
            for row in &rows {
                let mut row = row.clone();
                row.model = pattern.clone();
                collector.row(row, self.name);
            }
        }
        collector.entry(self.provider);
    }

    fn patterns(
        &self,
        value: &RawValue,
        depth: u8,
        patterns: &mut BTreeSet<ModelPattern>,
        collector: &mut Collector,
    ) {
        let Some(Members(clauses)) = object(value).filter(|_| depth < MATCH_DEPTH_MAX) else {
            collector.report.unread("match", self.name);
            return;
        };
        for (key, value) in &clauses {
            let words = text(value);
            let pattern = match (key.as_str(), words.as_deref()) {
                ("or", None) => {
                    for value in list(value).unwrap_or_default() {
                        self.patterns(value, depth + 1, patterns, collector);
                    }
                    continue;
                }
                ("equals", Some(name)) if !name.contains('*') => name.to_owned(),
                ("starts_with", Some(name)) => format!("{name}*"),
                ("ends_with", Some(name)) => format!("*{name}"),
                ("contains", Some(name)) => format!("*{name}*"),
                _ => {
                    let note = format!("names that only {key} tells: not taken");
                    Report::note(&mut collector.report.notes, note, self.name);
                    continue;
                }
            };
            match ModelPattern::parse(&pattern) {
                Ok(pattern) => drop(patterns.insert(pattern)),
                Err(_) => {
                    let note = "names with characters that no model's name has: not taken";
                    Report::note(&mut collector.report.notes, note, self.name);
                }
            }
        }
    }

    /// The rows of the standard tier, and the fields of the price that was stated last.
    fn standard(&self, collector: &mut Collector, rows: &mut Vec<Row>) -> Fields<'a> {
        let Some(value) = self.members.get("prices") else {
            return Fields::new();
        };
        if let Some(members) = object(value) {
            let fields = self.fields(members, collector);
            self.rows(&fields, Period::default(), ServiceTier::Standard, collector, rows);
            return fields;
        }
        let mut dated: Vec<(Timestamp, Fields<'a>)> = Vec::new();
        let mut hours: Vec<(Window, Fields<'a>)> = Vec::new();
        for part in list(value).unwrap_or_default() {
            let Some(part) = object(part) else {
                collector.report.unread("prices", self.name);
                continue;
            };
            let fields = part.get("prices").and_then(object);
            let held = held(part.get("constraint"));
            let (Some(fields), Some(held)) = (fields, held) else {
                collector.report.unread("prices.constraint", self.name);
                continue;
            };
            let fields = self.fields(fields, collector);
            match held {
                Held::Always => dated.push((Timestamp::from_micros(0), fields)),
                Held::From(from) => dated.push((from, fields)),
                Held::Hours(window) => hours.push((window, fields)),
            }
        }
        if !dated.is_sorted_by(|(one, _), (other, _)| one < other) {
            // The last that holds counts: with dates out of order that is not what dates say.
            collector.report.unread("prices with dates out of order", self.name);
            return Fields::new();
        }
        for (at, (from, fields)) in dated.iter().enumerate() {
            let until = dated.get(at + 1).map(|(next, _)| *next);
            let period = Period { from: *from, until, schedule: None };
            self.rows(fields, period, ServiceTier::Standard, collector, rows);
        }
        for (window, fields) in &hours {
            let Ok(schedule) = collector.schedule_of(vec![*window]) else { continue };
            let period = Period { schedule: Some(schedule), ..Period::default() };
            self.rows(fields, period, ServiceTier::Standard, collector, rows);
        }
        if !hours.is_empty() {
            let note = "hours of the day without weekdays and holidays: use CSV where they matter";
            Report::note(&mut collector.report.notes, note, self.name);
        }
        dated.pop().map(|(_, fields)| fields).unwrap_or_default()
    }

    fn variants(
        &self,
        value: &'a RawValue,
        standard: &Fields<'a>,
        collector: &mut Collector,
        rows: &mut Vec<Row>,
    ) {
        for variant in list(value).unwrap_or_default() {
            let Some(variant) = object(variant) else {
                collector.report.unread("price_variants", self.name);
                continue;
            };
            let tier = variant.get("when").and_then(tier);
            let fields = variant.get("prices").and_then(object);
            let held = held(variant.get("constraint"));
            let (Some(tier), Some(fields), Some(held)) = (tier, fields, held) else {
                collector.report.unread("price_variants", self.name);
                continue;
            };
            let own = self.fields(fields, collector);
            if own.is_empty() {
                continue;
            }
            let from = match held {
                Held::Always => Timestamp::from_micros(0),
                Held::From(from) => from,
                Held::Hours(_) => {
                    collector.report.unread("price_variants of hours", self.name);
                    continue;
                }
            };
            if tier == ServiceTier::Standard {
                collector.report.unread("price_variants of the standard tier", self.name);
                continue;
            }
            let mut fields = standard.clone();
            fields.extend(own);
            let period = Period { from, ..Period::default() };
            self.rows(&fields, period, tier, collector, rows);
        }
    }

    fn fields(&self, members: Raw<'a>, collector: &mut Collector) -> Fields<'a> {
        let mut fields = Fields::new();
        for (key, value) in members.0 {
            if value.get() == "null" {
                continue;
            }
            let known =
                HOURS.contains(&key.as_str()) || FIELDS.iter().any(|(field, _, _)| *field == key);
            let read = if known { field(value) } else { None };
            match read {
                Some(field) => drop(fields.insert(key, field)),
                None => collector.report.unread(key, self.name),
            }
        }
        fields
    }

    fn rows(
        &self,
        fields: &Fields<'a>,
        period: Period,
        tier: ServiceTier,
        collector: &mut Collector,
        rows: &mut Vec<Row>,
    ) {
        let mut steps: BTreeMap<u64, Prices> = BTreeMap::new();
        for (key, (base, above)) in fields {
            let all = std::iter::once((0, *base)).chain(above.iter().copied());
            for (above, value) in all {
                if let Some((class, price)) = self.price(key, value, collector) {
                    steps.entry(above).or_default().set(class, price);
                }
            }
        }
        for (above, prices) in steps.into_iter().filter(|(_, prices)| !prices.is_empty()) {
            let mut row = Row::new(self.provider, ModelPattern::any(), prices);
            row.tier = tier;
            row.above = above;
            row.from = period.from;
            row.until = period.until;
            row.schedule = period.schedule.clone();
            row.source = self.source.clone();
            rows.push(row);
        }
    }

    fn price(
        &self,
        key: &str,
        value: &RawValue,
        collector: &mut Collector,
    ) -> Option<(Class, weft_proto::money::UnitPrice)> {
        let quoted = text(value);
        let number = quoted.as_deref().unwrap_or_else(|| value.get());
        if HOURS.contains(&key) {
            let Some(read) = Decimal::parse(number).and_then(Decimal::price_of_hour) else {
                collector.report.unread(key, self.name);
                return None;
            };
            if !read.exact {
                Report::note(&mut collector.report.rounded, key, self.name);
            }
            return Some((Class::AudioMillis, read.price));
        }
        let (_, class, per) = FIELDS.into_iter().find(|(field, _, _)| *field == key)?;
        Some((class, collector.price(number, per, key, self.name)?))
    }
}

/// When rows hold.
#[derive(Debug, Clone)]
struct Period {
    from: Timestamp,
    until: Option<Timestamp>,
    schedule: Option<Label>,
}

impl Default for Period {
    fn default() -> Self {
        Self { from: Timestamp::from_micros(0), until: None, schedule: None }
    }
}

/// A number, or `{"base": …, "tiers": [{"start": …, "price": …}]}`.
fn field(value: &RawValue) -> Option<Field<'_>> {
    let Some(members) = object(value) else {
        return Some((value, Vec::new()));
    };
    let member = |members: &Raw<'_>, name: &str| members.0.iter().any(|(key, _)| key == name);
    if members.0.len() != 2 || !member(&members, "base") || !member(&members, "tiers") {
        return None;
    }
    let (mut base, mut steps) = (None, Vec::new());
    for (key, value) in members.0 {
        if key == "base" {
            base = Some(value);
            continue;
        }
        for tier in list(value)? {
            let Members(tier) = object(tier)?;
            let (mut start, mut price) = (None, None);
            for (key, value) in tier {
                match key.as_str() {
                    "start" => start = Decimal::parse(value.get())?.count(),
                    "price" => price = Some(value),
                    _ => return None,
                }
            }
            steps.push((start.filter(|start| *start > 0)?, price?));
        }
    }
    Some((base?, steps))
}

/// What a `constraint` says; `None` where it is not understood.
fn held(value: Option<&RawValue>) -> Option<Held> {
    let Some(value) = value.filter(|value| value.get() != "null") else {
        return Some(Held::Always);
    };
    let members = object(value)?;
    let known = |key: &str| matches!(key, "start_date" | "start_time" | "end_time" | "type");
    if members.0.iter().any(|(key, _)| !known(key)) {
        return None;
    }
    let read = |name: &str| members.get(name).and_then(text);
    match (read("start_date"), read("start_time"), read("end_time")) {
        (Some(date), None, None) => moment(&date).ok().map(Held::From),
        (None, Some(from), Some(until)) => {
            let hours = format!("{}-{}", utc(&from)?, utc(&until)?);
            let [window] = window(Weekdays::ALL, &hours)?.try_into().ok()?;
            Some(Held::Hours(window))
        }
        _ => None,
    }
}

/// `01:00:00Z` as `01:00`.
fn utc(text: &str) -> Option<&str> {
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00")).unwrap_or(text);
    match text.len() {
        5 => Some(text),
        _ => text.strip_suffix(":00"),
    }
}

/// `{"service_tier": "flex"}`, `{"processing": "batch"}`, `{"speed": "fast"}`.
fn tier(value: &RawValue) -> Option<ServiceTier> {
    let [(key, value)]: [_; 1] = object(value)?.0.try_into().ok()?;
    let word = text(value)?;
    match (key.as_str(), word.as_str()) {
        ("service_tier", word) => ServiceTier::reported(word),
        ("processing", "batch") => Some(ServiceTier::Batch),
        ("speed", "fast") => Some(ServiceTier::Fast),
        _ => None,
    }
}
