//! Price books: import, list, show, compare, activate.

use super::extract::{Params, Subject, page_size, parse, time_text};
use super::{Problem, Rooms};
use crate::pricing::import::{
    self, Format, IMPORT_BYTES_MAX, ImportError, Imported, Report, Unread,
};
use crate::pricing::{PricingError, SignedBook};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use weft_proto::causes::causes;
use weft_proto::money::Ratio;
use weft_proto::prices::{BookHash, Holidays, PriceBook, Row, Schedule};
use weft_proto::time::Timestamp;
use weft_store::{Activation, JournalKind, JournalNote, Name};

/// The word that stands for the book in force.
const ACTIVE: &str = "active";

/// The most rows that one answer shows.
const SHOWN_ROWS_MAX: usize = 20_000;

/// What an import is given beside the file.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportParams {
    /// `litellm`, `genai` or `csv`; guessed from the file where nothing is said.
    #[serde(default)]
    format: Option<String>,
    /// Import although something that speaks of money is not understood; the answer says what.
    #[serde(default)]
    accept_unread: bool,
    /// Put the book in force at once.
    #[serde(default)]
    activate: bool,
    /// What the book is called in lists, such as the file's name.
    #[serde(default)]
    note: Option<String>,
}

/// What an import did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportedBook {
    /// The book's hash: its name.
    pub hash: String,
    /// Whether it was not kept before.
    pub new: bool,
    /// Whether it is in force.
    pub active: bool,
    /// How the file was read.
    pub report: Report,
}

/// A kept book in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BookView {
    /// Its hash: its name.
    pub hash: String,
    /// How many rows it has.
    pub rows: u32,
    /// Where it came from.
    pub note: String,
    /// When it was imported, RFC 3339.
    pub imported_at: String,
    /// When it last came into force, RFC 3339; nothing where it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<String>,
    /// Whether it is in force.
    pub active: bool,
}

/// All kept books and what was in force when.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BooksView {
    /// The books, the one imported last first.
    pub books: Vec<BookView>,
    /// The activations, the one in force first.
    pub activations: Vec<ActivationView>,
}

/// A book coming into force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ActivationView {
    /// Which in their order.
    pub number: u64,
    /// Which book.
    pub hash: String,
    /// From when on, RFC 3339.
    pub at: String,
}

/// One row of a book.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct RowView {
    /// Whose API.
    pub provider: String,
    /// The model, or a pattern of models.
    pub model: String,
    /// The service tier.
    pub tier: String,
    /// `any`, `regional`, or the name of a place.
    pub place: String,
    /// The schedule within which it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The total input above which it holds.
    #[serde(default)]
    pub above: u64,
    /// From when on, RFC 3339; nothing for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Until before when, RFC 3339; nothing for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// USD a unit by class, the factor of the row applied, as decimal text.
    pub prices: BTreeMap<String, String>,
    /// The factor that was applied, in parts per million.
    pub factor_ppm: u32,
    /// Where the prices are from.
    pub source: String,
}

/// A book with its rows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WholeBookView {
    /// Its hash: its name.
    pub hash: String,
    /// Whether it is in force.
    pub active: bool,
    /// The hub's signature of it, base64.
    pub signature: String,
    /// How many rows it has in all.
    pub rows_in_all: usize,
    /// Its rows, or those that were asked for.
    pub rows: Vec<RowView>,
    /// Parts of the week, by name, as text.
    pub schedules: BTreeMap<String, String>,
    /// Days that do not count, by name of their list.
    pub holidays: BTreeMap<String, Vec<String>>,
}

/// What two books differ in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// The first book.
    pub from: String,
    /// The second book.
    pub to: String,
    /// Rows that only the first has.
    pub removed: Vec<RowView>,
    /// Rows that only the second has.
    pub added: Vec<RowView>,
    /// Rows about the same exchanges, with other prices.
    pub changed: Vec<ChangedRow>,
}

/// Two rows about the same exchanges.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangedRow {
    /// In the first book.
    pub from: RowView,
    /// In the second.
    pub to: RowView,
}

/// Which rows are shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowParams {
    /// Only rows whose pattern this model matches.
    #[serde(default)]
    model: Option<String>,
}

impl From<PricingError> for Problem {
    fn from(error: PricingError) -> Self {
        match error {
            PricingError::Store(error) => error.into(),
            error @ PricingError::Note(_) => Self::invalid(causes(&error)),
            error @ (PricingError::Unsigned { .. }
            | PricingError::Damaged { .. }
            | PricingError::Bundled(_)) => {
                tracing::error!(error = %causes(&error), "price book not used");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, causes(&error).to_string())
            }
        }
    }
}

impl From<&Row> for RowView {
    fn from(row: &Row) -> Self {
        // Every row of a book gives whole prices; ones without a factor say what stands in the row.
        let (prices, factor) = match row.prices.times(row.factor) {
            Some(prices) => (prices, row.factor),
            None => (row.prices, Ratio::ONE),
        };
        let moment = |at: Timestamp| (at.as_micros() > 0).then(|| time_text(at));
        Self {
            provider: row.provider.to_string(),
            model: row.model.to_string(),
            tier: row.tier.name().to_owned(),
            place: row.place.to_string(),
            when: row.schedule.as_ref().map(ToString::to_string),
            above: row.above,
            from: moment(row.from),
            until: row.until.map(time_text),
            prices: prices
                .iter()
                .map(|(class, price)| (class.name().to_owned(), price.to_string()))
                .collect(),
            factor_ppm: factor.ppm(),
            source: row.source.to_string(),
        }
    }
}

/// The routes of prices. An import is a file: its limit is another than that of other requests.
pub(super) fn routes() -> OpenApiRouter<Rooms> {
    let imports = OpenApiRouter::new()
        .routes(routes!(import, list))
        .layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX));
    OpenApiRouter::new()
        .merge(imports)
        .routes(routes!(show))
        .routes(routes!(diff))
        .routes(routes!(activate))
}

/// Read a price list and keep it as a book; the body is the file.
#[utoipa::path(post, path = "/api/v1/prices", tag = "prices", params(ImportParams),
    request_body(content = String, content_type = "application/octet-stream"), responses(
    (status = 200, body = ImportedBook), (status = 413, body = Problem),
    (status = 422, body = Problem, description = "Not a price list, or one not wholly understood")))]
pub(super) async fn import(
    State(rooms): State<Rooms>,
    Params(params): Params<ImportParams>,
    body: Bytes,
) -> Result<Json<ImportedBook>, Problem> {
    let format: Format = match params.format.as_deref() {
        None => Format::guessed(&body),
        Some(name) => parse("format", name)?,
    };
    let note: Name = match params.note.as_deref() {
        None => parse("note", format.name())?,
        Some(note) => parse("note", note)?,
    };
    let unread = if params.accept_unread { Unread::Accept } else { Unread::Refuse };
    // Megabytes are parsed: not on a thread that carries streams.
    let read = tokio::task::spawn_blocking(move || import::read(format, &body, unread));
    let Imported { book, report } = match read.await {
        Ok(read) => read.map_err(|error| refused(&error))?,
        Err(panic) => {
            tracing::error!(%panic, "an import panicked");
            return Err(Problem::plain(StatusCode::INTERNAL_SERVER_ERROR));
        }
    };
    let hash = book.hash();
    let new = rooms.pricing.keep(book, note).await?;
    if params.activate {
        put_in_force(&rooms, hash).await?;
    }
    let active = rooms.pricing.active().book.hash() == hash;
    Ok(Json(ImportedBook { hash: hash.to_string(), new, active, report }))
}

fn refused(error: &ImportError) -> Problem {
    Problem::invalid(format!("nothing was imported: {}", causes(error)))
}

/// List the kept books and the history of activations.
#[utoipa::path(get, path = "/api/v1/prices", tag = "prices", responses(
    (status = 200, body = BooksView)))]
pub(super) async fn list(State(rooms): State<Rooms>) -> Result<Json<BooksView>, Problem> {
    let (activations, versions) = rooms.pricing.history(page_size(Some(u32::MAX))).await?;
    let active = rooms.pricing.active().book.hash();
    let books = versions.into_iter().map(|version| {
        let last = activations.iter().find(|activation| activation.hash == version.hash);
        BookView {
            hash: version.hash.to_string(),
            rows: version.rows,
            note: version.note.to_string(),
            imported_at: time_text(version.imported_at),
            activated_at: last.map(|activation| time_text(activation.at)),
            active: version.hash == active,
        }
    });
    let books = books.collect();
    let activations = activations.iter().map(|activation| ActivationView {
        number: activation.number,
        hash: activation.hash.to_string(),
        at: time_text(activation.at),
    });
    Ok(Json(BooksView { books, activations: activations.collect() }))
}

/// Show a book by its hash, or the one in force as `active`.
#[utoipa::path(get, path = "/api/v1/prices/{hash}", tag = "prices",
    params(("hash" = String, Path, description = "The hash, or `active`"), ShowParams), responses(
    (status = 200, body = WholeBookView), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(rooms): State<Rooms>,
    Subject(hash): Subject,
    Params(params): Params<ShowParams>,
) -> Result<Json<WholeBookView>, Problem> {
    use base64::Engine as _;
    let signed = book(&rooms, &hash).await?;
    let wanted = |row: &&Row| params.model.as_deref().is_none_or(|model| row.model.matches(model));
    let rows = signed.book.rows().iter().filter(wanted).take(SHOWN_ROWS_MAX);
    Ok(Json(WholeBookView {
        hash: signed.book.hash().to_string(),
        active: rooms.pricing.active().book.hash() == signed.book.hash(),
        signature: base64::engine::general_purpose::STANDARD.encode(signed.signature.as_bytes()),
        rows_in_all: signed.book.rows().len(),
        rows: rows.map(RowView::from).collect(),
        schedules: signed.book.schedules().iter().map(schedule).collect(),
        holidays: signed.book.holidays().iter().map(holidays).collect(),
    }))
}

/// Compare two books.
#[utoipa::path(get, path = "/api/v1/prices/{hash}/diff/{other}", tag = "prices",
    params(("hash" = String, Path, description = "The hash of the first, or `active`"),
        ("other" = String, Path, description = "The hash of the second, or `active`")), responses(
    (status = 200, body = DiffView), (status = 404, body = Problem)))]
pub(super) async fn diff(
    State(rooms): State<Rooms>,
    Path((from, to)): Path<(String, String)>,
) -> Result<Json<DiffView>, Problem> {
    let (from, to) = (book(&rooms, &from).await?, book(&rooms, &to).await?);
    let mut view = DiffView {
        from: from.book.hash().to_string(),
        to: to.book.hash().to_string(),
        removed: Vec::new(),
        added: Vec::new(),
        changed: Vec::new(),
    };
    let by_subject = |book: &PriceBook| -> BTreeMap<String, RowView> {
        book.rows().iter().map(|row| (row.to_string(), RowView::from(row))).collect()
    };
    let (mut before, after) = (by_subject(&from.book), by_subject(&to.book));
    for (subject, to) in after {
        match before.remove(&subject) {
            None => view.added.push(to),
            Some(from) if from.prices == to.prices => {}
            Some(from) => view.changed.push(ChangedRow { from, to }),
        }
    }
    view.removed = before.into_values().collect();
    Ok(Json(view))
}

/// Put a kept book in force; what is quoted from then on is quoted by it.
#[utoipa::path(post, path = "/api/v1/prices/{hash}/activate", tag = "prices",
    params(("hash" = String, Path, description = "The hash")), responses(
    (status = 200, body = ActivationView), (status = 404, body = Problem)))]
pub(super) async fn activate(
    State(rooms): State<Rooms>,
    Subject(hash): Subject,
) -> Result<Json<ActivationView>, Problem> {
    let hash: BookHash = parse("hash", &hash)?;
    let activation = put_in_force(&rooms, hash).await?;
    Ok(Json(ActivationView {
        number: activation.number,
        hash: activation.hash.to_string(),
        at: time_text(activation.at),
    }))
}

/// Puts a book in force, and writes it into the hub's journal first: an entry for what then did not
/// happen does no harm, prices that no entry announces would.
async fn put_in_force(rooms: &Rooms, hash: BookHash) -> Result<Activation, Problem> {
    book(rooms, &hash.to_string()).await?;
    if rooms.pricing.active().book.hash() != hash {
        let body = format!("act=activate\nbook={hash}\n").into_bytes();
        let note = JournalNote { kind: JournalKind::PriceBook, body, at: rooms.clock.now() };
        rooms.store.ledger().note(&[note]).await?;
    }
    Ok(rooms.pricing.activate(hash).await?)
}

async fn book(rooms: &Rooms, hash: &str) -> Result<Arc<SignedBook>, Problem> {
    if hash == ACTIVE {
        return Ok(rooms.pricing.active());
    }
    let hash: BookHash = parse("hash", hash)?;
    let found = rooms.pricing.book(hash).await?;
    found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such price book"))
}

fn schedule(schedule: &Schedule) -> (String, String) {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let mut text = String::new();
    for window in schedule.windows() {
        let days = (0_u8..).zip(DAYS).filter(|(day, _)| window.days().has(*day));
        let days = days.map(|(_, name)| name).collect::<Vec<_>>().join("+");
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let hours = format!("{}-{}", clock(window.from()), clock(window.until()));
        text += &format!("{days} {hours} ");
    }
    if let Some(except) = schedule.except() {
        text += &format!("except {except}");
    }
    (schedule.name().to_string(), text.trim_end().to_owned())
}

fn holidays(list: &Holidays) -> (String, Vec<String>) {
    const DAY: u64 = 24 * 60 * 60;
    let day = |number: u32| {
        let text = time_text(Timestamp::from_secs(u64::from(number) * DAY));
        text.split('T').next().unwrap_or_default().to_owned()
    };
    (list.name().to_string(), list.days().iter().map(|one| day(one.number())).collect())
}
