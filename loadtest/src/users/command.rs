//! The command line of `weft-loadtest users`.

use super::key::Key;
use super::kind::Kind;
use super::settings::{
    CONNECTIONS_MAX, Check, Dialect, Draft, Extent, Header, Http, IN_FLIGHT_MAX, LASTS_MAX, Load,
    Settings, Sim, THREADS_MAX, TIMEOUT_MAX,
};
use super::target::Target;
use super::trust::Trust;
use super::{report, run};
use crate::bench::process::Who;
use crate::link::amount::Share;
use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sends users' traffic to a base URL that speaks OpenAI's or Anthropic's dialect, and measures it.
///
/// Open loop (--rate) keeps its rate whatever is answered and measures from the moment at which a
/// request was to be sent; closed loop (--concurrency) keeps so many under way. The key comes from
/// the variable WEFT_USERS_KEY or from --key-file. Nothing but loopback is targeted unless
/// --i-own-this-target is given. Figures of a debug build say nothing: build for release.
#[derive(Debug, clap::Args)]
#[command(after_help = "Kinds (--kind NAME[,key=value]..., each once):\n  \
    stream      weight=1 deltas=64   pace=20ms delta-bytes=N    pace=server: as it comes\n  \
    long        weight=1 deltas=1500 pace=20ms delta-bytes=N\n  \
    json        weight=1 bytes=1KiB\n  \
    embeddings  weight=1 inputs=4\n  \
    upload      weight=1 size=1MiB..64MiB variants=4\n  \
    websocket   weight=1 turns=16 pace=20ms bytes=64\n\n\
    Examples:\n  weft-loadtest users http://127.0.0.1:4010 --rate 50 --kind stream,weight=4 --kind json\n  \
    weft-loadtest users https://localhost:8443 --ca hub-ca.pem --key-file key --http h2 \\\n    \
    --connections 4 --concurrency 64 --seconds 30 --json users.json")]
pub struct Args {
    /// Base URL, without /v1
    url: String,
    /// Open loop: requests a second, at a constant rate
    #[arg(long, value_name = "N", help_heading = "Load")]
    rate: Option<f64>,
    /// Closed loop: requests under way at any time
    #[arg(long, value_name = "N", help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    concurrency: Option<u32>,
    /// Open loop: the most under way at a time, 2048 or what files allow; more are shed, and counted
    #[arg(long, value_name = "N", help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    max_in_flight: Option<u32>,
    /// Seconds that are measured; 10 where neither this nor --requests is said
    #[arg(long, value_name = "S", help_heading = "Load", value_parser = lasting)]
    seconds: Option<Duration>,
    /// Requests that are measured, instead of a time
    #[arg(long, value_name = "N", help_heading = "Load",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    requests: Option<u64>,
    /// The longest that --requests may take
    #[arg(long, value_name = "S", default_value = "300", help_heading = "Load", value_parser = lasting)]
    at_most: Duration,
    /// Seconds before the measured part
    #[arg(long, value_name = "S", default_value = "1", help_heading = "Load", value_parser = waiting)]
    warm_up: Duration,
    /// Seconds that are waited at the end for what is under way
    #[arg(long, value_name = "S", default_value = "10", help_heading = "Load", value_parser = waiting)]
    drain: Duration,
    /// Seconds that one request may take; 30 beyond what its pace needs where it is not said
    #[arg(long, value_name = "S", help_heading = "Load", value_parser = lasting)]
    timeout: Option<Duration>,
    /// Requests that are given up at a random point
    #[arg(long, value_name = "SHARE", default_value = "0%", help_heading = "Load")]
    abort: Share,
    /// Event loops, a thread each
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(THREADS_MAX)))]
    threads: u32,
    /// The order of kinds, and which requests are given up when
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    seed: u64,
    /// The version of HTTP; WebSockets always begin over HTTP/1.1
    #[arg(long, value_enum, default_value = "h1", help_heading = "Connections")]
    http: Http,
    /// Connections of HTTP/2 and HTTP/3, shared by all requests; of HTTP/1.1 those opened ahead
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Connections",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    connections: u32,
    /// HTTP/1.1: a connection of its own for each request
    #[arg(long, help_heading = "Connections")]
    fresh: bool,
    /// Trust the authorities in this PEM file, and no others
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    ca: Option<PathBuf>,
    /// Trust this public key alone: the base64url SHA-256 of its SubjectPublicKeyInfo
    // One hash in 64 begins with a hyphen.
    #[arg(long, value_name = "HASH", help_heading = "Connections", allow_hyphen_values = true)]
    pin: Option<weft_certs::SpkiHash>,
    /// The name that the other end must prove, where it is not the URL's host
    #[arg(long, value_name = "NAME", help_heading = "Connections")]
    server_name: Option<String>,
    /// The file with the key, instead of WEFT_USERS_KEY; without either it is `simulated`
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    key_file: Option<PathBuf>,
    /// Allows a target that is not loopback
    #[arg(long, help_heading = "Connections")]
    i_own_this_target: bool,
    /// A kind of request, with its weight in the mix; see below
    #[arg(long = "kind", value_name = "SPEC", default_value = "stream", help_heading = "Requests")]
    kinds: Vec<Kind>,
    /// Whose API is spoken
    #[arg(long, value_enum, default_value = "openai", help_heading = "Requests")]
    dialect: Dialect,
    /// The model of chats: gpt-4o or claude-sonnet-5 where it is not said
    #[arg(long, value_name = "NAME", help_heading = "Requests")]
    model: Option<String>,
    /// The model of embeddings
    #[arg(
        long,
        value_name = "NAME",
        default_value = "text-embedding-3-small",
        help_heading = "Requests"
    )]
    embedding_model: String,
    /// The model of WebSockets
    #[arg(long, value_name = "NAME", default_value = "gpt-realtime", help_heading = "Requests")]
    realtime_model: String,
    /// How a simulated provider is told what to answer
    #[arg(long, value_enum, default_value = "header", help_heading = "Requests")]
    sim: Sim,
    /// What it is told beside that, such as fault=cut;at=5; not in probes
    #[arg(long, value_name = "CONTROL", help_heading = "Requests")]
    sim_more: Option<String>,
    /// How closely answers are compared with those of two probes
    #[arg(long, value_enum, default_value = "auto", help_heading = "Requests")]
    check: Check,
    /// Probe this simulated provider instead of the target
    #[arg(long, value_name = "URL", help_heading = "Requests")]
    learn_from: Option<String>,
    /// A header that every request has beside its own; never one that holds a key
    #[arg(long = "header", value_name = "NAME:VALUE", help_heading = "Requests")]
    headers: Vec<Header>,
    /// Write the document to this file, or to standard output (-)
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    json: Option<PathBuf>,
    /// Histograms of the document hold all their buckets, to be added up
    #[arg(long, help_heading = "Report")]
    buckets: bool,
    /// No table, no progress
    #[arg(long, help_heading = "Report")]
    quiet: bool,
}

fn seconds(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let time = time.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| (least..=most).contains(time))
        .ok_or_else(|| format!("write seconds from {:?} to {most:?}", least))
}

fn lasting(text: &str) -> Result<Duration, String> {
    seconds(text, Duration::from_millis(10), LASTS_MAX)
}

fn waiting(text: &str) -> Result<Duration, String> {
    seconds(text, Duration::ZERO, TIMEOUT_MAX)
}

impl Args {
    fn draft(&self) -> anyhow::Result<Draft> {
        let target: Target = self.url.parse()?;
        let learn_from = self.learn_from.as_deref().map(str::parse).transpose()?;
        let rest = Settings {
            target,
            load: Load::Closed { concurrency: 1 },
            extent: Extent::Requests(1),
            at_most: self.at_most,
            warm_up: self.warm_up,
            drain: self.drain,
            timeout: LASTS_MAX,
            threads: self.threads,
            seed: self.seed,
            http: self.http,
            connections: self.connections,
            fresh: self.fresh,
            trust: Trust::Web,
            server_name: self.server_name.clone(),
            dialect: self.dialect,
            model: String::new(),
            embedding_model: self.embedding_model.clone(),
            realtime_model: self.realtime_model.clone(),
            kinds: self.kinds.clone(),
            sim: self.sim,
            sim_more: self.sim_more.clone(),
            check: self.check,
            learn_from,
            abort: self.abort,
            headers: self.headers.clone(),
        };
        Ok(Draft {
            rate: self.rate,
            concurrency: self.concurrency,
            max_in_flight: self.max_in_flight,
            requests: self.requests,
            seconds: self.seconds,
            timeout: self.timeout,
            ca: self.ca.clone(),
            pin: self.pin,
            model: self.model.clone(),
            rest,
        })
    }

    /// The settings, judged as a whole.
    pub(super) fn settings(&self, files: u64) -> anyhow::Result<Settings> {
        Ok(self.draft()?.settle(files)?)
    }

    /// Whether a target that is not loopback is allowed.
    pub(super) const fn owned(&self) -> bool {
        self.i_own_this_target
    }
}

/// Sends, measures, and reports.
///
/// # Errors
/// Where settings or the target are refused, or the target does not answer a probe. What goes wrong
/// while it is measured is in the report, and no error.
pub async fn run(args: Args) -> anyhow::Result<()> {
    raise_open_files();
    let settings = args.settings(Who::Own.open_files_max()?)?;
    let addresses = settings.target.addresses(args.owned()).await?;
    let key = Key::find(args.key_file.as_deref())?;
    let shows = !args.quiet && std::io::stderr().is_terminal();
    let outcome = run::run(&settings, &addresses, &key, shows, args.owned()).await?;
    let document = report::document(settings, &addresses, &outcome, args.buckets)?;
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    if !args.quiet {
        let table = super::table::table(&document);
        if to_stdout { eprint!("{table}") } else { print!("{table}") }
    }
    match &args.json {
        Some(_) if to_stdout => println!("{}", serde_json::to_string_pretty(&document)?),
        Some(file) => std::fs::write(file, serde_json::to_vec_pretty(&document)?)
            .with_context(|| format!("writing {}", file.display()))?,
        None => {}
    }
    Ok(())
}

/// As many files as the machine lets this process have.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
