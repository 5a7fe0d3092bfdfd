//! The life of a hub: stopped, killed, reloaded, backed up, on broken disks and under clocks that jump.
//!
//! Agents that are killed or drained are told in `crashes`.

#[path = "lifecycle/clocks.rs"]
mod clocks;
#[path = "lifecycle/disks.rs"]
mod disks;
#[path = "lifecycle/keeping.rs"]
mod keeping;
#[path = "lifecycle/reloading.rs"]
mod reloading;
#[path = "lifecycle/stopping.rs"]
mod stopping;

use crate::talk::*;
use http::Method;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_loadtest::mesh::world::World;
use weft_loadtest::mesh::{Connection, Version};

/// A chat with `secret` as its key, answered as `sim` says.
fn chat(secret: &str, stream: bool, sim: &str) -> Ask {
    let body = json!({
        "model": "gpt-4o", "stream": stream,
        "messages": [{"role": "user", "content": "Say what a weft is."}],
    });
    Ask::bare(Method::POST, "/v1/chat/completions", body.to_string())
        .with("authorization", &format!("Bearer {secret}"))
        .sim(sim)
}

/// Streams that run side by side on a few connections.
struct Streams {
    answers: JoinSet<Answer>,
    connections: Vec<Connection>,
}

impl Streams {
    /// Starts `count` streams on `connections` HTTP/2 connections, and returns once all of them have
    /// been answered with some events.
    async fn start(world: &World, count: usize, connections: usize, sim: &str) -> Self {
        let mut streams = Self { answers: JoinSet::new(), connections: Vec::new() };
        for _ in 0..connections {
            let mut open = connect(world, Version::H2).await;
            for _ in 0..count / connections {
                let answer = open.start(Ask::chat(world, true, sim).request()).unwrap();
                streams.answers.spawn(async move {
                    let began = Instant::now();
                    Answer::read(answer.await.unwrap(), began).await
                });
            }
            streams.connections.push(open);
        }
        let running = world.provider.wait_for(|records| {
            (records.iter().filter(|record| record.events > 2).count() >= count).then_some(())
        });
        tokio::time::timeout(LIMIT, running).await.expect("all streams run");
        streams
    }

    /// The answers, once all of them have ended.
    async fn end(self) -> Vec<Answer> {
        let answers = self.answers.join_all().await;
        drop(self.connections);
        answers
    }
}

/// Waits until `found` gives something.
async fn until<T>(what: &str, within: Duration, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(began.elapsed() < within, "{what} did not come within {within:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
