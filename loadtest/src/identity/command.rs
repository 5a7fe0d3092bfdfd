//! `weft-loadtest identity`: exchanges out of a seed, or one of them again.

use super::place::{Class, Place, Upstream};
use super::run::{Plan, Report, run};
use crate::mesh::World;
use crate::mesh::world;
use anyhow::Context;
use std::path::Path;

/// Exchanges under way at once, where nothing else is said.
const AT_ONCE: usize = 6;

/// Plays exchanges drawn from a seed over a mesh of its own, and compares both ends of each.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weft-loadtest identity --seed 7\n  \
    weft-loadtest identity --seed 7 --exchange 1234")]
pub struct Args {
    /// The seed from which all is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Plays this one alone, as a failure names it
    #[arg(long, value_name = "I")]
    exchange: Option<u64>,
    /// Exchanges of each dialect, class of sizes and version of HTTP towards the provider
    #[arg(long, value_name = "N", default_value_t = 3)]
    exchanges: u64,
    /// Exchanges under way at once
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    at_once: usize,
}

/// Plays them, and prints where ends differ.
///
/// # Errors
/// Where a mesh does not come up, or any exchange differs.
pub async fn execute(args: Args) -> anyhow::Result<()> {
    let Args { seed, exchange, exchanges, at_once } = args;
    let plans = match exchange {
        Some(index) => {
            let place = Place::at(index);
            vec![(place.upstream, Plan { seed, places: vec![place], at_once: 1 })]
        }
        None => [Upstream::H1, Upstream::H2]
            .map(|upstream| {
                let classes = Class::ALL.map(|class| (class, exchanges));
                (upstream, Plan::of(seed, upstream, &classes, at_once))
            })
            .into(),
    };
    let mut differ = 0;
    for (upstream, plan) in plans {
        let report = over(upstream, &plan).await?;
        println!("{report}");
        if let (Some(_), Some(place)) = (exchange, plan.places.first()) {
            println!("  drawn: {}", super::run::drawn(&super::draw::Exchange::draw(seed, *place)));
        }
        differ += report.failures.len();
    }
    anyhow::ensure!(differ == 0, "{differ} exchanges differ");
    Ok(())
}

async fn over(upstream: Upstream, plan: &Plan) -> anyhow::Result<Report> {
    let own = std::env::current_exe().context("where is this program?")?;
    let world = begin(&own, upstream).await?;
    let report = run(&world, plan).await;
    world.end().await?;
    Ok(report)
}

/// What the user of such a world has beside its usual credit: megabytes of text are dear to speak.
const CREDIT: &str = "1000000.00";

/// Begins a world in which exchanges over `upstream` are played; `executable` is this program's.
///
/// # Errors
/// Why it does not begin.
///
/// # Cancel safety
/// A dropped call takes down what had begun.
pub async fn begin(executable: &Path, upstream: Upstream) -> anyhow::Result<World> {
    let world = World::begin(executable, mesh(upstream)).await?;
    world.hub.credit(world::USER, CREDIT)?;
    Ok(world)
}

fn mesh(upstream: Upstream) -> world::Plan {
    let account = match upstream {
        Upstream::H1 => Vec::new(),
        Upstream::H2 => vec!["--http2"],
    };
    world::Plan { account, ..world::Plan::default() }
}
