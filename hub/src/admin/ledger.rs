//! The ledger for people: balances, statements, and whether it agrees with itself.

use super::extract::{Listed, Params, page_size, parse, time_text};
use super::{Problem, Rooms, owners, users};
use crate::wallets::{Line, LineKind};
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weft_proto::time::Timestamp;
use weft_store::{Balance, LedgerAccount, Page, Party};

/// A balance as the API shows it. All amounts are decimal USD.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BalanceView {
    /// The account: `paid:…`, `promo:…`, `vesting:…`, `wallet:…`, or one of the hub's own.
    pub account: String,
    /// What was given less what was taken.
    pub balance: String,
    /// What of it is set aside for running exchanges.
    pub held: String,
    /// The rest.
    pub available: String,
}

impl From<&Balance> for BalanceView {
    fn from(balance: &Balance) -> Self {
        Self {
            account: balance.account.to_string(),
            balance: balance.posted().to_string(),
            held: balance.debits_pending.to_string(),
            available: balance.available().to_string(),
        }
    }
}

/// Whose money.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BalanceParams {
    /// Name or id of a user.
    #[serde(default)]
    user: Option<String>,
    /// Name or id of an owner.
    #[serde(default)]
    owner: Option<String>,
    /// The `next` of the page before; nothing for the first page.
    #[serde(default)]
    after: Option<String>,
    /// How many at most: 1 to 1000, 100 where nothing is said.
    #[serde(default)]
    limit: Option<u32>,
}

/// List the balances of a user, of an owner, or all that were ever used.
#[utoipa::path(get, path = "/api/v1/ledger/balances", tag = "money", params(BalanceParams),
    responses((status = 200, body = Listed<BalanceView>), (status = 404, body = Problem)))]
pub(super) async fn balances(
    State(rooms): State<Rooms>,
    Params(params): Params<BalanceParams>,
) -> Result<Json<Listed<BalanceView>>, Problem> {
    let ledger = rooms.store.ledger();
    let mut items = Vec::new();
    if let Some(user) = &params.user {
        let id = users::whole(&rooms, user).await?.id;
        for account in [LedgerAccount::Paid(id), LedgerAccount::Promo(id)] {
            items.push(BalanceView::from(&ledger.balance(account).await?));
        }
    }
    if let Some(owner) = &params.owner {
        let id = owners::resolve(&rooms, owner).await?.id;
        for account in [LedgerAccount::Vesting(id), LedgerAccount::Wallet(id)] {
            items.push(BalanceView::from(&ledger.balance(account).await?));
        }
    }
    if params.user.is_some() || params.owner.is_some() {
        return Ok(Json(Listed { items, next: None }));
    }
    let after = params.after.as_deref().map(account).transpose()?;
    let page = Page { after, size: page_size(params.limit) };
    let balances = ledger.balances(page).await?;
    let next = |row: &Balance| URL_SAFE_NO_PAD.encode(row.account.to_bytes());
    Ok(Json(Listed::page(&balances, page.size, next)))
}

/// An account as `next` names it.
fn account(text: &str) -> Result<LedgerAccount, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let account = bytes.and_then(|bytes| LedgerAccount::from_bytes(&bytes));
    account.ok_or_else(|| Problem::invalid("after: want the next of a page before"))
}

/// Whose statement, and of when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatementParams {
    /// Name or id of a user.
    #[serde(default)]
    user: Option<String>,
    /// Name or id of an owner.
    #[serde(default)]
    owner: Option<String>,
    /// From this moment on, RFC 3339 or a date; from the beginning where nothing is said.
    #[serde(default)]
    from: Option<String>,
    /// Before this moment, RFC 3339 or a date; until now where nothing is said.
    #[serde(default)]
    until: Option<String>,
}

/// A line of a statement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LineView {
    /// When, RFC 3339.
    pub at: String,
    /// What changed, decimal USD: below zero where it was taken.
    pub amount: String,
    /// What it was: `exchange`, `deposit`, `payout`…
    pub what: String,
    /// The id of the exchange or the act.
    pub id: String,
    /// Of an exchange, its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of an exchange, tokens read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Of an exchange, tokens written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Of an exchange, whether the figures were reported or estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// Of an exchange, how the owner's side stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub income: Option<String>,
    /// What people said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<String>,
}

impl From<&Line> for LineView {
    fn from(line: &Line) -> Self {
        let mut view = Self {
            at: time_text(line.at),
            amount: line.amount.to_string(),
            what: "exchange".to_owned(),
            id: String::new(),
            model: None,
            input: None,
            output: None,
            basis: None,
            income: None,
            memo: None,
        };
        match &line.kind {
            LineKind::Exchange { exchange, model, leg, tokens, basis } => {
                view.id = exchange.to_string();
                view.model.clone_from(model);
                view.input = Some(tokens.0);
                view.output = Some(tokens.1);
                view.basis = Some((*basis).to_owned());
                view.income = Some(leg.name().to_owned());
            }
            LineKind::Act { act, subject, memo } => {
                view.what = (*act).to_owned();
                view.id.clone_from(subject);
                view.memo.clone_from(memo);
            }
        }
        view
    }
}

/// A statement as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StatementView {
    /// The balances at this moment.
    pub balances: Vec<BalanceView>,
    /// What came and went, the latest first.
    pub lines: Vec<LineView>,
    /// Whether there is more: ask again with `until` set to the time of the last line.
    pub more: bool,
}

/// What came and went of a user's or an owner's money.
#[utoipa::path(get, path = "/api/v1/ledger/statement", tag = "money", params(StatementParams),
    responses((status = 200, body = StatementView), (status = 404, body = Problem),
    (status = 422, body = Problem)))]
pub(super) async fn statement(
    State(rooms): State<Rooms>,
    Params(params): Params<StatementParams>,
) -> Result<Json<StatementView>, Problem> {
    let (party, balances) = match (&params.user, &params.owner) {
        (Some(user), None) => {
            let id = users::whole(&rooms, user).await?.id;
            let have = rooms.wallets.balances(id).await?;
            (Party::User(id), [have.paid, have.promo])
        }
        (None, Some(owner)) => {
            let id = owners::resolve(&rooms, owner).await?.id;
            let (vesting, wallet) = rooms.wallets.wallet(id).await?;
            (Party::Owner(id), [vesting, wallet])
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::invalid("say whose: a user or an owner"));
        }
    };
    let from = params.from.as_deref().map_or(Ok(Timestamp::from_micros(0)), |t| time("from", t))?;
    let until = match params.until.as_deref() {
        Some(text) => time("until", text)?,
        // What is of this very moment belongs to it.
        None => rooms.clock.now().after(std::time::Duration::from_micros(1)),
    };
    let statement = rooms.wallets.statement(party, from, until).await?;
    Ok(Json(StatementView {
        balances: balances.iter().map(BalanceView::from).collect(),
        lines: statement.lines.iter().map(LineView::from).collect(),
        more: statement.more,
    }))
}

/// A moment as people write it.
fn time(field: &str, text: &str) -> Result<Timestamp, Problem> {
    let moment = match text.parse::<jiff::Timestamp>() {
        Ok(moment) => Ok(moment),
        Err(error) => match text.parse::<jiff::civil::Date>() {
            Ok(date) => date.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp()),
            Err(_) => Err(error),
        },
    };
    let micros = moment.ok().and_then(|moment| u64::try_from(moment.as_microsecond()).ok());
    let wrong = || Problem::invalid(format!("{field}: want a date or a time as of RFC 3339"));
    micros.map(Timestamp::from_micros).ok_or_else(wrong)
}

/// Something that should not be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// Its name.
    pub name: String,
    /// Where, and how far.
    pub detail: String,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VerifyView {
    /// What should not be.
    pub findings: Vec<FindingView>,
    /// Exchanges looked at.
    pub exchanges: u64,
    /// Entries of the hub's journal looked at.
    pub journal: u64,
    /// What to send as `after` for the rest of the exchanges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyParams {
    /// The `next` of the answer before; nothing for the first one.
    #[serde(default)]
    after: Option<String>,
}

/// Hold the ledger against itself: balances, journal, payouts, and page by page all exchanges.
#[utoipa::path(get, path = "/api/v1/ledger/verify", tag = "money", params(VerifyParams),
    responses((status = 200, body = VerifyView), (status = 422, body = Problem)))]
pub(super) async fn verify(
    State(rooms): State<Rooms>,
    Params(params): Params<VerifyParams>,
) -> Result<Json<VerifyView>, Problem> {
    let after = params.after.as_deref().map(|text| parse("after", text)).transpose()?;
    let report = rooms.wallets.verify(after).await?;
    for finding in &report.findings {
        tracing::error!(finding = finding.name, detail = finding.detail, "the ledger disagrees");
    }
    Ok(Json(VerifyView {
        findings: report
            .findings
            .into_iter()
            .map(|found| FindingView { name: found.name.to_owned(), detail: found.detail })
            .collect(),
        exchanges: report.exchanges,
        journal: report.journal,
        next: report.next.map(|id| id.to_string()),
    }))
}

/// How many exchanges' income was moved to wallets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VestedView {
    /// Exchanges.
    pub exchanges: u64,
}

/// Move all income whose dispute window is over to its owners' wallets.
#[utoipa::path(post, path = "/api/v1/ledger/vest", tag = "money",
    responses((status = 200, body = VestedView)))]
pub(super) async fn vest(State(rooms): State<Rooms>) -> Result<Json<VestedView>, Problem> {
    Ok(Json(VestedView { exchanges: rooms.wallets.vest().await? }))
}
