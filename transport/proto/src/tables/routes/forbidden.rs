//! The rows of what is refused for a reason worth telling.
//!
//! What no row of the route table names is refused anyway; these say why.

use http::Method;

use super::{Forbidden, Reason};
use crate::provider::Provider::{self, Anthropic, Azure, DeepSeek, OpenAi};

const ANY: &[Method] = &[];
const GET: &[Method] = &[Method::GET];

const fn refused(provider: Provider, pattern: &'static str, reason: Reason) -> Forbidden {
    Forbidden { provider, methods: ANY, pattern, reason }
}

const fn refused_get(provider: Provider, pattern: &'static str, reason: Reason) -> Forbidden {
    Forbidden { provider, methods: GET, pattern, reason }
}

/// What is refused on purpose. A row of [`ROUTES`](super::ROUTES) goes first.
pub static FORBIDDEN: &[Forbidden] = &[
    // OpenAI
    refused(OpenAi, "/v1/organization/**", Reason::OwnerState),
    refused(OpenAi, "/v1/projects/**", Reason::OwnerState),
    refused(OpenAi, "/v1/dashboard/**", Reason::OwnerState),
    refused(OpenAi, "/v1/fine_tuning/**", Reason::OwnerState),
    refused(OpenAi, "/v1/evals/**", Reason::OwnerState),
    refused(OpenAi, "/v1/skills/**", Reason::OwnerState),
    refused(OpenAi, "/v1/chatkit/**", Reason::OwnerState),
    refused(OpenAi, "/v1/assistants/**", Reason::Objects),
    refused(OpenAi, "/v1/threads/**", Reason::Objects),
    refused(OpenAi, "/v1/vector_stores/**", Reason::Objects),
    refused(OpenAi, "/v1/videos/**", Reason::Objects),
    refused_get(OpenAi, "/v1/chat/completions", Reason::Objects),
    refused(OpenAi, "/v1/chat/completions/{completion}/**", Reason::Objects),
    refused_get(OpenAi, "/v1/responses", Reason::WebSocket),
    refused(OpenAi, "/v1/realtime/**", Reason::PastTheMeter),
    // Azure
    refused(Azure, "/openai/v1/fine_tuning/**", Reason::OwnerState),
    refused(Azure, "/openai/v1/evals/**", Reason::OwnerState),
    refused(Azure, "/openai/v1/batches/**", Reason::BilledLater),
    refused(Azure, "/openai/v1/assistants/**", Reason::Objects),
    refused(Azure, "/openai/v1/threads/**", Reason::Objects),
    refused(Azure, "/openai/v1/vector_stores/**", Reason::Objects),
    refused(Azure, "/openai/v1/videos/**", Reason::Objects),
    refused_get(Azure, "/openai/v1/chat/completions", Reason::Objects),
    refused(Azure, "/openai/v1/chat/completions/{completion}/**", Reason::Objects),
    refused_get(Azure, "/openai/v1/responses", Reason::WebSocket),
    refused(Azure, "/openai/v1/realtime/**", Reason::PastTheMeter),
    refused(Azure, "/openai/fine_tuning/**", Reason::OwnerState),
    refused(Azure, "/openai/evals/**", Reason::OwnerState),
    refused(Azure, "/openai/batches/**", Reason::BilledLater),
    refused(Azure, "/openai/uploads/**", Reason::Objects),
    refused(Azure, "/openai/assistants/**", Reason::Objects),
    refused(Azure, "/openai/threads/**", Reason::Objects),
    refused(Azure, "/openai/vector_stores/**", Reason::Objects),
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
    // DeepSeek
    refused(DeepSeek, "/user/**", Reason::OwnerState),
    refused(DeepSeek, "/v1/user/**", Reason::OwnerState),
    refused(DeepSeek, "/responses/{response}/**", Reason::Objects),
    refused(DeepSeek, "/v1/responses/{response}/**", Reason::Objects),
];
