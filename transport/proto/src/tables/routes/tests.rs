use std::collections::BTreeSet;

use super::*;
use crate::tables::target::Target;

/// A path that a pattern's own row should match.
fn example(pattern: &str) -> String {
    let stem = pattern.strip_suffix("/**").unwrap_or(pattern);
    let segments = stem
        .split('/')
        .map(|segment| if segment.starts_with('{') { "gpt-4.1:x_Y" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_row_is_found_by_its_own_example_and_by_no_other_method() {
    for row in ROUTES {
        let path = example(row.pattern);
        assert!(Target::parse(&path).is_ok(), "{path} is no target");
        let found = find(row.provider, &row.method, &path).expect("its own row");
        assert!(std::ptr::eq(found.route, row), "{path} was taken by {}", found.route.pattern);
        for other in [Method::PUT, Method::PATCH, Method::OPTIONS, Method::CONNECT, Method::TRACE] {
            assert!(find(row.provider, &other, &path).is_err(), "{other} {path} passed");
        }
    }
}

#[test]
fn every_row_that_costs_is_metered_and_every_other_is_free() {
    for row in ROUTES {
        let wanted = match row.name {
            "chat" | "completions" => Metering::Chat,
            "responses" | "responses_compact" => Metering::Responses,
            "response" | "response_cancel" => Metering::StoredResponse,
            "messages" => Metering::Messages,
            "embeddings" => Metering::Embeddings,
            "images_generate" | "images_edit" | "images_vary" => Metering::Images,
            "transcribe" | "translate" => Metering::Transcription,
            "speech" => Metering::Speech,
            "realtime" => Metering::Realtime,
            "container_make" => Metering::Container,
            "batch_make" => Metering::Batch,
            "batch_results" => Metering::BatchResults,
            // Where it is read without terms, it is as free as any other file.
            "file_content" if row.provider == Provider::OpenAi => Metering::BatchResults,
            _ => Metering::Free,
        };
        assert_eq!(row.metering, wanted, "{} {}", row.method, row.pattern);
        // Whatever asks a model for an answer costs, but for counting its tokens.
        let asks = row.model != ModelSource::NotNeeded
            && matches!(row.kind, RouteKind::Relay | RouteKind::WebSocket);
        let counts = ["input_tokens", "count_tokens"].contains(&row.name);
        assert!(!asks || counts || wanted != Metering::Free, "{} is free", row.pattern);
    }
}

#[test]
fn every_method_of_an_open_path_has_a_row_of_its_own() {
    for row in ROUTES {
        let path = example(row.pattern);
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let listed = ROUTES.iter().any(|other| {
                other.provider == row.provider
                    && other.method == method
                    && matched(other.pattern, &path).is_some()
            });
            assert_eq!(find(row.provider, &method, &path).is_ok(), listed, "{method} {path}");
        }
    }
}

#[test]
fn a_head_is_answered_where_a_get_is_and_never_upgrades() {
    for row in ROUTES {
        let path = example(row.pattern);
        let head = find(row.provider, &Method::HEAD, &path).map(|found| found.route);
        let get = find(row.provider, &Method::GET, &path).map(|found| found.route);
        match get {
            Ok(route) if route.kind != RouteKind::WebSocket => {
                assert!(head.is_ok_and(|head| std::ptr::eq(head, route)), "HEAD {path}");
            }
            Ok(_) | Err(_) => assert!(head.is_err(), "HEAD {path}"),
        }
    }
    let refused = find(Provider::OpenAi, &Method::PUT, "/v1/files/file-1").map(drop);
    let allow = vec![Method::GET, Method::HEAD, Method::DELETE];
    assert_eq!(refused, Err(RouteRefused::MethodNotAllowed { allow }));
}

#[test]
fn every_forbidden_row_refuses_with_its_reason() {
    for row in FORBIDDEN {
        let methods = if row.methods.is_empty() {
            &[Method::GET, Method::POST, Method::DELETE, Method::PATCH][..]
        } else {
            row.methods
        };
        let path = example(row.pattern);
        let deep = format!("{path}/a/b");
        let paths = if row.pattern.ends_with("/**") { vec![path, deep] } else { vec![path] };
        for (method, path) in methods.iter().flat_map(|m| paths.iter().map(move |p| (m, p))) {
            // The one row that goes before a forbidden one: the upgrade, among the paths beside it.
            let open = find(row.provider, method, path).ok();
            if open.is_some_and(|found| found.route.kind == RouteKind::WebSocket) {
                continue;
            }
            let refused = find(row.provider, method, path).expect_err("a forbidden path");
            assert!(matches!(refused, RouteRefused::Forbidden(_)), "{method} {path}: {refused}");
        }
    }
}

#[test]
fn no_two_rows_are_the_same() {
    let mut seen = BTreeSet::new();
    for row in ROUTES {
        assert!(seen.insert((row.provider, row.method.as_str(), row.pattern)), "{}", row.pattern);
    }
    let mut seen = BTreeSet::new();
    for row in FORBIDDEN {
        assert!(seen.insert((row.provider, row.pattern)), "{}", row.pattern);
    }
}

#[test]
fn a_row_that_reads_a_parameter_has_it() {
    for row in ROUTES {
        let found = find(row.provider, &row.method, &example(row.pattern)).expect("its own row");
        let in_path = matches!(row.model, ModelSource::Deployment | ModelSource::Path);
        assert_eq!(found.named_in_path().is_some(), in_path, "{}", row.pattern);
        let body = matches!(row.method, Method::POST);
        assert_eq!(row.body != BodyKind::None, body, "{} {}", row.method, row.pattern);
        let relayed = matches!(row.kind, RouteKind::Relay);
        assert!(relayed || row.method == Method::GET, "the hub would read a body: {}", row.pattern);
        let upgrade = row.kind == RouteKind::WebSocket;
        assert_eq!(row.model == ModelSource::Query, upgrade, "{}", row.pattern);
        let reads_model = matches!(row.model, ModelSource::JsonBody | ModelSource::Multipart);
        assert!(body || !reads_model, "{} has no body to name a model", row.pattern);
    }
}

#[test]
fn what_a_row_does_with_objects_fits_its_method_and_path() {
    for row in ROUTES {
        let found = find(row.provider, &row.method, &example(row.pattern)).expect("its own row");
        let named = found.objects().len();
        let kinds = ObjectKind::ALL
            .iter()
            .filter(|kind| row.pattern.split('/').any(|segment| segment == format!("{{{kind}}}")));
        assert_eq!(named, kinds.count(), "{}", row.pattern);
        match row.objects {
            ObjectUse::Deletes => {
                assert_eq!((row.method.as_str(), named), ("DELETE", 1), "{}", row.pattern);
                let last = row.pattern.rsplit('/').next().unwrap_or_default();
                assert!(last.starts_with('{'), "{} ends in what it deletes", row.pattern);
            }
            ObjectUse::Lists(_) => {
                assert_eq!((row.method.as_str(), named), ("GET", 0), "{}", row.pattern);
            }
            ObjectUse::Makes(_) | ObjectUse::Reads | ObjectUse::None => {}
        }
        let by_hub = row.kind == RouteKind::ListedByHub;
        assert_eq!(matches!(row.objects, ObjectUse::Lists(_)), by_hub, "{}", row.pattern);
        // A path that names no object and reads none could show everybody's.
        let open = row.kind == RouteKind::Relay && row.method == Method::GET;
        assert!(!open || named > 0, "{} would show what belongs to nobody", row.pattern);
        assert!(row.method != Method::DELETE || named > 0, "{}", row.pattern);
        if row.model == ModelSource::NotNeeded {
            assert_ne!(row.objects, ObjectUse::None, "{}", row.pattern);
        }
    }
}

#[test]
fn the_objects_of_a_path_are_told_by_its_parameters() {
    let found = |provider, method, path: &str| {
        let found = find(provider, &method, path).expect("a route");
        let objects = found.objects().into_iter();
        let objects = objects.map(|it| (it.kind.expect("a kind"), it.id.to_string()));
        (found.route.objects, objects.collect::<Vec<_>>())
    };
    let one = |kind, id: &str| vec![(kind, id.to_owned())];
    for (method, path, used, objects) in [
        (Method::POST, "/v1/files", ObjectUse::Makes(Tap::File), vec![]),
        (Method::GET, "/v1/files", ObjectUse::Lists(ObjectKind::File), vec![]),
        (Method::GET, "/v1/files/file-1", ObjectUse::Reads, one(ObjectKind::File, "file-1")),
        (
            Method::GET,
            "/v1/files/file-1/content",
            ObjectUse::Reads,
            one(ObjectKind::File, "file-1"),
        ),
        (Method::DELETE, "/v1/files/file-1", ObjectUse::Deletes, one(ObjectKind::File, "file-1")),
        (
            Method::POST,
            "/v1/uploads/upload_1/complete",
            ObjectUse::Makes(Tap::Upload),
            one(ObjectKind::Upload, "upload_1"),
        ),
        (Method::POST, "/v1/responses", ObjectUse::Makes(Tap::Response), vec![]),
        (
            Method::GET,
            "/v1/responses/resp_1/input_items",
            ObjectUse::Makes(Tap::Items),
            one(ObjectKind::Response, "resp_1"),
        ),
        (
            Method::DELETE,
            "/v1/conversations/conv_1/items/msg_1",
            ObjectUse::Reads,
            one(ObjectKind::Conversation, "conv_1"),
        ),
        (
            Method::GET,
            "/v1/containers/cntr_1/files/cfile_1/content",
            ObjectUse::Reads,
            one(ObjectKind::Container, "cntr_1"),
        ),
        (Method::GET, "/v1/containers", ObjectUse::Lists(ObjectKind::Container), vec![]),
    ] {
        let wanted = (used, objects);
        assert_eq!(found(Provider::OpenAi, method.clone(), path), wanted, "{method} {path}");
        let azure = format!("/openai{path}");
        assert_eq!(found(Provider::Azure, method.clone(), &azure), wanted, "{method} {azure}");
    }
    let messages = found(Provider::Anthropic, Method::POST, "/v1/messages");
    assert_eq!(messages, (ObjectUse::Makes(Tap::Messages), vec![]));
    let file = found(Provider::Anthropic, Method::DELETE, "/v1/files/file_011");
    assert_eq!(file, (ObjectUse::Deletes, one(ObjectKind::File, "file_011")));
    let dated = found(Provider::Azure, Method::GET, "/openai/responses/resp_1");
    assert_eq!(dated, (ObjectUse::Makes(Tap::Response), one(ObjectKind::Response, "resp_1")));
}

#[test]
fn realtime_names_its_model_in_the_query() {
    for (provider, path) in [
        (Provider::OpenAi, "/v1/realtime"),
        (Provider::Azure, "/openai/v1/realtime"),
        (Provider::Azure, "/openai/realtime"),
    ] {
        let found = find(provider, &Method::GET, path).expect("a route").route;
        assert_eq!((found.kind, found.model), (RouteKind::WebSocket, ModelSource::Query));
        assert!(find(provider, &Method::POST, path).is_err());
        let refused = find(provider, &Method::GET, &format!("{path}/sessions")).map(drop);
        assert_eq!(refused, Err(RouteRefused::Forbidden(Reason::PastTheMeter)));
    }
}

#[test]
fn what_no_row_names_is_refused() {
    for (provider, method, path) in [
        (Provider::OpenAi, Method::POST, "/v1/unheard_of"),
        (Provider::OpenAi, Method::POST, "/"),
        (Provider::OpenAi, Method::POST, "/v1"),
        (Provider::OpenAi, Method::POST, "/v1/messages"),
        (Provider::OpenAi, Method::POST, "/chat/completions"),
        (Provider::OpenAi, Method::POST, "/v1/chat/completions/"),
        (Provider::OpenAi, Method::POST, "/V1/chat/completions"),
        (Provider::OpenAi, Method::GET, "/v1/models/a/b"),
        (Provider::OpenAi, Method::GET, "/v1/models/"),
        (Provider::OpenAi, Method::GET, "/v1/models/a%3Ab"),
        (Provider::OpenAi, Method::GET, "/v1/models/a;b"),
        (Provider::Anthropic, Method::POST, "/v1/complete"),
        (Provider::Anthropic, Method::POST, "/v1/chat/completions"),
        (Provider::DeepSeek, Method::POST, "/anthropic/v1/complete"),
        (Provider::Azure, Method::POST, "/v1/chat/completions"),
        (Provider::OpenAi, Method::GET, "/v1/files/file-1/contents"),
        (Provider::OpenAi, Method::GET, "/v1/files/file-1/content/x"),
        (Provider::OpenAi, Method::GET, "/v1/uploads/upload_1/parts/part_1"),
        (Provider::OpenAi, Method::POST, "/v1/responses/resp_1/input_items/x"),
        (Provider::OpenAi, Method::GET, "/v1/responses/resp_1/output"),
        (Provider::OpenAi, Method::GET, "/v1/conversations/conv_1/items/msg_1/x"),
        (Provider::OpenAi, Method::GET, "/v1/containers/cntr_1/files/cfile_1/x"),
        (Provider::Azure, Method::GET, "/openai/files/import/x"),
        (Provider::Anthropic, Method::GET, "/v1/files/file_1/x"),
        (Provider::Anthropic, Method::GET, "/v1/responses/resp_1"),
    ] {
        let refused = find(provider, &method, path).expect_err("no such row");
        assert_eq!(refused, RouteRefused::Unknown { provider }, "{method} {path}");
    }
    let long = format!("/v1/models/{}", "m".repeat(MAX_PARAMETER_BYTES + 1));
    assert!(find(Provider::OpenAi, &Method::GET, &long).is_err());
}

#[test]
fn a_known_path_says_which_methods_it_takes() {
    assert_eq!(
        find(Provider::Anthropic, &Method::GET, "/v1/messages").map(drop),
        Err(RouteRefused::MethodNotAllowed { allow: vec![Method::POST] })
    );
}

#[test]
fn the_refusals_that_matter_most_are_told_apart() {
    for (provider, method, path, reason) in [
        (Provider::OpenAi, Method::GET, "/v1/vector_stores/vs_1/files", Reason::Objects),
        (Provider::OpenAi, Method::POST, "/v1/assistants", Reason::Objects),
        (Provider::OpenAi, Method::POST, "/v1/threads/thread_1/runs", Reason::Objects),
        (Provider::OpenAi, Method::GET, "/v1/videos/video_1", Reason::Objects),
        (Provider::OpenAi, Method::GET, "/v1/chat/completions", Reason::Objects),
        (Provider::OpenAi, Method::GET, "/v1/chat/completions/chatcmpl_1", Reason::Objects),
        (Provider::DeepSeek, Method::GET, "/responses/resp_1", Reason::Objects),
        (Provider::DeepSeek, Method::DELETE, "/v1/responses/resp_1", Reason::Objects),
        (Provider::Azure, Method::GET, "/openai/uploads/upload_1", Reason::Objects),
        (Provider::OpenAi, Method::GET, "/v1/responses", Reason::WebSocket),
        (Provider::OpenAi, Method::POST, "/v1/realtime/client_secrets", Reason::PastTheMeter),
        (Provider::OpenAi, Method::POST, "/v1/realtime/calls", Reason::PastTheMeter),
        (Provider::OpenAi, Method::GET, "/v1/organization/usage/costs", Reason::OwnerState),
        (Provider::Azure, Method::POST, "/openai/v1/batches", Reason::BilledLater),
        (Provider::DeepSeek, Method::GET, "/user/balance", Reason::OwnerState),
        (Provider::Azure, Method::GET, "/openai/deployments", Reason::OwnerState),
    ] {
        assert_eq!(
            find(provider, &method, path).map(drop),
            Err(RouteRefused::Forbidden(reason)),
            "{method} {path}"
        );
    }
}

#[test]
fn errors_speak_the_dialect_of_the_path() {
    assert_eq!(dialect(Provider::OpenAi, "/v1/messages"), Dialect::OpenAi);
    assert_eq!(dialect(Provider::Azure, "/openai/v1/responses"), Dialect::OpenAi);
    assert_eq!(dialect(Provider::Anthropic, "/anything"), Dialect::Anthropic);
    assert_eq!(dialect(Provider::DeepSeek, "/chat/completions"), Dialect::OpenAi);
    assert_eq!(dialect(Provider::DeepSeek, "/anthropic/v1/messages"), Dialect::Anthropic);
}
