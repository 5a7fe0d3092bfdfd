//! Many exchanges at once over one world, and what came of them.

use super::call::{Lines, STEP_MAX, Told, headers};
use super::compare::differences;
use super::dialect::Dialect;
use super::draw::{Exchange, Leaving};
use super::place::{Class, Place, Upstream};
use crate::mesh::World;
use crate::provider::script::{Seen, Ticket};
use futures_util::future::join_all;
use http::HeaderMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long the provider may take to learn of a user's leaving.
const GONE_WITHIN: Duration = Duration::from_secs(15);
/// What counts as a large body, bytes.
pub const LARGE_BYTES: u64 = 16 * 1_024 * 1_024;
/// Failures that a report prints in full.
const SHOWN_MAX: usize = 12;

/// Which exchanges to play.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed of all of them.
    pub seed: u64,
    /// Their places.
    pub places: Vec<Place>,
    /// How many at once.
    pub at_once: usize,
}

impl Plan {
    /// `count` exchanges of each dialect and of each of `classes`, over `upstream`.
    #[must_use]
    pub fn of(seed: u64, upstream: Upstream, classes: &[(Class, u64)], at_once: usize) -> Self {
        let mut places = Vec::new();
        for &(class, count) in classes {
            for number in 0..count {
                let of = |dialect| Place { upstream, dialect, class, number };
                places.extend(Dialect::ALL.map(of));
            }
        }
        Self { seed, places, at_once }
    }

    /// The same as long as no more than `bytes` are moved: what would go beyond is left out.
    #[must_use]
    pub fn within(mut self, bytes: u64) -> Self {
        let mut left = bytes;
        self.places.retain(|place| {
            let (request, answer) = Exchange::draw(self.seed, *place).bytes();
            match left.checked_sub(request + answer) {
                Some(rest) => {
                    left = rest;
                    true
                }
                None => false,
            }
        });
        self
    }
}

/// An exchange whose ends differ.
#[derive(Debug)]
pub struct Failure {
    /// Its number: with the seed, all that is needed to play it again.
    pub index: u64,
    /// What was drawn, in short.
    pub drawn: String,
    /// What differed.
    pub differences: Vec<String>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Exchanges played.
    pub exchanges: usize,
    /// Exchanges that reached the provider.
    pub reached: usize,
    /// Bytes of bodies sent by users and received by them.
    pub bytes: u64,
    /// Bodies of at least [`LARGE_BYTES`] that arrived whole.
    pub large: usize,
    /// How long it took.
    pub lasted: Duration,
    /// Where ends differ.
    pub failures: Vec<Failure>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "identity, seed {}: {} exchanges, {} of them at the provider, {} MiB of bodies, {} \
             bodies of 16 MiB or more, {:.1} s: {} differ",
            self.seed,
            self.exchanges,
            self.reached,
            self.bytes >> 20,
            self.large,
            self.lasted.as_secs_f64(),
            self.failures.len(),
        )?;
        for failure in self.failures.iter().take(SHOWN_MAX) {
            let Failure { index, drawn, differences } = failure;
            writeln!(f, "weft-loadtest identity --seed {} --exchange {index}", self.seed)?;
            writeln!(f, "  drawn: {drawn}")?;
            for difference in differences {
                writeln!(f, "  {difference}")?;
            }
        }
        Ok(())
    }
}

/// Plays `plan` in `world`, whose accounts must speak the version of HTTP that its places say.
///
/// # Cancel safety
/// What was under way is given up.
pub async fn run(world: &World, plan: &Plan) -> Report {
    let began = Instant::now();
    let (next, shared) = (AtomicUsize::new(0), Mutex::new(None));
    let workers = (0..plan.at_once).map(|_| async {
        let mut lines = Lines::new(world.caller(), &shared);
        let (mut played, mut late) = (Vec::new(), Vec::new());
        while let Some(place) = plan.places.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = play(world, Exchange::draw(plan.seed, *place), &mut lines).await;
            match one {
                // The user left so early that the provider may hear of it after all else.
                Ok(one) if one.seen.calls == 0 && one.may_be_late() => late.push(one),
                other => played.push(other.map(Played::judged)),
            }
        }
        (played, late)
    });
    let mut report = Report { seed: plan.seed, ..Report::default() };
    for (played, late) in join_all(workers).await {
        for one in played {
            report.take(one);
        }
        for mut one in late {
            one.seen = one.ticket.seen();
            if one.seen.calls > 0 {
                one.seen = over(&mut one.ticket).await;
            }
            report.take(Ok(one.judged()));
        }
    }
    report.lasted = began.elapsed();
    report
}

/// An exchange after its end.
struct Played {
    exchange: Exchange,
    ticket: Ticket,
    sent: HeaderMap,
    told: Told,
    seen: Seen,
}

/// The same, compared.
struct Judged {
    bytes: [u64; 2],
    reached: bool,
    whole: bool,
    failure: Option<Failure>,
}

async fn play(world: &World, exchange: Exchange, lines: &mut Lines<'_>) -> Result<Played, Failure> {
    let mut ticket = world.provider.script(exchange.script());
    let sent = headers(&exchange, &ticket, &world.key.secret);
    let told = lines.play(&exchange, &mut ticket, &world.key.secret).await;
    let told = told.map_err(|error| Failure {
        index: exchange.place.index(),
        drawn: drawn(&exchange),
        differences: vec![format!("no connection: {error:?}")],
    })?;
    let seen = if ticket.seen().calls > 0 { over(&mut ticket).await } else { ticket.seen() };
    Ok(Played { exchange, ticket, sent, told, seen })
}

/// What the provider saw, once it is over there.
async fn over(ticket: &mut Ticket) -> Seen {
    match timeout(GONE_WITHIN, ticket.when(Seen::is_over)).await {
        Ok(seen) => seen,
        Err(_) => ticket.seen(),
    }
}

impl Played {
    fn may_be_late(&self) -> bool {
        matches!(self.exchange.request.leaving, Some(Leaving::Uploading(_)))
    }

    fn judged(self) -> Judged {
        let Self { exchange, sent, told, seen, ticket: _ticket } = self;
        let mut differences = differences(&exchange, &sent, &told, &seen);
        if !differences.is_empty()
            && let Some((status, headers)) = told.head.as_ref()
        {
            let whose = if headers.contains_key("x-should-retry") { "maybe the hub's" } else { "" };
            differences.push(format!("the user was told {status} {whose} ({:?})", told.broken));
        }
        let failure = (!differences.is_empty()).then(|| Failure {
            index: exchange.place.index(),
            drawn: drawn(&exchange),
            differences,
        });
        Judged {
            bytes: [told.sent.bytes, told.bytes],
            reached: seen.calls > 0,
            whole: told.broken.is_none(),
            failure,
        }
    }
}

impl Report {
    fn take(&mut self, one: Result<Judged, Failure>) {
        self.exchanges += 1;
        match one {
            Ok(Judged { bytes, reached, whole, failure }) => {
                self.bytes += bytes[0] + bytes[1];
                self.reached += usize::from(reached);
                if whole {
                    self.large += bytes.iter().filter(|bytes| **bytes >= LARGE_BYTES).count();
                }
                self.failures.extend(failure);
            }
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// What was drawn, on one line.
#[must_use]
pub fn drawn(exchange: &Exchange) -> String {
    let Exchange { place, caller, request, answer, .. } = exchange;
    format!(
        "{:?} {:?} {}; user over {caller:?} sends {} bytes (declared: {}, expects: {}, {:?}, \
         leaving: {:?}); provider over {:?} answers {:?} {} with {} bytes ({:?} {:?}, {:?}, \
         trailers: {}) ending {:?}; steps of at most {} s",
        place.dialect,
        place.class,
        request.target,
        request.length,
        request.declared,
        request.expects,
        request.split,
        request.leaving,
        place.upstream,
        answer.when,
        answer.status.as_u16(),
        answer.content.length(),
        answer.coding,
        answer.framing,
        answer.split,
        answer.trailers.is_some(),
        answer.end,
        STEP_MAX.as_secs(),
    )
}
