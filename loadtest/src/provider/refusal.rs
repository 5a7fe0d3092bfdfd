//! Refusals in the words of each provider: status, body and the headers that go with it.
//!
//! They name what real ones name (a fragment of the key, the organisation), so that a gateway
//! which must not pass that on can be caught at it.

use super::control::Fault;
use super::credential::fragment;
use super::head::{ANTHROPIC_ORGANIZATION, OPENAI_ORGANIZATION};
use serde_json::{Value, json};
use weft_proto::provider::{Dialect, Provider};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed(String),
    Unparsed,
    Unauthorized,
    NoCredential,
    PaymentRequired,
    Forbidden,
    NotFound,
    NoSuchModel,
    NoSuchObject { status: u16, message: String, param: &'static str },
    TooLarge,
    RateLimited,
    QuotaExceeded,
    Internal,
    Unavailable,
    Overloaded,
    ContentFilter,
}

impl Refusal {
    /// The refusal that a fault asks for; nothing for faults of another kind.
    pub(crate) fn of(fault: Fault) -> Option<Self> {
        match fault {
            Fault::BadRequest => Some(Self::Unparsed),
            Fault::Unauthorized => Some(Self::Unauthorized),
            Fault::PaymentRequired => Some(Self::PaymentRequired),
            Fault::Forbidden => Some(Self::Forbidden),
            Fault::RateLimited => Some(Self::RateLimited),
            Fault::QuotaExceeded => Some(Self::QuotaExceeded),
            Fault::Internal => Some(Self::Internal),
            Fault::Unavailable => Some(Self::Unavailable),
            Fault::Overloaded => Some(Self::Overloaded),
            Fault::ContentFilter => Some(Self::ContentFilter),
            Fault::Early => Some(Self::TooLarge),
            Fault::Cut
            | Fault::CutLength
            | Fault::Stall
            | Fault::StallHead
            | Fault::Reset
            | Fault::ResetHead
            | Fault::CloseHead
            | Fault::ErrorEvent => None,
        }
    }

    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Unparsed | Self::ContentFilter => 400,
            Self::Unauthorized | Self::NoCredential => 401,
            Self::PaymentRequired => 402,
            Self::Forbidden => 403,
            Self::NotFound | Self::NoSuchModel => 404,
            Self::NoSuchObject { status, .. } => *status,
            Self::TooLarge => 413,
            Self::RateLimited | Self::QuotaExceeded => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::Overloaded => 529,
        }
    }

    /// Headers beyond the ordinary ones of the provider.
    pub(crate) fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::RateLimited => &[("retry-after", "2"), ("retry-after-ms", "1840")],
            Self::Unavailable => &[("retry-after", "1")],
            Self::Overloaded => &[("retry-after", "1"), ("x-should-retry", "true")],
            Self::Malformed(_)
            | Self::Unparsed
            | Self::PaymentRequired
            | Self::QuotaExceeded
            | Self::Unauthorized
            | Self::NoCredential
            | Self::Forbidden
            | Self::NotFound
            | Self::NoSuchModel
            | Self::NoSuchObject { .. }
            | Self::TooLarge
            | Self::Internal
            | Self::ContentFilter => &[],
        }
    }
}

/// What a refusal may mention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) provider: Provider,
    pub(crate) dialect: Dialect,
    pub(crate) model: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) request_id: &'a str,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
}

/// The body of `refusal`.
pub(crate) fn body(refusal: &Refusal, about: About<'_>) -> Value {
    match about.dialect {
        Dialect::Anthropic => anthropic(refusal, about),
        Dialect::OpenAi => match about.provider {
            Provider::Azure => azure(refusal, about),
            Provider::DeepSeek => deepseek(refusal, about),
            Provider::OpenAi | Provider::Anthropic => openai(refusal, about),
        },
    }
}

fn shaped(message: String, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
}

fn openai(refusal: &Refusal, about: About<'_>) -> Value {
    let About { model, request_id, method, target, .. } = about;
    let invalid = "invalid_request_error";
    match refusal {
        Refusal::Malformed(message) => shaped(message.clone(), invalid, None, None),
        Refusal::Unparsed => shaped("We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)".to_owned(), invalid, None, None),
        Refusal::NoCredential => shaped("You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).".to_owned(), invalid, None, None),
        Refusal::Unauthorized => {
            let quoted = fragment(about.key.unwrap_or_default());
            shaped(format!("Incorrect API key provided: {quoted}. You can find your API key at https://platform.openai.com/account/api-keys."), invalid, None, Some("invalid_api_key"))
        }
        Refusal::PaymentRequired => shaped("Your account has run out of credits.".to_owned(), "billing_error", None, Some("billing_hard_limit_reached")),
        Refusal::Forbidden => shaped("Country, region, or territory not supported".to_owned(), "request_forbidden", None, Some("unsupported_country_region_territory")),
        Refusal::NotFound => shaped(format!("Invalid URL ({method} {target})"), invalid, None, None),
        Refusal::NoSuchModel => shaped(format!("The model `{model}` does not exist or you do not have access to it."), invalid, Some("model"), Some("model_not_found")),
        Refusal::NoSuchObject { message, param, .. } => shaped(message.clone(), invalid, Some(*param), None),
        Refusal::TooLarge => shaped("Maximum content size limit exceeded.".to_owned(), "server_error", None, None),
        Refusal::RateLimited => shaped(format!("Rate limit reached for {model} in organization {OPENAI_ORGANIZATION} on tokens per min (TPM): Limit 30000, Used 29310, Requested 1610. Please try again in 1.84s. Visit https://platform.openai.com/account/rate-limits to learn more."), "tokens", None, Some("rate_limit_exceeded")),
        Refusal::QuotaExceeded => shaped("You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.".to_owned(), "insufficient_quota", None, Some("insufficient_quota")),
        Refusal::Internal => shaped(format!("The server had an error while processing your request. Sorry about that! (request ID {request_id})"), "server_error", None, None),
        Refusal::Unavailable | Refusal::Overloaded => shaped("The engine is currently overloaded, please try again later".to_owned(), "server_error", None, Some("server_overloaded")),
        Refusal::ContentFilter => shaped("Your request was rejected as a result of our safety system.".to_owned(), invalid, None, Some("content_policy_violation")),
    }
}

fn azure(refusal: &Refusal, about: About<'_>) -> Value {
    let short =
        |code: &str, message: &str| json!({ "error": { "code": code, "message": message } });
    match refusal {
        Refusal::Unauthorized | Refusal::NoCredential => short(
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.",
        ),
        Refusal::NotFound => short("404", "Resource not found"),
        Refusal::NoSuchModel => short(
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.",
        ),
        Refusal::RateLimited => short(
            "429",
            "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 2 seconds.",
        ),
        Refusal::ContentFilter => json!({ "error": {
            "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.",
            "type": null, "param": "prompt", "code": "content_filter", "status": 400,
            "innererror": { "code": "ResponsibleAIPolicyViolation", "content_filter_result": {
                "hate": { "filtered": false, "severity": "safe" },
                "jailbreak": { "filtered": false, "detected": false },
                "self_harm": { "filtered": false, "severity": "safe" },
                "sexual": { "filtered": false, "severity": "safe" },
                "violence": { "filtered": true, "severity": "medium" },
            } },
        } }),
        Refusal::Malformed(_)
        | Refusal::Unparsed
        | Refusal::NoSuchObject { .. }
        | Refusal::PaymentRequired
        | Refusal::Forbidden
        | Refusal::TooLarge
        | Refusal::QuotaExceeded
        | Refusal::Internal
        | Refusal::Unavailable
        | Refusal::Overloaded => openai(refusal, about),
    }
}

fn deepseek(refusal: &Refusal, about: About<'_>) -> Value {
    let code = Some("invalid_request_error");
    match refusal {
        Refusal::Unauthorized | Refusal::NoCredential => {
            let key: Vec<char> = about.key.unwrap_or_default().chars().collect();
            let tail: String = if key.len() < 12 { String::new() } else { key[key.len() - 4..].iter().collect() };
            shaped(format!("Authentication Fails, Your api key: ****{tail} is invalid"), "authentication_error", None, code)
        }
        Refusal::PaymentRequired => shaped("Insufficient Balance".to_owned(), "unknown_error", None, code),
        Refusal::NoSuchModel => shaped("Model Not Exist".to_owned(), "invalid_request_error", None, code),
        Refusal::RateLimited => shaped("Rate limit reached: too many concurrent requests for this account".to_owned(), "rate_limit_error", None, Some("rate_limit_reached")),
        Refusal::Unavailable | Refusal::Overloaded => shaped("Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.".to_owned(), "service_unavailable_error", None, Some("service_unavailable_error")),
        Refusal::Malformed(_)
        | Refusal::Unparsed
        | Refusal::Forbidden
        | Refusal::NotFound
        | Refusal::NoSuchObject { .. }
        | Refusal::TooLarge
        | Refusal::QuotaExceeded
        | Refusal::Internal
        | Refusal::ContentFilter => openai(refusal, about),
    }
}

fn anthropic(refusal: &Refusal, about: About<'_>) -> Value {
    let (kind, message) = match refusal {
        Refusal::Malformed(message) => ("invalid_request_error", message.clone()),
        Refusal::Unparsed => ("invalid_request_error", "max_tokens: Field required".to_owned()),
        Refusal::NoCredential => ("authentication_error", "x-api-key header is required".to_owned()),
        Refusal::Unauthorized => ("authentication_error", "invalid x-api-key".to_owned()),
        Refusal::PaymentRequired => ("billing_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.".to_owned()),
        Refusal::Forbidden => ("forbidden", "Request not allowed".to_owned()),
        Refusal::NotFound => ("not_found_error", "Not found".to_owned()),
        Refusal::NoSuchModel => ("not_found_error", format!("model: {}", about.model)),
        Refusal::NoSuchObject { message, .. } => ("not_found_error", message.clone()),
        Refusal::TooLarge => ("request_too_large", "Request exceeds the maximum size".to_owned()),
        Refusal::RateLimited => ("rate_limit_error", format!("This request would exceed your organization's rate limit of 30,000 input tokens per minute (org: {ANTHROPIC_ORGANIZATION}, model: {}). For details, refer to: https://docs.claude.com/en/api/rate-limits.", about.model)),
        Refusal::QuotaExceeded => ("rate_limit_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.".to_owned()),
        Refusal::Internal => ("api_error", "Internal server error".to_owned()),
        Refusal::Unavailable => ("api_error", "Service unavailable".to_owned()),
        Refusal::Overloaded => ("overloaded_error", "Overloaded".to_owned()),
        Refusal::ContentFilter => ("invalid_request_error", "Output blocked by content filtering policy".to_owned()),
    };
    json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": about.request_id,
    })
}
