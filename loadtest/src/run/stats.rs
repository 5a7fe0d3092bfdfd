//! Statistics of a few rounds: medians, spreads, and whether two sets of rounds differ.
//!
//! Rounds are few and not normal, so nothing here assumes a shape: medians, ranges, and the
//! Mann-Whitney test with its exact distribution.

/// The middle of `samples`; the mean of both where there are two. Nothing of nothing.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The least and the most of `samples`.
pub(crate) fn range(samples: &[f64]) -> Option<(f64, f64)> {
    let least = samples.iter().copied().min_by(f64::total_cmp)?;
    let most = samples.iter().copied().max_by(f64::total_cmp)?;
    Some((least, most))
}

/// Half the range, in parts of the median: how far rounds lie apart.
pub(crate) fn spread(samples: &[f64]) -> Option<f64> {
    let (least, most) = range(samples)?;
    let middle = median(samples)?;
    (middle.abs() > f64::EPSILON).then(|| (most - least) / 2.0 / middle.abs())
}

/// The sum of the ranks of `one` among both, less the least it could be, doubled so that ties stay
/// whole: Mann and Whitney's U, twice.
fn twice_u(one: &[f64], other: &[f64]) -> usize {
    one.iter()
        .map(|a| {
            other
                .iter()
                .map(|b| match a.total_cmp(b) {
                    std::cmp::Ordering::Greater => 2,
                    std::cmp::Ordering::Equal => 1,
                    std::cmp::Ordering::Less => 0,
                })
                .sum::<usize>()
        })
        .sum()
}

/// The two-sided p of Mann and Whitney's test, exact: how often chance alone would put two sets of
/// this size at least so far apart, were both from one distribution. Ties count half to each side,
/// which makes p a little too large. Nothing where one of both is empty.
pub(crate) fn mann_whitney(one: &[f64], other: &[f64]) -> Option<f64> {
    let (n, m) = (one.len(), other.len());
    if n == 0 || m == 0 {
        return None;
    }
    // ways[i][u]: in how many ways i of the first k + i have a U of u.
    let most = n * m;
    let mut ways = vec![vec![0.0_f64; most + 1]; n + 1];
    ways[0][0] = 1.0;
    for of_all in 1..=n + m {
        for first in (1..=n.min(of_all)).rev() {
            let before = of_all - first;
            if before > m {
                continue;
            }
            // The largest so far is of the first set: it stands above `before` of the other.
            for u in (before..=most).rev() {
                let add = ways[first - 1][u - before];
                ways[first][u] += add;
            }
        }
    }
    let all: f64 = ways[n].iter().sum();
    let twice = twice_u(one, other);
    // As far from the middle as it is, to either side.
    let low = twice.min(2 * most - twice);
    let tail: f64 = ways[n].iter().take(low.div_ceil(2) + 1).sum();
    Some((2.0 * tail / all).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn half_the_range_is_the_spread() {
        assert_eq!(spread(&[9.0, 10.0, 11.0]), Some(0.1));
        assert_eq!(spread(&[0.0, 0.0]), None);
    }

    #[test]
    fn sets_that_lie_apart_have_the_least_p_of_their_size() {
        let close = |p: Option<f64>, want: f64| p.is_some_and(|p| (p - want).abs() < 1e-9);
        assert!(close(mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 2.0 / 20.0));
        let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!(close(mann_whitney(&low, &high), 2.0 / 252.0));
        assert!(close(mann_whitney(&high, &low), 2.0 / 252.0));
    }

    #[test]
    fn the_exact_distribution_is_counted() {
        let p = mann_whitney(&[1.0, 2.0, 3.0, 8.0], &[4.0, 5.0, 6.0, 7.0, 9.0]).expect("both");
        // U = 4: the ways with U up to 4 are 1 + 1 + 2 + 3 + 5 = 12 of 126.
        assert!((p - 24.0 / 126.0).abs() < 1e-9, "{p}");
    }

    #[test]
    fn the_same_samples_do_not_differ() {
        assert_eq!(mann_whitney(&[1.0, 1.0, 1.0], &[1.0, 1.0, 1.0]), Some(1.0));
        assert_eq!(mann_whitney(&[], &[1.0]), None);
    }
}
