//! Both ends of one exchange held against each other, and against what was drawn.

use super::call::Told;
use super::draw::{Exchange, Leaving};
use super::expect::{self, Way};
use crate::mesh::Version;
use crate::mesh::world::secret;
use crate::provider::script::{Coding, End, Ended, Framing, Seen, SeenHead, When};
use http::header::{
    ALT_SVC, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
    VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use weft_proto::provider::Provider;

/// What a gateway says of itself to the provider.
const VIA_WEFT: HeaderValue = HeaderValue::from_static("1.1 weft");
/// The hub's own id of the exchange, on every answer.
const REQUEST_ID: &str = "weft-request-id";

/// Whether the provider sent this value of `alt-svc`.
fn came_from(exchange: &Exchange, value: &HeaderValue) -> bool {
    let fields = &exchange.answer.fields;
    fields.get_all(ALT_SVC).iter().any(|sent| sent == value)
}

/// All that is not as it should be; nothing where all is.
pub(super) fn differences(
    exchange: &Exchange,
    sent: &HeaderMap,
    told: &Told,
    seen: &Seen,
) -> Vec<String> {
    let mut all = Differences(Vec::new());
    let leaving = exchange.request.leaving;
    if seen.calls == 0 {
        // Who leaves early may never have reached a provider. Everybody else has.
        if !matches!(leaving, Some(Leaving::Uploading(_))) {
            let answer = told.head.as_ref().map(|(status, _)| *status);
            all.say(format!(
                "the provider was never called; the user was told {answer:?} ({:?})",
                told.broken
            ));
        }
        return all.0;
    }
    all.same("calls of the provider", &1, &seen.calls);
    if let Some(head) = &seen.head {
        all.request_head(exchange, sent, head);
    }
    all.request_body(exchange, told, seen);
    if exchange.request.expects {
        all.same("100 Continue", &true, &told.continued);
    }
    match leaving {
        None => all.answer(exchange, told, seen),
        Some(Leaving::Reading(_)) => {
            all.answer_head(exchange, told, seen);
            all.prefix(told, seen);
            all.same("how the provider's answer ended", &Some(Ended::Gone), &seen.ended);
        }
        Some(Leaving::Uploading(_) | Leaving::Reached(_) | Leaving::Waiting) => {
            all.same("how the provider's answer ended", &Some(Ended::Gone), &seen.ended);
        }
    }
    all.0
}

struct Differences(Vec<String>);

impl Differences {
    fn say(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
        &mut self,
        what: &str,
        expected: &T,
        came: &T,
    ) {
        if expected != came {
            self.say(format!("{what}: expected {expected:?}, came {came:?}"));
        }
    }

    fn request_head(&mut self, exchange: &Exchange, sent: &HeaderMap, head: &SeenHead) {
        self.same("method", &http::Method::POST, &head.method);
        self.same("target", &exchange.request.reached, &head.target);
        let mut expected = expect::seen(sent, Way::Request);
        expected.insert(VIA, VIA_WEFT);
        let (name, value) = credential(exchange.asked.provider);
        expected.insert(name, value);
        let mut came = head.headers.clone();
        if head.version < http::Version::HTTP_2 {
            if came.remove(HOST).is_none() {
                self.say("no host reached the provider");
            }
            if !exchange.request.declared {
                let chunked = HeaderValue::from_static("chunked");
                expected.insert(TRANSFER_ENCODING, chunked);
            }
        }
        self.0.extend(expect::differences("request", &expected, &came));
    }

    fn request_body(&mut self, exchange: &Exchange, told: &Told, seen: &Seen) {
        let Some(digest) = &seen.body_sha256 else {
            return self.say("the request never ended at the provider");
        };
        let whole = seen.body_whole == Some(true);
        let early = matches!(exchange.answer.when, When::AtOnce | When::Unread);
        let cut =
            matches!(exchange.request.leaving, Some(Leaving::Uploading(_) | Leaving::Reached(_)));
        if cut && whole {
            self.say("an upload that was given up is a whole request at the provider");
        }
        // An answer that breaks off takes what is left of its request along.
        let torn = exchange.answer.when == When::Duplex && exchange.answer.end != End::Proper;
        if !whole && !cut && !early && !torn {
            self.say(format!("the request broke off after {} bytes", seen.body_bytes));
        }
        if whole {
            self.same("request bytes", &exchange.request.length, &seen.body_bytes);
            self.same("request digest", &told.sent.sha256, &Some(digest.clone()));
        }
        if seen.body_bytes > exchange.request.length {
            return self.say(format!("{} bytes of request came", seen.body_bytes));
        }
        let drawn = exchange.request.content.digest_of_first(seen.body_bytes);
        if exchange.answer.when != When::Unread {
            self.same("digest of the request's bytes", &drawn, digest);
        }
        if seen.body_trailers.is_some() {
            self.say("trailers were added to the request");
        }
    }

    fn answer(&mut self, exchange: &Exchange, told: &Told, seen: &Seen) {
        let improper = exchange.answer.end != End::Proper;
        if improper {
            return self.improper_answer(exchange, told, seen);
        }
        if let Some(broken) = &told.broken {
            return self.say(format!("the answer did not end properly: {broken}"));
        }
        self.answer_head(exchange, told, seen);
        self.same("how the provider's answer ended", &Some(Ended::Complete), &seen.ended);
        self.same("answer bytes", &seen.answer_bytes, &told.bytes);
        self.same("answer digest", &seen.answer_sha256, &Some(told.sha256.clone()));
        if exchange.answer.coding.0 == Coding::Identity && exchange.has_body() {
            let drawn = exchange.answer.content.digest_of_first(u64::MAX);
            self.same("digest of the answer as drawn", &drawn, &told.sha256);
        }
        let expected = if exchange.has_body() { exchange.answer.trailers.clone() } else { None };
        let none = HeaderMap::new();
        self.0.extend(expect::differences(
            "trailers",
            expected.as_ref().unwrap_or(&none),
            told.trailers.as_ref().unwrap_or(&none),
        ));
    }

    /// An answer that the provider broke off: never a clean end, and no byte that was not sent but
    /// those of an error event.
    fn improper_answer(&mut self, exchange: &Exchange, told: &Told, seen: &Seen) {
        let made_by_hub =
            told.head.as_ref().is_some_and(|(status, _)| *status == StatusCode::BAD_GATEWAY);
        if made_by_hub && told.broken.is_none() {
            return;
        }
        if told.broken.is_none() {
            return self.say("an answer that was broken off ended cleanly at the user");
        }
        if told.head.is_some() && !made_by_hub {
            self.answer_head(exchange, told, seen);
            self.prefix(told, seen);
        }
    }

    fn answer_head(&mut self, exchange: &Exchange, told: &Told, seen: &Seen) {
        let Some((status, headers)) = &told.head else {
            return self.say(format!("no answer came: {:?}", told.broken));
        };
        self.same("status", &exchange.answer.status, status);
        let mut came = headers.clone();
        match came.remove(REQUEST_ID) {
            Some(id) if id.len() == 36 => {}
            other => self.say(format!("{REQUEST_ID}: came {other:?}")),
        }
        // The hub's own, about its door: never the provider's, which is of another port.
        match came.remove(ALT_SVC) {
            None => {}
            Some(value) if value.as_bytes().starts_with(b"h3=\":") => {
                self.same("alt-svc is the hub's", &false, &came_from(exchange, &value));
            }
            Some(value) => self.say(format!("alt-svc: came {value:?}")),
        }
        if exchange.caller == Version::H1 {
            // The hub's own, about its connection with the user.
            if let Some(value) = came.remove(CONNECTION) {
                self.same("connection towards the user", &b"close"[..], value.as_bytes());
            }
            if let Some(value) = came.remove(TRANSFER_ENCODING) {
                self.same("transfer-encoding", &b"chunked"[..], value.as_bytes());
            }
        }
        let mut expected = expect::seen(&exchange.answer.fields, Way::Response);
        let length = match exchange.answer.framing {
            Framing::Length if exchange.has_body() => self.length(exchange, seen),
            Framing::Length | Framing::Chunked => None,
        };
        if let Some(length) = length {
            expected.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.0.extend(expect::differences("answer", &expected, &came));
    }

    /// The length that the provider declared.
    fn length(&mut self, exchange: &Exchange, seen: &Seen) -> Option<u64> {
        if exchange.answer.end == End::Proper {
            return Some(seen.answer_bytes);
        }
        match exchange.answer.coding.0 {
            Coding::Identity => Some(exchange.answer.content.length()),
            coding @ (Coding::Gzip | Coding::Deflate | Coding::Brotli | Coding::Zstd) => {
                seen.declared.or_else(|| {
                    self.say(format!("no length of the {coding:?} answer is known"));
                    None
                })
            }
        }
    }

    /// What the user has is what the provider sent, up to some point; behind it there may be an
    /// error event of the hub's, in an uncompressed stream of events whose length was not told.
    fn prefix(&mut self, told: &Told, seen: &Seen) {
        let sent = &seen.answer_kept;
        if sent.starts_with(&told.kept) {
            return;
        }
        let headers = told.head.as_ref().map(|(_, headers)| headers);
        let events = headers.is_some_and(|headers| {
            let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
            kind.starts_with(b"text/event-stream")
                && !headers.contains_key(CONTENT_LENGTH)
                && !headers.contains_key(CONTENT_ENCODING)
        });
        if events && before_error_event(&told.kept).is_some_and(|before| sent.starts_with(before)) {
            return;
        }
        let same = told.kept.iter().zip(sent).take_while(|(came, sent)| came == sent).count();
        let more =
            String::from_utf8_lossy(&told.kept[same..]).chars().take(200).collect::<String>();
        self.say(format!("behind {same} bytes of the provider's the user got {more:?}"));
    }
}

/// What stands before an error event at the end of `text`, without the blank line that may have been
/// put in between; nothing where there is no such event.
fn before_error_event(text: &[u8]) -> Option<&[u8]> {
    const BLANK: &[u8] = b"\n\n";
    let whole = text.strip_suffix(BLANK)?;
    let start = whole.windows(2).rposition(|two| two == BLANK).map_or(0, |at| at + 2);
    let (before, event) = text.split_at(start);
    let event = std::str::from_utf8(event).ok()?;
    let error = event.contains("data: {") && event.contains("\"error\"");
    error.then(|| before.strip_suffix(BLANK).unwrap_or(before))
}

/// The credential that the provider is to see, as it is shown.
fn credential(provider: Provider) -> (HeaderName, HeaderValue) {
    let digest = super::content::hex(&Sha256::digest(secret(provider).as_bytes()));
    let value = HeaderValue::try_from(format!("sha256:{digest}"));
    let name = match provider {
        Provider::OpenAi | Provider::DeepSeek => "authorization",
        Provider::Azure => "api-key",
        Provider::Anthropic => "x-api-key",
    };
    let none = HeaderValue::from_static("");
    (HeaderName::from_static(name), value.unwrap_or(none))
}
