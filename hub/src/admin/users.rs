//! Users: add, list, change, disable, enable.

use super::extract::{Body, ListParams, Listed, Params, Subject, parse, time_text};
use super::{Problem, Rooms};
use crate::wallets::{AMOUNT_MAX, CreditKind};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_proto::ids::UserId;
use weft_proto::money::NanoUsd;
use weft_store::{Name, User};

/// A user as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of the owner whose house it belongs to.
    pub owner: Option<String>,
    /// Its price zone; nothing for the standard one.
    #[serde(default)]
    pub zone: Option<String>,
    /// When it was added, RFC 3339.
    pub created_at: String,
    /// Whether its keys are refused.
    pub disabled: bool,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name.to_string(),
            owner: user.owner.map(|id| id.to_string()),
            zone: user.zone.as_ref().map(ToString::to_string),
            created_at: time_text(user.created_at),
            disabled: user.disabled,
        }
    }
}

/// A user to add.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Its name: 1 to 64 printable characters.
    pub name: String,
    /// The name of the owner whose house it belongs to; made where it is new. Accounts for own or
    /// their organisation's use serve only the users of their owner's house.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The name of its price zone; the standard one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Money to begin with, in decimal USD such as `10.00`: a deposit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<String>,
}

/// What to change about a user. What is left out stays as it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// The name of its price zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The name of the owner whose house it belongs to; made where it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether it belongs to no owner from now on.
    #[serde(default)]
    pub no_owner: bool,
}

/// Add a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = NewUser, responses(
    (status = 201, body = UserView), (status = 409, description = "the name is taken", body = Problem),
    (status = 422, description = "not a name", body = Problem)))]
pub(super) async fn add(
    State(rooms): State<Rooms>,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    let name = parse("name", &new.name)?;
    let zone = new.zone.as_deref().map(|zone| parse("zone", zone)).transpose()?;
    // Before the user is made: a mistake in the one must not leave the other behind.
    let credit = new.credit.as_deref().map(deposit).transpose()?;
    let owner = match &new.owner {
        Some(owner) => Some(rooms.owner(owner).await?),
        None => None,
    };
    let user = User {
        id: UserId::generate(&*rooms.clock, &*rooms.entropy),
        name,
        owner,
        zone,
        created_at: rooms.clock.now(),
        disabled: false,
    };
    rooms.store.users().create(&user).await?;
    rooms.auth.user_changed(user.id);
    tracing::info!(user = %user.id, "user added");
    if let Some(amount) = credit {
        rooms.wallets.credit(&user, CreditKind::Deposit, amount, None).await?;
    }
    Ok((StatusCode::CREATED, Json(UserView::from(&user))))
}

/// Change a user's price zone or owner.
#[utoipa::path(post, path = "/api/v1/users/{user}/terms", tag = "users", request_body = UserChange,
    params(("user" = String, Path, description = "name or id")),
    responses((status = 200, body = UserView), (status = 404, body = Problem),
    (status = 409, description = "user and owner could profit from themselves", body = Problem)))]
pub(super) async fn change(
    State(rooms): State<Rooms>,
    Subject(user): Subject,
    Body(change): Body<UserChange>,
) -> Result<Json<UserView>, Problem> {
    let user = whole(&rooms, &user).await?;
    let zone = match &change.zone {
        Some(zone) => Some(parse("zone", zone)?),
        None => user.zone.clone(),
    };
    let owner = match &change.owner {
        Some(_) if change.no_owner => {
            return Err(Problem::invalid("owner: say an owner or none, not both"));
        }
        Some(owner) => Some(rooms.owner(owner).await?),
        None if change.no_owner => None,
        None => user.owner,
    };
    if owner.is_some() && owner != user.owner {
        let promo = rooms.wallets.balances(user.id).await?.promo.posted();
        if promo.is_positive() {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                format!(
                    "user {} has {promo} USD of promotional credit: at accounts of its own owner \
                     it could be spent and paid out",
                    user.name
                ),
            ));
        }
    }
    let user = rooms.store.terms().set_user(user.id, zone.as_ref(), owner).await?;
    rooms.auth.user_changed(user.id);
    let (id, zone) = (user.id.to_string(), user.zone.as_ref().map_or("", Name::as_str));
    let owner = user.owner.map_or_else(String::new, |owner| owner.to_string());
    rooms.wallets.note_terms(&[("user", &id), ("zone", zone), ("owner", &owner)]).await?;
    Ok(Json(UserView::from(&user)))
}

/// List users, oldest first.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(ListParams), responses(
    (status = 200, body = Listed<UserView>)))]
pub(super) async fn list(
    State(rooms): State<Rooms>,
    Params(params): Params<ListParams>,
) -> Result<Json<Listed<UserView>>, Problem> {
    let page = params.page()?;
    let users = rooms.store.users().list(page).await?;
    Ok(Json(Listed::page(&users, page.size, |user| user.id.to_string())))
}

/// Disable a user: none of its keys is admitted any more.
#[utoipa::path(post, path = "/api/v1/users/{user}/disable", tag = "users",
    params(("user" = String, Path, description = "name or id")),
    responses((status = 200, body = UserView), (status = 404, body = Problem)))]
pub(super) async fn disable(
    State(rooms): State<Rooms>,
    Subject(user): Subject,
) -> Result<Json<UserView>, Problem> {
    set_disabled(&rooms, &user, true).await
}

/// Enable a user again.
#[utoipa::path(post, path = "/api/v1/users/{user}/enable", tag = "users",
    params(("user" = String, Path, description = "name or id")),
    responses((status = 200, body = UserView), (status = 404, body = Problem)))]
pub(super) async fn enable(
    State(rooms): State<Rooms>,
    Subject(user): Subject,
) -> Result<Json<UserView>, Problem> {
    set_disabled(&rooms, &user, false).await
}

async fn set_disabled(
    rooms: &Rooms,
    user: &str,
    disabled: bool,
) -> Result<Json<UserView>, Problem> {
    let id = resolve(rooms, user).await?;
    let user = rooms.store.users().set_disabled(id, disabled).await?;
    rooms.auth.user_changed(user.id);
    Ok(Json(UserView::from(&user)))
}

/// The user that `text` names: by its name, or else by its id.
pub(super) async fn resolve(rooms: &Rooms, text: &str) -> Result<UserId, Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "no such user");
    let name = Name::parse(text).map_err(|_| missing())?;
    match rooms.store.users().find_by_name(&name).await? {
        Some(user) => Ok(user.id),
        None => text.parse().map_err(|_| missing()),
    }
}

/// The user that `text` names, whole.
pub(super) async fn whole(rooms: &Rooms, text: &str) -> Result<User, Problem> {
    let id = resolve(rooms, text).await?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, "no such user");
    rooms.store.users().find(id).await?.ok_or_else(missing)
}

fn deposit(text: &str) -> Result<NanoUsd, Problem> {
    let amount: NanoUsd = parse("credit", text)?;
    if amount.is_positive() && amount <= AMOUNT_MAX {
        return Ok(amount);
    }
    Err(Problem::invalid(format!("credit: want more than nothing and at most {AMOUNT_MAX} USD")))
}
