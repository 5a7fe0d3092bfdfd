//! Slow readers: thousands of answers whose users take nothing, an upload as large as one may be,
//! and what the hub holds meanwhile beside the byte budget that it was given.
//!
//! Users are HTTP/2 streams over some hundred connections, agents are light ones. The hub is the
//! real one, with the settings of an operator who expects that many.

use super::figure::{Aim, Row, Samples, Section, millis};
use super::ground::Alone;
use super::idle::{Offer, join_all};
use super::light::{Light, PACED, UPLOAD};
use super::process::Who;
use super::progress::Progress;
use crate::identity::content::{Content, Filling};
use crate::mesh::caller::{Body, Caller, full};
use crate::mesh::{Connection, Version};
use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_hub::config::{ANSWER_BYTES_MAX, EXCHANGE_BYTES_MAX};
use weft_proto::entropy::OsEntropy;
use weft_proto::limits::EXCHANGE_STREAMS;
use weft_transport::endpoint;

/// Streams on one users' connection.
const STREAMS_PER_CONNECTION: usize = 100;
/// Bytes that a stream of a user takes ahead of its reader.
const USER_WINDOW_BYTES: u32 = 16 * 1_024;
/// Readers on one light agent.
const READERS_PER_AGENT: usize = 1_000;
/// Readers that begin at once.
const BEGIN_AT_ONCE: usize = 200;
/// Bytes of a reader's request, about, with room: the hub reserves them beside what the answer takes.
const REQUEST_BYTES: u64 = 1_024;
/// How often the hub's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The hub's memory has settled when it grew by less than this over [`SETTLED_OVER`].
const SETTLED_KIB: u64 = 4 * 1_024;
/// The time over which it must not grow.
const SETTLED_OVER: Duration = Duration::from_secs(2);
/// How long it may take to settle.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// How long the hub may take to notice that all its users left.
const LEFT: Duration = Duration::from_secs(5);
/// The pace of the stream beside, milliseconds.
const PACE_MS: u64 = 20;
/// How long one answer's head may take.
const HEAD_MAX: Duration = Duration::from_secs(30);

const SLOW: Offer = Offer { models: "slow-*", concurrency_max: EXCHANGE_STREAMS - 8 };
const BESIDE: Offer = Offer { models: "beside-*,whisper-1", concurrency_max: 16 };

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Readers that take nothing.
    pub(crate) readers: usize,
    /// Bytes of the upload.
    pub(crate) upload: u64,
}

/// Opens the readers, sends the upload beside them, and compares the hub's memory with its budget.
///
/// # Errors
/// Where the mesh does not come up, the upload does not arrive as it was sent, or the stream beside
/// it breaks.
///
/// # Cancel safety
/// A dropped call ends all of it.
pub(crate) async fn slow(load: Load, progress: &Progress) -> anyhow::Result<(Section, Aim)> {
    let Load { readers, upload } = load;
    let each = ANSWER_BYTES_MAX + REQUEST_BYTES;
    let budget = readers as u64 * each + 4 * EXCHANGE_BYTES_MAX;
    let (memory, exchanges) = (budget.to_string(), (readers + 16).to_string());
    progress.say(&format!("{readers} slow readers: a hub with a budget of {} MiB", budget >> 20));
    let mut alone = Alone::start(&[
        ("WEFT_LOG__LEVEL", "warn"),
        ("WEFT_LIMITS__MEMORY_BYTES_MAX", &memory),
        ("WEFT_LIMITS__EXCHANGES_MAX", &exchanges),
        // Nobody is to be cut for taking nothing: that is what is measured.
        ("WEFT_LIMITS__STALL_SECONDS", "900"),
    ])
    .await?;
    let hub = Who::Pid(alone.hub.process().id());
    let agents = readers.div_ceil(READERS_PER_AGENT);
    let (udp, _) = endpoint::bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let endpoint = endpoint::agent(udp, &OsEntropy)?;
    let joined = join_all(&alone.hub, &endpoint, agents + 1, progress).await?;
    let offers = std::iter::once(BESIDE).chain(std::iter::repeat(SLOW));
    let light = Light::begin(&endpoint, joined.into_iter().zip(offers).collect()).await?;
    alone.hub.offers(agents + 1).await?;
    let caller = Caller::new(alone.hub.users(), &alone.hub.ca())?;
    let bearer = HeaderValue::try_from(format!("Bearer {}", alone.key.secret))?;

    tokio::time::sleep(SETTLED_OVER).await;
    let before = hub.memory()?.rss_kib;
    let opened = open(&caller, &bearer, readers, progress).await?;
    progress.say(&format!("{} read slowly, {} refused", opened.held.len(), opened.refused));
    let with = settled(hub, progress).await?;
    let beside = beside(&caller, &bearer, upload, hub, progress).await?;
    alone.hub.process().check()?;
    let (held, refused) = (opened.held.len(), opened.refused as u64);
    drop(opened);
    tokio::time::sleep(LEFT).await;
    let after = hub.memory()?.rss_kib;
    // What an allocator keeps is used again; what leaks is not.
    let opened = open(&caller, &bearer, readers, progress).await?;
    let again = settled(hub, progress).await?;
    drop((opened, light));

    let mib = |kib: u64| kib as f64 / 1_024.0;
    let peak = beside.peak_kib.max(with).max(again);
    let growth = mib(peak.saturating_sub(before));
    let ratio = growth / (budget as f64 / 1_048_576.0);
    let mut section = Section::new(
        "slow_readers",
        format!(
            "Hub memory: {readers} readers that take nothing, and an upload of {} MiB",
            upload >> 20
        ),
        ["value"],
    );
    section.rows.extend([
        Row::new("byte budget (memory_bytes_max)", [budget as f64 / 1_048_576.0], "MiB", 1),
        Row::new("readers admitted", [held as f64], "", held as u64),
        Row::new("readers refused with 503", [refused as f64], "", refused),
        Row::new("hub RSS before", [mib(before)], "MiB", 1),
        Row::new("hub RSS with the readers", [mib(with)], "MiB", 1),
        Row::new(
            "hub RSS, most seen during the upload",
            [mib(beside.peak_kib)],
            "MiB",
            beside.looks,
        ),
        Row::new("hub RSS after all left", [mib(after)], "MiB", 1),
        Row::new("hub RSS with as many readers again", [mib(again)], "MiB", 1),
        Row::new("growth at the peak", [growth], "MiB", 1),
        Row::new("growth at the peak / budget", [ratio], "", 1),
        Row::new("growth per reader", [growth * 1_024.0 / held.max(1) as f64], "KiB", held as u64),
        Row::new("upload", [beside.mib_per_second], "MiB/s", 1),
    ]);
    for (what, percent) in [("p50", 50.0), ("p99", 99.0), ("longest", 100.0)] {
        let gap = millis(beside.gaps.percentile(percent));
        let what = format!("gap of a stream beside the upload, {what}");
        section.rows.push(Row::new(what, [gap], "ms", beside.gaps.count()));
    }
    section.notes.push(format!(
        "the upload arrived whole, its SHA-256 equal at both ends; the stream beside it was paced \
         at {PACE_MS} ms; {agents} light agents served the readers"
    ));
    let aim = Aim {
        what: "hub growth / byte budget, slow readers",
        measured: ratio,
        at_most: 1.0,
        unit: "",
    };
    Ok((section, aim))
}

/// Readers under way. Dropped, all of them leave.
struct Opened {
    held: Vec<Response<Incoming>>,
    refused: usize,
    _lines: Vec<Connection>,
}

async fn open(
    caller: &Caller,
    bearer: &HeaderValue,
    readers: usize,
    progress: &Progress,
) -> anyhow::Result<Opened> {
    let mut opened = Opened { held: Vec::new(), refused: 0, _lines: Vec::new() };
    let mut beginning = JoinSet::new();
    let mut begun = 0;
    while begun < readers {
        let mut line = caller.connect_narrow(USER_WINDOW_BYTES).await?;
        for _ in 0..STREAMS_PER_CONNECTION.min(readers - begun) {
            if beginning.len() >= BEGIN_AT_ONCE {
                opened.take(beginning.join_next().await)?;
            }
            let request = chat("slow-1", bearer, None)?;
            let answer = line.start(request)?;
            beginning.spawn(async move { tokio::time::timeout(HEAD_MAX, answer).await });
            begun += 1;
        }
        opened._lines.push(line);
        progress.tick(|| format!("{} of {readers} began", opened.held.len()));
    }
    while let Some(answer) = beginning.join_next().await {
        opened.take(Some(answer))?;
    }
    Ok(opened)
}

type Begun = Result<
    Result<hyper::Result<Response<Incoming>>, tokio::time::error::Elapsed>,
    tokio::task::JoinError,
>;

impl Opened {
    fn take(&mut self, answer: Option<Begun>) -> anyhow::Result<()> {
        let Some(answer) = answer else { return Ok(()) };
        let answer = answer?.context("a reader's answer did not begin")??;
        match answer.status() {
            StatusCode::OK => self.held.push(answer),
            // The budget is full: the right answer.
            StatusCode::SERVICE_UNAVAILABLE => self.refused += 1,
            other => anyhow::bail!("a reader was answered {other}"),
        }
        Ok(())
    }
}

/// Waits until the hub's memory grows no more, and returns it.
async fn settled(hub: Who, progress: &Progress) -> anyhow::Result<u64> {
    let began = Instant::now();
    let (mut last, mut since) = (hub.memory()?.rss_kib, Instant::now());
    while since.elapsed() < SETTLED_OVER && began.elapsed() < SETTLE_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = hub.memory()?.rss_kib;
        if now > last + SETTLED_KIB {
            (last, since) = (now, Instant::now());
        }
        progress.tick(|| format!("the hub holds {} MiB", now >> 10));
    }
    Ok(hub.memory()?.rss_kib)
}

/// What went on beside the readers.
struct Beside {
    peak_kib: u64,
    looks: u64,
    mib_per_second: f64,
    gaps: Samples,
}

/// Sends the upload while one token stream runs, and looks at the hub's memory all the while.
async fn beside(
    caller: &Caller,
    bearer: &HeaderValue,
    bytes: u64,
    hub: Who,
    progress: &Progress,
) -> anyhow::Result<Beside> {
    progress.say(&format!("an upload of {} MiB beside them", bytes >> 20));
    let before = "--bench\r\ncontent-disposition: form-data; name=\"file\"; \
                  filename=\"a.wav\"\r\n\r\n";
    let after = "\r\n--bench\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
                 --bench--\r\n";
    let content = Content::between(before.to_owned(), Filling::Noise, after.to_owned(), bytes, 1);
    let (digest, length) = (content.digest_of_first(u64::MAX), content.length());

    let mut paced = caller.connect(Version::H2).await?;
    let stream = stream_of(&mut paced, bearer).await?;
    let (told, mut gaps) = tokio::sync::mpsc::channel(1_024);
    let mut following = JoinSet::new();
    following.spawn(async move { follow(stream, told).await });

    let mut line = caller.connect(Version::H1).await?;
    let mut upload = Request::new(streamed(&content));
    *upload.method_mut() = Method::POST;
    *upload.uri_mut() = UPLOAD.parse()?;
    let headers = upload.headers_mut();
    headers.insert(AUTHORIZATION, bearer.clone());
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let kind = HeaderValue::from_static("multipart/form-data; boundary=bench");
    headers.insert(CONTENT_TYPE, kind);
    // The file stands before the model, and no account here serves every model.
    headers.insert("weft-model", HeaderValue::from_static("whisper-1"));
    let began = Instant::now();
    let answer = async {
        let answer = line.send(upload).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok::<_, anyhow::Error>((status, body))
    };
    let mut answer = std::pin::pin!(answer);
    let mut beside = Beside { peak_kib: 0, looks: 0, mib_per_second: 0.0, gaps: Samples::new()? };
    let mut next = Instant::now();
    let (status, body) = loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next) => {
                beside.peak_kib = beside.peak_kib.max(hub.memory()?.rss_kib);
                beside.looks += 1;
                next = Instant::now() + LOOK_EVERY;
            }
            Some(gap) = gaps.recv() => beside.gaps.add(gap),
            answer = &mut answer => break answer?,
        }
    };
    let lasted = began.elapsed();
    beside.mib_per_second = length as f64 / 1_048_576.0 / lasted.as_secs_f64();
    let said = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    anyhow::ensure!(status == StatusCode::OK, "the upload was answered {status}: {said}");
    let expected = format!("{{\"text\":\"{digest}\",\"bytes\":{length}}}");
    anyhow::ensure!(body == expected, "the upload did not arrive as it was sent: {said}");
    anyhow::ensure!(
        !following.is_empty() && beside.gaps.count() > 0,
        "no stream beside the upload"
    );
    anyhow::ensure!(following.try_join_next().is_none(), "the stream beside the upload broke");
    Ok(beside)
}

/// The head of an answer that is paced.
async fn stream_of(
    line: &mut Connection,
    bearer: &HeaderValue,
) -> anyhow::Result<Response<Incoming>> {
    let request = chat("beside-1", bearer, Some(PACE_MS))?;
    let answer = tokio::time::timeout(HEAD_MAX, line.send(request)).await??;
    anyhow::ensure!(answer.status() == StatusCode::OK, "the stream beside: {}", answer.status());
    Ok(answer)
}

/// Reads a stream to its end, and tells the gaps between its reads.
async fn follow(mut stream: Response<Incoming>, told: tokio::sync::mpsc::Sender<Duration>) {
    let mut last = None;
    while let Some(Ok(_)) = stream.frame().await {
        let now = Instant::now();
        if let Some(last) = last.replace(now)
            && told.send(now - last).await.is_err()
        {
            return;
        }
    }
}

fn chat(
    model: &str,
    bearer: &HeaderValue,
    paced: Option<u64>,
) -> Result<Request<Body>, http::Error> {
    let body = format!(
        "{{\"model\":\"{model}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\
         \"Count.\"}}]}}"
    );
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(super::client::CHAT)
        .header(AUTHORIZATION, bearer)
        .header(CONTENT_TYPE, "application/json")
        .header(CONTENT_LENGTH, body.len());
    if let Some(millis) = paced {
        request = request.header(PACED, millis);
    }
    request.body(full(body))
}

fn streamed(content: &Content) -> Body {
    let frames = content.pieces().map(|piece: Bytes| Ok::<_, Infallible>(Frame::data(piece)));
    let frames = futures_util::stream::iter(frames);
    StreamBody::new(frames).map_err(|never| match never {}).boxed()
}
