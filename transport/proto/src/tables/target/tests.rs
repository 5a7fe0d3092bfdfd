use super::*;

#[test]
fn ordinary_targets_pass_verbatim() {
    for text in [
        "/",
        "/v1/chat/completions",
        "/openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21",
        "/v1/messages?beta=true",
        "/v1/models/ft:gpt-4o:acme::9x",
        "/v1/models/claude%3A1",
        "/v1/x?include[]=a&include%5B%5D=b&limit=20&after=%2F%2e%00",
        "/v1/x?",
        "/v1/x?q=a?b/c",
        "/v1/.well/..hidden/a..b",
        "/v1/models/",
    ] {
        let target = Target::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(target.as_str(), text);
        let rebuilt = target
            .query()
            .map_or_else(|| target.path().to_owned(), |query| format!("{}?{query}", target.path()));
        assert_eq!(rebuilt, text);
    }
}

#[test]
fn each_trick_is_refused_by_name() {
    for (text, wanted) in [
        ("", TargetRefused::NotOriginForm),
        ("*", TargetRefused::NotOriginForm),
        ("v1/x", TargetRefused::NotOriginForm),
        ("http://evil.com/", TargetRefused::NotOriginForm),
        ("?x", TargetRefused::NotOriginForm),
        ("//evil.com/", TargetRefused::EmptySegment),
        ("/v1//x", TargetRefused::EmptySegment),
        ("/v1/x//", TargetRefused::EmptySegment),
        ("/v1/../x", TargetRefused::DotSegment),
        ("/v1/./x", TargetRefused::DotSegment),
        ("/..", TargetRefused::DotSegment),
        ("/v1/..;/x", TargetRefused::DotSegment),
        ("/v1/.;a=b/x", TargetRefused::DotSegment),
        ("/v1/..?x", TargetRefused::DotSegment),
        ("/v1\\x", TargetRefused::Backslash),
        ("/v1/x#y", TargetRefused::Fragment),
        ("/v1/x?a#y", TargetRefused::Fragment),
        ("/v1/x y", TargetRefused::ForbiddenCharacter),
        ("/v1/x\ty", TargetRefused::ForbiddenCharacter),
        ("/v1/x\r\ny", TargetRefused::ForbiddenCharacter),
        ("/v1/x\0", TargetRefused::ForbiddenCharacter),
        ("/v1/é", TargetRefused::ForbiddenCharacter),
        ("/v1/x?é", TargetRefused::ForbiddenCharacter),
        ("/v1/x\u{7f}", TargetRefused::ForbiddenCharacter),
        ("/v1/%2fx", TargetRefused::DeceptiveEncoding),
        ("/v1/%2Fx", TargetRefused::DeceptiveEncoding),
        ("/v1/%2e%2e/x", TargetRefused::DeceptiveEncoding),
        ("/v1/%2E./x", TargetRefused::DeceptiveEncoding),
        ("/v1/%5cx", TargetRefused::DeceptiveEncoding),
        ("/v1/x%00", TargetRefused::DeceptiveEncoding),
        ("/v1/x%0a", TargetRefused::DeceptiveEncoding),
        ("/v1/%66iles", TargetRefused::DeceptiveEncoding),
        ("/v1/%252e%252e/x", TargetRefused::DeceptiveEncoding),
        ("/v1/x%", TargetRefused::BrokenEncoding),
        ("/v1/x%2", TargetRefused::BrokenEncoding),
        ("/v1/x%zz", TargetRefused::BrokenEncoding),
        ("/v1/x?a=%zz", TargetRefused::BrokenEncoding),
    ] {
        assert_eq!(Target::parse(text), Err(wanted), "{text:?}");
    }
    let long = format!("/{}", "a".repeat(MAX_TARGET_BYTES));
    assert_eq!(Target::parse(&long), Err(TargetRefused::TooLong));
    assert!(Target::parse(&long[..MAX_TARGET_BYTES]).is_ok());
}

#[test]
fn a_key_in_the_query_is_its_own_refusal_however_it_is_spelt() {
    for query in [
        "api-key=x",
        "API-Key=x",
        "a=1&api_key=x",
        "key=x",
        "KEY",
        "access_token=x",
        "api%2Dkey=x",
        "%61pi-key=x",
        "api%252dkey=x",
        "x=1;key=2",
        "key[]=x",
        "key%5B%5D=x",
        "x?key=1",
        "+key=x",
        "%20key=x",
        "apikey=",
        "subscription-key=x",
        "k%00ey=1",
    ] {
        let text = format!("/v1/x?{query}");
        assert_eq!(Target::parse(&text), Err(TargetRefused::KeyInQuery), "{text}");
    }
    for query in ["api-version=1", "monkey=1", "keys=1", "q=key", "q=api-key", "tokens=1"] {
        assert!(Target::parse(&format!("/v1/x?{query}")).is_ok(), "{query}");
    }
}

#[test]
fn a_query_value_is_found_by_its_plain_name() {
    let target = Target::parse("/x?api-version=2024-10-21&model&a=b=c").expect("a target");
    assert_eq!(target.query_value("api-version"), Some("2024-10-21"));
    assert_eq!(target.query_value("model"), Some(""));
    assert_eq!(target.query_value("a"), Some("b=c"));
    assert_eq!(target.query_value("b"), None);
}

#[test]
fn debug_and_display_keep_the_query_to_themselves() {
    let target = Target::parse("/x?q=private").expect("a target");
    assert!(!format!("{target:?} {target}").contains("private"));
}

proptest::proptest! {
    #[test]
    fn what_is_accepted_is_read_alike_by_the_http_library(text in "/[ -~]{0,60}|/(v1|\\.|%[0-9a-f]{2}|[a-z?&=/;]){0,12}") {
        if let Ok(target) = Target::parse(&text) {
            let uri: http::uri::PathAndQuery = text.parse().expect("a path and query");
            proptest::prop_assert_eq!(uri.as_str(), target.as_str());
            proptest::prop_assert_eq!(uri.path(), target.path());
            proptest::prop_assert_eq!(uri.query(), target.query());
        }
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in ".{0,200}") {
        drop(Target::parse(&text));
        drop(Target::parse(&format!("/{text}")));
    }
}
