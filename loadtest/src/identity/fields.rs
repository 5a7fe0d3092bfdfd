//! Header lines as clients and providers send them, and as few do but all may: repeated, empty,
//! long, and with bytes beyond ASCII.

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The longest value that is drawn, bytes: the product's own limit.
const VALUE_BYTES_MAX: usize = 16 * 1_024;
/// One message in so many has a line that long.
const LONG_EVERY: u32 = 12;

type Lines = &'static [(&'static str, &'static str)];

/// What users' clients and the proxies in front of them send.
const OF_USERS: Lines = &[
    ("user-agent", "OpenAI/Python 3.0.1"),
    ("accept", "application/json"),
    ("accept", "*/*"),
    ("x-stainless-lang", "python"),
    ("x-stainless-retry-count", "0"),
    ("idempotency-key", "stainless-python-retry-1"),
    ("openai-beta", "responses=v1"),
    ("anthropic-beta", "one-2025-01-01,two-2025-02-02"),
    ("anthropic-beta", "three-2025-03-03"),
    ("priority", "u=1, i"),
    ("cache-control", "no-cache"),
    ("accept-language", "de, en;q=0.5"),
    ("x-client-request-id", "0192-4b"),
    ("x-request-id", "of-the-user"),
    ("cookie", "session=of-the-user"),
    ("referer", "https://internal.example/page"),
    ("origin", "https://internal.example"),
    ("sec-fetch-mode", "cors"),
    ("sec-ch-ua", "\"Browser\";v=\"1\""),
    ("x-forwarded-for", "192.0.2.7, 198.51.100.2"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "192.0.2.7"),
    ("forwarded", "for=192.0.2.7"),
    ("via", "1.1 office-proxy"),
    ("cf-connecting-ip", "192.0.2.7"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("baggage", "user=1"),
    ("openai-organization", "org-of-the-user"),
    ("openai-project", "proj-of-the-user"),
    ("anthropic-user-profile-id", "profile-of-the-user"),
    ("weft-note", "of-the-user"),
];

/// What providers and the front ends before them send.
const OF_PROVIDERS: Lines = &[
    ("x-request-id", "req_of_the_provider"),
    ("request-id", "req_of_the_provider"),
    ("apim-request-id", "5f0c"),
    ("openai-processing-ms", "412"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-reset-tokens", "6m0s"),
    ("anthropic-ratelimit-tokens-reset", "2026-11-22T12:00:00Z"),
    ("retry-after", "2"),
    ("retry-after-ms", "1840"),
    ("x-should-retry", "true"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
    ("vary", "origin"),
    ("vary", "accept-encoding"),
    ("etag", "\"33a64df5\""),
    ("age", "0"),
    ("location", "https://elsewhere.example/"),
    ("link", "<https://elsewhere.example/>; rel=\"next\""),
    ("via", "1.1 google"),
    ("cf-ray", "8a5133e5b0c01234-FRA"),
    ("x-envoy-upstream-service-time", "7"),
    ("access-control-allow-origin", "*"),
    ("set-cookie", "__cf_bm=1; path=/"),
    ("set-cookie", "_cfuvid=2; path=/"),
    ("alt-svc", "h3=\":443\"; ma=86400"),
    ("server", "cloudflare"),
    ("strict-transport-security", "max-age=31536000"),
    ("nel", "{\"report_to\":\"cf-nel\"}"),
    ("report-to", "{\"group\":\"cf-nel\"}"),
    ("openai-organization", "org-of-the-owner"),
    ("openai-project", "proj-of-the-owner"),
    ("anthropic-organization-id", "51a7ed00"),
    ("weft-note", "of-the-provider"),
];

/// Lines of a request.
#[must_use]
pub(super) fn of_user(chance: &mut ChaCha8Rng) -> HeaderMap {
    drawn(OF_USERS, "x-ask", chance)
}

/// Lines of an answer. The date is there so that no server adds its own.
#[must_use]
pub(super) fn of_provider(chance: &mut ChaCha8Rng) -> HeaderMap {
    let mut fields = drawn(OF_PROVIDERS, "x-told", chance);
    fields.insert(http::header::DATE, HeaderValue::from_static("Sun, 22 Nov 2026 12:00:00 GMT"));
    fields
}

/// Trailers of an answer, with the line that declares them.
pub(super) fn trailers(chance: &mut ChaCha8Rng) -> (HeaderMap, HeaderValue) {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from(chance.random_range(0..u64::MAX)));
    trailers.append("x-note", HeaderValue::from_static("first"));
    trailers.append("x-note", HeaderValue::from_static("second"));
    (trailers, HeaderValue::from_static("x-checksum, x-note"))
}

fn drawn(lines: Lines, odd: &'static str, chance: &mut ChaCha8Rng) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let some = chance.random_range(1..=4_u32);
    for (name, value) in lines {
        if chance.random_range(0..some) == 0 {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    for number in 0..chance.random_range(0..4_u32) {
        let Ok(name) = HeaderName::try_from(format!("{odd}-{number}")) else { continue };
        for _ in 0..chance.random_range(1..=3_u32) {
            fields.append(name.clone(), odd_value(chance));
        }
    }
    if chance.random_range(0..LONG_EVERY) == 0 {
        let length = chance.random_range(4_096..=VALUE_BYTES_MAX);
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(format!("{odd}-long")), HeaderValue::try_from("l".repeat(length)))
        {
            fields.insert(name, value);
        }
    }
    fields
}

/// A value that the grammar allows: empty, short, spaced, or with any of its bytes.
fn odd_value(chance: &mut ChaCha8Rng) -> HeaderValue {
    let bytes: Vec<u8> = match chance.random_range(0..4_u32) {
        0 => Vec::new(),
        1 => b"a,b;c=\"d e\"\t f, , g".to_vec(),
        2 => (0x21..=0x7e).collect(),
        _ => {
            let count = chance.random_range(1..60_usize);
            (0..count).map(|_| chance.random_range(0x80..=0xff_u8)).collect()
        }
    };
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| HeaderValue::from_static("odd"))
}

/// The generator of one part of an exchange.
pub(super) fn chance(seed: u64, part: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
