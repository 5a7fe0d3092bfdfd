//! Which provider and which endpoint a request means.
//!
//! One address plays all four providers, so the path decides, then the headers, then the model.

use super::objects::call::{self, Call};
use http::request::Parts;
use http::{HeaderMap, Method};
use std::borrow::Cow;
use weft_proto::provider::{Dialect, Provider};

/// An endpoint that is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Responses,
    Messages,
    CountTokens,
    Embeddings,
    Models,
    Model(String),
    Images,
    ImageEdits,
    Transcriptions,
    Translations,
    Speech,
    Balance,
    /// A WebSocket.
    Realtime,
    /// What lives at the provider.
    Object(Call),
}

/// A provider's endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) provider: Provider,
    /// Nothing where the path is unknown.
    pub(crate) endpoint: Option<Endpoint>,
    /// Azure's deployment, from the path.
    pub(crate) deployment: Option<String>,
}

impl Route {
    /// What the head tells.
    pub(crate) fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        let azure = |rest: &str| {
            let (deployment, tail) = match rest.strip_prefix("deployments/") {
                Some(named) => match named.split_once('/') {
                    Some((deployment, tail)) => (Some(unescaped(deployment).into_owned()), tail),
                    None => (None, ""),
                },
                None => (None, rest.strip_prefix("v1/").unwrap_or(rest)),
            };
            let endpoint = endpoint(&head.method, tail);
            Self { provider: Provider::Azure, endpoint, deployment }
        };
        if let Some(rest) = path.strip_prefix("/openai/") {
            return azure(rest);
        }
        let (provider, tail) = if let Some(rest) = path.strip_prefix("/anthropic/v1/") {
            (Provider::DeepSeek, rest)
        } else if let Some(rest) = path.strip_prefix("/v1/") {
            (by_headers(&head.headers, rest), rest)
        } else if let Some(rest) = path.strip_prefix("/beta/") {
            (Provider::DeepSeek, rest)
        } else {
            (Provider::DeepSeek, path.strip_prefix('/').unwrap_or(path))
        };
        Self { provider, endpoint: endpoint(&head.method, tail), deployment: None }
    }

    /// The same with what the body and the control tell.
    pub(crate) fn refined(mut self, model: Option<&str>, told: Option<Provider>) -> Self {
        let both = matches!(self.endpoint, Some(Endpoint::Chat | Endpoint::Responses));
        let deepseek = model.is_some_and(|model| model.starts_with("deepseek"));
        if self.provider == Provider::OpenAi && both && deepseek {
            self.provider = Provider::DeepSeek;
        }
        self.provider = told.unwrap_or(self.provider);
        self
    }

    /// The shape of errors on this route.
    pub(crate) fn dialect(&self) -> Dialect {
        match (&self.endpoint, self.provider) {
            (Some(Endpoint::Messages | Endpoint::CountTokens), _) | (_, Provider::Anthropic) => {
                Dialect::Anthropic
            }
            (_, Provider::OpenAi | Provider::Azure | Provider::DeepSeek) => Dialect::OpenAi,
        }
    }
}

fn by_headers(headers: &HeaderMap, rest: &str) -> Provider {
    let anthropic = headers.contains_key("anthropic-version") || headers.contains_key("x-api-key");
    if anthropic || rest == "messages" || rest.starts_with("messages/") {
        Provider::Anthropic
    } else if headers.contains_key("api-key") {
        Provider::Azure
    } else {
        Provider::OpenAi
    }
}

fn endpoint(method: &Method, tail: &str) -> Option<Endpoint> {
    // A HEAD is a GET whose body nobody sends.
    let get = *method == Method::GET || *method == Method::HEAD;
    let post = *method == Method::POST;
    if let Some(call) = call::of(method, tail) {
        return Some(Endpoint::Object(call));
    }
    Some(match tail {
        "chat/completions" if post => Endpoint::Chat,
        "responses" if post => Endpoint::Responses,
        "messages" if post => Endpoint::Messages,
        "messages/count_tokens" if post => Endpoint::CountTokens,
        "embeddings" if post => Endpoint::Embeddings,
        "images/generations" if post => Endpoint::Images,
        "images/edits" if post => Endpoint::ImageEdits,
        "audio/transcriptions" if post => Endpoint::Transcriptions,
        "audio/translations" if post => Endpoint::Translations,
        "audio/speech" if post => Endpoint::Speech,
        "user/balance" if get => Endpoint::Balance,
        "realtime" if get => Endpoint::Realtime,
        "models" if get => Endpoint::Models,
        _ if get => Endpoint::Model(unescaped(tail.strip_prefix("models/")?).into_owned()),
        _ => return None,
    })
}

/// `text` with `%XX` undone; as it is where that gives no UTF-8.
pub(crate) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = text_of(tail.get(..2)).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, escape) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (byte, _) => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn text_of(bytes: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

/// The value of a query parameter, undone.
pub(crate) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| unescaped(value))
    })
}
