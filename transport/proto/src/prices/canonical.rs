//! The one encoding of a book.
//!
//! Numbers are big-endian. The layout, in order:
//!
//! | part | layout |
//! |---|---|
//! | magic | `WEFTPB` and the version, `0x0001` |
//! | holidays | `u16` lists; each: name (`u8` length), `u16` days, each `u32` since 1970-01-01, ascending |
//! | schedules | `u16`; each: name, `u16` list of holidays (its place in the table from 1, or 0), `u8` windows, each `u8` days of the week, `u16` first minute, `u16` minute after the last |
//! | sources | `u16`; each `u16` length and text, ascending, each used by a row |
//! | rows | `u32`; each: `u8` provider, `u16` length and model pattern, `u8` tier, `u8` place (0 any, 1 regional, 2 named and the name), `u16` schedule (from 1, or 0), `u64` from, `u8` whether there is an end and `u64` that end, `u64` above, `u32` factor, `u16` source (from 0), `u32` mask of classes, `u64` pico-USD for each class of the mask in order |
//!
//! Nothing follows. Reading is strict about form; that everything stands in its order is found by
//! encoding the value again.

use super::{
    BookError, Day, Draft, HOLIDAYS_MAX, Holidays, Label, Place, Prices, ROWS_MAX, Row,
    SCHEDULES_MAX, Schedule, Source, WINDOWS_MAX, Weekdays, Window,
};
use crate::model::ModelPattern;
use crate::money::{Ratio, UnitPrice};
use crate::provider::Provider;
use crate::time::Timestamp;
use crate::usage::{CLASSES, Class, ServiceTier};
use std::collections::{BTreeMap, BTreeSet};

const MAGIC: &[u8] = b"WEFTPB\x00\x01";

const PLACE_ANY: u8 = 0;
const PLACE_REGIONAL: u8 = 1;
const PLACE_NAMED: u8 = 2;

/// Encodes a draft that was checked: its counts are within their limits, its names are there.
pub(super) fn encode(draft: &Draft) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + draft.rows.len() * 64);
    out.extend_from_slice(MAGIC);
    count16(&mut out, draft.holidays.len());
    for list in &draft.holidays {
        label(&mut out, list.name());
        count16(&mut out, list.days().len());
        list.days().iter().for_each(|day| out.extend(day.number().to_be_bytes()));
    }
    count16(&mut out, draft.schedules.len());
    for schedule in &draft.schedules {
        label(&mut out, schedule.name());
        let except = schedule
            .except()
            .and_then(|name| draft.holidays.binary_search_by(|list| list.name().cmp(name)).ok());
        count16(&mut out, except.map_or(0, |found| found + 1));
        out.push(u8::try_from(schedule.windows().len()).unwrap_or(u8::MAX));
        for window in schedule.windows() {
            out.push(window.days().bits());
            out.extend(window.from().to_be_bytes());
            out.extend(window.until().to_be_bytes());
        }
    }
    let sources: BTreeSet<&Source> = draft.rows.iter().map(|row| &row.source).collect();
    count16(&mut out, sources.len());
    for source in &sources {
        count16(&mut out, source.as_str().len());
        out.extend_from_slice(source.as_str().as_bytes());
    }
    let sources: BTreeMap<&Source, usize> = sources.into_iter().zip(0..).collect();
    out.extend(u32::try_from(draft.rows.len()).unwrap_or(u32::MAX).to_be_bytes());
    for row in &draft.rows {
        encode_row(&mut out, draft, &sources, row);
    }
    out
}

fn encode_row(out: &mut Vec<u8>, draft: &Draft, sources: &BTreeMap<&Source, usize>, row: &Row) {
    out.push(u8::try_from(row.provider.number()).unwrap_or_default());
    count16(out, row.model.as_str().len());
    out.extend_from_slice(row.model.as_str().as_bytes());
    out.push(row.tier.number());
    match &row.place {
        Place::Any => out.push(PLACE_ANY),
        Place::Regional => out.push(PLACE_REGIONAL),
        Place::Named(name) => {
            out.push(PLACE_NAMED);
            label(out, name);
        }
    }
    let schedule = row.schedule.as_ref().and_then(|name| {
        draft.schedules.binary_search_by(|schedule| schedule.name().cmp(name)).ok()
    });
    count16(out, schedule.map_or(0, |found| found + 1));
    out.extend(row.from.as_micros().to_be_bytes());
    out.push(u8::from(row.until.is_some()));
    if let Some(until) = row.until {
        out.extend(until.as_micros().to_be_bytes());
    }
    out.extend(row.above.to_be_bytes());
    out.extend(row.factor.ppm().to_be_bytes());
    count16(out, sources.get(&row.source).copied().unwrap_or_default());
    let mask = row.prices.iter().fold(0_u32, |mask, (class, _)| mask | 1 << class.number());
    out.extend(mask.to_be_bytes());
    row.prices.iter().for_each(|(_, price)| out.extend(price.pico().to_be_bytes()));
}

/// All counts have limits below this; the value would not parse otherwise.
fn count16(out: &mut Vec<u8>, count: usize) {
    out.extend(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn label(out: &mut Vec<u8>, label: &Label) {
    out.push(u8::try_from(label.as_str().len()).unwrap_or(u8::MAX));
    out.extend_from_slice(label.as_str().as_bytes());
}

/// Reads what [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Result<Draft, BookError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(BookError::UnknownFormat)?;
    let mut reader = Reader { rest, whole: bytes.len() };
    let holidays = reader.holidays()?;
    let schedules = reader.schedules(&holidays)?;
    let sources = reader.sources()?;
    let rows = reader.rows(&schedules, &sources)?;
    if !reader.rest.is_empty() {
        return Err(reader.malformed("something follows the rows"));
    }
    Ok(Draft { holidays, schedules, rows })
}

struct Reader<'a> {
    rest: &'a [u8],
    whole: usize,
}

impl<'a> Reader<'a> {
    fn malformed(&self, what: &'static str) -> BookError {
        BookError::Malformed { what, at: self.whole - self.rest.len() }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], BookError> {
        let Some((taken, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(self.malformed("it ends too early"));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BookError> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.malformed("it ends too early"));
        };
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, BookError> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, BookError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, BookError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, BookError> {
        self.array().map(u64::from_be_bytes)
    }

    fn text(&mut self, bytes: usize) -> Result<&'a str, BookError> {
        let taken = self.take(bytes)?;
        std::str::from_utf8(taken).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    fn label(&mut self) -> Result<Label, BookError> {
        let bytes = self.u8()?;
        let text = self.text(bytes.into())?;
        Label::parse(text).map_err(|_| self.malformed("not a name"))
    }

    /// A count within its limit.
    fn count(&mut self, what: &'static str, most: usize) -> Result<usize, BookError> {
        let count = usize::from(self.u16()?);
        if count > most { Err(BookError::TooMany { what, most }) } else { Ok(count) }
    }

    fn holidays(&mut self) -> Result<Vec<Holidays>, BookError> {
        let count = self.count("lists of holidays", SCHEDULES_MAX)?;
        (0..count)
            .map(|_| {
                let name = self.label()?;
                let days = self.count("days in a list of holidays", HOLIDAYS_MAX)?;
                let days = (0..days).map(|_| self.u32().map(Day::from_number));
                Ok(Holidays::new(name, days.collect::<Result<_, _>>()?))
            })
            .collect()
    }

    fn schedules(&mut self, holidays: &[Holidays]) -> Result<Vec<Schedule>, BookError> {
        let count = self.count("schedules", SCHEDULES_MAX)?;
        (0..count)
            .map(|_| {
                let name = self.label()?;
                let except = self.in_table(holidays)?.map(|list| list.name().clone());
                let windows = usize::from(self.u8()?);
                if windows > WINDOWS_MAX {
                    let most = WINDOWS_MAX;
                    return Err(BookError::TooMany { what: "windows in a schedule", most });
                }
                let windows = (0..windows).map(|_| self.window()).collect::<Result<_, _>>()?;
                Ok(Schedule::new(name, windows, except))
            })
            .collect()
    }

    fn window(&mut self) -> Result<Window, BookError> {
        let (days, from, until) = (self.u8()?, self.u16()?, self.u16()?);
        Weekdays::from_bits(days)
            .and_then(|days| Window::new(days, from, until))
            .ok_or_else(|| self.malformed("not a time of the week"))
    }

    /// What a number from 1 leads to, or nothing for 0.
    fn in_table<'t, T>(&mut self, table: &'t [T]) -> Result<Option<&'t T>, BookError> {
        match usize::from(self.u16()?) {
            0 => Ok(None),
            place => match table.get(place - 1) {
                Some(entry) => Ok(Some(entry)),
                None => Err(self.malformed("a number that leads nowhere")),
            },
        }
    }

    fn sources(&mut self) -> Result<Vec<Source>, BookError> {
        let count = self.u16()?;
        (0..count)
            .map(|_| {
                let bytes = self.u16()?;
                let text = self.text(bytes.into())?;
                Source::parse(text).map_err(|_| self.malformed("not a source"))
            })
            .collect()
    }

    fn rows(&mut self, schedules: &[Schedule], sources: &[Source]) -> Result<Vec<Row>, BookError> {
        let count = self.u32()?;
        if usize::try_from(count).unwrap_or(usize::MAX) > ROWS_MAX {
            return Err(BookError::TooMany { what: "rows", most: ROWS_MAX });
        }
        (0..count).map(|_| self.row(schedules, sources)).collect()
    }

    fn row(&mut self, schedules: &[Schedule], sources: &[Source]) -> Result<Row, BookError> {
        let provider = Provider::from_number(self.u8()?.into())
            .map_err(|_| self.malformed("not a provider"))?;
        let bytes = self.u16()?;
        let text = self.text(bytes.into())?;
        let model = ModelPattern::parse(text).map_err(|_| self.malformed("not a model pattern"))?;
        let tier = ServiceTier::from_number(self.u8()?)
            .ok_or_else(|| self.malformed("not a service tier"))?;
        let place = match self.u8()? {
            PLACE_ANY => Place::Any,
            PLACE_REGIONAL => Place::Regional,
            PLACE_NAMED => Place::Named(self.label()?),
            _ => return Err(self.malformed("not a place")),
        };
        let schedule = self.in_table(schedules)?.map(|schedule| schedule.name().clone());
        let from = Timestamp::from_micros(self.u64()?);
        let until = match self.u8()? {
            0 => None,
            1 => Some(Timestamp::from_micros(self.u64()?)),
            _ => return Err(self.malformed("neither with an end nor without")),
        };
        let above = self.u64()?;
        let factor = Ratio::from_ppm(self.u32()?);
        let source = usize::from(self.u16()?);
        let Some(source) = sources.get(source).cloned() else {
            return Err(self.malformed("a number that leads nowhere"));
        };
        let prices = self.prices()?;
        Ok(Row {
            provider,
            model,
            tier,
            place,
            schedule,
            from,
            until,
            above,
            factor,
            prices,
            source,
        })
    }

    fn prices(&mut self) -> Result<Prices, BookError> {
        let mask = self.u32()?;
        if mask >> CLASSES != 0 {
            return Err(self.malformed("an unknown class"));
        }
        let mut prices = Prices::NONE;
        for class in Class::ALL.into_iter().filter(|class| mask & (1 << class.number()) != 0) {
            let pico = i64::from_be_bytes(self.array()?);
            let price = UnitPrice::from_pico(pico)
                .ok_or_else(|| self.malformed("a price below nothing"))?;
            prices.set(class, price);
        }
        Ok(prices)
    }
}
