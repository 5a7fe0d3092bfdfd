//! Objects under the methods that name them: GET, HEAD and DELETE, with answers that have a body
//! and answers that have none.

use crate::{UPSTREAMS, world};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::timeout;
use weft_loadtest::identity::content::{Content, Filling};
use weft_loadtest::identity::expect::{self, Way};
use weft_loadtest::identity::place::Upstream;
use weft_loadtest::mesh::caller::{empty, full};
use weft_loadtest::mesh::{Version, World};
use weft_loadtest::provider::CONTROL_HEADER;
use weft_loadtest::provider::script::{
    Breath, Coding, End, Framing, Script, Seen, Split, Ticket, When,
};

const LIMIT: Duration = Duration::from_secs(30);
const FORM: &str = "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n\
    --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nbytes\r\n--b--\r\n";

/// What a provider answers to one request for an object.
struct Told {
    status: u16,
    fields: Vec<(&'static str, &'static str)>,
    content: Content,
    coding: Coding,
    framing: Framing,
}

impl Told {
    fn new(status: u16, fields: &[(&'static str, &'static str)], content: Content) -> Self {
        let (fields, coding, framing) = (fields.to_vec(), Coding::Identity, Framing::Length);
        Self { status, fields, content, coding, framing }
    }

    fn script(&self, world: &World) -> (Ticket, HeaderMap) {
        let mut fields = HeaderMap::new();
        fields.insert(DATE, HeaderValue::from_static("Sun, 22 Nov 2026 12:00:00 GMT"));
        for (name, value) in &self.fields {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let script = Script {
            when: When::Read,
            status: StatusCode::from_u16(self.status).expect("a status"),
            fields: fields.clone(),
            pieces: self.content.pieces(),
            coding: self.coding,
            flush: false,
            framing: self.framing,
            split: Split::Random(15),
            breath: Breath::Random,
            seed: 5,
            trailers: None,
            end: End::Proper,
        };
        (world.provider.script(script), fields)
    }
}

/// One request, as sent and as it must have come, and its answer, likewise.
async fn crosses(
    world: &World,
    (upstream, version): (Upstream, Version),
    (method, target, form): (Method, &str, bool),
    told: &Told,
) {
    let note = format!("{method} {target} {} over {version:?} and {upstream:?}", told.status);
    let (mut ticket, fields) = told.script(world);
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", world.key.secret);
    headers.insert(AUTHORIZATION, HeaderValue::try_from(bearer).expect("a value"));
    let control = HeaderValue::try_from(ticket.control()).expect("a value");
    headers.insert(CONTROL_HEADER, control);
    headers.insert("if-none-match", HeaderValue::from_static("\"33a64df5\""));
    headers.insert("range", HeaderValue::from_static("bytes=0-99"));
    if form {
        let kind = HeaderValue::from_static("multipart/form-data; boundary=b");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(FORM.len()));
    }
    let mut request = Request::new(if form { full(FORM) } else { empty() });
    *request.method_mut() = method.clone();
    *request.uri_mut() = target.parse().expect("a target");
    *request.headers_mut() = headers.clone();
    let mut connection = world.connect(version).await.expect("a connection");
    let answer = timeout(LIMIT, connection.send(request)).await.expect("in time");
    let answer = answer.unwrap_or_else(|error| panic!("{note}: {error:?}"));
    let (head, body) = answer.into_parts();
    let body = timeout(LIMIT, body.collect()).await.expect("in time");
    let body = body.unwrap_or_else(|error| panic!("{note}: {error:?}")).to_bytes();
    assert_eq!(head.status, told.status, "{note}: {}", String::from_utf8_lossy(&body));

    let seen = timeout(LIMIT, ticket.when(Seen::is_over)).await.expect("in time");
    let came = seen.head.as_ref().unwrap_or_else(|| panic!("{note}: not at the provider"));
    assert_eq!((&came.method, &*came.target), (&method, target), "{note}");
    let mut expected = expect::seen(&headers, Way::Request);
    let mut came = came.headers.clone();
    for added in ["via", "host", "authorization"] {
        came.remove(added);
        expected.remove(added);
    }
    let mut differences = expect::differences("request", &expected, &came);
    assert_eq!(seen.body_bytes, if form { FORM.len() as u64 } else { 0 }, "{note}");
    assert_eq!(seen.body_whole, Some(true), "{note}");

    let mut expected = expect::seen(&fields, Way::Response);
    if let Some(length) = seen.declared {
        expected.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut came = head.headers;
    for added in ["weft-request-id", "transfer-encoding", "alt-svc"] {
        came.remove(added);
    }
    differences.extend(expect::differences("answer", &expected, &came));
    assert!(differences.is_empty(), "{note}: {}", differences.join("\n"));
    assert_eq!(body.len() as u64, seen.answer_bytes, "{note}");
    if told.coding == Coding::Identity && seen.answer_bytes > 0 {
        let drawn: Bytes = told.content.pieces().flatten().collect::<Vec<u8>>().into();
        assert!(body == drawn, "{note}: the bodies differ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_the_same_at_both_ends_under_get_head_and_delete() {
    for upstream in UPSTREAMS {
        let world = world(upstream).await;
        for version in [Version::H1, Version::H2] {
            let number = if version == Version::H1 { 1 } else { 2 };
            let id = format!("file-identity{number}");
            let document = format!(
                "{{\"id\":\"{id}\",\"object\":\"file\",\"bytes\":5,\"filename\":\"a\",\
                 \"purpose\":\"user_data\",\"created_at\":1795000000}}"
            );
            let json = ("content-type", "application/json");
            let file = || Content::between(document.clone(), Filling::Text, String::new(), 0, 0);
            let ways = (upstream, version);
            let made = Told::new(200, &[json], file());
            crosses(&world, ways, (Method::POST, "/v1/files", true), &made).await;

            let (target, bytes) = (format!("/v1/files/{id}"), format!("/v1/files/{id}/content"));
            let noise = |count| Content::plain(Filling::Noise, count, number);
            let binary = ("content-type", "application/octet-stream");
            let etag = ("etag", "\"33a64df5\"");
            let chunked = |told: Told| Told { framing: Framing::Chunked, ..told };
            let coded = |coding: Coding, told: Told| {
                let mut fields = told.fields;
                fields.extend(coding.name().map(|name| ("content-encoding", name)));
                Told { coding, fields, ..told }
            };
            let partial =
                [binary, ("content-range", "bytes 0-99/500000"), ("accept-ranges", "bytes")];
            let answers = [
                Told::new(200, &[json, etag], file()),
                Told::new(200, &[binary], noise(500_000)),
                Told::new(200, &[binary], Content::empty()),
                chunked(Told::new(200, &[binary], noise(300_000))),
                chunked(Told::new(200, &[binary], Content::empty())),
                coded(Coding::Gzip, Told::new(200, &[binary], noise(70_000))),
                coded(Coding::Zstd, chunked(Told::new(200, &[json], file()))),
                Told::new(206, &partial, noise(100)),
                Told::new(204, &[etag], Content::empty()),
                Told::new(304, &[etag, ("cache-control", "no-cache")], Content::empty()),
                Told::new(404, &[json], noise(100)),
                Told::new(410, &[json], Content::empty()),
                Told::new(307, &[("location", "https://elsewhere.example/")], Content::empty()),
            ];
            for told in &answers {
                let asked = if told.fields.contains(&json) { &target } else { &bytes };
                crosses(&world, ways, (Method::GET, asked, false), told).await;
            }
            // What HEAD says of the length is of the body that GET would give.
            let length = ("content-length", "500000");
            for fields in [&[binary, length][..], &[binary, etag][..]] {
                for status in [200, 304, 404] {
                    if status == 304 && fields.contains(&length) {
                        continue;
                    }
                    let told = Told::new(status, fields, Content::empty());
                    crosses(&world, ways, (Method::HEAD, &bytes, false), &told).await;
                }
            }
            let gone = format!("{{\"id\":\"{id}\",\"object\":\"file\",\"deleted\":true}}");
            let gone = Content::between(gone, Filling::Text, String::new(), 0, 0);
            let gone = Told::new(200, &[json], gone);
            crosses(&world, ways, (Method::DELETE, &target, false), &gone).await;
        }
        world.end().await.expect("the world ends");
    }
}
