//! Every prefix and header that says whose API is meant.

use super::*;
use http::HeaderValue;

fn surface(method: &Method, path: &str, headers: &[(&'static str, &'static str)]) -> String {
    let mut request = http::Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    meant(request)
}

fn meant(request: http::Request<()>) -> String {
    match of(&request.into_parts().0) {
        Ok(Surface::Relay { asks, .. }) => asks
            .iter()
            .map(|ask| format!("{} {}", ask.provider, ask.target.as_str()))
            .collect::<Vec<_>>()
            .join(" | "),
        Ok(Surface::WebSocket { asks, .. }) => {
            let asks = asks.iter().map(|ask| format!("{} {}", ask.provider, ask.target.as_str()));
            format!("websocket {}", asks.collect::<Vec<_>>().join(" | "))
        }
        Ok(Surface::UpgradeRequired { refusal, dialect }) => {
            format!("{} {} {dialect:?}", refusal.status().as_u16(), refusal.cause())
        }
        Ok(Surface::Objects { listing, target }) => {
            format!("{} {}s {} {:?}", listing.provider, listing.kind, target, listing.dialect)
        }
        Ok(Surface::Models { providers, only, dialect }) => {
            let names: Vec<_> = providers.into_iter().map(Provider::name).collect();
            format!("models {} {only:?} {dialect:?}", names.join("+"))
        }
        Err(Unanswered { refusal, dialect, .. }) => {
            format!("{} {} {dialect:?}", refusal.status().as_u16(), refusal.cause())
        }
    }
}

#[test]
fn http_1_0_and_a_body_of_two_lengths_are_refused() {
    let mut old = http::Request::post("/v1/chat/completions").body(()).unwrap();
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(meant(old), "505 http_version OpenAi");
    let both = [("content-length", "5"), ("transfer-encoding", "chunked")];
    assert_eq!(surface(&Method::POST, "/v1/messages", &both), "400 body_length Anthropic");
}

#[test]
fn every_users_path_means_the_api_that_the_table_says() {
    let post =
        |path, headers: &[(&'static str, &'static str)]| surface(&Method::POST, path, headers);
    for (path, headers, meant) in [
        (
            "/v1/chat/completions",
            &[][..],
            "openai /v1/chat/completions | deepseek /v1/chat/completions",
        ),
        ("/v1/chat/completions", &[("weft-provider", "deepseek")], "deepseek /v1/chat/completions"),
        ("/v1/messages", &[], "anthropic /v1/messages"),
        ("/v1/messages/count_tokens", &[], "anthropic /v1/messages/count_tokens"),
        ("/v1/messages?beta=true", &[], "anthropic /v1/messages?beta=true"),
        ("/openai/v1/embeddings", &[], "openai /v1/embeddings"),
        ("/openai/v1/chat/completions", &[("api-key", "x")], "azure /openai/v1/chat/completions"),
        (
            "/openai/deployments/d1/chat/completions?api-version=2024-10-21",
            &[],
            "azure /openai/deployments/d1/chat/completions?api-version=2024-10-21",
        ),
        ("/azure/openai/v1/chat/completions", &[], "azure /openai/v1/chat/completions"),
        ("/anthropic/v1/messages", &[], "anthropic /v1/messages"),
        ("/deepseek/anthropic/v1/messages", &[], "deepseek /anthropic/v1/messages"),
        ("/deepseek/chat/completions", &[], "deepseek /chat/completions"),
        ("/chat/completions", &[], "deepseek /chat/completions"),
    ] {
        assert_eq!(post(path, headers), meant, "{path}");
    }
}

#[test]
fn the_list_of_models_has_the_shape_of_its_caller() {
    let get = |path, headers: &[(&'static str, &'static str)]| surface(&Method::GET, path, headers);
    assert_eq!(get("/v1/models", &[]), "models openai+deepseek None OpenAi");
    assert_eq!(
        get("/v1/models", &[("x-api-key", "k"), ("anthropic-version", "2023-06-01")]),
        "models anthropic None Anthropic"
    );
    assert_eq!(get("/v1/models/gpt-5.4", &[]), "models openai+deepseek Some(\"gpt-5.4\") OpenAi");
    assert_eq!(get("/anthropic/v1/models", &[]), "models anthropic None Anthropic");
}

#[test]
fn a_list_of_objects_is_the_callers_own_at_the_provider_that_is_meant() {
    let anthropic = [("x-api-key", "k"), ("anthropic-version", "2023-06-01")];
    for (path, headers, meant) in [
        ("/v1/files?limit=2", &[][..], "openai files /v1/files OpenAi"),
        ("/v1/files?beta=true", &anthropic, "anthropic files /v1/files Anthropic"),
        ("/anthropic/v1/files", &[], "anthropic files /v1/files Anthropic"),
        ("/azure/openai/v1/files", &[], "azure files /openai/v1/files OpenAi"),
        ("/openai/v1/containers", &[], "openai containers /v1/containers OpenAi"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(surface(&method, path, headers), meant, "{method} {path}");
        }
    }
    let file = |method, headers| surface(method, "/v1/files/file_1/content", headers);
    assert_eq!(file(&Method::GET, &anthropic), "anthropic /v1/files/file_1/content");
    assert_eq!(file(&Method::GET, &[]), "openai /v1/files/file_1/content");
    assert_eq!(surface(&Method::POST, "/v1/filesystem", &anthropic), "404 unknown_path OpenAi");
}

#[test]
fn what_no_path_takes_is_refused_in_the_callers_dialect() {
    let post = |path| surface(&Method::POST, path, &[]);
    assert_eq!(post("/v1/chat/completions?api_key=k"), "400 key_in_query OpenAi");
    assert_eq!(post("/v1/messages?key=k"), "400 key_in_query Anthropic");
    assert_eq!(post("/v1/../v1/messages"), "400 request_target OpenAi");
    assert_eq!(post("/v1//chat/completions"), "400 request_target OpenAi");
    assert_eq!(post("/v1/nothing"), "404 unknown_path OpenAi");
    assert_eq!(post("/v1/organization/users"), "403 forbidden_path OpenAi");
    assert_eq!(surface(&Method::GET, "/v1/responses", &[]), "426 websocket OpenAi");
    assert_eq!(surface(&Method::GET, "/v1/embeddings", &[]), "405 method_not_allowed OpenAi");
    assert_eq!(
        surface(&Method::POST, "/v1/chat/completions", &[("weft-provider", "nobody")]),
        "400 provider OpenAi"
    );
}
