//! The table: a row of prices a line, for people to write and to read.
//!
//! The first line names the columns, in any order. Lines that begin with `#` are comments. A line is
//! one of three, by its `provider`: prices of a provider; `schedule`, a part of the week; `holidays`,
//! days that do not count. `hub/docs/prices.md` describes all columns.

use super::collect::Collector;
use super::decimal::Decimal;
use super::{Format, ImportError, provider};
use jiff::civil::{Date, date};
use std::collections::BTreeMap;
use weft_proto::model::ModelPattern;
use weft_proto::money::Ratio;
use weft_proto::prices::{
    BookError, Day, Holidays, Label, MINUTES_PER_DAY, Place, Prices, ROWS_MAX, Row, Schedule,
    Source, Weekdays, Window,
};
use weft_proto::time::Timestamp;
use weft_proto::usage::{Class, ServiceTier};

/// The columns that say what a row is about.
const ABOUT: [&str; 9] =
    ["provider", "model", "when", "tier", "place", "above", "from", "until", "source"];

/// The columns of prices: the class, and USD for how many units, as a power of ten.
const PRICED: [(&str, Class, i32); 23] = [
    ("input", Class::Input, 6),
    ("input_audio", Class::InputAudio, 6),
    ("input_image", Class::InputImage, 6),
    ("cache_read", Class::CacheRead, 6),
    ("cache_read_audio", Class::CacheReadAudio, 6),
    ("cache_read_image", Class::CacheReadImage, 6),
    ("cache_write", Class::CacheWrite, 6),
    ("cache_write_1h", Class::CacheWrite1h, 6),
    ("output", Class::Output, 6),
    ("reasoning", Class::Reasoning, 6),
    ("output_audio", Class::OutputAudio, 6),
    ("output_image", Class::OutputImage, 6),
    ("rejected_prediction", Class::RejectedPrediction, 6),
    ("audio_second", Class::AudioMillis, 3),
    ("video_second", Class::VideoMillis, 3),
    ("characters", Class::Characters, 6),
    ("web_search", Class::WebSearch, 3),
    ("web_fetch", Class::WebFetch, 3),
    ("file_search", Class::FileSearch, 3),
    ("tool_call", Class::ToolCall, 3),
    ("request", Class::Request, 3),
    ("code_session", Class::CodeSession, 0),
    ("image", Class::Image, 0),
];

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What is wrong with a line.
type Wrong = String;

pub(super) fn read(bytes: &[u8], collector: &mut Collector) -> Result<(), ImportError> {
    let form = |why: String| ImportError::Form { format: Format::Csv, why };
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let columns = reader.headers().map_err(|error| form(error.to_string()))?.clone();
    for column in &columns {
        if !ABOUT.contains(&column) && !PRICED.iter().any(|(name, _, _)| *name == column) {
            collector.report.unread(format!("column {column:?}"), "line 1");
        }
    }
    for record in reader.records() {
        let record = record.map_err(|error| form(error.to_string()))?;
        let number = record.position().map_or(0, csv::Position::line);
        if record.len() > columns.len() {
            return Err(form(format!("line {number} has more cells than there are columns")));
        }
        let cells = columns.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
        let line = Line { cells: cells.collect(), place: format!("line {number}") };
        line.read(collector).map_err(|wrong| form(format!("line {number}: {wrong}")))?;
        if collector.len() > ROWS_MAX {
            return Err(BookError::TooMany { what: "rows", most: ROWS_MAX }.into());
        }
    }
    Ok(())
}

struct Line<'a> {
    cells: BTreeMap<&'a str, &'a str>,
    place: String,
}

impl Line<'_> {
    fn get(&self, column: &str) -> Option<&str> {
        self.cells.get(column).copied()
    }

    fn wanted(&self, column: &str) -> Result<&str, Wrong> {
        self.get(column).ok_or_else(|| format!("{column} is missing"))
    }

    fn read(&self, collector: &mut Collector) -> Result<(), Wrong> {
        match self.wanted("provider")? {
            "schedule" => {
                let name = label(self.wanted("model")?)?;
                let (windows, except) = windows(self.wanted("when")?)?;
                collector.schedule(Schedule::new(name, windows, except));
                Ok(())
            }
            "holidays" => {
                let name = label(self.wanted("model")?)?;
                let days = self.wanted("when")?.split_whitespace().map(day);
                collector.holidays(Holidays::new(name, days.collect::<Result<_, _>>()?));
                Ok(())
            }
            name => {
                let provider =
                    provider(name).ok_or_else(|| format!("{name:?} is none of the providers"))?;
                self.prices(provider, collector)
            }
        }
    }

    fn prices(
        &self,
        provider: weft_proto::provider::Provider,
        collector: &mut Collector,
    ) -> Result<(), Wrong> {
        let mut prices = Prices::NONE;
        for (column, class, per) in PRICED {
            let Some(cell) = self.get(column) else { continue };
            let read = Decimal::parse(cell).and_then(|number| number.price(per));
            let read = read.ok_or_else(|| format!("{column}: {cell:?} is no price in USD"))?;
            if !read.exact {
                return Err(format!("{column}: {cell:?} is no whole number of pico-USD a unit"));
            }
            prices.set(class, read.price);
        }
        if prices.is_empty() {
            return Err("no price is stated".to_owned());
        }
        let mut row = Row::new(provider, ModelPattern::any(), prices);
        row.schedule = self.get("when").map(label).transpose()?;
        row.above = match self.get("above") {
            None => 0,
            Some(cell) => cell.parse().map_err(|_| format!("above: {cell:?} is no count"))?,
        };
        row.from = self.get("from").map_or(Ok(Timestamp::from_micros(0)), moment)?;
        row.until = self.get("until").map(moment).transpose()?;
        let source = self.get("source").unwrap_or_default();
        row.source = Source::parse(source).map_err(|error| error.to_string())?;
        let tiers = factors(self.get("tier").unwrap_or("standard"))?;
        let places = factors(self.get("place").unwrap_or("any"))?;
        for model in self.wanted("model")?.split_whitespace() {
            row.model =
                ModelPattern::parse(model).map_err(|error| format!("{model:?}: {error}"))?;
            for (tier, by_tier) in &tiers {
                row.tier = ServiceTier::from_name(tier)
                    .ok_or_else(|| format!("{tier:?} is no service tier"))?;
                for (place, by_place) in &places {
                    row.place = match *place {
                        "any" => Place::Any,
                        "regional" => Place::Regional,
                        name => Place::Named(label(name)?),
                    };
                    row.factor = product(*by_tier, *by_place)
                        .ok_or_else(|| format!("the factor of {tier} and {place} is too fine"))?;
                    if collector.has(&row) {
                        return Err(format!("a second row about {row}"));
                    }
                    collector.row(row.clone(), &self.place);
                }
            }
        }
        collector.entry(provider);
        Ok(())
    }
}

/// `standard batch:0.5`: names, each with a factor or without.
fn factors(cell: &str) -> Result<Vec<(&str, Ratio)>, Wrong> {
    cell.split_whitespace()
        .map(|word| match word.split_once(':') {
            None => Ok((word, Ratio::ONE)),
            Some((name, factor)) => Decimal::parse(factor)
                .and_then(Decimal::ratio)
                .map(|factor| (name, factor))
                .ok_or_else(|| format!("{word:?}: not a factor")),
        })
        .collect()
}

/// Both factors in one; `None` where that is no whole number of parts per million.
pub(super) fn product(one: Ratio, other: Ratio) -> Option<Ratio> {
    const PPM: u64 = 1_000_000;
    let product = u64::from(one.ppm()) * u64::from(other.ppm());
    if product % PPM != 0 {
        return None;
    }
    u32::try_from(product / PPM).ok().map(Ratio::from_ppm)
}

fn label(text: &str) -> Result<Label, Wrong> {
    Label::parse(text).map_err(|error| format!("{text:?}: {error}"))
}

fn civil(text: &str) -> Result<Date, Wrong> {
    text.parse::<Date>().map_err(|_| format!("{text:?} is no date such as 2026-11-23"))
}

/// A day in UTC.
pub(super) fn day(text: &str) -> Result<Day, Wrong> {
    let days = (civil(text)? - date(1970, 1, 1)).get_days();
    u32::try_from(days).map(Day::from_number).map_err(|_| format!("{text:?} is before 1970"))
}

/// The first moment of a day in UTC.
pub(super) fn moment(text: &str) -> Result<Timestamp, Wrong> {
    Ok(Timestamp::from_secs(u64::from(day(text)?.number()) * 24 * 60 * 60))
}

/// `mon-fri 01:00-04:00 sat 00:00-24:00 except cn`: days and hours, and a list of holidays.
fn windows(text: &str) -> Result<(Vec<Window>, Option<Label>), Wrong> {
    let mut words = text.split_whitespace();
    let mut windows = Vec::new();
    while let Some(word) = words.next() {
        if word == "except" {
            let name = words.next().ok_or("except what?")?;
            if words.next().is_some() {
                return Err("nothing may follow the list of holidays".to_owned());
            }
            return Ok((windows, Some(label(name)?)));
        }
        let days = weekdays(word)?;
        let hours = words.next().ok_or_else(|| format!("{word}: which hours?"))?;
        windows.extend(window(days, hours).ok_or_else(|| format!("{hours:?}: not hours"))?);
    }
    Ok((windows, None))
}

fn weekdays(word: &str) -> Result<Weekdays, Wrong> {
    let place = |name: &str| {
        let place = WEEKDAYS.iter().position(|day| *day == name);
        place.ok_or_else(|| format!("{name:?} is no day of the week such as mon"))
    };
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (place(first)?, place(last)?);
    let bits = (first..=last).fold(0_u8, |bits, day| bits | 1 << day);
    Weekdays::from_bits(bits).ok_or_else(|| format!("{word:?}: the days run backwards"))
}

/// `22:00-02:00` on some days, as one or two windows that end at midnight; an end of `00:00` is the
/// midnight that comes. `None` where it is not that.
pub(super) fn window(days: Weekdays, hours: &str) -> Option<Vec<Window>> {
    let (from, until) = hours.split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    let until = if until == 0 { MINUTES_PER_DAY } else { until };
    if from < until {
        return Some(vec![Window::new(days, from, until)?]);
    }
    let next = Weekdays::from_bits((days.bits() << 1 | days.bits() >> 6) & Weekdays::ALL.bits())?;
    Some(vec![Window::new(days, from, MINUTES_PER_DAY)?, Window::new(next, 0, until)?])
}

/// `01:30` as a minute of the day, up to `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2);
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= MINUTES_PER_DAY).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_past_midnight_belong_to_the_next_day() {
        let parts = window(Weekdays::WORKDAYS, "22:00-02:00").expect("hours");
        let next = Weekdays::from_bits(0b011_1110).expect("days");
        let expected = [Window::new(Weekdays::WORKDAYS, 1_320, 1_440), Window::new(next, 0, 120)];
        assert_eq!(parts, expected.map(|part| part.expect("a window")));
        assert_eq!(window(Weekdays::ALL, "10:00-00:00").map(|parts| parts[0].until()), Some(1_440));
        for bad in ["", "1:00-02:00", "01:00", "01:60-02:00", "23:00-24:01", "aa:00-02:00"] {
            assert_eq!(window(Weekdays::ALL, bad), None, "{bad:?}");
        }
    }

    #[test]
    fn days_are_counted_as_the_calendar_says() {
        assert_eq!(day("1970-01-01"), Ok(Day::from_number(0)));
        assert_eq!(day("2026-11-23").map(Day::weekday), Ok(0), "a Monday");
        assert!(day("2026-02-30").is_err() && day("1969-12-31").is_err() && day("soon").is_err());
    }
}
