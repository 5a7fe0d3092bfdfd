//! Books made by hand and by chance, against what is exact.

use super::*;
use crate::money::{ListPrice, Ratio, UnitPrice};
use crate::time::Timestamp;
use crate::usage::{CLASSES, Class, Geo, Usage};
use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;

/// 2026-11-23, a Monday, 00:00 UTC.
const MONDAY: u64 = 1_795_392_000;
const HOUR: u64 = 3_600;

fn pico(pico: i64) -> UnitPrice {
    UnitPrice::from_pico(pico).expect("a price")
}

fn pattern(text: &str) -> ModelPattern {
    ModelPattern::parse(text).expect("a pattern")
}

fn label(text: &str) -> Label {
    Label::parse(text).expect("a label")
}

fn row(model: &str, input: i64) -> Row {
    let prices = Prices::NONE.with(Class::Input, pico(input)).with(Class::Output, pico(input * 4));
    Row::new(Provider::OpenAi, pattern(model), prices)
}

fn wanted(model: &str) -> Wanted<'_> {
    Wanted {
        provider: Provider::OpenAi,
        model,
        place: None,
        at: Timestamp::from_secs(MONDAY),
        tier: ServiceTier::Standard,
        geo: Geo::Unstated,
    }
}

fn book(rows: Vec<Row>) -> PriceBook {
    PriceBook::new(Draft { rows, ..Draft::default() }).expect("a book")
}

fn refused(draft: Draft) -> BookError {
    PriceBook::new(draft).expect_err("refused")
}

fn input(book: &PriceBook, wanted: &Wanted<'_>) -> Option<i64> {
    book.rates(wanted)?.price(Class::Input, 1).map(UnitPrice::pico)
}

#[test]
fn the_most_specific_row_answers() {
    let tier = |tier, row| Row { tier, ..row };
    let place = |place, row| Row { place, ..row };
    let eu = || Place::Named(label("eu"));
    let book = book(vec![
        row("*", 1),
        row("gpt-*", 2),
        row("gpt-5*", 3),
        row("gpt-5", 4),
        tier(ServiceTier::Priority, row("gpt-5", 5)),
        place(Place::Regional, row("gpt-5", 6)),
        place(eu(), row("gpt-5", 7)),
        tier(ServiceTier::Priority, place(eu(), row("gpt-5*", 8))),
    ]);
    assert_eq!(input(&book, &wanted("o3")), Some(1));
    assert_eq!(input(&book, &wanted("gpt-4o")), Some(2));
    assert_eq!(input(&book, &wanted("gpt-5-mini")), Some(3));
    let gpt5 = wanted("gpt-5");
    assert_eq!(input(&book, &gpt5), Some(4));
    let priority = Wanted { tier: ServiceTier::Priority, ..gpt5 };
    assert_eq!(input(&book, &priority), Some(5));
    assert_eq!(input(&book, &Wanted { place: Some("jp"), ..gpt5 }), Some(6));
    assert_eq!(input(&book, &Wanted { place: Some("eu"), ..gpt5 }), Some(7));
    assert_eq!(input(&book, &Wanted { place: Some(""), ..gpt5 }), Some(4), "no place is global");
    // The very name before a pattern, the tier before the place.
    assert_eq!(input(&book, &Wanted { place: Some("eu"), ..priority }), Some(5));
    let flex = Wanted { tier: ServiceTier::Flex, ..gpt5 };
    assert_eq!(input(&book, &flex), Some(4), "standard stands in");
    assert_eq!(book.rates(&flex).map(|rates| rates.tier()), Some(ServiceTier::Standard));
    assert!(!book.has_tier(Provider::OpenAi, "gpt-5", ServiceTier::Flex));
    assert!(book.has_tier(Provider::OpenAi, "gpt-5", ServiceTier::Priority));
    assert_eq!(input(&book, &Wanted { provider: Provider::Azure, ..gpt5 }), None);
    assert_eq!(input(&book, &wanted("not a name")), None);
    // What the provider reports of its geography is the place.
    let geo = |geo| Wanted { geo, place: Some("eu"), ..gpt5 };
    assert_eq!(input(&book, &geo(Geo::Us)), Some(6));
    assert_eq!(input(&book, &geo(Geo::Global)), Some(7));
}

#[test]
fn prices_hold_from_their_day_until_before_the_next() {
    let day = |days: u64| Timestamp::from_secs(MONDAY + days * 24 * HOUR);
    let book = book(vec![
        Row { until: Some(day(1)), ..row("m", 1) },
        Row { from: day(1), until: Some(day(2)), ..row("m", 2) },
        Row { from: day(3), ..row("m", 3) },
    ]);
    let at = |at| input(&book, &Wanted { at, ..wanted("m") });
    assert_eq!(at(day(0)), Some(1));
    assert_eq!(at(Timestamp::from_micros(day(1).as_micros() - 1)), Some(1));
    assert_eq!(at(day(1)), Some(2));
    assert_eq!(at(day(2)), None);
    assert_eq!(at(day(300)), Some(3));
}

#[test]
fn hours_of_the_week_hold_except_on_holidays() {
    let windows = [(60, 240), (360, 600)]
        .map(|(from, until)| Window::new(Weekdays::WORKDAYS, from, until).expect("a window"));
    let tuesday = Day::of(Timestamp::from_secs(MONDAY + 24 * HOUR));
    assert_eq!(tuesday.weekday(), 1);
    let book = PriceBook::new(Draft {
        holidays: vec![Holidays::new(label("cn"), vec![tuesday])],
        schedules: vec![Schedule::new(label("peak"), windows.to_vec(), Some(label("cn")))],
        rows: vec![row("m", 1), Row { schedule: Some(label("peak")), ..row("m", 2) }],
    })
    .expect("a book");
    let at = |hour: u64, minute: u64| {
        let at = Timestamp::from_secs(MONDAY + hour * HOUR + minute * 60);
        input(&book, &Wanted { at, ..wanted("m") })
    };
    assert_eq!(at(0, 59), Some(1));
    assert_eq!(at(1, 0), Some(2));
    assert_eq!(at(3, 59), Some(2));
    assert_eq!(at(4, 0), Some(1));
    assert_eq!(at(6, 0), Some(2));
    assert_eq!(at(10, 0), Some(1));
    assert_eq!(at(24 + 2, 0), Some(1), "a holiday");
    assert_eq!(at(48 + 2, 0), Some(2), "the Wednesday after it");
    assert_eq!(at(5 * 24 + 2, 0), Some(1), "a Saturday");
    assert_eq!(PriceBook::parse(book.canonical()).as_ref(), Ok(&book));
}

#[test]
fn the_whole_usage_is_priced_by_the_threshold_that_its_total_input_exceeds() {
    let over = |above, input: i64| Row {
        above,
        prices: Prices::NONE.with(Class::Input, pico(input)),
        ..row("m", 1)
    };
    let book = book(vec![row("m", 10), over(1_000, 20), over(2_000, 30)]);
    let rates = book.rates(&wanted("m")).expect("rates");
    assert_eq!(rates.thresholds().collect::<Vec<_>>(), [1_000, 2_000]);
    let list = |input: u64, cached: u64| {
        let usage = Usage::NONE
            .with(Class::Input, input)
            .with(Class::CacheRead, cached)
            .with(Class::Reasoning, 1);
        rates.list(&usage).map(ListPrice::pico)
    };
    // What the row of the threshold does not price costs what it costs below: output at 40.
    assert_eq!(list(400, 600), Some(1_000 * 10 + 40));
    assert_eq!(list(400, 601), Some(1_001 * 20 + 40));
    assert_eq!(list(2_000, 0), Some(2_000 * 20 + 40));
    assert_eq!(list(2_001, 0), Some(2_001 * 30 + 40));
    let bound = rates.bound(&Usage::NONE.with(Class::Input, 400)).map(ListPrice::pico);
    assert_eq!(bound, Some(400 * 30), "a hold is for the dearest threshold");
    assert_eq!(rates.dearest_input(), Some(pico(30)));
}

#[test]
fn a_class_without_a_price_follows_the_table_or_makes_the_usage_unpriceable() {
    for class in Class::ALL {
        // Whatever stands in for it ends somewhere.
        let (mut at, mut steps) = (class, 0);
        while let Fallback::As(other) = fallback(at) {
            (at, steps) = (other, steps + 1);
            assert!(steps < CLASSES, "{class} goes in circles");
        }
    }
    let book = book(vec![row("m", 10)]);
    let rates = book.rates(&wanted("m")).expect("rates");
    let of = |class| rates.list(&Usage::NONE.with(class, 3)).map(ListPrice::pico);
    for class in [Class::InputImage, Class::CacheReadAudio, Class::CacheWrite1h] {
        assert_eq!(of(class), Some(30), "{class}");
    }
    assert_eq!(of(Class::OutputAudio), Some(120));
    assert_eq!(of(Class::WebFetch), Some(0));
    assert_eq!(of(Class::WebSearch), None);
    let mixed = Usage::NONE.with(Class::Input, 1).with(Class::WebSearch, 1);
    assert_eq!(rates.unpriced(&mixed), [Class::WebSearch]);
    assert_eq!(rates.list_priced(&mixed).map(ListPrice::pico), Some(10));
}

#[test]
fn a_factor_multiplies_what_is_read_and_written_and_never_a_call() {
    let prices = row("m", 2_500_000).prices.with(Class::WebSearch, pico(10_000_000_000));
    let eu = Row {
        place: Place::Named(label("eu")),
        factor: Ratio::from_ppm(1_100_000),
        prices,
        ..row("m", 1)
    };
    let book = book(vec![eu]);
    let rates = book.rates(&Wanted { place: Some("eu"), ..wanted("m") }).expect("rates");
    assert_eq!(rates.price(Class::Input, 0), Some(pico(2_750_000)));
    assert_eq!(rates.price(Class::WebSearch, 0), Some(pico(10_000_000_000)));
    assert_eq!(book.rates(&wanted("m")), None, "the row is for one place");
}

#[test]
fn what_could_have_two_answers_is_no_book() {
    let rows = |rows: Vec<Row>| Draft { rows, ..Draft::default() };
    let ambiguous = |draft| matches!(refused(draft), BookError::Ambiguous { .. });
    assert!(ambiguous(rows(vec![row("m", 1), row("m", 2)])));
    assert!(ambiguous(rows(vec![
        row("m", 1),
        Row { from: Timestamp::from_secs(MONDAY), ..row("m", 2) },
    ])));
    assert!(ambiguous(rows(vec![row("ab*", 1), row("*ba", 2)])));
    assert!(ambiguous(rows(vec![row("a*c", 1), row("ab*", 2)])));
    let window = |from| vec![Window::new(Weekdays::ALL, from, 600).expect("a window")];
    let draft = Draft {
        schedules: vec![
            Schedule::new(label("one"), window(0), None),
            Schedule::new(label("two"), window(599), None),
        ],
        rows: vec![
            row("m", 1),
            Row { schedule: Some(label("one")), ..row("m", 2) },
            Row { schedule: Some(label("two")), ..row("m", 3) },
        ],
        ..Draft::default()
    };
    assert!(ambiguous(draft));
    // The same twice is once; patterns that have no model in common do not tie.
    assert_eq!(book(vec![row("m", 1), row("m", 1)]).rows().len(), 1);
    assert_eq!(book(vec![row("a*", 1), row("b*", 2)]).rows().len(), 2);
    let twice =
        vec![Schedule::new(label("s"), window(0), None), Schedule::new(label("s"), vec![], None)];
    let twice = Draft { schedules: twice, ..Draft::default() };
    assert!(matches!(refused(twice), BookError::Twice { .. }));
}

#[test]
fn what_leads_nowhere_or_says_nothing_is_no_book() {
    let rows = |rows: Vec<Row>| Draft { rows, ..Draft::default() };
    let lost = rows(vec![Row { schedule: Some(label("night")), ..row("m", 1) }]);
    assert!(matches!(refused(lost), BookError::Missing { what: "schedule", .. }));
    let empty = rows(vec![Row { prices: Prices::NONE, ..row("m", 1) }]);
    assert!(matches!(refused(empty), BookError::Empty { .. }));
    let backwards = Timestamp::from_secs(1);
    let never = rows(vec![Row { from: backwards, until: Some(backwards), ..row("m", 1) }]);
    assert!(matches!(refused(never), BookError::Empty { .. }));
    let alone = rows(vec![Row { above: 5, ..row("m", 1) }]);
    assert!(matches!(refused(alone), BookError::NoBase { .. }));
    let until = Some(Timestamp::from_secs(9));
    let half = rows(vec![Row { until, ..row("m", 1) }, Row { above: 5, ..row("m", 1) }]);
    assert!(matches!(refused(half), BookError::NoBase { .. }));
    let odd = rows(vec![Row { factor: Ratio::from_ppm(1), ..row("m", 1) }]);
    assert!(matches!(refused(odd), BookError::NotWhole { .. }));
    let many = (0..=ROWS_MAX).map(|number| row(&format!("m-{number}"), 1)).collect();
    assert!(matches!(refused(rows(many)), BookError::TooMany { what: "rows", .. }));
    let stars = (0..PATTERN_ROWS_MAX).map(|number| row(&format!("{number:0250}*"), 1)).collect();
    assert!(matches!(refused(rows(stars)), BookError::TooComplex));
}

/// One of everything.
fn sample() -> PriceBook {
    let window = Window::new(Weekdays::WORKDAYS, 60, 240).expect("a window");
    let mut all = Prices::NONE;
    for class in Class::ALL {
        all.set(class, pico(i64::from(class.number()) * 1_000_000));
    }
    PriceBook::new(Draft {
        holidays: vec![Holidays::new(label("cn"), vec![Day::from_number(20_454)])],
        schedules: vec![Schedule::new(label("peak"), vec![window], Some(label("cn")))],
        rows: vec![
            row("gpt-5.4", 2_500_000),
            Row { above: 272_000, ..row("gpt-5.4", 5_000_000) },
            Row { tier: ServiceTier::Batch, factor: Ratio::from_ppm(500_000), ..row("gpt-5.4", 2) },
            Row {
                place: Place::Regional,
                factor: Ratio::from_ppm(1_100_000),
                until: Some(Timestamp::from_secs(MONDAY)),
                ..row("gpt-5.4", 2_500_000)
            },
            Row {
                provider: Provider::Anthropic,
                place: Place::Named(label("us")),
                source: Source::parse("https://example.test/pricing 2026-11").expect("a source"),
                prices: all,
                ..row("claude-*", 1)
            },
            Row {
                provider: Provider::DeepSeek,
                schedule: Some(label("peak")),
                from: Timestamp::from_secs(MONDAY),
                ..row("deepseek-flash", 300_000)
            },
        ],
    })
    .expect("a book")
}

#[test]
fn the_encoding_is_what_it_always_was() {
    let golden = include_str!("../../tests/golden/price_book_v1.hex");
    let hex: String = sample().canonical().iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<_> = hex.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    assert_eq!(lines.join("\n"), golden.trim_end());
    let hash = sample().hash();
    assert_eq!(PriceBook::parse(sample().canonical()).map(|book| book.hash()), Ok(hash));
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert!(hash.to_string().to_uppercase().parse::<BookHash>().is_err());
}

#[test]
fn every_cut_and_every_flipped_bit_of_a_book_is_refused_or_another_book() {
    let bytes = sample().canonical().to_vec();
    for end in 0..bytes.len() {
        assert!(PriceBook::parse(&bytes[..end]).is_err(), "cut at {end}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(book) = PriceBook::parse(&flipped) {
            assert_eq!(book.canonical(), flipped, "bit {bit}");
            assert_ne!(book.hash(), sample().hash(), "bit {bit}");
        }
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(PriceBook::parse(&longer), Err(BookError::Malformed { .. })));
    let huge = vec![0; BOOK_BYTES_MAX + 1];
    assert!(matches!(PriceBook::parse(&huge), Err(BookError::TooLarge { .. })));
}

fn any_price() -> impl Strategy<Value = UnitPrice> {
    prop_oneof![0_i64..100_000_000, Just(i64::MAX), 0..=i64::MAX].prop_map(pico)
}

fn any_usage() -> impl Strategy<Value = Usage> {
    let units = prop_oneof![4 => Just(0_u64), 4 => 0_u64..3_000_000, 1 => any::<u64>()];
    prop::collection::vec(units, CLASSES)
        .prop_map(|units| Class::ALL.into_iter().zip(units).collect())
}

proptest! {
    #[test]
    fn a_list_price_is_the_exact_sum(
        base in prop::collection::vec(prop::option::weighted(0.7, any_price()), CLASSES),
        over in prop::collection::vec(prop::option::weighted(0.5, any_price()), CLASSES),
        factor in prop_oneof![Just(1_000_000_u32), Just(1_100_000), Just(500_000), Just(2_000_000)],
        usage in any_usage(),
        zone in 0_u32..5_000_000,
    ) {
        let make = |stated: &[Option<UnitPrice>]| {
            let mut prices = Prices::NONE;
            for (class, price) in Class::ALL.into_iter().zip(stated) {
                if let Some(price) = price {
                    prices.set(class, *price);
                }
            }
            prices
        };
        let (base, over) = (make(&base), make(&over));
        let mut rows = vec![Row { factor: Ratio::from_ppm(factor), prices: base, ..row("m", 1) }];
        if !over.is_empty() {
            rows.push(Row { above: 1_000_000, prices: over, ..row("m", 1) });
        }
        // A factor that leaves no whole price is refused; there is nothing to compare then.
        let Ok(book) = PriceBook::new(Draft { rows, ..Draft::default() }) else { return Ok(()) };
        let rates = book.rates(&wanted("m")).expect("rates");

        // The oracle: rationals of any size, straight from what the rows say.
        let whole = |number: i128| BigRational::from_integer(BigInt::from(number));
        let million = whole(1_000_000);
        let input: u128 = usage.input_total().into();
        let price = |class: Class| -> Option<BigRational> {
            let mut class = class;
            loop {
                if input > 1_000_000 && let Some(price) = over.get(class) {
                    return Some(whole(price.pico().into()));
                }
                if let Some(price) = base.get(class) {
                    let price = whole(price.pico().into());
                    return Some(if factored(class) {
                        price * whole(factor.into()) / million.clone()
                    } else {
                        price
                    });
                }
                match fallback(class) {
                    Fallback::As(other) => class = other,
                    Fallback::Free => return Some(whole(0)),
                    Fallback::Unpriced => return None,
                }
            }
        };
        let exact = usage.iter().try_fold(whole(0), |sum, (class, units)| {
            Some(sum + price(class)? * whole(units.into()))
        });
        let fits = |exact: &BigRational| *exact <= whole(i128::MAX);
        match (rates.list(&usage), exact) {
            (Some(list), Some(exact)) => {
                prop_assert_eq!(whole(list.pico()), exact.clone());
                if let Some(bound) = rates.bound(&usage) {
                    prop_assert!(bound >= list);
                }
                // A charge is never below the exact share and less than a nano-USD above it, an
                // income never above and less than one below.
                let share = exact * whole(zone.into()) / million / whole(1_000);
                let zone = Ratio::from_ppm(zone);
                if let Some(charge) = list.charge(zone) {
                    let over = whole(charge.nanos().into()) - share.clone();
                    prop_assert!(over >= whole(0) && over < whole(1));
                }
                if let Some(income) = list.income(zone) {
                    let under = share - whole(income.nanos().into());
                    prop_assert!(under >= whole(0) && under < whole(1));
                }
            }
            (None, Some(exact)) => prop_assert!(!fits(&exact), "{exact} fits"),
            (None, None) => prop_assert!(!rates.unpriced(&usage).is_empty()),
            (Some(list), None) => prop_assert!(false, "{list:?} for what has no price"),
        }
    }

    #[test]
    fn a_book_is_one_value_whatever_order_its_rows_come_in(
        order in Just(sample().rows().to_vec()).prop_shuffle()
    ) {
        let draft = Draft {
            holidays: sample().holidays().to_vec(),
            schedules: sample().schedules().to_vec(),
            rows: order,
        };
        prop_assert_eq!(PriceBook::new(draft).map(|book| book.hash()), Ok(sample().hash()));
    }

    #[test]
    fn hostile_bytes_never_make_anything_but_a_book(
        head in prop::bool::ANY,
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let magic: &[u8] = if head { b"WEFTPB\x00\x01" } else { b"" };
        let bytes = [magic, tail.as_slice()].concat();
        if let Ok(book) = PriceBook::parse(&bytes) {
            prop_assert_eq!(book.canonical(), bytes);
        }
    }
}
