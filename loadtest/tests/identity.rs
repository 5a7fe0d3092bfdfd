//! Identity, proven over whole meshes: drawn exchanges compared at both ends, every row of the
//! header table in both directions, and objects under every method that names them.
//!
//! A difference names the seed and the exchange that play it again.

#[path = "identity/objects.rs"]
mod objects;
#[path = "identity/rows.rs"]
mod rows;
#[path = "identity/runs.rs"]
mod runs;

use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use weft_loadtest::identity::command::begin;
use weft_loadtest::identity::place::Upstream;
use weft_loadtest::mesh::World;

/// Both versions of HTTP towards the provider.
const UPSTREAMS: [Upstream; 2] = [Upstream::H1, Upstream::H2];

/// A world whose accounts speak `upstream`.
async fn world(upstream: Upstream) -> World {
    let executable = Path::new(env!("CARGO_BIN_EXE_weft-loadtest"));
    let begun = timeout(Duration::from_secs(60), begin(executable, upstream)).await;
    match begun.expect("the world begins in time") {
        Ok(world) => world,
        Err(error) => panic!("{error}"),
    }
}
