//! Keys: add, list, revoke. The secret is in the answer to `add`, and never again.

use super::extract::{Body, Listed, Params, Subject, page_size, parse, time_text};
use super::{Problem, Rooms, users};
use crate::auth::KeySecret;
use crate::wallets::AMOUNT_MAX;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use weft_proto::ids::KeyId;
use weft_proto::model::{ModelPattern, ModelPatterns};
use weft_proto::money::NanoUsd;
use weft_store::{Key, KeyHash, KeyHint, ModelAllowList, Name, Networks, Page, SpendLimits};

/// What a key is called where nothing is said.
const LABEL_DEFAULT: &str = "default";

/// A key as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id, which is not secret.
    pub id: String,
    /// The id of the user whose it is.
    pub user: String,
    /// What its user calls it.
    pub label: String,
    /// The last characters of the secret.
    pub hint: String,
    /// Patterns of the models it may ask for; nothing where it may ask for every one.
    pub models: Option<Vec<String>>,
    /// The networks it may be used from; none where it may be used from everywhere.
    pub networks: Vec<String>,
    /// Its price zone; nothing where its user's holds.
    #[serde(default)]
    pub zone: Option<String>,
    /// The most that it may spend in a day (UTC), decimal USD.
    #[serde(default)]
    pub day_limit: Option<String>,
    /// The most that it may spend in a calendar month (UTC), decimal USD.
    #[serde(default)]
    pub month_limit: Option<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// From when on it is refused, RFC 3339.
    pub expires_at: Option<String>,
    /// When it was revoked, RFC 3339.
    pub revoked_at: Option<String>,
}

impl From<&Key> for KeyView {
    fn from(key: &Key) -> Self {
        Self {
            id: key.id.to_string(),
            user: key.user.to_string(),
            label: key.label.to_string(),
            hint: key.hint.to_string(),
            models: match &key.models {
                ModelAllowList::Any => None,
                ModelAllowList::Only(patterns) => {
                    Some(patterns.iter().map(ToString::to_string).collect())
                }
            },
            networks: key.networks.iter().map(ToString::to_string).collect(),
            zone: key.zone.as_ref().map(ToString::to_string),
            day_limit: key.limits.day.map(|limit| limit.to_string()),
            month_limit: key.limits.month.map(|limit| limit.to_string()),
            created_at: time_text(key.created_at),
            expires_at: key.expires_at.map(time_text),
            revoked_at: key.revoked_at.map(time_text),
        }
    }
}

/// A key to add.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Name or id of the user.
    pub user: String,
    /// What its user calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Patterns of the models it may ask for, such as `gpt-*`; every model where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Networks it may be used from, such as `192.0.2.0/24`; everywhere where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// For how many seconds it may be used; for ever where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// The name of its price zone; its user's where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The most that it may spend in a day (UTC), decimal USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_limit: Option<String>,
    /// The most that it may spend in a calendar month (UTC), decimal USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month_limit: Option<String>,
}

/// What to change about a key. What is left out stays as it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// The name of its price zone; `-` for its user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The most that it may spend in a day (UTC), decimal USD; `-` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_limit: Option<String>,
    /// The most that it may spend in a calendar month (UTC), decimal USD; `-` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month_limit: Option<String>,
}

/// A key that was just added, with its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AddedKey {
    /// The key.
    pub key: KeyView,
    /// The secret: shown here and never again.
    pub secret: String,
}

/// Add a key.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", request_body = NewKey, responses(
    (status = 201, description = "the only answer with the secret", body = AddedKey),
    (status = 404, description = "no such user", body = Problem), (status = 422, body = Problem)))]
pub(super) async fn add(
    State(rooms): State<Rooms>,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<AddedKey>), Problem> {
    let secret = KeySecret::generate(&*rooms.entropy);
    let text = secret.expose();
    let now = rooms.clock.now();
    if new.expires_in_seconds == Some(0) {
        return Err(Problem::invalid("expires_in_seconds: want at least 1"));
    }
    let key = Key {
        id: KeyId::generate(&*rooms.clock, &*rooms.entropy),
        user: users::resolve(&rooms, &new.user).await?,
        label: parse::<Name>("label", new.label.as_deref().unwrap_or(LABEL_DEFAULT))?,
        hash: KeyHash::new(secret.hash()),
        hint: KeyHint::of(&text).map_err(Problem::invalid)?,
        models: models(new.models.as_deref())?,
        expires_at: new.expires_in_seconds.map(|after| now.after(Duration::from_secs(after))),
        networks: networks(&new.networks)?,
        zone: new.zone.as_deref().map(|zone| parse("zone", zone)).transpose()?,
        limits: SpendLimits {
            day: limit("day_limit", new.day_limit.as_deref(), None)?,
            month: limit("month_limit", new.month_limit.as_deref(), None)?,
        },
        created_at: now,
        revoked_at: None,
    };
    rooms.store.keys().create(&key).await?;
    rooms.auth.created(key.id);
    let (id, user) = (key.id.to_string(), key.user.to_string());
    rooms.wallets.note_key(&[("made", &id), ("user", &user)]).await?;
    let added = AddedKey { key: KeyView::from(&key), secret: String::from(text.as_str()) };
    Ok((StatusCode::CREATED, Json(added)))
}

fn models(patterns: Option<&[String]>) -> Result<ModelAllowList, Problem> {
    let Some(texts) = patterns else {
        return Ok(ModelAllowList::Any);
    };
    if texts.is_empty() {
        return Err(Problem::invalid(
            "models: the empty list would allow none; leave it out for all",
        ));
    }
    let patterns: Vec<ModelPattern> =
        texts.iter().map(|text| parse("models", text)).collect::<Result<_, _>>()?;
    ModelPatterns::new(patterns)
        .map(ModelAllowList::Only)
        .map_err(|error| Problem::invalid(format!("models: {error}")))
}

fn networks(texts: &[String]) -> Result<Networks, Problem> {
    parse("networks", &texts.join(","))
}

/// A limit as it should be: `before` where nothing is said, none for `-`.
fn limit(
    field: &str,
    text: Option<&str>,
    before: Option<NanoUsd>,
) -> Result<Option<NanoUsd>, Problem> {
    match text {
        None => Ok(before),
        Some("-") => Ok(None),
        Some(text) => {
            let limit: NanoUsd = parse(field, text)?;
            if limit.is_negative() || limit > AMOUNT_MAX {
                let range = format!("{field}: want 0 to {AMOUNT_MAX} USD, or -");
                return Err(Problem::invalid(range));
            }
            Ok(Some(limit))
        }
    }
}

/// Change a key's price zone or spend limits.
#[utoipa::path(post, path = "/api/v1/keys/{key}/terms", tag = "keys", request_body = KeyChange,
    params(("key" = String, Path, description = "id")),
    responses((status = 200, body = KeyView), (status = 404, body = Problem),
    (status = 409, description = "user and owner could profit from themselves", body = Problem)))]
pub(super) async fn change(
    State(rooms): State<Rooms>,
    Subject(key): Subject,
    Body(change): Body<KeyChange>,
) -> Result<Json<KeyView>, Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "no such key");
    let key = rooms.store.keys().find(parse("key", &key)?).await?.ok_or_else(missing)?;
    let zone: Option<Name> = match change.zone.as_deref() {
        None => key.zone.clone(),
        Some("-") => None,
        Some(zone) => Some(parse("zone", zone)?),
    };
    let limits = SpendLimits {
        day: limit("day_limit", change.day_limit.as_deref(), key.limits.day)?,
        month: limit("month_limit", change.month_limit.as_deref(), key.limits.month)?,
    };
    let key = rooms.store.terms().set_key(key.id, zone.as_ref(), limits).await?;
    rooms.auth.user_changed(key.user);
    let view = KeyView::from(&key);
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    rooms
        .wallets
        .note_terms(&[
            ("key", &view.id),
            ("zone", &or_none(&view.zone)),
            ("day_limit", &or_none(&view.day_limit)),
            ("month_limit", &or_none(&view.month_limit)),
        ])
        .await?;
    Ok(Json(view))
}

/// Which keys to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyParams {
    /// Name or id of the user.
    user: String,
    /// The `next` of the page before; nothing for the first page.
    #[serde(default)]
    after: Option<String>,
    /// How many at most: 1 to 1000, 100 where nothing is said.
    #[serde(default)]
    limit: Option<u32>,
}

/// List the keys of a user, oldest first.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", params(KeyParams), responses(
    (status = 200, body = Listed<KeyView>), (status = 404, description = "no such user", body = Problem)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    Params(params): Params<KeyParams>,
) -> Result<Json<Listed<KeyView>>, Problem> {
    let user = users::resolve(&rooms, &params.user).await?;
    let after = params.after.as_deref().map(|text| parse("after", text)).transpose()?;
    let page = Page { after, size: page_size(params.limit) };
    let keys = rooms.store.keys().list(user, page).await?;
    Ok(Json(Listed::page(&keys, page.size, |key| key.id.to_string())))
}

/// Revoke a key: from this answer on no request is admitted with it.
#[utoipa::path(post, path = "/api/v1/keys/{key}/revoke", tag = "keys",
    params(("key" = String, Path, description = "id")),
    responses((status = 200, body = KeyView), (status = 404, body = Problem)))]
pub(super) async fn revoke(
    State(rooms): State<Rooms>,
    Subject(key): Subject,
) -> Result<Json<KeyView>, Problem> {
    let key = rooms.store.keys().revoke(parse("key", &key)?, rooms.clock.now()).await?;
    rooms.auth.revoked(key.id);
    rooms.wallets.note_key(&[("revoked", &key.id.to_string())]).await?;
    Ok(Json(KeyView::from(&key)))
}
