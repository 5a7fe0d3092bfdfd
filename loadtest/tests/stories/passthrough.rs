//! Every dialect, both versions of HTTP, streamed and not: the same bytes at both ends.

use crate::talk::*;
use http::Method;
use serde_json::json;
use weft_loadtest::mesh::Version;
use weft_loadtest::mesh::world::secret;
use weft_proto::provider::Provider;

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_chat_crosses_the_mesh_byte_for_byte() {
    let world = world().await;
    let ask = Ask::chat(&world, true, "deltas=8,pace=5ms");
    let answer = ask.over(&world, Version::H1).await;
    answer.whole(200);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    same_at_both_ends(&ask, &answer, &last(&world).await);
    world.end().await.unwrap();
}
