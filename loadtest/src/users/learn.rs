//! Learns by probes what answers are to be compared with, and how fast they come.
//!
//! A probe is an ordinary request before anything is measured. It goes to the target itself, or to
//! the simulated provider behind it, so that what a gateway alters everywhere is found, too.

use super::ask::{Composer, Purpose};
use super::body::Load;
use super::follow::{Expected, count};
use super::kind::{Kind, Pace, Work};
use super::settings::{Check, Settings};
use super::text::{Cutter, Reader};
use super::wire::Lane;
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::Request;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The longest answer of a probe, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1_024 * 1_024;
/// Bytes of a refusal that are shown.
const SHOWN_BYTES_MAX: usize = 300;
/// How long an answer takes, where nobody has seen one.
const USUAL: Duration = Duration::from_millis(50);

/// How closely answers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Byte by byte.
    Exact,
    /// By the deltas' texts.
    Text,
    /// By their number and their end.
    Frames,
    /// Not all kinds alike.
    Mixed,
}

impl Level {
    /// What is compared, for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Exact => "every byte",
            Self::Text => "the deltas' texts",
            Self::Frames => "number and end",
            Self::Mixed => "kind",
        }
    }
}

/// A kind that is ready to be sent.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its requests, each with the answer that it must get.
    pub(super) variants: Vec<(Request<Load>, Expected)>,
    /// How closely that is compared.
    pub(super) level: Level,
    /// The time from one delta to the next that is expected.
    pub(super) pace: Option<Duration>,
    /// How long an answer takes, or so.
    pub(super) usual: Duration,
}

/// Probes on one lane.
#[derive(Debug)]
pub(super) struct Prober<'a> {
    pub(super) settings: &'a Settings,
    /// Makes the requests of probes.
    pub(super) probes: &'a Composer<'a>,
    /// Makes those that are measured.
    pub(super) run: &'a Composer<'a>,
    /// Where probes go.
    pub(super) lane: &'a Lane,
}

struct Probe {
    answer: Bytes,
    lasted: Duration,
    /// The median gap between deltas.
    gap: Option<Duration>,
}

impl Prober<'_> {
    /// Learns what there is to know of `kind`.
    ///
    /// # Errors
    /// Where the probe gets no answer, or one that cannot be compared as the settings ask.
    pub(super) async fn prepare(&self, kind: &Kind) -> anyhow::Result<Prepared> {
        if kind.is_websocket() {
            let usual = USUAL + kind.lasts();
            let (variants, level) = (Vec::new(), Level::Exact);
            return Ok(Prepared { variants, level, pace: kind.pace(), usual });
        }
        let said = || format!("the probe of {}", kind.name);
        let (mut pace, mut usual) = (kind.pace(), USUAL + kind.lasts());
        if matches!(kind.work, Work::Stream { pace: Pace::Server, .. }) {
            let probe = self.probe(kind, 0, Purpose::Pace).await.with_context(said)?;
            (pace, usual) = (probe.gap.filter(|gap| !gap.is_zero()), probe.lasted);
        }
        let (mut variants, mut level) = (Vec::new(), None);
        for variant in 0..Composer::variants(kind) {
            let expected = if self.settings.check == Check::Frames {
                level = Some(Level::Frames);
                counted(kind)
            } else {
                let probe = self.probe(kind, variant, Purpose::Probe).await.with_context(said)?;
                let level = match level {
                    Some(level) => level,
                    None => {
                        let again = self.probe(kind, variant, Purpose::Probe).await;
                        let again = again.with_context(said)?;
                        let found = self.level(kind, [&probe.answer, &again.answer])?;
                        *level.insert(found)
                    }
                };
                usual = usual.max(probe.lasted);
                expected(kind, level, probe.answer)
            };
            variants.push((self.run.request(kind, variant, Purpose::Run)?, expected));
        }
        let level = level.unwrap_or(Level::Frames);
        Ok(Prepared { variants, level, pace, usual })
    }

    /// How far two answers to the same request agree.
    fn level(&self, kind: &Kind, [one, other]: [&Bytes; 2]) -> anyhow::Result<Level> {
        let reader = Reader::new();
        let texts = |answer: &Bytes| Expected::texts(answer, &reader);
        let streamed = matches!(kind.work, Work::Stream { .. });
        let alike = one == other;
        let same_texts = streamed
            && matches!((texts(one), texts(other)), (Expected::Texts { keys: one }, Expected::Texts { keys: other })
                if one == other && !one.is_empty());
        let name = kind.name;
        match self.settings.check {
            Check::Auto | Check::Exact if alike => Ok(Level::Exact),
            Check::Auto | Check::Text if same_texts => Ok(Level::Text),
            Check::Auto => Ok(Level::Frames),
            Check::Text if !streamed => Ok(Level::Frames),
            Check::Exact => anyhow::bail!(
                "two probes of {name} were answered differently: ask for --check text or frames"
            ),
            Check::Text | Check::Frames => anyhow::bail!(
                "two probes of {name} brought different texts: ask for --check frames"
            ),
        }
    }

    async fn probe(&self, kind: &Kind, variant: usize, purpose: Purpose) -> anyhow::Result<Probe> {
        let request = self.probes.request(kind, variant, purpose)?;
        let limit = self.settings.timeout;
        let probe = timeout(limit, self.ask(request)).await;
        let probe = probe.with_context(|| format!("no whole answer within {limit:?}"))??;
        if let Work::Stream { .. } = kind.work {
            let found = count(&Expected::exact(probe.answer.clone(), &Reader::new()));
            anyhow::ensure!(found > 0, "no stream came back: {}", shown(&probe.answer));
        }
        Ok(probe)
    }

    async fn ask(&self, request: Request<Load>) -> anyhow::Result<Probe> {
        let (began, reader) = (Instant::now(), Reader::new());
        let fault = |fault| anyhow::anyhow!("it failed: {fault:?}");
        let mut reply = self.lane.send(request).await.map_err(fault)?;
        let (mut answer, mut cutter) = (BytesMut::new(), Cutter::default());
        let (mut last, mut gaps): (Option<Instant>, Vec<Duration>) = (None, Vec::new());
        while let Some(bytes) = reply.next().await.map_err(fault)? {
            let room = ANSWER_BYTES_MAX.saturating_sub(answer.len());
            anyhow::ensure!(bytes.len() <= room, "longer than {ANSWER_BYTES_MAX} bytes");
            answer.extend_from_slice(&bytes);
            let now = Instant::now();
            cutter.take(&bytes, |event| {
                if reader.text(event).is_some() {
                    gaps.extend(last.replace(now).map(|last| now - last));
                }
            });
        }
        let answer = answer.freeze();
        anyhow::ensure!(reply.status.is_success(), "{}: {}", reply.status, shown(&answer));
        self.lane.give_back(reply);
        gaps.sort_unstable();
        Ok(Probe { answer, lasted: began.elapsed(), gap: gaps.get(gaps.len() / 2).copied() })
    }
}

fn expected(kind: &Kind, level: Level, answer: Bytes) -> Expected {
    let streamed = matches!(kind.work, Work::Stream { .. });
    match level {
        Level::Exact if streamed => Expected::exact(answer, &Reader::new()),
        Level::Exact => Expected::Document(answer),
        Level::Text => Expected::texts(&answer, &Reader::new()),
        Level::Frames | Level::Mixed => counted(kind),
    }
}

/// What is expected where nothing was learnt.
const fn counted(kind: &Kind) -> Expected {
    match kind.work {
        Work::Stream { deltas, pace: Pace::Asked(_), .. } => Expected::Deltas(Some(deltas)),
        Work::Stream { pace: Pace::Server, .. } => Expected::Deltas(None),
        Work::Json { .. }
        | Work::Embeddings { .. }
        | Work::Upload { .. }
        | Work::Websocket { .. } => Expected::AnyDocument,
    }
}

fn shown(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(SHOWN_BYTES_MAX)]).into_owned()
}
