//! Both ledgers as their own commands tell them, and whether they say the same.

use crate::talk::LIMIT;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use weft_loadtest::mesh::process::command;
use weft_loadtest::mesh::world::{OWNER, World};

/// Nano-USD in a USD.
pub(crate) const NANOS: i128 = 1_000_000_000;

/// Decimal USD as nano-USD.
#[track_caller]
pub(crate) fn nanos(usd: &Value) -> i128 {
    let text = usd.as_str().expect("an amount");
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let part: i128 = format!("{part:0<9}").parse().expect("decimals");
    sign * (whole.parse::<i128>().expect("USD") * NANOS + part)
}

/// What a command printed, and whether it was content.
fn said(program: &Path, data: &Path, words: &[&str]) -> (bool, String, String) {
    let mut command = command(program);
    let output = command.args(words).arg("--json").arg("--data").arg(data).output();
    let output = output.expect("the command runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// What the hub settled of an exchange, as its user's statement tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Nano-USD that the user was charged.
    pub(crate) charge: i128,
    /// Tokens read and written.
    pub(crate) tokens: (u64, u64),
    pub(crate) basis: String,
    /// How the owner's side stands.
    pub(crate) leg: String,
}

/// What an agent wrote of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) exchange: String,
    pub(crate) end: String,
    pub(crate) basis: String,
    /// Units by the names of their classes.
    pub(crate) usage: BTreeMap<String, u64>,
    pub(crate) claimed: i128,
    /// The hub's newest word; none where it has said nothing.
    pub(crate) verdict: Option<String>,
    /// The income that it is.
    pub(crate) income: i128,
}

impl Closed {
    fn of(row: &Value) -> Self {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let usage = row["usage"].as_object().expect("usage").iter();
        Self {
            exchange: text("exchange"),
            end: text("end"),
            basis: text("basis"),
            usage: usage.map(|(class, units)| (class.clone(), units.as_u64().unwrap())).collect(),
            claimed: row["claimed_nanos"].as_i64().unwrap_or_default().into(),
            verdict: row["verdict"].as_str().map(str::to_owned),
            income: row["income_nanos"].as_i64().unwrap_or_default().into(),
        }
    }

    /// Whether the hub will say no more.
    fn is_final(&self) -> bool {
        matches!(self.verdict.as_deref(), Some("paid" | "refused"))
    }
}

/// Both ledgers, the agents' read before the hub's: what happens in between, only the hub's knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Books {
    /// What was settled, by exchange.
    pub(crate) settled: BTreeMap<String, Settled>,
    /// Deposits and the like, nano-USD.
    pub(crate) given: i128,
    /// What the users have left, nano-USD.
    pub(crate) left: i128,
    /// What of that is held.
    pub(crate) held: i128,
    /// What the owner was paid, by exchange.
    pub(crate) paid: BTreeMap<String, i128>,
    /// The owner's vesting and wallet together.
    pub(crate) owned: i128,
    /// What all agents wrote.
    pub(crate) closed: Vec<Closed>,
    /// What all agents add up themselves.
    pub(crate) income: i128,
}

impl Books {
    /// Reads both, with the money of these users.
    pub(crate) fn read(world: &World, users: &[&str]) -> Self {
        let mut books = Self {
            settled: BTreeMap::new(),
            given: 0,
            left: 0,
            held: 0,
            paid: BTreeMap::new(),
            owned: 0,
            closed: Vec::new(),
            income: 0,
        };
        // The agents first: what the hub has said to them, it has written before.
        for agent in 0..world.agents.len() {
            let (content, text, error) = agent_says(world, agent, &["ledger", "export"]);
            assert!(content, "{text}{error}");
            let rows = text.lines().map(|line| serde_json::from_str(line).expect("a row"));
            books.closed.extend(rows.map(|row: Value| Closed::of(&row)));
            let (content, text, error) = agent_says(world, agent, &["ledger", "statement"]);
            assert!(content, "{text}{error}");
            let statement: Value = serde_json::from_str(&text).expect("a statement");
            let income = statement["total"]["income_nanos"].as_str().expect("an income");
            books.income += income.parse::<i128>().expect("nano-USD");
        }
        for user in users {
            for line in lines(world, ["--user", user]) {
                let amount = nanos(&line["amount"]);
                if line["what"] != "exchange" {
                    books.given += amount;
                    continue;
                }
                let count = |name: &str| line[name].as_u64().unwrap_or_default();
                let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
                let settled = Settled {
                    charge: -amount,
                    tokens: (count("input"), count("output")),
                    basis: text("basis"),
                    leg: text("income"),
                };
                let twice = books.settled.insert(text("id"), settled);
                assert!(twice.is_none(), "settled twice: {line}");
            }
            let (balance, held) = balances(world, ["--user", user]);
            books.left += balance;
            books.held += held;
        }
        for line in lines(world, ["--owner", OWNER]) {
            if line["what"] == "exchange" {
                let id = line["id"].as_str().expect("an id").to_owned();
                books.paid.insert(id, nanos(&line["amount"]));
            }
        }
        books.owned = balances(world, ["--owner", OWNER]).0;
        books
    }

    /// What agents claim of an exchange, all attempts of it.
    pub(crate) fn closes<'a>(&'a self, exchange: &'a str) -> impl Iterator<Item = &'a Closed> {
        self.closed.iter().filter(move |close| close.exchange == exchange)
    }

    /// Claims that the hub has not decided.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Closed> {
        self.closed.iter().filter(|close| !close.is_final())
    }

    /// Claims that nobody can decide yet: neither end knows what became of the exchange. The end of
    /// the claim window decides them.
    fn is_unknown(&self, close: &Closed) -> bool {
        close.end == "interrupted" && !self.settled.contains_key(&close.exchange)
    }

    /// Settlements whose owner's side is open, where there is anything to it.
    fn open(&self) -> impl Iterator<Item = (&String, &Settled)> {
        self.settled.iter().filter(|(_, settled)| settled.leg == "open" && settled.charge > 0)
    }

    /// Whether nothing is under way between the two.
    fn is_at_rest(&self) -> bool {
        self.open().next().is_none() && self.waiting().all(|close| self.is_unknown(close))
    }

    /// Fails unless debits are credits, nothing is there twice, and what each end calls income is
    /// the same to the nano-dollar, exchange by exchange.
    #[track_caller]
    fn agree(&self) {
        let charged: i128 = self.settled.values().map(|settled| settled.charge).sum();
        assert_eq!(self.left, self.given - charged, "what was given less what was charged");
        let mut acknowledged: BTreeMap<&str, i128> = BTreeMap::new();
        for close in self.closed.iter().filter(|close| close.verdict.as_deref() == Some("paid")) {
            *acknowledged.entry(&close.exchange).or_default() += close.income;
        }
        acknowledged.retain(|_, income| *income != 0);
        let paid = self.paid.iter().map(|(id, paid)| (id.as_str(), *paid));
        let paid: BTreeMap<_, _> = paid.filter(|(_, paid)| *paid != 0).collect();
        let ids: BTreeSet<_> = paid.keys().chain(acknowledged.keys()).collect();
        let differ: Vec<_> = ids
            .into_iter()
            .filter(|id| paid.get(**id) != acknowledged.get(**id))
            .map(|id| {
                let closes: Vec<_> = self.closes(id).collect();
                format!("{id}: {:?}, {closes:?}", self.settled.get(*id))
            })
            .collect();
        assert!(differ.is_empty(), "paid is not acknowledged:\n{}", differ.join("\n"));
        assert_eq!(self.income, self.owned, "the sum of the agents, and of their owner at the hub");
    }
}

/// `weft-agent` on an agent's data.
pub(crate) fn agent_says(world: &World, agent: usize, words: &[&str]) -> (bool, String, String) {
    said(&world.binaries().agent_sim(), world.agents[agent].agent.data(), words)
}

/// Every line of a statement, the latest first.
fn lines(world: &World, whose: [&str; 2]) -> Vec<Value> {
    let (mut lines, mut known) = (Vec::new(), BTreeSet::new());
    let mut until: Option<String> = None;
    loop {
        let mut words = vec!["ledger", "statement", whose[0], whose[1]];
        words.extend(until.iter().flat_map(|until| ["--until", until]));
        let statement = world.hub.ask(&words).expect("a statement");
        let before = lines.len();
        for line in statement["lines"].as_array().expect("lines") {
            if known.insert(format!("{}{}", line["id"], line["what"])) {
                lines.push(line.clone());
            }
        }
        if statement["more"] != true || lines.len() == before {
            return lines;
        }
        // What else is of the last line's moment comes again, and is known.
        let last: jiff::Timestamp = lines[lines.len() - 1]["at"].as_str().unwrap().parse().unwrap();
        let after = last.as_microsecond() + 1;
        until = Some(jiff::Timestamp::from_microsecond(after).unwrap().to_string());
    }
}

/// The sum of all balances of a user or an owner, and what of it is held.
fn balances(world: &World, whose: [&str; 2]) -> (i128, i128) {
    let listed = world.hub.ask(&["ledger", "balance", whose[0], whose[1]]).expect("balances");
    let rows = listed.as_array().expect("rows").iter();
    rows.fold((0, 0), |sum, row| (sum.0 + nanos(&row["balance"]), sum.1 + nanos(&row["held"])))
}

/// The last complaints in the logs of a world.
pub(crate) fn complaints(world: &World) -> String {
    let agents = world.agents.iter().map(|running| running.process.log().to_owned());
    let logs = std::iter::once(world.hub_log()).chain(agents);
    let mut told = String::new();
    for log in logs {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let wrong = text.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
        let wrong: Vec<_> = wrong.collect();
        let last = &wrong[wrong.len().saturating_sub(12)..];
        told.push_str(&format!("{}:\n{}\n", log.display(), last.join("\n")));
    }
    told
}

/// Fails unless both `ledger verify` hold and have nothing to say.
#[track_caller]
pub(crate) fn verified(world: &World) {
    let (hub, data) = (world.binaries().hub(), world.hub.data());
    let (content, text, error) = said(&hub, data, &["ledger", "verify"]);
    assert!(content && text.contains("true"), "the hub's ledger: {text}{error}");
    for agent in 0..world.agents.len() {
        let (content, text, error) = agent_says(world, agent, &["ledger", "verify"]);
        let verdict: Value = serde_json::from_str(&text).expect("a verdict");
        assert!(content && verdict["ok"] == true, "agent {agent}'s ledger: {text}{error}");
    }
}

/// Waits until everything that agents claimed is decided, and fails unless both ledgers hold, each
/// by itself and one against the other. What they say then.
pub(crate) async fn agreed(world: &World, users: &[&str]) -> Books {
    agreed_within(world, users, LIMIT / 2).await
}

/// The same, where deciding takes longer.
pub(crate) async fn agreed_within(world: &World, users: &[&str], within: Duration) -> Books {
    let began = Instant::now();
    // Read twice alike, nothing happened between the agents' books and the hub's of the second read:
    // an answer's last byte is with its user a moment before its agent has written the end of it.
    let mut before = None;
    let books = loop {
        let books = Books::read(world, users);
        if books.is_at_rest() && before.as_ref() == Some(&books) {
            break books;
        }
        if began.elapsed() > within {
            let (open, waiting): (Vec<_>, Vec<_>) =
                (books.open().collect(), books.waiting().collect());
            panic!("not decided: {waiting:#?}, open at the hub: {open:#?}\n{}", complaints(world));
        }
        before = Some(books);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    verified(world);
    books.agree();
    books
}
