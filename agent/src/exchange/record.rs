//! What an exchange leaves in the ledger: an OPEN before the provider is called, a CLOSE at its end.
//!
//! The record stands beside the exchange's work and outlives it: whatever ends the work (the
//! answer's end, a stop of the hub's, a lost tunnel) leaves the record, which is then closed with
//! what the meters have read. They are fed copies. A piece of the answer is kept until the meter
//! has it, so that nothing can reach the hub which this end has not seen. A record that is dropped
//! unclosed closes as interrupted. It keeps nothing of a request or an answer.

use super::{Ended, Served};
use crate::ledger::{Books, CloseFacts, Ledger, LedgerError, OpenEntry};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, StatusCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weft_proto::codes::AbortCode;
use weft_proto::ledger::{End, Open};
use weft_proto::meter::{self, AnswerFacts, AnswerMeter, Metered, RequestMeter, Taken, unanswered};
use weft_proto::money::{ListPrice, NanoUsd};
use weft_proto::prices::{Label, Wanted};
use weft_proto::tables::routes::{Match, Metering, Route};
use weft_proto::usage::{Geo, Usage};
use weft_proto::wire::head::RequestHead;

/// Wait for a price book that the hub prices by, at an exchange's end.
const BOOK_WITHIN: Duration = Duration::from_secs(2);

/// The record of one exchange.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    opened: Option<Opened>,
    /// The call was given up before the provider can have had anything of it.
    not_called: bool,
    status: Option<StatusCode>,
    answer: Option<AnswerMeter>,
    /// The newest piece of the answer, which the meter has not read.
    piece: Option<Bytes>,
    bytes_up: u64,
    /// The provider has all of the request, or there is nothing of it but its head.
    sent_whole: bool,
    bytes_down: u64,
    /// Of a batch's results: totals of input above which their prices change.
    bands: Arc<[u64]>,
}

/// What is known from the OPEN on.
#[derive(Debug)]
struct Opened {
    entry: OpenEntry,
    route: &'static Route,
    request: RequestMeter,
}

impl Opened {
    /// How the answer is metered. A stored response, or a batch's results, tell their usage whenever
    /// they are read: where the ticket gives no terms, it is billed elsewhere, once, and the reading
    /// itself took nothing.
    fn metering(&self) -> Metering {
        let again =
            matches!(self.route.metering, Metering::StoredResponse | Metering::BatchResults);
        let terms = self.entry.opened().ticket.terms.is_some();
        if again && !terms { Metering::Free } else { self.route.metering }
    }
}

impl Record {
    /// Looks up what the meter of a batch's results must know of their prices; whether it is known.
    /// There is nothing to look up for anything else.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn prices(&self, books: &Books, head: &RequestHead, matched: &Match) -> bool {
        let Some(terms) = &head.ticket.terms else { return true };
        if matched.route.metering != Metering::BatchResults {
            return true;
        }
        let Some(book) = books.wait(&terms.book, BOOK_WITHIN).await else { return false };
        self.state().bands = book.thresholds().into();
        true
    }

    /// Writes the OPEN. When this returns it is durable, and the provider may be called.
    ///
    /// # Errors
    /// [`LedgerError`]: the provider must not be called.
    ///
    /// # Cancel safety
    /// An OPEN whose future was dropped is closed as not called.
    pub(super) async fn open(
        &self,
        ledger: &Ledger,
        head: &RequestHead,
        matched: &Match,
    ) -> Result<(), LedgerError> {
        let open = Open { ticket: head.ticket.clone(), provider: head.provider };
        let entry = ledger.open_exchange(open).await?;
        let request = RequestMeter::new(
            matched,
            text(&head.headers, &CONTENT_TYPE),
            text(&head.headers, &CONTENT_ENCODING),
        );
        self.state().opened = Some(Opened { entry, route: matched.route, request });
        Ok(())
    }

    /// The provider has not been called, and will not be.
    pub(super) fn not_called(&self) {
        self.state().not_called = true;
    }

    /// The provider has taken a piece of the request.
    pub(super) fn sent(&self, piece: &[u8]) {
        let mut state = self.state();
        state.bytes_up = state.bytes_up.saturating_add(piece.len() as u64);
        if let Some(opened) = &mut state.opened {
            opened.request.feed(piece);
        }
    }

    /// The provider has all of the request.
    pub(super) fn sent_whole(&self) {
        let mut state = self.state();
        state.sent_whole = true;
        if let Some(opened) = &mut state.opened {
            opened.request.finish();
        }
    }

    /// What the provider has of the request; `None` where it has all of it.
    pub(super) fn taken(&self) -> Option<Taken> {
        let state = self.state();
        let opened = state.opened.as_ref().filter(|_| !state.sent_whole)?;
        Some(Taken::of(opened.request.asked()))
    }

    /// The provider's head has come.
    pub(super) fn head(&self, status: StatusCode, headers: &HeaderMap) {
        let mut state = self.state();
        state.status = Some(status);
        state.answer = state.opened.as_ref().map(|opened| {
            let facts = AnswerFacts::of(opened.route, status, headers);
            AnswerMeter::new(&AnswerFacts { metering: opened.metering(), ..facts })
                .in_bands(Arc::clone(&state.bands))
        });
    }

    /// A piece of the answer has come, and is about to go on.
    pub(super) fn came(&self, piece: Bytes) {
        let mut state = self.state();
        state.read_piece();
        state.bytes_down = state.bytes_down.saturating_add(piece.len() as u64);
        state.piece = Some(piece);
    }

    /// It has gone on: now it can be read.
    pub(super) fn passed_on(&self) {
        self.state().read_piece();
    }

    /// Writes the CLOSE, with what the meters have read and what that is worth. `whole` is whether
    /// the hub has all that was sent.
    ///
    /// # Cancel safety
    /// If it is dropped, the exchange closes as interrupted.
    pub(super) async fn close(
        self,
        books: &Books,
        outcome: &Result<Served, Ended>,
        stopped: Option<Ended>,
    ) {
        let mut state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.read_piece();
        let State { opened, not_called, status, answer, bytes_up, bytes_down, .. } = state;
        let Some(Opened { entry, route, request }) = opened else { return };
        if not_called {
            return entry.close(CloseFacts::not_called());
        }
        let end = match (outcome, &stopped) {
            (Ok(_), None) => End::Proper,
            (Err(ended), _) | (Ok(_), Some(ended)) => End::cut(ended.code),
        };
        let asked = request.asked();
        let metered = match (answer, outcome) {
            (Some(answer), outcome) => Some(answer.end(asked, outcome.is_ok())),
            // What the user gave up, the provider may have begun to read.
            (None, Err(ended)) if ended.code == AbortCode::UserAbort => {
                Some(unanswered(route, asked))
            }
            (None, _) => None,
        };
        let facts = CloseFacts {
            status: status.map_or(0, |status| status.as_u16()),
            bytes_up,
            bytes_down,
            ..CloseFacts::nothing(end)
        };
        let Some(metered) = metered else { return entry.close(facts) };
        let usage = metered.billed();
        let (list, income) = worth(&entry, books, asked.model.as_deref(), &metered, &usage).await;
        entry.close(CloseFacts {
            usage,
            basis: metered.basis,
            tier: metered.service_tier,
            geo: metered.geo,
            finish_marker: metered.finish_marker,
            usage_seen: metered.usage_seen,
            charged_although_refused: metered.charged_although_refused,
            list,
            income,
            ..facts
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read_piece(&mut self) {
        if let (Some(piece), Some(answer)) = (self.piece.take(), &mut self.answer) {
            answer.feed(&piece);
        }
    }
}

/// What a usage is worth by the ticket's terms: its list price, and the owner's share of it. Where
/// the book does not come, the claim is what the hub has on record, at most the ticket's cap.
async fn worth(
    entry: &OpenEntry,
    books: &Books,
    asked: Option<&str>,
    metered: &Metered,
    usage: &Usage,
) -> (Option<ListPrice>, NanoUsd) {
    let Open { ticket, provider } = entry.opened();
    let Some(terms) = &ticket.terms else { return (None, NanoUsd::ZERO) };
    if usage.is_none() {
        return (Some(ListPrice::ZERO), NanoUsd::ZERO);
    }
    let Some(book) = books.wait(&terms.book, BOOK_WITHIN).await else {
        tracing::warn!(book = %terms.book, "an exchange ends whose price book has not come");
        return (None, terms.cap);
    };
    // A long request names its model behind what the hub had read: here all of it was.
    let agreed = if terms.model.is_empty() { asked.unwrap_or_default() } else { &terms.model };
    let rates = |model: Option<&str>, geo: Geo| {
        book.rates(&Wanted {
            provider: *provider,
            model: model.unwrap_or(agreed),
            place: terms.place.as_ref().map(Label::as_str),
            at: ticket.issued_at,
            tier: metered.service_tier,
            geo,
        })
    };
    let list = match metered.parts.as_slice() {
        [] => rates(None, metered.geo)
            .and_then(|rates| rates.list(usage).or_else(|| rates.list_priced(usage))),
        parts => meter::worth(parts, rates),
    };
    let income = list.and_then(|list| list.income(terms.tier)).unwrap_or(NanoUsd::ZERO);
    (list, income)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
