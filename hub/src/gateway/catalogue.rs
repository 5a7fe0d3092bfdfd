//! `/v1/models`, made by the hub: the models that connected accounts name and the caller may use.
//!
//! An account that serves a pattern such as `gpt-*` names no model here: the hub lists what it
//! knows to exist, and routes more than it lists.

use crate::auth::Caller;
use crate::exchange::refusal::Refusal;
use crate::routing;
use crate::tunnel::Tunnels;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weft_proto::provider::{Dialect, Provider};

/// The date that stands for "not known" where a dialect wants one.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The models of `providers` that `caller` may use: name, and whose API serves it.
pub(super) fn of(
    tunnels: &Tunnels,
    caller: &Caller,
    providers: &[Provider],
) -> BTreeMap<String, Provider> {
    let mut models = BTreeMap::new();
    for &provider in providers {
        for offer in tunnels.offers(provider) {
            let account = offer.account();
            if !routing::permits(account, offer.link().owner(), caller.member_of()) {
                continue;
            }
            let named = account.models.iter().map(|pattern| pattern.as_str());
            let deployed = account.deployments.iter().map(|deployment| deployment.name.as_str());
            // On Azure a caller names the deployment, and the allow-list the model behind it.
            let (names, azure): (Vec<&str>, _) = if provider == Provider::Azure {
                (deployed.collect(), true)
            } else {
                (named.filter(|name| !name.contains('*')).collect(), false)
            };
            for name in names {
                let counts = account.deployments.iter().find(|known| azure && known.name == name);
                let model = counts.map_or(name, |deployment| deployment.model.as_str());
                if caller.models().allows(model) {
                    models.entry(name.to_owned()).or_insert(provider);
                }
            }
        }
    }
    models
}

/// The list, or one entry of it, in the shape of `dialect`.
pub(super) fn answer(
    models: &BTreeMap<String, Provider>,
    only: Option<&str>,
    dialect: Dialect,
) -> Result<Response<Body>, Refusal> {
    let body = match only {
        Some(name) => {
            let missing =
                || Refusal::not_found("model_not_found", "no connected account names this model");
            entry(name, *models.get(name).ok_or_else(missing)?, dialect)
        }
        None => {
            let entries: Vec<_> =
                models.iter().map(|(name, provider)| entry(name, *provider, dialect)).collect();
            match dialect {
                Dialect::OpenAi => json!({"object": "list", "data": entries}),
                Dialect::Anthropic => json!({
                    "data": entries,
                    "first_id": models.keys().next(),
                    "last_id": models.keys().next_back(),
                    "has_more": false,
                }),
            }
        }
    };
    let mut response = Response::new(Body::from(body.to_string()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn entry(name: &str, provider: Provider, dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAi => {
            json!({"id": name, "object": "model", "created": 0, "owned_by": provider.name()})
        }
        Dialect::Anthropic => {
            json!({"type": "model", "id": name, "display_name": name, "created_at": EPOCH})
        }
    }
}
