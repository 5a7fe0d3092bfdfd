//! Batches: what a provider answers within a day, and what that came to.
//!
//! ```text
//!  POST ─▶ the bill is written down ─▶ the id goes out ─▶ settled at nothing, hold kept
//!             the hub asks for the batch, free, until it has ended
//!             └▶ and reads its results, with terms and the hold: that read is settled, line by line
//! ```
//! The hold is a bound for the whole batch. Results that break off are settled at nothing and read
//! again; results that are gone for good are charged at the bound, as an estimate: nobody earns that,
//! for nobody can prove it.

use super::super::Spine;
use super::super::dispatch::Dispatched;
use super::super::plan::Planned;
use super::super::till::Tab;
use super::clerk::{Clerk, Look};
use axum::body::Body;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use std::pin::pin;
use std::time::Duration;
use weft_proto::ids::ExchangeId;
use weft_proto::provider::Provider;
use weft_proto::tables::routes::{self, Match};
use weft_proto::tables::target::Target;
use weft_store::{PendingBill, StoreError};

/// The longest that one look at a batch may take.
const LOOK_WITHIN: Duration = Duration::from_secs(60);

/// The longest that reading its results may take.
const RESULTS_WITHIN: Duration = Duration::from_secs(10 * 60);

/// How often this node says meanwhile that it looks after its bills.
const TENDS_EVERY: Duration = Duration::from_secs(45);

/// The longest word of a provider on a batch, bytes: one that failed may say why, line by line.
const STATUS_BYTES_MAX: usize = 1024 * 1024;

/// Age at which a batch is given up: providers end one within a day, and keep results for weeks.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Age at which a batch, or results, that the provider does not know are believed to be gone.
const GONE_AFTER: Duration = Duration::from_secs(10 * 60);

/// What a provider says of a batch. What this does not name is of no interest.
#[derive(Debug, Deserialize)]
struct Told {
    /// Anthropic's word.
    processing_status: Option<String>,
    /// OpenAI's.
    status: Option<String>,
    output_file_id: Option<String>,
    #[serde(default)]
    request_counts: Counts,
}

/// How many of its requests were answered.
#[derive(Debug, Default, Deserialize)]
struct Counts {
    /// Anthropic's word.
    succeeded: Option<u64>,
    /// OpenAI's.
    completed: Option<u64>,
}

/// What is to be done about a batch.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It runs, or nobody can tell.
    Wait,
    /// It has ended, and nothing was answered.
    Nothing,
    /// Its results are there, under this path.
    Read(String),
}

impl Told {
    /// What follows from it for the batch at `target`.
    fn next(&self, provider: Provider, target: &Target) -> Next {
        let (ended, answered) = match provider {
            Provider::Anthropic => {
                let ended = self.processing_status.as_deref() == Some("ended");
                (ended, self.request_counts.succeeded)
            }
            Provider::OpenAi | Provider::Azure | Provider::DeepSeek => {
                let over = ["completed", "failed", "expired", "cancelled"];
                let ended = self.status.as_deref().is_some_and(|status| over.contains(&status));
                (ended, self.request_counts.completed)
            }
        };
        if !ended {
            return Next::Wait;
        }
        let output = match provider {
            Provider::Anthropic => Some(format!("{}/results", target.path())),
            Provider::OpenAi | Provider::Azure | Provider::DeepSeek => {
                let files = target.path().rsplit_once("/batches/").map(|(stem, _)| stem);
                files.zip(self.output_file_id.as_deref()).map(|(stem, id)| {
                    let query = target.query().map(|query| format!("?{query}"));
                    format!("{stem}/files/{id}/content{}", query.unwrap_or_default())
                })
            }
        };
        match (output, answered) {
            (_, Some(0)) => Next::Nothing,
            (Some(path), _) => Next::Read(path),
            // Something was answered, and where it is has not been said yet.
            (None, Some(_)) => Next::Wait,
            (None, None) => Next::Nothing,
        }
    }
}

impl Clerk {
    /// One look at a batch.
    pub(super) async fn step_batch(&self, bill: &PendingBill) -> Result<Look, StoreError> {
        if self.is_billed(bill).await? {
            return self.close(bill).await;
        }
        if !self.is_known(bill).await? {
            return Ok(Look::Open);
        }
        let (exchange, batch, age) = (bill.made_by, bill.response.as_str(), self.age(bill));
        let told = self.spine.ask_for_batch(bill, self.fresh_id()).await;
        let next = match told {
            Some((status, _)) if is_gone(status) && age > GONE_AFTER => {
                tracing::error!(%exchange, batch, "a batch is gone: its bound is charged");
                return self.charge_bound(bill).await;
            }
            Some((_, Some(next))) => next,
            Some((_, None)) | None => Next::Wait,
        };
        match next {
            Next::Wait if age > GIVEN_UP_AFTER => {
                tracing::error!(%exchange, batch, "a batch was never seen to end: its bound is charged");
                self.charge_bound(bill).await
            }
            Next::Wait => Ok(Look::Open),
            Next::Nothing => {
                tracing::info!(%exchange, batch, "a batch has ended, and answered nothing");
                self.close(bill).await
            }
            Next::Read(path) => self.charge_results(bill, &path).await,
        }
    }

    /// Reads the results of a batch that has ended, and charges them.
    async fn charge_results(&self, bill: &PendingBill, path: &str) -> Result<Look, StoreError> {
        let Some(at) = found(bill.provider, path) else {
            tracing::error!(exchange = %bill.made_by, path, "the results of a batch have no path");
            return Ok(Look::Open);
        };
        let Some((billed, read, tab)) = self.named(bill, &at.1).await? else {
            return Ok(Look::Open);
        };
        let status = {
            let mut reading = pin!(self.spine.read_results(&billed, read, tab, at));
            loop {
                tokio::select! {
                    biased;
                    status = &mut reading => break status,
                    () = tokio::time::sleep(TENDS_EVERY) => drop(self.tended().await?),
                }
            }
        };
        let look = self.settled(&billed).await?;
        match status {
            // All of it was read, whatever it came to.
            Some(status) if status.is_success() && look == Look::Open => {
                match self.till.ledger().settled(read).await? {
                    Some(_) => self.close(&billed).await,
                    None => Ok(Look::Open),
                }
            }
            Some(status) if is_gone(status) && self.age(bill) > GONE_AFTER => {
                tracing::error!(exchange = %bill.made_by, "results are gone: the bound is charged");
                self.charge_bound(&billed).await
            }
            Some(_) | None => Ok(look),
        }
    }

    /// Charges what was held: what the batch came to nobody can read any more.
    async fn charge_bound(&self, bill: &PendingBill) -> Result<Look, StoreError> {
        let Some((_, route)) = found(bill.provider, &bill.target) else { return Ok(Look::Open) };
        if let Some((_, _, tab)) = self.named(bill, &route).await? {
            tab.owes_bound(bill.held);
        }
        // Once that is settled, the next look closes it.
        Ok(Look::Open)
    }
}

impl Spine {
    /// Asks what has become of a batch: the provider's status, and what follows where it says so.
    async fn ask_for_batch(
        &self,
        bill: &PendingBill,
        exchange: ExchangeId,
    ) -> Option<(StatusCode, Option<Next>)> {
        let at = found(bill.provider, &bill.target)?;
        let target = at.0.clone();
        let planned = self.plan_read(bill, exchange, None, at)?;
        let reading = async {
            let (head, body) = self.answered(planned).await?.into_parts();
            let body = Limited::new(body, STATUS_BYTES_MAX).collect().await.ok()?.to_bytes();
            let told = head.status.is_success().then(|| serde_json::from_slice::<Told>(&body));
            let told = told.transpose();
            let told = told.inspect_err(|error| {
                tracing::warn!(%error, exchange = %bill.made_by, "a batch cannot be read");
            });
            let next = told.ok().flatten().map(|told| told.next(bill.provider, &target));
            Some((head.status, next))
        };
        tokio::time::timeout(LOOK_WITHIN, reading).await.ok().flatten()
    }

    /// Reads results to their end, and keeps nothing of them; the tab meters what goes by. `None`
    /// where nobody could be asked, or where they broke off.
    async fn read_results(
        &self,
        bill: &PendingBill,
        exchange: ExchangeId,
        tab: Box<Tab>,
        at: (Target, Match),
    ) -> Option<StatusCode> {
        let planned = self.plan_read(bill, exchange, Some(tab), at)?;
        let reading = async {
            let (head, mut body) = self.answered(planned).await?.into_parts();
            while let Some(frame) = body.frame().await {
                drop(frame.ok()?);
            }
            Some(head.status)
        };
        tokio::time::timeout(RESULTS_WITHIN, reading).await.ok().flatten()
    }

    async fn answered(&self, planned: Planned) -> Option<Response<Body>> {
        match planned.dispatch(self).await {
            Ok(Dispatched::Answering(answering)) => Some(answering.relay(self).await),
            Ok(Dispatched::Switching(_)) | Err(_) => None,
        }
    }
}

/// The route of a read.
fn found(provider: Provider, path: &str) -> Option<(Target, Match)> {
    let target = Target::parse(path).ok()?;
    let route = routes::find(provider, &Method::GET, target.path()).ok()?;
    Some((target, route))
}

/// Whether the provider says that there is no such thing.
fn is_gone(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::GONE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(provider: Provider, target: &str, told: &str) -> Next {
        let told: Told = serde_json::from_str(told).unwrap();
        told.next(provider, &Target::parse(target).unwrap())
    }

    #[test]
    fn a_batch_is_read_once_it_has_ended_and_has_answered_something() {
        let at = "/v1/messages/batches/msgbatch_1";
        let of = |told: &str| next(Provider::Anthropic, at, told);
        assert_eq!(of(r#"{"processing_status":"in_progress"}"#), Next::Wait);
        assert_eq!(of(r#"{"processing_status":"canceling"}"#), Next::Wait);
        assert_eq!(of("{}"), Next::Wait);
        let ended = |succeeded| {
            of(&format!(
                r#"{{"processing_status":"ended","request_counts":{{"succeeded":{succeeded}}}}}"#
            ))
        };
        assert_eq!(ended(2), Next::Read(format!("{at}/results")));
        assert_eq!(ended(0), Next::Nothing);
        // A provider that does not count: the results say it.
        let told = r#"{"processing_status":"ended"}"#;
        assert_eq!(of(told), Next::Read(format!("{at}/results")));
    }

    #[test]
    fn the_output_of_a_batch_is_a_file_beside_it() {
        let of = |told: &str| next(Provider::OpenAi, "/v1/batches/batch_1", told);
        for runs in ["validating", "in_progress", "finalizing", "cancelling"] {
            assert_eq!(
                of(&format!(r#"{{"status":"{runs}","output_file_id":"file-1"}}"#)),
                Next::Wait
            );
        }
        for over in ["completed", "expired", "cancelled"] {
            let told = |rest: &str| of(&format!(r#"{{"status":"{over}",{rest}}}"#));
            assert_eq!(
                told(r#""output_file_id":"file-1","request_counts":{"completed":1}"#),
                Next::Read("/v1/files/file-1/content".to_owned())
            );
            let none = r#""output_file_id":null,"request_counts":{"completed":0}"#;
            assert_eq!(told(none), Next::Nothing);
            let late = r#""output_file_id":null,"request_counts":{"completed":3}"#;
            assert_eq!(told(late), Next::Wait);
        }
        assert_eq!(of(r#"{"status":"failed","output_file_id":null}"#), Next::Nothing);
        let dated = "/openai/batches/batch_1?api-version=2025-04-01";
        let told = r#"{"status":"completed","output_file_id":"file-1"}"#;
        let wanted = "/openai/files/file-1/content?api-version=2025-04-01".to_owned();
        assert_eq!(next(Provider::Azure, dated, told), Next::Read(wanted));
    }

    #[test]
    fn what_a_provider_says_leads_to_a_path_that_it_could_be_asked_or_nowhere() {
        let path = next(
            Provider::OpenAi,
            "/v1/batches/batch_1",
            r#"{"status":"completed","output_file_id":"../../v1/organization"}"#,
        );
        let Next::Read(path) = path else { panic!("{path:?}") };
        assert!(found(Provider::OpenAi, &path).is_none());
        assert!(found(Provider::Anthropic, "/v1/messages/batches/b/results").is_some());
    }
}
