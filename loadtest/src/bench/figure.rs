//! What was measured, as values: durations in histograms, and the sections of a report.
//!
//! Every figure carries its unit and how many samples it stands on. Nothing here prints.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// The longest duration that is told apart, in nanoseconds: ten minutes. Longer ones count as that.
const LONGEST_NANOS: u64 = 600_000_000_000;
/// Significant decimal digits of a recorded duration.
const DIGITS: u8 = 3;

/// Durations, in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Samples(Histogram<u64>);

impl Samples {
    /// None yet.
    ///
    /// # Errors
    /// Never with these bounds; the histogram's own.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_NANOS, DIGITS)?))
    }

    /// Adds one.
    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.saturating_record(u64::try_from(sample.as_nanos()).unwrap_or(LONGEST_NANOS).max(1));
    }

    /// Adds all of `other`.
    ///
    /// # Errors
    /// Never between two of this kind; the histogram's own.
    pub(crate) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that `percent` of the samples do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    /// The shortest, as far as durations are told apart.
    pub(crate) fn min(&self) -> Duration {
        Duration::from_nanos(self.0.min())
    }

    /// The longest, as far as durations are told apart.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// The mean.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.mean() as u64)
    }

    /// Each duration that was recorded, with how often, from the shortest to the longest.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = (Duration, u64)> {
        let recorded = self.0.iter_recorded();
        recorded.map(|step| {
            (Duration::from_nanos(step.value_iterated_to()), step.count_since_last_iteration())
        })
    }
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What one duration has more than another, in milliseconds; negative where it has less.
pub(crate) fn added_millis(through: Duration, direct: Duration) -> f64 {
    millis(through) - millis(direct)
}

/// One line of a report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Its name inside its section.
    pub(crate) what: String,
    /// One value for each column of the section; nothing where there is none.
    pub(crate) values: Vec<Option<f64>>,
    /// The unit of the values.
    pub(crate) unit: &'static str,
    /// How many samples they stand on.
    pub(crate) samples: u64,
}

impl Row {
    /// A row with a value in every column.
    pub(crate) fn new(
        what: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
        unit: &'static str,
        samples: u64,
    ) -> Self {
        let values = values.into_iter().map(Some).collect();
        Self { what: what.into(), values, unit, samples }
    }

    /// p50 and p99 of `samples`, in milliseconds.
    pub(crate) fn percentiles(what: impl Into<String>, samples: &Samples) -> Self {
        let values = [50.0, 99.0].map(|percent| millis(samples.percentile(percent)));
        Self::new(what, values, "ms", samples.count())
    }

    /// p50 and p99 of `through` less those of `direct`, in milliseconds.
    pub(crate) fn added(what: impl Into<String>, through: &Samples, direct: &Samples) -> Self {
        let values = [50.0, 99.0]
            .map(|percent| added_millis(through.percentile(percent), direct.percentile(percent)));
        Self::new(what, values, "ms", through.count().min(direct.count()))
    }
}

/// A part of a report: rows with the same columns.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Section {
    /// A short name for scripts.
    pub(crate) id: &'static str,
    /// What was done.
    pub(crate) title: String,
    /// What the values of a row are.
    pub(crate) columns: Vec<&'static str>,
    /// The figures.
    pub(crate) rows: Vec<Row>,
    /// What a reader must know to judge them.
    pub(crate) notes: Vec<String>,
}

impl Section {
    /// A section without rows.
    pub(crate) fn new(
        id: &'static str,
        title: impl Into<String>,
        columns: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let columns = columns.into_iter().collect();
        Self { id, title: title.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }
}

/// What a figure should come to, and what it came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Aim {
    /// The figure.
    pub(crate) what: &'static str,
    /// What was measured.
    pub(crate) measured: f64,
    /// The most that the aim allows.
    pub(crate) at_most: f64,
    /// The unit of both.
    pub(crate) unit: &'static str,
}

impl Aim {
    /// Whether it was reached.
    pub(crate) fn is_met(&self) -> bool {
        self.measured <= self.at_most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_added() {
        let (mut one, mut other) = (Samples::new().expect("one"), Samples::new().expect("other"));
        for millis in 1..=100 {
            one.add(Duration::from_millis(millis));
            other.add(Duration::from_millis(millis + 10));
        }
        let row = Row::added("added", &other, &one);
        let within = |value: Option<f64>| value.is_some_and(|value| (value - 10.0).abs() < 0.2);
        assert!(row.values.into_iter().all(within));
        one.merge(&other).expect("merge");
        assert_eq!(one.count(), 200);
    }

    #[test]
    fn a_duration_beyond_the_longest_is_counted() {
        let mut samples = Samples::new().expect("samples");
        samples.add(Duration::from_secs(3_600));
        samples.add(Duration::ZERO);
        assert_eq!(samples.count(), 2);
    }
}
