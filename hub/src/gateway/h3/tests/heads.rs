//! Heads and bodies of requests, well and badly made.

use super::raw::{frame, head, read, varint};
use super::*;
use http::StatusCode;
use http_body_util::BodyExt;

/// Answers with the length of the body, or with what went wrong.
async fn measured(request: Request<Body>) -> Response<Body> {
    let text = match request.into_body().collect().await {
        Ok(body) => format!("{} bytes", body.to_bytes().len()),
        Err(error) => format!("failed: {error}"),
    };
    Response::new(Body::from(text))
}

#[tokio::test]
async fn a_body_comes_whole_past_empty_frames_unknown_frames_and_trailers() {
    let door = Door::open(Limits::default(), measured).await;
    let big = vec![7; 300_000];
    let request = [
        head(true, &[("content-length", "300004")]),
        frame(0, b""),
        frame(0x21, b"grease"),
        frame(0, &big),
        frame(0, b""),
        frame(0, b"rest"),
        head(false, &[]),
    ];
    let seen = timeout(LIMIT, door.user.ask(&request.concat())).await.unwrap();
    assert_eq!((seen.body(), seen.reset), (b"300004 bytes".to_vec(), None));
    // Thousands of the smallest frames, too.
    let tiny = frame(0, b"x").repeat(20_000);
    let seen = timeout(LIMIT, door.user.ask(&[head(true, &[]), tiny].concat())).await.unwrap();
    assert_eq!((seen.body(), seen.reset), (b"20000 bytes".to_vec(), None));
    // And none at all.
    let seen = timeout(LIMIT, door.user.ask(&head(false, &[]))).await.unwrap();
    assert_eq!((seen.body(), seen.reset), (b"0 bytes".to_vec(), None));
}

#[tokio::test]
async fn a_body_cut_inside_a_frame_or_of_another_length_is_never_whole() {
    let door = Door::open(Limits::default(), measured).await;
    let mut cut = frame(0, b"whole");
    cut.pop();
    for (request, code) in [
        ([head(true, &[]), cut].concat(), 0x106),
        ([head(true, &[("content-length", "6")]), frame(0, b"short")].concat(), 0x10e),
        ([head(true, &[("content-length", "4")]), frame(0, b"long!")].concat(), 0x10e),
        ([head(true, &[("content-length", "many")]), frame(0, b"x")].concat(), 0x10e),
    ] {
        let seen = timeout(LIMIT, door.user.ask(&request)).await.unwrap();
        assert_eq!((seen.frames.len(), seen.reset), (0, Some(code)), "{seen:?}");
    }
    let seen = timeout(LIMIT, door.user.ask(&head(false, &[]))).await.unwrap();
    assert_eq!(seen.reset, None, "the connection has not suffered");
}

#[tokio::test]
async fn fields_of_a_connection_are_malformed() {
    let door = Door::open(Limits::default(), measured).await;
    for field in [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("Upper", "case"),
    ] {
        let seen = timeout(LIMIT, door.user.ask(&head(false, &[field]))).await.unwrap();
        assert_eq!((seen.frames.len(), seen.reset), (0, Some(0x10e)), "{field:?}");
    }
    let seen = timeout(LIMIT, door.user.ask(&head(false, &[("te", "trailers")]))).await.unwrap();
    assert_eq!(seen.reset, None);
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_answered_whole_and_one_far_beyond_it_is_not_read() {
    let limits = Limits { head_bytes_max: 1_000, ..Limits::default() };
    let door = Door::open(limits, measured).await;
    let settings = timeout(LIMIT, door.user.control(1)).await.unwrap();
    assert_eq!(settings[0].0, 4);
    assert_eq!(
        settings[0].1[..3],
        [0x06, 0x43, 0xe8],
        "max_field_section_size is told: {settings:?}"
    );

    let value = "v".repeat(1_200);
    let seen = timeout(LIMIT, door.user.ask(&head(false, &[("x-long", &value)]))).await.unwrap();
    assert_eq!(seen.reset, None, "a 431 arrives whole: {seen:?}");
    assert_eq!(seen.frames.len(), 1);
    assert_eq!(*door.refused.lock().unwrap(), ["head_too_large"]);

    // It has not all come, and never will: what is announced is enough.
    let endless = [vec![1], varint(1 << 40), vec![0; 100]].concat();
    let (_send, recv) = door.user.send(&endless).await;
    assert_eq!(timeout(LIMIT, read(recv)).await.unwrap().reset, Some(0x107));
    let seen = timeout(LIMIT, door.user.ask(&head(false, &[]))).await.unwrap();
    assert_eq!(seen.reset, None);
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let limits = Limits { head: Duration::from_secs(1), ..Limits::default() };
    let door = Door::open(limits, measured).await;
    let (_send, recv) = door.user.send(&head(false, &[])[..8]).await;
    assert_eq!(timeout(LIMIT, read(recv)).await.unwrap().reset, Some(0x10c));
}

#[tokio::test]
async fn an_answer_has_a_date_a_length_and_nothing_of_a_connection() {
    let handler = |request: Request<Body>| async move {
        let post = request.method() == http::Method::POST;
        let response = Response::builder().header("connection", "upgrade");
        let response = response.header("upgrade", "websocket").status(StatusCode::UPGRADE_REQUIRED);
        response.body(if post { Body::empty() } else { Body::from("twelve bytes") }).unwrap()
    };
    let door = Door::open_to(Limits::default(), handler, false).await;
    let quic = h3_quinn::Connection::new(door.user.connection.clone());
    let (mut driver, mut client) = h3::client::new(quic).await.unwrap();
    let driving = std::future::poll_fn(|context| driver.poll_close(context));
    let asking = async {
        let request = Request::get("https://localhost/").body(()).unwrap();
        let mut stream = client.send_request(request).await.unwrap();
        stream.finish().await.unwrap();
        stream.recv_response().await.unwrap()
    };
    let answer = tokio::select! {
        biased;
        answer = asking => answer,
        error = driving => panic!("{error}"),
    };
    assert_eq!(answer.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(answer.headers()["content-length"], "12");
    assert!(answer.headers()["date"].to_str().unwrap().ends_with(" GMT"));
    assert!(
        !answer.headers().contains_key("connection") && !answer.headers().contains_key("upgrade")
    );
}
