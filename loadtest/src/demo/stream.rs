//! One completion, streamed from the hub's HTTPS to the terminal as it comes.

use super::show::Screen;
use super::source::Account;
use crate::mesh::caller::full;
use crate::mesh::{Caller, Version};
use anyhow::{Context, bail};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use weft_proto::provider::{Dialect, Provider};

/// How long the first completion may take to begin: a real provider may queue it.
const BEGIN_MAX: Duration = Duration::from_secs(120);
/// How long it may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Tokens that are asked for.
const TOKENS_MAX: u32 = 160;
/// Bytes of one event; a longer one is not a completion's.
const EVENT_BYTES_MAX: usize = 256 * 1_024;
/// Bytes of an error's body that are shown.
const ERROR_BYTES_MAX: usize = 8 * 1_024;

/// The path for a chat with `account`, and the dialect it speaks.
pub(super) fn chat_path(account: &Account) -> (String, Dialect) {
    match account.provider {
        Provider::OpenAi | Provider::DeepSeek => ("/v1/chat/completions".into(), Dialect::OpenAi),
        Provider::Azure => (
            format!(
                "/openai/deployments/{}/chat/completions?api-version=2024-10-21",
                account.model
            ),
            Dialect::OpenAi,
        ),
        Provider::Anthropic => ("/v1/messages".into(), Dialect::Anthropic),
    }
}

/// Asks `prompt` of `account` and shows the answer as it comes.
pub(super) async fn completion(
    caller: &Caller,
    account: &Account,
    key: &str,
    prompt: &str,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let (path, dialect) = chat_path(account);
    let body = json!({
        "model": account.model, "max_tokens": TOKENS_MAX, "stream": true,
        "messages": [{"role": "user", "content": prompt}],
    });
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/json");
    request = match account.provider {
        Provider::OpenAi | Provider::DeepSeek => {
            request.header("authorization", format!("Bearer {key}"))
        }
        Provider::Azure => request.header("api-key", key),
        Provider::Anthropic => {
            request.header("x-api-key", key).header("anthropic-version", "2023-06-01")
        }
    };
    let request = request.body(full(body.to_string()))?;

    screen.asked(prompt)?;
    let began = Instant::now();
    let mut connection = caller.connect(Version::H1).await?;
    let response = tokio::time::timeout(BEGIN_MAX, connection.send(request))
        .await
        .context("the provider did not begin to answer")??;
    if response.status() != StatusCode::OK {
        let status = response.status();
        let body = Limited::new(response.into_body(), ERROR_BYTES_MAX).collect().await;
        let text = body.map(|body| body.to_bytes()).unwrap_or_default();
        bail!("the answer was {status}: {}", String::from_utf8_lossy(&text));
    }
    let mut body = response.into_body();
    let mut events = Events::default();
    let (mut first, mut count, mut bytes) = (None, 0_u64, 0_u64);
    while let Some(frame) =
        tokio::time::timeout(SILENCE_MAX, body.frame()).await.context("the answer fell silent")?
    {
        let Ok(data) = frame.context("the answer broke off")?.into_data() else {
            continue;
        };
        bytes += data.len() as u64;
        for event in events.feed(&data)? {
            if let Some(text) = text_of(&event, dialect)? {
                first.get_or_insert_with(|| began.elapsed());
                count += 1;
                screen.token(&text)?;
            }
        }
    }
    screen.answered(count, bytes, first.unwrap_or_default(), began.elapsed())
}

/// The text that an event adds; an error event is an error.
fn text_of(event: &Value, dialect: Dialect) -> anyhow::Result<Option<String>> {
    if !event["error"].is_null() {
        bail!("an error came in the stream: {}", event["error"]);
    }
    let text = match dialect {
        Dialect::OpenAi => &event["choices"][0]["delta"]["content"],
        Dialect::Anthropic => &event["delta"]["text"],
    };
    Ok(text.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
}

/// Cuts a stream into the documents of its `data:` lines.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
}

impl Events {
    fn feed(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > EVENT_BYTES_MAX {
                    bail!("an event of more than {EVENT_BYTES_MAX} bytes");
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if let Some(data) = line.strip_prefix(b"data:") {
                found.extend(serde_json::from_slice::<Value>(data));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_wherever_the_bytes_are_split() {
        let stream =
            "data: {\"choices\":[{\"delta\":{\"content\":\"naïve\"}}]}\r\n\n: c\ndata: [DONE]\n\n";
        let mut events = Events::default();
        let mut found = Vec::new();
        for byte in stream.as_bytes() {
            found.extend(events.feed(&[*byte]).unwrap());
        }
        assert_eq!(found.len(), 1);
        let text = text_of(&found[0], Dialect::OpenAi).unwrap();
        assert_eq!(text.as_deref(), Some("naïve"));
    }

    #[test]
    fn an_error_event_is_an_error() {
        let event = json!({"type": "error", "error": {"type": "overloaded_error"}});
        assert!(text_of(&event, Dialect::Anthropic).is_err());
    }
}
