//! One answer on standard input, metered as both ends would meter it.
//!
//! The totals are in the provider's own words: what OpenAI and DeepSeek call their input holds what
//! their caches held, Anthropic's does not. The classes are disjoint, and are what is priced.

use anyhow::{Context as _, bail};
use clap::Parser;
use http::{Method, StatusCode};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use weft_proto::meter::{AnswerFacts, AnswerMeter, Asked, Metered, RequestMeter};
use weft_proto::provider::{Dialect, Provider};
use weft_proto::tables::routes::{self, Match, Reason, RouteRefused};
use weft_proto::usage::{Basis, Class, Usage};

pub mod corpus;
mod opinion;

/// The largest piece that is read, and fed, at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Meters one answer.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  weft-loadtest meter --provider openai \
    --path /v1/chat/completions --content-type text/event-stream < answer")]
pub struct Args {
    /// Whose answer it is: openai, azure, anthropic or deepseek
    #[arg(long)]
    provider: Provider,
    /// The path of the request, with or without the hub's prefix, a query or a host
    #[arg(long)]
    path: String,
    /// The method of the request; left out, the first that the path takes
    #[arg(long)]
    method: Option<Method>,
    /// The answer's content-type
    #[arg(long)]
    content_type: Option<String>,
    /// The answer's content-encoding
    #[arg(long)]
    content_encoding: Option<String>,
    /// The answer's status
    #[arg(long, default_value = "200")]
    status: StatusCode,
    /// The body of the request, for what the answer does not report
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The answer was cut: it did not end as its provider meant it to
    #[arg(long)]
    cut: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Units by class; classes of which nothing was used are left out.
    pub classes: BTreeMap<&'static str, u64>,
    /// In the provider's own words.
    pub totals: Totals,
    /// As the provider names it.
    pub model: Option<String>,
    /// The units were counted here, and not reported whole.
    pub estimated: bool,
    /// `reported`, `estimated`, `unmetered` or `bounded`.
    pub basis: &'static str,
    /// The tier that served.
    pub service_tier: &'static str,
    /// Where it was computed.
    pub geo: &'static str,
    /// Billed beside the totals, by class.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<&'static str, u64>,
    /// The usage comes later, with the finished response.
    #[serde(skip_serializing_if = "is_false")]
    pub pending: bool,
    /// Why no such request passes; nothing is charged for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
}

/// Totals in the provider's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens that the cache held: part of the input for OpenAI, apart from it for Anthropic.
    pub cached: u64,
    /// Tokens written to the cache, likewise.
    pub cache_write: u64,
}

// By reference, as serde calls it.
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Totals {
    /// The totals of a usage, as a provider of this dialect words them.
    #[must_use]
    pub fn of(usage: &Usage, dialect: Dialect) -> Self {
        let sum = |classes: &[Class]| {
            classes.iter().fold(0_u64, |sum, class| sum.saturating_add(usage.get(*class)))
        };
        let cached = sum(&[Class::CacheRead, Class::CacheReadAudio, Class::CacheReadImage]);
        let cache_write = sum(&[Class::CacheWrite, Class::CacheWrite1h]);
        let input = match dialect {
            Dialect::OpenAi => usage.input_total(),
            Dialect::Anthropic => sum(&[Class::Input, Class::InputAudio, Class::InputImage]),
        };
        Self { input, output: usage.output_total(), cached, cache_write }
    }
}

impl Report {
    /// The report on a metered answer.
    #[must_use]
    pub fn new(metered: Metered, dialect: Dialect) -> Self {
        let by_name = |usage: &Usage| usage.iter().map(|(class, n)| (class.name(), n)).collect();
        Self {
            classes: by_name(&metered.usage),
            totals: Totals::of(&metered.usage, dialect),
            estimated: metered.basis != Basis::Reported,
            basis: metered.basis.name(),
            service_tier: metered.service_tier.name(),
            geo: metered.geo.name(),
            beside: by_name(&metered.beside),
            pending: metered.pending,
            model: metered.model,
            refused: None,
        }
    }

    /// The report on a request that never reaches a provider.
    fn refused(reason: Reason) -> Self {
        Self {
            classes: BTreeMap::new(),
            totals: Totals::default(),
            model: None,
            estimated: false,
            basis: Basis::Reported.name(),
            service_tier: "standard",
            geo: "unstated",
            beside: BTreeMap::new(),
            pending: false,
            refused: Some(reason.text()),
        }
    }
}

/// What the route table says of a path.
#[derive(Debug)]
pub enum Routed {
    /// A row lets it pass.
    Passes(Match),
    /// It is refused on purpose.
    Refused(Reason),
}

/// Finds the route that is meant by a path as people write it.
///
/// # Errors
/// Where no row knows it.
pub fn route(provider: Provider, method: Option<&Method>, path: &str) -> anyhow::Result<Routed> {
    let written = path;
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => path,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let path = format!("/{path}");
    let mut stems = vec![path.as_str()];
    stems.extend(path[1..].strip_prefix(provider.name()).filter(|rest| rest.starts_with('/')));
    let bases: &[&str] = match provider {
        Provider::OpenAi | Provider::Anthropic => &["", "/v1"],
        Provider::Azure => &["", "/openai", "/openai/v1"],
        Provider::DeepSeek => &["", "/v1", "/anthropic"],
    };
    let candidates =
        stems.iter().flat_map(|stem| bases.iter().map(move |base| [base, *stem].concat()));
    let all = [Method::POST, Method::GET, Method::DELETE];
    let methods = method.map_or(&all[..], std::slice::from_ref);
    let mut refused = None;
    for path in candidates {
        for method in methods {
            match routes::find(provider, method, &path) {
                Ok(matched) => return Ok(Routed::Passes(matched)),
                Err(RouteRefused::Forbidden(reason)) => refused = refused.or(Some(reason)),
                Err(RouteRefused::Unknown { .. } | RouteRefused::MethodNotAllowed { .. }) => {}
            }
        }
    }
    match refused {
        Some(reason) => Ok(Routed::Refused(reason)),
        None => bail!("{provider} has no route {written:?}: nothing there is metered"),
    }
}

/// Reads an answer from standard input and prints what it took.
///
/// # Errors
/// Where the path is unknown, or nothing can be read or printed.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let matched = match route(args.provider, args.method.as_ref(), &args.path)? {
        Routed::Passes(matched) => matched,
        Routed::Refused(reason) => return print(&Report::refused(reason)),
    };
    let asked = match &args.request {
        Some(file) => {
            let body =
                std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            let mut meter = RequestMeter::new(&matched, None, None);
            meter.feed(&body);
            meter.finish();
            meter.asked().clone()
        }
        None => Asked::default(),
    };
    let mut meter = AnswerMeter::new(&AnswerFacts {
        provider: args.provider,
        metering: matched.route.metering,
        status: args.status,
        content_type: args.content_type.as_deref(),
        content_encoding: args.content_encoding.as_deref(),
    });
    let mut piece = vec![0; PIECE_BYTES];
    let mut input = std::io::stdin().lock();
    loop {
        let length = input.read(&mut piece).context("reading the answer")?;
        if length == 0 {
            break;
        }
        meter.feed(&piece[..length]);
    }
    print(&Report::new(meter.end(&asked, !args.cut), matched.route.dialect()))
}

fn print(report: &Report) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(provider: Provider, path: &str) -> Option<&'static str> {
        match route(provider, None, path) {
            Ok(Routed::Passes(matched)) => Some(matched.route.name),
            Ok(Routed::Refused(_)) => Some("refused"),
            Err(_) => None,
        }
    }

    #[test]
    fn a_path_is_found_as_people_write_it() {
        for (provider, path, wanted) in [
            (Provider::OpenAi, "/v1/chat/completions", Some("chat")),
            (Provider::OpenAi, "/openai/v1/chat/completions/", Some("chat")),
            (Provider::OpenAi, "chat/completions?a=b", Some("chat")),
            (Provider::OpenAi, "https://api.openai.com/v1/responses", Some("responses")),
            (Provider::OpenAi, "/v1/responses/resp_1?stream=true", Some("response")),
            (Provider::OpenAi, "/v1/batches/batch_1", Some("batch")),
            (Provider::OpenAi, "/v1/fine_tuning/jobs", Some("refused")),
            (Provider::OpenAi, "/v1/nothing", None),
            (Provider::Azure, "/openai/deployments/d/chat/completions?api-version=1", Some("chat")),
            (Provider::Azure, "/azure/openai/v1/embeddings", Some("embeddings")),
            (Provider::Azure, "/deployments/d/embeddings", Some("embeddings")),
            (Provider::Anthropic, "/anthropic/v1/messages", Some("messages")),
            (Provider::Anthropic, "/v1/messages?beta=true", Some("messages")),
            (Provider::DeepSeek, "/anthropic/v1/messages", Some("messages")),
            (Provider::DeepSeek, "/deepseek/chat/completions", Some("chat")),
        ] {
            assert_eq!(name(provider, path), wanted, "{provider} {path}");
        }
    }

    #[test]
    fn totals_are_in_the_words_of_the_provider() {
        let usage = Usage::NONE
            .with(Class::Input, 10)
            .with(Class::CacheRead, 20)
            .with(Class::CacheWrite1h, 5)
            .with(Class::Output, 7)
            .with(Class::Reasoning, 3);
        let openai = Totals { input: 35, output: 10, cached: 20, cache_write: 5 };
        assert_eq!(Totals::of(&usage, Dialect::OpenAi), openai);
        assert_eq!(Totals::of(&usage, Dialect::Anthropic), Totals { input: 10, ..openai });
    }
}
