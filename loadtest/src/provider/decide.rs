//! What a whole request gets: a refusal, or the answer of its endpoint.
//!
//! Credentials come first, then the refusals that a fault asks for, then what the body asks.

use super::answer::{Answer, Turn, catalog, chat, media, messages, responses};
use super::asked::{Asked, AskedError, embedding_inputs};
use super::config::BODY_KEPT_MAX;
use super::control::{Control, Shape};
use super::objects::Wanted;
use super::objects::call::{BatchCall, Call};
use super::objects::made::Made;
use super::refusal::Refusal;
use super::route::{Endpoint, Route};
use super::serve::{Received, Server};
use super::text::Text;
use super::{bill, credential};
use http::request::Parts;
use media::ImageKind;
use weft_proto::provider::{Dialect, Provider};
use weft_proto::usage::{Class, Usage};

/// What is decided about a request.
pub(crate) struct Decision {
    pub(crate) route: Route,
    pub(crate) control: Control,
    /// The model, as the request names it.
    pub(crate) model: Option<String>,
    pub(crate) answer: Result<Answer, Refusal>,
    /// What the request cost, and in how many deltas it is written.
    pub(crate) bill: Option<(Usage, u64)>,
}

impl Server {
    /// Route, control and answer of a whole request.
    pub(crate) fn decide(&self, received: &Received, route: Route) -> Decision {
        let asked = Asked::parse(&received.head.headers, &received.kept);
        let model = match (&asked, &route.deployment) {
            (Ok(Asked { model: Some(model), .. }), _) | (_, Some(model)) => Some(model.clone()),
            (Ok(_) | Err(_), None) => None,
        };
        let (control, malformed) = match self.control(&received.head, model.as_deref()) {
            Ok(control) => (control, None),
            Err(error) => (Control::default(), Some(Refusal::Malformed(error.to_string()))),
        };
        let route = route.refined(model.as_deref(), control.dialect);
        let answer = match malformed {
            Some(refusal) => Err(refusal),
            None => self.judged(received, &route, &control, asked, model.as_deref()),
        };
        let bill = match &answer {
            Ok(answer) => answer.bill,
            Err(Refusal::ContentFilter) if route.provider == Provider::Azure => {
                Some((bill::filtered(control.usage, prompt_tokens(received)), 0))
            }
            Err(_) => None,
        };
        Decision { route, control, model, answer, bill }
    }

    fn judged(
        &self,
        received: &Received,
        route: &Route,
        control: &Control,
        asked: Result<Asked, AskedError>,
        model: Option<&str>,
    ) -> Result<Answer, Refusal> {
        self.admitted(&received.head, route, control)?;
        if received.length > BODY_KEPT_MAX as u64 {
            return Err(Refusal::TooLarge);
        }
        let asked = asked.map_err(|error| Refusal::Malformed(error.to_string()))?;
        self.answer(received, route, control, &asked, model)
    }

    /// What the head alone decides: the credential, the faults that are refusals, the version.
    pub(super) fn admitted(
        &self,
        head: &Parts,
        route: &Route,
        control: &Control,
    ) -> Result<(), Refusal> {
        let key = credential::presented(route.provider, &head.headers);
        let key = key.ok_or(Refusal::NoCredential)?;
        if let Some(expected) = &self.config.expect_key
            && !expected.accepts(key)
        {
            return Err(Refusal::Unauthorized);
        }
        if let Some(refusal) = control.fault.and_then(Refusal::of) {
            return Err(refusal);
        }
        if route.dialect() == Dialect::Anthropic && !head.headers.contains_key("anthropic-version")
        {
            return Err(Refusal::Malformed("anthropic-version: header is required".to_owned()));
        }
        Ok(())
    }

    fn answer(
        &self,
        received: &Received,
        route: &Route,
        control: &Control,
        asked: &Asked,
        model: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let endpoint = route.endpoint.as_ref().ok_or(Refusal::NotFound)?;
        let turn = |model: &str| self.turn(received, route, control, asked, model);
        let named = || {
            let missing = || Refusal::Malformed("you must provide a model parameter".to_owned());
            Ok::<_, Refusal>(turn(model.ok_or_else(missing)?))
        };
        let streams = asked.streams();
        let format = asked.response_format.as_ref().and_then(|format| format.as_str());
        let wanted = Wanted {
            provider: route.provider,
            key: credential::presented(route.provider, &received.head.headers).unwrap_or_default(),
            headers: &received.head.headers,
            query: received.head.uri.query(),
            body: &received.kept,
        };
        self.objects.resolve(wanted)?;
        let response = || self.objects.begin_response(wanted, named()?);
        let message = || self.objects.begin_message(wanted, named()?);
        let answer = match endpoint {
            Endpoint::Chat if streams => chat::streamed(&named()?),
            Endpoint::Chat => chat::whole(&named()?),
            Endpoint::Responses if streams => responses::streamed(&response()?),
            Endpoint::Responses => responses::whole(&response()?),
            Endpoint::Messages if streams => messages::streamed(&message()?),
            Endpoint::Messages => messages::whole(&message()?),
            Endpoint::CountTokens => messages::counted(&named()?),
            Endpoint::Embeddings => {
                let bad = || Refusal::Malformed("'$.input' is invalid.".to_owned());
                let inputs = embedding_inputs(&received.kept).ok_or_else(bad)?;
                let base64 = asked.encoding_format.as_deref() == Some("base64");
                catalog::embeddings(&named()?, inputs, asked.dimensions, base64).ok_or_else(bad)?
            }
            Endpoint::Models => catalog::models(route.provider),
            Endpoint::Model(id) => {
                catalog::model(route.provider, id).ok_or(Refusal::NoSuchModel)?
            }
            Endpoint::Images if streams => media::image_streamed(&named()?, ImageKind::Generation),
            Endpoint::ImageEdits if streams => media::image_streamed(&named()?, ImageKind::Edit),
            Endpoint::Images | Endpoint::ImageEdits => {
                media::image_whole(&turn(model.unwrap_or("gpt-image-2")))
            }
            Endpoint::Transcriptions if streams => media::transcript_streamed(&named()?),
            Endpoint::Transcriptions | Endpoint::Translations => {
                media::transcript(&named()?, format)
            }
            Endpoint::Speech if asked.speech_events() => media::speech_streamed(&named()?),
            Endpoint::Speech => media::speech(&named()?),
            Endpoint::Balance => catalog::balance(),
            Endpoint::Realtime => {
                return Err(Refusal::Malformed("this endpoint is a WebSocket".to_owned()));
            }
            Endpoint::Object(Call::Batch(BatchCall::Create)) => {
                let [a, b, c, d, e, f, g, h, ..] = received.digest;
                let own = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ self.config.seed;
                self.objects.make_batch(wanted, control, own)?
            }
            Endpoint::Object(call) => self.objects.answer(call, wanted)?,
        };
        Ok(answer.kept_alive(control.keep_alives))
    }

    fn turn(
        &self,
        received: &Received,
        route: &Route,
        control: &Control,
        asked: &Asked,
        model: &str,
    ) -> Turn {
        let facts = bill::Facts {
            prompt: prompt_tokens(received),
            deltas: u64::from(control.deltas),
            model,
            characters: asked.characters(),
            speech_events: asked.speech_events(),
        };
        let usage = route
            .endpoint
            .as_ref()
            .and_then(|endpoint| bill::of(endpoint, route.provider, control.usage, facts));
        let shape =
            Shape { background: asked.background.unwrap_or(false), ..control.shape.clone() };
        let [a, b, c, d, e, f, g, h, ..] = received.digest;
        let own = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ self.config.seed;
        Turn {
            provider: route.provider,
            model: model.to_owned(),
            text: Text {
                seed: control.seed.unwrap_or(own),
                deltas: control.deltas,
                delta_bytes: control.delta_bytes,
            },
            // What is free of charge may still say how much it read.
            usage: usage.unwrap_or_else(|| Usage::NONE.with(Class::Input, facts.prompt)),
            shape,
            polls: control.polls,
            reading: control.reading,
            include_usage: asked.includes_usage(),
            no_usage: control.no_usage,
            made: Made::default(),
        }
    }
}

/// Tokens of a request, by its length.
fn prompt_tokens(received: &Received) -> u64 {
    (received.length / 4).max(1)
}
