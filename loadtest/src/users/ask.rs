//! What is sent: the request of each kind, made once and sent again and again.
//!
//! The simulated provider is told what to answer by a header or in the model's name; a real one
//! ignores the first and is not told the second.

use super::body::Load;
use super::key::Key;
use super::kind::{Kind, Millis, Pace, Work};
use super::settings::{Dialect, Http, Settings, Sim};
use super::target::Target;
use crate::provider::CONTROL_HEADER;
use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// The version of its API that Anthropic wants to be named.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// What a document has around its text, or so, in bytes.
const ENVELOPE_BYTES: u32 = 640;
/// What a question has around its text, likewise.
const QUESTION_BYTES: u32 = 160;
/// How a PNG file begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Base64 has so many characters for each three bytes.
const QUANTUM: usize = 4;
/// Where an image is put into its question.
const IMAGE: &str = "<image>";

/// What a request is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To learn what is answered, as fast as it comes.
    Probe,
    /// To learn how fast it comes.
    Pace,
    /// To be measured.
    Run,
}

/// Makes requests.
#[derive(Debug)]
pub(super) struct Composer<'a> {
    settings: &'a Settings,
    target: &'a Target,
    key: &'a Key,
    http: Http,
    image: Bytes,
}

impl<'a> Composer<'a> {
    /// Requests to `target` over `http`, with this key.
    pub(super) fn new(
        settings: &'a Settings,
        target: &'a Target,
        http: Http,
        key: &'a Key,
    ) -> Self {
        let largest = settings.kinds.iter().map(|kind| match kind.work {
            Work::Upload { to, .. } => to,
            Work::Stream { .. }
            | Work::Json { .. }
            | Work::Embeddings { .. }
            | Work::Websocket { .. } => 0,
        });
        let largest = usize::try_from(largest.max().unwrap_or_default()).unwrap_or(usize::MAX);
        Self { settings, target, key, http, image: image(settings.seed, largest) }
    }

    /// How many variants `kind` has.
    pub(super) const fn variants(kind: &Kind) -> usize {
        match kind.work {
            Work::Upload { from, to, variants } if from < to => variants as usize,
            Work::Upload { .. }
            | Work::Stream { .. }
            | Work::Json { .. }
            | Work::Embeddings { .. }
            | Work::Websocket { .. } => 1,
        }
    }

    /// The request of `kind`'s variant.
    ///
    /// # Errors
    /// Where a setting cannot stand in a header.
    pub(super) fn request(
        &self,
        kind: &Kind,
        variant: usize,
        purpose: Purpose,
    ) -> anyhow::Result<Request<Load>> {
        let control = self.control(kind, purpose);
        let in_name = self.settings.sim == Sim::Model && !control.is_empty();
        let model = |name: &str| {
            if in_name { format!("{name}[{}]", control.replace(';', ",")) } else { name.to_owned() }
        };
        let chat = match self.settings.dialect {
            Dialect::Openai => "/v1/chat/completions",
            Dialect::Anthropic => "/v1/messages",
        };
        let (path, load) = match kind.work {
            Work::Stream { .. } => {
                let question = "Tell me in a few words how a bridge carries its load.";
                let body = self.chat(&model(&self.settings.model), true, json!(question));
                (chat, Load::whole(body.to_string()))
            }
            Work::Json { bytes } => {
                let length = bytes.saturating_sub(QUESTION_BYTES).max(16) as usize;
                let question = "How does a bridge carry its load? ".repeat(length / 34 + 1);
                let body =
                    self.chat(&model(&self.settings.model), false, json!(question[..length]));
                (chat, Load::whole(body.to_string()))
            }
            Work::Embeddings { inputs } => {
                let texts: Vec<_> = (0..inputs).map(|input| format!("Text {input}.")).collect();
                let body = json!({"model": model(&self.settings.embedding_model), "input": texts});
                ("/v1/embeddings", Load::whole(body.to_string()))
            }
            Work::Upload { .. } => {
                (chat, self.upload(&model(&self.settings.model), size(kind, variant)))
            }
            Work::Websocket { .. } => anyhow::bail!("a WebSocket is no such request"),
        };
        let mut request = Request::new(Load::default());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(path)?;
        let headers = request.headers_mut();
        self.headers(headers)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(load.left()));
        if self.settings.sim == Sim::Header && !control.is_empty() {
            let name = HeaderName::from_static(CONTROL_HEADER);
            headers.insert(name, HeaderValue::try_from(control).context("--sim-more")?);
        }
        *request.body_mut() = load;
        Ok(request)
    }

    /// The target of a WebSocket: path and query.
    pub(super) fn realtime(&self) -> String {
        format!("{}?model={}", self.target.path("/v1/realtime"), self.settings.realtime_model)
    }

    /// The headers that every request has.
    ///
    /// # Errors
    /// Where the target's name cannot stand in a header.
    pub(super) fn headers(&self, headers: &mut HeaderMap) -> anyhow::Result<()> {
        match self.settings.dialect {
            Dialect::Openai => {
                headers.insert(AUTHORIZATION, self.key.bearer.clone());
            }
            Dialect::Anthropic => {
                headers.insert(HeaderName::from_static("x-api-key"), self.key.bare.clone());
                let version = HeaderValue::from_static(ANTHROPIC_VERSION);
                headers.insert(HeaderName::from_static("anthropic-version"), version);
            }
        }
        if self.http == Http::H1 {
            headers.insert(HOST, HeaderValue::try_from(&self.target.authority)?);
        }
        for header in &self.settings.headers {
            headers.append(header.name.clone(), header.value.clone());
        }
        Ok(())
    }

    fn uri(&self, path: &str) -> anyhow::Result<Uri> {
        let path = self.target.path(path);
        let uri = match self.http {
            Http::H1 => path,
            Http::H2 | Http::H3 => {
                let scheme = if self.target.secure { "https" } else { "http" };
                format!("{scheme}://{}{path}", self.target.authority)
            }
        };
        uri.parse().with_context(|| uri.clone())
    }

    fn control(&self, kind: &Kind, purpose: Purpose) -> String {
        if self.settings.sim == Sim::None {
            return String::new();
        }
        let mut items = Vec::new();
        match kind.work {
            Work::Stream { deltas, pace, delta_bytes } => {
                items.push(format!("deltas={deltas}"));
                items.extend(delta_bytes.map(|bytes| format!("delta-bytes={bytes}")));
                match pace {
                    // A header changes no answer's bytes: a probe need not wait for them.
                    Pace::Asked(_)
                        if purpose == Purpose::Probe && self.settings.sim == Sim::Header =>
                    {
                        items.push("pace=0ms".to_owned());
                    }
                    Pace::Asked(pace) => items.push(format!("pace={}", Millis(pace))),
                    Pace::Server => {}
                }
            }
            Work::Json { bytes } => {
                let text = bytes.saturating_sub(ENVELOPE_BYTES).max(1);
                items.push(format!("deltas=1;delta-bytes={text}"));
            }
            Work::Upload { .. } => items.push("deltas=16".to_owned()),
            Work::Embeddings { .. } | Work::Websocket { .. } => {}
        }
        if purpose == Purpose::Run {
            items.extend(self.settings.sim_more.clone());
        }
        items.join(";")
    }

    fn chat(&self, model: &str, stream: bool, question: Value) -> Value {
        let messages = json!([{"role": "user", "content": question}]);
        match self.settings.dialect {
            Dialect::Openai => json!({"model": model, "stream": stream, "messages": messages}),
            Dialect::Anthropic => {
                json!({"model": model, "stream": stream, "max_tokens": 4_096, "messages": messages})
            }
        }
    }

    /// A question about an image, `size` bytes of it in base64.
    fn upload(&self, model: &str, size: u64) -> Load {
        let image = match self.settings.dialect {
            Dialect::Openai => json!({
                "type": "image_url",
                "image_url": {"url": format!("data:image/png;base64,{IMAGE}")},
            }),
            Dialect::Anthropic => json!({
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": IMAGE},
            }),
        };
        let text = json!({"type": "text", "text": "What is in this picture?"});
        let body = self.chat(model, false, json!([text, image])).to_string();
        let (before, behind) = body.split_once(IMAGE).unwrap_or((&body, ""));
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(self.image.len());
        let bulk = self.image.slice(..size / QUANTUM * QUANTUM);
        Load::around(before.to_owned().into(), bulk, behind.to_owned().into())
    }
}

/// Bytes of the image of an upload's variant: from the smallest to the largest in equal ratios.
fn size(kind: &Kind, variant: usize) -> u64 {
    match kind.work {
        Work::Upload { from, to, variants } if variants > 1 && from < to => {
            let part = variant as f64 / f64::from(variants - 1);
            let size = from as f64 * (to as f64 / from as f64).powf(part);
            (size.round() as u64).clamp(from, to)
        }
        Work::Upload { to, .. } => to,
        Work::Stream { .. }
        | Work::Json { .. }
        | Work::Embeddings { .. }
        | Work::Websocket { .. } => 0,
    }
}

/// What begins like a picture, and cannot be made smaller; `length` characters of base64 at least.
fn image(seed: u64, length: usize) -> Bytes {
    if length == 0 {
        return Bytes::new();
    }
    let mut raw = vec![0; length.div_ceil(QUANTUM) * 3];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut raw);
    let begin = PNG.len().min(raw.len());
    raw[..begin].copy_from_slice(&PNG[..begin]);
    STANDARD.encode(raw).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_from_the_smallest_to_the_largest() {
        let kind: Kind = "upload,size=1MiB..64MiB,variants=4".parse().expect("a kind");
        let sizes: Vec<_> =
            (0..Composer::variants(&kind)).map(|at| size(&kind, at) >> 20).collect();
        assert_eq!(sizes, [1, 4, 16, 64]);
        let one: Kind = "upload,size=20MiB".parse().expect("a kind");
        assert_eq!((Composer::variants(&one), size(&one, 0)), (1, 20 << 20));
    }

    #[test]
    fn an_image_is_base64_of_what_begins_like_one() {
        let image = image(1, 10_000);
        let raw = STANDARD.decode(&image[..8_000]).expect("base64, wherever it is cut");
        assert!(raw.starts_with(PNG));
    }
}
