//! Holds the two ledgers against each other, and both against what the providers really did. Every
//! sentence returned is a defect. Read when everything has stopped.

use super::agent::AgentHost;
use super::plan::{RequestPlan, Shape};
use super::seen::{ProviderSaw, Sights};
use super::shape::Figures;
use super::trace::Trace;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use weft_agent::datadir::DataDir;
use weft_agent::ledger::read::read;
use weft_agent::ledger::statement::{Row, rows};
use weft_proto::codes::EndReason;
use weft_proto::ids::{AgentId, ExchangeId, HubId, OwnerId, UserId};
use weft_proto::ledger::verify::Trust;
use weft_proto::ledger::{End, PublicKey, Verdict};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_proto::usage::Basis;
use weft_store::{
    Agreed, Bearer, House, LedgerAccount, LegState, Outcome, Page, PageSize, Store, StoreError,
};

/// Whose books they are.
pub(super) struct Parties<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) hub: HubId,
    /// Signs for the hub.
    pub(super) key: PublicKey,
    /// Who pays, and what it had.
    pub(super) user: UserId,
    pub(super) credit: NanoUsd,
    /// Each with its owner.
    pub(super) agents: Vec<(Arc<AgentHost>, OwnerId)>,
    pub(super) seen: &'a Sights,
    pub(super) trace: &'a Trace,
}

/// What the books say: what is wrong, and how often each thing happened.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) wrong: Vec<String>,
    pub(super) tally: BTreeMap<&'static str, u64>,
}

/// One agent's books.
struct Kept {
    name: String,
    agent: AgentId,
    owner: OwnerId,
    income_nanos: i128,
    rows: Vec<Row>,
}

/// Audits the books.
pub(super) fn of(parties: &Parties<'_>) -> Audit {
    let mut audit = Audit::default();
    let kept = audit.agents(parties);
    match audit.hub(parties, &kept).now_or_never() {
        Some(Ok(())) => {}
        Some(Err(error)) => audit.wrong.push(format!("the hub's ledger cannot be read: {error}")),
        None => audit.wrong.push("the store in memory waited".to_owned()),
    }
    audit
}

/// What is not settled yet, as the store has it: legs without an answer.
pub(super) fn open_legs(store: &dyn Store) -> usize {
    let ledger = store.ledger();
    let far = Timestamp::from_secs(u32::MAX.into());
    let states = [LegState::Open, LegState::Disputed, LegState::Uncovered];
    let due =
        states.map(|state| ledger.due(state, far, PageSize::clamped(u32::MAX)).now_or_never());
    due.into_iter().flatten().flatten().map(|legs| legs.len()).sum()
}

impl Audit {
    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// Each agent's chain, by its own rules.
    fn agents(&mut self, parties: &Parties<'_>) -> Vec<Kept> {
        let mut all = Vec::new();
        for (host, owner) in &parties.agents {
            match kept(host, *owner, parties) {
                Ok((kept, wrong)) => {
                    self.wrong.extend(wrong);
                    all.extend(kept);
                }
                Err(error) => {
                    self.wrong.push(format!("{}: its ledger cannot be read: {error}", host.name));
                }
            }
        }
        all
    }

    async fn hub(&mut self, parties: &Parties<'_>, kept: &[Kept]) -> Result<(), StoreError> {
        let ledger = parties.store.ledger();
        let sums = ledger.sums().await?;
        if !sums.agree() || sums.debits_pending != 0 {
            self.wrong.push(format!("the sums do not agree, or something is held: {sums:?}"));
        }
        for differs in ledger.recompute().await? {
            self.wrong.push(format!("a balance is not the sum of its transfers: {differs:?}"));
        }
        for lease in ledger.open_leases(None, Page::first()).await? {
            self.wrong.push(format!("a lease is left over: {lease:?}"));
        }
        for found in parties.store.receipts().findings(None, PageSize::clamped(u32::MAX)).await? {
            self.wrong.push(format!(
                "a finding about an honest agent: {} at {}/{}, exchange {:?}",
                found.name, found.epoch, found.seq, found.exchange
            ));
        }
        let mut before = None;
        for entry in ledger.journal(Page { after: None, size: PageSize::clamped(u32::MAX) }).await?
        {
            if !entry.follows(before.as_ref()) {
                self.wrong.push(format!("entry {} of the journal follows nothing", entry.number));
            }
            before = Some(entry);
        }

        let mut agreed = Vec::new();
        let mut page = Page { after: None, size: PageSize::clamped(u32::MAX) };
        loop {
            let next = ledger.all_settlements(page).await?;
            let Some(last) = next.last() else { break };
            page = page.next(last.settlement.exchange);
            agreed.extend(next);
        }
        let agreed: BTreeMap<ExchangeId, Agreed> =
            agreed.into_iter().map(|one| (one.settlement.exchange, one)).collect();
        self.balances(parties, kept, &agreed).await?;
        for one in agreed.values() {
            self.settlement(parties.seen, one);
            self.leg(kept, one);
            let (exchange, outlay) = (one.settlement.exchange, one.settlement.outlay);
            let (state, paid) = (one.leg.state.name(), one.leg.paid);
            let (charge, income) = (outlay.charge, outlay.income);
            let line = format_args!("{exchange} {charge} {income} {state} {paid}");
            parties.trace.event_at(Default::default(), "books", line);
        }
        self.unsettled(parties.seen, kept, &agreed);
        Ok(())
    }

    /// Balances are what the settlements make them.
    async fn balances(
        &mut self,
        parties: &Parties<'_>,
        kept: &[Kept],
        agreed: &BTreeMap<ExchangeId, Agreed>,
    ) -> Result<(), StoreError> {
        let ledger = parties.store.ledger();
        let posted = async |account| {
            ledger.balance(account).await.map(|balance| i128::from(balance.posted().nanos()))
        };
        let charged: i128 = agreed
            .values()
            .filter(|one| one.settlement.outlay.bearer == Bearer::User)
            .map(|one| {
                i128::from(one.settlement.outlay.charge.nanos()) - i128::from(one.loss.nanos())
            })
            .sum();
        let left = posted(LedgerAccount::Paid(parties.user)).await?;
        let expected = i128::from(parties.credit.nanos()) - charged;
        if left != expected {
            self.wrong.push(format!("the user has {left} nano-USD and should have {expected}"));
        }
        let suspense = posted(LedgerAccount::House(House::Suspense)).await?;
        if suspense != 0 {
            self.wrong.push(format!("{suspense} nano-USD are left in suspense"));
        }
        for one in kept {
            let paid: i128 = agreed
                .values()
                .filter(|agreed| {
                    agreed.settlement.served.is_some_and(|served| served.agent == one.agent)
                })
                .map(|agreed| i128::from(agreed.leg.paid.nanos()))
                .sum();
            let vesting = posted(LedgerAccount::Vesting(one.owner)).await?;
            let wallet = posted(LedgerAccount::Wallet(one.owner)).await?;
            if (one.income_nanos, paid) != (paid, vesting + wallet) {
                self.wrong.push(format!(
                    "{} has words for {} nano-USD, the hub paid {paid}, its owner has {vesting} \
                     vesting and {wallet} in the wallet",
                    one.name, one.income_nanos
                ));
            }
            if wallet > 0 {
                self.count("vested");
            }
        }
        Ok(())
    }

    /// One user leg against the table, and against what the provider did.
    fn settlement(&mut self, seen: &Sights, one: &Agreed) {
        let settlement = &one.settlement;
        let (exchange, outlay) = (settlement.exchange, settlement.outlay);
        let Some(plan) = plan_of(one, seen) else {
            self.wrong.push(format!("nobody asked for the settled exchange {exchange}"));
            return;
        };
        let marker = plan.marker;
        let at = seen.provider.get(&marker).copied().unwrap_or_default();
        let row = row_of(exchange, seen);
        let usage = settlement.metered.usage;
        let (input, output) = (usage.input_total(), usage.output_total());
        let cost = Figures::cost(plan.provider, input, output);
        let (charge, income) = (nanos(outlay.charge), nanos(outlay.income));
        let mut say = |what: &str| {
            self.wrong.push(format!(
                "request {marker} ({exchange}, {} by {:?}, {:?}, {:?}, {:?}, {at:?}): charged \
                 {charge} and earned {income} nano-USD for {input} in and {output} out: {what}",
                settlement.end,
                settlement.metered.basis,
                plan.answer.fault,
                plan.answer.shape,
                plan.figures,
            ));
        };
        let forgotten = seen.forgot(exchange);
        // Or it died while it read on for the last figures, its row written already.
        let claimed = forgotten || settlement.end == EndReason::NodeLost && seen.died(exchange);
        match outlay.bearer {
            Bearer::User if row.is_some() && !claimed => {
                if charge != cost || income != cost * 8 / 10 {
                    say("the price list says otherwise");
                }
            }
            // Only the claim tells. What the user held, and the ticket's cap, may be less.
            Bearer::User => {
                if charge > cost || income > charge * 8 / 10 {
                    say("more than a claim proves");
                }
            }
            Bearer::Hub => {
                if charge != 0 || income > cost * 8 / 10 {
                    say("more than was used is borne by the hub");
                }
            }
            Bearer::Elsewhere => say("nothing of it can be billed elsewhere"),
        }
        if let Some(row) = row
            && row.end != settlement.end
            && !claimed
        {
            say("the row says another end");
        }
        for wrong in against_the_table(&plan, &at, one) {
            say(wrong);
        }
        self.count(match (usage.is_none(), settlement.metered.basis) {
            (true, _) => "charged_nothing",
            (false, Basis::Reported) => "charged_as_reported",
            (false, Basis::Estimated | Basis::Unmetered | Basis::Bounded) => "charged_as_estimated",
        });
        if settlement.end == EndReason::NodeLost {
            self.count(match outlay.bearer {
                Bearer::User => "orphan_claimed",
                Bearer::Hub => "borne_by_the_hub",
                Bearer::Elsewhere => "billed_elsewhere",
            });
        }
        if forgotten {
            self.count("forgotten_and_settled");
        }
        if !one.loss.is_positive() {
            return;
        }
        self.count("lost");
    }

    /// One agent leg against the chain of the agent that served.
    fn leg(&mut self, kept: &[Kept], one: &Agreed) {
        let exchange = one.settlement.exchange;
        let Some(served) = one.settlement.served else {
            self.wrong.push(format!("{exchange} is settled, and nobody served it"));
            return;
        };
        let Some(agent) = kept.iter().find(|kept| kept.agent == served.agent) else {
            self.wrong.push(format!("{exchange} was served by {}, which is none", served.agent));
            return;
        };
        let closes = agent
            .rows
            .iter()
            .filter(|row| row.close.exchange == exchange && row.close.attempt == served.attempt);
        let closes: Vec<_> = closes.collect();
        let income = one.settlement.outlay.income;
        let (state, paid) = (one.leg.state, one.leg.paid);
        let wrong = match closes.as_slice() {
            // Who claims nothing may have said so before the exchange was settled.
            [] if state == LegState::Expired => None,
            [] => Some("nobody claimed it, and it has not expired"),
            [row] => {
                let said = row.word == Some((Verdict::Paid, paid));
                let nothing = row.close.income == NanoUsd::ZERO && state == LegState::Expired;
                let answered = matches!(state, LegState::Paid | LegState::Vested) || nothing;
                let fair = paid == income.min(row.close.income);
                match (said && answered, fair) {
                    (false, _) => Some("the claim and the hub's word differ"),
                    (true, false) => Some("neither the record nor the claim"),
                    (true, true) => None,
                }
            }
            [_, _, ..] => Some("claimed twice"),
        };
        if let Some(wrong) = wrong {
            let settlement = &one.settlement;
            let (end, metered) = (settlement.end, &settlement.metered);
            self.wrong.push(format!(
                "{exchange} at {} ({end}, income {income}, {} {paid}, {:?} by {:?}; {}): {wrong}",
                agent.name,
                state.name(),
                metered.usage,
                metered.basis,
                closes.iter().map(|row| shown(row)).collect::<Vec<_>>().join(", "),
            ));
        }
        self.count(match (one.leg.state, closes.first().map(|row| row.close.end)) {
            (LegState::Expired, _) => "leg_expired",
            (_, Some(End::Interrupted)) => "leg_interrupted",
            (_, Some(End::Proper)) => "leg_proper",
            (_, Some(End::Cut { .. })) => "leg_cut",
            (_, None) => "leg_unclaimed",
        });
    }

    /// What is not settled was not dispatched, or died with its hub; and no agent has word of it.
    fn unsettled(&mut self, seen: &Sights, kept: &[Kept], agreed: &BTreeMap<ExchangeId, Agreed>) {
        for (_, row) in &seen.rows {
            let settled = agreed.contains_key(&row.exchange);
            if !settled && row.end == EndReason::NodeLost {
                self.count("lost_and_unsettled");
                continue;
            }
            if !settled && seen.forgot(row.exchange) {
                // What an agent can prove of it is looked for below.
                self.count("forgotten_and_unsettled");
                continue;
            }
            if settled != row.agent.is_some() {
                self.wrong.push(format!(
                    "exchange {} ended {} after {} attempts, settled: {settled}",
                    row.exchange, row.end, row.attempts
                ));
            }
        }
        let crashed = seen.lives.iter().any(|life| life.crashed);
        for exchange in agreed.keys() {
            if row_of(*exchange, seen).is_none() && !crashed {
                self.wrong.push(format!("exchange {exchange} is settled and has no row"));
            }
        }
        for one in kept {
            for row in &one.rows {
                let close = &row.close;
                let settled = agreed.get(&close.exchange).and_then(|one| one.settlement.served);
                let ours = settled.is_some_and(|served| {
                    served.agent == one.agent && served.attempt == close.attempt
                });
                let paid = row.word.is_some_and(|(_, amount)| amount.is_positive());
                let claims = close.income.is_positive();
                let proves = close.end != End::Interrupted;
                if !ours && (paid || claims && proves) {
                    let (name, shown) = (&one.name, shown(row));
                    self.wrong.push(format!("{name} claims what nobody settled: {shown}"));
                }
                if !ours && claims {
                    self.count("unproven");
                }
            }
        }
    }
}

/// The rules of the table of ends, worked out apart from it, by what the provider saw.
fn against_the_table(plan: &RequestPlan, at: &ProviderSaw, one: &Agreed) -> Vec<&'static str> {
    let settlement = &one.settlement;
    let usage = settlement.metered.usage;
    let (input, output) = (usage.input_total(), usage.output_total());
    let Figures { input: true_input, output: true_output, told } = plan.figures;
    let (charged, end) = (settlement.outlay.charge.is_positive(), settlement.end);
    // Of a hub that died nobody knows whether its user had left: what the receipt proves is charged.
    let left = matches!(end, EndReason::UserAbort | EndReason::SlowReader | EndReason::NodeLost);
    let reported = charged && settlement.metered.basis == Basis::Reported;
    let mut wrong = Vec::new();
    if reported && !(told && (input, output) == (true_input, true_output)) {
        wrong.push("the provider has not reported that");
    }
    if charged && (at.heads == 0 || plan.answer.status != 200) && !(left && output == 0) {
        wrong.push("charged without an answer");
    }
    if charged && at.bytes_given == 0 && !(left && output == 0) {
        wrong.push("charged before the first byte");
    }
    if end == EndReason::Complete && plan.answer.status == 200 && reported != told {
        wrong.push("a whole answer is charged as it says, or else counted");
    }
    if charged && !reported {
        let (counted_in, counted_out) = (plan.body().len() as u64, at.bytes_given);
        // A document that was cut behind its figures is an estimate all the same.
        let is_true = told && (input, output) == (true_input, true_output);
        if !is_true && (input > counted_in.max(true_input) || output > counted_out.max(1)) {
            wrong.push("counted more than there was");
        }
        let began = plan.answer.shape == Shape::Events && output > 0;
        if began && plan.provider == weft_proto::provider::Provider::Anthropic && input < true_input
        {
            wrong.push("figures that were seen are undercut");
        }
    }
    wrong
}

fn kept(
    host: &AgentHost,
    owner: OwnerId,
    parties: &Parties<'_>,
) -> anyhow::Result<(Option<Kept>, Vec<String>)> {
    let data = DataDir::open(&host.data)?;
    let trust = Trust {
        agent: None,
        hub: Some(parties.hub),
        hub_keys: vec![parties.key],
        heads: Vec::new(),
    };
    let reading = read(&data, trust, true, |_| {})?;
    let verifier = &reading.verifier;
    let mut wrong: Vec<_> = verifier
        .findings()
        .iter()
        .map(|found| format!("{}: its chain does not hold: {found:?}", host.name))
        .collect();
    if let Some(torn) = &reading.torn {
        wrong.push(format!("{}: its log is torn: {torn:?}", host.name));
    }
    for (at, claim) in verifier.unacknowledged() {
        wrong.push(format!("{}: the claim of {claim} at {at} has no final word", host.name));
    }
    let Some(agent) = verifier.epoch().map(|epoch| epoch.agent) else {
        return Ok((None, wrong));
    };
    let mut all = Vec::new();
    let always = Timestamp::from_micros(0)..Timestamp::from_micros(u64::MAX);
    rows(&data, &always, true, |row| all.push(row.clone()))?;
    // Whatever ends an exchange, a process that lives can say what it came to.
    if !host.has_crashed() {
        let lost = all.iter().filter(|row| row.close.end == End::Interrupted);
        wrong.extend(lost.map(|row| format!("{} lost the thread: {}", host.name, shown(row))));
    }
    let income_nanos = verifier.totals().income_nanos;
    let name = host.name.clone();
    Ok((Some(Kept { name, agent, owner, income_nanos, rows: all }), wrong))
}

/// The request that a settlement is about, told by its model.
fn plan_of(one: &Agreed, seen: &Sights) -> Option<RequestPlan> {
    let model = one.settlement.metered.model.as_ref()?.as_str();
    let marker = model.strip_prefix("m-")?.parse().ok()?;
    seen.users.get(&marker).map(|saw| saw.plan.clone())
}

fn row_of(exchange: ExchangeId, seen: &Sights) -> Option<&Outcome> {
    seen.rows.iter().map(|(_, row)| row).find(|row| row.exchange == exchange)
}

fn shown(row: &Row) -> String {
    let Row { position, close, word, .. } = row;
    format!(
        "{} at {position}: {:?}, {:?} by {:?}, claims {}, word {word:?}",
        close.exchange, close.end, close.usage, close.basis, close.income
    )
}

fn nanos(amount: NanoUsd) -> u64 {
    u64::try_from(amount.nanos()).unwrap_or(u64::MAX)
}
