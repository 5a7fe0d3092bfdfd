//! How stories talk: a request, an answer with its digest, and the worlds they happen in.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use weft_loadtest::mesh::caller::{Body, empty, full};
use weft_loadtest::mesh::world::{Plan, World};
use weft_loadtest::mesh::{Connection, Version};
use weft_loadtest::provider::Record;

/// No single step of a story may take longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Both versions of HTTP that the users' door speaks over TCP.
pub(crate) const VERSIONS: [Version; 2] = [Version::H1, Version::H2];

/// A world with one agent.
pub(crate) async fn world() -> World {
    begin(Plan::default()).await
}

/// The world of `plan`.
pub(crate) async fn begin(plan: Plan) -> World {
    let executable = Path::new(env!("CARGO_BIN_EXE_weft-loadtest"));
    let world = timeout(LIMIT, World::begin(executable, plan)).await;
    match world.expect("the world begins in time") {
        Ok(world) => world,
        Err(error) => panic!("{error}"),
    }
}

/// Lower-case hex of the SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request of a user.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Ask {
    /// A request without a key.
    pub(crate) fn bare(method: Method, target: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let json = (!body.is_empty()).then(|| ("content-type".into(), "application/json".into()));
        let headers = json.into_iter().collect();
        Self { method, target: target.to_owned(), headers, body }
    }

    /// A POST of JSON with the world's key as a bearer token.
    pub(crate) fn post(world: &World, target: &str, body: &Value) -> Self {
        Self::bare(Method::POST, target, body.to_string())
            .with("authorization", &format!("Bearer {}", world.key.secret))
    }

    /// A chat of OpenAI's, streamed or not, answered as `sim` says.
    pub(crate) fn chat(world: &World, stream: bool, sim: &str) -> Self {
        let body = json!({
            "model": "gpt-4o", "stream": stream,
            "messages": [{"role": "user", "content": "Say what a weft is – naïvely, in 三 words."}],
        });
        Self::post(world, "/v1/chat/completions", &body).sim(sim)
    }

    /// The same in Anthropic's dialect.
    pub(crate) fn message(world: &World, stream: bool, sim: &str) -> Self {
        let body = json!({
            "max_tokens": 64, "stream": stream,
            "messages": [{"role": "user", "content": "Say what a weft is."}],
            "model": "claude-sonnet-5",
        });
        Self::bare(Method::POST, "/v1/messages", body.to_string())
            .with("x-api-key", &world.key.secret)
            .with("anthropic-version", "2023-06-01")
            .sim(sim)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same request without the header `name`.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Tells the simulated provider how to answer.
    pub(crate) fn sim(self, control: &str) -> Self {
        if control.is_empty() { self } else { self.with("x-weft-sim", control) }
    }

    pub(crate) fn request(&self) -> Request<Body> {
        let body = if self.body.is_empty() { empty() } else { full(self.body.clone()) };
        self.request_with(body)
    }

    /// The same head with another body.
    pub(crate) fn request_with(&self, body: Body) -> Request<Body> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(body).expect("a request")
    }

    /// Sends it on a connection of its own and reads the answer to its end.
    pub(crate) async fn over(&self, world: &World, version: Version) -> Answer {
        let mut connection = connect(world, version).await;
        self.on(&mut connection).await
    }

    /// Sends it on `connection` and reads the answer to its end.
    pub(crate) async fn on(&self, connection: &mut Connection) -> Answer {
        let began = Instant::now();
        let response = timeout(LIMIT, connection.send(self.request())).await;
        let response = response.expect("an answer in time").expect("an answer");
        Answer::read(response, began).await
    }
}

pub(crate) async fn connect(world: &World, version: Version) -> Connection {
    let connected = timeout(LIMIT, world.connect(version)).await;
    connected.expect("a connection in time").expect("a connection")
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Why the body did not end properly, where it did not.
    pub(crate) broken: Option<String>,
    /// Bytes of each frame, in order, and when it came after the request.
    pub(crate) frames: Vec<(usize, Duration)>,
}

impl Answer {
    pub(crate) async fn read(response: http::Response<Incoming>, began: Instant) -> Self {
        let (head, mut body) = response.into_parts();
        let mut answer = Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: Vec::new(),
            trailers: None,
            broken: None,
            frames: Vec::new(),
        };
        while let Some(frame) = timeout(LIMIT, body.frame()).await.expect("a frame in time") {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => {
                    answer.frames.push((data.len(), began.elapsed()));
                    answer.body.extend_from_slice(&data);
                }
                Ok(Err(frame)) => answer.trailers = frame.into_trailers().ok(),
                Err(error) => {
                    answer.broken = Some(error.to_string());
                    break;
                }
            }
        }
        answer
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Fails unless it ended properly with `status`.
    #[track_caller]
    pub(crate) fn whole(&self, status: u16) -> &Self {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(600)]);
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.broken, None, "{text}");
        self
    }
}

/// Fails unless both ends saw the same bytes, both ways.
#[track_caller]
pub(crate) fn same_at_both_ends(ask: &Ask, answer: &Answer, record: &Record) {
    let note = (&record.target, record.status, record.ending, record.answer_bytes);
    assert_eq!(record.body_sha256.as_deref(), Some(&*sha256(&ask.body)), "{note:?}");
    assert_eq!(record.body_bytes, ask.body.len() as u64, "{note:?}");
    assert_eq!(record.answer_sha256.as_deref(), Some(&*sha256(&answer.body)), "{note:?}");
    assert_eq!(record.status, Some(answer.status), "{note:?}");
}

/// The newest record once it has ended.
pub(crate) async fn last(world: &World) -> Record {
    timeout(LIMIT, world.provider.last_ended()).await.expect("an ended request")
}

/// The value of a header that the provider received.
pub(crate) fn received<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    let mut found = record.headers.iter().filter(|(known, _)| known == name);
    found.next().map(|(_, value)| value.as_str())
}

/// The outcome rows, once there are `count`: the hub writes them behind the answers.
pub(crate) async fn rows_when(world: &World, count: usize) -> Vec<Value> {
    let rows = rows_once(world, |rows| rows.len() >= count).await;
    assert_eq!(rows.len(), count, "one row for each exchange");
    let mut ids: Vec<_> = rows.iter().map(|row| row["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "no exchange has two rows");
    rows
}

/// The outcome rows, once they are `enough`, or as they are when the time is up.
pub(crate) async fn rows_once(world: &World, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let listed = world.hub.ask(&["exchange", "list", "--limit", "1000"]).expect("rows");
        let rows = listed.as_array().expect("a list").clone();
        if enough(&rows) || began.elapsed() > LIMIT {
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An answer that is read while the story goes on. Dropped, its user has left.
pub(crate) struct Reading(JoinSet<Answer>);

impl Reading {
    /// Starts `ask` on `connection` and reads along.
    pub(crate) fn of(ask: &Ask, connection: &mut Connection) -> Self {
        let answer = connection.start(ask.request()).expect("a request");
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let began = Instant::now();
            Answer::read(answer.await.expect("an answer"), began).await
        });
        Self(reading)
    }

    /// The answer, at its end.
    pub(crate) async fn end(mut self) -> Answer {
        self.0.join_next().await.expect("one answer").expect("no panic")
    }
}
