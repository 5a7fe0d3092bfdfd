//! Each account's provider, by the account's own way out: name, proxy, TCP, TLS.

use super::Finding;
use crate::account::Account;
use crate::app::Parts;
use crate::config::AgentConfig;
use crate::upstream::{HttpVersion, ReachError, Step, Upstream, UpstreamSettings};
use crate::vault::{Vault, Way};
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;
use weft_proto::causes::causes;
use weft_proto::tables::hosts::{Origin, Scheme};

/// Limit on one connection, where the settings allow longer.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Connections that are tried at once.
const AT_ONCE_MAX: usize = 32;

/// Limit on all of them.
const ALL_MAX: Duration = Duration::from_secs(30);

/// One connection to try, and the accounts that it is for.
struct Trial {
    origin: Origin,
    way: Option<Arc<Way>>,
    version: HttpVersion,
    labels: Vec<String>,
    egress: String,
}

pub(super) async fn look(vault: &Vault, config: &AgentConfig, parts: &Parts) -> Vec<Finding> {
    let connect_timeout = config.upstream().connect_timeout.min(CONNECT_MAX);
    let made = Upstream::new(
        Arc::clone(&parts.dial),
        parts.roots.clone(),
        UpstreamSettings { connect_timeout },
        TaskTracker::new(),
    );
    let upstream = match made {
        Ok(upstream) => upstream,
        Err(error) => {
            let remedy = "this build cannot do TLS: install another";
            return vec![Finding::fail("providers", causes(&error), remedy)];
        }
    };
    let mut findings = Vec::new();
    let mut trials: Vec<Trial> = Vec::new();
    for account in vault.accounts() {
        match parts.hosts.origin(account.provider(), account.site()) {
            Ok(origin) => gather(&mut trials, vault, &account, origin),
            Err(refused) => findings.push(Finding::fail(
                format!("account {}", account.label()),
                refused.to_string(),
                "remove the account, or run the agent that knows its provider",
            )),
        }
    }
    let tried = stream::iter(trials.iter().map(|trial| try_one(&upstream, trial)));
    let limit = Box::pin(tokio::time::sleep(ALL_MAX));
    let tried: Vec<Finding> = tried.buffered(AT_ONCE_MAX).take_until(limit).collect().await;
    let missing = trials.len() - tried.len();
    findings.extend(tried);
    if missing > 0 {
        let saw = format!("{missing} connections were not tried within {} s", ALL_MAX.as_secs());
        findings.push(Finding::fail("providers", saw, "mend those that hang, and look again"));
    }
    findings
}

/// Accounts that would use the same connections are tried once.
fn gather(trials: &mut Vec<Trial>, vault: &Vault, account: &Account, origin: Origin) {
    let way = vault.way(account.id()).ok().flatten();
    let version = if account.http2() { HttpVersion::H2 } else { HttpVersion::H1 };
    let same_way = |other: &Option<Arc<Way>>| match (other, &way) {
        (None, None) => true,
        (Some(one), Some(two)) => Arc::ptr_eq(one, two),
        (Some(_), None) | (None, Some(_)) => false,
    };
    let label = account.label().to_owned();
    let known = trials
        .iter_mut()
        .find(|trial| trial.origin == origin && trial.version == version && same_way(&trial.way));
    match known {
        Some(trial) => trial.labels.push(label),
        None => {
            let egress =
                way.as_ref().map_or_else(|| "direct".to_owned(), |way| way.proxy().place());
            trials.push(Trial { origin, way, version, labels: vec![label], egress });
        }
    }
}

async fn try_one(upstream: &Upstream, trial: &Trial) -> Finding {
    let Trial { origin, way, version, labels, egress } = trial;
    let check = format!("provider {}", origin.authority());
    let who = format!("accounts {}, egress {egress}", labels.join(", "));
    match upstream.probe(origin, *version, way.as_ref()).await {
        Ok(took) => {
            let how = match (origin.scheme(), version) {
                (Scheme::Http, _) => "plain HTTP to a simulated provider",
                (Scheme::Https, HttpVersion::H1) => "TLS verified, HTTP/1.1",
                (Scheme::Https, HttpVersion::H2) => "TLS verified, HTTP/2",
            };
            Finding::ok(check, format!("{how}, connected in {} ms ({who})", took.as_millis()))
        }
        Err(error) => {
            let saw = format!("{} ({who})", causes(&error));
            Finding::fail(check, saw, remedy(&error))
        }
    }
}

fn remedy(error: &ReachError) -> &'static str {
    match error {
        ReachError::Tls { source, .. } if about_dates(source) => {
            "set this machine's clock; if it is right, what answers is not the provider"
        }
        ReachError::Tls { step: Step::ProxyTls, .. } => {
            "the proxy must speak TLS and prove its name by a public certificate; one without TLS is \
             written http://, inside a network that you trust"
        }
        ReachError::Tls { .. } => {
            "what answers cannot prove to be the provider: something on the way breaks TLS open"
        }
        ReachError::Dial { .. } | ReachError::TimedOut { step: Step::Dial, .. } => {
            "let this machine resolve the name and connect to it, or give the account another egress"
        }
        ReachError::Proxy { .. } | ReachError::TimedOut { step: Step::Proxy, .. } => {
            "mend the proxy, or set the account's egress: `weft-agent account set LABEL --egress …`"
        }
        ReachError::TimedOut { step: Step::Tls | Step::ProxyTls, .. } => {
            "the path swallows larger packets or holds TLS up: look at firewalls and MTU"
        }
        ReachError::NoHttp2 => "run `weft-agent account set LABEL --http2 false`",
        ReachError::Origin(_) | ReachError::Gone => "run the doctor again",
    }
}

/// Whether a certificate was refused for its dates.
fn about_dates(error: &std::io::Error) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
        ))
    )
}
