//! The rows of the route table.
//!
//! One line per operation. A new line needs three answers: how the request names its model, how
//! its answer is metered, and what else a user could see through it.

use http::Method;

use super::{BodyKind, Metering, ModelSource, ObjectUse, Route, RouteKind, Tap};
use crate::objects::ObjectKind;
use crate::provider::Provider::{self, Anthropic, Azure, DeepSeek, OpenAi};

impl Route {
    /// The same, metered so.
    const fn metered(mut self, metering: Metering) -> Self {
        self.metering = metering;
        self
    }

    /// The same, with such a body.
    const fn holding(mut self, body: BodyKind) -> Self {
        self.body = body;
        self
    }
}

const fn relayed(
    provider: Provider,
    pattern: &'static str,
    name: &'static str,
    model: ModelSource,
    body: BodyKind,
) -> Route {
    Route {
        provider,
        method: Method::POST,
        pattern,
        name,
        model,
        kind: RouteKind::Relay,
        body,
        objects: ObjectUse::None,
        metering: Metering::Free,
    }
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
        objects: ObjectUse::None,
        metering: Metering::Free,
    }
}

/// A request for a model whose answer may make objects known, or whose body names them.
const fn making(
    provider: Provider,
    pattern: &'static str,
    name: &'static str,
    objects: ObjectUse,
) -> Route {
    let (model, kind) = (ModelSource::JsonBody, RouteKind::Relay);
    Route {
        provider,
        method: Method::POST,
        pattern,
        name,
        model,
        kind,
        body: BodyKind::Json,
        objects,
        metering: Metering::Free,
    }
}

/// An operation on objects themselves.
const fn object(
    provider: Provider,
    method: Method,
    pattern: &'static str,
    name: &'static str,
    body: BodyKind,
    objects: ObjectUse,
) -> Route {
    let (model, kind) = (ModelSource::NotNeeded, RouteKind::Relay);
    let metering = Metering::Free;
    Route { provider, method, pattern, name, model, kind, body, objects, metering }
}

const fn get(
    provider: Provider,
    pattern: &'static str,
    name: &'static str,
    objects: ObjectUse,
) -> Route {
    object(provider, Method::GET, pattern, name, BodyKind::None, objects)
}

const fn post(
    provider: Provider,
    pattern: &'static str,
    name: &'static str,
    body: BodyKind,
    objects: ObjectUse,
) -> Route {
    object(provider, Method::POST, pattern, name, body, objects)
}

const fn delete(
    provider: Provider,
    pattern: &'static str,
    name: &'static str,
    objects: ObjectUse,
) -> Route {
    object(provider, Method::DELETE, pattern, name, BodyKind::None, objects)
}

const fn listed(
    provider: Provider,
    pattern: &'static str,
    name: &'static str,
    kind: ObjectKind,
) -> Route {
    Route {
        provider,
        method: Method::GET,
        pattern,
        name,
        model: ModelSource::NotNeeded,
        kind: RouteKind::ListedByHub,
        body: BodyKind::None,
        objects: ObjectUse::Lists(kind),
        metering: Metering::Free,
    }
}

const fn websocket(provider: Provider, pattern: &'static str, name: &'static str) -> Route {
    Route {
        provider,
        method: Method::GET,
        pattern,
        name,
        model: ModelSource::Query,
        kind: RouteKind::WebSocket,
        body: BodyKind::None,
        objects: ObjectUse::None,
        metering: Metering::Free,
    }
}

const READS: ObjectUse = ObjectUse::Reads;
const DELETES: ObjectUse = ObjectUse::Deletes;
const FILE: ObjectUse = ObjectUse::Makes(Tap::File);
const UPLOAD: ObjectUse = ObjectUse::Makes(Tap::Upload);
const CHAT: ObjectUse = ObjectUse::Makes(Tap::Chat);
const RESPONSE: ObjectUse = ObjectUse::Makes(Tap::Response);
const CONVERSATION: ObjectUse = ObjectUse::Makes(Tap::Conversation);
const ITEMS: ObjectUse = ObjectUse::Makes(Tap::Items);
const CONTAINER: ObjectUse = ObjectUse::Makes(Tap::Container);
const CONTAINER_FILES: ObjectUse = ObjectUse::Makes(Tap::ContainerFiles);
const MESSAGES: ObjectUse = ObjectUse::Makes(Tap::Messages);
const BATCH: ObjectUse = ObjectUse::Makes(Tap::Batch);

/// Everything that passes.
pub static ROUTES: &[Route] = &[
    // OpenAI
    making(OpenAi, "/v1/chat/completions", "chat", CHAT).metered(Metering::Chat),
    making(OpenAi, "/v1/responses", "responses", RESPONSE).metered(Metering::Responses),
    making(OpenAi, "/v1/responses/compact", "responses_compact", RESPONSE)
        .metered(Metering::Responses),
    json(OpenAi, "/v1/embeddings", "embeddings").metered(Metering::Embeddings),
    json(OpenAi, "/v1/images/generations", "images_generate").metered(Metering::Images),
    form(OpenAi, "/v1/images/edits", "images_edit").metered(Metering::Images),
    form(OpenAi, "/v1/images/variations", "images_vary").metered(Metering::Images),
    form(OpenAi, "/v1/audio/transcriptions", "transcribe").metered(Metering::Transcription),
    form(OpenAi, "/v1/audio/translations", "translate").metered(Metering::Transcription),
    json(OpenAi, "/v1/audio/speech", "speech").metered(Metering::Speech),
    by_hub(OpenAi, "/v1/models", "models", ModelSource::None),
    by_hub(OpenAi, "/v1/models/{model}", "model", ModelSource::Path),
    // OpenAI: realtime, and what lives there
    websocket(OpenAi, "/v1/realtime", "realtime").metered(Metering::Realtime),
    listed(OpenAi, "/v1/files", "files", ObjectKind::File),
    post(OpenAi, "/v1/files", "file_make", BodyKind::Multipart, FILE),
    get(OpenAi, "/v1/files/{file}", "file", READS),
    delete(OpenAi, "/v1/files/{file}", "file_delete", DELETES),
    get(OpenAi, "/v1/files/{file}/content", "file_content", READS).metered(Metering::BatchResults),
    listed(OpenAi, "/v1/batches", "batches", ObjectKind::Batch),
    making(OpenAi, "/v1/batches", "batch_make", BATCH).metered(Metering::Batch),
    get(OpenAi, "/v1/batches/{batch}", "batch", BATCH),
    post(OpenAi, "/v1/batches/{batch}/cancel", "batch_cancel", BodyKind::OptionalJson, BATCH),
    post(OpenAi, "/v1/uploads", "upload_make", BodyKind::Json, UPLOAD),
    post(OpenAi, "/v1/uploads/{upload}/parts", "upload_part", BodyKind::Multipart, READS),
    post(OpenAi, "/v1/uploads/{upload}/complete", "upload_complete", BodyKind::Json, UPLOAD),
    post(OpenAi, "/v1/uploads/{upload}/cancel", "upload_cancel", BodyKind::OptionalJson, READS),
    making(OpenAi, "/v1/responses/input_tokens", "input_tokens", READS),
    get(OpenAi, "/v1/responses/{response}", "response", RESPONSE).metered(Metering::StoredResponse),
    delete(OpenAi, "/v1/responses/{response}", "response_delete", DELETES),
    post(
        OpenAi,
        "/v1/responses/{response}/cancel",
        "response_cancel",
        BodyKind::OptionalJson,
        RESPONSE,
    )
    .metered(Metering::StoredResponse),
    get(OpenAi, "/v1/responses/{response}/input_items", "input_items", ITEMS),
    post(OpenAi, "/v1/conversations", "conversation_make", BodyKind::OptionalJson, CONVERSATION),
    get(OpenAi, "/v1/conversations/{conversation}", "conversation", READS),
    post(OpenAi, "/v1/conversations/{conversation}", "conversation_change", BodyKind::Json, READS),
    delete(OpenAi, "/v1/conversations/{conversation}", "conversation_delete", DELETES),
    get(OpenAi, "/v1/conversations/{conversation}/items", "items", ITEMS),
    post(OpenAi, "/v1/conversations/{conversation}/items", "items_make", BodyKind::Json, ITEMS),
    get(OpenAi, "/v1/conversations/{conversation}/items/{member}", "item", READS),
    delete(OpenAi, "/v1/conversations/{conversation}/items/{member}", "item_delete", READS),
    listed(OpenAi, "/v1/containers", "containers", ObjectKind::Container),
    post(OpenAi, "/v1/containers", "container_make", BodyKind::Json, CONTAINER)
        .metered(Metering::Container),
    get(OpenAi, "/v1/containers/{container}", "container", READS),
    delete(OpenAi, "/v1/containers/{container}", "container_delete", DELETES),
    get(OpenAi, "/v1/containers/{container}/files", "container_files", CONTAINER_FILES),
    post(
        OpenAi,
        "/v1/containers/{container}/files",
        "container_file_make",
        BodyKind::Multipart,
        CONTAINER_FILES,
    ),
    get(OpenAi, "/v1/containers/{container}/files/{member}", "container_file", READS),
    delete(OpenAi, "/v1/containers/{container}/files/{member}", "container_file_delete", READS),
    get(
        OpenAi,
        "/v1/containers/{container}/files/{member}/content",
        "container_file_content",
        READS,
    ),
    // Azure, v1
    making(Azure, "/openai/v1/chat/completions", "chat", CHAT).metered(Metering::Chat),
    making(Azure, "/openai/v1/responses", "responses", RESPONSE).metered(Metering::Responses),
    making(Azure, "/openai/v1/responses/compact", "responses_compact", RESPONSE)
        .metered(Metering::Responses),
    json(Azure, "/openai/v1/embeddings", "embeddings").metered(Metering::Embeddings),
    json(Azure, "/openai/v1/images/generations", "images_generate").metered(Metering::Images),
    form(Azure, "/openai/v1/images/edits", "images_edit").metered(Metering::Images),
    form(Azure, "/openai/v1/images/variations", "images_vary").metered(Metering::Images),
    form(Azure, "/openai/v1/audio/transcriptions", "transcribe").metered(Metering::Transcription),
    form(Azure, "/openai/v1/audio/translations", "translate").metered(Metering::Transcription),
    json(Azure, "/openai/v1/audio/speech", "speech").metered(Metering::Speech),
    by_hub(Azure, "/openai/v1/models", "models", ModelSource::None),
    by_hub(Azure, "/openai/v1/models/{model}", "model", ModelSource::Path),
    // Azure, v1: realtime, and what lives there
    websocket(Azure, "/openai/v1/realtime", "realtime").metered(Metering::Realtime),
    listed(Azure, "/openai/v1/files", "files", ObjectKind::File),
    post(Azure, "/openai/v1/files", "file_make", BodyKind::Multipart, FILE),
    get(Azure, "/openai/v1/files/{file}", "file", READS),
    delete(Azure, "/openai/v1/files/{file}", "file_delete", DELETES),
    get(Azure, "/openai/v1/files/{file}/content", "file_content", READS),
    post(Azure, "/openai/v1/uploads", "upload_make", BodyKind::Json, UPLOAD),
    post(Azure, "/openai/v1/uploads/{upload}/parts", "upload_part", BodyKind::Multipart, READS),
    post(Azure, "/openai/v1/uploads/{upload}/complete", "upload_complete", BodyKind::Json, UPLOAD),
    post(
        Azure,
        "/openai/v1/uploads/{upload}/cancel",
        "upload_cancel",
        BodyKind::OptionalJson,
        READS,
    ),
    making(Azure, "/openai/v1/responses/input_tokens", "input_tokens", READS),
    get(Azure, "/openai/v1/responses/{response}", "response", RESPONSE)
        .metered(Metering::StoredResponse),
    delete(Azure, "/openai/v1/responses/{response}", "response_delete", DELETES),
    post(
        Azure,
        "/openai/v1/responses/{response}/cancel",
        "response_cancel",
        BodyKind::OptionalJson,
        RESPONSE,
    )
    .metered(Metering::StoredResponse),
    get(Azure, "/openai/v1/responses/{response}/input_items", "input_items", ITEMS),
    post(
        Azure,
        "/openai/v1/conversations",
        "conversation_make",
        BodyKind::OptionalJson,
        CONVERSATION,
    ),
    get(Azure, "/openai/v1/conversations/{conversation}", "conversation", READS),
    post(
        Azure,
        "/openai/v1/conversations/{conversation}",
        "conversation_change",
        BodyKind::Json,
        READS,
    ),
    delete(Azure, "/openai/v1/conversations/{conversation}", "conversation_delete", DELETES),
    get(Azure, "/openai/v1/conversations/{conversation}/items", "items", ITEMS),
    post(
        Azure,
        "/openai/v1/conversations/{conversation}/items",
        "items_make",
        BodyKind::Json,
        ITEMS,
    ),
    get(Azure, "/openai/v1/conversations/{conversation}/items/{member}", "item", READS),
    delete(Azure, "/openai/v1/conversations/{conversation}/items/{member}", "item_delete", READS),
    listed(Azure, "/openai/v1/containers", "containers", ObjectKind::Container),
    post(Azure, "/openai/v1/containers", "container_make", BodyKind::Json, CONTAINER)
        .metered(Metering::Container),
    get(Azure, "/openai/v1/containers/{container}", "container", READS),
    delete(Azure, "/openai/v1/containers/{container}", "container_delete", DELETES),
    get(Azure, "/openai/v1/containers/{container}/files", "container_files", CONTAINER_FILES),
    post(
        Azure,
        "/openai/v1/containers/{container}/files",
        "container_file_make",
        BodyKind::Multipart,
        CONTAINER_FILES,
    ),
    get(Azure, "/openai/v1/containers/{container}/files/{member}", "container_file", READS),
    delete(
        Azure,
        "/openai/v1/containers/{container}/files/{member}",
        "container_file_delete",
        READS,
    ),
    get(
        Azure,
        "/openai/v1/containers/{container}/files/{member}/content",
        "container_file_content",
        READS,
    ),
    // Azure, dated
    Route {
        objects: CHAT,
        provider: Azure,
        method: Method::POST,
        pattern: "/openai/deployments/{deployment}/chat/completions",
        name: "chat",
        model: ModelSource::Deployment,
        kind: RouteKind::Relay,
        body: BodyKind::Json,
        metering: Metering::Chat,
    },
    dated("/openai/deployments/{deployment}/embeddings", "embeddings", BodyKind::Json)
        .metered(Metering::Embeddings),
    dated("/openai/deployments/{deployment}/images/generations", "images_generate", BodyKind::Json)
        .metered(Metering::Images),
    dated("/openai/deployments/{deployment}/images/edits", "images_edit", BodyKind::Multipart)
        .metered(Metering::Images),
    dated("/openai/deployments/{deployment}/images/variations", "images_vary", BodyKind::Multipart)
        .metered(Metering::Images),
    dated(
        "/openai/deployments/{deployment}/audio/transcriptions",
        "transcribe",
        BodyKind::Multipart,
    )
    .metered(Metering::Transcription),
    dated("/openai/deployments/{deployment}/audio/translations", "translate", BodyKind::Multipart)
        .metered(Metering::Transcription),
    dated("/openai/deployments/{deployment}/audio/speech", "speech", BodyKind::Json)
        .metered(Metering::Speech),
    making(Azure, "/openai/responses", "responses", RESPONSE).metered(Metering::Responses),
    making(Azure, "/openai/responses/compact", "responses_compact", RESPONSE)
        .metered(Metering::Responses),
    websocket(Azure, "/openai/realtime", "realtime").metered(Metering::Realtime),
    listed(Azure, "/openai/files", "files", ObjectKind::File),
    post(Azure, "/openai/files", "file_make", BodyKind::Multipart, FILE),
    get(Azure, "/openai/files/{file}", "file", READS),
    delete(Azure, "/openai/files/{file}", "file_delete", DELETES),
    get(Azure, "/openai/files/{file}/content", "file_content", READS),
    making(Azure, "/openai/responses/input_tokens", "input_tokens", READS),
    get(Azure, "/openai/responses/{response}", "response", RESPONSE)
        .metered(Metering::StoredResponse),
    delete(Azure, "/openai/responses/{response}", "response_delete", DELETES),
    post(
        Azure,
        "/openai/responses/{response}/cancel",
        "response_cancel",
        BodyKind::OptionalJson,
        RESPONSE,
    )
    .metered(Metering::StoredResponse),
    get(Azure, "/openai/responses/{response}/input_items", "input_items", ITEMS),
    by_hub(Azure, "/openai/models", "models", ModelSource::None),
    by_hub(Azure, "/openai/models/{model}", "model", ModelSource::Path),
    // Anthropic
    making(Anthropic, "/v1/messages", "messages", MESSAGES).metered(Metering::Messages),
    json(Anthropic, "/v1/messages/count_tokens", "count_tokens"),
    listed(Anthropic, "/v1/files", "files", ObjectKind::File),
    post(Anthropic, "/v1/files", "file_make", BodyKind::Multipart, FILE),
    get(Anthropic, "/v1/files/{file}", "file", READS),
    delete(Anthropic, "/v1/files/{file}", "file_delete", DELETES),
    get(Anthropic, "/v1/files/{file}/content", "file_content", READS),
    listed(Anthropic, "/v1/messages/batches", "batches", ObjectKind::Batch),
    making(Anthropic, "/v1/messages/batches", "batch_make", BATCH)
        .holding(BodyKind::Requests)
        .metered(Metering::Batch),
    get(Anthropic, "/v1/messages/batches/{batch}", "batch", READS),
    delete(Anthropic, "/v1/messages/batches/{batch}", "batch_delete", DELETES),
    post(
        Anthropic,
        "/v1/messages/batches/{batch}/cancel",
        "batch_cancel",
        BodyKind::OptionalJson,
        READS,
    ),
    get(Anthropic, "/v1/messages/batches/{batch}/results", "batch_results", READS)
        .metered(Metering::BatchResults),
    by_hub(Anthropic, "/v1/models", "models", ModelSource::None),
    by_hub(Anthropic, "/v1/models/{model}", "model", ModelSource::Path),
    // DeepSeek: the OpenAI dialect at `/` and `/v1`, prefix and fill-in-the-middle under `/beta`
    json(DeepSeek, "/chat/completions", "chat").metered(Metering::Chat),
    json(DeepSeek, "/v1/chat/completions", "chat").metered(Metering::Chat),
    json(DeepSeek, "/beta/chat/completions", "chat").metered(Metering::Chat),
    json(DeepSeek, "/beta/completions", "completions").metered(Metering::Chat),
    json(DeepSeek, "/responses", "responses").metered(Metering::Responses),
    json(DeepSeek, "/v1/responses", "responses").metered(Metering::Responses),
    json(DeepSeek, "/anthropic/v1/messages", "messages").metered(Metering::Messages),
    by_hub(DeepSeek, "/models", "models", ModelSource::None),
    by_hub(DeepSeek, "/v1/models", "models", ModelSource::None),
    by_hub(DeepSeek, "/models/{model}", "model", ModelSource::Path),
    by_hub(DeepSeek, "/v1/models/{model}", "model", ModelSource::Path),
];
