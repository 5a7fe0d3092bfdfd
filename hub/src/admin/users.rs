//! Users: add, list, disable, enable.

use super::extract::{Body, ListParams, Listed, Params, Subject, parse, time_text};
use super::{Problem, Rooms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_proto::ids::UserId;
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
    let owner = match &new.owner {
        Some(owner) => Some(rooms.owner(owner).await?),
        None => None,
    };
    let user = User {
        id: UserId::generate(&*rooms.clock, &*rooms.entropy),
        name,
        owner,
        created_at: rooms.clock.now(),
        disabled: false,
    };
    rooms.store.users().create(&user).await?;
    tracing::info!(user = %user.id, "user added");
    Ok((StatusCode::CREATED, Json(UserView::from(&user))))
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
