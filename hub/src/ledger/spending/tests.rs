//! Days, months, and the parts of a limit that are told; and sums against a store that is read while
//! it is written.

use super::sums::month_of;
use super::*;
use proptest::prelude::*;

fn limits(day: i64, month: i64) -> SpendLimits {
    let limit = |nanos: i64| (nanos > 0).then(|| NanoUsd::new(nanos));
    SpendLimits { day: limit(day), month: limit(month) }
}

/// 2024-02-28, in days since 1970.
const FEBRUARY_28: u32 = 19_781;

/// Reads the month of `today` out of a store that has `days`.
fn read(sums: &mut Sums, today: u32, days: &[(u32, i64)]) {
    let reading = sums.begin(today, Instant::now());
    let days = days.iter().map(|(day, nanos)| (*day, NanoUsd::new(*nanos)));
    let days = days.filter(|(day, _)| (reading.from..reading.until).contains(day)).collect();
    sums.end(reading, &days, Instant::now());
}

fn spent(sums: &Sums, window: Window, today: u32) -> i64 {
    sums.spent(window, today).nanos()
}

#[test]
fn months_begin_and_end_where_the_calendar_says() {
    let (first, next) = month_of(FEBRUARY_28);
    assert_eq!((FEBRUARY_28 - first, next - FEBRUARY_28), (27, 2), "a leap year");
    assert_eq!(month_of(0), (0, 31));
    assert_eq!(month_of(next).0, next);
    // A clock can say anything.
    assert_eq!(month_of(u32::MAX), (0, 31));
    read(&mut Sums::default(), u32::MAX, &[]);
}

#[test]
fn a_charge_counts_in_its_own_day_and_month_and_in_no_other() {
    let mut sums = Sums::default();
    sums.settle(FEBRUARY_28, NanoUsd::new(60));
    for (today, day, month) in
        [(FEBRUARY_28, 60, 60), (FEBRUARY_28 + 1, 0, 60), (FEBRUARY_28 + 2, 0, 0)]
    {
        assert_eq!(spent(&sums, Window::Day, today), day, "{today}");
        assert_eq!(spent(&sums, Window::Month, today), month, "{today}");
    }
}

#[test]
fn a_clock_that_steps_forth_and_back_finds_each_day_as_it_was_left() {
    let limits = limits(100, 0);
    let (today, tomorrow) = (FEBRUARY_28 + 1, FEBRUARY_28 + 2);
    let mut sums = Sums::default();
    read(&mut sums, today, &[(today, 70)]);
    sums.settle(today, NanoUsd::new(30));
    let left = |sums: &Sums, today: u32| {
        (0..=100).rev().find(|more| sums.breaks(&limits, NanoUsd::new(*more), today).is_none())
    };
    assert_eq!(left(&sums, today), Some(0));
    // Over midnight and the end of the month at once.
    read(&mut sums, tomorrow, &[(today, 70)]);
    assert_eq!(left(&sums, tomorrow), Some(100));
    sums.settle(tomorrow, NanoUsd::new(45));
    for _ in 0..3 {
        read(&mut sums, today, &[(today, 70)]);
        assert_eq!(left(&sums, today), Some(0), "nothing is given back");
        read(&mut sums, today - 1, &[(today, 70)]);
        assert_eq!(left(&sums, today - 1), Some(100), "a day on which nothing was spent");
        read(&mut sums, tomorrow, &[(today, 70)]);
        assert_eq!(left(&sums, tomorrow), Some(55), "a day does not begin twice");
    }
}

#[test]
fn what_runs_counts_as_spent_and_the_limit_itself_may_be_reached() {
    let limits = limits(100, 150);
    let mut sums = Sums::default();
    sums.hold(NanoUsd::new(40));
    let breaks = |sums: &Sums, more| sums.breaks(&limits, NanoUsd::new(more), FEBRUARY_28);
    assert_eq!(breaks(&sums, 60), None);
    assert_eq!(breaks(&sums, 61), Some(Window::Day));
    read(&mut sums, FEBRUARY_28, &[(FEBRUARY_28 - 1, 100)]);
    assert_eq!(breaks(&sums, 11), Some(Window::Month));
    assert_eq!(sums.breaks(&SpendLimits::default(), NanoUsd::MAX, FEBRUARY_28), None);
}

#[test]
fn each_part_of_a_limit_is_told_once_in_its_window() {
    let mut sums = Sums::default();
    let today = FEBRUARY_28;
    read(&mut sums, today, &[]);
    let told = |sums: &mut Sums, limit: i64, more: i64, today: u32| {
        sums.settle(today, NanoUsd::new(more));
        let reached = sums.reached(&limits(limit, 0), today);
        reached.iter().map(|one| (one.window, one.percent)).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut sums, 100, 79, today), []);
    assert_eq!(told(&mut sums, 100, 1, today), [(Window::Day, 80)]);
    assert_eq!(told(&mut sums, 100, 5, today), []);
    assert_eq!(told(&mut sums, 100, 50, today), [(Window::Day, 100)]);
    assert_eq!(told(&mut sums, 100, 50, today), []);
    // The next day, and the same day again after a clock went there by mistake.
    assert_eq!(told(&mut sums, 100, 500, today + 1), [(Window::Day, 100)]);
    assert_eq!(told(&mut sums, 100, 1, today), []);
    // Another limit is another matter.
    assert_eq!(told(&mut sums, 200, 0, today), [(Window::Day, 80)]);
}

#[test]
fn only_so_many_months_are_kept_and_what_is_dropped_is_read_whole_again() {
    let mut sums = Sums::default();
    for month in 0..12 {
        let today = month * 31;
        read(&mut sums, today, &[(today, 7)]);
        sums.settle(today, NanoUsd::new(2));
        sums.post(today, NanoUsd::new(2), NanoUsd::ZERO);
    }
    let known = (0..12).filter(|month| sums.read_at(month * 31).is_some()).count();
    assert_eq!(known, 2);
    assert_eq!(sums.begin(31, Instant::now()).from, month_of(31).0, "whole");
    read(&mut sums, 31, &[(31, 9)]);
    assert_eq!(spent(&sums, Window::Month, 31), 9);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Settle { day: u32, charge: i64 },
    Post { loss: i64 },
    Other { day: u32, charge: i64 },
    Begin { today: u32 },
    Look,
    End { is_given_up: bool },
}

fn step() -> impl Strategy<Value = Step> {
    // Around the turn of a month.
    let day = || FEBRUARY_28..FEBRUARY_28 + 4;
    prop_oneof![
        3 => (day(), 1..100_i64).prop_map(|(day, charge)| Step::Settle { day, charge }),
        3 => (0..20_i64).prop_map(|loss| Step::Post { loss }),
        1 => (day(), 1..100_i64).prop_map(|(day, charge)| Step::Other { day, charge }),
        2 => day().prop_map(|today| Step::Begin { today }),
        2 => Just(Step::Look),
        2 => prop::bool::weighted(0.2).prop_map(|is_given_up| Step::End { is_given_up }),
    ]
}

proptest! {
    #[test]
    fn no_charge_is_ever_missed_and_when_all_is_posted_none_counts_twice(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut sums = Sums::default();
        let mut store: BTreeMap<u32, i64> = BTreeMap::new();
        // Of this node: all, less what the user did not pay once that is known.
        let mut own: BTreeMap<u32, i64> = BTreeMap::new();
        let mut queue: std::collections::VecDeque<(u32, i64)> = std::collections::VecDeque::new();
        let mut reading = None;
        for step in steps {
            match step {
                Step::Settle { day, charge } => {
                    sums.settle(day, NanoUsd::new(charge));
                    *own.entry(day).or_default() += charge;
                    queue.push_back((day, charge));
                }
                Step::Post { loss } => {
                    let Some((day, charge)) = queue.pop_front() else { continue };
                    let loss = loss.min(charge);
                    *store.entry(day).or_default() += charge - loss;
                    *own.entry(day).or_default() -= loss;
                    sums.post(day, NanoUsd::new(charge), NanoUsd::new(loss));
                }
                Step::Other { day, charge } => *store.entry(day).or_default() += charge,
                Step::Begin { today } => {
                    reading = Some((sums.begin(today, Instant::now()), None));
                }
                // The store answers at some moment between the two ends of a reading.
                Step::Look => {
                    if let Some((_, read @ None)) = &mut reading {
                        *read = Some(store.clone());
                    }
                }
                Step::End { is_given_up } => {
                    if let Some((reading, Some(read))) = reading.take().filter(|_| !is_given_up) {
                        let days = read.range(reading.from..reading.until);
                        let days = days.map(|(day, nanos)| (*day, NanoUsd::new(*nanos))).collect();
                        sums.end(reading, &days, Instant::now());
                    }
                }
            }
            for (day, charged) in &own {
                if sums.read_at(*day).is_some() {
                    prop_assert!(spent(&sums, Window::Day, *day) >= *charged, "day {day}");
                }
            }
        }
        for (day, charge) in queue {
            sums.post(day, NanoUsd::new(charge), NanoUsd::ZERO);
            *store.entry(day).or_default() += charge;
        }
        let all: Vec<_> = store.iter().map(|(day, nanos)| (*day, *nanos)).collect();
        for today in [FEBRUARY_28 + 2, FEBRUARY_28] {
            read(&mut sums, today, &all);
            let (from, until) = month_of(today);
            let month: i64 = store.range(from..until).map(|(_, nanos)| nanos).sum();
            prop_assert_eq!(spent(&sums, Window::Month, today), month);
        }
    }
}
