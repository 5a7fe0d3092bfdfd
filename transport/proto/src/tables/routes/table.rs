//! The rows of the route table.
//!
//! One line per operation. A new line needs three answers: how the request names its model, how
//! its answer is metered, and what else a user could see through it.

use http::Method;

use super::{BodyKind, Forbidden, ModelSource, Reason, Route, RouteKind};
use crate::provider::Provider::{self, Anthropic, Azure, DeepSeek, OpenAi};

const ANY: &[Method] = &[];
const GET: &[Method] = &[Method::GET];

const fn relayed(
    provider: Provider,
    pattern: &'static str,
    name: &'static str,
    model: ModelSource,
    body: BodyKind,
) -> Route {
    Route { provider, method: Method::POST, pattern, name, model, kind: RouteKind::Relay, body }
}

const fn json(provider: Provider, pattern: &'static str, name: &'static str) -> Route {
    relayed(provider, pattern, name, ModelSource::JsonBody, BodyKind::Json)
}

const fn form(provider: Provider, pattern: &'static str, name: &'static str) -> Route {
    relayed(provider, pattern, name, ModelSource::Multipart, BodyKind::Multipart)
}

/// An Azure path of the dated API, which names its deployment.
const fn dated(pattern: &'static str, name: &'static str, body: BodyKind) -> Route {
    relayed(Azure, pattern, name, ModelSource::Deployment, body)
}

const fn by_hub(
    provider: Provider,
    pattern: &'static str,
    name: &'static str,
    model: ModelSource,
) -> Route {
    Route {
        provider,
        method: Method::GET,
        pattern,
        name,
        model,
        kind: RouteKind::MadeByHub,
        body: BodyKind::None,
    }
}

const fn refused(provider: Provider, pattern: &'static str, reason: Reason) -> Forbidden {
    Forbidden { provider, methods: ANY, pattern, reason }
}

const fn refused_get(provider: Provider, pattern: &'static str, reason: Reason) -> Forbidden {
    Forbidden { provider, methods: GET, pattern, reason }
}

/// Everything that passes.
pub static ROUTES: &[Route] = &[
    // OpenAI
    json(OpenAi, "/v1/chat/completions", "chat"),
    json(OpenAi, "/v1/responses", "responses"),
    json(OpenAi, "/v1/responses/compact", "responses_compact"),
    json(OpenAi, "/v1/embeddings", "embeddings"),
    json(OpenAi, "/v1/images/generations", "images_generate"),
    form(OpenAi, "/v1/images/edits", "images_edit"),
    form(OpenAi, "/v1/images/variations", "images_vary"),
    form(OpenAi, "/v1/audio/transcriptions", "transcribe"),
    form(OpenAi, "/v1/audio/translations", "translate"),
    json(OpenAi, "/v1/audio/speech", "speech"),
    by_hub(OpenAi, "/v1/models", "models", ModelSource::None),
    by_hub(OpenAi, "/v1/models/{model}", "model", ModelSource::Path),
    // Azure, v1
    json(Azure, "/openai/v1/chat/completions", "chat"),
    json(Azure, "/openai/v1/responses", "responses"),
    json(Azure, "/openai/v1/responses/compact", "responses_compact"),
    json(Azure, "/openai/v1/embeddings", "embeddings"),
    json(Azure, "/openai/v1/images/generations", "images_generate"),
    form(Azure, "/openai/v1/images/edits", "images_edit"),
    form(Azure, "/openai/v1/images/variations", "images_vary"),
    form(Azure, "/openai/v1/audio/transcriptions", "transcribe"),
    form(Azure, "/openai/v1/audio/translations", "translate"),
    json(Azure, "/openai/v1/audio/speech", "speech"),
    by_hub(Azure, "/openai/v1/models", "models", ModelSource::None),
    by_hub(Azure, "/openai/v1/models/{model}", "model", ModelSource::Path),
    // Azure, dated
    dated("/openai/deployments/{deployment}/chat/completions", "chat", BodyKind::Json),
    dated("/openai/deployments/{deployment}/embeddings", "embeddings", BodyKind::Json),
    dated("/openai/deployments/{deployment}/images/generations", "images_generate", BodyKind::Json),
    dated("/openai/deployments/{deployment}/images/edits", "images_edit", BodyKind::Multipart),
    dated("/openai/deployments/{deployment}/images/variations", "images_vary", BodyKind::Multipart),
    dated(
        "/openai/deployments/{deployment}/audio/transcriptions",
        "transcribe",
        BodyKind::Multipart,
    ),
    dated("/openai/deployments/{deployment}/audio/translations", "translate", BodyKind::Multipart),
    dated("/openai/deployments/{deployment}/audio/speech", "speech", BodyKind::Json),
    json(Azure, "/openai/responses", "responses"),
    json(Azure, "/openai/responses/compact", "responses_compact"),
    by_hub(Azure, "/openai/models", "models", ModelSource::None),
    by_hub(Azure, "/openai/models/{model}", "model", ModelSource::Path),
    // Anthropic
    json(Anthropic, "/v1/messages", "messages"),
    json(Anthropic, "/v1/messages/count_tokens", "count_tokens"),
    by_hub(Anthropic, "/v1/models", "models", ModelSource::None),
    by_hub(Anthropic, "/v1/models/{model}", "model", ModelSource::Path),
    // DeepSeek: the OpenAI dialect at `/` and `/v1`, prefix and fill-in-the-middle under `/beta`
    json(DeepSeek, "/chat/completions", "chat"),
    json(DeepSeek, "/v1/chat/completions", "chat"),
    json(DeepSeek, "/beta/chat/completions", "chat"),
    json(DeepSeek, "/beta/completions", "completions"),
    json(DeepSeek, "/responses", "responses"),
    json(DeepSeek, "/v1/responses", "responses"),
    json(DeepSeek, "/anthropic/v1/messages", "messages"),
    by_hub(DeepSeek, "/models", "models", ModelSource::None),
    by_hub(DeepSeek, "/v1/models", "models", ModelSource::None),
    by_hub(DeepSeek, "/models/{model}", "model", ModelSource::Path),
    by_hub(DeepSeek, "/v1/models/{model}", "model", ModelSource::Path),
];

/// What is refused on purpose. A row of [`ROUTES`] goes first.
pub static FORBIDDEN: &[Forbidden] = &[
    // OpenAI
    refused(OpenAi, "/v1/organization/**", Reason::OwnerState),
    refused(OpenAi, "/v1/projects/**", Reason::OwnerState),
    refused(OpenAi, "/v1/dashboard/**", Reason::OwnerState),
    refused(OpenAi, "/v1/fine_tuning/**", Reason::OwnerState),
    refused(OpenAi, "/v1/evals/**", Reason::OwnerState),
    refused(OpenAi, "/v1/skills/**", Reason::OwnerState),
    refused(OpenAi, "/v1/chatkit/**", Reason::OwnerState),
    refused(OpenAi, "/v1/batches/**", Reason::BilledLater),
    refused(OpenAi, "/v1/files/**", Reason::Objects),
    refused(OpenAi, "/v1/uploads/**", Reason::Objects),
    refused(OpenAi, "/v1/assistants/**", Reason::Objects),
    refused(OpenAi, "/v1/threads/**", Reason::Objects),
    refused(OpenAi, "/v1/conversations/**", Reason::Objects),
    refused(OpenAi, "/v1/containers/**", Reason::Objects),
    refused(OpenAi, "/v1/vector_stores/**", Reason::Objects),
    refused(OpenAi, "/v1/videos/**", Reason::Objects),
    refused_get(OpenAi, "/v1/chat/completions", Reason::Objects),
    refused(OpenAi, "/v1/chat/completions/{completion}/**", Reason::Objects),
    refused_get(OpenAi, "/v1/responses", Reason::WebSocket),
    refused(OpenAi, "/v1/responses/{response}/**", Reason::Objects),
    refused_get(OpenAi, "/v1/realtime", Reason::WebSocket),
    refused(OpenAi, "/v1/realtime/**", Reason::PastTheMeter),
    // Azure
    refused(Azure, "/openai/v1/fine_tuning/**", Reason::OwnerState),
    refused(Azure, "/openai/v1/evals/**", Reason::OwnerState),
    refused(Azure, "/openai/v1/batches/**", Reason::BilledLater),
    refused(Azure, "/openai/v1/files/**", Reason::Objects),
    refused(Azure, "/openai/v1/uploads/**", Reason::Objects),
    refused(Azure, "/openai/v1/assistants/**", Reason::Objects),
    refused(Azure, "/openai/v1/threads/**", Reason::Objects),
    refused(Azure, "/openai/v1/conversations/**", Reason::Objects),
    refused(Azure, "/openai/v1/containers/**", Reason::Objects),
    refused(Azure, "/openai/v1/vector_stores/**", Reason::Objects),
    refused(Azure, "/openai/v1/videos/**", Reason::Objects),
    refused_get(Azure, "/openai/v1/chat/completions", Reason::Objects),
    refused(Azure, "/openai/v1/chat/completions/{completion}/**", Reason::Objects),
    refused_get(Azure, "/openai/v1/responses", Reason::WebSocket),
    refused(Azure, "/openai/v1/responses/{response}/**", Reason::Objects),
    refused_get(Azure, "/openai/v1/realtime", Reason::WebSocket),
    refused(Azure, "/openai/v1/realtime/**", Reason::PastTheMeter),
    refused(Azure, "/openai/fine_tuning/**", Reason::OwnerState),
    refused(Azure, "/openai/evals/**", Reason::OwnerState),
    refused(Azure, "/openai/batches/**", Reason::BilledLater),
    refused(Azure, "/openai/files/**", Reason::Objects),
    refused(Azure, "/openai/uploads/**", Reason::Objects),
    refused(Azure, "/openai/assistants/**", Reason::Objects),
    refused(Azure, "/openai/threads/**", Reason::Objects),
    refused(Azure, "/openai/vector_stores/**", Reason::Objects),
    refused(Azure, "/openai/responses/{response}/**", Reason::Objects),
    refused_get(Azure, "/openai/realtime", Reason::WebSocket),
    refused(Azure, "/openai/realtime/**", Reason::PastTheMeter),
    refused(Azure, "/openai/realtimeapi/**", Reason::PastTheMeter),
    refused_get(Azure, "/openai/deployments", Reason::OwnerState),
    refused_get(Azure, "/openai/deployments/{deployment}", Reason::OwnerState),
    // Anthropic
    refused(Anthropic, "/v1/organizations/**", Reason::OwnerState),
    refused(Anthropic, "/v1/user_profiles/**", Reason::OwnerState),
    refused(Anthropic, "/v1/vaults/**", Reason::OwnerState),
    refused(Anthropic, "/v1/tunnels/**", Reason::OwnerState),
    refused(Anthropic, "/v1/environments/**", Reason::OwnerState),
    refused(Anthropic, "/v1/agents/**", Reason::OwnerState),
    refused(Anthropic, "/v1/sessions/**", Reason::OwnerState),
    refused(Anthropic, "/v1/skills/**", Reason::OwnerState),
    refused(Anthropic, "/v1/memory_stores/**", Reason::OwnerState),
    refused(Anthropic, "/v1/files/**", Reason::Objects),
    refused(Anthropic, "/v1/messages/batches/**", Reason::BilledLater),
    // DeepSeek
    refused(DeepSeek, "/user/**", Reason::OwnerState),
    refused(DeepSeek, "/v1/user/**", Reason::OwnerState),
    refused(DeepSeek, "/responses/{response}/**", Reason::Objects),
    refused(DeepSeek, "/v1/responses/{response}/**", Reason::Objects),
];
