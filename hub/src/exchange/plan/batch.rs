//! A batch is planned like a request that names several models at once: one account serves all of
//! it, or none does. Where its requests stand in a file, the hub reads that first, by an exchange of
//! its own: nobody else has looked at them before.

use super::NO_AGENT_WAIT;
use super::choose::{self, Chosen};
use crate::auth::Caller;
use crate::exchange::dispatch::Dispatched;
use crate::exchange::later::Reader;
use crate::exchange::refusal::Refusal;
use crate::exchange::till::Reading;
use crate::exchange::upload;
use crate::exchange::{Ask, Spine};
use crate::objects::Whose;
use crate::tunnel::Offer;
use http::Method;
use http_body_util::BodyExt;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use weft_proto::ids::ExchangeId;
use weft_proto::meter::RequestMeter;
use weft_proto::objects::Reference;
use weft_proto::scan::BatchScan;
use weft_proto::tables::routes::{self, Match, Metering};
use weft_proto::tables::target::Target;
use weft_store::Home;

/// The longest batch, bytes: it is known to its end, and held for, before anything of it goes on.
pub(in crate::exchange) const BATCH_BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The longest order of a batch whose requests stand in a file, bytes.
pub(super) const ORDER_BYTES_MAX: u64 = 64 * 1024;

/// The longest file of requests, bytes: no provider takes a longer one.
const FILE_BYTES_MAX: u64 = 200 * 1024 * 1024;

/// The order of a batch whose requests stand in a file. What else it says is of no interest here.
#[derive(Debug, Deserialize)]
struct Order {
    input_file_id: String,
    endpoint: String,
}

/// What was read in such a file.
pub(super) struct File {
    pub(super) models: BTreeSet<String>,
    /// What the requests in it ask for.
    pub(super) reading: Reading,
    /// The objects that they name: the caller's own, where the file is.
    pub(super) references: Vec<Reference>,
}

/// Reads the file that the order names, request by request.
///
/// # Cancel safety
/// A dropped read ends like one whose user went away.
pub(super) async fn read_file(
    spine: &Spine,
    caller: &Caller,
    ask: &Ask,
    whose: Whose,
    named: &[Reference],
    order: &[u8],
) -> Result<File, Refusal> {
    let order: Order = serde_json::from_slice(order).map_err(|_| {
        let message = "a batch wants an `input_file_id` and an `endpoint`, each of them once";
        Refusal::malformed("batch_order", message)
    })?;
    let metering = asked_at(ask, &order.endpoint)?;
    let home = spine.0.needs.objects.home_of(whose, named).await?;
    let home = home.ok_or_else(|| unread("the file is nowhere"))?;
    let at =
        content_of(ask, &order.input_file_id).ok_or_else(|| unread("the file's id is none"))?;
    let needs = &spine.0.needs;
    let reader = Reader {
        user: caller.user(),
        key: caller.key(),
        provider: ask.provider,
        home,
        model: None,
    };
    let read = ExchangeId::generate(&*needs.clock, &*needs.entropy);
    let planned = spine.plan_read_for(reader, read, None, at).ok_or_else(|| {
        let message = "the account under which the file lives is away";
        Refusal::unavailable("no_agent", message, NO_AGENT_WAIT)
    })?;
    let answer = match planned.dispatch(spine).await? {
        Dispatched::Answering(answering) => answering.relay(spine).await,
        Dispatched::Switching(_) => return Err(unread("the provider answers something else")),
    };
    if !answer.status().is_success() {
        return Err(unread("the provider does not give it"));
    }
    let mut scan = BatchScan::of_lines_to(ask.route.route.dialect(), &order.endpoint);
    let mut meter = RequestMeter::of_batch_file(&order.endpoint, metering);
    let mut body = answer.into_body();
    let (mut bytes, mut references) = (0_u64, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| unread("it broke off"))?;
        let Ok(piece) = frame.into_data() else { continue };
        bytes = bytes.saturating_add(piece.len() as u64);
        if bytes > FILE_BYTES_MAX {
            return Err(Refusal::too_large(FILE_BYTES_MAX));
        }
        scan.feed(&piece).map_err(upload::refused)?;
        meter.feed(&piece);
        references.extend(own(spine, whose, home, &mut scan).await?);
    }
    scan.finish().map_err(upload::refused)?;
    references.extend(own(spine, whose, home, &mut scan).await?);
    let reading = Reading::new(meter);
    reading.finish();
    Ok(File { models: scan.models().clone(), reading, references })
}

/// What the requests have named since the last look, all of it the caller's own at `home`.
async fn own(
    spine: &Spine,
    whose: Whose,
    home: Home,
    scan: &mut BatchScan,
) -> Result<Vec<Reference>, Refusal> {
    let named = scan.take_references();
    if !named.is_empty() {
        spine.0.needs.objects.live_at(whose, home, &named).await?;
    }
    Ok(named)
}

/// How the answers of `endpoint` are metered: what a batch may ask is told by its results.
fn asked_at(ask: &Ask, endpoint: &str) -> Result<Metering, Refusal> {
    let found = Target::parse(endpoint).ok().filter(|target| target.query().is_none());
    let found = found
        .and_then(|target| routes::find(ask.provider, &Method::POST, target.path()).ok())
        .map(|found| (found.route.name, found.route.metering));
    match found {
        Some((
            "chat" | "responses" | "embeddings",
            metering @ (Metering::Chat | Metering::Responses | Metering::Embeddings),
        )) => Ok(metering),
        Some(_) | None => Err(Refusal::forbidden(
            "batch_endpoint",
            "batches of this endpoint are not available through this hub",
        )),
    }
}

/// Where a file's content is read.
fn content_of(ask: &Ask, file: &str) -> Option<(Target, Match)> {
    let stem = ask.target.path().strip_suffix("/batches")?;
    let target = Target::parse(&format!("{stem}/files/{file}/content")).ok()?;
    let route = routes::find(ask.provider, &Method::GET, target.path()).ok()?;
    Some((target, route))
}

fn unread(why: &str) -> Refusal {
    Refusal::malformed("batch_file", format!("the file of requests cannot be read: {why}"))
}

/// The accounts to try that serve every model of the batch, in order; no one model counts.
pub(super) async fn choose(
    spine: &Spine,
    caller: &Caller,
    ask: &Ask,
    models: &BTreeSet<String>,
    whose: Whose,
    references: &[Reference],
) -> Result<Chosen, Refusal> {
    let mut all: Option<Vec<Arc<Offer>>> = None;
    for model in models {
        let (offers, _) = choose::one(spine, caller, ask, Some(model), whose, references).await?;
        all = Some(match all {
            None => offers,
            Some(mut all) => {
                all.retain(|offer| offers.iter().any(|other| is_same(offer, other)));
                all
            }
        });
    }
    match all {
        None => Err(Refusal::malformed("batch_empty", "the batch holds no request")),
        Some(all) if all.is_empty() => Err(Refusal::unavailable(
            "no_agent",
            "no account serves all models of this batch: send a batch for each",
            NO_AGENT_WAIT,
        )),
        Some(all) => Ok((all, None)),
    }
}

/// Whether both are one account of one agent.
fn is_same(one: &Offer, other: &Offer) -> bool {
    (one.account().id, one.link().agent()) == (other.account().id, other.link().agent())
}
