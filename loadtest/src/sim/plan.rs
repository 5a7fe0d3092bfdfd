//! What a seed stands for: agents, requests and faults, drawn before anything runs.

use super::dice::Dice;
use super::net::Sky;
use super::shape::Figures;
use std::time::Duration;
use weft_proto::provider::Provider;

/// From when on requests come in.
const STORM_BEGINS: Duration = Duration::from_secs(3);
/// When all that was broken is mended.
pub(super) const HEALED_AT: Duration = Duration::from_secs(20);
/// Requests of one world.
const REQUESTS: std::ops::Range<usize> = 60..140;

/// How many of a hundred processes that die do so because the power goes.
const POWER_PERCENT: u64 = 60;
/// For how long a disk has taken nothing when the power goes, milliseconds: from a quick one to one
/// that stalls.
const UNSYNCED_MS: std::ops::Range<u64> = 5..300;

/// Probes of one provider at most, after the mending.
pub(super) const PROBES_MAX: usize = 30;

/// The number of a provider's probe.
pub(super) const fn probe_marker(provider: Provider, index: usize) -> usize {
    1_000 + provider.number() as usize * 100 + index
}

/// The provider that a probe is meant for; none where the number is no probe's.
pub(super) fn probed(marker: usize) -> Option<Provider> {
    Provider::ALL.into_iter().find(|&provider| {
        (probe_marker(provider, 0)..=probe_marker(provider, PROBES_MAX)).contains(&marker)
    })
}

/// The model that a request asks for: its own, so that its outcome can be told from all others.
pub(super) fn model_of(marker: usize) -> String {
    format!("m-{marker}")
}

/// Everything that will happen, as far as it is not the system's own doing.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) agents: Vec<AgentPlan>,
    /// In the order of their starts.
    pub(super) requests: Vec<RequestPlan>,
    /// In the order of their moments.
    pub(super) faults: Vec<(Duration, Fault)>,
}

/// One agent.
#[derive(Debug, Clone)]
pub(super) struct AgentPlan {
    pub(super) name: String,
    /// Its accounts: whose, and how many exchanges at a time.
    pub(super) accounts: Vec<(Provider, u32)>,
}

/// One user's request, and what its provider will answer.
#[derive(Debug, Clone)]
pub(super) struct RequestPlan {
    /// Its number, which its model's name and its headers carry.
    pub(super) marker: usize,
    pub(super) at: Duration,
    pub(super) provider: Provider,
    pub(super) upload: Upload,
    pub(super) leaves: Leaves,
    pub(super) answer: Answer,
    /// What the answer takes.
    pub(super) figures: Figures,
}

/// How the request's body is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upload {
    pub(super) bytes: usize,
    pub(super) chunk: usize,
    pub(super) pause: Duration,
    pub(super) declared: bool,
}

/// When the user goes away, if it does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaves {
    Never,
    /// So long after its start, wherever the exchange is.
    After(Duration),
    /// When it has so many bytes of the answer.
    AtBytes(usize),
    /// Its connection breaks inside its own body.
    InUpload(usize),
    /// It takes nothing for so long, in the middle of the answer.
    Sleeps(Duration),
}

/// What the provider does with the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) think: Duration,
    pub(super) status: u16,
    pub(super) shape: Shape,
    pub(super) chunks: usize,
    pub(super) chunk: usize,
    pub(super) gap: Duration,
    pub(super) fault: ProviderFault,
}

/// How the answer's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Event stream, chunked.
    Events,
    /// Chunked, no events.
    Chunked,
    /// With a length.
    Length,
}

/// What goes wrong at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProviderFault {
    None,
    /// Answers before it has read the request.
    Early,
    /// Closes the connection instead of an answer.
    NoAnswer,
    /// Closes the connection after so many chunks.
    Cut(usize),
    /// Says nothing more after so many chunks.
    Stall(usize),
}

/// What is done to the world.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// Nothing passes between the hub and an agent.
    Partition { agent: usize, lasts: Duration },
    /// Nothing passes one way.
    OneWay { agent: usize, from_hub: bool, lasts: Duration },
    /// An agent's process dies; where `power` is given, with its machine, whose disk has not taken
    /// what was written in so long a time before.
    CrashAgent { agent: usize, lasts: Duration, power: Option<Duration> },
    /// An agent is asked to stop.
    DrainAgent { agent: usize, lasts: Duration },
    /// The hub's process dies, or with `power` its machine.
    CrashHub { lasts: Duration, power: Option<Duration> },
    /// The hub is asked to stop.
    DrainHub { lasts: Duration },
    /// The provider's machine dies.
    CrashProvider { lasts: Duration },
    /// The network gets worse, or better.
    Weather(Sky),
}

impl Plan {
    /// Draws the world of `seed`.
    pub(super) fn draw(seed: u64) -> Self {
        let agents = agents(&Dice::new(seed, "agents"));
        let requests = requests(&Dice::new(seed, "requests"), &Dice::new(seed, "figures"));
        let mut faults = faults(&Dice::new(seed, "faults"), agents.len());
        cut_power(&mut faults, &Dice::new(seed, "power"));
        Self { seed, agents, requests, faults }
    }

    /// A small, well-behaved request, to see whether the mesh serves again.
    pub(super) fn probe(marker: usize, at: Duration, provider: Provider) -> RequestPlan {
        RequestPlan {
            marker,
            at,
            provider,
            upload: Upload { bytes: 300, chunk: 300, pause: Duration::ZERO, declared: true },
            leaves: Leaves::Never,
            answer: Answer {
                think: Duration::from_millis(20),
                status: 200,
                shape: Shape::Events,
                chunks: 5,
                chunk: 60,
                gap: Duration::from_millis(10),
                fault: ProviderFault::None,
            },
            figures: Figures::PROBE,
        }
    }
}

fn agents(dice: &Dice) -> Vec<AgentPlan> {
    let count = dice.size(2..5);
    let mut agents: Vec<AgentPlan> = (0..count)
        .map(|index| AgentPlan { name: format!("agent-{index}"), accounts: Vec::new() })
        .collect();
    for provider in Provider::ALL {
        // Each provider has one account at least, most have two: else there is nowhere to go.
        let first = dice.size(0..count);
        for (index, agent) in agents.iter_mut().enumerate() {
            if index == first || dice.chance(60) {
                let concurrency = if dice.chance(25) { dice.within(1..3) } else { 64 };
                agent.accounts.push((provider, concurrency as u32));
            }
        }
    }
    agents
}

fn requests(dice: &Dice, of_figures: &Dice) -> Vec<RequestPlan> {
    let window = (HEALED_AT - STORM_BEGINS).as_millis() as u64;
    let mut requests: Vec<RequestPlan> = (0..dice.size(REQUESTS))
        .map(|marker| {
            let (upload, answer) = (upload(dice), answer(dice));
            let (at, provider) = (STORM_BEGINS + dice.millis(0..window), provider(dice));
            RequestPlan {
                marker,
                at,
                provider,
                figures: Figures::draw(of_figures, provider),
                leaves: leaves(dice, upload.bytes, answer.chunks * answer.chunk),
                upload,
                answer,
            }
        })
        .collect();
    requests.sort_by_key(|request| (request.at, request.marker));
    requests
}

/// Azure is asked less often: each of its requests needs a deployment of its own, and an account
/// has room for 64.
fn provider(dice: &Dice) -> Provider {
    match dice.within(0..10) {
        0..3 => Provider::OpenAi,
        3..6 => Provider::Anthropic,
        6..9 => Provider::DeepSeek,
        _ => Provider::Azure,
    }
}

fn upload(dice: &Dice) -> Upload {
    let bytes = if dice.chance(10) {
        // Beyond the replay buffer: such a request can be tried only once.
        dice.size(256 * 1024..512 * 1024)
    } else {
        dice.magnitude(64..32 * 1024)
    };
    Upload {
        bytes,
        chunk: dice.magnitude(bytes / 32 + 16..bytes + 32),
        pause: if dice.chance(40) { dice.millis(1..120) } else { Duration::ZERO },
        declared: dice.chance(60),
    }
}

fn leaves(dice: &Dice, upload: usize, answer: usize) -> Leaves {
    match dice.within(0..100) {
        0..12 => Leaves::After(dice.millis(1..200)),
        12..22 => Leaves::After(dice.millis(200..5_000)),
        22..30 => Leaves::AtBytes(dice.size(1..answer + 1)),
        30..36 => Leaves::InUpload(dice.size(0..upload)),
        36..40 => Leaves::Sleeps(dice.millis(2_000..9_000)),
        _ => Leaves::Never,
    }
}

fn answer(dice: &Dice) -> Answer {
    let chunks = dice.magnitude(1..40);
    let (chunk, gap) = if dice.chance(12) {
        (dice.magnitude(4 * 1024..32 * 1024), dice.millis(0..5))
    } else {
        (dice.magnitude(16..256), dice.millis(0..120))
    };
    let status = match dice.within(0..100) {
        0..4 => 429,
        4..7 => 500,
        7..9 => 401,
        _ => 200,
    };
    let fault = match dice.within(0..100) {
        0..3 => ProviderFault::Early,
        3..7 => ProviderFault::NoAnswer,
        7..14 => ProviderFault::Cut(dice.size(0..chunks)),
        14..18 => ProviderFault::Stall(dice.size(0..chunks)),
        _ => ProviderFault::None,
    };
    Answer {
        think: if dice.chance(10) { dice.millis(1_000..4_000) } else { dice.millis(0..300) },
        status,
        shape: [Shape::Events, Shape::Events, Shape::Chunked, Shape::Length][dice.size(0..4)],
        chunks,
        chunk,
        gap,
        fault,
    }
}

fn faults(dice: &Dice, agents: usize) -> Vec<(Duration, Fault)> {
    let window = (HEALED_AT - STORM_BEGINS).as_millis() as u64;
    // The weather in which agents join.
    let first = (Duration::ZERO, Fault::Weather(sky(dice)));
    let drawn = (0..dice.size(3..12)).map(|_| {
        let at = STORM_BEGINS + dice.millis(0..window);
        let agent = dice.size(0..agents);
        let fault = match dice.within(0..100) {
            0..22 => Fault::Partition { agent, lasts: dice.millis(50..9_000) },
            22..32 => {
                Fault::OneWay { agent, from_hub: dice.chance(50), lasts: dice.millis(50..9_000) }
            }
            32..50 => Fault::CrashAgent { agent, lasts: dice.millis(10..4_000), power: None },
            50..62 => Fault::DrainAgent { agent, lasts: dice.millis(10..2_000) },
            62..66 => Fault::CrashHub { lasts: dice.millis(10..3_000), power: None },
            66..70 => Fault::DrainHub { lasts: dice.millis(10..2_000) },
            70..76 => Fault::CrashProvider { lasts: dice.millis(10..2_000) },
            _ => Fault::Weather(sky(dice)),
        };
        (at, fault)
    });
    let mut faults: Vec<_> = std::iter::once(first).chain(drawn).collect();
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// Of the processes that die, some die with their machine.
fn cut_power(faults: &mut [(Duration, Fault)], dice: &Dice) {
    for (_, fault) in faults {
        match fault {
            Fault::CrashAgent { power, .. } | Fault::CrashHub { power, .. } => {
                *power = dice.chance(POWER_PERCENT).then(|| dice.millis(UNSYNCED_MS));
            }
            Fault::Partition { .. }
            | Fault::OneWay { .. }
            | Fault::DrainAgent { .. }
            | Fault::DrainHub { .. }
            | Fault::CrashProvider { .. }
            | Fault::Weather(_) => {}
        }
    }
}

fn sky(dice: &Dice) -> Sky {
    Sky {
        lost: dice.within(0..200),
        doubled: dice.within(0..100),
        late: dice.within(0..300),
        refused: dice.within(0..600),
    }
}

impl RequestPlan {
    /// The model that it asks for.
    pub(super) fn model(&self) -> String {
        model_of(self.marker)
    }
}
