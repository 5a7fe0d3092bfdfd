//! The agent's own verdict on a request, before anything is called.
//!
//! Whatever is refused here was not sent, and the hub is told so.

use super::{Ended, Shared};
use crate::account::Account;
use crate::limits::{NotAdmitted, Pass};
use crate::upstream::HttpVersion;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use std::sync::Arc;
use weft_proto::codes::AbortCode;
use weft_proto::provider::Provider;
use weft_proto::tables::hosts::Origin;
use weft_proto::tables::routes::{self, BodyKind, Match, ModelSource, RouteKind};
use weft_proto::tables::target::Target;
use weft_proto::wire::head::RequestHead;

/// A request that may be called: only [`Shared::authorize`] makes one.
#[derive(Debug)]
#[must_use = "an authorized request is to be called"]
pub(super) struct Authorized {
    pub(super) account: Arc<Account>,
    pub(super) origin: Origin,
    pub(super) version: HttpVersion,
    pub(super) target: Target,
    pub(super) matched: Match,
    pub(super) body: DeclaredBody,
    pub(super) pass: Pass,
}

/// What a request says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeclaredBody {
    /// There is none.
    None,
    /// One of so many bytes, or of a length that its end will show.
    Bytes(Option<u64>),
}

const fn refused(why: &'static str) -> Ended {
    Ended::new(AbortCode::NotSent, why)
}

impl Shared {
    /// Judges a request by the agent's own tables and limits.
    ///
    /// # Errors
    /// `NOT_SENT`, `REFUSED_BUSY` or `DRAINING`; nothing was called.
    pub(super) fn authorize(
        &self,
        head: &RequestHead,
        draining: bool,
    ) -> Result<Authorized, Ended> {
        if draining {
            return Err(Ended::new(AbortCode::Draining, "the agent is draining"));
        }
        let account = self.vault.account(head.ticket.account).ok_or(refused("no such account"))?;
        if account.provider() != head.provider {
            return Err(refused("the account is another provider's"));
        }
        // Both ends price by the ticket: one that was made before the account moved would be wrong.
        let terms = head.ticket.terms.as_ref();
        if terms.is_some_and(|terms| terms.place.as_ref() != account.place()) {
            return Err(refused("the account is at another place than the ticket says"));
        }
        let target = Target::parse(&head.target).map_err(|_| refused("the target's form"))?;
        let route = routes::find(head.provider, &head.method, target.path())
            .map_err(|_| refused("no such route"))?;
        match (route.route.kind, head.upgrade) {
            (RouteKind::Relay, false) | (RouteKind::WebSocket, true) => {}
            (RouteKind::Relay, true) => return Err(refused("an upgrade where the route has none")),
            (RouteKind::WebSocket, false) => return Err(refused("a WebSocket without an upgrade")),
            (RouteKind::MadeByHub | RouteKind::ListedByHub, _) => {
                return Err(refused("a route that the hub answers itself"));
            }
        }
        if !names_a_served_model(&account, &route, &target) {
            return Err(refused("a model or deployment that the account does not serve"));
        }
        let body = declared_body(route.route.body, &head.headers)?;
        let origin = self
            .hosts
            .origin(account.provider(), account.site())
            .map_err(|_| refused("no host for the account"))?;
        let pass =
            self.limits.admit(account.id(), account.max_concurrency()).map_err(|reason| {
                match reason {
                    NotAdmitted::Busy => Ended::new(AbortCode::RefusedBusy, "the account is busy"),
                    NotAdmitted::Paused => refused("the account is paused"),
                }
            })?;
        let version = if account.http2() { HttpVersion::H2 } else { HttpVersion::H1 };
        Ok(Authorized { account, origin, version, target, matched: route, body, pass })
    }
}

/// Whether what the path names is the account's to serve. A model inside a body is the hub's gate's
/// concern: the agent reads no bodies.
fn names_a_served_model(account: &Account, route: &Match, target: &Target) -> bool {
    match (route.route.model, route.named_in_path()) {
        (ModelSource::Deployment, Some(deployment)) => {
            account.provider() == Provider::Azure && account.deployments().contains_key(deployment)
        }
        (ModelSource::Path, Some(model)) => account.models().allows(model),
        (ModelSource::Deployment | ModelSource::Path, None) => false,
        (ModelSource::Query, _) => match routes::named_in_query(target) {
            Ok(Some(name)) if account.provider() == Provider::Azure => {
                account.deployments().contains_key(name)
            }
            Ok(Some(model)) => account.models().allows(model),
            // What the session itself will ask for is the hub's concern, as with a body.
            Ok(None) => true,
            Err(_) => false,
        },
        (
            ModelSource::JsonBody
            | ModelSource::Multipart
            | ModelSource::NotNeeded
            | ModelSource::None,
            _,
        ) => true,
    }
}

fn declared_body(kind: BodyKind, headers: &HeaderMap) -> Result<DeclaredBody, Ended> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(value), None) => Some(
            value
                .to_str()
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or(refused("a content-length that is no number"))?,
        ),
        (Some(_), Some(_)) => return Err(refused("two content-lengths")),
    };
    match (kind, length) {
        (BodyKind::None, None | Some(0)) => Ok(DeclaredBody::None),
        (BodyKind::None, Some(_)) => Err(refused("a body where the route has none")),
        (
            BodyKind::Json | BodyKind::OptionalJson | BodyKind::Multipart | BodyKind::Requests,
            length,
        ) => Ok(DeclaredBody::Bytes(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(lengths: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for length in lengths {
            headers.append(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        headers
    }

    #[test]
    fn a_body_is_what_route_and_length_both_say() {
        let json = |lengths| declared_body(BodyKind::Json, &headers(lengths));
        assert_eq!(json(&[]), Ok(DeclaredBody::Bytes(None)));
        assert_eq!(json(&["17"]), Ok(DeclaredBody::Bytes(Some(17))));
        for bad in
            [&["+17"][..], &["1 7"], &[""], &["-1"], &["17", "17"], &["99999999999999999999"]]
        {
            assert_eq!(json(bad).map_err(|ended| ended.code), Err(AbortCode::NotSent), "{bad:?}");
        }
        assert_eq!(declared_body(BodyKind::None, &headers(&["0"])), Ok(DeclaredBody::None));
        assert!(declared_body(BodyKind::None, &headers(&["1"])).is_err());
    }
}
