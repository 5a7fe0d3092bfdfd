//! Which provider's API a path means: the users' paths, mapped to the providers' own.
//!
//! | path | means |
//! |---|---|
//! | `/openai/deployments/…`, or `/openai/…` with `api-version` or an `api-key` header | Azure |
//! | `/openai/v1/…` | OpenAI, without the prefix |
//! | `/azure/…` `/anthropic/…` `/deepseek/…` | that provider, without the prefix |
//! | `/v1/messages…`, and `/v1/files…` with Anthropic's headers | Anthropic |
//! | `/v1/models` | the hub's own list, Anthropic-shaped for Anthropic's headers |
//! | `/chat/completions` | DeepSeek, whose SDK settings name no `/v1` |
//! | other `/v1/…` | OpenAI, or DeepSeek for `deepseek-*` models |
//!
//! `weft-provider` names the provider where a path of the last row should go elsewhere.
//!
//! A path that is a WebSocket at its provider is one here, over HTTP/1.1 alone: the door offers no
//! extended CONNECT (RFC 8441, RFC 9220), so a client that has the choice opens a connection of its own for it,
//! as all clients do today. Asked for in any other way, it is a 426 that says what is wanted.

use super::listing::Listing;
use crate::exchange::Ask;
use crate::exchange::refusal::Refusal;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Version};
use weft_proto::provider::{Dialect, Provider};
use weft_proto::tables::headers::limits;
use weft_proto::tables::routes::{self, ObjectUse, Reason, RouteKind, RouteRefused};
use weft_proto::tables::target::{Target, TargetRefused};
use weft_proto::websocket::handshake;

/// Names the provider where the path leaves it open.
const PROVIDER_HEADER: HeaderName = HeaderName::from_static("weft-provider");

const API_KEY: HeaderName = HeaderName::from_static("api-key");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Surface {
    /// A provider's answer, through an agent.
    Relay {
        /// One, or a second for `deepseek-*` models.
        asks: Vec<Ask>,
        /// The shape in which the caller expects errors.
        dialect: Dialect,
    },
    /// The same, over a WebSocket that the request opens.
    WebSocket {
        /// One, or a second for `deepseek-*` models.
        asks: Vec<Ask>,
        /// The shape in which the caller expects errors.
        dialect: Dialect,
    },
    /// A path that is spoken over a WebSocket, asked for without one, or not in due form.
    UpgradeRequired {
        /// What is missing.
        refusal: Refusal,
        /// The shape in which the caller expects it.
        dialect: Dialect,
    },
    /// The caller's own objects.
    Objects {
        /// Which list.
        listing: Listing,
        /// Path and query at the provider; the query says which part.
        target: Target,
    },
    /// The hub's list of models, or one entry of it.
    Models {
        /// Whose models.
        providers: Vec<Provider>,
        /// The one model asked for.
        only: Option<String>,
        /// The shape of the list.
        dialect: Dialect,
    },
}

/// A request that no path takes.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) refusal: Refusal,
    pub(super) dialect: Dialect,
    /// The methods that the path takes.
    pub(super) allow: Vec<Method>,
}

/// Finds what a request's head asks for.
pub(super) fn of(head: &Parts) -> Result<Surface, Unanswered> {
    let (method, uri, headers) = (&head.method, &head.uri, &head.headers);
    let guess = guess_dialect(uri.path(), headers);
    head_is_plain(head).map_err(|refusal| Unanswered {
        refusal,
        dialect: guess,
        allow: Vec::new(),
    })?;
    let text = uri.path_and_query().map_or("/", |target| target.as_str());
    let target = Target::parse(text).map_err(|refused| Unanswered {
        refusal: refused_target(refused),
        dialect: guess,
        allow: Vec::new(),
    })?;
    let named = named_provider(headers).map_err(|refusal| Unanswered {
        refusal,
        dialect: guess,
        allow: Vec::new(),
    })?;
    let places = places(&target, headers, named);
    let mut asks = Vec::with_capacity(places.len());
    let mut first_refusal = None;
    for (provider, path) in places {
        match ask(method, provider, &path) {
            Ok(ask) => asks.push(ask),
            Err(refused) => {
                first_refusal.get_or_insert(refused);
            }
        }
    }
    let Some(first) = asks.first() else {
        let (refusal, dialect, allow) = first_refusal.unwrap_or_else(|| {
            let refusal = Refusal::not_found("unknown_path", "no provider has this path here");
            (refusal, guess, Vec::new())
        });
        return Err(Unanswered { refusal, dialect, allow });
    };
    let dialect = routes::dialect(first.provider, first.target.path());
    match first.route.route.kind {
        RouteKind::Relay => Ok(Surface::Relay { asks, dialect }),
        RouteKind::WebSocket => match handshake::check(headers) {
            Err(missing) => {
                let refusal = Refusal::websocket(missing.to_string());
                Ok(Surface::UpgradeRequired { refusal, dialect })
            }
            // Two servers could read such a body as the beginning of the WebSocket.
            Ok(()) if announces_body(headers) => {
                let refusal = Refusal::malformed("upgrade_body", "an upgrade has no body");
                Err(Unanswered { refusal, dialect, allow: Vec::new() })
            }
            Ok(()) => Ok(Surface::WebSocket { asks, dialect }),
        },
        RouteKind::ListedByHub => match first.route.route.objects {
            ObjectUse::Lists(kind) => Ok(Surface::Objects {
                listing: Listing { provider: first.provider, kind, dialect },
                target: first.target.clone(),
            }),
            ObjectUse::None | ObjectUse::Makes(_) | ObjectUse::Reads | ObjectUse::Deletes => {
                let refusal = Refusal::not_found("unknown_path", "nothing is listed here");
                Err(Unanswered { refusal, dialect, allow: Vec::new() })
            }
        },
        RouteKind::MadeByHub => {
            // With either credential: no client of OpenAI's sends it.
            let anthropic = headers.contains_key(ANTHROPIC_VERSION);
            let bare = target.path().starts_with("/v1/");
            let only = first.route.param("model").map(str::to_owned);
            let (providers, dialect) = match (bare, anthropic) {
                (true, true) => (vec![Provider::Anthropic], Dialect::Anthropic),
                (true, false) => (asks.iter().map(|ask| ask.provider).collect(), Dialect::OpenAi),
                (false, _) => (vec![first.provider], dialect),
            };
            Ok(Surface::Models { providers, only, dialect })
        }
    }
}

/// The provider's paths that `target` may mean, the likeliest first.
fn places(
    target: &Target,
    headers: &HeaderMap,
    named: Option<Provider>,
) -> Vec<(Provider, String)> {
    let text = target.as_str();
    let without = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
    let azure = target.path().starts_with("/openai/deployments/")
        || target.query_value("api-version").is_some()
        || headers.contains_key(API_KEY);
    if text.starts_with("/openai/") {
        return if azure {
            vec![(Provider::Azure, text.to_owned())]
        } else {
            without("/openai").map(|path| (Provider::OpenAi, path)).into_iter().collect()
        };
    }
    for (prefix, provider) in [
        ("/azure/", Provider::Azure),
        ("/anthropic/", Provider::Anthropic),
        ("/deepseek/", Provider::DeepSeek),
    ] {
        if text.starts_with(prefix) {
            // The slash stays: it begins the provider's own path.
            let path = without(&prefix[..prefix.len() - 1]);
            return path.map(|path| (provider, path)).into_iter().collect();
        }
    }
    if let Some(provider) = named {
        return vec![(provider, text.to_owned())];
    }
    let under = |stem: &str| {
        let rest = target.path().strip_prefix(stem);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if under("/v1/messages") || (under("/v1/files") && headers.contains_key(ANTHROPIC_VERSION)) {
        return vec![(Provider::Anthropic, text.to_owned())];
    }
    if text.starts_with("/v1/") {
        return vec![(Provider::OpenAi, text.to_owned()), (Provider::DeepSeek, text.to_owned())];
    }
    vec![(Provider::DeepSeek, text.to_owned())]
}

fn ask(
    method: &Method,
    provider: Provider,
    path: &str,
) -> Result<Ask, (Refusal, Dialect, Vec<Method>)> {
    let dialect = routes::dialect(provider, path);
    let target =
        Target::parse(path).map_err(|refused| (refused_target(refused), dialect, Vec::new()))?;
    match routes::find(provider, method, target.path()) {
        Ok(route) => Ok(Ask { provider, target, route }),
        Err(refused) => {
            let message = refused.to_string();
            Err(match refused {
                RouteRefused::Unknown { .. } => {
                    (Refusal::not_found("unknown_path", message), dialect, Vec::new())
                }
                RouteRefused::MethodNotAllowed { allow } => (Refusal::method(), dialect, allow),
                RouteRefused::Forbidden(Reason::WebSocket) => {
                    (Refusal::websocket(message), dialect, Vec::new())
                }
                RouteRefused::Forbidden(_) => {
                    (Refusal::forbidden("forbidden_path", message), dialect, Vec::new())
                }
            })
        }
    }
}

/// Refuses heads beyond the limits, and those that two servers could cut in two places.
fn head_is_plain(head: &Parts) -> Result<(), Refusal> {
    if head.version < Version::HTTP_11 {
        return Err(Refusal::http_version());
    }
    let headers = &head.headers;
    limits::check(headers).map_err(|error| Refusal::head_too_large(error.to_string()))?;
    // Over HTTP/2 and HTTP/3 every request has an authority; over HTTP/1.1 it is a proxy that is asked so.
    if head.version == Version::HTTP_11 && head.uri.authority().is_some() {
        return Err(refused_target(TargetRefused::NotOriginForm));
    }
    if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
        let message = "a request has a content-length or a transfer-encoding, not both";
        return Err(Refusal::malformed("body_length", message));
    }
    Ok(())
}

fn announces_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0")
}

fn named_provider(headers: &HeaderMap) -> Result<Option<Provider>, Refusal> {
    let Some(value) = headers.get(PROVIDER_HEADER) else {
        return Ok(None);
    };
    let provider = value.to_str().ok().and_then(|text| text.parse().ok());
    let unknown = || {
        let names = Provider::ALL.map(Provider::name).join(", ");
        Refusal::malformed("provider", format!("{PROVIDER_HEADER} wants one of {names}"))
    };
    provider.ok_or_else(unknown).map(Some)
}

fn refused_target(refused: TargetRefused) -> Refusal {
    let cause = match refused {
        TargetRefused::KeyInQuery => "key_in_query",
        TargetRefused::TooLong
        | TargetRefused::NotOriginForm
        | TargetRefused::ForbiddenCharacter
        | TargetRefused::Fragment
        | TargetRefused::Backslash
        | TargetRefused::DotSegment
        | TargetRefused::EmptySegment
        | TargetRefused::BrokenEncoding
        | TargetRefused::DeceptiveEncoding => "request_target",
    };
    Refusal::malformed(cause, refused.to_string())
}

/// The dialect of a request that no route took: by its path, else by its headers.
fn guess_dialect(path: &str, headers: &HeaderMap) -> Dialect {
    let anthropic = path.starts_with("/v1/messages")
        || path.starts_with("/anthropic/")
        || path.starts_with("/deepseek/anthropic/")
        || headers.contains_key(ANTHROPIC_VERSION);
    if anthropic { Dialect::Anthropic } else { Dialect::OpenAi }
}

#[cfg(test)]
mod tests;
