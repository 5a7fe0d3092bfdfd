//! All providers, on one simulated machine: HTTP/1.1 on one port each, answers by the seed's plan.

use super::clock::SimClock;
use super::plan::{Plan, ProviderFault, RequestPlan, Shape, probed};
use super::seen::Seen;
use super::trace::Trace;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, try_unfold};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use weft_proto::provider::Provider;
use weft_proto::tables::hosts::{HostRefused, HostTable};
use weft_proto::time::Clock;

/// Carries a request's number to the provider, and back on its answer.
pub(super) const MARKER: HeaderName = HeaderName::from_static("x-sim-marker");

/// The provider closed the connection.
#[derive(Debug, thiserror::Error)]
#[error("the provider closed the connection")]
struct Closed;

/// The port of a provider.
fn port(provider: Provider) -> u16 {
    4_000 + provider.number() as u16
}

/// The table that leads agents to these providers.
pub(super) fn hosts() -> Result<HostTable, HostRefused> {
    let url = |provider| (provider, format!("http://127.0.0.1:{}", port(provider)));
    HostTable::simulated(Provider::ALL.map(url))
}

/// The machine of all providers.
#[derive(Debug, Clone)]
pub(super) struct Providers {
    pub(super) plan: Arc<Plan>,
    pub(super) seen: Seen,
    pub(super) trace: Trace,
}

impl Providers {
    /// Listens and serves until the machine dies. All of it is one task: when the machine dies its
    /// connections are reset in an order of their own, not in that of a runtime's task ids.
    pub(super) async fn run(self) -> turmoil::Result {
        let doors = Provider::ALL.map(|provider| self.clone().accept(provider));
        try_join_all(doors).await?;
        Ok(())
    }

    async fn accept(self, provider: Provider) -> io::Result<()> {
        let address = (Ipv4Addr::UNSPECIFIED, port(provider));
        let listener = turmoil::net::TcpListener::bind(address).await?;
        let mut connections = FuturesUnordered::new();
        loop {
            let stream = tokio::select! {
                biased;
                accepted = listener.accept() => accepted?.0,
                Some(()) = connections.next(), if !connections.is_empty() => continue,
            };
            let this = self.clone();
            let service = service_fn(move |request| {
                let this = this.clone();
                async move { this.answer(request).await }
            });
            connections.push(async move {
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new());
                // A connection that breaks is part of the plan, or of the world.
                drop(http.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, Closed>>, Closed> {
        let marker = request.headers().get(&MARKER).and_then(|value| value.to_str().ok());
        let Some(marker) = marker.and_then(|marker| marker.parse().ok()) else {
            self.seen.wrong("a request without its marker reached the provider".to_owned());
            return Err(Closed);
        };
        let plan = self.planned(marker);
        let who = format!("provider-{marker}");
        self.seen.open().provider.entry(marker).or_default().heads += 1;
        self.trace.event(&who, format_args!("head"));
        if plan.answer.fault != ProviderFault::Early {
            self.read(&plan, request.into_body(), &who).await?;
        }
        tokio::time::sleep(plan.answer.think).await;
        if plan.answer.fault == ProviderFault::NoAnswer {
            self.trace.event(&who, format_args!("closes"));
            return Err(Closed);
        }
        self.trace.event(&who, format_args!("answers {}", plan.answer.status));
        self.seen.open().provider.entry(marker).or_default().answered = true;
        Ok(response(plan, self.seen.clone()))
    }

    /// Reads the request to its end and compares it with what its user meant.
    async fn read(&self, plan: &RequestPlan, body: Incoming, who: &str) -> Result<(), Closed> {
        let Ok(body) = body.collect().await else {
            self.trace.event(who, format_args!("request broke off"));
            return Err(Closed);
        };
        let body = body.to_bytes();
        self.trace.event(who, format_args!("request {}", body.len()));
        let mut seen = self.seen.open();
        let saw = seen.provider.entry(plan.marker).or_default();
        saw.wholes += 1;
        if body != plan.body() {
            saw.changed += 1;
        }
        Ok(())
    }

    fn planned(&self, marker: usize) -> RequestPlan {
        let planned = self.plan.requests.iter().find(|request| request.marker == marker);
        planned.cloned().unwrap_or_else(|| {
            let at = SimClock.now().since(super::clock::BEGINNING);
            Plan::probe(marker, at, probed(marker).unwrap_or(Provider::OpenAi))
        })
    }
}

/// The answer of `plan`; counts in `seen` what of it was given.
fn response(plan: RequestPlan, seen: Seen) -> Response<UnsyncBoxBody<Bytes, Closed>> {
    let answer = plan.answer;
    let kind = match answer.shape {
        Shape::Events if answer.status == 200 => "text/event-stream",
        Shape::Events | Shape::Chunked | Shape::Length => "application/json",
    };
    let pieces = plan.pieces();
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(MARKER, HeaderValue::from(plan.marker));
    if answer.shape == Shape::Length {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let (given, marker) = (plan.pieces_given(), plan.marker);
    let pieces = pieces.into_iter().enumerate();
    let chunks = try_unfold((pieces, seen), move |(mut pieces, seen)| async move {
        let next = pieces.next();
        let index = next.as_ref().map_or(answer.chunks, |(index, _)| *index);
        if index >= given {
            match answer.fault {
                ProviderFault::Cut(_) => return Err(Closed),
                ProviderFault::Stall(_) => std::future::pending().await,
                ProviderFault::None | ProviderFault::Early | ProviderFault::NoAnswer => {}
            }
        }
        let Some((index, piece)) = next else { return Ok(None) };
        if index > 0 {
            tokio::time::sleep(answer.gap).await;
        }
        seen.open().provider.entry(marker).or_default().bytes_given += piece.len() as u64;
        Ok(Some((Frame::data(piece), (pieces, seen))))
    });
    response.map(|()| StreamBody::new(chunks.boxed()).boxed_unsync())
}
