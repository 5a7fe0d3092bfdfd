use super::*;
use crate::objects::ObjectKind;
use crate::provider::Provider;
use crate::tables::routes::find;
use http::Method;

fn route(method: Method, path: &str) -> &'static Route {
    let provider = if path.starts_with("/openai/") { Provider::Azure } else { Provider::OpenAi };
    find(provider, &method, path).expect("a route").route
}

fn kind(content_type: Option<&str>, route: &Route) -> Result<&'static str, ScanError> {
    BodyScan::for_route(content_type, route).map(|scan| match scan {
        BodyScan::Json(_) => "json",
        BodyScan::Multipart(_) => "form",
        BodyScan::Batch(_) => "batch",
        BodyScan::Empty => "empty",
    })
}

#[test]
fn the_scan_fits_route_and_content_type() {
    let form = "multipart/form-data; boundary=b";
    let json = route(Method::POST, "/v1/responses");
    let optional = route(Method::POST, "/v1/responses/resp_1/cancel");
    let multipart = route(Method::POST, "/v1/images/edits");
    let files = route(Method::POST, "/v1/containers/cntr_1/files");
    let dated = route(Method::POST, "/openai/deployments/d/images/edits");
    let dated_json = route(Method::POST, "/openai/deployments/d/chat/completions");
    let nothing = route(Method::GET, "/v1/files/file-1");
    let refused = Err(ScanError::ContentType);
    for (content_type, route, wanted) in [
        (Some("application/json"), json, Ok("json")),
        (Some("Application/JSON ; charset=\"UTF-8\""), json, Ok("json")),
        (Some("application/vnd.x+json"), json, Ok("json")),
        (None, json, Ok("json")),
        (Some("text/plain"), json, refused),
        (Some("application/json; charset=utf-16"), json, refused),
        (Some("application/json; charset*=utf-7''x"), json, refused),
        (Some(form), json, refused),
        (None, optional, Ok("json")),
        (Some("application/json"), optional, Ok("json")),
        (Some(form), optional, refused),
        (Some(form), multipart, Ok("form")),
        (Some("application/json"), multipart, Ok("json")),
        (None, multipart, refused),
        (Some("multipart/form-data"), multipart, Err(multipart::FormError::Boundary.into())),
        (Some("application/octet-stream"), multipart, refused),
        (Some(form), files, Ok("form")),
        (Some("application/json"), files, Ok("json")),
        (Some(form), dated, Ok("form")),
        (Some("application/json"), dated, Ok("json")),
        (None, dated, Ok("json")),
        (Some("text/plain"), dated, refused),
        (Some("application/json"), dated_json, Ok("json")),
        (Some(form), dated_json, refused),
        (Some("text/plain"), nothing, Ok("empty")),
        (Some("application/json; charset=utf-16"), nothing, Ok("empty")),
        (None, nothing, Ok("empty")),
    ] {
        assert_eq!(kind(content_type, route), wanted, "{content_type:?} {}", route.pattern);
    }
}

#[test]
fn every_kind_of_scan_answers_the_same_questions() {
    let file =
        |id: &str| Reference { kind: Some(ObjectKind::File), id: id.parse().expect("an id") };
    let mut json = BodyScan::for_route(None, route(Method::POST, "/v1/responses")).expect("a scan");
    json.feed(br#"{"model":"m","stream":true,"store":false,"file_id":"file-1"}"#).expect("json");
    assert_eq!((json.model(), json.stream(), json.store()), (Some("m"), Some(true), Some(false)));
    assert_eq!(json.take_references(), [file("file-1")]);
    assert_eq!(json.take_references(), []);
    assert_eq!(json.finish(), Ok(Some("m".to_owned())));

    let content_type = Some("multipart/form-data; boundary=b");
    let mut form =
        BodyScan::for_route(content_type, route(Method::POST, "/v1/images/edits")).expect("a scan");
    form.feed(b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--b\r\n")
        .expect("a form");
    form.feed(b"Content-Disposition: form-data; name=file_id\r\n\r\nfile-1\r\n--b--")
        .expect("a form");
    assert_eq!((form.model(), form.stream(), form.store()), (Some("m"), None, None));
    assert_eq!(form.take_references(), [file("file-1")]);
    assert_eq!(form.finish(), Ok(Some("m".to_owned())));

    let mut empty =
        BodyScan::for_route(None, route(Method::DELETE, "/v1/files/file-1")).expect("a scan");
    empty.feed(b"").expect("nothing");
    assert_eq!((empty.model(), empty.stream(), empty.store()), (None, None, None));
    assert_eq!(empty.finish(), Ok(None));
    assert_eq!(empty.feed(b"{}"), Err(ScanError::UnwantedBody));
}
