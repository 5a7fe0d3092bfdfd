//! Durations as they stand in the document: percentiles, and the points that a curve needs.

use crate::bench::figure::Samples;
use serde::Serialize;
use std::time::Duration;

/// Digits behind the first one of a bucket's duration in the document.
const BUCKET_DIGITS: i32 = 2;

/// A distribution of durations, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Distribution {
    pub(super) count: u64,
    pub(super) min_us: f64,
    pub(super) mean_us: f64,
    pub(super) max_us: f64,
    pub(super) p50_us: f64,
    pub(super) p75_us: f64,
    pub(super) p90_us: f64,
    pub(super) p95_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) p9999_us: f64,
    /// Durations with the share of samples that do not exceed them.
    pub(super) cdf: Vec<(f64, f64)>,
    /// Durations with the number of samples at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) buckets: Option<Vec<(f64, u64)>>,
}

impl Distribution {
    /// What `samples` come to; nothing where there are none.
    pub(super) fn of(samples: &Samples, with_buckets: bool) -> Option<Self> {
        if samples.count() == 0 {
            return None;
        }
        let at = |percent: f64| micros(samples.percentile(percent));
        Some(Self {
            count: samples.count(),
            min_us: micros(samples.min()),
            mean_us: micros(samples.mean()),
            max_us: micros(samples.max()),
            p50_us: at(50.0),
            p75_us: at(75.0),
            p90_us: at(90.0),
            p95_us: at(95.0),
            p99_us: at(99.0),
            p999_us: at(99.9),
            p9999_us: at(99.99),
            cdf: cdf(samples),
            buckets: with_buckets.then(|| buckets(samples)),
        })
    }
}

/// Every hundredth up to 99 %, then ever closer to the whole: the tail is what curves are for.
fn cdf(samples: &Samples) -> Vec<(f64, f64)> {
    let hundredths = (1..99).map(f64::from);
    let tail = (0..60).map(|step| 100.0 - 10_f64.powf(-f64::from(step) / 15.0));
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(160);
    for percent in hundredths.chain(tail).chain([100.0]) {
        let point = (micros(samples.percentile(percent)), percent / 100.0);
        match points.last_mut() {
            // One point for each duration: the highest share.
            Some(last) if last.0 >= point.0 => last.1 = point.1,
            Some(_) | None => points.push(point),
        }
    }
    points
}

fn buckets(samples: &Samples) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    for (duration, count) in samples.recorded() {
        let duration = rounded(micros(duration));
        match buckets.last_mut() {
            Some(last) if last.0 >= duration => last.1 += count,
            Some(_) | None => buckets.push((duration, count)),
        }
    }
    buckets
}

/// To so many digits that neighbours differ by a percent at most.
fn rounded(micros: f64) -> f64 {
    if micros <= 0.0 {
        return 0.0;
    }
    let unit = 10_f64.powi(micros.log10().floor() as i32 - BUCKET_DIGITS);
    // Through text, so that the document has no digits of noise.
    format!("{:.3}", (micros / unit).round() * unit).parse().unwrap_or(micros)
}

/// Microseconds, to the nanosecond.
pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(micros: impl Iterator<Item = u64>) -> Samples {
        let mut samples = Samples::new().expect("samples");
        micros.for_each(|micros| samples.add(Duration::from_micros(micros)));
        samples
    }

    #[test]
    fn parts_added_up_are_the_whole() {
        let whole = samples(1..=10_000);
        let mut sum = samples((1..=10_000).step_by(2));
        sum.merge(&samples((2..=10_000).step_by(2))).expect("of one kind");
        let of = |samples: &Samples| {
            let told = Distribution::of(samples, true).expect("some");
            serde_json::to_string(&told).expect("JSON")
        };
        assert_eq!(of(&whole), of(&sum));
    }

    #[test]
    fn a_curve_rises_to_the_whole_in_few_points_and_its_buckets_hold_every_sample() {
        let told = Distribution::of(&samples((1..=50_000).map(|n| n * 3)), true).expect("some");
        assert!((100..=160).contains(&told.cdf.len()), "{}", told.cdf.len());
        let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1;
        assert!(told.cdf.windows(2).all(rises));
        assert_eq!(told.cdf.last().map(|point| point.1), Some(1.0));
        assert!((told.p50_us - 75_000.0).abs() < 750.0, "{}", told.p50_us);
        let buckets = told.buckets.expect("asked for");
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 50_000);
        assert!(buckets.len() < 4_500, "{}", buckets.len());
    }

    #[test]
    fn nothing_measured_is_nothing_told() {
        assert!(Distribution::of(&samples(0..0), true).is_none());
        let one = Distribution::of(&samples([40].into_iter()), false).expect("one");
        assert_eq!((one.count, one.cdf.len(), one.buckets.is_none()), (1, 1, true));
    }
}
