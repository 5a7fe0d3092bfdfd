//! Plan: what is asked, and which accounts may serve it, in order.

mod batch;
mod choose;

pub(super) use batch::BATCH_BODY_BYTES_MAX;

use super::admit::{Admitted, Room};
use super::belongings::{self, Belongings};
use super::later::{Owing, takes_later};
use super::refusal::Refusal;
use super::settle::Record;
use super::switch::Slot;
use super::till::{Order, Reading, Till};
use super::upload::{Stopped, Upload, UploadLimits};
use super::{Ask, Inbound, Spine};
use crate::auth::Caller;
use crate::objects::Whose;
use crate::tunnel::Offer;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Method};
use std::sync::Arc;
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::model::ModelName;
use weft_proto::objects::{ObjectKind, Reference};
use weft_proto::provider::{Dialect, Provider};
use weft_proto::scan::BodyScan;
use weft_proto::tables::headers;
use weft_proto::tables::routes::{
    self, BodyKind, Metering, ModelSource, ObjectUse, QueryRefused, Route,
};

/// Names the model where the body names it too late, or not at all.
const MODEL_HEADER: HeaderName = HeaderName::from_static("weft-model");

/// What a user is told to wait when no agent can serve the request now.
const NO_AGENT_WAIT: Duration = Duration::from_secs(2);

/// A request that at least one account may serve.
#[derive(Debug)]
#[must_use]
pub(super) struct Planned {
    pub(super) record: Record,
    pub(super) room: Room,
    pub(super) method: Method,
    pub(super) ask: Ask,
    pub(super) dialect: Dialect,
    /// Towards the provider: filtered.
    pub(super) headers: HeaderMap,
    pub(super) upload: Upload,
    /// Accounts in the order in which they are to be tried; never empty.
    pub(super) offers: Vec<Arc<Offer>>,
    /// What becomes of the objects that the answer makes known.
    pub(super) belongings: Belongings,
    /// Where it goes once its provider has switched, of a request that asks for a WebSocket.
    pub(super) switch: Option<Slot>,
}

impl Admitted {
    /// Reads as much of the body as can be known ahead, looks up the objects that it names, and
    /// chooses accounts.
    pub(super) async fn plan(self, spine: &Spine) -> Result<Planned, Refusal> {
        let Self { mut record, caller, inbound, room } = self;
        let switch = inbound.switch.clone();
        let limits = spine.0.needs.limits.now();
        let limits = UploadLimits {
            idle: limits.body_idle,
            stall: limits.stall,
            bytes: limits.body_bytes_max,
        };
        let till = spine.0.needs.till.as_ref();
        let planned = plan(inbound, limits, till, &mut record).await;
        let learned = match planned {
            Ok(learned) => learned,
            Err(Stopped::Broken) => {
                // Nobody is left to read it; the record says that the user went away.
                return Err(Refusal::malformed("body_broken", "the request's body broke off"));
            }
            Err(Stopped::Refused(refusal)) => {
                record.refused(EndReason::Refused, refusal.cause(), refusal.status());
                return Err(refusal);
            }
        };
        let Learned {
            ask,
            asked,
            named,
            dialect,
            method,
            headers,
            mut upload,
            reading,
            references,
        } = learned;
        let whose = Whose { user: caller.user(), provider: ask.provider };
        if let Some(refusal) = unbilled(spine, till, &caller, &ask).await {
            record.asks(ask.provider, ask.route.route.name, named);
            record.refused(EndReason::Refused, refusal.cause(), refusal.status());
            return Err(refusal);
        }
        let (mut reading, mut references) = (reading, references);
        let mut batched = upload.batch_models().cloned();
        if ask.route.route.metering == Metering::Batch && batched.is_none() {
            let order = upload.kept_bytes();
            match batch::read_file(spine, &caller, &ask, whose, &references, &order).await {
                Ok(file) => {
                    (batched, reading) = (Some(file.models), reading.and(Some(file.reading)));
                    references.extend(file.references);
                }
                Err(refusal) => {
                    record.asks(ask.provider, ask.route.route.name, named);
                    record.refused(EndReason::Refused, refusal.cause(), refusal.status());
                    return Err(refusal);
                }
            }
        }
        let chosen = match &batched {
            Some(models) => batch::choose(spine, &caller, &ask, models, whose, &references).await,
            None => choose::one(spine, &caller, &ask, asked.as_deref(), whose, &references).await,
        };
        let chosen = match (chosen, till.zip(reading)) {
            (Ok((offers, model)), Some((till, reading))) => {
                let exchange = record.id();
                let places = offers.iter().map(|offer| offer.account().place.clone()).collect();
                let order = Order {
                    exchange,
                    caller: &caller,
                    ask: &ask,
                    model: model.as_deref(),
                    places: &places,
                    reading,
                };
                till.open(order).await.map(|tab| (offers, model, tab))
            }
            (Ok((offers, model)), None) => Ok((offers, model, None)),
            (Err(refusal), _) => Err(refusal),
        };
        let (offers, model, tab) = match chosen {
            Ok(chosen) => chosen,
            Err(refusal) => {
                record.asks(ask.provider, ask.route.route.name, named);
                record.refused(EndReason::Refused, refusal.cause(), refusal.status());
                return Err(refusal);
            }
        };
        let model = model.and_then(|model| ModelName::parse(&model).ok());
        record.asks(ask.provider, ask.route.route.name, model);
        record.opened(tab);
        let objects = spine.0.needs.objects.clone();
        let owing = record.tab().and_then(|tab| Owing::of(tab, ask.provider, &ask.target));
        let belongings = Belongings::new(objects, whose, &ask.route, upload.store()).owing(owing);
        upload.guarded_by(belongings.guard(references));
        upload.priced_by(record.tab().and_then(|tab| tab.late()));
        Ok(Planned {
            record,
            room,
            method,
            ask,
            dialect,
            headers,
            upload,
            offers,
            belongings,
            switch,
        })
    }
}

/// What planning learns from the request itself.
struct Learned {
    ask: Ask,
    /// The model that it names, as it names it.
    asked: Option<String>,
    /// The same as a valid name, for the record.
    named: Option<ModelName>,
    dialect: Dialect,
    method: Method,
    headers: HeaderMap,
    upload: Upload,
    /// Its meter, where it costs.
    reading: Option<Reading>,
    /// The objects that it has named so far.
    references: Vec<Reference>,
}

async fn plan(
    inbound: Inbound,
    limits: UploadLimits,
    till: Option<&Till>,
    record: &mut Record,
) -> Result<Learned, Stopped> {
    let Inbound { method, mut asks, dialect, headers: all, body, switch, .. } = inbound;
    if asks.is_empty() {
        return Err(Stopped::Refused(Refusal::not_found("unknown_path", "no such path")));
    }
    let first = asks.remove(0);
    let mut scan = scan(&all, first.route.route).map_err(Stopped::Refused)?;
    if till.is_some() && takes_later(first.provider, first.route.route.name) {
        scan.takes_later();
    }
    record.asks(first.provider, first.route.route.name, None);
    let mut references = belongings::named_ahead(&first.route, &all).map_err(Stopped::Refused)?;
    let reading = till.and_then(|till| till.reading(&first.route, &all));
    let mut upload = Upload::new(body, scan, limits, record.taken());
    upload.metered_by(reading.clone());
    match (first.route.route.metering, first.route.route.body) {
        (Metering::Batch, BodyKind::Requests) => upload.kept_whole(BATCH_BODY_BYTES_MAX),
        (Metering::Batch, _) => upload.kept_whole(batch::ORDER_BYTES_MAX),
        (_, _) => {}
    }
    upload.peek().await?;
    references.extend(upload.take_named());

    let in_path = first.route.named_in_path().map(str::to_owned).or(in_query(&first)?);
    let by_header = all.get(MODEL_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Where no model is wanted, what is called so is something else.
    let wanted = first.route.route.model != ModelSource::NotNeeded;
    let mut asked = in_path.or_else(|| upload.model().filter(|_| wanted).map(str::to_owned));
    if let (None, Some(model)) = (&asked, by_header.filter(|_| wanted)) {
        // What routing and the key's allow-list were told must be what the provider is told.
        upload.expect(model.clone())?;
        asked = Some(model);
    }
    let named =
        match &asked {
            None => None,
            Some(text) => Some(ModelName::parse(text).map_err(|error| {
                Stopped::Refused(Refusal::malformed("model", error.to_string()))
            })?),
        };
    // Where the path leaves open whose API is meant, the model says it.
    let deepseek = asked.as_ref().is_some_and(|model| model.starts_with("deepseek"));
    let ask = asks
        .into_iter()
        .find(|ask| deepseek && ask.provider == Provider::DeepSeek)
        .unwrap_or(first);
    let headers = match switch {
        Some(_) => headers::upgrade_request_headers(&all),
        None => headers::request_headers(&all),
    };
    Ok(Learned { ask, asked, named, dialect, method, headers, upload, reading, references })
}

/// What keeps a response from being deleted: what is not there any more cannot be billed.
async fn unbilled(
    spine: &Spine,
    till: Option<&Till>,
    caller: &Caller,
    ask: &Ask,
) -> Option<Refusal> {
    let deletes = matches!(ask.route.route.objects, ObjectUse::Deletes);
    let mut response = ask.route.objects().pop().filter(|_| deletes)?;
    if response.kind == Some(ObjectKind::File) {
        // The results of a batch are what it is billed by.
        let whose = Whose { user: caller.user(), provider: ask.provider };
        match spine.0.needs.objects.part_of(whose, &response.id).await {
            Ok(Some(id)) => response = Reference { kind: Some(ObjectKind::Batch), id },
            Ok(None) => return None,
            Err(unusable) => return Some(unusable.into()),
        }
    }
    match till?.later().owes(caller.user(), &response.id).await {
        Ok(false) => None,
        Ok(true) => Some(Refusal::malformed(
            match response.kind {
                Some(ObjectKind::Batch) => "batch_unbilled",
                Some(_) | None => "response_unbilled",
            },
            "it is still being made, or billed: cancel it, or delete it when it has ended",
        )),
        Err(error) => {
            tracing::error!(%error, "pending bills cannot be looked up");
            Some(Refusal::unavailable("object_store", "objects cannot be looked up", NO_AGENT_WAIT))
        }
    }
}

/// The model that the query names, where the route looks there.
fn in_query(ask: &Ask) -> Result<Option<String>, Stopped> {
    if ask.route.route.model != ModelSource::Query {
        return Ok(None);
    }
    let named = routes::named_in_query(&ask.target);
    let refused = |error: QueryRefused| Refusal::malformed("model", error.to_string());
    let named = named.map_err(|error| Stopped::Refused(refused(error)))?;
    Ok(named.map(str::to_owned))
}

/// The scan that fits the body. A coded body cannot be scanned as it is.
fn scan(headers: &HeaderMap, route: &Route) -> Result<BodyScan, Refusal> {
    let coded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if coded {
        return Err(Refusal::media_type("request bodies must not be compressed"));
    }
    // Of two, the provider might take the one that was not checked.
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let kind = kinds.next().map(|value| value.to_str());
    if kinds.next().is_some() {
        return Err(Refusal::malformed("content_type", "the content-type is given twice"));
    }
    let kind = kind
        .transpose()
        .map_err(|_| Refusal::malformed("content_type", "the content-type is no text"))?;
    BodyScan::for_route(kind, route).map_err(|error| Refusal::media_type(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_body_of_two_content_types_is_refused() {
        let route = routes::find(Provider::OpenAi, &Method::POST, "/v1/files").expect("a route");
        let form = HeaderValue::from_static("multipart/form-data; boundary=a");
        let mut all = HeaderMap::new();
        all.append(CONTENT_TYPE, form.clone());
        scan(&all, route.route).expect("one is enough");
        for other in ["multipart/form-data; boundary=b", "application/json", ""] {
            let mut both = all.clone();
            both.append(CONTENT_TYPE, HeaderValue::from_static(other));
            assert_eq!(scan(&both, route.route).expect_err("a refusal").cause(), "content_type");
        }
    }
}
