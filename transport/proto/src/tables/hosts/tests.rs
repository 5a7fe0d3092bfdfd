use super::site::OPENAI_REGIONS;
use super::*;

fn official(provider: Provider, site: &str) -> String {
    let site = Site::parse(provider, site).expect("a valid site");
    HostTable::official().origin(provider, &site).expect("an official origin").to_string()
}

#[test]
fn every_documented_host_is_reached_by_its_site_over_tls() {
    assert_eq!(official(Provider::OpenAi, ""), "https://api.openai.com");
    for region in OPENAI_REGIONS {
        assert_eq!(official(Provider::OpenAi, region), format!("https://{region}.api.openai.com"));
    }
    assert_eq!(official(Provider::Anthropic, ""), "https://api.anthropic.com");
    assert_eq!(official(Provider::DeepSeek, ""), "https://api.deepseek.com");
    assert_eq!(official(Provider::Azure, "myres"), "https://myres.openai.azure.com");
    for suffix in AzureSuffix::ALL {
        let host = format!("my-res1.{}", suffix.as_str());
        assert_eq!(official(Provider::Azure, &host), format!("https://{host}"));
    }
}

#[test]
fn a_site_is_written_as_it_is_read() {
    for (provider, text) in [
        (Provider::OpenAi, ""),
        (Provider::OpenAi, "eu"),
        (Provider::Azure, "myres.services.ai.azure.com"),
        (Provider::Anthropic, ""),
    ] {
        let site = Site::parse(provider, text).expect("a valid site");
        assert_eq!(site.to_string(), text);
    }
    let short = Site::parse(Provider::Azure, "myres").expect("a valid site");
    assert_eq!(Site::parse(Provider::Azure, &short.to_string()), Ok(short));
}

#[test]
fn nothing_but_the_pinned_forms_is_a_site() {
    let long = "a".repeat(MAX_RESOURCE_BYTES + 1);
    for text in [
        "",
        ".",
        "-res",
        "Res",
        "my_res",
        "res.",
        "res.openai.azure.com.",
        "res.evil.com",
        "res.openai.azure.com.evil.com",
        "a.b.openai.azure.com",
        ".openai.azure.com",
        "127.0.0.1",
        "res:8080",
        "res.openai.azure.com:443",
        "user@res",
        "user@res.openai.azure.com",
        "rés",
        "res/openai",
        "res?x",
        "res#x",
        "res openai",
        "res\n",
        "[::1]",
        "openai.azure.com",
        "xn--é",
        "res.OPENAI.azure.com",
        "res%2eevil",
        long.as_str(),
    ] {
        assert!(Site::parse(Provider::Azure, text).is_err(), "{text:?} passed as an azure site");
    }
    for text in ["EU", "eu.", "xx", " ", "eu.api.openai.com", "api.openai.com", "127.0.0.1"] {
        assert!(Site::parse(Provider::OpenAi, text).is_err(), "{text:?} passed as a region");
    }
    for provider in [Provider::Anthropic, Provider::DeepSeek] {
        assert!(Site::parse(provider, "us").is_err(), "{provider} has one host");
    }
}

#[test]
fn a_site_of_one_provider_opens_no_host_of_another() {
    let region = Site::parse(Provider::OpenAi, "eu").expect("a region");
    let resource = Site::parse(Provider::Azure, "myres").expect("a resource");
    let table = HostTable::official();
    for (provider, site) in [
        (Provider::Azure, &region),
        (Provider::Azure, &Site::Default),
        (Provider::Anthropic, &region),
        (Provider::DeepSeek, &resource),
        (Provider::OpenAi, &resource),
    ] {
        assert!(table.origin(provider, site).is_err(), "{provider} took {site:?}");
    }
}

#[test]
fn a_simulated_table_leads_to_this_machine_and_nowhere_else() {
    let table = HostTable::simulated([
        (Provider::OpenAi, "http://127.0.0.1:4010"),
        (Provider::Azure, "http://[::1]:4011/az/"),
    ])
    .expect("loopback addresses");
    assert!(table.is_simulated() && !HostTable::official().is_simulated());
    assert_eq!(table.providers(), [Provider::OpenAi, Provider::Azure]);
    let eu = Site::parse(Provider::OpenAi, "eu").expect("a region");
    let origin = table.origin(Provider::OpenAi, &eu).expect("the simulated origin");
    assert_eq!(
        (origin.scheme(), origin.host(), origin.port(), origin.authority().as_str()),
        (Scheme::Http, "127.0.0.1", 4010, "127.0.0.1:4010")
    );
    let resource = Site::parse(Provider::Azure, "myres").expect("a resource");
    let origin = table.origin(Provider::Azure, &resource).expect("the simulated origin");
    let target = Target::parse("/openai/v1/models?api-version=1").expect("a target");
    assert_eq!(origin.host(), "::1");
    assert_eq!(origin.authority(), "[::1]:4011");
    assert_eq!(origin.path_and_query(&target), "/az/openai/v1/models?api-version=1");
    assert_eq!(
        table.origin(Provider::Anthropic, &Site::Default),
        Err(HostRefused::NotSimulated { provider: Provider::Anthropic })
    );
}

#[test]
fn a_simulated_provider_must_be_on_loopback() {
    for url in [
        "http://127.0.0.1:1",
        "http://127.8.9.1",
        "http://localhost:65535/",
        "https://localhost:9",
        "http://[::1]",
        "http://127.0.0.1:4010/base/path",
    ] {
        assert!(HostTable::simulated([(Provider::OpenAi, url)]).is_ok(), "{url} was refused");
    }
    let long = format!("http://127.0.0.1:1/{}", "a".repeat(MAX_SIMULATED_URL_BYTES));
    for url in [
        "",
        "127.0.0.1:1",
        "ftp://127.0.0.1",
        "http://",
        "http://:80",
        "http://0.0.0.0:1",
        "http://10.0.0.1:1",
        "http://128.0.0.1",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://127.0.0.1.",
        "http://localhost.",
        "http://LOCALHOST",
        "http://localhost.evil.com",
        "http://api.openai.com",
        "http://127.0.0.1@evil.com",
        "http://evil.com@127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:+80",
        "http://127.0.0.1:",
        "http://127.0.0.1:80:80",
        "http://::1",
        "http://[::1",
        "http://[::1]80",
        "http://[::2]:80",
        "http://[::ffff:127.0.0.1]",
        "http://[127.0.0.1]",
        "http://[::1%lo]",
        "http://127.0.0.1/../x",
        "http://127.0.0.1?x=1",
        "http://127.0.0.1/a?x=1",
        "http://127.0.0.1#x",
        "http://127.0.0.1\\@evil.com",
        "http://127.0.0.1//",
        " http://127.0.0.1",
        "HTTP://127.0.0.1",
        long.as_str(),
    ] {
        assert!(HostTable::simulated([(Provider::OpenAi, url)]).is_err(), "{url} was accepted");
    }
    assert_eq!(
        HostTable::simulated([
            (Provider::OpenAi, "http://127.0.0.1:1"),
            (Provider::OpenAi, "http://127.0.0.1:2"),
        ])
        .map(drop),
        Err(HostRefused::SimulatedTwice { provider: Provider::OpenAi })
    );
}

proptest::proptest! {
    #[test]
    fn whatever_parses_as_a_site_stays_under_a_pinned_domain(text in "[a-zA-Z0-9.:@/%\\-]{0,80}") {
        for provider in Provider::ALL {
            if let Ok(site) = Site::parse(provider, &text) {
                let origin = HostTable::official().origin(provider, &site).expect("its own site");
                let domains = ["api.openai.com", "api.anthropic.com", "api.deepseek.com"]
                    .into_iter()
                    .chain(AzureSuffix::ALL.map(AzureSuffix::as_str));
                let pinned = domains.into_iter().any(|domain| {
                    origin.host() == domain
                        || origin.host().strip_suffix(domain).is_some_and(|label| label.ends_with('.'))
                });
                proptest::prop_assert!(pinned);
                proptest::prop_assert_eq!((origin.scheme(), origin.port()), (Scheme::Https, 443));
            }
        }
    }
}
