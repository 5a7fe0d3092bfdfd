//! `weft-loadtest demo`: a mesh that a person can look at, and use, in one command.
//!
//! It does what an operator and an owner would do, with the real binaries: a hub is made and
//! served, an agent joins it by an invite and gets its accounts, and one completion is streamed
//! through it. Then it says how to use the mesh, and stays up until it is interrupted. The provider
//! is a real one where a key is in the environment, else a small model on this machine, else the
//! simulated provider; it always says which. It never passes a provider's key on to the hub.

mod ports;
mod show;
mod source;
mod stream;

use crate::mesh::process::Process;
use crate::mesh::{Agent, Binaries, Caller, Hub, MeshError};
use anyhow::Context;
use show::Screen;
use source::{Account, Source};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The owner of the demo's agent, and the house that its user belongs to.
const OWNER: &str = "demo-owner";
/// The demo's user.
const USER: &str = "demo-user";
/// How often the cost of the completion is looked for.
const COST_LOOKS: usize = 20;
/// How often the children are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long running streams get after an interrupt; a second one ends them at once.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Interrupts that may wait to be read; the second one forces, more say nothing.
const INTERRUPTS_MAX: usize = 2;
/// The folder for demos inside the state directory.
const STATE_FOLDER: &str = "weft-demo";

/// Starts a hub and an agent, streams a completion through them, and stays up until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The provider: OPENAI_API_KEY, ANTHROPIC_API_KEY, DEEPSEEK_API_KEY, or AZURE_OPENAI_API_KEY\n\
    with AZURE_OPENAI_ENDPOINT (and AZURE_OPENAI_DEPLOYMENT) choose real ones. With none of them,\n\
    WEFT_DEMO_PYTHON and WEFT_DEMO_MODEL_SERVER start a small model on this machine; else the\n\
    bundled simulated provider answers.\n\n\
    Example:\n  weft-loadtest demo --prompt 'What does a loom do?'"
)]
pub struct Args {
    /// New or empty directory for the demo's data, which stays; without it, one that goes
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What to ask
    #[arg(long, default_value = "What is a weft? Answer in one sentence.")]
    prompt: String,
    /// The model to ask, instead of the provider's default here
    #[arg(long)]
    model: Option<String>,
    /// Ends after the first completion instead of staying up
    #[arg(long)]
    once: bool,
}

/// Runs until the process is interrupted, or a child dies.
///
/// # Errors
/// What did not come up, with the end of its log.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut screen = Screen::new();
    let mut interrupts = Interrupts::listen()?;
    let home = Home::make(args.data.as_deref())?;
    let mut children = Vec::new();
    let ended = tokio::select! {
        biased;
        () = interrupts.next() => Ok(()),
        ended = live(&args, home.path(), &mut screen, &mut children) => ended,
    };
    if !children.is_empty() {
        screen.stopping()?;
        tokio::select! {
            biased;
            () = interrupts.next() => {}
            stopped = stop(&mut children) => stopped?,
        }
    }
    drop(children);
    match ended {
        Ok(()) => Ok(home.tidy()?),
        Err(error) => {
            let kept = home.keep();
            Err(error
                .context(format!("the demo failed; its data and logs stay in {}", kept.display())))
        }
    }
}

/// Brings everything up and watches over it. Children are put into `children` as they start, so
/// that whoever drops this future can still stop them gracefully.
async fn live(
    args: &Args,
    home: &Path,
    screen: &mut Screen,
    children: &mut Vec<Process>,
) -> anyhow::Result<()> {
    let binaries = Binaries::beside(&std::env::current_exe().context("where am I?")?)?;
    let source = Source::choose(args.model.as_deref())?;
    screen.source(&source, home)?;
    let (accounts, simulated) = backend(source, home, children).await?;

    let data = home.join("hub");
    Hub::init(&binaries.hub(), &data)?;
    let (doors, moved) = ports::choose();
    screen.moved(&moved)?;
    let mut hub = Hub::serve(&binaries.hub(), &data, doors, &[], &home.join("hub.log")).await?;
    // What the hub brings along are the prices of the real ones.
    if !simulated.is_empty() {
        hub.price_everything()?;
    }
    hub.add_user(USER, Some(OWNER))?;
    let key = hub.add_key(USER, &[])?;
    screen.hub(&hub)?;

    let program = if simulated.is_empty() { binaries.agent() } else { binaries.agent_sim() };
    let invite = hub.invite(OWNER)?;
    let agent = Agent::join(&program, &home.join("agent"), "demo-agent", &invite)?;
    for account in &accounts {
        let more: Vec<&str> = account.words.iter().map(String::as_str).collect();
        agent.add_account(account.provider, "demo", account.secret.expose(), &more)?;
    }
    children.push(agent.run(&simulated, &[], &home.join("agent.log"))?);
    let offered = tokio::select! {
        biased;
        died = first_death(children) => Err(died?),
        offered = hub.offers(accounts.len()) => offered,
    };
    offered?;
    screen.agent(&program, &accounts)?;

    let caller = Caller::new(hub.users(), &hub.ca())?;
    let (users, ca) = (hub.users(), hub.ca());
    children.push(hub.into_process());
    let first = accounts.first().context("no account")?;
    stream::completion(&caller, first, &key.secret, &args.prompt, screen).await?;
    if let Some((cost, balance)) = cost(&binaries.hub(), &data).await? {
        screen.cost(&cost, &balance)?;
    }
    if args.once {
        return Ok(());
    }
    screen.usage(users, &ca, &key.secret, &accounts)?;
    Err(first_death(children).await?.into())
}

/// What the completion cost and what its user has left, USD, once that is written; `None` where it is
/// not in time.
async fn cost(program: &Path, data: &Path) -> anyhow::Result<Option<(String, String)>> {
    for _ in 0..COST_LOOKS {
        let told = Hub::ask_of(program, data, &["ledger", "statement", "--user", USER])?;
        let lines = told["lines"].as_array().into_iter().flatten();
        let mut exchanges = lines.filter(|line| line["what"] == "exchange");
        let amount = exchanges.next().and_then(|line| line["amount"].as_str());
        let balance = told["balances"][0]["balance"].as_str();
        if let (Some(amount), Some(balance)) = (amount, balance) {
            return Ok(Some((amount.trim_start_matches('-').to_owned(), balance.to_owned())));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

/// Starts what answers, where that is on this machine; what agents need to know of it.
async fn backend(
    source: Source,
    home: &Path,
    children: &mut Vec<Process>,
) -> anyhow::Result<(Vec<Account>, Vec<String>)> {
    match source {
        Source::Official(accounts) => Ok((accounts, Vec::new())),
        Source::SmallModel(program) => {
            let (process, url, model) = program.start(&home.join("model.log")).await?;
            children.push(process);
            Ok(source::on_this_machine(&url, &model, &source::SMALL_MODEL_DIALECTS))
        }
        Source::Simulated { model, .. } => {
            let program = std::env::current_exe().context("where am I?")?;
            let (process, url) =
                source::start_simulated(&program, &home.join("provider.log")).await?;
            children.push(process);
            Ok(source::on_this_machine(&url, &model, &source::SIMULATED_DIALECTS))
        }
    }
}

/// Waits until one of the children has ended: the error that tells it.
async fn first_death(children: &mut [Process]) -> anyhow::Result<MeshError> {
    loop {
        for child in children.iter_mut() {
            if let Err(died) = child.check() {
                return Ok(died);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends the children, those that others need last: agents, then the hub, then what answers.
async fn stop(children: &mut [Process]) -> Result<(), MeshError> {
    for child in children.iter_mut().rev() {
        child.stop(STOP_MAX).await?;
    }
    Ok(())
}

/// SIGINT and SIGTERM, one by one.
struct Interrupts {
    queue: mpsc::Receiver<()>,
    _reader: JoinSet<()>,
}

impl Interrupts {
    fn listen() -> anyhow::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let (sender, queue) = mpsc::channel(INTERRUPTS_MAX);
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
                    return;
                }
            }
        });
        Ok(Self { queue, _reader: reader })
    }

    /// Cancel safe.
    async fn next(&mut self) {
        if self.queue.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Where the demo's files are.
enum Home {
    Kept(PathBuf),
    Goes(tempfile::TempDir),
}

impl Home {
    fn make(wanted: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = wanted {
            std::fs::create_dir_all(path).with_context(|| format!("{}", path.display()))?;
            let path = path.canonicalize().with_context(|| format!("{}", path.display()))?;
            let mut entries =
                std::fs::read_dir(&path).with_context(|| format!("{}", path.display()))?;
            anyhow::ensure!(
                entries.next().is_none(),
                "{} is not empty: name a new directory",
                path.display()
            );
            return Ok(Self::Kept(path));
        }
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.filter(|path| path.is_absolute()).or_else(|| {
            let home = std::env::home_dir().filter(|home| home.is_absolute());
            home.map(|home| home.join(".local/state"))
        });
        let made = state.and_then(|state| {
            let parent = state.join(STATE_FOLDER);
            std::fs::create_dir_all(&parent).ok()?;
            tempfile::Builder::new().prefix("run-").tempdir_in(parent).ok()
        });
        match made {
            Some(made) => Ok(Self::Goes(made)),
            None => tempfile::Builder::new()
                .prefix("weft-demo-")
                .tempdir()
                .map(Self::Goes)
                .context("no directory for the demo's data; name one with --data"),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Goes(dir) => dir.path(),
        }
    }

    fn tidy(self) -> std::io::Result<()> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Goes(dir) => dir.close(),
        }
    }

    fn keep(self) -> PathBuf {
        match self {
            Self::Kept(path) => path,
            Self::Goes(dir) => dir.keep(),
        }
    }
}
