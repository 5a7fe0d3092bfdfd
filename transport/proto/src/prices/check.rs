//! What makes a draft a book: limits, names that lead somewhere, whole prices, and one answer to
//! every question.

use super::lookup::{places_tie, precision, same_but_steps};
use super::{
    BookError, Draft, HOLIDAYS_MAX, PATTERN_ROWS_MAX, PATTERN_STEPS_MAX, ROWS_MAX, Row,
    SCHEDULES_MAX, Schedule, WINDOWS_MAX, is_name,
};
use std::collections::{BTreeMap, BTreeSet};

/// Checks a draft whose parts are sorted.
pub(super) fn check(draft: &Draft) -> Result<(), BookError> {
    limits(draft)?;
    let meetings = names(draft)?;
    for row in &draft.rows {
        sound(row)?;
    }
    groups(&draft.rows, &meetings)?;
    patterns(&draft.rows, &meetings)
}

fn limits(draft: &Draft) -> Result<(), BookError> {
    let most = |what, count: usize, most| {
        if count > most { Err(BookError::TooMany { what, most }) } else { Ok(()) }
    };
    most("rows", draft.rows.len(), ROWS_MAX)?;
    most("schedules", draft.schedules.len(), SCHEDULES_MAX)?;
    most("lists of holidays", draft.holidays.len(), SCHEDULES_MAX)?;
    for schedule in &draft.schedules {
        most("windows in a schedule", schedule.windows().len(), WINDOWS_MAX)?;
    }
    for holidays in &draft.holidays {
        most("days in a list of holidays", holidays.days().len(), HOLIDAYS_MAX)?;
    }
    let patterns = draft.rows.iter().filter(|row| !is_name(&row.model)).count();
    most("rows whose model is a pattern", patterns, PATTERN_ROWS_MAX)
}

/// Which schedules have a minute in common, themselves included.
#[derive(Debug)]
struct Meetings<'a>(BTreeSet<(&'a str, &'a str)>);

impl<'a> Meetings<'a> {
    fn of(schedules: &'a [Schedule]) -> Self {
        let mut pairs = BTreeSet::new();
        for (at, one) in schedules.iter().enumerate() {
            for other in schedules.iter().skip(at) {
                if one == other || one.meets(other) {
                    pairs.insert((one.name().as_str(), other.name().as_str()));
                    pairs.insert((other.name().as_str(), one.name().as_str()));
                }
            }
        }
        Self(pairs)
    }

    /// Whether both rows are equally specific about the time of the week and can both hold.
    fn tie(&self, one: &Row, other: &Row) -> bool {
        match (&one.schedule, &other.schedule) {
            (None, None) => true,
            (Some(one), Some(other)) => self.0.contains(&(one.as_str(), other.as_str())),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

fn names(draft: &Draft) -> Result<Meetings<'_>, BookError> {
    for pair in draft.holidays.windows(2) {
        if let [one, other] = pair
            && one.name() == other.name()
        {
            let name = one.name().to_string();
            return Err(BookError::Twice { what: "lists of holidays", name });
        }
    }
    for pair in draft.schedules.windows(2) {
        if let [one, other] = pair
            && one.name() == other.name()
        {
            return Err(BookError::Twice { what: "schedules", name: one.name().to_string() });
        }
    }
    for name in draft.schedules.iter().filter_map(Schedule::except) {
        if draft.holidays.binary_search_by(|list| list.name().cmp(name)).is_err() {
            return Err(BookError::Missing { what: "list of holidays", name: name.to_string() });
        }
    }
    for name in draft.rows.iter().filter_map(|row| row.schedule.as_ref()) {
        if draft.schedules.binary_search_by(|schedule| schedule.name().cmp(name)).is_err() {
            return Err(BookError::Missing { what: "schedule", name: name.to_string() });
        }
    }
    Ok(Meetings::of(&draft.schedules))
}

fn sound(row: &Row) -> Result<(), BookError> {
    if row.prices.is_empty() || row.until.is_some_and(|until| until <= row.from) {
        return Err(BookError::Empty { row: row.to_string() });
    }
    if row.prices.times(row.factor).is_none() {
        return Err(BookError::NotWhole { row: row.to_string() });
    }
    Ok(())
}

/// Rows of one model, tier and place: nothing twice at one moment, no threshold on its own.
fn groups(rows: &[Row], meetings: &Meetings<'_>) -> Result<(), BookError> {
    let same = |one: &Row, other: &Row| {
        (one.provider, &one.model, one.tier, &one.place)
            == (other.provider, &other.model, other.tier, &other.place)
    };
    for group in rows.chunk_by(same) {
        let mut steps: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
        for row in group {
            steps.entry(row.above).or_default().push(row);
        }
        for step in steps.values_mut() {
            step.sort_by_key(|row| (row.from, row.end()));
            nothing_twice(step, meetings)?;
        }
        let base = steps.remove(&0).unwrap_or_default();
        for row in steps.into_values().flatten() {
            standing_on(row, &base)?;
        }
    }
    Ok(())
}

/// Rows that differ in time alone, the earliest first.
fn nothing_twice(rows: &[&Row], meetings: &Meetings<'_>) -> Result<(), BookError> {
    // What has begun and not ended. Without a tie these are rows of schedules that never meet, so
    // there are at most as many as schedules, and one.
    let mut held: Vec<&Row> = Vec::new();
    for row in rows {
        held.retain(|earlier| earlier.end() > row.from.as_micros());
        if let Some(other) = held.iter().find(|earlier| meetings.tie(earlier, row)) {
            return Err(ambiguous(other, row));
        }
        held.push(row);
    }
    Ok(())
}

fn standing_on(row: &Row, base: &[&Row]) -> Result<(), BookError> {
    let mut covered = row.from.as_micros();
    for below in base.iter().filter(|below| same_but_steps(below, row)) {
        if below.from.as_micros() <= covered && below.end() > covered {
            covered = below.end();
        }
    }
    if covered < row.end() {
        return Err(BookError::NoBase { row: row.to_string() });
    }
    Ok(())
}

/// Patterns that are equally long: no model may match two of them in rows that tie.
fn patterns(rows: &[Row], meetings: &Meetings<'_>) -> Result<(), BookError> {
    let mut by_precision: BTreeMap<_, BTreeMap<&str, Vec<&Row>>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !is_name(&row.model) && row.above == 0) {
        let equals = by_precision.entry((row.provider, precision(row))).or_default();
        equals.entry(row.model.as_str()).or_default().push(row);
    }
    let mut steps = 0_u64;
    for equals in by_precision.values() {
        for (at, (one, of_one)) in equals.iter().enumerate() {
            for (other, of_other) in equals.iter().skip(at + 1) {
                steps = steps.saturating_add((one.len() as u64 + 1) * (other.len() as u64 + 1));
                if steps > PATTERN_STEPS_MAX {
                    return Err(BookError::TooComplex);
                }
                if overlap(one.as_bytes(), other.as_bytes()) {
                    no_tie(of_one, of_other, meetings)?;
                }
            }
        }
    }
    Ok(())
}

fn no_tie(rows: &[&Row], others: &[&Row], meetings: &Meetings<'_>) -> Result<(), BookError> {
    for row in rows {
        for other in others {
            let at_once = row.from.as_micros() < other.end() && other.from.as_micros() < row.end();
            if at_once
                && row.tier == other.tier
                && places_tie(&row.place, &other.place)
                && meetings.tie(row, other)
            {
                return Err(ambiguous(row, other));
            }
        }
    }
    Ok(())
}

fn ambiguous(one: &Row, other: &Row) -> BookError {
    BookError::Ambiguous { one: one.to_string(), other: other.to_string() }
}

/// Whether some text matches both patterns.
fn overlap(one: &[u8], other: &[u8]) -> bool {
    // Row by row from the end: `below[j]` is whether the rest of `one` after this character and
    // `other` from `j` on have a text in common.
    let mut below: Vec<bool> = Vec::new();
    for i in (0..=one.len()).rev() {
        let mut row = vec![false; other.len() + 1];
        for j in (0..=other.len()).rev() {
            row[j] = match (one.get(i), other.get(j)) {
                (None, None) => true,
                (Some(b'*'), None) | (None, Some(b'*')) => {
                    // What is left of the longer one must be stars alone.
                    if i < one.len() { below[j] } else { row[j + 1] }
                }
                (Some(b'*'), Some(_)) | (Some(_), Some(b'*')) => below[j] || row[j + 1],
                (Some(one), Some(other)) => one == other && below[j + 1],
                (Some(_), None) | (None, Some(_)) => false,
            };
        }
        below = row;
    }
    below.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::overlap;
    use crate::model::ModelPattern;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_patterns_overlap_exactly_when_a_text_matches_both(
            one in "[ab*]{1,5}", other in "[ab*]{1,5}"
        ) {
            let one = ModelPattern::parse(&one).expect("a pattern");
            let other = ModelPattern::parse(&other).expect("a pattern");
            // A shortest common text has no more characters than both patterns together.
            let mut texts = vec![String::new()];
            let mut found = false;
            for _ in 0..=8 {
                texts = texts.iter().flat_map(|text| [format!("{text}a"), format!("{text}b")]).collect();
                found = found || texts.iter().any(|text| one.matches(text) && other.matches(text));
            }
            let stars = |pattern: &ModelPattern| pattern.as_str() == "*";
            prop_assert!(overlap(one.as_str().as_bytes(), other.as_str().as_bytes()) == found
                || (stars(&one) && stars(&other)));
        }
    }
}
