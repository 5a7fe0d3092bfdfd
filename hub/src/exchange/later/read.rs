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
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use weft_proto::codes::EndReason;
use weft_proto::ids::ExchangeId;
use weft_proto::meter::{AnswerFacts, AnswerMeter, Asked, Metered};
use weft_proto::scan::BodyScan;
use weft_proto::tables::routes::{self, Match, Route};
use weft_proto::tables::target::Target;
use weft_store::{Outcome, PendingBill};

/// The longest that one read may take.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// The route by which a response is read; `None` where there is none any more.
pub(super) fn route(bill: &PendingBill) -> Option<Match> {
    let target = Target::parse(&bill.target).ok()?;
    routes::find(bill.provider, &Method::GET, target.path()).ok()
}

impl Spine {
    /// Reads the response of `bill`: what its provider says of it, or `None` where nobody could be
    /// asked or the answer broke off. With a tab, the read is charged.
    ///
    /// # Cancel safety
    /// A dropped read ends like one whose user went away.
    pub(super) async fn read_stored(
        &self,
        bill: &PendingBill,
        exchange: ExchangeId,
        tab: Option<Tab>,
    ) -> Option<(StatusCode, Metered)> {
        let route = route(bill)?;
        let row = route.route;
        let planned = self.plan_read(bill, exchange, tab, route)?;
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

    fn plan_read(
        &self,
        bill: &PendingBill,
        exchange: ExchangeId,
        tab: Option<Tab>,
        route: Match,
    ) -> Option<Planned> {
        let needs = &self.0.needs;
        let room = Room::without_body(self)?;
        let place = needs.settler.reserve()?;
        let outcome = Outcome::begun(exchange, bill.user, bill.key, needs.clock.now());
        let mut record = Record::new(outcome, place, needs.metrics.clone(), needs.cut_off.clone());
        record.asks(bill.provider, route.route.name, Some(bill.model.clone()));
        record.opened(tab);
        let offers = needs.tunnels.offers(bill.provider);
        let offers: Vec<_> =
            offers.into_iter().filter(|offer| home_of(offer) == bill.home).collect();
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
        let whose = Whose { user: bill.user, provider: bill.provider };
        let belongings = Belongings::new(needs.objects.clone(), whose, &route, None);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Some(Planned {
            record,
            room,
            method: Method::GET,
            dialect: route.route.dialect(),
            ask: Ask { provider: bill.provider, target: Target::parse(&bill.target).ok()?, route },
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
