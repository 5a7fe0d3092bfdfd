//! `/v1/models`, made by the hub: the models that connected accounts name and the caller may use.
//!
//! An account that serves a pattern such as `gpt-*` names no model here: the hub lists what it
//! knows to exist, and routes more than it lists.
//!
//! OpenAI's list is whole. Anthropic's comes in pages, in the order of the names, and a page's end
//! need not be a name that is still listed.

use crate::auth::Caller;
use crate::exchange::refusal::Refusal;
use crate::routing;
use crate::tunnel::Tunnels;
use axum::body::Body;
use axum::extract::Query;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Bound;
use weft_proto::provider::{Dialect, Provider};

/// The date that stands for "not known" where a dialect wants one.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// Entries on a page of Anthropic's where the query names no number, and the most on one.
const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 1_000;

/// Which part of Anthropic's list is asked for. Other parameters (`beta`) change nothing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

impl Page {
    /// Reads the query of `uri`.
    pub(super) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let refused = |message: &str| Refusal::malformed("page", message);
        let Query(page) = Query::<Self>::try_from_uri(uri).map_err(|_| {
            refused("`limit` wants a number, and each parameter stands once in the query")
        })?;
        if page.limit.is_some_and(|limit| !(1..=PAGE_MAX).contains(&limit)) {
            return Err(refused("`limit` wants a number from 1 to 1000"));
        }
        if page.after_id.is_some() && page.before_id.is_some() {
            return Err(refused("`after_id` and `before_id` do not go together"));
        }
        Ok(page)
    }

    /// The names on this page, and whether more lie beyond it.
    fn of_names<'a>(&self, models: &'a BTreeMap<String, Provider>) -> (Vec<&'a str>, bool) {
        let limit = self.limit.unwrap_or(PAGE_DEFAULT);
        let after = self.after_id.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let before = self.before_id.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let names = models.range::<str, _>((after, before)).map(|(name, _)| name.as_str());
        // One more than the page holds tells whether there are more.
        let mut page: Vec<&str> = if self.before_id.is_some() {
            names.rev().take(limit + 1).collect()
        } else {
            names.take(limit + 1).collect()
        };
        let more = page.len() > limit;
        page.truncate(limit);
        if self.before_id.is_some() {
            page.reverse();
        }
        (page, more)
    }
}

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
    uri: &Uri,
    dialect: Dialect,
) -> Result<Response<Body>, Refusal> {
    let body = match (only, dialect) {
        (Some(name), _) => {
            let missing =
                || Refusal::not_found("model_not_found", "no connected account names this model");
            entry(name, *models.get(name).ok_or_else(missing)?, dialect)
        }
        (None, Dialect::OpenAi) => {
            let entries: Vec<_> =
                models.iter().map(|(name, provider)| entry(name, *provider, dialect)).collect();
            json!({"object": "list", "data": entries})
        }
        (None, Dialect::Anthropic) => {
            let (names, more) = Page::of(uri)?.of_names(models);
            let entries: Vec<_> = names.iter().map(|name| anthropic(name)).collect();
            json!({
                "data": entries,
                "first_id": names.first(),
                "last_id": names.last(),
                "has_more": more,
            })
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
        Dialect::Anthropic => anthropic(name),
    }
}

fn anthropic(name: &str) -> Value {
    json!({"type": "model", "id": name, "display_name": name, "created_at": EPOCH})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> BTreeMap<String, Provider> {
        let names = ["claude-a", "claude-b", "claude-c", "claude-d:1"];
        names.map(|name| (name.to_owned(), Provider::Anthropic)).into()
    }

    fn page(query: &str) -> Result<(Vec<String>, bool), Refusal> {
        let uri = format!("/v1/models{query}").parse().expect("a URI");
        let models = models();
        let (names, more) = Page::of(&uri)?.of_names(&models);
        Ok((names.into_iter().map(str::to_owned).collect(), more))
    }

    #[test]
    fn pages_go_both_ways_and_tell_whether_more_lie_beyond() {
        for (query, wanted, more) in [
            ("", &["claude-a", "claude-b", "claude-c", "claude-d:1"][..], false),
            ("?limit=1000&beta=true", &["claude-a", "claude-b", "claude-c", "claude-d:1"], false),
            ("?limit=2", &["claude-a", "claude-b"], true),
            ("?limit=2&after_id=claude-b", &["claude-c", "claude-d:1"], false),
            ("?limit=1&after_id=claude-bb", &["claude-c"], true),
            ("?limit=2&before_id=claude-d%3A1", &["claude-b", "claude-c"], true),
            ("?before_id=claude-b", &["claude-a"], false),
            ("?after_id=zzz", &[], false),
        ] {
            let (names, has_more) = page(query).expect("a page");
            assert_eq!(
                (names, has_more),
                (wanted.iter().map(|&n| n.into()).collect(), more),
                "{query}"
            );
        }
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for query in [
            "?limit=0",
            "?limit=1001",
            "?limit=x",
            "?limit=-1",
            "?limit=1&limit=2",
            "?after_id=a&before_id=b",
        ] {
            assert_eq!(page(query).expect_err("a refusal").cause(), "page", "{query}");
        }
    }
}
