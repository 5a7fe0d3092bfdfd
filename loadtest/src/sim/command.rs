//! `weft-loadtest sim`: replays seeds of the simulation.

use clap::Args as ClapArgs;

/// Replays worlds of the deterministic simulation.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  weft-loadtest sim --seed 17 --trace")]
pub struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, counted upwards.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Prints the trace of events as well.
    #[arg(long)]
    trace: bool,
}

/// Runs the worlds on threads of their own and prints what became of them.
///
/// # Errors
/// Where something did not hold, or a world could not be built.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for seed in args.seed..args.seed.saturating_add(args.count) {
        // A world brings runtimes of its own, which must not be built inside another one.
        let report = tokio::task::spawn_blocking(move || super::run(seed, args.trace)).await??;
        for line in &report.lines {
            println!("{line}");
        }
        println!("{report}");
        if !report.holds() {
            failed.push(seed.to_string());
        }
    }
    anyhow::ensure!(failed.is_empty(), "seeds that do not hold: {}", failed.join(" "));
    Ok(())
}
