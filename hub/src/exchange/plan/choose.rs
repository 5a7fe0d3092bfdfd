//! The accounts that may serve a request, waited for where one is about to come back.
//!
//! Agents come back within seconds of a hub's start, of their own restart, of a link that broke. A
//! request that meets such a gap waits for as long as `limits.agent_wait_seconds` says, rather than
//! fail; one that no account is expected for is refused at once.

use super::{MODEL_HEADER, NO_AGENT_WAIT};
use crate::auth::Caller;
use crate::exchange::refusal::Refusal;
use crate::exchange::{Ask, Spine};
use crate::objects::Whose;
use crate::routing::{self, Asked, Candidate, NoRoute, Wish};
use crate::tunnel::Offer;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use weft_proto::ids::OwnerId;
use weft_proto::objects::Reference;
use weft_proto::tables::routes::ModelSource;
use weft_proto::wire::control::Account;
use weft_store::ModelAllowList;

/// Accounts to try, in order, and the model that counts.
pub(super) type Chosen = (Vec<Arc<Offer>>, Option<String>);

/// Chooses for a request of one model, or of none. Waits where an account that would do is away
/// and may be back in time.
///
/// # Errors
/// A refusal that says what is missing.
///
/// # Cancel safety
/// Dropping the call changes nothing.
pub(super) async fn one(
    spine: &Spine,
    caller: &Caller,
    ask: &Ask,
    model: Option<&str>,
    whose: Whose,
    references: &[Reference],
) -> Result<Chosen, Refusal> {
    let needs = &spine.0.needs;
    let asked = match (ask.route.route.model, model) {
        (ModelSource::NotNeeded, _) => Asked::NotNeeded,
        (
            ModelSource::JsonBody
            | ModelSource::Multipart
            | ModelSource::Deployment
            | ModelSource::Path
            | ModelSource::Query
            | ModelSource::None,
            model,
        ) => model.map_or(Asked::Unknown, Asked::Model),
    };
    let home = needs.objects.home_of(whose, references).await?;
    let prefers = match (asked, home) {
        (Asked::NotNeeded, None) => needs.objects.latest_home(whose).await?,
        (Asked::NotNeeded | Asked::Model(_) | Asked::Unknown, _) => None,
    };
    let wish = Wish {
        provider: ask.provider,
        asked,
        home,
        prefers,
        member_of: caller.member_of(),
        allowed: match caller.models() {
            ModelAllowList::Any => None,
            ModelAllowList::Only(patterns) => Some(patterns),
        },
    };
    Ok(match now(spine, &wish) {
        Err(none) if is_gap(none) => wait(spine, &wish, none).await?,
        chosen => chosen?,
    })
}

/// Whether what is missing may only be away.
const fn is_gap(none: NoRoute) -> bool {
    match none {
        NoRoute::NoAgent | NoRoute::HomeAway | NoRoute::NoSuchModel | NoRoute::ModelUnknown => true,
        NoRoute::ModelNotAllowed | NoRoute::Busy => false,
    }
}

/// Waits for an account that will do, for as long as one is expected.
async fn wait(spine: &Spine, wish: &Wish<'_>, mut none: NoRoute) -> Result<Chosen, NoRoute> {
    let needs = &spine.0.needs;
    // Listening comes before the look: what is announced between the two is seen by one of them.
    let mut announced = needs.tunnels.announced();
    let would_do = |account: &Account, owner| would_do(spine, wish, account, owner);
    let Some(expected) = needs.tunnels.expected_until(wish.provider, would_do) else {
        return Err(none);
    };
    let until = expected.min(Instant::now() + needs.limits.now().agent_wait);
    let mut waited = pin!(tokio::time::sleep_until(until));
    loop {
        match now(spine, wish) {
            Err(still) if is_gap(still) => none = still,
            chosen => return chosen,
        }
        loop {
            tokio::select! {
                biased;
                () = needs.closing.cancelled() => return Err(none),
                () = &mut waited => return Err(none),
                offer = announced.recv() => match offer {
                    Ok(offer) if would_do(offer.account(), offer.link().owner()) => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return Err(none),
                },
            }
        }
    }
}

/// Whether the account would serve the wish, were it there and had it a place.
fn would_do(spine: &Spine, wish: &Wish<'_>, account: &Account, owner: OwnerId) -> bool {
    let candidate = Candidate { account, owner, open: true, in_flight: 0, value: () };
    routing::choose(wish, &[candidate], &*spine.0.needs.entropy).is_ok()
}

/// Chooses among the accounts that are there now.
fn now(spine: &Spine, wish: &Wish<'_>) -> Result<Chosen, NoRoute> {
    let needs = &spine.0.needs;
    let offers = needs.tunnels.offers(wish.provider);
    let candidates: Vec<_> = offers
        .iter()
        .enumerate()
        .map(|(index, offer)| Candidate {
            account: offer.account(),
            owner: offer.link().owner(),
            open: offer.is_open(),
            in_flight: offer.in_flight(),
            value: index,
        })
        .collect();
    let choices = routing::choose(wish, &candidates, &*needs.entropy)?;
    let model = choices.first().and_then(|choice| choice.model.clone());
    // A different model is a different request.
    let offers = choices
        .into_iter()
        .filter(|choice| choice.model == model)
        .filter_map(|choice| offers.get(choice.value).map(Arc::clone))
        .collect();
    Ok((offers, model))
}

impl From<NoRoute> for Refusal {
    fn from(none: NoRoute) -> Self {
        let message = none.to_string();
        match none {
            NoRoute::NoAgent | NoRoute::HomeAway => {
                Self::unavailable("no_agent", message, NO_AGENT_WAIT)
            }
            NoRoute::NoSuchModel => Self::not_found("model_not_found", message),
            NoRoute::ModelNotAllowed => Self::forbidden("model_not_allowed", message),
            NoRoute::ModelUnknown => Self::malformed(
                "model_unknown",
                format!("{message}; name it in the header {MODEL_HEADER}"),
            ),
            NoRoute::Busy => Self::unavailable("accounts_busy", message, NO_AGENT_WAIT),
        }
    }
}
