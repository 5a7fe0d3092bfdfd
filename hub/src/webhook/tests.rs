use super::*;
use aws_lc_rs::hmac;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weft_proto::time::{ManualClock, Timestamp};

/// Answers one request after the other with the statuses given, and returns what came.
async fn serve(listener: TcpListener, statuses: &[u16]) -> Vec<String> {
    let mut seen = Vec::new();
    for status in statuses {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut bytes = Vec::new();
        let mut buffer = [0; 4_096];
        // The whole request is one small write; its end is the object's.
        while !bytes.ends_with(b"}") {
            let read = stream.read(&mut buffer).await.expect("bytes");
            assert!(read > 0, "ended early: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&buffer[..read]);
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("written");
        seen.push(String::from_utf8(bytes).expect("text"));
    }
    seen
}

async fn hook() -> (TcpListener, Notifier, Courier) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/weft?x=1", listener.local_addr().expect("an address"));
    let hook = Webhook::new(url.parse().expect("a URL"), Some(b"secret")).expect("a webhook");
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(7)));
    let (notifier, courier) = webhook(LiveWebhook::new(Some(hook)), clock);
    (listener, notifier, courier)
}

#[tokio::test]
async fn what_is_told_goes_to_the_webhook_that_is_in_force_then() {
    let (mut listeners, mut hooks) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        hooks.push(Webhook::new(url.parse().expect("a URL"), None).expect("a webhook"));
        listeners.push(listener);
    }
    let in_force = LiveWebhook::new(None);
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(7)));
    let (notifier, courier) = webhook(in_force.clone(), clock);
    notifier.notify("nobody", json!({}));
    let stop = CancellationToken::new();
    let seen = async {
        let mut seen = Vec::new();
        for (listener, hook) in listeners.into_iter().zip(hooks) {
            in_force.replace(Some(hook));
            notifier.notify("somebody", json!({}));
            seen.extend(serve(listener, &[200]).await);
        }
        stop.cancel();
        seen
    };
    let (seen, ()) = tokio::join!(seen, courier.run(stop.clone()));
    assert!(seen.len() == 2 && seen.iter().all(|one| one.contains("somebody")), "{seen:?}");
}

#[tokio::test]
async fn an_event_is_posted_signed_and_tried_again_until_it_is_taken() {
    let (listener, notifier, courier) = hook().await;
    let stop = CancellationToken::new();
    notifier.notify("payout.requested", json!({ "amount": "1.00" }));
    let (seen, ()) = tokio::join!(
        async {
            let seen = serve(listener, &[503, 200]).await;
            stop.cancel();
            seen
        },
        courier.run(stop.clone())
    );
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    let (head, body) = seen[0].split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("POST /weft?x=1 HTTP/1.1\r\n"), "{head}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    let tag: String =
        hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert!(head.contains(&format!("weft-signature: sha256={tag}")), "{head}");
    let event: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(event["event"], "payout.requested");
    assert_eq!((&event["at_us"], &event["data"]["amount"]), (&json!(7_000_000), &json!("1.00")));
}

#[tokio::test]
async fn what_is_not_wanted_is_not_tried_again_and_the_next_one_comes() {
    let (listener, notifier, courier) = hook().await;
    let stop = CancellationToken::new();
    notifier.notify("first", json!({}));
    notifier.notify("second", json!({}));
    let (seen, ()) = tokio::join!(
        async {
            let seen = serve(listener, &[400, 204]).await;
            stop.cancel();
            seen
        },
        courier.run(stop.clone())
    );
    assert!(seen[0].contains("first") && seen[1].contains("second"));
}

#[tokio::test]
async fn a_full_queue_drops_and_never_waits() {
    let (_listener, notifier, courier) = hook().await;
    for _ in 0..QUEUE_MAX + 5 {
        notifier.notify("busy", json!({}));
    }
    assert_eq!(notifier.dropped.load(Ordering::Relaxed), 5);
    drop(courier);
}

#[test]
fn only_tls_leaves_this_machine() {
    for good in ["https://example.com/x", "http://127.0.0.1:9/", "http://[::1]:9/a?b"] {
        assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
    }
    for bad in
        ["", "example.com", "http://example.com/", "ftp://h/", "https://u:p@h/", "https:///x"]
    {
        assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
    }
}
