//! The steps of one exchange in their order, and the call itself: request out, head back.
//!
//! Nothing is sent to a provider before the ledger has the exchange's OPEN on disk.

use super::authorize::{Authorized, DeclaredBody};
use super::fault::{self, Judged, Peeked};
use super::record::Record;
use super::{Ended, Exchanges, Served};
use crate::limits::Pass;
use crate::upstream::{
    Answer, BodySender, Call, CallError, Opened, RequestBody, UpstreamBodyError,
};
use http::{HeaderMap, StatusCode};
use std::ops::ControlFlow;
use std::time::Duration;
use weft_proto::causes::causes;
use weft_proto::codes::AbortCode;
use weft_proto::provider::Provider;
use weft_proto::wire::head::RequestHead;
use weft_transport::exchange::{AnswerWriter, RequestReader};
use weft_transport::stream::StreamError;

/// Wait for an answer's head where the hub asks for none or for longer.
const HEAD_WITHIN_MAX: Duration = Duration::from_secs(30 * 60);

/// How the request's body went.
enum Pumped {
    /// The provider has all of it.
    Whole,
    /// The provider takes no more: its answer decides.
    Enough,
}

impl Exchanges {
    /// Authorize, call, judge, stream.
    pub(super) async fn steps(
        &self,
        head: &RequestHead,
        mut body: RequestReader,
        answer: &mut AnswerWriter,
        draining: bool,
        record: &Record,
    ) -> Result<Served, Ended> {
        let shared = &self.0;
        let Authorized { account, origin, version, target, matched, body: declared, mut pass } =
            shared.authorize(head, draining).inspect_err(|ended| body.stop(ended.code))?;
        let (sender, request_body) = match declared {
            DeclaredBody::None => (None, RequestBody::empty()),
            DeclaredBody::Bytes(length) => {
                let (sender, request_body) = RequestBody::channel(length);
                (Some(sender), request_body)
            }
        };
        if sender.is_none() && !head.upgrade {
            expect_end(&mut body).await?;
        }
        let key = shared
            .vault
            .lend(account.id())
            .map_err(|_| Ended::new(AbortCode::NotSent, "the vault lends no key"))?;
        if !record.prices(&shared.books, head, &matched).await {
            body.stop(AbortCode::NotSent);
            return Err(Ended::new(AbortCode::NotSent, "the price book has not come"));
        }
        record.open(&shared.ledger, head, &matched).await.map_err(|error| {
            tracing::error!(why = %causes(&error), "an exchange could not be written down");
            body.stop(AbortCode::NotSent);
            Ended::new(AbortCode::NotSent, "the ledger took no entry")
        })?;
        if sender.is_none() {
            record.sent_whole();
        }
        let call = Call {
            origin,
            version,
            method: head.method.clone(),
            target,
            headers: head.headers.clone(),
            key,
            body: request_body,
        };
        let within = Some(head.head_within)
            .filter(|within| !within.is_zero() && *within < HEAD_WITHIN_MAX)
            .unwrap_or(HEAD_WITHIN_MAX);
        if head.upgrade {
            let opened = tokio::time::timeout(within, shared.upstream.open(call)).await;
            let opened = opened.map_err(|_| Ended::new(AbortCode::Deadline, "no head in time"))?;
            return match opened.map_err(|error| call_failed(error, record))? {
                Opened::Switched { headers, io } => {
                    pass.works();
                    record.head(StatusCode::SWITCHING_PROTOCOLS, &headers);
                    super::switch::carry(io, &headers, body, answer, record).await
                }
                // As any other answer: nothing of the request is left to send.
                Opened::Answered(upstream) => {
                    match judge(account.provider(), upstream, &mut pass, answer, record).await? {
                        ControlFlow::Break(served) => Ok(served),
                        ControlFlow::Continue((status, headers, body)) => {
                            super::stream::answer(status, &headers, body, answer, record).await
                        }
                    }
                }
            };
        }

        let mut pump = std::pin::pin!(pump(&mut body, sender, record));
        let mut pumped = false;
        let upstream = {
            let mut calling = std::pin::pin!(shared.upstream.call(call));
            // The wait for the head begins when the provider has the request.
            let mut deadline = std::pin::pin!(tokio::time::sleep(within));
            loop {
                tokio::select! {
                    biased;
                    end = &mut pump, if !pumped => {
                        match end? {
                            Pumped::Whole | Pumped::Enough => pumped = true,
                        }
                        deadline.as_mut().reset(tokio::time::Instant::now() + within);
                    }
                    called = &mut calling => {
                        break called.map_err(|error| call_failed(error, record))?;
                    }
                    () = &mut deadline, if pumped => {
                        return Err(Ended::new(AbortCode::Deadline, "no head in time"));
                    }
                }
            }
        };
        let (status, headers, upstream_body) =
            match judge(account.provider(), upstream, &mut pass, answer, record).await? {
                ControlFlow::Break(served) => return Ok(served),
                ControlFlow::Continue(passes) => passes,
            };
        let streaming = super::stream::answer(status, &headers, upstream_body, answer, record);
        let mut streaming = std::pin::pin!(streaming);
        loop {
            tokio::select! {
                biased;
                // An upload may go on under an answer that has begun.
                end = &mut pump, if !pumped => match end? {
                    Pumped::Whole | Pumped::Enough => pumped = true,
                },
                // When the answer is complete the rest of the request is not needed: dropping
                // the reader says ENOUGH, dropping the sender closes a half-sent request.
                served = &mut streaming => return served,
            }
        }
    }
}

/// Judges an answer, and takes note of the verdict on the account. Of an answer about the account
/// the head is sent, and that is all of it.
async fn judge(
    provider: Provider,
    upstream: Answer,
    pass: &mut Pass,
    answer: &mut AnswerWriter,
    record: &Record,
) -> Result<ControlFlow<Served, (StatusCode, HeaderMap, Peeked)>, Ended> {
    let Answer { status, headers, body } = upstream;
    record.head(status, &headers);
    match fault::judge(provider, status, &headers, body).await? {
        Judged::Fault(fault) => {
            pass.faulted(fault);
            super::stream::fault(status, &headers, answer).await.map(ControlFlow::Break)
        }
        Judged::Passes(body) => {
            if !status.is_server_error() {
                pass.works();
            }
            Ok(ControlFlow::Continue((status, headers, body)))
        }
    }
}

/// A request without a body must be over after its head.
async fn expect_end(body: &mut RequestReader) -> Result<(), Ended> {
    match body.next().await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => {
            body.stop(AbortCode::NotSent);
            Err(Ended::new(AbortCode::NotSent, "a body where the route has none"))
        }
        Err(error) => Err(request_failed(&error)),
    }
}

/// Carries the request's bytes to the provider as they come, and its end only as it came.
async fn pump(
    body: &mut RequestReader,
    sender: Option<BodySender>,
    record: &Record,
) -> Result<Pumped, Ended> {
    let Some(mut sender) = sender else {
        return Ok(Pumped::Whole);
    };
    loop {
        let read = tokio::select! {
            biased;
            () = sender.closed() => return Ok(Pumped::Enough),
            read = body.next() => read,
        };
        match read {
            Ok(Some(bytes)) => {
                if sender.send(bytes.clone()).await.is_err() {
                    return Ok(Pumped::Enough);
                }
                record.sent(&bytes);
            }
            Ok(None) => {
                record.sent_whole();
                return match sender.finish(None).await {
                    Ok(()) => Ok(Pumped::Whole),
                    Err(_) => Ok(Pumped::Enough),
                };
            }
            // Dropping the sender aborts the request: the provider never has it whole.
            Err(error) => return Err(request_failed(&error)),
        }
    }
}

pub(super) fn request_failed(error: &StreamError) -> Ended {
    match error {
        StreamError::Aborted(code) => Ended::new(*code, "the hub broke the request off"),
        StreamError::TunnelLost(_) => Ended::new(AbortCode::Replaced, "the tunnel was lost"),
        StreamError::Malformed(_) | StreamError::TimedOut => {
            Ended::new(AbortCode::Malformed, "the request broke the rules")
        }
    }
}

/// What a failed call means to the hub. The causes are logged: they name hosts and system errors,
/// nothing of the request.
fn call_failed(error: CallError, record: &Record) -> Ended {
    match &error {
        CallError::NotSent(_) => {
            record.not_called();
            tracing::warn!(why = %causes(&error), "a provider was not reached");
            Ended::new(AbortCode::NotSent, "the provider was not reached")
        }
        CallError::Unreachable(_) => {
            tracing::warn!(why = %causes(&error), "a provider did not answer");
            Ended::new(AbortCode::UpstreamUnreachable, "the provider did not answer")
        }
        CallError::RequestBroken(UpstreamBodyError::BrokenOff) => {
            Ended::new(AbortCode::UserAbort, "the request broke off")
        }
        CallError::RequestBroken(UpstreamBodyError::TooShort | UpstreamBodyError::TooLong) => {
            Ended::new(AbortCode::Malformed, "the request missed its content-length")
        }
    }
}
