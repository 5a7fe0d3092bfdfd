//! One session of an agent's ledger: from its greeting on, receipts in, words of the hub out.

use super::super::chain::{Chain, ChainBroken, Claim, Followed};
use super::super::evidence::{Evidence, name_of};
use super::super::journal::JournalError;
use super::super::judge::{Cause, Facts, Judged, Remark, Waiting, judge};
use super::super::record::Record;
use super::Clerk;
use super::book::reference;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use weft_proto::ids::{AgentId, ExchangeId, LeaseId, OwnerId};
use weft_proto::ledger::{Hash, HubHead, Position, PublicKey, Signature};
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_proto::wire::control::HubMessage;
use weft_proto::wire::receipts::{
    Accepted, Ack, AgentLedger, ChainFault, Handover, HubLedger, LedgerFault, Receipt, Verdict,
};
use weft_store::{
    AgentChain, AgentLeg, Agreed, Finding, JournalKind, JournalNote, LegAnswer, LegAnswered,
    LegState, LegVerdict, Posting, Settled, StoreError,
};

/// How long a claim without a record waits for one before the ticket alone decides.
const SETTLE_GRACE: Duration = Duration::from_secs(10);

/// How long a claim waits before the agent is told that it is kept for later.
const LATER_AFTER: Duration = Duration::from_secs(5);

/// Claims of one session that wait for their record; further ones are to be claimed again.
const WAITING_MAX: usize = 4_096;

/// Why a session takes no more receipts, through no fault of the agent.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The store failed: what was not acknowledged comes again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The hub's own journal cannot be shown.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another node has taken receipts of the same agent meanwhile.
    #[error("another session takes the agent's receipts")]
    Elsewhere,
    /// What the store keeps of the chain is no chain.
    #[error("the agent's chain is damaged in the store")]
    Damaged,
    /// Receipts came before the ledger's greeting.
    #[error("receipts before the ledger's greeting")]
    NotGreeted,
}

/// What a greeting is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeted {
    /// Receipts are taken from the head that the word names.
    Welcome(HubLedger),
    /// None are taken.
    Fault(LedgerFault),
}

/// A claim that waits for its record.
#[derive(Debug)]
pub(super) struct Waits {
    pub(super) claim: Claim,
    since: Timestamp,
    told: bool,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    pub(super) clerk: Clerk,
    pub(super) agent: AgentId,
    owner: OwnerId,
    /// Once greeted.
    chain: Option<Chain>,
    /// Where the store has the chain.
    stored: Option<(u64, u64)>,
    pub(super) waiting: BTreeMap<Position, Waits>,
    /// Names of the batches that were sent on this session.
    pub(super) said: BTreeSet<Hash>,
    /// A broken chain ends the session's receipts.
    over: bool,
    pub(super) restored: bool,
    /// The newest head of the hub's own journal that was met in the agent's chain and stands.
    pub(super) stands: Option<HubHead>,
}

impl Session {
    pub(super) const fn new(clerk: Clerk, agent: AgentId, owner: OwnerId) -> Self {
        Self {
            clerk,
            agent,
            owner,
            chain: None,
            stored: None,
            waiting: BTreeMap::new(),
            said: BTreeSet::new(),
            over: false,
            restored: false,
            stands: None,
        }
    }

    /// Whether no more receipts are taken.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether a claim waits for its record.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clerk.0.clock.now()
    }

    /// Takes the agent's greeting.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn greet(&mut self, ledger: &AgentLedger) -> Result<Greeted, SessionError> {
        let parts = Arc::clone(&self.clerk.0);
        let key = PublicKey::new(ledger.key);
        let chain = match parts.receipts.chain(self.agent).await? {
            None => self.first_sight(key).await?,
            Some(kept) => {
                let mut chain = Chain::resume(&kept, parts.hub).ok_or(SessionError::Damaged)?;
                self.stored = Some((kept.epoch, kept.size));
                if chain.key() != key {
                    if !vouched(ledger, &kept) {
                        return self.greeting_fault(ChainFault::Key, &kept, ledger).await;
                    }
                    self.note_key(key).await?;
                    chain.hand_over(key);
                }
                let same = chain.head().zip(ledger.head).is_some_and(|(ours, theirs)| {
                    (ours.epoch, ours.size) == (theirs.epoch, theirs.size)
                        && ours.leaf != theirs.leaf
                });
                if same {
                    return self.greeting_fault(ChainFault::Fork, &kept, ledger).await;
                }
                chain
            }
        };
        let accepted = chain.head().map(|head| {
            let text = Accepted::signed(self.agent, &head);
            Accepted { head, signature: *parts.key.sign(&text).as_bytes() }
        });
        self.chain = Some(chain);
        Ok(Greeted::Welcome(HubLedger {
            key: *parts.key.public().as_bytes(),
            handovers: parts.handovers.to_vec(),
            accepted,
        }))
    }

    /// The key of an agent that was never seen is pinned.
    async fn first_sight(&mut self, key: PublicKey) -> Result<Chain, SessionError> {
        let parts = &self.clerk.0;
        let chain = Chain::new(self.agent, parts.hub, key);
        self.note_key(key).await?;
        if !parts.receipts.advance(&chain.kept(self.now()), None).await? {
            return Err(SessionError::Elsewhere);
        }
        self.stored = Some((0, 0));
        Ok(chain)
    }

    async fn note_key(&self, key: PublicKey) -> Result<(), SessionError> {
        let body = [&self.agent.as_bytes()[..], key.as_bytes()].concat();
        let note = JournalNote { kind: JournalKind::LedgerKey, body, at: self.now() };
        self.clerk.0.store.note(&[note]).await?;
        Ok(())
    }

    async fn greeting_fault(
        &mut self,
        fault: ChainFault,
        kept: &AgentChain,
        ledger: &AgentLedger,
    ) -> Result<Greeted, SessionError> {
        let (epoch, size, leaf) =
            ledger.head.map_or((0, 0, [0; 32]), |head| (head.epoch, head.size, head.leaf));
        let mut evidence = Evidence::about(self.agent);
        evidence.taken = Some(kept.clone());
        evidence.greeted = Some((PublicKey::new(ledger.key), epoch, size, Hash::new(leaf)));
        self.keep(name_of(fault), Position { epoch, seq: size }, None, &evidence).await?;
        self.over = true;
        Ok(Greeted::Fault(LedgerFault { fault, epoch, seq: size }))
    }

    /// Takes receipts in the order in which they came, and says what is to be told the agent. What
    /// it says is in the store.
    ///
    /// # Errors
    /// [`SessionError`]: the session is of no more use. Nothing is lost, for it all comes again.
    pub async fn take(&mut self, receipts: Vec<Receipt>) -> Result<Vec<HubMessage>, SessionError> {
        let mut chain = self.chain.take().ok_or(SessionError::NotGreeted)?;
        let (mut claims, mut statements, mut words) = (Vec::<Claim>::new(), Vec::new(), Vec::new());
        let mut heads = Vec::new();
        let mut broken = None;
        for receipt in receipts {
            let step = match receipt {
                Receipt::Entry(entry) => match chain.follow(&entry) {
                    Ok(Followed::Claim(claim)) => {
                        claims.push(*claim);
                        Ok(())
                    }
                    Ok(Followed::Checkpoint(statement)) => {
                        statements.push(statement);
                        Ok(())
                    }
                    Ok(Followed::Cosigned(cosigned, statement)) => {
                        heads.extend(statement.map(|statement| (statement, cosigned, entry)));
                        Ok(())
                    }
                    Ok(Followed::Acks(acks)) => {
                        words.push((*acks, entry));
                        Ok(())
                    }
                    Ok(Followed::Restored) => {
                        tracing::warn!(agent = %self.agent, "the agent's ledger began a new epoch");
                        Ok(())
                    }
                    Ok(Followed::Nothing) => Ok(()),
                    Err(broken) => Err((broken, Evidence::of_chain(self.agent, &chain, entry))),
                },
                Receipt::Claim { open, close } => {
                    match chain.again(open.clone(), close.clone()) {
                        Ok(claim) => {
                            // The close that came right before, and now with its OPEN.
                            claims.pop_if(|before| before.position == claim.position);
                            claims.push(claim);
                            Ok(())
                        }
                        Err(broken) => {
                            Err((broken, Evidence::of_pair(self.agent, &chain, open, close)))
                        }
                    }
                }
            };
            if let Err(found) = step {
                broken = Some(found);
                break;
            }
        }
        let mut acks = self.decide(claims).await?;
        for (word, entry) in words {
            acks.extend(self.own_word(&word, entry).await?);
        }
        let mut messages = Vec::new();
        self.advance(&chain).await?;
        for (statement, cosigned, entry) in heads {
            self.own_head(&statement, &cosigned, entry).await?;
        }
        for statement in statements {
            messages.push(self.cosign(&statement).await?);
        }
        self.say(acks, &mut messages);
        if let Some((ChainBroken { fault, at }, evidence)) = broken {
            self.over = true;
            self.keep(name_of(fault), at, None, &evidence).await?;
            let fault = LedgerFault { fault, epoch: at.epoch, seq: at.seq };
            messages.push(HubMessage::LedgerFault(fault));
        }
        self.chain = Some(chain);
        Ok(messages)
    }

    /// Looks again at the claims that wait.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn look_again(&mut self) -> Result<Vec<HubMessage>, SessionError> {
        let claims = self.waiting.values().map(|waits| waits.claim.clone()).collect();
        let acks = self.decide(claims).await?;
        let mut messages = Vec::new();
        self.say(acks, &mut messages);
        Ok(messages)
    }

    async fn advance(&mut self, chain: &Chain) -> Result<(), SessionError> {
        let at = chain.at();
        if at.is_none() || at == self.stored {
            return Ok(());
        }
        if !self.clerk.0.receipts.advance(&chain.kept(self.now()), self.stored).await? {
            return Err(SessionError::Elsewhere);
        }
        self.stored = at;
        Ok(())
    }

    /// Decides claims, writes what is decided, and returns what can be acknowledged.
    async fn decide(&mut self, claims: Vec<Claim>) -> Result<Vec<(Position, Ack)>, SessionError> {
        let mut acks = Vec::new();
        let (mut answers, mut answered) = (Vec::<LegAnswer>::new(), Vec::new());
        let (mut postings, mut proven) = (Vec::<Posting>::new(), Vec::new());
        let records = self.records(&claims).await?;
        let mut leases = BTreeMap::new();
        for claim in claims {
            let record = records.get(&claim.exchange()).cloned();
            let (record, judged) = self.judged(&claim, record, &mut leases).await?;
            if !matches!(judged, Judged::Wait(_)) {
                self.waiting.remove(&claim.position);
            }
            match judged {
                Judged::Nothing => acks.push(ack(&claim, Verdict::Paid, NanoUsd::ZERO)),
                Judged::Before { state, paid } => acks.push(ack_of(&claim, state, paid)),
                Judged::Pay(amount) => {
                    answers.push(self.clerk.answer(&claim, LegVerdict::Pay(amount)));
                    answered.push((claim, record));
                }
                Judged::Dispute(difference) => {
                    self.keep_claim(difference.name(), &claim, record.as_ref()).await?;
                    answers.push(self.clerk.answer(&claim, LegVerdict::Dispute));
                    answered.push((claim, record));
                }
                Judged::Unproven => {
                    tracing::info!(
                        agent = %self.agent, exchange = %claim.exchange(),
                        "a claim that nothing proves is refused"
                    );
                    acks.push(ack(&claim, Verdict::Refused, NanoUsd::ZERO));
                }
                Judged::Refuse(cause) => {
                    self.keep_claim(cause.name(), &claim, record.as_ref()).await?;
                    acks.push(ack(&claim, Verdict::Refused, NanoUsd::ZERO));
                }
                Judged::Prove(amount) => {
                    if let Some(posting) = self.borne(&claim, amount).await? {
                        postings.push(posting);
                        proven.push((claim, amount));
                    }
                }
                Judged::Wait(why) => acks.extend(self.wait(claim, why)),
            }
        }
        if !postings.is_empty() {
            let settled = self.clerk.0.store.settle(&postings).await?;
            for ((claim, amount), settled) in proven.into_iter().zip(settled) {
                match settled {
                    Settled::Fresh { .. } | Settled::Already => {
                        tracing::warn!(
                            agent = %self.agent, exchange = %claim.exchange(), %amount,
                            "a claim without a record is paid from suspense"
                        );
                        answers.push(self.clerk.answer(&claim, LegVerdict::Pay(amount)));
                        answered.push((claim, None));
                    }
                    // Somebody settled it in between: the record decides, at the next look.
                    Settled::Conflict => acks.extend(self.wait(claim, Waiting::Settlement)),
                }
            }
        }
        if !answers.is_empty() {
            let outcome = self.clerk.0.store.answer(&answers).await?;
            for ((claim, record), outcome) in answered.into_iter().zip(outcome) {
                match outcome {
                    LegAnswered::Done(leg) => {
                        self.remark(&claim, record.as_ref(), &leg).await?;
                        acks.push(ack_of(&claim, leg.state, leg.paid));
                    }
                    LegAnswered::Already(leg) => {
                        let same = leg.claim.is_none_or(|before| before == reference(&claim));
                        // Its user has not paid meanwhile; that it is the same claim is judged.
                        if same || leg.state == LegState::Uncovered {
                            acks.push(ack_of(&claim, leg.state, leg.paid));
                        } else {
                            let mut stood = record;
                            if let Some(stood) = &mut stood {
                                stood.stand.state = leg.state;
                                stood.stand.paid = leg.paid;
                                stood.stand.claim = leg.claim;
                            }
                            let name = Cause::DoubleClaim.name();
                            self.keep_claim(name, &claim, stood.as_ref()).await?;
                            acks.push(ack(&claim, Verdict::Refused, NanoUsd::ZERO));
                        }
                    }
                    LegAnswered::Unknown => acks.extend(self.wait(claim, Waiting::Settlement)),
                }
            }
        }
        Ok(acks)
    }

    /// Keeps what there is to say of a claim that agrees with the record and is answered so.
    async fn remark(
        &self,
        claim: &Claim,
        record: Option<&Record>,
        leg: &AgentLeg,
    ) -> Result<(), SessionError> {
        let Some(record) = record.filter(|record| record.stand.state == LegState::Open) else {
            return Ok(());
        };
        let remark = match leg.state {
            LegState::Uncovered => Remark::Uncovered,
            // What was owed may have been paid back before the first claim came: nothing to say.
            LegState::Paid if Remark::on(record, leg.paid) == Some(Remark::UsageBounded) => {
                Remark::UsageBounded
            }
            LegState::Absent
            | LegState::Open
            | LegState::Paid
            | LegState::Disputed
            | LegState::Expired
            | LegState::Refused
            | LegState::Vested => return Ok(()),
        };
        self.keep_claim(remark.name(), claim, Some(record)).await
    }

    /// The record of a claim as it stands, and what is to be done. `leases` says of those that were
    /// looked up whether a node may still settle by them.
    async fn judged(
        &self,
        claim: &Claim,
        mut record: Option<Record>,
        leases: &mut BTreeMap<LeaseId, bool>,
    ) -> Result<(Option<Record>, Judged), SessionError> {
        let parts = &self.clerk.0;
        let now = self.now();
        let mut may_settle = false;
        let mut wait_until = now;
        if record.is_none() {
            let terms = claim.open.as_ref().and_then(|open| {
                Some((open.ticket.issued_at, open.ticket.terms.as_ref()?))
                    .filter(|_| parts.sealer.holds(&open.ticket))
            });
            if let Some((issued_at, terms)) = terms {
                let since = self.waiting.get(&claim.position).map_or(now, |waits| waits.since);
                wait_until = issued_at.after(parts.money.now().claim_window);
                if self.clerk.adopt(self.agent, claim).await? {
                    record = self.record(claim).await?;
                } else {
                    may_settle = now < since.after(SETTLE_GRACE)
                        || (now < wait_until && self.may_settle(terms.lease, leases).await?);
                }
            }
        }
        let facts = Facts {
            agent: self.agent,
            sealer: &parts.sealer,
            record: record.as_ref(),
            may_settle,
            wait_until,
            now,
        };
        let judged = judge(claim, &facts);
        Ok((record, judged))
    }

    async fn may_settle(
        &self,
        lease: LeaseId,
        known: &mut BTreeMap<LeaseId, bool>,
    ) -> Result<bool, SessionError> {
        if let Some(known) = known.get(&lease) {
            return Ok(*known);
        }
        let open = self.clerk.may_settle(lease).await?;
        known.insert(lease, open);
        Ok(open)
    }

    /// The records of claims, as far as there are any, read at once.
    async fn records(
        &self,
        claims: &[Claim],
    ) -> Result<BTreeMap<ExchangeId, Record>, SessionError> {
        let mut records = BTreeMap::new();
        let mut unknown = Vec::new();
        for exchange in claims.iter().map(Claim::exchange) {
            let ledger = self.clerk.0.ledger.as_ref();
            match ledger.and_then(|ledger| ledger.just_settled(exchange)) {
                Some(record) => drop(records.insert(exchange, record)),
                None => unknown.push(exchange),
            }
        }
        if !unknown.is_empty() {
            let agreed = self.clerk.0.store.settlements_of(&unknown).await?;
            let of = |agreed: &Agreed| (agreed.settlement.exchange, Record::from(agreed));
            records.extend(agreed.iter().map(of));
        }
        Ok(records)
    }

    pub(super) async fn record(&self, claim: &Claim) -> Result<Option<Record>, SessionError> {
        let agreed = self.clerk.0.store.settlement(claim.exchange()).await?;
        Ok(agreed.as_ref().map(Record::from))
    }

    pub(super) async fn borne(
        &self,
        claim: &Claim,
        amount: NanoUsd,
    ) -> Result<Option<Posting>, SessionError> {
        Ok(self.clerk.borne((self.agent, self.owner), claim, amount).await?)
    }

    /// Keeps a claim for another look. Where that is not possible, or it has waited long, the agent
    /// hears that it is to claim again.
    fn wait(&mut self, claim: Claim, why: Waiting) -> Option<(Position, Ack)> {
        let later = ack(&claim, Verdict::Later, NanoUsd::ZERO);
        let now = self.now();
        match why {
            Waiting::Ticket => return Some(later),
            Waiting::Settlement => {}
        }
        if let Some(waits) = self.waiting.get_mut(&claim.position) {
            let due = !waits.told && now >= waits.since.after(LATER_AFTER);
            waits.told |= due;
            return due.then_some(later);
        }
        if self.waiting.len() >= WAITING_MAX {
            return Some(later);
        }
        let claim = claim.detached();
        self.waiting.insert(claim.position, Waits { claim, since: now, told: false });
        None
    }

    async fn keep_claim(
        &self,
        name: &str,
        claim: &Claim,
        record: Option<&Record>,
    ) -> Result<(), SessionError> {
        let evidence = Evidence::of_claim(self.agent, claim, record);
        self.keep(name, claim.position, Some(claim), &evidence).await
    }

    pub(super) async fn keep(
        &self,
        name: &str,
        at: Position,
        claim: Option<&Claim>,
        evidence: &Evidence,
    ) -> Result<(), SessionError> {
        let finding = Finding {
            id: evidence.id(),
            agent: self.agent,
            name: name.to_owned(),
            epoch: at.epoch,
            seq: at.seq,
            exchange: claim.map(Claim::exchange),
            evidence: evidence.encode(),
            found_at: self.now(),
        };
        if self.clerk.0.receipts.keep_finding(&finding).await? {
            tracing::warn!(agent = %self.agent, %at, finding = name, "a finding about an agent");
        }
        Ok(())
    }
}

/// Whether the key that the hub knows vouches for the one that greets.
fn vouched(ledger: &AgentLedger, kept: &AgentChain) -> bool {
    ledger.handover.is_some_and(|handover| {
        handover.from == kept.key
            && PublicKey::new(kept.key)
                .verifies(&Handover::signed(&ledger.key), &Signature::new(handover.signature))
    })
}

const fn ack(claim: &Claim, verdict: Verdict, amount: NanoUsd) -> (Position, Ack) {
    let (exchange, attempt) = (claim.close.exchange, claim.close.attempt);
    (claim.position, Ack { exchange, attempt, seq: claim.position.seq, verdict, amount })
}

pub(super) const fn ack_of(claim: &Claim, state: LegState, paid: NanoUsd) -> (Position, Ack) {
    match state {
        LegState::Paid | LegState::Vested => ack(claim, Verdict::Paid, paid),
        LegState::Disputed | LegState::Uncovered => ack(claim, Verdict::Disputed, NanoUsd::ZERO),
        LegState::Open => ack(claim, Verdict::Later, NanoUsd::ZERO),
        LegState::Absent | LegState::Expired | LegState::Refused => {
            ack(claim, Verdict::Refused, NanoUsd::ZERO)
        }
    }
}
