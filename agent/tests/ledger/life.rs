//! A whole life of a ledger on real files: two epochs, every kind of entry, every end.

use crate::world::World;
use std::path::Path;
use std::sync::Arc;
use weft_agent::ledger::{Files, IndexAt, Ledger, LedgerParts, SEGMENT_BYTES, Writer};
use weft_proto::ledger::SigningKey;

pub(crate) fn open(world: &World, root: &Path) -> Ledger {
    Ledger::open(LedgerParts {
        disk: Arc::new(Files::open(root, true).expect("files")),
        index: IndexAt::Memory,
        key: SigningKey::from_seed(&[7; 32]).expect("key"),
        agent: world.agent,
        hub: world.hub,
        clock: Arc::clone(&world.clock) as _,
        writer: Writer::Inline,
        segment_bytes: SEGMENT_BYTES,
    })
    .expect("open")
}

/// Writes the ledger of the data directory `data`.
pub(crate) async fn live_on_disk(data: &Path) {
    let root = data.join("ledger");
    let world = World::new(11);
    for _ in 0..2 {
        let ledger = open(&world, &root);
        let mut left = Vec::new();
        for _ in 0..40 {
            world.act(&ledger, &mut left).await.expect("works");
        }
        let waiting = ledger.unacknowledged(None, 3).await.expect("waiting");
        if !waiting.is_empty() {
            ledger.acknowledge(world.paid(&waiting)).await.expect("paid");
        }
        let note = ledger.checkpoint().await.expect("checkpoint");
        let cosigned = world.cosigned(&note.statement);
        ledger.cosigned(note.statement.epoch, cosigned).await.expect("cosigned");
        left.into_iter().for_each(std::mem::forget);
        drop(ledger);
        // What a backup leaves out.
        std::fs::remove_file(root.join("marker")).expect("marker");
    }
    drop(open(&world, &root));
}
