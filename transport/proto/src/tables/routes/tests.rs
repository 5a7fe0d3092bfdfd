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
        let other = if row.method == Method::POST { Method::PUT } else { Method::POST };
        assert!(find(row.provider, &other, &path).is_err(), "{other} {path} passed");
    }
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
        assert_eq!(
            row.kind == RouteKind::Relay,
            row.body != BodyKind::None,
            "{} relays without a body, or the hub would read one",
            row.pattern
        );
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
        (Provider::OpenAi, Method::GET, "/v1/responses/resp_1", Reason::Objects),
        (Provider::OpenAi, Method::POST, "/v1/responses/resp_1/cancel", Reason::Objects),
        (Provider::OpenAi, Method::GET, "/v1/responses", Reason::WebSocket),
        (Provider::OpenAi, Method::POST, "/v1/realtime/client_secrets", Reason::PastTheMeter),
        (Provider::OpenAi, Method::POST, "/v1/realtime/calls", Reason::PastTheMeter),
        (Provider::OpenAi, Method::GET, "/v1/organization/usage/costs", Reason::OwnerState),
        (Provider::OpenAi, Method::POST, "/v1/batches", Reason::BilledLater),
        (Provider::Anthropic, Method::POST, "/v1/messages/batches", Reason::BilledLater),
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
