//! Lists of every form, small and made for this, and what must not be read out of them.

use super::*;
use weft_proto::money::UnitPrice;
use weft_proto::prices::{Rates, Wanted};
use weft_proto::time::Timestamp;
use weft_proto::usage::{Class, Geo, ServiceTier};

/// 2026-11-23, a Monday, 00:00 UTC.
const MONDAY: u64 = 1_795_392_000;

const LITELLM: &str = r#"{
    "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of many"},
    "gpt-x": {
        "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 1000000,
        "source": "https://example.test/prices",
        "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5e-05,
        "cache_read_input_token_cost": 2.5e-07,
        "input_cost_per_token_above_200k_tokens": 5e-06,
        "input_cost_per_token_priority": 0.000005,
        "input_cost_per_token_batches": 1.25e-06, "output_cost_per_token_batches": 7.5e-06,
        "regional_processing_uplift_multiplier_eu": 1.1,
        "regional_processing_uplift_multiplier_us": 1.1,
        "search_context_cost_per_query": {
            "search_context_size_low": 0.01, "search_context_size_high": 0.02
        }
    },
    "openai/gpt-x": {"litellm_provider": "openai", "input_cost_per_token": 9e-06},
    "ft:gpt-x": {"litellm_provider": "openai", "input_cost_per_token": 3e-06},
    "claude-x": {
        "litellm_provider": "anthropic", "input_cost_per_token": 4e-06,
        "cache_creation_input_token_cost": 5e-06,
        "cache_creation_input_token_cost_above_1hr": 8e-06,
        "provider_specific_entry": {"us": 1.1, "fast": 2.0}
    },
    "deepseek/deep-x": {
        "litellm_provider": "deepseek", "input_cost_per_token": 3e-07,
        "off_peak_pricing": {
            "input_cost_per_token": 1.5e-07,
            "windows": [
                {"hours_utc": ["00:00-01:00", "10:00-00:00"], "weekdays": [1, 2, 3, 4, 5]},
                {"hours_utc": "00:00-00:00", "weekdays": [6, 7]}
            ]
        }
    },
    "azure/eu/gpt-x": {"litellm_provider": "azure", "input_cost_per_token": 2.75e-06},
    "azure/gpt-x": {"litellm_provider": "azure", "input_cost_per_token": 2.5e-06},
    "listener": {"litellm_provider": "openai", "mode": "audio_transcription",
        "input_cost_per_second": 0.000283333333333},
    "other/model": {"litellm_provider": "another", "odd_cost": 1}
}"#;

fn rates<'a>(
    book: &'a PriceBook,
    provider: Provider,
    model: &'a str,
    change: impl FnOnce(&mut Wanted<'a>),
) -> Option<Rates> {
    let mut wanted = Wanted {
        provider,
        model,
        place: None,
        at: Timestamp::from_secs(MONDAY + 5 * 3_600),
        tier: ServiceTier::Standard,
        geo: Geo::Unstated,
    };
    change(&mut wanted);
    book.rates(&wanted)
}

/// USD a million tokens, or a thousand calls.
fn price(rates: Option<Rates>, class: Class, input_total: u64) -> Option<String> {
    rates?.price(class, input_total).map(|price: UnitPrice| price.to_string())
}

fn litellm(text: &str, unread: Unread) -> Result<Imported, ImportError> {
    read(Format::LiteLlm, text.as_bytes(), unread)
}

#[test]
fn a_litellm_map_is_read_with_tiers_thresholds_hours_and_places() {
    let imported = litellm(LITELLM, Unread::Refuse).expect("imported");
    let book = &imported.book;
    let openai = |change: fn(&mut Wanted<'_>)| rates(book, Provider::OpenAi, "gpt-x", change);
    let standard = || openai(|_| {});
    assert_eq!(price(standard(), Class::Input, 1).as_deref(), Some("0.0000025"));
    assert_eq!(price(standard(), Class::Input, 200_001).as_deref(), Some("0.000005"));
    assert_eq!(price(standard(), Class::CacheRead, 200_001).as_deref(), Some("0.00000025"));
    assert_eq!(price(standard(), Class::WebSearch, 1).as_deref(), Some("0.02"));
    let priority = openai(|wanted| wanted.tier = ServiceTier::Priority);
    assert_eq!(price(priority.clone(), Class::Input, 1).as_deref(), Some("0.000005"));
    assert_eq!(price(priority, Class::Output, 1).as_deref(), Some("0.000015"), "as standard");
    let batch = openai(|wanted| {
        wanted.tier = ServiceTier::Batch;
        wanted.place = Some("jp");
    });
    assert_eq!(price(batch.clone(), Class::Input, 1).as_deref(), Some("0.000001375"));
    assert_eq!(price(batch, Class::WebSearch, 1).as_deref(), Some("0.02"), "calls have no factor");
    let tuned = rates(book, Provider::OpenAi, "ft:gpt-x:acme::abc", |_| {});
    assert_eq!(price(tuned, Class::Input, 1).as_deref(), Some("0.000003"));

    let claude = |change: fn(&mut Wanted<'_>)| rates(book, Provider::Anthropic, "claude-x", change);
    assert_eq!(price(claude(|_| {}), Class::CacheWrite1h, 1).as_deref(), Some("0.000008"));
    let fast = claude(|wanted| {
        wanted.tier = ServiceTier::Fast;
        wanted.geo = Geo::Us;
    });
    assert_eq!(price(fast, Class::Input, 1).as_deref(), Some("0.0000088"));

    let deep = |hour: u64| {
        rates(book, Provider::DeepSeek, "deep-x", |wanted| {
            wanted.at = Timestamp::from_secs(MONDAY + hour * 3_600);
        })
    };
    for (hour, expected) in
        [(0, "0.00000015"), (5, "0.0000003"), (23, "0.00000015"), (125, "0.00000015")]
    {
        assert_eq!(price(deep(hour), Class::Input, 1).as_deref(), Some(expected), "hour {hour}");
    }

    let azure = |place| rates(book, Provider::Azure, "gpt-x", |wanted| wanted.place = place);
    assert_eq!(price(azure(None), Class::Input, 1).as_deref(), Some("0.0000025"));
    assert_eq!(price(azure(Some("eu")), Class::Input, 1).as_deref(), Some("0.00000275"));

    let report = &imported.report;
    assert_eq!(report.others, 2);
    assert_eq!(report.entries.get("openai"), Some(&4));
    assert_eq!(report.contradicted.len(), 1, "the longer name says something else: {report:?}");
    assert_eq!(report.rounded.keys().collect::<Vec<_>>(), ["input_cost_per_second"]);
    assert!(report.unread.is_empty());
}

#[test]
fn what_speaks_of_money_and_is_not_understood_refuses_the_import_or_is_reported() {
    for (key, value) in [
        ("input_cost_per_pixel", "1e-08"),
        ("input_cost_per_token_ultrafast", "1e-05"),
        ("a_new_price", "1"),
        ("output_cost_per_token", "\"a lot\""),
        ("output_cost_per_token", "-1e-06"),
        ("search_context_cost_per_query", "0.01"),
        ("provider_specific_entry", r#"{"moon": 1.5}"#),
        ("off_peak_pricing", r#"{"input_cost_per_token": 1e-06, "windows": "at night"}"#),
        ("input_cost_per_token", "2e-06"),
    ] {
        let text = format!(
            r#"{{"m": {{"litellm_provider": "openai", "input_cost_per_token": 1e-06, "{key}": {value}}}}}"#
        );
        let refused = litellm(&text, Unread::Refuse).expect_err(key);
        let ImportError::Unread { report } = &refused else { panic!("{key}: {refused:?}") };
        assert_eq!(report.unread.len(), 1, "{key}: {report:?}");
        assert!(refused.to_string().contains("first m"), "{refused}");
        let taken = litellm(&text, Unread::Accept).expect(key);
        assert_eq!(&taken.report.unread, &report.unread);
    }
    let capability = r#"{"m": {"litellm_provider": "openai", "input_cost_per_token": 1e-06,
        "supports_vision": true, "deprecation_date": "2027-01-01"}}"#;
    assert!(litellm(capability, Unread::Refuse).is_ok());
}

#[test]
fn files_that_are_none_of_their_form_are_refused() {
    for text in ["", "[]", "{", r#"{"m": 1}"#, "null"] {
        let refused = litellm(text, Unread::Accept);
        assert!(matches!(refused, Err(ImportError::Form { .. })), "{text}: {refused:?}");
    }
    assert!(matches!(litellm("{}", Unread::Accept), Err(ImportError::Nothing)));
    for text in ["", "{}", "[1]", r#"[{"id": "openai"}]"#, r#"[{"id": "openai", "models": [1]}]"#] {
        let refused = read(Format::GenAi, text.as_bytes(), Unread::Accept);
        assert!(matches!(refused, Err(ImportError::Form { .. })), "{text}: {refused:?}");
    }
    let huge = vec![b' '; IMPORT_BYTES_MAX + 1];
    assert!(matches!(read(Format::Csv, &huge, Unread::Accept), Err(ImportError::TooLarge)));
    assert_eq!(Format::guessed(b"  {"), Format::LiteLlm);
    assert_eq!(Format::guessed(b"[ "), Format::GenAi);
    assert_eq!(Format::guessed(b"provider,model"), Format::Csv);
}

const GENAI: &str = r#"[
    {"id": "another", "models": [{"id": "m", "match": {"equals": "m"}, "prices": {"odd_mtok": 1}}]},
    {"id": "openai", "pricing_urls": ["https://example.test/prices"], "models": [
        {"id": "gpt-x", "match": {"or": [{"equals": "gpt-x"}, {"starts_with": "gpt-x-2026"},
            {"regex": "^gpt-x-\\d+$"}]},
         "prices": [
            {"prices": {"input_mtok": {"base": 2, "tiers": [{"start": 200000, "price": 4}]},
                        "output_mtok": 8, "web_searches_kcount": 10}},
            {"constraint": {"start_date": "2026-11-24"}, "prices": {"input_mtok": 1, "output_mtok": 4}}
         ],
         "price_variants": [
            {"when": {"service_tier": "default"}, "prices": {}},
            {"when": {"processing": "batch"}, "prices": {"input_mtok": 0.5}}
         ]},
        {"id": "listener", "match": {"equals": "listener"}, "prices": {"audio_hours": 0.36}}
    ]},
    {"id": "deepseek", "models": [
        {"id": "deep-x", "match": {"contains": "deep-x"}, "prices": [
            {"prices": {"input_mtok": 0.15}},
            {"constraint": {"start_time": "01:00:00Z", "end_time": "04:00:00Z"},
             "prices": {"input_mtok": 0.3}}
        ]}
    ]}
]"#;

#[test]
fn a_genai_list_is_read_with_dates_hours_tiers_and_thresholds() {
    let imported = read(Format::GenAi, GENAI.as_bytes(), Unread::Refuse).expect("imported");
    let book = &imported.book;
    let at = |hour: u64, tier, model| {
        rates(book, Provider::OpenAi, model, |wanted| {
            wanted.at = Timestamp::from_secs(MONDAY + hour * 3_600);
            wanted.tier = tier;
        })
    };
    let standard = |hour, model| at(hour, ServiceTier::Standard, model);
    assert_eq!(price(standard(0, "gpt-x"), Class::Input, 1).as_deref(), Some("0.000002"));
    assert_eq!(price(standard(0, "gpt-x"), Class::Input, 200_001).as_deref(), Some("0.000004"));
    assert_eq!(price(standard(24, "gpt-x"), Class::Input, 200_001).as_deref(), Some("0.000001"));
    assert_eq!(
        price(standard(0, "gpt-x-2026-05-01"), Class::WebSearch, 1).as_deref(),
        Some("0.01")
    );
    assert!(standard(0, "gpt-x-7").is_none(), "regular expressions are not taken");
    let batch = at(30, ServiceTier::Batch, "gpt-x");
    assert_eq!(price(batch.clone(), Class::Input, 1).as_deref(), Some("0.0000005"));
    assert_eq!(price(batch, Class::Output, 1).as_deref(), Some("0.000004"));
    let heard = standard(0, "listener");
    assert_eq!(price(heard, Class::AudioMillis, 0).as_deref(), Some("0.0000001"));
    let deep = |hour: u64| {
        rates(book, Provider::DeepSeek, "deep-x-1", |wanted| {
            wanted.at = Timestamp::from_secs(MONDAY + hour * 3_600);
        })
    };
    assert_eq!(price(deep(0), Class::Input, 1).as_deref(), Some("0.00000015"));
    assert_eq!(price(deep(1), Class::Input, 1).as_deref(), Some("0.0000003"));
    assert_eq!(imported.report.others, 1);

    let odd = GENAI.replace("output_mtok", "thought_mtok");
    let refused = read(Format::GenAi, odd.as_bytes(), Unread::Refuse);
    assert!(matches!(refused, Err(ImportError::Unread { .. })), "{refused:?}");
    let unsorted = GENAI.replace(r#"{"constraint": {"start_date": "2026-11-24"}, "#, "{");
    let refused = read(Format::GenAi, unsorted.as_bytes(), Unread::Refuse);
    assert!(matches!(refused, Err(ImportError::Unread { .. })), "{refused:?}");
}

fn csv(text: &str) -> Result<Imported, ImportError> {
    read(Format::Csv, text.as_bytes(), Unread::Refuse)
}

#[test]
fn a_line_of_the_table_is_as_many_rows_as_it_has_models_tiers_and_places() {
    let imported = csv("provider,model,tier,place,input,web_search,source\n\
         # a comment\n\
         openai,a b*,standard batch:0.5,any regional:1.1,2,10,example.test\n")
    .expect("imported");
    assert_eq!(imported.book.rows().len(), 8);
    assert_eq!(imported.report.entries.get("openai"), Some(&1));
    let batch = rates(&imported.book, Provider::OpenAi, "bcd", |wanted| {
        wanted.tier = ServiceTier::Batch;
        wanted.place = Some("eu");
    });
    assert_eq!(price(batch.clone(), Class::Input, 1).as_deref(), Some("0.0000011"));
    assert_eq!(price(batch, Class::WebSearch, 1).as_deref(), Some("0.01"));
}

#[test]
fn a_mistake_in_the_table_is_told_with_its_line() {
    let head = "provider,model,when,tier,place,above,from,until,input,request,source\n";
    for (line, said) in [
        ("google,m,,,,,,,1", "none of the providers"),
        ("openai,,,,,,,,1", "model is missing"),
        ("openai,m,,,,,,,", "no price"),
        ("openai,m,,,,,,,one", "no price in USD"),
        ("openai,m,,,,,,,0.0000001", "pico-USD"),
        ("openai,m m,,,,,,,1", "a second row"),
        ("openai,m,,express,,,,,1", "no service tier"),
        ("openai,m,,standard:x,,,,,1", "not a factor"),
        ("openai,m,,,EU,,,,1", "lower-case"),
        ("openai,m,,,,few,,,1", "no count"),
        ("openai,m,,,,,soon,,1", "no date"),
        ("openai,m n°,,,,,,,1", "model name"),
        ("schedule,s,mon 25:00-26:00", "not hours"),
        ("schedule,s,mon-sun", "which hours"),
        ("schedule,s,sun-mon 00:00-01:00", "backwards"),
        ("holidays,h,2026-02-30", "no date"),
        ("openai,m,,,,,,,1,,,,", "more cells"),
    ] {
        let refused = csv(&format!("{head}{line}\n")).expect_err(line);
        let told = refused.to_string();
        assert!(told.contains("line 2") && told.contains(said), "{line}: {told}");
    }
    let lost = csv(&format!("{head}openai,m,night,,,,,,1\n"));
    assert!(matches!(lost, Err(ImportError::Book(BookError::Missing { .. }))), "{lost:?}");
    let unknown = csv("provider,model,input,surcharge\nopenai,m,1,2\n");
    assert!(matches!(unknown, Err(ImportError::Unread { .. })), "{unknown:?}");
}
