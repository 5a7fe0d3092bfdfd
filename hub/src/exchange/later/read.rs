//! A read of the hub's own: one stored response, from the account under which it lives.

use super::super::admit::Room;
use super::super::belongings::{Belongings, home_of};
use super::super::dispatch::Dispatched;
use super::super::plan::Planned;
use super::super::refusal::Refusal;
use super::super::settle::Record;
use super::super::till::Tab;
use super::super::upload::{Upload, UploadLimits};
use super::super::{Ask, Spine};
use crate::objects::Whose;
use axum::body::Body;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::ids::{ExchangeId, KeyId, UserId};
use weft_proto::meter::{AnswerFacts, AnswerMeter, Asked, Metered};
use weft_proto::model::ModelName;
use weft_proto::provider::Provider;
use weft_proto::scan::BodyScan;
use weft_proto::tables::routes::{self, Match, Route};
use weft_proto::tables::target::Target;
use weft_store::{Home, Outcome, PendingBill};

/// The longest that one read may take.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// The form of the API that Anthropic is asked for.
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// For whom the hub reads what lives where.
pub(in super::super) struct Reader {
    pub(in super::super) user: UserId,
    pub(in super::super) key: KeyId,
    pub(in super::super) provider: Provider,
    pub(in super::super) home: Home,
    /// The model that it is about, where it is about one.
    pub(in super::super) model: Option<ModelName>,
}

/// Where a response is read, and the route there; `None` where there is none any more.
pub(super) fn route(bill: &PendingBill) -> Option<(Target, Match)> {
    let target = Target::parse(&bill.target).ok()?;
    let route = routes::find(bill.provider, &Method::GET, target.path()).ok()?;
    Some((target, route))
}

impl Spine {
    /// Reads the response of `bill`, or what else it is about: what its provider says of it, or
    /// `None` where nobody could be asked or the answer broke off. With a tab, the read is charged.
    ///
    /// # Cancel safety
    /// A dropped read ends like one whose user went away.
    pub(super) async fn read_stored(
        &self,
        bill: &PendingBill,
        exchange: ExchangeId,
        tab: Option<Box<Tab>>,
    ) -> Option<(StatusCode, Metered)> {
        let at = route(bill)?;
        let row = at.1.route;
        let planned = self.plan_read(bill, exchange, tab, at)?;
        let reading = async {
            match planned.dispatch(self).await {
                Ok(Dispatched::Answering(answering)) => {
                    told(row, answering.relay(self).await).await
                }
                Ok(Dispatched::Switching(_)) | Err(_) => None,
            }
        };
        tokio::time::timeout(READ_WITHIN, reading).await.ok().flatten()
    }

    /// A read of `target`, under the account at which the bill's response lives.
    pub(super) fn plan_read(
        &self,
        bill: &PendingBill,
        exchange: ExchangeId,
        tab: Option<Box<Tab>>,
        at: (Target, Match),
    ) -> Option<Planned> {
        let PendingBill { user, key, provider, home, .. } = *bill;
        let model = Some(bill.model.clone());
        self.plan_read_for(Reader { user, key, provider, home, model }, exchange, tab, at)
    }

    /// A read of the hub's own of `target`, under one account.
    pub(in super::super) fn plan_read_for(
        &self,
        reader: Reader,
        exchange: ExchangeId,
        tab: Option<Box<Tab>>,
        (target, route): (Target, Match),
    ) -> Option<Planned> {
        let Reader { user, key, provider, home, model } = reader;
        let needs = &self.0.needs;
        let room = Room::without_body(self)?;
        let place = needs.settler.reserve()?;
        let outcome = Outcome::begun(exchange, user, key, needs.clock.now());
        let mut record = Record::new(outcome, place, needs.metrics.clone(), needs.cut_off.clone());
        record.asks(provider, route.route.name, model);
        record.opened(tab);
        let offers = needs.tunnels.offers(provider);
        let offers: Vec<_> = offers.into_iter().filter(|offer| home_of(offer) == home).collect();
        if offers.is_empty() {
            let refusal = Refusal::unavailable("no_agent", "its agent is away", READ_WITHIN);
            record.refused(EndReason::Refused, refusal.cause(), refusal.status());
            return None;
        }
        let limits = needs.limits.now();
        let limits = UploadLimits {
            idle: limits.body_idle,
            stall: limits.stall,
            bytes: limits.body_bytes_max,
        };
        let upload = Upload::new(Body::empty(), BodyScan::Empty, limits, record.taken());
        let whose = Whose { user, provider };
        let belongings = Belongings::new(needs.objects.clone(), whose, &route, None);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if provider == Provider::Anthropic {
            headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
        }
        Some(Planned {
            record,
            room,
            method: Method::GET,
            dialect: route.route.dialect(),
            ask: Ask { provider, target, route },
            headers,
            upload,
            offers,
            belongings,
            switch: None,
        })
    }
}

/// What an answer says of the response. It is read to its end, and not kept.
async fn told(route: &Route, answer: Response<Body>) -> Option<(StatusCode, Metered)> {
    let (head, mut body) = answer.into_parts();
    let mut meter = AnswerMeter::new(&AnswerFacts::of(route, head.status, &head.headers));
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.ok()?.into_data() {
            meter.feed(&bytes);
        }
    }
    Some((head.status, meter.end(&Asked::default(), true)))
}
