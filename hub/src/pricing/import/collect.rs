//! Gathers rows of a file, finds contradictions, and gives schedules their names.

use super::Report;
use super::decimal::Decimal;
use std::collections::BTreeMap;
use weft_proto::model::ModelPattern;
use weft_proto::money::UnitPrice;
use weft_proto::prices::{Draft, Holidays, InvalidLabel, Label, Place, Row, Schedule, Window};
use weft_proto::provider::Provider;
use weft_proto::time::Timestamp;
use weft_proto::usage::ServiceTier;

/// What tells two rows apart, beside their prices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct About {
    provider: Provider,
    model: ModelPattern,
    tier: ServiceTier,
    place: Place,
    schedule: Option<Label>,
    from: Timestamp,
    until: Option<Timestamp>,
    above: u64,
}

impl About {
    fn of(row: &Row) -> Self {
        Self {
            provider: row.provider,
            model: row.model.clone(),
            tier: row.tier,
            place: row.place.clone(),
            schedule: row.schedule.clone(),
            from: row.from,
            until: row.until,
            above: row.above,
        }
    }
}

/// What has been read of a file so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    rows: BTreeMap<About, Row>,
    schedules: Vec<Schedule>,
    holidays: Vec<Holidays>,
    pub(super) report: Report,
}

impl Collector {
    /// Takes a row of the entry `place`. Where an earlier one says something else about the same
    /// exchanges, that one stays, and the report says so.
    pub(super) fn row(&mut self, row: Row, place: &str) {
        let about = About::of(&row);
        match self.rows.get(&about) {
            Some(earlier) if earlier.prices == row.prices && earlier.factor == row.factor => {}
            Some(_) => Report::note(&mut self.report.contradicted, row.to_string(), place),
            None => drop(self.rows.insert(about, row)),
        }
    }

    /// Whether a row about the same exchanges, and at the same time, is there.
    pub(super) fn has(&self, row: &Row) -> bool {
        self.rows.contains_key(&About::of(row))
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Takes a list of holidays.
    pub(super) fn holidays(&mut self, list: Holidays) {
        self.holidays.push(list);
    }

    /// Takes a schedule with its name.
    pub(super) fn schedule(&mut self, schedule: Schedule) {
        self.schedules.push(schedule);
    }

    /// The name of the schedule that has these windows; a new one where there is none.
    pub(super) fn schedule_of(&mut self, windows: Vec<Window>) -> Result<Label, InvalidLabel> {
        let name = Label::parse(&format!("hours-{}", self.schedules.len() + 1))?;
        let new = Schedule::new(name.clone(), windows, None);
        let same = |known: &&Schedule| known.windows() == new.windows() && known.except().is_none();
        if let Some(known) = self.schedules.iter().find(same) {
            return Ok(known.name().clone());
        }
        self.schedules.push(new);
        Ok(name)
    }

    /// A price in USD for `10^per` units. What is no number is unread; what is not whole is rounded.
    pub(super) fn price(
        &mut self,
        text: &str,
        per: i32,
        key: &str,
        place: &str,
    ) -> Option<UnitPrice> {
        let Some(read) = Decimal::parse(text).and_then(|number| number.price(per)) else {
            self.report.unread(key, place);
            return None;
        };
        if !read.exact {
            Report::note(&mut self.report.rounded, key, place);
        }
        Some(read.price)
    }

    /// Counts an entry that was taken.
    pub(super) fn entry(&mut self, provider: Provider) {
        *self.report.entries.entry(provider.name().to_owned()).or_default() += 1;
    }

    /// What was read.
    pub(super) fn done(self) -> (Draft, Report) {
        let rows = self.rows.into_values().collect();
        (Draft { rows, schedules: self.schedules, holidays: self.holidays }, self.report)
    }
}
