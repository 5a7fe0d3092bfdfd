//! One exchange out of a seed and a number: everything that either end will do.
//!
//! The number alone says over which version of HTTP the provider is reached, which dialect is
//! spoken and of which class of sizes the bodies are, so that a seed and a number replay it.

use super::content::Content;
use super::dialect::{self, Asked};
use super::fields;
use super::place::{Place, Upstream};
use crate::mesh::Version;
use crate::provider::script::{Breath, Coding, End, Framing, Script, Split, When};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, TE, TRAILER,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The largest answer that is compressed, bytes before it is: compressors here are slow.
const CODED_BYTES_MAX: u64 = 8 * 1_024 * 1_024;
/// The largest answer with an improper end, bytes: its bytes are kept to be compared.
const IMPROPER_BYTES_MAX: u64 = 4 * 1_024 * 1_024;
/// The smallest upload that an answer comes ahead of, bytes.
const EARLY_BYTES_MIN: u64 = 1_024 * 1_024;

/// Where a user gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// After so many bytes of its upload, whatever has become of them.
    Uploading(u64),
    /// After so many bytes of its upload, once the provider has the head.
    Reached(u64),
    /// While the provider, which has the request, says nothing.
    Waiting,
    /// After so many bytes of the answer.
    Reading(u64),
}

/// What a user sends.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query, as sent.
    pub target: String,
    /// Path and query, as the provider is to see them.
    pub reached: String,
    /// The headers, without the user's key.
    pub fields: HeaderMap,
    /// The body.
    pub content: Content,
    /// Its length in bytes.
    pub length: u64,
    /// Whether the length is declared.
    pub declared: bool,
    /// Whether the body waits for `100 Continue`.
    pub expects: bool,
    /// How it is cut, and what is waited for.
    pub split: (Split, Breath),
    /// Where the user gives up, if it does.
    pub leaving: Option<Leaving>,
}

/// What a provider answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When.
    pub when: When,
    /// The status.
    pub status: StatusCode,
    /// The headers without those of the framing.
    pub fields: HeaderMap,
    /// The body before its coding.
    pub content: Content,
    /// The coding, and whether it is flushed piece by piece.
    pub coding: (Coding, bool),
    /// How the length is told.
    pub framing: Framing,
    /// How it is cut, and what is waited for.
    pub split: (Split, Breath),
    /// What follows.
    pub trailers: Option<HeaderMap>,
    /// How it ends.
    pub end: End,
}

/// One exchange.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The run's seed.
    pub seed: u64,
    /// Which exchange of the run.
    pub place: Place,
    /// The version of HTTP that the user speaks.
    pub caller: Version,
    /// How it is asked.
    pub asked: Asked,
    /// What the user sends.
    pub request: Request,
    /// What the provider answers.
    pub answer: Answer,
    own: u64,
}

impl Exchange {
    /// Draws it.
    #[must_use]
    pub fn draw(seed: u64, place: Place) -> Self {
        let mut chance = fields::chance(seed, place.index() + 1);
        let own = chance.random_range(0..u64::MAX);
        let caller = if chance.random_bool(0.5) { Version::H1 } else { Version::H2 };
        let asked = place.dialect.asked(&mut chance);
        let (request_size, answer_size) = place.class.sizes(&mut chance);
        let streamed = chance.random_bool(0.5);
        let mut request = request(&asked, request_size, streamed, caller, own, &mut chance);
        let mut answer = answer(place, &asked, answer_size, streamed, own, &mut chance);
        let early = request.length >= EARLY_BYTES_MIN && chance.random_range(0..3_u32) == 0;
        match chance.random_range(0..24_u32) {
            0..=2 => improper(&mut answer, place.upstream, &mut chance),
            3..=5 => leave(&mut request, &mut answer, &mut chance),
            _ if early => answered_early(&mut request, &mut answer, &mut chance),
            _ => {}
        }
        let bodiless = matches!(answer.status.as_u16(), 204 | 304);
        let followed = answer.framing == Framing::Chunked && !bodiless;
        if let Some(trailers) = answer.trailers.as_ref().filter(|_| followed) {
            request.fields.insert(TE, HeaderValue::from_static("trailers"));
            let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
            if let Ok(names) = HeaderValue::try_from(names.join(", ")) {
                answer.fields.insert(TRAILER, names);
            }
        } else {
            answer.trailers = None;
        }
        Self { seed, place, caller, asked, request, answer, own }
    }

    /// The script of its answer.
    #[must_use]
    pub fn script(&self) -> Script {
        let answer = &self.answer;
        Script {
            when: answer.when,
            status: answer.status,
            fields: answer.fields.clone(),
            pieces: answer.content.pieces(),
            coding: answer.coding.0,
            flush: answer.coding.1,
            framing: answer.framing,
            split: answer.split.0,
            breath: answer.split.1,
            seed: self.own ^ 1,
            trailers: answer.trailers.clone(),
            end: answer.end,
        }
    }

    /// The seed of the cuts of its upload.
    #[must_use]
    pub const fn upload_seed(&self) -> u64 {
        self.own ^ 2
    }

    /// Whether its answer has a body.
    #[must_use]
    pub fn has_body(&self) -> bool {
        !matches!(self.answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// Bytes of its two bodies, about: before coding, and as if nobody left.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.request.length, if self.has_body() { self.answer.content.length() } else { 0 })
    }
}

fn request(
    asked: &Asked,
    size: u64,
    streamed: bool,
    caller: Version,
    own: u64,
    chance: &mut ChaCha8Rng,
) -> Request {
    let (content, kind) = asked.request(size, streamed, chance.random_bool(0.5), own ^ 3);
    let mut fields = fields::of_user(chance);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
    let expects = caller == Version::H1 && chance.random_range(0..6_u32) == 0;
    if expects {
        fields.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    if caller == Version::H1 && chance.random_range(0..6_u32) == 0 {
        fields.insert(CONNECTION, HeaderValue::from_static("x-ask-hop"));
        fields.insert("x-ask-hop", HeaderValue::from_static("of this hop"));
    }
    let query = query(asked, chance);
    Request {
        target: format!("{}{query}", asked.path),
        reached: format!("{}{query}", asked.reached),
        fields,
        length: content.length(),
        content,
        declared: chance.random_bool(0.6),
        expects,
        split: split(size, chance),
        leaving: None,
    }
}

/// A query that every parser reads alike, and that is not to be touched all the same.
fn query(asked: &Asked, chance: &mut ChaCha8Rng) -> String {
    let dated = asked.path.starts_with("/openai/deployments/");
    let version = if dated { "?api-version=2024-10-21" } else { "" };
    let more = match chance.random_range(0..6_u32) {
        0 => "a=1&b=%20%2F%C3%A9&c=",
        1 => "beta=true&x=~!$'()*,:@/-._&x=2&flag",
        2 => "&&=&==",
        3 if !dated => return "?".to_owned(),
        _ => return version.to_owned(),
    };
    if dated { format!("{version}&{more}") } else { format!("?{more}") }
}

fn answer(
    place: Place,
    asked: &Asked,
    size: u64,
    streamed: bool,
    own: u64,
    chance: &mut ChaCha8Rng,
) -> Answer {
    const REFUSALS: [u16; 9] = [400, 404, 408, 409, 422, 429, 500, 503, 529];
    let status = match chance.random_range(0..20_u32) {
        0 => 204,
        1 => 304,
        2 | 3 => REFUSALS[chance.random_range(0..REFUSALS.len())],
        4 => 201,
        _ => 200,
    };
    let (content, kind) = if status >= 400 {
        (dialect::error(size, own ^ 4), "application/json")
    } else {
        place.dialect.answer(asked, size, streamed, own ^ 4)
    };
    let mut fields = fields::of_provider(chance);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let coding = if size <= CODED_BYTES_MAX {
        Coding::ALL[chance.random_range(0..Coding::ALL.len())]
    } else {
        Coding::Identity
    };
    if let Some(name) = coding.name() {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    if place.upstream == Upstream::H1 && chance.random_range(0..8_u32) == 0 {
        fields.insert(CONNECTION, HeaderValue::from_static("x-told-hop"));
        fields.insert("x-told-hop", HeaderValue::from_static("of this hop"));
    }
    let framing =
        if streamed || chance.random_bool(0.3) { Framing::Chunked } else { Framing::Length };
    let trailers = chance.random_range(0..6_u32) == 0;
    Answer {
        when: When::Read,
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        fields,
        content,
        coding: (coding, chance.random_bool(0.5)),
        framing,
        split: split(size, chance),
        trailers: trailers.then(|| fields::trailers(chance).0),
        end: End::Proper,
    }
}

fn split(size: u64, chance: &mut ChaCha8Rng) -> (Split, Breath) {
    let split = match chance.random_range(0..6_u32) {
        0 | 1 => Split::Pieces,
        2 => Split::Dribble,
        // Small frames cost a system call each: not for a body of many mebibytes.
        3 if size < 64 * 1_024 => Split::Random(6),
        _ => Split::Random(17),
    };
    let breath = match chance.random_range(0..3_u32) {
        0 => Breath::None,
        1 => Breath::Flush,
        _ => Breath::Random,
    };
    (split, breath)
}

/// The provider breaks its answer off.
fn improper(answer: &mut Answer, upstream: Upstream, chance: &mut ChaCha8Rng) {
    if matches!(answer.status.as_u16(), 204 | 304) {
        answer.status = StatusCode::OK;
    }
    small(answer);
    let kind = chance.random_range(0..3_u32);
    if kind == 0 && upstream == Upstream::H2 {
        answer.framing = Framing::Length;
    }
    let mut after = chance.random_range(0..=answer.content.length());
    if answer.framing == Framing::Length {
        // The length must be known, and must not be reached.
        plain(answer);
        after = after.min(answer.content.length() - 1);
    }
    answer.end = match (kind, upstream) {
        (0, Upstream::H1) => End::Reset(after),
        // A reset connection would take the exchanges beside this one along; a clean end before
        // the length is HTTP/2's own kind of lie.
        (0, Upstream::H2) => End::Short(after),
        (_, _) => End::Cut(after),
    };
}

/// An answer that is not compressed.
fn plain(answer: &mut Answer) {
    answer.coding = (Coding::Identity, false);
    answer.fields.remove(CONTENT_ENCODING);
}

/// An answer whose bytes can be kept.
fn small(answer: &mut Answer) {
    if answer.content.length() > IMPROPER_BYTES_MAX || answer.content.length() == 0 {
        answer.content = dialect::error(64 * 1_024, 9);
        answer.fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
}

/// The user leaves.
fn leave(request: &mut Request, answer: &mut Answer, chance: &mut ChaCha8Rng) {
    request.expects = false;
    request.fields.remove(EXPECT);
    if matches!(answer.status.as_u16(), 204 | 304) {
        answer.status = StatusCode::OK;
    }
    small(answer);
    let part = chance.random_range(0..request.length.max(1));
    request.leaving = Some(match chance.random_range(0..4_u32) {
        0 => Leaving::Uploading(part),
        // The model must be on its way before an agent is called.
        1 if request.length > 512 * 1_024 => {
            Leaving::Reached(chance.random_range(400 * 1_024..request.length))
        }
        2 => {
            answer.when = When::Never;
            Leaving::Waiting
        }
        _ => {
            // What is read is there to be read: a coding may have given out nothing yet.
            plain(answer);
            let sent = chance.random_range(1..=answer.content.length());
            answer.end = End::Silence(sent);
            Leaving::Reading(chance.random_range(0..=sent))
        }
    });
}

/// The answer comes before the request's end.
fn answered_early(request: &mut Request, answer: &mut Answer, chance: &mut ChaCha8Rng) {
    answer.when = match chance.random_range(0..3_u32) {
        0 => {
            answer.status = StatusCode::PAYLOAD_TOO_LARGE;
            small(answer);
            When::Unread
        }
        1 => {
            small(answer);
            answer.status = StatusCode::OK;
            When::AtOnce
        }
        _ => {
            // Whose end is known from its beginning might be over before the upload.
            answer.framing = Framing::Chunked;
            if matches!(answer.status.as_u16(), 204 | 304) {
                answer.status = StatusCode::OK;
            }
            When::Duplex
        }
    };
    request.expects = false;
    request.fields.remove(EXPECT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_of_their_class_and_the_same_seed_draws_the_same() {
        for index in 0..300 {
            let place = Place::at(index);
            let (one, other) = (Exchange::draw(7, place), Exchange::draw(7, place));
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
            let (request, answer) = (one.request.length, one.answer.content.length());
            // Events and documents have a frame around their text.
            let most = 72 * 1_024 * 1_024;
            assert!(request <= most && answer <= most, "{request} {answer}");
        }
    }
}
