use super::*;

fn kind(content_type: Option<&str>, source: ModelSource) -> Result<&'static str, ScanError> {
    BodyScan::for_content_type(content_type, source).map(|scan| match scan {
        BodyScan::Json(_) => "json",
        BodyScan::Multipart(_) => "form",
        BodyScan::Opaque => "opaque",
    })
}

#[test]
fn the_scan_fits_route_and_content_type() {
    use ModelSource::{Deployment, JsonBody, Multipart, Path};
    let form = "multipart/form-data; boundary=b";
    for (content_type, source, wanted) in [
        (Some("application/json"), JsonBody, Ok("json")),
        (Some("Application/JSON ; charset=\"UTF-8\""), JsonBody, Ok("json")),
        (Some("application/vnd.x+json"), JsonBody, Ok("json")),
        (None, JsonBody, Ok("json")),
        (Some("text/plain"), JsonBody, Err(ScanError::ContentType)),
        (Some("application/json; charset=utf-16"), JsonBody, Err(ScanError::ContentType)),
        (Some(form), JsonBody, Err(ScanError::ContentType)),
        (Some(form), Multipart, Ok("form")),
        (Some("application/json"), Multipart, Ok("json")),
        (None, Multipart, Err(ScanError::ContentType)),
        (Some("multipart/form-data"), Multipart, Err(multipart::FormError::Boundary.into())),
        (Some("application/octet-stream"), Multipart, Err(ScanError::ContentType)),
        (Some(form), Deployment, Ok("form")),
        (Some("application/json"), Deployment, Ok("json")),
        (Some("text/plain"), Deployment, Err(ScanError::ContentType)),
        (Some("text/plain"), Path, Ok("opaque")),
        (None, ModelSource::None, Ok("opaque")),
    ] {
        assert_eq!(kind(content_type, source), wanted, "{content_type:?} {source:?}");
    }
}

#[test]
fn every_kind_of_scan_answers_the_same_questions() {
    let mut json = BodyScan::for_content_type(None, ModelSource::JsonBody).expect("a scan");
    json.feed(br#"{"model":"m","stream":true}"#).expect("json");
    assert_eq!((json.model(), json.stream()), (Some("m"), Some(true)));
    assert_eq!(json.finish(), Ok(Some("m".to_owned())));

    let content_type = Some("multipart/form-data; boundary=b");
    let mut form =
        BodyScan::for_content_type(content_type, ModelSource::Multipart).expect("a scan");
    form.feed(b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--b--")
        .expect("a form");
    assert_eq!((form.model(), form.stream()), (Some("m"), None));
    assert_eq!(form.finish(), Ok(Some("m".to_owned())));

    let mut opaque = BodyScan::for_content_type(None, ModelSource::None).expect("a scan");
    opaque.feed(b"\xff\0").expect("anything");
    assert_eq!((opaque.model(), opaque.stream()), (None, None));
    assert_eq!(opaque.finish(), Ok(None));
}
