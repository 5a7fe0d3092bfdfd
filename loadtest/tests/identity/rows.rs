//! Every row of the product's header table, in both directions, over both versions of HTTP at
//! either end, against the expectation that is written down apart from it.

use crate::{UPSTREAMS, world};
use bytes::Bytes;
use http::header::{
    ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
};
use http::header::{DATE, HOST, TRANSFER_ENCODING, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::timeout;
use weft_loadtest::identity::expect::{self, Way};
use weft_loadtest::identity::place::Upstream;
use weft_loadtest::mesh::caller::{Body, full};
use weft_loadtest::mesh::world::secret;
use weft_loadtest::mesh::{Connection, Version, World};
use weft_loadtest::provider::CONTROL_HEADER;
use weft_loadtest::provider::script::{Breath, Coding, End, Framing, Script, Seen, Split, When};
use weft_proto::provider::Provider;
use weft_proto::tables::headers::{ROWS, Row};

const LIMIT: Duration = Duration::from_secs(30);
const BODY: &str = r#"{"model":"gpt-4o","messages":[]}"#;
const ANSWER: &str = r#"{"choices":[]}"#;

/// Names that HTTP/2 knows no way to say: a message with one of them is malformed, and no client or
/// server library sends it.
const OF_HTTP_1: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// A value with which a name can be sent, and travel if it may.
fn value(name: &str, way: Way, version: Version) -> &'static str {
    match (name, way) {
        // The only coding that HTTP/2 lets a request name.
        ("te", Way::Request) if version == Version::H2 => "trailers",
        ("connection", _) => "x-row-hop",
        ("keep-alive", _) => "timeout=5",
        ("proxy-connection", _) => "keep-alive",
        ("te", _) => "gzip;q=0.5, trailers",
        ("transfer-encoding", _) => "chunked",
        ("upgrade", _) => "h2c",
        ("http2-settings", _) => "AAMAAABkAAQAAP__",
        ("expect", _) => "100-continue",
        ("early-data", _) => "1",
        ("trailer", _) => "x-later",
        ("content-type", _) => "application/json",
        ("content-encoding", _) => "identity",
        ("retry-after" | "retry-after-ms", _) => "7",
        ("host", Way::Response) => "elsewhere.example",
        (_, Way::Request) => "of-the-user; \"quoted\"",
        (_, Way::Response) => "of-the-provider; \"quoted\"",
    }
}

/// A concrete name that `row` covers.
fn name(row: &Row) -> String {
    row.name
        .strip_suffix('*')
        .map_or_else(|| row.name.to_owned(), |prefix| format!("{prefix}probe"))
}

#[test]
fn every_row_of_the_header_table_has_an_expectation_of_its_own() {
    let missing: Vec<_> =
        ROWS.iter().map(|row| row.name).filter(|name| expect::named(name).is_none()).collect();
    assert!(missing.is_empty(), "write down what is to become of {missing:?} (identity/expect.rs)");
    let unknown: Vec<_> = expect::TABLE
        .iter()
        .map(|expected| expected.name)
        .filter(|name| !ROWS.iter().any(|row| row.name == *name))
        .collect();
    assert!(unknown.is_empty(), "the product has no row for {unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_header_table_is_kept_to_in_both_directions_over_either_http() {
    let mut differences = Vec::new();
    let mut cases = 0;
    for upstream in UPSTREAMS {
        let world = world(upstream).await;
        for version in [Version::H1, Version::H2] {
            let mut line = None;
            for row in ROWS {
                let case = Case { world: &world, upstream, version, name: name(row) };
                cases += case.ways().len();
                let found = timeout(LIMIT, case.run(&mut line)).await;
                let found = found.unwrap_or_else(|_| vec!["no answer in time".to_owned()]);
                let note = format!("{} (user {version:?}, provider {upstream:?})", row.name);
                differences.extend(found.into_iter().map(|found| format!("{note}: {found}")));
            }
        }
        world.end().await.expect("the world ends");
    }
    println!("{cases} directions of {} rows", ROWS.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(cases > 6 * ROWS.len(), "{cases}");
}

struct Case<'a> {
    world: &'a World,
    upstream: Upstream,
    version: Version,
    name: String,
}

impl Case<'_> {
    /// The directions in which the name can be said.
    fn ways(&self) -> Vec<Way> {
        let only_1 = OF_HTTP_1.contains(&self.name.as_str());
        let mut ways = Vec::new();
        if !(only_1 && self.version == Version::H2) {
            ways.push(Way::Request);
        }
        if !(only_1 && self.upstream == Upstream::H2) {
            ways.push(Way::Response);
        }
        ways
    }

    fn says(&self, way: Way) -> bool {
        self.ways().contains(&way)
    }

    fn set(&self, headers: &mut HeaderMap, way: Way) {
        if !self.says(way) || self.name == "content-length" {
            return;
        }
        let named = HeaderName::try_from(&self.name).expect("a name");
        // Already there, with the only value that it can have.
        if headers.contains_key(&named) {
            return;
        }
        headers.insert(named, HeaderValue::from_static(value(&self.name, way, self.version)));
        if self.name == "connection" {
            headers.insert("x-row-hop", HeaderValue::from_static("of this hop"));
        }
    }

    /// Path, provider and the header with the user's key.
    fn asked(&self) -> (&'static str, Provider, HeaderName, String) {
        let key = &self.world.key.secret;
        match self.name.as_str() {
            "api-key" => (
                "/azure/openai/v1/chat/completions",
                Provider::Azure,
                HeaderName::from_static("api-key"),
                key.clone(),
            ),
            "x-api-key" => (
                "/v1/messages",
                Provider::Anthropic,
                HeaderName::from_static("x-api-key"),
                key.clone(),
            ),
            _ => ("/v1/chat/completions", Provider::OpenAi, AUTHORIZATION, format!("Bearer {key}")),
        }
    }

    fn script(&self) -> Script {
        let mut fields = HeaderMap::new();
        fields.insert(DATE, HeaderValue::from_static("Sun, 22 Nov 2026 12:00:00 GMT"));
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.set(&mut fields, Way::Response);
        let chunked = ["transfer-encoding", "trailer"].contains(&self.name.as_str());
        Script {
            when: When::Read,
            status: StatusCode::OK,
            fields,
            pieces: Box::new(std::iter::once(Bytes::from_static(ANSWER.as_bytes()))),
            coding: Coding::Identity,
            flush: false,
            framing: if chunked { Framing::Chunked } else { Framing::Length },
            split: Split::Pieces,
            breath: Breath::None,
            seed: 0,
            trailers: None,
            end: End::Proper,
        }
    }

    async fn run(&self, line: &mut Option<Connection>) -> Vec<String> {
        let script = self.script();
        let told = script.fields.clone();
        let mut ticket = self.world.provider.script(script);
        let (path, provider, key_name, key) = self.asked();
        let mut headers = HeaderMap::new();
        headers.insert(key_name, HeaderValue::try_from(key).expect("a key"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let control = HeaderValue::try_from(ticket.control()).expect("a control");
        headers.insert(CONTROL_HEADER, control);
        self.set(&mut headers, Way::Request);
        let chunked = ["transfer-encoding", "trailer"].contains(&self.name.as_str());
        let body = if chunked { streamed() } else { full(BODY) };
        if !chunked {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(BODY.len()));
        }
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().expect("a path");
        *request.headers_mut() = headers.clone();

        let kept = match line.take() {
            Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let mut connection = match kept {
            Some(kept) => kept,
            None => self.world.connect(self.version).await.expect("a connection"),
        };
        let answer = match connection.send(request).await {
            Ok(answer) => answer,
            Err(error) => return vec![format!("no answer: {error}")],
        };
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        if self.name == "content-encoding" && self.says(Way::Request) && head.status == 415 {
            // The gate reads bodies, and refuses those that it could not: no SDK sends any.
            return vec![];
        }
        if head.status != StatusCode::OK {
            return vec![format!("{}: {body:?}", head.status)];
        }
        *line = Some(connection);
        let seen = ticket.when(Seen::is_over).await;
        let mut found = self.request(&headers, provider, &seen);
        found.extend(self.answer(&told, &seen, head.headers));
        if !body.is_ok_and(|body| body == ANSWER) {
            found.push("the answer's body differs".to_owned());
        }
        found
    }

    fn request(&self, sent: &HeaderMap, provider: Provider, seen: &Seen) -> Vec<String> {
        let Some(head) = &seen.head else { return vec!["nothing reached the provider".to_owned()] };
        let mut expected = expect::seen(sent, Way::Request);
        expected.insert(VIA, HeaderValue::from_static("1.1 weft"));
        let digest = Sha256::digest(secret(provider).as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let credential = match provider {
            Provider::OpenAi | Provider::DeepSeek => "authorization",
            Provider::Azure => "api-key",
            Provider::Anthropic => "x-api-key",
        };
        let digest = HeaderValue::try_from(format!("sha256:{digest}")).expect("a value");
        expected.insert(HeaderName::from_static(credential), digest);
        let mut came = head.headers.clone();
        if self.upstream == Upstream::H1 {
            let host = self.world.provider.addr().to_string();
            expected.insert(HOST, HeaderValue::try_from(host).expect("a host"));
            if !sent.contains_key(CONTENT_LENGTH) {
                expected.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        } else {
            // HTTP/2's own way to name the host is no header.
            assert_eq!(came.remove(HOST), None);
        }
        expect::differences("request", &expected, &came)
    }

    fn answer(&self, told: &HeaderMap, seen: &Seen, mut came: HeaderMap) -> Vec<String> {
        let mut expected = expect::seen(told, Way::Response);
        if let Some(length) = seen.declared {
            expected.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        came.remove("weft-request-id");
        // The hub's own, about its own door; the provider's must not come.
        if came.get(ALT_SVC).is_some_and(|value| told.get_all(ALT_SVC).iter().all(|at| at != value))
        {
            came.remove(ALT_SVC);
        }
        if self.version == Version::H1 {
            // The hub's own, about its own connection.
            if came.get(TRANSFER_ENCODING).is_some_and(|value| value == "chunked") {
                came.remove(TRANSFER_ENCODING);
            }
            if came.get(CONNECTION).is_some_and(|value| value == "close") {
                came.remove(CONNECTION);
            }
        }
        expect::differences("answer", &expected, &came)
    }
}

/// A body whose length is not told.
fn streamed() -> Body {
    let frame = Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(BODY.as_bytes())));
    let frames = futures_util::stream::iter([frame]);
    StreamBody::new(frames).map_err(|never| match never {}).boxed()
}

/// A coded answer is not among the values above: its own case.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_s_content_coding_is_refused_and_an_answer_s_passes() {
    let world = world(Upstream::H1).await;
    for version in [Version::H1, Version::H2] {
        let name = CONTENT_ENCODING.as_str().to_owned();
        let case = Case { world: &world, upstream: Upstream::H1, version, name };
        let mut script = case.script();
        script.coding = Coding::Gzip;
        script.fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let ticket = world.provider.script(script);
        let mut request = Request::new(full(BODY));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "/v1/chat/completions".parse().expect("a path");
        for (name, value) in [
            ("authorization", format!("Bearer {}", world.key.secret)),
            ("content-type", "application/json".to_owned()),
            (CONTROL_HEADER, ticket.control()),
        ] {
            let value = HeaderValue::try_from(value).expect("a value");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let mut connection = world.connect(version).await.expect("a connection");
        let answer = timeout(LIMIT, connection.send(request)).await.expect("in time");
        let answer = answer.expect("an answer");
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        let body = answer.into_body().collect().await.expect("whole").to_bytes();
        let sent = ticket.seen();
        assert_eq!(body.len() as u64, sent.answer_bytes);
        assert!(body.starts_with(b"\x1f\x8b"), "{version:?}");
    }
    world.end().await.expect("the world ends");
}
