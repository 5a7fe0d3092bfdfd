//! Disputes and findings: what claims are held back for, what proves it, and what a person decides.

use super::credit::memo;
use super::extract::{Body, Listed, Params, Subject, page_size, parse, time_text};
use super::{Problem, Rooms};
use crate::ledger::claims::Evidence;
use crate::wallets::Decision;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weft_proto::ids::ExchangeId;
use weft_proto::time::Timestamp;
use weft_store::{Agreed, Finding, LegState, PAGE_ROWS_MAX, PageSize};

/// Findings that are shown of one dispute.
const FINDINGS_SHOWN: u32 = 10;

/// A finding about an agent's ledger as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LedgerFindingView {
    /// SHA-256 of its evidence, hexadecimal.
    pub id: String,
    /// Which check found it.
    pub name: String,
    /// The id of the agent.
    pub agent: String,
    /// The epoch of the agent's ledger that it is about.
    pub epoch: u64,
    /// The number of the entry in it.
    pub seq: u64,
    /// The exchange that it is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// When it was found first, RFC 3339.
    pub found_at: String,
}

impl From<&Finding> for LedgerFindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            id: hex(&finding.id),
            name: finding.name.clone(),
            agent: finding.agent.to_string(),
            epoch: finding.epoch,
            seq: finding.seq,
            exchange: finding.exchange.map(|id| id.to_string()),
            found_at: time_text(finding.found_at),
        }
    }
}

/// A finding with what proves it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EvidenceView {
    /// What was found.
    #[serde(flatten)]
    pub finding: LedgerFindingView,
    /// The evidence, base64: `weft-hub ledger verify --evidence` judges it anew.
    pub evidence: String,
}

/// A dispute as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DisputeView {
    /// The exchange.
    pub exchange: String,
    /// The id of the owner.
    pub owner: Option<String>,
    /// The id of the agent.
    pub agent: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// `disputed`; `uncovered`, where the claim agrees and the user has not covered the charge; or
    /// how it was decided: `paid`, `vested`, `refused`, `expired`.
    pub state: String,
    /// What the hub's figures would pay, decimal USD.
    pub income: String,
    /// What of that the user has covered, decimal USD: what an uncovered one is paid if nobody
    /// decides.
    #[serde(default)]
    pub covered: String,
    /// What was paid, decimal USD.
    pub paid: String,
    /// By when it is to be decided, RFC 3339.
    pub due_at: String,
    /// What was found about it, the latest first.
    #[serde(default)]
    pub findings: Vec<LedgerFindingView>,
}

impl DisputeView {
    fn new(row: &Agreed, findings: &[Finding]) -> Self {
        let settlement = &row.settlement;
        let served = settlement.served.as_ref();
        Self {
            exchange: settlement.exchange.to_string(),
            owner: served.map(|served| served.owner.to_string()),
            agent: served.map(|served| served.agent.to_string()),
            model: settlement.metered.model.as_ref().map(ToString::to_string),
            state: row.leg.state.name().to_owned(),
            income: settlement.outlay.income.to_string(),
            covered: row.covered(false).to_string(),
            paid: row.leg.paid.to_string(),
            due_at: time_text(row.leg.due_at),
            findings: findings.iter().map(LedgerFindingView::from).collect(),
        }
    }
}

/// List open disputes with what was found about each, the first due first; at most 1000.
#[utoipa::path(get, path = "/api/v1/ledger/disputes", tag = "money",
    responses((status = 200, body = Listed<DisputeView>)))]
pub(super) async fn disputes(
    State(rooms): State<Rooms>,
) -> Result<Json<Listed<DisputeView>>, Problem> {
    let (ledger, size) = (rooms.store.ledger(), PageSize::clamped(PAGE_ROWS_MAX));
    // The columns of the databases have a sign.
    let ever = Timestamp::from_micros(i64::MAX.unsigned_abs());
    let mut items = Vec::new();
    let mut open = ledger.due(LegState::Disputed, ever, size).await?;
    open.extend(ledger.due(LegState::Uncovered, ever, size).await?);
    open.sort_by_key(|row| (row.leg.due_at, row.settlement.exchange));
    open.truncate(PAGE_ROWS_MAX as usize);
    for row in open {
        items.push(with_findings(&rooms, &row).await?);
    }
    Ok(Json(Listed { items, next: None }))
}

async fn with_findings(rooms: &Rooms, row: &Agreed) -> Result<DisputeView, Problem> {
    let size = PageSize::clamped(FINDINGS_SHOWN);
    let found = rooms.store.receipts().findings_about(row.settlement.exchange, size).await?;
    Ok(DisputeView::new(row, &found))
}

/// What is decided about a dispute.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisputeDecision {
    /// What the agent is paid, decimal USD; nothing, to refuse the claim for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay: Option<String>,
    /// Why; it stands in the journal.
    pub reason: String,
}

/// Decide a dispute: the agent is paid what is said, at most what the hub's own figures and its own
/// claim say, or nothing. It hears of it when it claims again, within about a minute.
#[utoipa::path(post, path = "/api/v1/ledger/disputes/{exchange}/decide", tag = "money",
    params(("exchange" = String, Path, description = "id")), request_body = DisputeDecision,
    responses((status = 200, body = DisputeView), (status = 404, body = Problem),
    (status = 409, description = "not disputed, or decided otherwise", body = Problem),
    (status = 422, body = Problem)))]
pub(super) async fn decide(
    State(rooms): State<Rooms>,
    Subject(exchange): Subject,
    Body(said): Body<DisputeDecision>,
) -> Result<Json<DisputeView>, Problem> {
    let exchange: ExchangeId = parse("exchange", &exchange)?;
    let decision = match &said.pay {
        Some(amount) => Decision::Pay(parse("pay", amount)?),
        None => Decision::Refuse,
    };
    let reason = memo("reason", Some(&said.reason))?
        .ok_or_else(|| Problem::invalid("reason: say why, it stands in the journal"))?;
    let agreed = rooms.wallets.decide(exchange, decision, &reason, Evidence::claimed_by).await?;
    Ok(Json(with_findings(&rooms, &agreed).await?))
}

/// Which findings to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FindingParams {
    /// The id of an agent; all where nothing is said.
    #[serde(default)]
    agent: Option<String>,
    /// How many at most: 1 to 1000, 100 where nothing is said.
    #[serde(default)]
    limit: Option<u32>,
}

/// List findings about agents' ledgers and claims, the latest first.
#[utoipa::path(get, path = "/api/v1/ledger/findings", tag = "money", params(FindingParams),
    responses((status = 200, body = Listed<LedgerFindingView>), (status = 422, body = Problem)))]
pub(super) async fn findings(
    State(rooms): State<Rooms>,
    Params(params): Params<FindingParams>,
) -> Result<Json<Listed<LedgerFindingView>>, Problem> {
    let agent = params.agent.as_deref().map(|text| parse("agent", text)).transpose()?;
    let found = rooms.store.receipts().findings(agent, page_size(params.limit)).await?;
    let items = found.iter().map(LedgerFindingView::from).collect();
    Ok(Json(Listed { items, next: None }))
}

/// Show a finding with its evidence.
#[utoipa::path(get, path = "/api/v1/ledger/findings/{finding}", tag = "money",
    params(("finding" = String, Path, description = "id")),
    responses((status = 200, body = EvidenceView), (status = 404, body = Problem),
    (status = 422, body = Problem)))]
pub(super) async fn finding(
    State(rooms): State<Rooms>,
    Subject(finding): Subject,
) -> Result<Json<EvidenceView>, Problem> {
    let id = unhex(&finding)
        .ok_or_else(|| Problem::invalid("finding: want an id of 64 hexadecimal digits"))?;
    let found = rooms.store.receipts().finding(id).await?;
    let found = found.ok_or(weft_store::StoreError::NotFound { what: "finding" })?;
    Ok(Json(EvidenceView {
        finding: LedgerFindingView::from(&found),
        evidence: STANDARD.encode(&found.evidence),
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
