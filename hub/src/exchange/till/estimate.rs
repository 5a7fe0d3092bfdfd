//! Estimates: what a request may come to before it has, and what a usage comes to once it has.
//!
//! Pure, and in whole units throughout. A hold covers what a request says that it wants: its input
//! as counted, its output as declared. An answer that its reader sees grow is held for in steps, so
//! that a small balance need not cover the longest answer at once.

use weft_proto::meter::{Asked, BatchedRequests};
use weft_proto::money::{ListPrice, NanoUsd, Ratio, UnitPrice};
use weft_proto::prices::Rates;
use weft_proto::tables::routes::Metering;
use weft_proto::usage::{Class, Usage};
use weft_store::{Bearer, Outlay};

/// Tokens of output that the hold of a stream begins with.
const FIRST_OUTPUT: u64 = 1_024;

/// Tokens of output of a whole answer whose request sets no bound.
const UNBOUNDED_OUTPUT: u64 = 4_096;

/// Tokens of an image made at the usual quality.
const IMAGE_TOKENS: u64 = 4_160;

/// Bytes of a second of sound at the lowest rate in use: the shorter the second, the dearer the
/// byte.
const SOUND_BYTES_PER_SECOND: u64 = 8_000;

/// Tokens of sound that a character of spoken text makes.
const SOUND_TOKENS_PER_CHARACTER: u64 = 2;

/// Calls of each hosted tool that a request is expected to make that offers some.
const TOOL_CALLS: u64 = 4;

/// The most of anything that a request is believed to want, so that sums stay in range.
const UNITS_MAX: u64 = 100_000_000;

/// What a request is expected to use, and what of it is to be held at first.
pub(super) fn expected(asked: &Asked, metering: Metering) -> Usage {
    let choices = asked.choices.clamp(1, UNITS_MAX);
    let bounded = |units: u64| units.min(UNITS_MAX);
    let output = || {
        let one = asked.output_max.unwrap_or(UNBOUNDED_OUTPUT);
        let all = bounded(one.saturating_mul(choices));
        if asked.stream { all.min(FIRST_OUTPUT.saturating_mul(choices)) } else { all }
    };
    let usage =
        Usage::NONE.with(Class::Request, 1).with(Class::Input, bounded(asked.input_estimate));
    match metering {
        Metering::Free | Metering::StoredResponse | Metering::Batch | Metering::BatchResults => {
            Usage::NONE
        }
        Metering::Chat | Metering::Responses | Metering::Messages => {
            let calls = if asked.hosted_tools { TOOL_CALLS } else { 0 };
            usage
                .with(Class::Output, output())
                .with(Class::WebSearch, calls)
                .with(Class::FileSearch, calls)
        }
        Metering::Embeddings => usage,
        Metering::Images => usage
            .with(Class::Image, choices)
            .with(Class::OutputImage, bounded(choices.saturating_mul(IMAGE_TOKENS))),
        Metering::Transcription => {
            let millis = asked.body_bytes.saturating_mul(1_000) / SOUND_BYTES_PER_SECOND;
            usage.with(Class::AudioMillis, bounded(millis)).with(Class::Output, FIRST_OUTPUT)
        }
        Metering::Speech => {
            let characters = bounded(asked.characters);
            usage
                .with(Class::Characters, characters)
                .with(Class::OutputAudio, bounded(characters * SOUND_TOKENS_PER_CHARACTER))
        }
        Metering::Realtime => usage.with(Class::Output, FIRST_OUTPUT),
        Metering::Container => Usage::NONE.with(Class::CodeSession, 1),
    }
}

/// What so much is expected to cost by the list. Kinds of units that one model counts and another
/// does not are both expected: what has no price costs nothing here. Where the same thing is counted
/// in two ways, the dearer one holds.
pub(super) fn price_of(rates: &Rates, usage: &Usage) -> ListPrice {
    let one = |class: Class| {
        let only = Usage::NONE.with(class, usage.get(class));
        let priced = match usage.input_total() {
            0 => rates.list(&only),
            // At the threshold that the whole input reaches.
            total => rates
                .price(class, total)
                .and_then(|price| ListPrice::ZERO.plus(only.get(class), price)),
        };
        priced.unwrap_or(ListPrice::ZERO)
    };
    let sum = |classes: &[Class]| {
        let pico: i128 = classes.iter().map(|class| one(*class).pico()).sum();
        ListPrice::from_pico(pico).unwrap_or(ListPrice::ZERO)
    };
    // Images and sound are priced by the piece or by their tokens, never by both.
    let media = [Class::Image, Class::OutputImage, Class::Characters, Class::OutputAudio];
    let dearest = media.into_iter().map(one).max().unwrap_or(ListPrice::ZERO);
    // Which tool will be called nobody knows.
    let tools = one(Class::WebSearch).max(one(Class::FileSearch));
    let plain =
        sum(&[Class::Request, Class::Input, Class::Output, Class::AudioMillis, Class::CodeSession]);
    ListPrice::from_pico(plain.pico() + dearest.pico() + tools.pico()).unwrap_or(plain)
}

/// What requests of a batch may cost by the list, at most: every token that they bring as the dearest
/// kind of token read, every token that they may be answered.
pub(super) fn price_of_batched(rates: &Rates, asked: &BatchedRequests) -> Option<ListPrice> {
    let at = |class: Class| rates.price(class, asked.input_max).unwrap_or(UnitPrice::FREE);
    let tool = at(Class::WebSearch).max(at(Class::FileSearch));
    ListPrice::ZERO
        .plus(asked.input, rates.dearest_input_at(asked.input_max)?)?
        .plus(asked.output, rates.price(Class::Output, asked.input_max)?)?
        .plus(asked.requests, at(Class::Request))?
        .plus(asked.with_tools.saturating_mul(TOOL_CALLS), tool)
}

/// What a realtime session has cost so far, and what it is expected to cost until it has given so
/// much output. Each of its answers reads all that was said before, and may be sound.
pub(super) fn price_of_session(rates: &Rates, reported: &Usage, output: u64) -> ListPrice {
    let ahead = output.saturating_sub(reported.output_total()).min(UNITS_MAX);
    let one = |class: Class| {
        let price = rates.price(class, reported.input_total());
        price.and_then(|price| ListPrice::ZERO.plus(ahead, price)).unwrap_or(ListPrice::ZERO)
    };
    let ahead = one(Class::Output).max(one(Class::OutputAudio));
    let so_far = rates.list_priced(reported).unwrap_or(ListPrice::ZERO);
    ListPrice::from_pico(so_far.pico() + ahead.pico()).unwrap_or(so_far)
}

/// The amounts of an exchange that came to `list`: the charge rounded up, the income down, and what
/// of the charge is neither income nor margin.
pub(super) fn outlay(list: ListPrice, zone: Ratio, tier: Ratio) -> Option<Outlay> {
    /// Pico-USD in a nano-USD, times the parts of a whole ratio.
    const PICO_PPM_PER_NANO: i128 = 1_000 * 1_000_000;
    let (charge, income) = (list.charge(zone)?, list.income(tier)?);
    let share = i128::from(zone.ppm()) - i128::from(tier.ppm());
    let margin = list.pico().checked_mul(share)?.div_euclid(PICO_PPM_PER_NANO);
    let rounding = i128::from(charge.nanos()) - i128::from(income.nanos()) - margin;
    // Who pays nothing pays no rounding either: it is the margin's then.
    let rounding = NanoUsd::new(i64::try_from(rounding).ok()?).min(charge);
    Some(Outlay { charge, income, rounding, bearer: Bearer::User })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::model::ModelPattern;
    use weft_proto::prices::{Draft, PriceBook, Prices, Row, Wanted};
    use weft_proto::provider::Provider;
    use weft_proto::time::Timestamp;
    use weft_proto::usage::{Geo, ServiceTier};

    /// Rates with these prices, in pico-USD.
    fn rates(prices: &[(Class, i64)]) -> Rates {
        let all = prices.iter().fold(Prices::NONE, |all, (class, pico)| {
            all.with(*class, UnitPrice::from_pico(*pico).unwrap())
        });
        let rows = vec![Row::new(Provider::OpenAi, ModelPattern::any(), all)];
        let book = PriceBook::new(Draft { rows, ..Draft::default() }).unwrap();
        let wanted = Wanted {
            provider: Provider::OpenAi,
            model: "m",
            place: None,
            at: Timestamp::from_micros(0),
            tier: ServiceTier::Standard,
            geo: Geo::Unstated,
        };
        book.rates(&wanted).unwrap()
    }

    #[test]
    fn a_whole_answer_is_held_for_as_declared_and_a_stream_in_steps() {
        let asked = Asked { input_estimate: 10, output_max: Some(100_000), ..Asked::default() };
        let whole = expected(&asked, Metering::Chat);
        assert_eq!((whole.get(Class::Input), whole.get(Class::Output)), (10, 100_000));
        let streamed = expected(&Asked { stream: true, ..asked.clone() }, Metering::Chat);
        assert_eq!(streamed.get(Class::Output), FIRST_OUTPUT);
        let twice = expected(&Asked { choices: 2, ..asked.clone() }, Metering::Chat);
        assert_eq!(twice.get(Class::Output), 200_000);
        let mad = Asked { output_max: Some(u64::MAX), choices: u64::MAX, ..asked };
        assert_eq!(expected(&mad, Metering::Chat).get(Class::Output), UNITS_MAX);
        assert!(expected(&mad, Metering::Free).is_none());
    }

    #[test]
    fn what_is_expected_in_two_units_is_held_for_once_and_by_the_dearer() {
        let asked = Asked { choices: 2, ..Asked::default() };
        let usage = expected(&asked, Metering::Images);
        let by_piece = price_of(&rates(&[(Class::Image, 40_000_000_000)]), &usage);
        assert_eq!(by_piece.pico(), 80_000_000_000);
        let by_token = rates(&[(Class::Output, 40_000_000)]);
        assert_eq!(price_of(&by_token, &usage).pico(), 2 * 4_160 * 40_000_000);
        // What has no price at all costs nothing beforehand: its end says what it came to.
        assert_eq!(price_of(&rates(&[(Class::WebSearch, 1)]), &usage), ListPrice::ZERO);
    }

    #[test]
    fn hosted_tools_are_held_for_where_some_are_offered() {
        let plain = Asked { output_max: Some(10), ..Asked::default() };
        let tools = Asked { hosted_tools: true, ..plain.clone() };
        let rates = rates(&[(Class::Output, 1), (Class::WebSearch, 1_000), (Class::FileSearch, 9)]);
        let held = |asked| price_of(&rates, &expected(asked, Metering::Responses)).pico();
        assert_eq!(held(&tools) - held(&plain), 4 * 1_000);
    }

    #[test]
    fn a_session_is_held_for_what_it_has_read_and_for_sound_to_come() {
        let rates = rates(&[(Class::Input, 5), (Class::Output, 20), (Class::OutputAudio, 80)]);
        let reported = Usage::NONE.with(Class::Input, 1_000).with(Class::OutputAudio, 100);
        let price = price_of_session(&rates, &reported, 110);
        assert_eq!(price.pico(), 1_000 * 5 + 100 * 80 + 10 * 80);
        assert_eq!(price_of_session(&rates, &reported, 1).pico(), 1_000 * 5 + 100 * 80);
    }

    #[test]
    fn charge_income_margin_and_rounding_sum_up_whatever_the_ratios() {
        for pico in [0, 1, 999, 1_000, 1_001, 123_456_789_123, i128::from(u64::MAX)] {
            for zone in [0, 1, 500_000, 1_000_000, 1_250_000] {
                for tier in [0, 333_333, 800_000, 1_000_000] {
                    let list = ListPrice::from_pico(pico).unwrap();
                    let outlay =
                        outlay(list, Ratio::from_ppm(zone), Ratio::from_ppm(tier)).unwrap();
                    assert!((0..=2).contains(&outlay.rounding.nanos()), "{pico} {zone} {tier}");
                    // The store takes no other.
                    assert!(outlay.rounding <= outlay.charge, "{pico} {zone} {tier}");
                    assert!(!outlay.charge.is_negative() && !outlay.income.is_negative());
                }
            }
        }
        assert_eq!(outlay(ListPrice::ZERO, Ratio::ONE, Ratio::ONE), Some(Outlay::NONE));
    }
}
