//! `weft-loadtest link`: a network of namespaces, and commands inside it.
//!
//! The commands have the terminal; what this program says goes to standard error, so that a
//! command's output can be piped on.

use super::amount::{self, Rate, Share};
use super::loss::Loss;
use super::network::{Network, Plan, sweep};
use super::place::{Access, Place};
use super::report::{Report, words};
use super::shaping::{Draft, Impossible, Reorder};
use anyhow::Context;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How long processes are given to end by themselves.
const GRACE: Duration = Duration::from_secs(5);
/// How often children are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the far command may take to open the port that is waited for.
const PORT_WITHIN: Duration = Duration::from_secs(30);
/// How long one attempt at that port may take.
const CONNECT_WITHIN: Duration = Duration::from_millis(200);
/// The longest run.
const AT_MOST_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The shortest time between two addresses of a NAT.
const REBIND_MIN: Duration = Duration::from_millis(100);
/// How much later a held-back packet is, where nothing is said.
const REORDER_BY: &str = "10ms";

/// Joins network namespaces by links with the delay, rate and loss of named places, and runs
/// commands in them.
///
/// A far end, and a near end for each --place, each a host of its own with an address of
/// 198.18.0.0/15 and nothing else to talk to. The link of a near end is what lies between it and
/// the far end. Settings are for each direction, and replace those of the place; a loss of 2 %
/// loses 2 % on the way up and 2 % on the way down. Needs root, or CAP_SYS_ADMIN and
/// CAP_NET_ADMIN, and /dev/net/tun.
///
/// What runs inside finds the addresses in WEFT_LINK_HERE, WEFT_LINK_FAR and WEFT_LINK_NEAR. When
/// the commands at the near ends have ended, everything is taken down, and what the links did is
/// printed on standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    weft-loadtest link --place mobile --far 'python3 -m http.server' --wait-for 8000 -- \
    sh -c 'curl http://$WEFT_LINK_FAR:8000/'\n  \
    weft-loadtest link --rtt 50ms --loss 2% -- ping -c 10 198.18.0.1\n  \
    weft-loadtest link --place cafe --block-udp --far ./server -- ./client\n  \
    weft-loadtest link --place fibre --place satellite --far ./hub -- ./agent\n  \
    weft-loadtest link --place home          stays up until Ctrl-C and says how to enter")]
pub struct Args {
    /// Where a near end is; again for another near end
    #[arg(long, value_enum, value_name = "PLACE")]
    place: Vec<Place>,
    /// Delay, one way
    #[arg(long, value_name = "TIME", value_parser = amount::duration, conflicts_with = "rtt")]
    delay: Option<Duration>,
    /// Delay of both ways together, half of it each
    #[arg(long, value_name = "TIME", value_parser = amount::duration)]
    rtt: Option<Duration>,
    /// How far the delay wanders, to either side
    #[arg(long, value_name = "TIME", value_parser = amount::duration)]
    jitter: Option<Duration>,
    /// Rate both up and down, such as 20mbit
    #[arg(long, value_name = "RATE", conflicts_with_all = ["up", "down"])]
    rate: Option<Rate>,
    /// Rate from the near end
    #[arg(long, value_name = "RATE")]
    up: Option<Rate>,
    /// Rate to the near end
    #[arg(long, value_name = "RATE")]
    down: Option<Rate>,
    /// Bytes that wait for the rate; packets that find no room are dropped
    #[arg(long, value_name = "SIZE", value_parser = amount::size)]
    queue: Option<u64>,
    /// Share of packets that are lost
    #[arg(long, value_name = "PERCENT")]
    loss: Option<Share>,
    /// Lose packets in bursts, so many in a row on average
    #[arg(long, value_name = "PACKETS")]
    burst: Option<NonZeroU32>,
    /// Share of packets that arrive behind later ones
    #[arg(long, value_name = "PERCENT")]
    reorder: Option<Share>,
    /// How much later than their turn those arrive
    #[arg(long, value_name = "TIME", value_parser = amount::duration, requires = "reorder",
        default_value = REORDER_BY)]
    reorder_by: Duration,
    /// Share of packets that arrive twice
    #[arg(long, value_name = "PERCENT")]
    duplicate: Option<Share>,
    /// The largest packet in bytes; larger ones vanish
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u16>,
    /// Drop all UDP, as some firewalls do
    #[arg(long)]
    block_udp: bool,
    /// Give near ends another address each so often, as a NAT does that forgets
    #[arg(long, value_name = "TIME", value_parser = amount::duration)]
    rebind_every: Option<Duration>,
    /// The seed of all chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End everything after this time
    #[arg(long, value_name = "TIME", value_parser = amount::duration, default_value = "1h")]
    at_most: Duration,
    /// A command line for the far end, run by sh; it is ended when the near commands have
    #[arg(long, value_name = "COMMAND")]
    far: Option<String>,
    /// Start the near commands when the far end listens on this TCP port
    #[arg(long, value_name = "PORT", requires = "far")]
    wait_for: Option<u16>,
    /// Write what the links did to this file as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The command that runs at each near end
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Lays the network, runs the commands, and takes everything down.
///
/// # Errors
/// Where a setting cannot be, the machine forbids it, a command fails, or the run is broken off.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let links = args.links()?;
    anyhow::ensure!(
        !args.at_most.is_zero() && args.at_most <= AT_MOST_MAX,
        "--at-most {:?} is no length of a run: more than nothing, and 24h at most",
        args.at_most
    );
    anyhow::ensure!(
        args.rebind_every.is_none_or(|every| every >= REBIND_MIN),
        "--rebind-every is too short for any NAT: {REBIND_MIN:?} is the least"
    );
    // Before anything is made: from here on a signal is ours, not the end of this process.
    let mut signals = Signals::new()?;
    match sweep(GRACE).await {
        (0, _) => {}
        (found, left) => eprintln!("link: ended {} processes of a run that died", found - left),
    }
    let network = Network::lay(Plan { near: links.clone(), seed: args.seed })?;
    let began = Instant::now();
    say(&network, &links);
    let outcome = args.play(&network, &mut signals).await;
    let (_, left) = network.end_processes(GRACE).await;
    let report = Report::new(&network, &links, args.seed, began.elapsed());
    drop(network);
    eprint!("{}", report.table());
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    anyhow::ensure!(left == 0, "{left} processes of the network could not be ended");
    outcome
}

impl Args {
    /// The link of each near end: its place, with what was said otherwise.
    fn links(&self) -> anyhow::Result<Vec<Access>> {
        let places = if self.place.is_empty() { &[Place::Clear] } else { self.place.as_slice() };
        places.iter().map(|place| self.link(*place)).collect()
    }

    fn link(&self, place: Place) -> anyhow::Result<Access> {
        let (up, down) = place.drafts();
        let up = self.draft(up, self.up.or(self.rate))?;
        let down = self.draft(down, self.down.or(self.rate))?;
        Access::new(up, down).map_err(|impossible: Impossible| anyhow::anyhow!(impossible))
    }

    fn draft(&self, place: Draft, rate: Option<Rate>) -> anyhow::Result<Draft> {
        Ok(Draft {
            delay: self.delay.or_else(|| self.rtt.map(|both| both / 2)).unwrap_or(place.delay),
            jitter: self.jitter.unwrap_or(place.jitter),
            rate: rate.or(place.rate),
            queue_bytes: self.queue.unwrap_or(place.queue_bytes),
            loss: self.losses(place.loss)?,
            reorder: match self.reorder {
                Some(share) => Some(Reorder { share, by: self.reorder_by }),
                None => place.reorder,
            },
            duplicate: self.duplicate.unwrap_or(place.duplicate),
            mtu: self.mtu.unwrap_or(place.mtu),
            udp_blocked: self.block_udp || place.udp_blocked,
        })
    }

    fn losses(&self, place: Loss) -> anyhow::Result<Loss> {
        let share = self.loss.unwrap_or_else(|| place.share());
        match (self.burst, self.loss) {
            (Some(_), _) if share == Share::NONE => {
                anyhow::bail!("--burst says how packets are lost, and none are: give --loss, too")
            }
            (Some(mean), _) => Ok(Loss::Burst { share, mean }),
            (None, Some(Share::NONE)) => Ok(Loss::None),
            (None, Some(share)) => Ok(Loss::Random { share }),
            (None, None) => Ok(place),
        }
    }

    /// Gives near ends other addresses again and again; never ends.
    async fn rebind(&self, network: &Network) {
        let Some(every) = self.rebind_every else { return std::future::pending().await };
        loop {
            tokio::time::sleep(every).await;
            for index in 0..network.near().len() {
                network.rebind(index);
            }
        }
    }

    /// Starts what is to run and waits for its end, a signal, or the time.
    async fn play(&self, network: &Network, signals: &mut Signals) -> anyhow::Result<()> {
        let end = Instant::now() + self.at_most;
        let work = async {
            let mut far = self.far.as_deref().map(|line| start_far(network, line)).transpose()?;
            if let (Some(port), Some(far)) = (self.wait_for, &mut far) {
                wait_for(network, far, port).await?;
            }
            match self.command.split_first() {
                Some((program, rest)) => {
                    let near = start_near(network, program, rest)?;
                    wait_near(network, near, far).await
                }
                None => wait_far(network, far).await,
            }
        };
        let interactive = self.command.is_empty();
        tokio::select! {
            biased;
            name = signals.next() => {
                // Without a command at the near ends this is how a run is meant to end.
                anyhow::ensure!(interactive, "broken off by {name}");
                Ok(())
            }
            () = self.rebind(network) => Ok(()),
            () = sleep_until(end) => anyhow::bail!("broken off after {:?} (--at-most)", self.at_most),
            outcome = work => outcome,
        }
    }
}

fn say(network: &Network, links: &[Access]) {
    let far = network.far();
    let enter = |host: &super::Host| format!("nsenter --net={}", host.namespace().path().display());
    eprintln!("link: far {}; {}", far.address(), enter(far));
    for (host, access) in network.near().iter().zip(links) {
        eprintln!("link: {} {}; {}", host.name(), host.address(), enter(host));
        eprintln!("link:   up   {}", words(access.up.settings()));
        eprintln!("link:   down {}", words(access.down.settings()));
    }
}

fn start_far(network: &Network, line: &str) -> anyhow::Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    Ok(network.spawn(network.far(), command)?)
}

fn start_near(network: &Network, program: &str, rest: &[String]) -> anyhow::Result<Vec<Child>> {
    let each = network.near().iter().map(|host| {
        let mut command = Command::new(program);
        command.args(rest);
        Ok(network.spawn(host, command)?)
    });
    each.collect()
}

/// Waits until the far end takes connections on `port`.
async fn wait_for(network: &Network, far: &mut Child, port: u16) -> anyhow::Result<()> {
    let address = SocketAddr::from((network.far().address(), port));
    let end = Instant::now() + PORT_WITHIN;
    loop {
        if let Some(status) = far.try_wait()? {
            anyhow::bail!("the far command ended before it listened on port {port}: {status}");
        }
        // From inside the far end itself: the link is not asked, and may lose all.
        let connected = network
            .far()
            .namespace()
            .inside(move || TcpStream::connect_timeout(&address, CONNECT_WITHIN).is_ok())?;
        if connected {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < end,
            "the far command did not listen on {address} within {PORT_WITHIN:?}"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits for every near command; the first that fails is the outcome.
async fn wait_near(
    network: &Network,
    mut near: Vec<Child>,
    mut far: Option<Child>,
) -> anyhow::Result<()> {
    let mut ended: Vec<Option<ExitStatus>> = vec![None; near.len()];
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while ended.iter().any(Option::is_none) {
        ticks.tick().await;
        network.check()?;
        for (child, ended) in near.iter_mut().zip(&mut ended) {
            if ended.is_none() {
                *ended = child.try_wait()?;
            }
        }
        if let Some(child) = &mut far
            && let Some(status) = child.try_wait()?
        {
            // The near commands may be done with it: told, not judged.
            if !status.success() {
                eprintln!("link: the far command ended: {status}");
            }
            far = None;
        }
    }
    let mut all = network.near().iter().zip(ended.into_iter().flatten());
    match all.find(|(_, status)| !status.success()) {
        Some((host, status)) => anyhow::bail!("the command at {} ended: {status}", host.name()),
        None => Ok(()),
    }
}

/// Waits for the far command, or for ever where there is none.
async fn wait_far(network: &Network, mut far: Option<Child>) -> anyhow::Result<()> {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        network.check()?;
        if let Some(child) = &mut far
            && let Some(status) = child.try_wait()?
        {
            anyhow::ensure!(status.success(), "the far command ended: {status}");
            return Ok(());
        }
    }
}

/// The signals that end a run.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("waiting for signals");
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hang_up: of(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn links(line: &[&str]) -> anyhow::Result<Vec<Access>> {
        Cli::try_parse_from([&["link"], line].concat())?.args.links()
    }

    #[test]
    fn what_is_said_replaces_what_the_place_has() {
        let found = links(&["--place", "mobile", "--rtt", "10ms", "--jitter", "0ms"]).unwrap();
        let up = found[0].up.settings();
        assert_eq!(up.delay, Duration::from_millis(5));
        assert_eq!(up.rate, "8mbit".parse().ok());
        let found = links(&["--place", "mobile", "--down", "1mbit", "--loss", "0"]).unwrap();
        assert_eq!(found[0].up.settings().rate, "8mbit".parse().ok());
        assert_eq!(found[0].down.settings().rate, "1mbit".parse().ok());
        assert_eq!(found[0].down.settings().loss, Loss::None);
    }

    #[test]
    fn each_place_is_a_near_end() {
        assert_eq!(links(&["--place", "home", "--place", "cafe"]).unwrap().len(), 2);
        assert_eq!(links(&[]).unwrap(), [Access::default()]);
    }

    #[test]
    fn impossible_settings_are_refused_with_a_sentence() {
        for (line, word) in [
            (&["--jitter", "5ms"][..], "before they were sent"),
            (&["--place", "home", "--mtu", "100"], "none that hosts take"),
            (&["--burst", "3"], "give --loss"),
            (&["--loss", "100%", "--burst", "3"], "longer bursts"),
            (&["--loss", "101%"], "from 0 to 100"),
            (&["--rate", "5"], "such as 20mbit"),
            (&["--queue", "1KiB", "--rate", "1mbit"], "never takes a packet"),
            (&["--delay", "1h"], "late beyond use"),
            (&["--reorder", "100%"], "reorders nothing"),
            (&["--rate", "1mbit", "--up", "1mbit"], "cannot be used with"),
        ] {
            let error = links(line).unwrap_err().to_string();
            assert!(error.contains(word), "{line:?}: {error}");
        }
    }
}
