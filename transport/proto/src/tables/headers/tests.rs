use super::limits::{HeadersTooLarge, MAX_FIELDS, MAX_TOTAL_BYTES, MAX_VALUE_BYTES, check};
use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_str(value).expect("a value"),
        );
    }
    map
}

#[test]
fn every_row_of_the_table_decides_its_own_headers() {
    for row in ROWS {
        let name = row.name.replace('*', "example");
        let deciding = ROWS.iter().find(|other| other.covers(&name)).expect("some row");
        assert_eq!(deciding.name, row.name, "{name} is decided by an earlier row");
        assert_eq!(name, name.to_ascii_lowercase());
        let sent = map(&[(&name, "value")]);
        for (fate, got) in
            [(row.request, request_headers(&sent)), (row.response, response_headers(&sent))]
        {
            match fate {
                Fate::Pass => assert_eq!(got, sent, "{name} was lost"),
                Fate::Drop | Fate::TrailersOnly | Fate::UpgradeOnly => {
                    assert!(got.is_empty(), "{name} passed");
                }
            }
        }
        for (fate, got) in [
            (row.request, upgrade_request_headers(&sent)),
            (row.response, upgrade_response_headers(&sent)),
        ] {
            let passes = matches!(fate, Fate::Pass | Fate::UpgradeOnly);
            assert_eq!(got == sent, passes, "{name} with an upgrade");
        }
    }
}

#[test]
fn an_unknown_header_passes_both_ways() {
    let sent = map(&[("x-new-feature", "on"), ("x-ms-region", "eu")]);
    assert_eq!(request_headers(&sent), sent);
    assert_eq!(response_headers(&sent), sent);
}

#[test]
fn repeated_values_keep_their_order() {
    let sent = map(&[
        ("anthropic-beta", "b"),
        ("accept", "text/event-stream"),
        ("anthropic-beta", "a"),
        ("anthropic-beta", "c"),
    ]);
    let got = request_headers(&sent);
    let values: Vec<_> = got.get_all("anthropic-beta").iter().collect();
    assert_eq!(values, ["b", "a", "c"]);
}

#[test]
fn what_connection_names_ends_here_and_so_does_connection() {
    let sent = map(&[
        ("connection", "close, X-Hop ,,  anthropic-beta"),
        ("Connection", "x-second"),
        ("x-hop", "1"),
        ("x-second", "2"),
        ("anthropic-beta", "b"),
        ("x-stays", "3"),
    ]);
    for got in [request_headers(&sent), response_headers(&sent)] {
        assert_eq!(got, map(&[("x-stays", "3")]));
    }
}

#[test]
fn te_says_trailers_or_nothing() {
    let trailers = map(&[("te", "trailers")]);
    let sent = map(&[("te", "gzip;q=0.5, Trailers"), ("connection", "te")]);
    assert_eq!(request_headers(&sent), trailers);
    assert_eq!(request_headers(&map(&[("te", "trailers"), ("te", "trailers")])), trailers);
    assert!(request_headers(&map(&[("te", "gzip")])).is_empty());
    assert!(response_headers(&trailers).is_empty());
}

#[test]
fn a_handshake_goes_through_but_for_what_each_hop_makes_anew_and_for_keys() {
    let sent = map(&[
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("sec-websocket-protocol", "realtime, openai-insecure-api-key.wk-1"),
        ("sec-websocket-protocol", "openai-insecure-api-key.wk-1"),
        ("sec-fetch-mode", "websocket"),
        ("openai-beta", "realtime=v1"),
    ]);
    let kept = map(&[
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("sec-websocket-protocol", "realtime"),
        ("openai-beta", "realtime=v1"),
    ]);
    assert_eq!(upgrade_request_headers(&sent), kept);
    // Nor does another exchange, or a hub that a user talked into it, send one on.
    assert_eq!(request_headers(&sent), map(&[("openai-beta", "realtime=v1")]));
    let answered = map(&[
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "realtime"),
        ("connection", "upgrade"),
        ("set-cookie", "a=b"),
        ("x-request-id", "req_1"),
    ]);
    let kept = map(&[
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "realtime"),
        ("x-request-id", "req_1"),
    ]);
    assert_eq!(upgrade_response_headers(&answered), kept);
}

#[test]
fn the_users_credential_network_and_browser_stay_behind() {
    let sent = map(&[
        ("authorization", "Bearer wk-secret"),
        ("x-api-key", "wk-secret"),
        ("api-key", "wk-secret"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "192.0.2.1"),
        ("cf-connecting-ip", "192.0.2.1"),
        ("sec-fetch-mode", "cors"),
        ("sec-websocket-key", "x"),
        ("via", "1.1 mine"),
        ("weft-model", "gpt-6"),
        ("host", "hub:8443"),
        ("expect", "100-continue"),
        ("openai-organization", "org"),
        ("user-agent", "OpenAI/Python"),
        ("x-stainless-lang", "python"),
        ("content-length", "3"),
    ]);
    let kept = map(&[
        ("user-agent", "OpenAI/Python"),
        ("x-stainless-lang", "python"),
        ("content-length", "3"),
    ]);
    assert_eq!(request_headers(&sent), kept);
}

#[test]
fn the_owner_and_the_transport_stay_behind_on_the_way_back() {
    let sent = map(&[
        ("set-cookie", "__cf_bm=1"),
        ("alt-svc", "h3=\":443\""),
        ("anthropic-organization-id", "o"),
        ("openai-organization", "o"),
        ("openai-project", "p"),
        ("server", "cloudflare"),
        ("weft-request-id", "forged"),
        ("transfer-encoding", "chunked"),
        ("request-id", "req_1"),
        ("x-ratelimit-remaining-tokens", "9"),
        ("retry-after-ms", "5"),
        ("content-encoding", "gzip"),
    ]);
    let kept = map(&[
        ("request-id", "req_1"),
        ("x-ratelimit-remaining-tokens", "9"),
        ("retry-after-ms", "5"),
        ("content-encoding", "gzip"),
    ]);
    assert_eq!(response_headers(&sent), kept);
}

#[test]
fn each_provider_gets_its_key_where_it_expects_it() {
    let place = |provider| {
        let Credential { header, prefix } = credential(provider);
        format!("{header}: {prefix}K")
    };
    assert_eq!(place(Provider::OpenAi), "authorization: Bearer K");
    assert_eq!(place(Provider::DeepSeek), "authorization: Bearer K");
    assert_eq!(place(Provider::Azure), "api-key: K");
    assert_eq!(place(Provider::Anthropic), "x-api-key: K");
    for provider in Provider::ALL {
        let sent = map(&[(credential(provider).header.as_str(), "theirs")]);
        assert!(request_headers(&sent).is_empty(), "a user's own credential must not get through");
    }
    assert!(HeaderValue::from_str(VIA).is_ok());
}

#[test]
fn each_limit_is_exact() {
    let many = |count: usize| {
        let mut map = HeaderMap::new();
        for _ in 0..count {
            map.append("a", HeaderValue::from_static("b"));
        }
        map
    };
    assert_eq!(check(&many(MAX_FIELDS)), Ok(()));
    assert_eq!(check(&many(MAX_FIELDS + 1)), Err(HeadersTooLarge::Fields));
    let big = "v".repeat(MAX_VALUE_BYTES);
    assert_eq!(check(&map(&[("a", &big)])), Ok(()));
    assert_eq!(check(&map(&[("a", &format!("{big}v"))])), Err(HeadersTooLarge::Value));
    let name = "n".repeat(257);
    assert_eq!(check(&map(&[(&name, "v")])), Err(HeadersTooLarge::Name));
    let third = "v".repeat(MAX_TOTAL_BYTES / 3 - 5);
    let full = [("a", third.as_str()), ("a", &third), ("a", &third)];
    assert_eq!(check(&map(&full)), Ok(()));
    assert_eq!(check(&map(&[full[0], full[1], full[2], ("b", "")])), Err(HeadersTooLarge::Total));
}

proptest::proptest! {
    #[test]
    fn filtering_twice_is_filtering_once(
        fields in proptest::collection::vec(("[a-zA-Z][a-zA-Z0-9-]{0,12}|connection|te|cookie|weft-x", "[ -~]{0,20}"), 0..20)
    ) {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let sent = map(&fields);
        let once = request_headers(&sent);
        proptest::prop_assert_eq!(request_headers(&once), once);
        let once = response_headers(&sent);
        proptest::prop_assert_eq!(response_headers(&once), once);
    }
}
