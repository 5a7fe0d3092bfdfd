//! What a user may ask of its own money, with its key: OpenAI's old billing endpoints, which many
//! clients know, and the redeeming of codes.
//!
//! | path | answers |
//! |---|---|
//! | `GET /v1/dashboard/billing/subscription` | `hard_limit_usd`: all that was ever charged, and what is left |
//! | `GET /v1/dashboard/billing/usage?start_date=&end_date=` | `total_usage` in cents, and each day's |
//! | `POST /weft/v1/redeem {"code":"wc-…"}` | the promotional credit afterwards |
//!
//! Without a `start_date`, usage is of all time, so that limit less usage is what is left. Figures
//! are of the key's user. Amounts become decimal text from integers; nothing here computes in floats.

use crate::auth::Caller;
use crate::exchange::refusal::Refusal;
use crate::wallets::{NotDone, Wallets};
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use std::time::Duration;
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_store::{Day, SpendWanted, StoreError, Users};

/// The longest body of a redemption.
const BODY_BYTES_MAX: usize = 4 * 1_024;

/// When to come back while the store is away.
const AWAY_WAIT: Duration = Duration::from_secs(2);

/// Microseconds of a day.
const DAY_MICROS: u64 = 86_400_000_000;

/// How long a balance is good for, as the subscription tells it: to the end of the year 9999.
const ACCESS_UNTIL: u64 = 253_402_300_799;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Billing {
    /// What there is.
    Subscription,
    /// What was used.
    Usage,
    /// To take a code's credit.
    Redeem,
}

impl Billing {
    /// What method and path ask for.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let get = *method == Method::GET || *method == Method::HEAD;
        match path {
            "/v1/dashboard/billing/subscription" | "/dashboard/billing/subscription" if get => {
                Some(Self::Subscription)
            }
            "/v1/dashboard/billing/usage" | "/dashboard/billing/usage" if get => Some(Self::Usage),
            "/weft/v1/redeem" if *method == Method::POST => Some(Self::Redeem),
            _ => None,
        }
    }

    /// Answers a caller who was admitted.
    pub(super) async fn answer(
        self,
        wallets: &Wallets,
        users: &dyn Users,
        caller: &Caller,
        query: Option<&str>,
        body: Body,
        now: Timestamp,
    ) -> Result<Response<Body>, Refusal> {
        let text = match self {
            Self::Subscription => subscription(wallets, caller, now).await?,
            Self::Usage => usage(wallets, caller, query.unwrap_or(""), now).await?,
            Self::Redeem => redeem(wallets, users, caller, body).await?,
        };
        let mut response = Response::new(Body::from(text));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(response)
    }
}

async fn days(
    wallets: &Wallets,
    caller: &Caller,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Day>, Refusal> {
    let wanted = SpendWanted { user: caller.user(), key: None, from, until };
    wallets.spent(&wanted).await.map_err(away)
}

async fn subscription(
    wallets: &Wallets,
    caller: &Caller,
    now: Timestamp,
) -> Result<String, Refusal> {
    let until = Timestamp::from_micros(now.as_micros().saturating_add(1));
    let spent = sum(&days(wallets, caller, Timestamp::from_micros(0), until).await?);
    let left = wallets.balances(caller.user()).await.map_err(away)?.posted();
    let limit = spent.saturating_add(left);
    let soft = caller.limits().month.unwrap_or(limit);
    Ok(format!(
        r#"{{"object":"billing_subscription","has_payment_method":true,"canceled":false,"canceled_at":null,"delinquent":null,"access_until":{ACCESS_UNTIL},"soft_limit_usd":{soft},"hard_limit_usd":{limit},"system_hard_limit_usd":{limit},"plan":{{"title":"Pay-as-you-go","id":"payg"}}}}"#
    ))
}

async fn usage(
    wallets: &Wallets,
    caller: &Caller,
    query: &str,
    now: Timestamp,
) -> Result<String, Refusal> {
    let from = date(query, "start_date")?.unwrap_or(Timestamp::from_micros(0));
    let end = Timestamp::from_micros(now.as_micros().saturating_add(1));
    let until = date(query, "end_date")?.unwrap_or(end);
    let days = days(wallets, caller, from, until).await?;
    let mut costs = String::new();
    for day in &days {
        let comma = if costs.is_empty() { "" } else { "," };
        let timestamp = u64::from(day.number) * (DAY_MICROS / 1_000_000);
        costs.push_str(&format!(
            r#"{comma}{{"timestamp":{timestamp},"line_items":[{{"name":"All models","cost":{}}}]}}"#,
            cents(day.charged)
        ));
    }
    let total = cents(sum(&days));
    Ok(format!(r#"{{"object":"list","daily_costs":[{costs}],"total_usage":{total}}}"#))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redemption {
    code: String,
}

async fn redeem(
    wallets: &Wallets,
    users: &dyn Users,
    caller: &Caller,
    body: Body,
) -> Result<String, Refusal> {
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Refusal::too_large(BODY_BYTES_MAX as u64))?.to_bytes();
    let wanted: Redemption = serde_json::from_slice(&body)
        .map_err(|_| Refusal::malformed("code", "want a JSON object with the code"))?;
    let user = users.find(caller.user()).await.map_err(away)?;
    let user = user.ok_or_else(|| Refusal::not_found("user", "no such user"))?;
    match wallets.redeem(&user, &wanted.code).await {
        Ok((credited, amount)) => Ok(format!(
            r#"{{"object":"redemption","amount_usd":{amount},"promotional_credit_usd":{}}}"#,
            credited.balance.posted()
        )),
        Err(NotDone::Store(error)) => Err(away(error)),
        Err(unknown @ NotDone::Unknown(_)) => Err(Refusal::not_found("code", unknown.to_string())),
        Err(
            other @ (NotDone::Amount
            | NotDone::Reason
            | NotDone::LinkedPromotion { .. }
            | NotDone::Short { .. }
            | NotDone::CodeTaken
            | NotDone::CodeExpired
            | NotDone::NotDisputed(_)
            | NotDone::AboveDispute { .. }
            | NotDone::Decided(_)),
        ) => Err(Refusal::forbidden("code", other.to_string())),
    }
}

/// A date of the query, at its beginning in UTC.
fn date(query: &str, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let Some(value) = value else { return Ok(None) };
    let wrong = || Refusal::malformed("date", format!("{name}: want a date such as 2026-11-23"));
    let date: jiff::civil::Date = value.parse().map_err(|_| wrong())?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
    let micros = u64::try_from(zoned.timestamp().as_microsecond()).map_err(|_| wrong())?;
    Ok(Some(Timestamp::from_micros(micros)))
}

fn sum(days: &[Day]) -> NanoUsd {
    days.iter().fold(NanoUsd::ZERO, |sum, day| sum.saturating_add(day.charged))
}

/// An amount in cents, exactly: as a JSON number.
fn cents(amount: NanoUsd) -> String {
    /// Nano-USD of a cent.
    const CENT: u64 = 10_000_000;
    let sign = if amount.is_negative() { "-" } else { "" };
    let nanos = amount.nanos().unsigned_abs();
    let rest = format!("{:07}", nanos % CENT);
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{rest}", nanos / CENT)
}

fn away(error: StoreError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "balances not read");
    Refusal::unavailable("ledger_store", "balances cannot be read at the moment", AWAY_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_are_exact() {
        for (nanos, text) in [
            (0, "0"),
            (10_000_000, "1"),
            (12_345_678, "1.2345678"),
            (1, "0.0000001"),
            (-15_000_000, "-1.5"),
        ] {
            assert_eq!(cents(NanoUsd::new(nanos)), text);
        }
    }

    #[test]
    fn paths_and_dates_are_read_and_nothing_else_is() {
        assert_eq!(Billing::of(&Method::GET, "/v1/dashboard/billing/usage"), Some(Billing::Usage));
        assert_eq!(Billing::of(&Method::POST, "/v1/dashboard/billing/usage"), None);
        assert_eq!(Billing::of(&Method::GET, "/v1/dashboard/billing"), None);
        let day = date("x=1&start_date=1970-01-02", "start_date").expect("a date");
        assert_eq!(day, Some(Timestamp::from_micros(DAY_MICROS)));
        assert!(date("end_date=tomorrow", "end_date").is_err());
        assert_eq!(date("", "end_date").expect("none"), None);
    }
}
