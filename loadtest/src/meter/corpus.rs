//! Recorded answers of real providers, metered whole, in pieces and coded anew.
//!
//! A corpus is a folder with `sample.jsonl.gz`: one recorded answer on each line, with the usage
//! that a meter must read in it. Every line must agree, and must read the same in any split and
//! under any content coding. A second opinion, where it is installed, is reported and decides
//! nothing.

use super::opinion::{self, Asking};
use super::{Routed, Totals, route};
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use clap::Parser;
use http::{Method, StatusCode};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use weft_proto::meter::{AnswerFacts, AnswerMeter, Asked, Metered};
use weft_proto::provider::Provider;
use weft_proto::tables::routes::Match;
use weft_proto::usage::{Basis, Class, ServiceTier};

/// Random splits of every line.
const SPLITS: u64 = 3;

/// Checks the meters against recorded answers.
#[derive(Debug, Parser)]
pub struct Args {
    /// The folder that holds sample.jsonl.gz
    dir: PathBuf,
    /// Where the random splits begin
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// One line.
#[derive(Debug, Deserialize)]
struct Line {
    provider: Provider,
    method: String,
    path: String,
    status: u16,
    content_type: Option<String>,
    #[serde(default)]
    include_usage: Option<bool>,
    expect: Option<Expect>,
    body_b64: String,
}

/// The usage that a meter must read; what is left out is not checked.
#[derive(Debug, Deserialize)]
struct Expect {
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    reasoning: Option<u64>,
    audio_in: Option<u64>,
    audio_out: Option<u64>,
    web_searches: Option<u64>,
    service_tier: Option<String>,
    inference_geo: Option<String>,
    model: Option<String>,
}

/// Reads the corpus and checks every line.
///
/// # Errors
/// Where a line does not agree, or the corpus cannot be read.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let lines = read(&args.dir.join("sample.jsonl.gz"))?;
    ensure!(!lines.is_empty(), "the corpus is empty");
    let mut asking = Vec::new();
    let (mut agreed, mut with_usage) = (0_usize, 0_usize);
    for (number, line) in lines.iter().enumerate() {
        match check(line, args.seed.wrapping_add(number as u64)) {
            Ok(Some(totals)) => {
                agreed += 1;
                with_usage += usize::from(line.expect.is_some());
                let body = decoded(line)?;
                asking.extend(Asking::new(number + 1, line.provider, &line.path, &body, totals));
            }
            Ok(None) => agreed += 1,
            Err(error) => {
                println!("line {}: {} {}: {error:#}", number + 1, line.provider, line.path)
            }
        }
    }
    println!(
        "{agreed} of {} recorded answers agree ({with_usage} with usage), whole, in pieces and coded",
        lines.len()
    );
    match opinion::ask(&asking) {
        Some(opinion) => println!("{opinion}"),
        None => println!("no second opinion: genai-prices is not installed"),
    }
    ensure!(agreed == lines.len(), "{} recorded answers do not agree", lines.len() - agreed);
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    let parsed = lines.enumerate().map(|(number, line)| {
        serde_json::from_str(&line?).with_context(|| format!("line {}", number + 1))
    });
    parsed.collect()
}

fn decoded(line: &Line) -> anyhow::Result<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(&line.body_b64).context("body_b64")
}

/// Checks one line: its totals, or `None` where its route is refused or nothing is to be read.
fn check(line: &Line, seed: u64) -> anyhow::Result<Option<Totals>> {
    let method: Method = line.method.parse()?;
    let status = StatusCode::from_u16(line.status)?;
    let body = decoded(line)?;
    let matched = match route(line.provider, Some(&method), &line.path) {
        Ok(Routed::Passes(matched)) => matched,
        Ok(Routed::Refused(_)) | Err(_) if line.expect.is_none() => return Ok(None),
        Ok(Routed::Refused(reason)) => bail!("refused: {reason}"),
        Err(error) => return Err(error),
    };
    let meter = |coding: Option<&str>, pieces: &mut dyn Iterator<Item = &[u8]>| {
        let facts = AnswerFacts {
            provider: line.provider,
            metering: matched.route.metering,
            status,
            content_type: line.content_type.as_deref(),
            content_encoding: coding,
        };
        let mut meter = AnswerMeter::new(&facts);
        pieces.for_each(|piece| meter.feed(piece));
        meter.end(&Asked::default(), true)
    };
    let whole = meter(None, &mut std::iter::once(&body[..]));
    compare(line, &matched, &whole)?;
    ensure!(meter(None, &mut body.chunks(1)) == whole, "single bytes read otherwise");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..SPLITS {
        let pieces = split(&body, &mut random);
        ensure!(meter(None, &mut pieces.into_iter()) == whole, "a split reads otherwise");
    }
    for coding in ["gzip", "deflate", "br"] {
        let coded = encode(coding, &body)?;
        let pieces = split(&coded, &mut random);
        ensure!(meter(Some(coding), &mut pieces.into_iter()) == whole, "{coding} reads otherwise");
        ensure!(
            meter(Some(coding), &mut coded.chunks(1)) == whole,
            "single bytes of {coding} read otherwise"
        );
    }
    Ok(Some(Totals::of(&whole.usage, matched.route.dialect())))
}

/// Cuts bytes at random places, some of them close together.
fn split<'b>(bytes: &'b [u8], random: &mut ChaCha8Rng) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = if random.random_bool(0.5) { 8 } else { 1024 };
        let at = random.random_range(1..=rest.len().min(most));
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn encode(coding: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let level = flate2::Compression::fast();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body)?;
            Ok(encoder.finish()?)
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body)?;
            Ok(encoder.finish()?)
        }
        "br" => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 3, 20);
            encoder.write_all(body)?;
            Ok(encoder.into_inner())
        }
        other => bail!("no encoder for {other}"),
    }
}

fn compare(line: &Line, matched: &Match, metered: &Metered) -> anyhow::Result<()> {
    let Some(expect) = &line.expect else {
        ensure!(metered.usage.is_none(), "took {:?} where nothing is to be read", metered.usage);
        ensure!(metered.basis == Basis::Reported, "estimated where nothing is to be read");
        return Ok(());
    };
    let unreported = line.include_usage == Some(false);
    ensure!(unreported || metered.basis == Basis::Reported, "is {:?}", metered.basis);
    let usage = &metered.usage;
    let totals = Totals::of(usage, matched.route.dialect());
    let sum = |classes: &[Class]| classes.iter().map(|class| usage.get(*class)).sum::<u64>();
    for (name, wanted, found) in [
        ("input", expect.input, totals.input),
        ("output", expect.output, totals.output),
        ("cached", expect.cached, totals.cached),
        ("cache_write", expect.cache_write, totals.cache_write),
        ("cache_write_5m", expect.cache_write_5m, sum(&[Class::CacheWrite])),
        ("cache_write_1h", expect.cache_write_1h, sum(&[Class::CacheWrite1h])),
        ("reasoning", expect.reasoning, sum(&[Class::Reasoning])),
        ("audio_in", expect.audio_in, sum(&[Class::InputAudio, Class::CacheReadAudio])),
        ("audio_out", expect.audio_out, sum(&[Class::OutputAudio])),
        ("web_searches", expect.web_searches, sum(&[Class::WebSearch])),
    ] {
        if let Some(wanted) = wanted {
            ensure!(wanted == found, "{name} is {found}, not {wanted}");
        }
    }
    if expect.model.is_some() {
        ensure!(metered.model == expect.model, "model is {:?}", metered.model);
    }
    if let Some(tier) = expect.service_tier.as_deref().and_then(ServiceTier::reported) {
        ensure!(metered.service_tier == tier, "tier is {}", metered.service_tier);
    }
    if let Some(geo) = &expect.inference_geo {
        let geo = weft_proto::usage::Geo::reported(geo);
        ensure!(metered.geo == geo, "geo is {}", metered.geo);
    }
    Ok(())
}
