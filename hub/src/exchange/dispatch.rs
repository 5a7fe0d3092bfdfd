//! Dispatch: the request goes to one account after another until one answers, or none may be tried.
//!
//! Another account is tried only where the agent itself vouches that nothing reached a provider and
//! the whole body is still at hand: [`weft_proto::exchange::HubExchange`] decides, not this file.

use super::admit::Room;
use super::belongings::{Belongings, home_of};
use super::plan::Planned;
use super::refusal::Refusal;
use super::settle::Record;
use super::switch::Switching;
use super::till::{Exhausted, Tab};
use super::upload::{Forwarded, Stopped, Upload};
use super::{Ask, Spine};
use crate::tunnel::{Offer, Slip};
use http::{HeaderMap, Method, StatusCode};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_proto::codes::{AbortCode, EndReason};
use weft_proto::exchange::{Break, Next};
use weft_proto::provider::Dialect;
use weft_proto::wire::control::Features;
use weft_proto::wire::head::{AnswerHead, RequestHead, SwitchedHead, Ticket};
use weft_store::Served;
use weft_transport::exchange::{AnswerReader, Answered, BodyReader, OpenError, RequestWriter};
use weft_transport::stream::StreamError;

/// What a user is told to wait when every account refused.
const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// How long the last account that may be tried can take to grant a stream, where its agent has
/// granted all that it does: a place that is free in a moment is worth more than a refusal.
const GRANT_WAIT: Duration = Duration::from_secs(1);

/// How long the agent's own deadline for the answer's head runs ahead of the hub's, so that the end
/// nearer to the provider is the one that says what happened.
const DEADLINE_LEAD: Duration = Duration::from_secs(2);

/// A body on its way: comes back with the upload when it is done.
pub(super) type Forwarding = Pin<Box<dyn Future<Output = (Upload, Forwarded)> + Send>>;

/// What a dispatch led to.
#[must_use]
pub(super) enum Dispatched {
    /// An answer to relay.
    Answering(Box<Answering>),
    /// A WebSocket.
    Switching(Box<Switching>),
}

/// An exchange whose answer has begun.
#[must_use]
pub(super) struct Answering {
    pub(super) record: Record,
    pub(super) room: Room,
    pub(super) dialect: Dialect,
    pub(super) method: Method,
    pub(super) head: AnswerHead,
    pub(super) answer: AnswerReader,
    pub(super) slip: Slip,
    /// The rest of the upload, where the answer came before its end.
    pub(super) forwarding: Option<Forwarding>,
    /// What becomes of the objects that the answer makes known.
    pub(super) belongings: Belongings,
}

/// How one attempt went.
enum Attempt {
    Answered { head: AnswerHead, answer: AnswerReader, slip: Slip, forwarding: Option<Forwarding> },
    Switched { head: SwitchedHead, reader: BodyReader, writer: RequestWriter, slip: Slip },
    Broke { why: Break, upload: Option<Upload>, refusal: Option<Refusal> },
}

impl Planned {
    /// Sends the request to its accounts, one after another, until one answers.
    pub(super) async fn dispatch(self, spine: &Spine) -> Result<Dispatched, Refusal> {
        let Self {
            mut record,
            room,
            method,
            ask,
            dialect,
            headers,
            mut upload,
            mut offers,
            belongings,
            switch,
        } = self;
        let limits = spine.0.needs.limits.now();
        let request = Request {
            ask: &ask,
            method: &method,
            headers: &headers,
            head_within: limits.answer_head,
            upgrade: switch.is_some(),
        };
        // Who keeps no ledger can prove nothing: neither side could hold the other to what is owed.
        let charged = record.tab().is_some();
        let features: Vec<_> = offers.iter().map(|offer| offer.link().features()).collect();
        if let Some((cause, message)) = lacking(request.upgrade, charged, &features) {
            let refusal = Refusal::unavailable(cause, message, REFUSED_WAIT);
            return Err(refuse(record, EndReason::Refused, Some(refusal)));
        }
        offers.retain(|offer| {
            // An agent that has not heard of them would call the provider for a plain answer.
            let switches = !request.upgrade || carries_websockets(offer);
            switches && (!charged || keeps_a_ledger(offer))
        });
        let mut offers = offers.into_iter().peekable();
        while let Some(offer) = offers.next() {
            let wait = if offers.peek().is_some() { Duration::ZERO } else { GRANT_WAIT };
            let place = offer.account().place.as_ref();
            let quote = record.tab().map(|tab| tab.quote_at(place));
            // An account of a place without a price is none to be called.
            if matches!(quote, Some(None)) {
                continue;
            }
            // Where an agent drains, its other accounts drain with it: none of them takes a claim.
            let Some(slip) = offer.claim() else { continue };
            let (link, account) = (slip.offer().link(), slip.offer().account().id);
            let (agent, owner) = (link.agent(), link.owner());
            let Some(attempt) = record.dispatch(agent, account) else {
                break;
            };
            let id = record.id();
            let ticket = match record.tab().zip(quote.flatten()) {
                Some((tab, quote)) => tab.ticket(Served { agent, owner, account, attempt }, quote),
                None => Ok(Ticket::free(id, attempt, account, spine.0.needs.clock.now())),
            };
            let Ok(ticket) = ticket else {
                let refusal = Refusal::unavailable(
                    "journal_away",
                    "the hub cannot write down what it promises; try again",
                    REFUSED_WAIT,
                );
                return Err(refuse(record, EndReason::Internal, Some(refusal)));
            };
            let attempted = match request.upgrade {
                true => request.attempt_switch(ticket, slip, wait, upload).await,
                false => request.attempt(ticket, slip, wait, upload, record.tab()).await,
            };
            match attempted {
                Attempt::Switched { head, reader, writer, slip } => {
                    let Some(slot) = switch else {
                        return Err(refuse(record, EndReason::Internal, None));
                    };
                    record.answer(StatusCode::SWITCHING_PROTOCOLS);
                    if let Some(tab) = record.tab() {
                        tab.answers(StatusCode::SWITCHING_PROTOCOLS, &head.headers);
                    }
                    return Ok(Dispatched::Switching(Box::new(Switching {
                        record,
                        room,
                        head,
                        writer,
                        reader,
                        slip,
                        slot,
                    })));
                }
                Attempt::Answered { head, answer, slip, forwarding } => {
                    if head.account_fault {
                        return Err(account_fault(record, &offer));
                    }
                    record.answer(head.status);
                    if let Some(tab) = record.tab() {
                        tab.answers(head.status, &head.headers);
                    }
                    return Ok(Dispatched::Answering(Box::new(Answering {
                        record,
                        room,
                        dialect,
                        method,
                        head,
                        answer,
                        slip,
                        forwarding,
                        belongings,
                    })));
                }
                Attempt::Broke { why, upload: back, refusal } => {
                    if let Some(tab) = record.tab().filter(|_| why.is_unsent()) {
                        tab.unsent();
                    }
                    let Some(back) = back.filter(Upload::replay_whole) else {
                        record.replay_lost();
                        return Err(end(record, why, refusal));
                    };
                    upload = back;
                    match record.broke(why) {
                        Next::Retry => {
                            tracing::debug!(exchange = %record.id(), ?why, "trying another account");
                            spine.0.needs.metrics.retried(name(why));
                        }
                        over @ (Next::Refuse(_) | Next::Cut(_) | Next::Ended) => {
                            return Err(refuse(record, over.reason(), refusal));
                        }
                    }
                }
            }
        }
        let refusal = Refusal::unavailable(
            "accounts_busy",
            "all accounts that serve this model are busy or cannot be reached",
            REFUSED_WAIT,
        );
        Err(refuse(record, EndReason::Refused, Some(refusal)))
    }
}

/// What all attempts share.
struct Request<'a> {
    ask: &'a Ask,
    method: &'a Method,
    headers: &'a HeaderMap,
    head_within: Duration,
    /// It asks for a WebSocket.
    upgrade: bool,
}

impl Request<'_> {
    fn head(&self, ticket: Ticket) -> RequestHead {
        RequestHead {
            ticket,
            provider: self.ask.provider,
            method: self.method.clone(),
            target: self.ask.target.as_str().to_owned(),
            headers: self.headers.clone(),
            head_within: self.head_within,
            upgrade: self.upgrade,
        }
    }

    /// An attempt at a WebSocket: the request has no body, and its direction stays open for what
    /// follows the answer.
    async fn attempt_switch(
        &self,
        ticket: Ticket,
        slip: Slip,
        wait: Duration,
        upload: Upload,
    ) -> Attempt {
        let head = self.head(ticket);
        let (mut writer, mut answer) = match slip.open(&head, wait).await {
            Ok(opened) => opened,
            Err(error) => return not_opened(&error, upload),
        };
        let within = self.head_within + DEADLINE_LEAD;
        let why = match tokio::time::timeout(within, answer.head_or_switch()).await {
            Ok(Ok(Answered::Switched(head))) => {
                slip.heard();
                return Attempt::Switched { head, reader: answer.into_raw(), writer, slip };
            }
            Ok(Ok(Answered::Final(head))) => {
                slip.heard();
                // There is no more to this request. An agent that has answered may have stopped it.
                writer.finish().unwrap_or_default();
                return Attempt::Answered { head, answer, slip, forwarding: None };
            }
            Ok(Err(error)) => {
                if matches!(error, StreamError::Aborted(_)) {
                    slip.heard();
                }
                why(&error)
            }
            Err(_) => {
                answer.stop(AbortCode::Deadline);
                Break::Deadline
            }
        };
        Attempt::Broke { why, upload: Some(upload), refusal: None }
    }

    async fn attempt(
        &self,
        ticket: Ticket,
        slip: Slip,
        wait: Duration,
        upload: Upload,
        mut tab: Option<&mut Tab>,
    ) -> Attempt {
        let head = self.head(ticket);
        let (writer, mut answer) = match slip.open(&head, wait).await {
            Ok(opened) => opened,
            Err(error) => return not_opened(&error, upload),
        };
        let recall = CancellationToken::new();
        let mut forwarding: Option<Forwarding> =
            Some(Box::pin(upload.forward(writer, home_of(slip.offer()), recall.clone())));
        let mut back = None;
        let mut deadline = pin!(tokio::time::sleep(self.head_within + DEADLINE_LEAD));
        loop {
            let why = tokio::select! {
                biased;
                head = answer.head() => match head {
                    Ok(head) => {
                        slip.heard();
                        return Attempt::Answered { head, answer, slip, forwarding };
                    }
                    Err(error) => {
                        if matches!(error, StreamError::Aborted(_)) {
                            slip.heard();
                        }
                        why(&error)
                    }
                },
                (upload, forwarded) = forward(&mut forwarding) => {
                    forwarding = None;
                    // Silence up to here was the user's: the agent's turn begins only now.
                    deadline.as_mut().reset(Instant::now() + self.head_within + DEADLINE_LEAD);
                    back = Some(upload);
                    match forwarded {
                        Forwarded::Whole => match grown_to(tab.as_deref_mut()).await {
                            Ok(()) => continue,
                            Err(Exhausted) => {
                                answer.stop(AbortCode::BalanceExhausted);
                                Break::Exhausted
                            }
                        },
                        Forwarded::Unwanted => continue,
                        Forwarded::Stuck => {
                            answer.stop(AbortCode::Deadline);
                            Break::Deadline
                        }
                        Forwarded::Stopped(Stopped::Broken) => Break::BadUpload,
                        Forwarded::Stopped(Stopped::Refused(refusal)) => {
                            answer.stop(AbortCode::Gate);
                            return Attempt::Broke {
                                why: Break::Gate,
                                upload: back,
                                refusal: Some(refusal),
                            };
                        }
                    }
                },
                () = &mut deadline, if forwarding.is_none() => {
                    answer.stop(AbortCode::Deadline);
                    Break::Deadline
                },
            };
            recall.cancel();
            let upload = match forwarding.take() {
                Some(forwarding) => Some(forwarding.await.0),
                None => back,
            };
            return Attempt::Broke { why, upload, refusal: None };
        }
    }
}

/// Lets the hold of a request that was sent whole grow to what it turned out to be.
async fn grown_to(tab: Option<&mut Tab>) -> Result<(), Exhausted> {
    match tab {
        Some(tab) => tab.asked_whole().await,
        None => Ok(()),
    }
}

/// What no agent with such an account can do, and the request needs: the cause, and what the user
/// is told.
fn lacking(
    upgrade: bool,
    charged: bool,
    features: &[Features],
) -> Option<(&'static str, &'static str)> {
    let can = |wanted: &[Features]| {
        features.iter().any(|theirs| wanted.iter().all(|wanted| theirs.have(*wanted)))
    };
    if upgrade && !can(&[Features::WEBSOCKET]) {
        let message = "no connected agent with such an account carries WebSockets";
        return Some(("no_websocket_agent", message));
    }
    if charged && !can(&[Features::LEDGER]) {
        let message = "no connected agent with such an account keeps a ledger: update the agent";
        return Some(("no_ledger_agent", message));
    }
    // One that does the one and another that does the other are not enough.
    if upgrade && charged && !can(&[Features::WEBSOCKET, Features::LEDGER]) {
        let message = "no connected agent with such an account both carries WebSockets and keeps \
                       a ledger: update the agent";
        return Some(("no_websocket_ledger_agent", message));
    }
    None
}

fn keeps_a_ledger(offer: &Arc<Offer>) -> bool {
    offer.link().features().have(Features::LEDGER)
}

fn carries_websockets(offer: &Arc<Offer>) -> bool {
    offer.link().features().have(Features::WEBSOCKET)
}

/// What it means that no stream was opened: nothing was sent.
fn not_opened(error: &OpenError, upload: Upload) -> Attempt {
    let (why, refusal) = match error {
        OpenError::Full | OpenError::Lost(_) => (Break::NotOpened, None),
        OpenError::Head(malformed) => {
            (Break::Gate, Some(Refusal::malformed("head", malformed.to_string())))
        }
    };
    Attempt::Broke { why, upload: Some(upload), refusal }
}

/// Drives the upload, where there is still one to drive.
pub(super) async fn forward(forwarding: &mut Option<Forwarding>) -> (Upload, Forwarded) {
    match forwarding {
        Some(forwarding) => forwarding.await,
        None => std::future::pending().await,
    }
}

/// What a stream's error means for the exchange.
pub(super) const fn why(error: &StreamError) -> Break {
    match error {
        StreamError::Aborted(code) => Break::Agent(*code),
        StreamError::TunnelLost(_) => Break::TunnelLost,
        StreamError::Malformed(_) => Break::Malformed,
        StreamError::TimedOut => Break::Deadline,
    }
}

const fn name(why: Break) -> &'static str {
    match why {
        Break::Agent(code) => code.name(),
        Break::NotOpened => "not_opened",
        Break::TunnelLost
        | Break::UserGone
        | Break::SlowReader
        | Break::Gate
        | Break::BadUpload
        | Break::Deadline
        | Break::Malformed
        | Break::Shutdown
        | Break::Exhausted => "none",
    }
}

/// The provider spoke about the key's owner: that is not the user's to read, and not their fault.
/// How long the account pauses, its own agent says.
fn account_fault(record: Record, offer: &Arc<Offer>) -> Refusal {
    tracing::warn!(account = %offer.account().id, "the provider refuses the account");
    let refusal = Refusal::unavailable(
        "account_fault",
        "the account that served this request is not available; try again",
        REFUSED_WAIT,
    );
    record.refused(EndReason::AccountFault, refusal.cause(), refusal.status());
    refusal
}

fn end(mut record: Record, why: Break, refusal: Option<Refusal>) -> Refusal {
    let reason = record.broke(why).reason();
    refuse(record, reason, refusal)
}

fn refuse(record: Record, reason: EndReason, refusal: Option<Refusal>) -> Refusal {
    let refusal = refusal.unwrap_or_else(|| refusal_for(reason));
    record.refused(reason, refusal.cause(), refusal.status());
    refusal
}

/// What a user hears of an exchange that ended for `reason` before its answer began, and in an
/// error event after.
pub(super) fn refusal_for(reason: EndReason) -> Refusal {
    match reason {
        EndReason::Refused => Refusal::unavailable(
            "accounts_busy",
            "no account could take the request; try again",
            REFUSED_WAIT,
        ),
        EndReason::UpstreamUnreachable => {
            Refusal::upstream("upstream_unreachable", "the provider could not be reached")
        }
        EndReason::UpstreamTruncated => {
            Refusal::upstream("upstream_truncated", "the provider's answer broke off")
        }
        EndReason::TunnelLost => {
            Refusal::upstream("tunnel_lost", "the agent that served this request was lost")
        }
        EndReason::Deadline => Refusal::deadline(),
        EndReason::BalanceExhausted => Refusal::no_credit(
            "balance_exhausted",
            "the balance does not carry this request any further",
        ),
        EndReason::AgentFault => {
            Refusal::upstream("agent_fault", "the agent that served this request failed")
        }
        EndReason::AccountFault
        | EndReason::Complete
        | EndReason::UserAbort
        | EndReason::SlowReader
        | EndReason::Shutdown
        | EndReason::Internal
        | EndReason::NodeLost => {
            Refusal::unavailable("interrupted", "the request was interrupted", REFUSED_WAIT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charged_websocket_wants_one_agent_that_can_do_both() {
        let (socket, ledger) = (Features::WEBSOCKET, Features::LEDGER);
        let both = Features(socket.0 | ledger.0);
        let cause = |upgrade, charged, features: &[Features]| {
            lacking(upgrade, charged, features).map(|(cause, _)| cause)
        };
        assert_eq!(cause(true, true, &[socket, ledger]), Some("no_websocket_ledger_agent"));
        assert_eq!(cause(true, true, &[socket, both, ledger]), None);
        assert_eq!(cause(true, true, &[ledger]), Some("no_websocket_agent"));
        assert_eq!(cause(true, true, &[socket]), Some("no_ledger_agent"));
        assert_eq!(cause(true, false, &[socket, ledger]), None);
        assert_eq!(cause(false, true, &[socket, ledger]), None);
        assert_eq!(cause(false, false, &[Features(0)]), None);
    }
}
