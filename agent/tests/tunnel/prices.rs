//! How a price book comes: its bytes, the word that announces it and the hub's key in any order.

use crate::world::{PATIENCE, Tunnel, World, soon};
use std::time::Duration;
use weft_proto::ledger::SigningKey;
use weft_proto::prices::{BookHash, Draft, PriceBook};
use weft_proto::session::HubEvent;
use weft_proto::wire::control::{Features, HubMessage};
use weft_proto::wire::receipts::{AgentLedger, HubLedger, PricesOffer};

/// The hub's ledger key, the same on each tunnel.
fn key() -> SigningKey {
    SigningKey::from_seed(&[9; 32]).expect("a key")
}

/// A tunnel of a hub that keeps a ledger, and how the agent's greets on it.
async fn ledger_greets(world: &World) -> (Tunnel, AgentLedger) {
    let mut tunnel = world.hub.greet_with(world.agent, Features::OURS).await;
    loop {
        if let HubEvent::Ledger(greeting) = tunnel.event().await {
            return (tunnel, greeting);
        }
    }
}

/// What a tunnel brings, in the order in which it is brought.
#[derive(Debug, Clone, Copy)]
enum Brings {
    Book,
    Word,
    Key,
}

async fn brings(tunnel: &mut Tunnel, book: &PriceBook, what: Brings) {
    let word = match what {
        // The agent has all of it when this returns.
        Brings::Book => {
            let sent = weft_transport::prices::send(&tunnel.connection, book.canonical());
            return soon(sent).await.expect("sent");
        }
        Brings::Word => HubMessage::Prices(PricesOffer {
            hash: book.hash(),
            size: u32::try_from(book.canonical().len()).expect("short"),
            signature: *key().sign(&book.hash().signed_text()).as_bytes(),
            active: true,
        }),
        Brings::Key => HubMessage::Ledger(HubLedger {
            key: *key().public().as_bytes(),
            handovers: Vec::new(),
            accepted: None,
        }),
    };
    tunnel.sender.send(&word).await.expect("sent");
}

/// Whether the book is kept: beside the log, as the next start finds it.
async fn is_kept(world: &World, hash: BookHash) -> bool {
    let path = world.data.root().join("prices").join(hash.to_string());
    let kept = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, kept).await.is_ok()
}

#[tokio::test]
async fn a_price_book_is_taken_in_whatever_order_it_its_word_and_the_hubs_key_come() {
    for order in [
        [Brings::Book, Brings::Word, Brings::Key],
        [Brings::Book, Brings::Key, Brings::Word],
        [Brings::Word, Brings::Book, Brings::Key],
        [Brings::Key, Brings::Word, Brings::Book],
    ] {
        let world = World::new().await;
        world.tunnel.connection.close(1_u32.into(), b"gone");
        let book = PriceBook::new(Draft::default()).expect("a book");
        let (mut tunnel, greeting) = ledger_greets(&world).await;
        assert!(greeting.books.is_empty());
        for what in order {
            brings(&mut tunnel, &book, what).await;
            // What is said next is heard next: streams overtake each other only by themselves.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(is_kept(&world, book.hash()).await, "{order:?}");
        tunnel.connection.close(1_u32.into(), b"gone");
        let (_, greeting) = ledger_greets(&world).await;
        assert_eq!(greeting.books, [book.hash()], "{order:?}");
    }
}
