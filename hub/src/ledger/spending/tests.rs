//! Days, months, and the parts of a limit that are told.

use super::*;

fn limits(day: i64, month: i64) -> SpendLimits {
    let limit = |nanos: i64| (nanos > 0).then(|| NanoUsd::new(nanos));
    SpendLimits { day: limit(day), month: limit(month) }
}

/// 2024-02-28, in days since 1970.
const FEBRUARY_28: u32 = 19_781;

#[test]
fn months_begin_and_end_where_the_calendar_says() {
    let (first, next) = month_of(FEBRUARY_28);
    assert_eq!((FEBRUARY_28 - first, next - FEBRUARY_28), (27, 2), "a leap year");
    assert_eq!(month_of(0), (0, 31));
    assert_eq!(month_of(next).0, next);
}

#[test]
fn a_new_day_forgets_the_day_and_a_new_month_both() {
    let mut sums = Sums::default();
    sums.turn(FEBRUARY_28);
    assert!(sums.spend(&limits(100, 1_000), NanoUsd::new(60)).is_empty());
    sums.turn(FEBRUARY_28);
    assert_eq!(sums.spent(Window::Day), NanoUsd::new(60));
    sums.turn(FEBRUARY_28 + 1);
    assert_eq!(sums.spent(Window::Day), NanoUsd::ZERO);
    assert_eq!(sums.spent(Window::Month), NanoUsd::new(60));
    sums.turn(FEBRUARY_28 + 2);
    assert_eq!(sums.spent(Window::Month), NanoUsd::ZERO);
}

#[test]
fn what_runs_counts_as_spent_and_the_limit_itself_may_be_reached() {
    let limits = limits(100, 150);
    let mut sums = Sums { held: NanoUsd::new(40), ..Sums::default() };
    assert_eq!(sums.breaks(&limits, NanoUsd::new(60)), None);
    assert_eq!(sums.breaks(&limits, NanoUsd::new(61)), Some(Window::Day));
    sums.spent_in_month = NanoUsd::new(100);
    assert_eq!(sums.breaks(&limits, NanoUsd::new(11)), Some(Window::Month));
    assert_eq!(sums.breaks(&SpendLimits::default(), NanoUsd::MAX), None);
}

#[test]
fn each_part_of_a_limit_is_told_once_in_its_window() {
    let limits = limits(100, 0);
    let mut sums = Sums::default();
    let told = |reached: Vec<(Window, u8, NanoUsd)>| {
        reached.into_iter().map(|(window, percent, _)| (window, percent)).collect::<Vec<_>>()
    };
    assert_eq!(told(sums.spend(&limits, NanoUsd::new(79))), []);
    assert_eq!(told(sums.spend(&limits, NanoUsd::new(1))), [(Window::Day, 80)]);
    assert_eq!(told(sums.spend(&limits, NanoUsd::new(5))), []);
    assert_eq!(told(sums.spend(&limits, NanoUsd::new(50))), [(Window::Day, 100)]);
    assert_eq!(told(sums.spend(&limits, NanoUsd::new(50))), []);
    sums.turn(FEBRUARY_28);
    assert_eq!(told(sums.spend(&limits, NanoUsd::new(500))), [(Window::Day, 100)]);
}
