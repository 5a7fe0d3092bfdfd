//! Price books.

use crate::fixture::{World, named};
use std::sync::Arc;
use weft_proto::prices::BookHash;
use weft_store::{BookVersion, KeptBook, PageSize, Store, StoreError};

fn book(world: &World, bytes: usize) -> KeptBook {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&world.bytes());
    signature[32..].copy_from_slice(&world.bytes());
    let version = BookVersion {
        hash: BookHash::from_bytes(world.bytes()),
        rows: 1_234,
        note: named("prices.csv"),
        signature,
        imported_at: world.now(),
    };
    KeptBook { version, canonical: world.bytes().repeat(bytes / 32) }
}

pub(crate) async fn a_book_comes_back_byte_for_byte_and_the_first_stands(store: Arc<dyn Store>) {
    let world = World::new(1);
    // As large as a book may be.
    let kept = book(&world, 4 * 1024 * 1024);
    let books = store.price_books();
    assert_eq!(books.find(kept.version.hash).await.expect("looked"), None);
    assert!(books.add(&kept).await.expect("kept"));
    let mut again = kept.clone();
    again.version.note = named("another file");
    assert!(!books.add(&again).await.expect("known"));
    assert_eq!(books.find(kept.version.hash).await.expect("looked"), Some(kept.clone()));
    let later = book(&world, 64);
    assert!(books.add(&later).await.expect("kept"));
    let versions = books.versions(PageSize::clamped(10)).await.expect("listed");
    assert_eq!(versions, [later.version.clone(), kept.version]);
    assert_eq!(books.versions(PageSize::clamped(1)).await.expect("listed"), [later.version]);
}

pub(crate) async fn the_latest_activation_is_in_force_and_history_only_grows(
    store: Arc<dyn Store>,
) {
    let world = World::new(2);
    let books = store.price_books();
    let (one, two) = (book(&world, 32), book(&world, 32));
    for kept in [&one, &two] {
        books.add(kept).await.expect("kept");
    }
    assert!(books.activations(PageSize::default()).await.expect("listed").is_empty());
    let unknown = books.activate(BookHash::from_bytes([7; 32]), world.now()).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { what: "price book" })), "{unknown:?}");
    let mut history = Vec::new();
    for kept in [&one, &two, &one] {
        let at = world.now();
        let activation = books.activate(kept.version.hash, at).await.expect("activated");
        assert_eq!((activation.hash, activation.at), (kept.version.hash, at));
        let again = books.activate(kept.version.hash, world.now()).await.expect("in force");
        assert_eq!(again, activation, "what is in force is not put in force again");
        history.insert(0, activation);
        assert_eq!(books.activations(PageSize::default()).await.expect("listed"), history);
    }
    assert_eq!(history.iter().map(|one| one.number).collect::<Vec<_>>(), [3, 2, 1]);
}
