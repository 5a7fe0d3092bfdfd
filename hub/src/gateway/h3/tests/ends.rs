//! How exchanges end: by the user, by the hub, and by accident.

use super::raw::{CANCELLED, frame, head, read};
use super::*;

/// A door that answers nothing; says when an exchange has begun, and when its call is gone.
async fn silent_door() -> (Door, mpsc::Receiver<()>, tokio::sync::oneshot::Receiver<()>) {
    let (guard, gone) = watched();
    let guard = Mutex::new(Some(guard));
    let (began, beginning) = mpsc::channel(1);
    let door = Door::open(Limits::default(), move |_| {
        let (guard, began) = (guard.lock().unwrap().take(), began.clone());
        async move {
            let _guard = guard;
            began.send(()).await.unwrap();
            std::future::pending().await
        }
    });
    (door.await, beginning, gone)
}

/// A door whose answers are fed by the test.
async fn fed_door() -> (Door, mpsc::Receiver<mpsc::Sender<Option<Bytes>>>) {
    let (feeds, fed_by) = mpsc::channel(4);
    let door = Door::open(Limits::default(), move |_| {
        let feeds = feeds.clone();
        async move {
            let (feed, body) = fed();
            feeds.send(feed).await.unwrap();
            Response::new(body)
        }
    });
    (door.await, fed_by)
}

#[tokio::test]
async fn a_user_who_leaves_a_silent_exchange_ends_it() {
    let (door, mut beginning, gone) = silent_door().await;
    let (mut send, mut recv) = door.user.send(&head(false, &[])).await;
    send.finish().unwrap();
    timeout(LIMIT, beginning.recv()).await.unwrap().unwrap();
    recv.stop(CANCELLED).unwrap();
    heard(gone, "the provider's call").await;
}

#[tokio::test]
async fn a_user_who_goes_without_a_word_on_the_stream_ends_it_too() {
    let (door, mut beginning, gone) = silent_door().await;
    let (_send, _recv) = door.user.send(&head(true, &[])).await;
    timeout(LIMIT, beginning.recv()).await.unwrap().unwrap();
    door.user.connection.close(0x100_u32.into(), b"");
    heard(gone, "the provider's call").await;
}

#[tokio::test]
async fn a_user_who_resets_an_upload_that_nobody_reads_ends_the_exchange() {
    let (guard, gone) = watched();
    let guard = Mutex::new(Some(guard));
    let (began, mut beginning) = mpsc::channel(1);
    let door = Door::open(Limits::default(), move |request| {
        let (guard, began) = (guard.lock().unwrap().take(), began.clone());
        async move {
            let _held = (guard, request);
            began.send(()).await.unwrap();
            std::future::pending().await
        }
    })
    .await;
    let upload = [head(true, &[]), frame(0, &[1; 100_000])].concat();
    let (mut send, _recv) = door.user.send(&upload).await;
    timeout(LIMIT, beginning.recv()).await.unwrap().unwrap();
    // Long enough for the body to be paused with bytes waiting.
    tokio::time::sleep(Duration::from_millis(300)).await;
    send.reset(CANCELLED).unwrap();
    heard(gone, "the provider's call").await;
}

#[tokio::test]
async fn a_user_who_leaves_while_nothing_can_be_written_ends_the_exchange() {
    let (guard, gone) = watched();
    let guard = Mutex::new(Some(guard));
    let (fed_one, mut feeding) = mpsc::channel(1);
    let door = Door::open(Limits::default(), move |_| {
        let (guard, fed_one) = (guard.lock().unwrap().take(), fed_one.clone());
        async move {
            let frames = futures_util::stream::unfold((guard, fed_one), |held| async move {
                held.1.send(()).await.unwrap();
                let chunk = Frame::data(Bytes::from(vec![7; 64 * 1024]));
                Some((Ok::<_, std::io::Error>(chunk), held))
            });
            Response::new(Body::new(http_body_util::StreamBody::new(frames)))
        }
    })
    .await;
    let (mut send, mut recv) = door.user.send(&head(false, &[])).await;
    send.finish().unwrap();
    // It takes what fits its window, and no more.
    let mut taken = 0;
    while timeout(Duration::from_secs(1), feeding.recv()).await.is_ok() {
        taken += 1;
        assert!(taken < 1_000, "nothing stops the answer");
    }
    recv.stop(CANCELLED).unwrap();
    heard(gone, "the answer").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_too_short_is_reset_after_its_bytes() {
    let (feeds, mut fed_by) = mpsc::channel(4);
    let door = Door::open(Limits::default(), move |request: Request<Body>| {
        let feeds = feeds.clone();
        async move {
            let (feed, body) = fed();
            feeds.send(feed).await.unwrap();
            let response = Response::builder();
            match request.headers().get("x-promise") {
                Some(length) => response.header("content-length", length).body(body).unwrap(),
                None => response.body(body).unwrap(),
            }
        }
    })
    .await;
    for (fields, end, reset) in [
        (&[][..], true, None),
        (&[], false, Some(0x102)),
        (&[("x-promise", "5")], true, None),
        (&[("x-promise", "6")], true, Some(0x102)),
        (&[("x-promise", "4")], true, Some(0x102)),
    ] {
        let (mut send, recv) = door.user.send(&head(false, fields)).await;
        send.finish().unwrap();
        let feed = timeout(LIMIT, fed_by.recv()).await.unwrap().unwrap();
        let reading = read(recv);
        let feeding = async {
            feed.send(Some(Bytes::from_static(b"bytes"))).await.unwrap();
            // They are on their way before the end is decided.
            tokio::time::sleep(Duration::from_millis(200)).await;
            if end {
                drop(feed.send(None).await);
            }
            drop(feed);
        };
        let (seen, ()) = timeout(LIMIT, async { tokio::join!(reading, feeding) }).await.unwrap();
        assert_eq!(seen.reset, reset, "{fields:?} {end}: {seen:?}");
    }
}

#[tokio::test]
async fn a_handler_that_panics_resets_its_stream_and_no_other() {
    let door = Door::open(Limits::default(), |request: Request<Body>| async move {
        assert!(!request.headers().contains_key("x-panic"), "as asked");
        Response::new(Body::from("well"))
    })
    .await;
    let seen = timeout(LIMIT, door.user.ask(&head(false, &[("x-panic", "1")]))).await.unwrap();
    assert_eq!((seen.frames.len(), seen.reset), (0, Some(0x102)));
    let seen = timeout(LIMIT, door.user.ask(&head(false, &[]))).await.unwrap();
    assert_eq!((seen.body(), seen.reset), (b"well".to_vec(), None));
}

#[tokio::test]
async fn a_forced_stop_resets_what_runs() {
    let door = Door::open(Limits::default(), |_| async move {
        let (feed, body) = fed();
        feed.send(Some(Bytes::from_static(b"begun"))).await.unwrap();
        std::mem::forget(feed);
        Response::new(body)
    })
    .await;
    let (mut send, mut recv) = door.user.send(&head(false, &[])).await;
    send.finish().unwrap();
    timeout(LIMIT, recv.read_chunk(10, true)).await.unwrap().unwrap().unwrap();
    let tasks = door.tasks.clone();
    let life = crate::lifecycle::Lifecycle::new(tasks.clone(), || Duration::from_secs(9));
    tasks.force();
    let reading = async {
        loop {
            match recv.read_chunk(1_000, true).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a cut answer looks whole"),
                Err(error) => return error,
            }
        }
    };
    let signals = crate::lifecycle::Signals::none();
    let (error, _ended) =
        timeout(LIMIT, async { tokio::join!(reading, life.run(signals)) }).await.unwrap();
    println!("{error}");
}

#[tokio::test]
async fn an_early_answer_arrives_whole_and_the_rest_of_the_upload_is_waived_without_error() {
    let door =
        Door::open(Limits::default(), |_| async { Response::new(Body::from("enough")) }).await;
    let (mut send, recv) = door.user.send(&[head(true, &[]), frame(0, b"some")].concat()).await;
    let seen = timeout(LIMIT, read(recv)).await.unwrap();
    assert_eq!((seen.body(), seen.reset), (b"enough".to_vec(), None));
    let stopped = timeout(LIMIT, send.stopped()).await.unwrap().unwrap();
    assert_eq!(stopped.map(u64::from), Some(0x100));
    drop(send.write_all(&frame(0, b"more")).await);
}

#[tokio::test]
async fn a_farewell_names_the_first_request_that_is_not_served_and_what_runs_ends_well() {
    let (door, mut fed_by) = fed_door().await;
    let (mut send, recv) = door.user.send(&head(false, &[])).await;
    send.finish().unwrap();
    let feed = timeout(LIMIT, fed_by.recv()).await.unwrap().unwrap();
    door.stopping.cancel();
    let control = timeout(LIMIT, door.user.control(2)).await.unwrap();
    // Stream 0 runs; 4 is the next one that a user could open.
    assert_eq!(control[1], (7, vec![4]));

    let late = timeout(LIMIT, door.user.ask(&head(false, &[]))).await.unwrap();
    assert_eq!((late.frames.len(), late.reset), (0, Some(0x10b)), "nobody has looked at it");

    feed.send(Some(Bytes::from_static(b"to the end"))).await.unwrap();
    feed.send(None).await.unwrap();
    let seen = timeout(LIMIT, read(recv)).await.unwrap();
    assert_eq!((seen.body(), seen.reset), (b"to the end".to_vec(), None));
    let closed = timeout(LIMIT, door.user.connection.closed()).await.unwrap();
    assert!(
        matches!(&closed, quinn::ConnectionError::ApplicationClosed(close)
        if u64::from(close.error_code) == 0x100),
        "{closed}"
    );
}

#[tokio::test]
async fn a_user_who_moves_to_another_address_finishes_what_runs_and_begins_nothing() {
    let (door, mut fed_by) = fed_door().await;
    let (mut send, recv) = door.user.send(&head(false, &[])).await;
    send.finish().unwrap();
    let feed = timeout(LIMIT, fed_by.recv()).await.unwrap().unwrap();
    // Another port is no move: a NAT gives one after a while.
    door.user.move_to("127.0.0.1:0");
    let (mut send, again) = door.user.send(&head(false, &[])).await;
    send.finish().unwrap();
    let feed_again = timeout(LIMIT, fed_by.recv()).await.unwrap().unwrap();
    door.user.move_to("127.0.0.2:0");
    let late = timeout(LIMIT, door.user.ask(&head(false, &[]))).await.unwrap();
    assert_eq!((late.frames.len(), late.reset), (0, Some(0x10b)));
    assert_eq!(timeout(LIMIT, door.user.control(2)).await.unwrap()[1], (7, vec![8]));
    for (feed, recv) in [(feed, recv), (feed_again, again)] {
        feed.send(Some(Bytes::from_static(b"whole"))).await.unwrap();
        feed.send(None).await.unwrap();
        let seen = timeout(LIMIT, read(recv)).await.unwrap();
        assert_eq!((seen.body(), seen.reset), (b"whole".to_vec(), None));
    }
}

#[tokio::test]
async fn a_user_may_open_no_more_streams_than_the_limits_say() {
    let limits = Limits { h3_streams_max: 2, ..Limits::default() };
    let door = Door::open(limits, |_| std::future::pending()).await;
    let first = door.user.send(&head(false, &[])).await;
    let _second = door.user.send(&head(false, &[])).await;
    let third = door.user.connection.open_bi();
    assert!(timeout(Duration::from_millis(500), third).await.is_err(), "a third was permitted");
    drop(first);
    let opened = timeout(LIMIT, door.user.connection.open_bi()).await;
    assert!(opened.is_ok(), "a place that was left is given again");
    for _ in 1..UNI_STREAMS_MAX {
        timeout(LIMIT, door.user.connection.open_uni()).await.unwrap().unwrap();
    }
}
