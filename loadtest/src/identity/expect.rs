//! What is to become of each header, written down once more and apart from the product: the table
//! of its own against which both ends of a mesh are held.
//!
//! It says what a gateway in front of a provider has to do by RFC 9110 (hop-by-hop fields, `via`),
//! for the sake of its users (their network, their browser, their session) and for the sake of the
//! owners of keys (their credentials and what names them). It never asks the product's table: a row
//! that the product gains and this one has not is a failure of the tests.

use Fate::{AsTrailers, Drop, Pass};
use http::header::{CONNECTION, TE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What is to become of a header in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The other end sees it as it was sent.
    Pass,
    /// The other end does not see it.
    Drop,
    /// The other end sees `trailers` where it says so, and nothing otherwise.
    AsTrailers,
}

/// What is expected of a name, or of all that begin with it where it ends in `*`.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// The name in lower case.
    pub name: &'static str,
    /// From the user to the provider.
    pub request: Fate,
    /// From the provider to the user.
    pub response: Fate,
}

const fn both(name: &'static str, request: Fate, response: Fate) -> Expected {
    Expected { name, request, response }
}

const fn never(name: &'static str) -> Expected {
    both(name, Drop, Drop)
}

const fn back_only(name: &'static str) -> Expected {
    both(name, Drop, Pass)
}

const fn always(name: &'static str) -> Expected {
    both(name, Pass, Pass)
}

/// The expectations. The longest name that fits decides; what none fits passes.
pub static TABLE: &[Expected] = &[
    // One hop's own.
    never("connection"),
    never("http2-settings"),
    never("keep-alive"),
    never("proxy-authenticate"),
    never("proxy-authentication-info"),
    never("proxy-authorization"),
    never("proxy-connection"),
    both("te", AsTrailers, Drop),
    never("transfer-encoding"),
    never("upgrade"),
    never("early-data"),
    // The next hop has its own, or the hub answers it.
    never("expect"),
    never("host"),
    // Whose key, and whose account.
    never("anthropic-organization-id"),
    never("anthropic-user-profile-id"),
    never("api-key"),
    never("authorization"),
    never("ocp-apim-subscription-key"),
    never("openai-organization"),
    never("openai-project"),
    never("x-api-key"),
    // Sessions.
    never("cookie"),
    never("cookie2"),
    never("set-cookie"),
    never("set-cookie2"),
    // The user's network, and the ways by which requests are followed through it.
    back_only("alt-used"),
    back_only("b3"),
    back_only("baggage"),
    back_only("cdn-loop"),
    back_only("cf-*"),
    back_only("client-ip"),
    back_only("fastly-client-ip"),
    back_only("forwarded"),
    back_only("forwarded-*"),
    back_only("traceparent"),
    back_only("tracestate"),
    back_only("true-client-ip"),
    back_only("via"),
    back_only("x-amzn-trace-id"),
    back_only("x-azure-clientip"),
    back_only("x-azure-socketip"),
    back_only("x-b3-*"),
    back_only("x-client-ip"),
    back_only("x-cloud-trace-context"),
    back_only("x-cluster-client-ip"),
    back_only("x-envoy-*"),
    back_only("x-forwarded"),
    back_only("x-forwarded-*"),
    back_only("x-http-method*"),
    back_only("x-method-override"),
    back_only("x-original-*"),
    back_only("x-real-ip"),
    back_only("x-rewrite-url"),
    // The user's browser.
    back_only("origin"),
    back_only("referer"),
    never("sec-*"),
    // Of use to the two ends of a WebSocket, which an ordinary exchange has not.
    never("sec-websocket-*"),
    // Rules about the provider's host that a client would apply to the hub.
    never("alt-svc"),
    never("clear-site-data"),
    never("expect-ct"),
    never("nel"),
    never("report-to"),
    never("reporting-endpoints"),
    never("server"),
    never("strict-transport-security"),
    // Nobody but Weft says these.
    never("weft-*"),
    // Much depends on these.
    always("accept"),
    always("accept-encoding"),
    always("anthropic-beta"),
    always("anthropic-ratelimit-*"),
    always("anthropic-version"),
    always("apim-request-id"),
    always("cache-control"),
    always("content-encoding"),
    always("content-length"),
    always("content-type"),
    always("idempotency-key"),
    always("openai-beta"),
    always("openai-processing-ms"),
    always("priority"),
    always("request-id"),
    always("retry-after"),
    always("retry-after-ms"),
    always("trailer"),
    always("user-agent"),
    always("x-accel-buffering"),
    always("x-ratelimit-*"),
    always("x-request-id"),
    always("x-should-retry"),
    always("x-stainless-*"),
];

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the user to the provider.
    Request,
    /// From the provider to the user.
    Response,
}

impl Expected {
    /// What is expected in one direction.
    #[must_use]
    pub const fn fate(&self, way: Way) -> Fate {
        match way {
            Way::Request => self.request,
            Way::Response => self.response,
        }
    }

    fn fits(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == self.name,
        }
    }
}

/// What is to become of `name`, which is in lower case.
#[must_use]
pub fn fate(name: &str, way: Way) -> Fate {
    let fitting = TABLE.iter().filter(|expected| expected.fits(name));
    fitting.max_by_key(|expected| expected.name.len()).map_or(Pass, |expected| expected.fate(way))
}

/// The expectation that stands under exactly this name, with its `*`.
#[must_use]
pub fn named(name: &str) -> Option<&'static Expected> {
    TABLE.iter().find(|expected| expected.name == name)
}

/// What the other end is to see of `sent`, before it gets what each hop adds.
#[must_use]
pub fn seen(sent: &HeaderMap, way: Way) -> HeaderMap {
    let hop = hop_names(sent);
    let mut seen = HeaderMap::new();
    for (name, value) in sent {
        match fate(name.as_str(), way) {
            Drop => {}
            Pass if hop.contains(name) => {}
            Pass => {
                seen.append(name.clone(), value.clone());
            }
            AsTrailers => {
                let says = value.to_str().unwrap_or_default();
                if says.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")) {
                    seen.insert(TE, HeaderValue::from_static("trailers"));
                }
            }
        }
    }
    seen
}

/// What `connection` declares to be one hop's own.
fn hop_names(sent: &HeaderMap) -> Vec<HeaderName> {
    let values = sent.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// What differs between the headers expected and those that came: names with their values in
/// order, one line each. Nothing where they are the same.
#[must_use]
pub fn differences(what: &str, expected: &HeaderMap, came: &HeaderMap) -> Vec<String> {
    let mut names: Vec<&HeaderName> = expected.keys().chain(came.keys()).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    names.dedup();
    let values = |headers: &HeaderMap, name: &HeaderName| -> Vec<Vec<u8>> {
        headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    };
    let mut differences = Vec::new();
    for name in names {
        let (wanted, found) = (values(expected, name), values(came, name));
        if wanted != found {
            differences.push(format!(
                "{what}: header {name}: expected {}, came {}",
                shown(&wanted),
                shown(&found)
            ));
        }
    }
    differences
}

fn shown(values: &[Vec<u8>]) -> String {
    const SHOWN_BYTES: usize = 80;
    let one = |value: &Vec<u8>| {
        let start = value[..value.len().min(SHOWN_BYTES)].escape_ascii();
        format!("\"{start}\" ({} bytes)", value.len())
    };
    if values.is_empty() {
        return "nothing".to_owned();
    }
    values.iter().map(one).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_expectation_stands_twice_and_names_are_lower_case() {
        let mut names: Vec<_> = TABLE.iter().map(|expected| expected.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase())));
    }

    #[test]
    fn the_longest_name_that_fits_decides_and_what_connection_names_goes() {
        assert_eq!(fate("sec-websocket-key", Way::Request), Drop);
        assert_eq!(fate("x-unheard-of", Way::Response), Pass);
        let mut sent = HeaderMap::new();
        sent.insert(CONNECTION, HeaderValue::from_static("close, x-hop"));
        sent.insert("x-hop", HeaderValue::from_static("1"));
        sent.insert("x-other", HeaderValue::from_static("2"));
        sent.insert(TE, HeaderValue::from_static("gzip, trailers"));
        let seen = seen(&sent, Way::Request);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[TE], "trailers");
        assert!(!differences("request", &seen, &sent).is_empty());
    }
}
