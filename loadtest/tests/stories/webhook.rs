//! The webhook: what a real listener is told of keys and payouts, and that nobody waits for it.

use crate::talk::*;
use aws_lc_rs::hmac;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_loadtest::mesh::world::{OWNER, Plan, USER, World};
use weft_loadtest::mesh::{NewKey, Version};

/// Signs what is posted.
const SECRET: &[u8] = b"whsec-6Tn2vQ9xKw4LzPb8";

/// What an owner asks for, in nano-USD: 0.01 USD.
const PAYOUT_NANOS: i64 = 10_000_000;

/// A post as it came.
#[derive(Debug, Clone)]
struct Post {
    head: String,
    body: String,
}

impl Post {
    /// The whole request, by its declared length.
    async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        loop {
            let mut buffer = [0; 4_096];
            let read = stream.read(&mut buffer).await.expect("bytes");
            assert!(read > 0, "ended early: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_lowercase();
            let mut lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
            let length: usize = lengths.next().expect("a length").parse().expect("a number");
            if body.len() >= length {
                return Self { head, body: body.to_owned() };
            }
        }
    }

    /// What it says, where it is signed as it should be.
    #[track_caller]
    fn event(&self) -> Value {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), self.body.as_bytes());
        let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let signed = format!("weft-signature: sha256={tag}");
        assert!(self.head.lines().any(|line| line == signed), "{}", self.head);
        assert!(self.head.starts_with("post /weft?from=hub http/1.1\r\n"), "{}", self.head);
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// A listener that says nothing to the first post until it is released, and then hangs up; answers
/// the second with 503; and takes every other.
#[derive(Clone, Default)]
struct Listener {
    posts: Arc<Mutex<Vec<Post>>>,
    released: Arc<Notify>,
}

impl Listener {
    async fn serve(self, listener: TcpListener) {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let post = Post::read(&mut stream).await;
            self.posts.lock().expect("lock").push(post);
            let status = match number {
                0 => {
                    self.released.notified().await;
                    continue;
                }
                1 => "503 Service Unavailable",
                _ => "200 OK",
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("lock").clone()
    }

    async fn posts_when(&self, count: usize) -> Vec<Post> {
        let began = Instant::now();
        while self.posts().len() < count {
            assert!(began.elapsed() < LIMIT, "{} of {count} posts came", self.posts().len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.posts()
    }
}

/// A chat with this key that reads so many tokens, at a millionth of a USD each, and writes none. Its
/// text has as many bytes: more tokens than bytes nobody would believe.
async fn spend(world: &World, key: &NewKey, tokens: usize) -> Answer {
    let body = json!({
        "model": "gpt-4o", "max_tokens": 10, "messages": [{"role": "user", "content": "w".repeat(tokens)}],
    });
    let ask = Ask::bare(http::Method::POST, "/v1/chat/completions", body.to_string())
        .with("authorization", &format!("Bearer {}", key.secret))
        .sim(&format!("input={tokens},output=0"));
    ask.over(world, Version::H2).await
}

/// Lets the dispute windows of all incomes be over.
async fn windows_are_over(world: &World) {
    let options = SqliteConnectOptions::new()
        .filename(world.hub.data().join("hub.sqlite"))
        .busy_timeout(Duration::from_secs(30));
    let mut connection = options.connect().await.expect("the hub's database");
    let began = Instant::now();
    // Once the receipts are in.
    loop {
        let paid = sqlx::query_scalar("SELECT COALESCE(SUM(leg_paid), 0) FROM settlements");
        let paid: i64 = paid.fetch_one(&mut connection).await.expect("a sum");
        if paid >= PAYOUT_NANOS {
            break;
        }
        assert!(began.elapsed() < LIMIT, "only {paid} nano-USD were paid");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let over = "UPDATE settlements SET leg_due_at = 1 WHERE leg_paid > 0";
    sqlx::query(over).execute(&mut connection).await.expect("changed");
    connection.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_is_told_of_limits_and_payouts_signed_until_it_takes_them_and_nobody_waits() {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/weft?from=hub", socket.local_addr().expect("an address"));
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("webhook.secret");
    std::fs::write(&secret, [SECRET, b"\n"].concat()).expect("a secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let listener = Listener::default();
    let mut serving = JoinSet::new();
    serving.spawn(listener.clone().serve(socket));
    // Settings of a plan live as long as the program.
    let leaked = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let settings = vec![
        ("WEFT_WEBHOOK__URL", leaked(url)),
        ("WEFT_WEBHOOK__SECRET", leaked(secret.display().to_string())),
    ];
    let world = begin(Plan { hub: settings, ..Plan::default() }).await;
    let key = world.hub.add_key(USER, &["--day-limit", "0.025"]).expect("a key");

    // Four fifths of the limit: the listener is told, and is silent.
    spend(&world, &key, 20_000).await.whole(200);
    listener.posts_when(1).await;
    // Meanwhile everything goes on: this key to its limit and no further, others without one, and
    // whoever asks for a payout has an answer.
    spend(&world, &key, 5_000).await.whole(200);
    let refused = spend(&world, &key, 1).await;
    assert!((400..500).contains(&refused.status), "{} {}", refused.status, refused.text());
    for version in VERSIONS {
        Ask::chat(&world, true, "").over(&world, version).await.whole(200);
    }
    windows_are_over(&world).await;
    let payout = world.hub.ask(&["payout", "request", OWNER, "0.01"]).expect("a payout");
    let id = payout["id"].as_str().expect("an id").to_owned();
    world.hub.ask(&["payout", "approve", &id, "--reference", "wire 7"]).expect("approved");
    assert_eq!(listener.posts().len(), 1, "nobody waited, and nothing was overtaken");

    listener.released.notify_one();
    let posts = listener.posts_when(6).await;
    let events: Vec<_> = posts.iter().map(Post::event).collect();
    // What was not taken comes again, the same to the byte.
    assert_eq!((&posts[0].body, &posts[0].body), (&posts[1].body, &posts[2].body));
    for (event, percent, spent) in [(&events[0], 80, "0.02"), (&events[3], 100, "0.025")] {
        assert_eq!(event["event"], "key.spend_limit");
        let data = &event["data"];
        assert_eq!((&data["key"], &data["window"]), (&json!(key.id), &json!("day")), "{data}");
        assert_eq!((&data["percent"], &data["limit"]), (&json!(percent), &json!("0.025")));
        assert_eq!(data["spent"], spent, "{data}");
    }
    for (event, name) in [(&events[4], "payout.requested"), (&events[5], "payout.approved")] {
        assert_eq!((&event["event"], &event["data"]["id"]), (&json!(name), &json!(id)));
        assert_eq!(event["data"]["amount"], "0.01", "{event}");
    }
    let moments: Vec<_> = events.iter().map(|event| event["at_us"].as_u64()).collect();
    assert!(moments.is_sorted() && moments[0] > Some(0), "{moments:?}");
    let log = std::fs::read_to_string(world.hub_log()).expect("a log");
    assert!(!log.contains(std::str::from_utf8(SECRET).expect("text")), "the log tells the secret");
    world.end().await.expect("a graceful end");
    assert!(serving.try_join_next().is_none(), "the listener goes on");
}
