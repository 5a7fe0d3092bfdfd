//! Money of users: deposits, promotions, adjustments, refunds, and the codes that give credit.

use super::extract::{Body, Listed, Params, Subject, act, page_size, parse, time_text};
use super::{Problem, Rooms, users};
use crate::wallets::CreditKind;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use weft_store::{Batch, CODES_PER_BATCH_MAX, Memo, Page};

/// Money to give, or to take.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredit {
    /// `deposit`, `promotion`, `adjustment` or `refund`.
    pub kind: String,
    /// Decimal USD such as `10.00`; an adjustment may be below zero.
    pub amount: String,
    /// Why; an adjustment and a refund need a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was given or taken.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreditView {
    /// The id of the act.
    pub id: String,
    /// What was done.
    pub kind: String,
    /// Decimal USD.
    pub amount: String,
    /// The balance that it changed, afterwards, decimal USD.
    pub balance: String,
}

/// Give money to a user, or take it.
#[utoipa::path(post, path = "/api/v1/users/{user}/credit", tag = "money", request_body = NewCredit,
    params(("user" = String, Path, description = "name or id")),
    responses((status = 201, body = CreditView), (status = 404, body = Problem),
    (status = 409, description = "the balance has less, or credit may not be given", body = Problem),
    (status = 422, body = Problem)))]
pub(super) async fn give(
    State(rooms): State<Rooms>,
    Subject(user): Subject,
    Body(new): Body<NewCredit>,
) -> Result<(StatusCode, Json<CreditView>), Problem> {
    let kinds =
        [CreditKind::Deposit, CreditKind::Promotion, CreditKind::Adjustment, CreditKind::Refund];
    let kind = kinds
        .into_iter()
        .find(|kind| kind.name() == new.kind)
        .ok_or_else(|| Problem::invalid("kind: want deposit, promotion, adjustment or refund"))?;
    let amount = parse("amount", &new.amount)?;
    let reason = memo("reason", new.reason.as_deref())?;
    let user = users::whole(&rooms, &user).await?;
    let credited = rooms.wallets.credit(&user, kind, amount, reason).await?;
    let view = CreditView {
        id: credited.subject.to_string(),
        kind: new.kind,
        amount: amount.to_string(),
        balance: credited.balance.posted().to_string(),
    };
    tracing::info!(user = %user.id, kind = view.kind, amount = view.amount, "credit changed");
    Ok((StatusCode::CREATED, Json(view)))
}

/// Codes to make.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCodes {
    /// How many: 1 to 1000.
    pub count: u32,
    /// What each gives, decimal USD.
    pub amount: String,
    /// For how many seconds they may be redeemed; for ever where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// Codes that were just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AddedCodes {
    /// The id of their batch.
    pub batch: String,
    /// Their texts: shown here and never again.
    pub codes: Vec<String>,
}

/// Make codes that give promotional credit.
#[utoipa::path(post, path = "/api/v1/codes", tag = "money", request_body = NewCodes, responses(
    (status = 201, description = "the only answer with the codes", body = AddedCodes),
    (status = 422, body = Problem)))]
pub(super) async fn make_codes(
    State(rooms): State<Rooms>,
    Body(new): Body<NewCodes>,
) -> Result<(StatusCode, Json<AddedCodes>), Problem> {
    let count = new.count as usize;
    if !(1..=CODES_PER_BATCH_MAX).contains(&count) {
        return Err(Problem::invalid(format!("count: want 1 to {CODES_PER_BATCH_MAX}")));
    }
    if new.expires_in_seconds == Some(0) {
        return Err(Problem::invalid("expires_in_seconds: want at least 1"));
    }
    let now = rooms.clock.now();
    let end = new.expires_in_seconds.map(|after| now.after(Duration::from_secs(after)));
    let made = rooms.wallets.make_codes(count, parse("amount", &new.amount)?, end).await?;
    let added = AddedCodes {
        batch: made.batch.to_string(),
        codes: made.texts.iter().map(|text| text.as_str().to_owned()).collect(),
    };
    tracing::info!(batch = added.batch, count, "codes made");
    Ok((StatusCode::CREATED, Json(added)))
}

/// A batch of codes as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BatchView {
    /// Its id.
    pub id: String,
    /// What each code gives, decimal USD.
    pub amount: String,
    /// How many codes there are.
    pub codes: u64,
    /// How many of them were redeemed.
    pub redeemed: u64,
    /// When they were made, RFC 3339.
    pub created_at: String,
    /// From when on they are worthless, RFC 3339.
    pub expires_at: Option<String>,
}

impl From<&Batch> for BatchView {
    fn from(batch: &Batch) -> Self {
        Self {
            id: batch.id.to_string(),
            amount: batch.amount.to_string(),
            codes: batch.codes,
            redeemed: batch.redeemed,
            created_at: time_text(batch.created_at),
            expires_at: batch.expires_at.map(time_text),
        }
    }
}

/// Which batches to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchParams {
    /// The `next` of the page before; nothing for the first page.
    #[serde(default)]
    after: Option<String>,
    /// How many at most: 1 to 1000, 100 where nothing is said.
    #[serde(default)]
    limit: Option<u32>,
}

/// List batches of codes, oldest first.
#[utoipa::path(get, path = "/api/v1/codes", tag = "money", params(BatchParams), responses(
    (status = 200, body = Listed<BatchView>)))]
pub(super) async fn list_codes(
    State(rooms): State<Rooms>,
    Params(params): Params<BatchParams>,
) -> Result<Json<Listed<BatchView>>, Problem> {
    let after = params.after.as_deref().map(|text| act("after", text)).transpose()?;
    let page = Page { after, size: page_size(params.limit) };
    let batches = rooms.wallets.batches(page).await?;
    Ok(Json(Listed::page(&batches, page.size, |batch| batch.id.to_string())))
}

/// A code to redeem.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redemption {
    /// Its text.
    pub code: String,
}

impl std::fmt::Debug for Redemption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redemption(redacted)")
    }
}

/// Redeem a code for a user.
#[utoipa::path(post, path = "/api/v1/users/{user}/redeem", tag = "money", request_body = Redemption,
    params(("user" = String, Path, description = "name or id")),
    responses((status = 201, body = CreditView),
    (status = 404, description = "no such user or code", body = Problem),
    (status = 409, description = "redeemed before, expired, or not for this user", body = Problem)))]
pub(super) async fn redeem(
    State(rooms): State<Rooms>,
    Subject(user): Subject,
    Body(redemption): Body<Redemption>,
) -> Result<(StatusCode, Json<CreditView>), Problem> {
    let user = users::whole(&rooms, &user).await?;
    let (credited, amount) = rooms.wallets.redeem(&user, &redemption.code).await?;
    let view = CreditView {
        id: credited.subject.to_string(),
        kind: "redemption".to_owned(),
        amount: amount.to_string(),
        balance: credited.balance.posted().to_string(),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// A text for people, where one was given.
pub(super) fn memo(field: &str, text: Option<&str>) -> Result<Option<Memo>, Problem> {
    let wrong = || {
        let max = weft_store::MEMO_CHARS_MAX;
        Problem::invalid(format!("{field}: want 1 to {max} characters on one line"))
    };
    text.map(|text| Memo::parse(text).ok_or_else(wrong)).transpose()
}
