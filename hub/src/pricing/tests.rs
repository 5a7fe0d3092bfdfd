//! The bundled book against the official figures, and the life of books in a hub.

use super::*;
use import::{Format, Unread};
use std::time::Duration;
use weft_proto::entropy::SeededEntropy;
use weft_proto::prices::Wanted;
use weft_proto::time::ManualClock;
use weft_proto::usage::{Class, Geo, ServiceTier, Usage};
use weft_store::{MemoryStore, Store};

/// 2026-11-23, a Monday, 05:00 UTC: between the peaks.
const MONDAY_FIVE: u64 = 1_795_392_000 + 5 * 3_600;

const fn at(hours_later: u64) -> Timestamp {
    Timestamp::from_secs(MONDAY_FIVE + hours_later * 3_600)
}

/// USD of a million tokens of a class, or of a thousand calls, as exact pico-USD.
fn usd(price: &str, units: i64) -> i64 {
    let whole: weft_proto::money::UnitPrice = price.parse().expect("a price");
    assert_eq!(whole.pico() % units, 0, "{price}");
    whole.pico() / units
}

#[test]
fn the_bundled_book_has_the_official_prices() {
    use Provider::{Anthropic, Azure, DeepSeek, OpenAi};
    let book = bundled::book().expect("the bundled book");
    let columns =
        [Class::Input, Class::CacheRead, Class::CacheWrite, Class::CacheWrite1h, Class::Output];
    for (provider, model, prices) in [
        (OpenAi, "gpt-6-astra", ["10", "1", "12.5", "", "50"]),
        (OpenAi, "gpt-6-sol", ["2", "0.2", "2.5", "", "10"]),
        (OpenAi, "gpt-6-luna", ["0.1", "0.01", "0.125", "", "0.5"]),
        (OpenAi, "gpt-5.6-sol", ["4", "0.4", "5", "", "20"]),
        (OpenAi, "gpt-5.6-terra", ["2", "0.2", "2.5", "", "12"]),
        (OpenAi, "gpt-5.6-luna", ["0.2", "0.02", "0.25", "", "1.2"]),
        (OpenAi, "gpt-5.5", ["5", "0.5", "", "", "30"]),
        (OpenAi, "gpt-5.4", ["2.5", "0.25", "", "", "15"]),
        (OpenAi, "gpt-5.4-2026-03-05", ["2.5", "0.25", "", "", "15"]),
        (OpenAi, "gpt-5.4-mini", ["0.75", "0.075", "", "", "4.5"]),
        (OpenAi, "gpt-5.4-nano", ["0.2", "0.02", "", "", "1.25"]),
        (OpenAi, "gpt-4.1", ["2", "0.5", "", "", "8"]),
        (OpenAi, "gpt-4o", ["2.5", "1.25", "", "", "10"]),
        (OpenAi, "gpt-4o-mini-2024-07-18", ["0.15", "0.075", "", "", "0.6"]),
        (OpenAi, "text-embedding-3-small", ["0.02", "", "", "", ""]),
        (OpenAi, "text-embedding-3-large", ["0.13", "", "", "", ""]),
        (OpenAi, "gpt-realtime-2.1", ["4", "0.4", "", "", "24"]),
        (OpenAi, "gpt-image-2", ["5", "1.25", "", "", ""]),
        (OpenAi, "gpt-4o-transcribe", ["2.5", "", "", "", "10"]),
        (Anthropic, "claude-fable-5-1", ["10", "0.25", "12.5", "20", "50"]),
        (Anthropic, "claude-opus-5-5", ["4", "0.2", "5", "8", "20"]),
        (Anthropic, "claude-opus-5", ["5", "0.5", "6.25", "10", "25"]),
        (Anthropic, "claude-sonnet-5-5", ["2", "0.1", "2.5", "4", "10"]),
        (Anthropic, "claude-sonnet-5", ["2", "0.2", "2.5", "4", "10"]),
        (Anthropic, "claude-haiku-5-5-20261001", ["0.1", "0.01", "0.125", "0.2", "0.5"]),
        (Anthropic, "claude-haiku-4-5", ["1", "0.1", "1.25", "2", "5"]),
        (DeepSeek, "deepseek-flash", ["0.15", "0.003", "", "", "0.6"]),
        (DeepSeek, "deepseek-v4-pro", ["0.66", "0.022", "", "", "1.98"]),
        (Azure, "gpt-5.4", ["2.5", "0.25", "", "", "15"]),
    ] {
        let wanted = Wanted {
            provider,
            model,
            place: None,
            at: at(0),
            tier: ServiceTier::Standard,
            geo: Geo::Unstated,
        };
        let rates = book.rates(&wanted).unwrap_or_else(|| panic!("{model} has no price"));
        for (class, price) in columns.into_iter().zip(prices).filter(|(_, price)| !price.is_empty())
        {
            let found = rates.price(class, 1).map(weft_proto::money::UnitPrice::pico);
            assert_eq!(found, Some(usd(price, 1_000_000)), "{model} {class}");
        }
    }
}

#[test]
fn the_bundled_book_knows_tiers_places_thresholds_hours_and_units() {
    use Provider::{Anthropic, Azure, DeepSeek, OpenAi};
    use ServiceTier::{Batch, Fast, Flex, Priority, Standard};
    let book = bundled::book().expect("the bundled book");
    let price = |provider, model, tier, place, geo, hours, class, input: u64, units| {
        let wanted = Wanted { provider, model, place, at: at(hours), tier, geo };
        let pico = book.rates(&wanted)?.price(class, input)?.pico();
        Some(pico).map(|pico| pico.checked_mul(units).expect("in range"))
    };
    const M: i64 = 1_000_000;
    let token = |provider, model, tier, place, class, input| {
        price(provider, model, tier, place, Geo::Unstated, 0, class, input, M)
    };
    let whole = |text: &str| Some(usd(text, 1));
    let (input, output, cached) = (Class::Input, Class::Output, Class::CacheRead);
    assert_eq!(token(OpenAi, "gpt-6-astra", Standard, None, input, 272_000), whole("10"));
    assert_eq!(token(OpenAi, "gpt-6-astra", Standard, None, input, 272_001), whole("20"));
    assert_eq!(token(OpenAi, "gpt-6-astra", Batch, None, input, 1), whole("5"));
    assert_eq!(token(OpenAi, "gpt-6-astra", Priority, None, output, 1), whole("100"));
    assert_eq!(token(OpenAi, "gpt-6-astra", Standard, Some("eu"), input, 1), whole("11"));
    assert_eq!(token(OpenAi, "gpt-5.5", Priority, None, input, 1), whole("12.5"));
    assert_eq!(token(OpenAi, "gpt-5.5", Standard, None, output, 300_000), whole("45"));
    assert_eq!(token(OpenAi, "gpt-5.4", Flex, None, cached, 1), whole("0.13"));
    assert_eq!(token(OpenAi, "gpt-5.4", Priority, None, input, 1), whole("5"));
    assert_eq!(
        token(OpenAi, "gpt-realtime-2.1", Standard, None, Class::InputAudio, 1),
        whole("32")
    );
    assert_eq!(
        token(OpenAi, "gpt-realtime-2.1", Standard, None, Class::OutputAudio, 1),
        whole("64")
    );
    assert_eq!(token(OpenAi, "gpt-realtime-2.1", Standard, None, Class::InputImage, 1), whole("5"));
    assert_eq!(token(OpenAi, "gpt-image-2", Standard, None, Class::InputImage, 1), whole("8"));
    assert_eq!(token(OpenAi, "gpt-image-2", Standard, None, Class::OutputImage, 1), whole("30"));
    assert_eq!(token(OpenAi, "tts-1", Standard, None, Class::Characters, 1), whole("15"));
    assert_eq!(token(Azure, "gpt-5.1", Standard, Some("eu"), input, 1), whole("1.375"));
    assert_eq!(token(Azure, "gpt-5.1", Standard, Some("eu"), cached, 1), whole("0.1375"));
    assert_eq!(token(Azure, "gpt-5.1", Standard, Some("us"), output, 1), whole("11"));
    assert_eq!(token(Anthropic, "claude-opus-5-5", Fast, None, input, 1), whole("8"));
    assert_eq!(token(Anthropic, "claude-haiku-5-5", Standard, None, input, 100_001), whole("0.5"));
    let us = price(Anthropic, "claude-opus-5", Standard, None, Geo::Us, 0, output, 1, M);
    assert_eq!(us, whole("27.5"));
    let search =
        price(Anthropic, "claude-opus-5", Batch, None, Geo::Us, 0, Class::WebSearch, 1, 1_000);
    assert_eq!(search, whole("10"), "a search costs the same everywhere");
    let second =
        price(OpenAi, "whisper-1", Standard, None, Geo::Unstated, 0, Class::AudioMillis, 0, 1_000);
    assert_eq!(second, whole("0.0001"));
    let code =
        price(OpenAi, "container", Standard, None, Geo::Unstated, 0, Class::CodeSession, 0, 1);
    assert_eq!(code, whole("0.03"));

    let peak = |hours| {
        price(DeepSeek, "deepseek-flash", Standard, None, Geo::Unstated, hours, input, 1, M)
    };
    assert_eq!(peak(0), whole("0.15"), "Monday 05:00");
    assert_eq!(peak(1), whole("0.30"), "Monday 06:00");
    assert_eq!(peak(5), whole("0.15"), "Monday 10:00");
    assert_eq!(peak(5 * 24 + 1), whole("0.15"), "Saturday");
    // 2027-01-01 is a Friday and a holiday, 2026-12-31 the Thursday before it.
    assert_eq!(peak(38 * 24 + 1), whole("0.30"));
    assert_eq!(peak(39 * 24 + 1), whole("0.15"));
}

#[test]
fn a_cut_price_holds_from_its_day() {
    let book = bundled::book().expect("the bundled book");
    let before = Wanted {
        provider: Provider::OpenAi,
        model: "gpt-5.6-sol",
        place: None,
        at: Timestamp::from_secs(1_785_369_599),
        tier: ServiceTier::Standard,
        geo: Geo::Unstated,
    };
    assert!(book.rates(&before).is_none(), "2026-07-29 23:59:59");
    let after = Wanted { at: Timestamp::from_secs(1_785_369_600), ..before };
    assert!(book.rates(&after).is_some(), "2026-07-30");
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(at(0)))
}

fn key(seed: u64) -> LedgerKey {
    let dir = tempfile::tempdir().expect("a folder");
    LedgerKey::open(dir.path(), &SeededEntropy::new(seed)).expect("a key")
}

fn note(text: &str) -> Name {
    Name::parse(text).expect("a note")
}

fn one_price(price: &str) -> PriceBook {
    let text = format!("provider,model,input,output\nopenai,*,{price},1\n");
    import::read(Format::Csv, text.as_bytes(), Unread::Refuse).expect("a book").book
}

#[tokio::test]
async fn a_new_hub_quotes_the_bundled_book_and_then_what_is_activated() {
    let store = MemoryStore::new();
    let (clock, key) = (clock(), key(1));
    let open =
        || Pricing::open(store.price_books(), key.clone(), Arc::<ManualClock>::clone(&clock));
    let pricing = open().await.expect("opened");
    let bundled = bundled::book().expect("the bundled book").hash();
    assert_eq!(pricing.active().book.hash(), bundled);
    let model = ModelName::parse("gpt-5.4").expect("a name");
    let half = Ratio::from_ppm(500_000);
    let quote = |pricing: &Pricing| pricing.quote(Provider::OpenAi, &model, None, at(0), half);
    let before = quote(&pricing).expect("a quote");
    let usage = Usage::NONE.with(Class::Input, 1_000_000);
    let rates = before.rates(ServiceTier::Standard, Geo::Unstated).expect("rates");
    let most = rates.bound(&usage).and_then(|list| list.charge(before.zone())).expect("a charge");
    assert_eq!(most.to_string(), "2.50", "half of the price above the threshold");

    let mut told = pricing.subscribe();
    let book = one_price("3");
    assert!(pricing.keep(book.clone(), note("three")).await.expect("kept"));
    assert!(!pricing.keep(book.clone(), note("again")).await.expect("known"));
    assert_eq!(pricing.active().book.hash(), bundled, "what is kept is not in force yet");
    clock.advance(Duration::from_secs(1));
    pricing.activate(book.hash()).await.expect("activated");
    assert!(told.has_changed().expect("open"));
    assert_eq!(told.borrow_and_update().book, book);
    assert_eq!(quote(&pricing).expect("a quote").hash(), book.hash());
    // What was quoted stays as it was, and can be found by its hash.
    assert_eq!(before.hash(), bundled);
    let old = pricing.book(bundled).await.expect("read").expect("kept");
    assert!(pricing.public_key().verifies(&bundled.signed_text(), &old.signature));

    let (history, versions) = pricing.history(PageSize::default()).await.expect("listed");
    assert_eq!(history.iter().map(|one| one.number).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(versions.len(), 2);
    let restarted = open().await.expect("opened again");
    assert_eq!(restarted.active().book.hash(), book.hash(), "a restart keeps what is in force");
    restarted.activate(bundled).await.expect("activated");
    pricing.refresh().await.expect("refreshed");
    assert_eq!(pricing.active().book.hash(), bundled, "another node's activation is taken over");
    let unknown = pricing.activate(one_price("4").hash()).await;
    assert!(matches!(unknown, Err(PricingError::Store(StoreError::NotFound { .. }))));
}

#[tokio::test]
async fn a_book_that_this_hub_did_not_sign_is_not_used() {
    let store = MemoryStore::new();
    let clock = clock();
    Pricing::open(store.price_books(), key(1), Arc::<ManualClock>::clone(&clock))
        .await
        .expect("opened");
    let other = Pricing::open(store.price_books(), key(2), clock).await;
    assert!(matches!(other, Err(PricingError::Unsigned { .. })), "{other:?}");
}
