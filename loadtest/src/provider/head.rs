//! Response heads as each provider sends them, with those a gateway must drop.
//!
//! Rate limits, request ids and timings are to pass; cookies, transport policy and whatever names
//! the key's owner are there so that a test can see them dropped.

use http::{HeaderMap, HeaderName, HeaderValue};
use weft_proto::provider::Provider;

/// The organisation that owns the simulated OpenAI account.
pub const OPENAI_ORGANIZATION: &str = "org-simulatedOwner01";
/// The organisation that owns the simulated Anthropic account.
pub const ANTHROPIC_ORGANIZATION: &str = "51a7ed00-0000-4000-8000-5105deadbeef";

type Fixed = &'static [(&'static str, &'static str)];

const TRANSPORT: Fixed = &[
    ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
    ("server", "cloudflare"),
    ("set-cookie", "__cf_bm=simulated; path=/; HttpOnly; Secure; SameSite=None"),
    ("set-cookie", "_cfuvid=simulated; path=/; HttpOnly; Secure; SameSite=None"),
    ("alt-svc", "h3=\":443\"; ma=86400"),
    ("cf-ray", "8a5133e5b0c01234-FRA"),
    ("cf-cache-status", "DYNAMIC"),
    ("nel", "{\"report_to\":\"cf-nel\",\"max_age\":604800}"),
    ("report-to", "{\"group\":\"cf-nel\",\"max_age\":604800,\"endpoints\":[]}"),
];

const OPENAI: Fixed = &[
    ("openai-organization", OPENAI_ORGANIZATION),
    ("openai-project", "proj_simulatedOwner01"),
    ("openai-version", "2020-10-01"),
    ("openai-processing-ms", "412"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-limit-tokens", "30000000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-remaining-tokens", "29999184"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-reset-tokens", "1ms"),
    ("x-content-type-options", "nosniff"),
];

const AZURE: Fixed = &[
    ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
    ("x-ms-region", "Sweden Central"),
    ("x-ms-rai-invoked", "true"),
    ("x-ms-deployment-name", "simulated"),
    ("x-ratelimit-limit-requests", "2500"),
    ("x-ratelimit-limit-tokens", "250000"),
    ("x-ratelimit-remaining-requests", "2499"),
    ("x-ratelimit-remaining-tokens", "249184"),
    ("x-ratelimit-reset-requests", "0"),
    ("x-ratelimit-reset-tokens", "0"),
    ("azureml-model-session", "v20261001-1"),
    ("x-content-type-options", "nosniff"),
];

const ANTHROPIC: Fixed = &[
    ("anthropic-organization-id", ANTHROPIC_ORGANIZATION),
    ("anthropic-ratelimit-requests-limit", "4000"),
    ("anthropic-ratelimit-requests-remaining", "3999"),
    ("anthropic-ratelimit-requests-reset", "2026-11-22T12:00:00Z"),
    ("anthropic-ratelimit-tokens-limit", "480000"),
    ("anthropic-ratelimit-tokens-remaining", "479000"),
    ("anthropic-ratelimit-tokens-reset", "2026-11-22T12:00:01Z"),
    ("anthropic-ratelimit-input-tokens-limit", "400000"),
    ("anthropic-ratelimit-input-tokens-remaining", "399000"),
    ("anthropic-ratelimit-input-tokens-reset", "2026-11-22T12:00:01Z"),
    ("anthropic-ratelimit-output-tokens-limit", "80000"),
    ("anthropic-ratelimit-output-tokens-remaining", "80000"),
    ("anthropic-ratelimit-output-tokens-reset", "2026-11-22T12:00:01Z"),
    ("via", "1.1 google"),
    ("x-robots-tag", "none"),
];

const DEEPSEEK: Fixed = &[
    ("vary", "origin, access-control-request-method, access-control-request-headers"),
    ("access-control-allow-credentials", "true"),
    ("x-content-type-options", "nosniff"),
];

/// The provider's own id for the request numbered `seq`.
pub(crate) fn request_id(provider: Provider, seq: u64) -> String {
    match provider {
        Provider::OpenAi => format!("req_{seq:032x}"),
        Provider::Azure => format!("51a7ed00-0000-4000-8000-{seq:012x}"),
        Provider::Anthropic => format!("req_011C{seq:020x}"),
        Provider::DeepSeek => format!("{seq:032x}"),
    }
}

/// The head's fields for `provider`, without those that describe the body.
pub(crate) fn fields(provider: Provider, request_id: &str) -> HeaderMap {
    let (tables, id_names): (&[Fixed], &[&'static str]) = match provider {
        Provider::OpenAi => (&[OPENAI, TRANSPORT], &["x-request-id"]),
        Provider::Azure => (&[AZURE], &["apim-request-id", "x-request-id"]),
        Provider::Anthropic => (&[ANTHROPIC, TRANSPORT], &["request-id"]),
        Provider::DeepSeek => (&[DEEPSEEK, TRANSPORT], &["x-ds-trace-id"]),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in tables.iter().flat_map(|table| table.iter()) {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        for name in id_names {
            headers.insert(HeaderName::from_static(name), id.clone());
        }
    }
    headers
}
