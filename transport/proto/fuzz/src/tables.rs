//! Tables: what passes is what every other parser reads, and stays inside the closed lists.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use weft_proto::provider::Provider;
use weft_proto::tables::headers::{
    ROWS, limits, request_headers, response_headers, upgrade_request_headers,
    upgrade_response_headers,
};
use weft_proto::tables::hosts::{AzureSuffix, HostTable, Scheme, Site};
use weft_proto::tables::routes;
use weft_proto::tables::target::Target;

/// A target that passes is read alike by the HTTP library, and routed without a panic.
pub fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(target) = Target::parse(text) else {
        return;
    };
    assert_eq!(target.as_str(), text, "a target must not be changed");
    let uri: PathAndQuery = text.parse().expect("a path and query");
    assert_eq!((uri.path(), uri.query()), (target.path(), target.query()));
    let lower = target.path().to_ascii_lowercase();
    for trick in ["//", "/../", "/./", "%2f", "%2e", "%5c", "%00", "\\", "#"] {
        assert!(!lower.contains(trick), "{trick} passed");
    }
    for provider in Provider::ALL {
        if let Ok(found) = routes::find(provider, &http::Method::POST, target.path()) {
            assert_eq!(found.route.provider, provider);
        }
    }
}

/// The first line is a site, the second a simulated URL.
pub fn hosts(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (site, url) = text.split_once('\n').unwrap_or((text, text));
    for provider in Provider::ALL {
        let Ok(site) = Site::parse(provider, site) else {
            continue;
        };
        assert_eq!(Site::parse(provider, &site.to_string()).as_ref(), Ok(&site));
        let origin = HostTable::official().origin(provider, &site).expect("its own site");
        let mut domains = ["api.openai.com", "api.anthropic.com", "api.deepseek.com"]
            .into_iter()
            .chain(AzureSuffix::ALL.map(AzureSuffix::as_str));
        assert!(domains.any(|domain| {
            let label = origin.host().strip_suffix(domain);
            label.is_some_and(|label| label.is_empty() || label.ends_with('.'))
        }));
        assert_eq!((origin.scheme(), origin.port()), (Scheme::Https, 443));
    }
    if let Ok(table) = HostTable::simulated([(Provider::OpenAi, url)]) {
        let origin = table.origin(Provider::OpenAi, &Site::Default).expect("the simulated origin");
        let loopback = origin.host() == "localhost"
            || origin.host().parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        assert!(loopback, "{origin} is not on this machine");
        let uri: http::Uri = origin.to_string().parse().expect("a URL");
        assert_eq!(uri.host().map(|host| host.trim_matches(['[', ']'])), Some(origin.host()));
    }
}

/// Each line is `name: value`.
pub fn headers(input: &[u8]) {
    let mut map = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(4096) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    if limits::check(&map).is_ok() {
        assert!(map.len() <= limits::MAX_FIELDS);
    }
    for (filter, towards_provider) in [
        (request_headers as fn(&HeaderMap) -> HeaderMap, true),
        (response_headers, false),
        (upgrade_request_headers, true),
        (upgrade_response_headers, false),
    ] {
        let kept = filter(&map);
        assert_eq!(filter(&kept), kept, "filtering twice must change nothing");
        for (name, value) in &kept {
            let row = ROWS.iter().find(|row| row.covers(name.as_str()));
            let fate = row.map(|row| if towards_provider { row.request } else { row.response });
            assert_ne!(fate, Some(weft_proto::tables::headers::Fate::Drop), "{name} passed");
            let made = name == "te" || name == "sec-websocket-protocol";
            assert!(made || map.get_all(name).iter().any(|sent| sent == value));
        }
    }
}
