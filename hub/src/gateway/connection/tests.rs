//! How long a connection's patience lasts, on a clock that the test moves.

use super::*;
use tokio::io::DuplexStream;

const HEAD_MAX: Duration = Duration::from_secs(10);

fn watched() -> (Patient<DuplexStream>, DuplexStream, Requests) {
    let (near, far) = tokio::io::duplex(64);
    let requests = Requests::default();
    let near = Patient::new(near, Duration::from_secs(60)).with_heads(requests.clone(), HEAD_MAX);
    (near, far, requests)
}

/// Reads until nothing comes for `wait`: the error that came instead, if any.
async fn quiet_for(stream: &mut Patient<DuplexStream>, wait: Duration) -> Option<io::ErrorKind> {
    let mut buffer = [0; 64];
    let reading = async {
        loop {
            if let Err(error) = stream.read(&mut buffer).await {
                return error.kind();
            }
        }
    };
    tokio::time::timeout(wait, reading).await.ok()
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_left_alone_after_a_request_that_was_answered_at_once() {
    let (mut near, mut far, requests) = watched();
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    near.read_exact(&mut [0; 18]).await.unwrap();
    // Nobody reads while it runs: the head was whole, and that must be seen afterwards.
    drop(requests.begin());
    assert_eq!(quiet_for(&mut near, HEAD_MAX * 5).await, None);
    far.write_all(b"GET ").await.unwrap();
    assert_eq!(quiet_for(&mut near, HEAD_MAX * 5).await, Some(io::ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_begun_must_be_whole_in_its_time() {
    let (mut near, mut far, _requests) = watched();
    assert_eq!(quiet_for(&mut near, HEAD_MAX * 5).await, None);
    far.write_all(b"G").await.unwrap();
    assert_eq!(quiet_for(&mut near, HEAD_MAX / 2).await, None);
    far.write_all(b"E").await.unwrap();
    assert_eq!(quiet_for(&mut near, HEAD_MAX).await, Some(io::ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_runs_may_send_its_body_as_slowly_as_it_likes() {
    let (mut near, mut far, requests) = watched();
    let running = requests.begin();
    far.write_all(b"body").await.unwrap();
    assert_eq!(quiet_for(&mut near, HEAD_MAX * 5).await, None);
    drop(running);
    assert_eq!(quiet_for(&mut near, HEAD_MAX * 5).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_takes_nothing_is_given_up_after_the_stall_limit() {
    let (mut near, _far, _requests) = watched();
    let writing = tokio::time::timeout(Duration::from_secs(600), near.write_all(&[0; 1_000])).await;
    assert_eq!(writing.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn idleness_begins_anew_with_each_request() {
    let requests = Requests::default();
    let began = tokio::time::Instant::now();
    let (first, idle) = (Duration::from_secs(10), Duration::from_secs(75));
    let asking = async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        let running = requests.begin();
        tokio::time::sleep(Duration::from_secs(500)).await;
        drop(running);
    };
    tokio::join!(asking, requests.idle(first, idle));
    assert_eq!(began.elapsed().as_secs(), 9 + 500 + 75);
}
