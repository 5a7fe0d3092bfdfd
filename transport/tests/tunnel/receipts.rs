//! Receipts and price books: one way, in order, whole or not at all.

use crate::world::{PATIENCE, World};
use bytes::Bytes;
use std::time::Duration;
use weft_proto::codes::AbortCode;
use weft_proto::limits::{PRICE_BOOK_BYTES_MAX, RECEIPT_BYTES_MAX};
use weft_proto::wire::Malformed;
use weft_proto::wire::receipts::Receipt;
use weft_transport::stream::StreamError;
use weft_transport::{prices, receipts};

#[tokio::test]
async fn receipts_arrive_in_their_order_whatever_their_size() {
    let tunnel = World::new().tunnel().await;
    let sent: Vec<Receipt> = (0..2_000_u32)
        .map(|number| match number % 100 {
            99 => Receipt::Claim { open: Bytes::from_static(b"o"), close: vec![7; 9_000].into() },
            50 => Receipt::Entry(Bytes::from(vec![number as u8; RECEIPT_BYTES_MAX])),
            _ => Receipt::Entry(Bytes::copy_from_slice(&number.to_be_bytes())),
        })
        .collect();
    let sending = async {
        let mut sender = receipts::open(&tunnel.agent).await.unwrap();
        for part in sent.chunks(333) {
            for receipt in part {
                sender.put(receipt).unwrap();
            }
            // Whatever else its task has to do: a dropped call has lost nothing.
            while !sender.is_flushed() {
                tokio::select! {
                    biased;
                    flushed = sender.flush() => flushed.unwrap(),
                    () = tokio::time::sleep(Duration::from_micros(50)) => {}
                }
            }
        }
        sender
    };
    let receiving = async {
        let stream = tunnel.hub.accept_uni().await.unwrap();
        let mut receiver = receipts::accept(stream).await.unwrap();
        let mut received = Vec::new();
        while received.len() < sent.len() {
            received.push(receiver.next().await.unwrap());
        }
        assert!(received == sent, "receipts changed on their way");
        receiver
    };
    let both = async { tokio::join!(sending, receiving) };
    let (sender, mut receiver) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    drop(sender);
    assert_eq!(receiver.next().await, Err(StreamError::Aborted(AbortCode::Internal)));
}

#[tokio::test]
async fn receipts_are_gathered_over_as_many_datagrams_as_they_take() {
    let tunnel = World::new().tunnel().await;
    let receipt = Receipt::Entry(Bytes::from(vec![7; 400]));
    let sending = async {
        let mut sender = receipts::open(&tunnel.agent).await.unwrap();
        for _ in 0..2_048 {
            sender.put(&receipt).unwrap();
        }
        sender.flush().await.unwrap();
        sender
    };
    let receiving = async {
        let stream = tunnel.hub.accept_uni().await.unwrap();
        let mut receiver = receipts::accept(stream).await.unwrap();
        for _ in 0..4 {
            let first = receiver.next().await.unwrap();
            let together = receiver.gather(first, 512, PATIENCE).await.unwrap();
            assert_eq!(together.len(), 512);
        }
        let nothing = receiver.gather(receipt.clone(), 512, Duration::from_millis(10)).await;
        assert_eq!(nothing, Ok(vec![receipt.clone()]));
    };
    let both = async { tokio::join!(sending, receiving) };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
}

#[tokio::test]
async fn a_hub_that_takes_no_more_receipts_is_heard() {
    let tunnel = World::new().tunnel().await;
    let sender = receipts::open(&tunnel.agent).await.unwrap();
    let stream = tunnel.hub.accept_uni().await.unwrap();
    drop(receipts::accept(stream).await.unwrap());
    let stopped = tokio::time::timeout(PATIENCE, sender.stopped()).await.unwrap();
    assert_eq!(stopped, Some(StreamError::Aborted(AbortCode::Internal)));
}

#[tokio::test]
async fn another_kind_or_a_frame_over_its_limit_is_malformed() {
    let tunnel = World::new().tunnel().await;
    for (bytes, what) in [
        (&[0x05_u8][..], "stream kind"),
        (&[0x01], "stream kind"),
        (&[0x04, 0x03], "receipt kind"),
        (&[0x04, 0x01, 0x00], "empty receipt"),
        (&[0x04, 0x01, 0x80, 0x00, 0x44, 0x01], "block length"),
        (&[0x04, 0x02, 0x04, 0x00, 0x02, 0xaa, 0xbb], "claim"),
    ] {
        let mut send = tunnel.agent.open_uni().await.unwrap();
        send.write_all(bytes).await.unwrap();
        let stream = tunnel.hub.accept_uni().await.unwrap();
        let heard = async {
            let mut receiver = receipts::accept(stream).await?;
            receiver.next().await
        };
        let heard = tokio::time::timeout(PATIENCE, heard).await.unwrap();
        assert_eq!(heard, Err(StreamError::Malformed(Malformed(what))));
        let stopped = tokio::time::timeout(PATIENCE, send.stopped()).await.unwrap();
        assert_eq!(stopped.unwrap().map(u64::from), Some(AbortCode::Malformed.number().into()));
    }
}

#[tokio::test]
async fn the_largest_price_book_arrives_whole_and_a_cut_one_does_not() {
    let tunnel = World::new().tunnel().await;
    let book: Vec<u8> = (0..PRICE_BOOK_BYTES_MAX).map(|index| (index % 251) as u8).collect();
    let receiving = async {
        let stream = tunnel.agent.accept_uni().await.unwrap();
        prices::receive(stream).await
    };
    let both = async { tokio::join!(prices::send(&tunnel.hub, &book), receiving) };
    let (sent, received) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    sent.unwrap();
    assert!(received.unwrap() == book, "the book changed on its way");

    let over = prices::send(&tunnel.hub, &[0; PRICE_BOOK_BYTES_MAX + 1]).await;
    assert_eq!(over, Err(StreamError::Malformed(Malformed("block length"))));

    for (bytes, what) in [
        (&[0x05_u8, 0x04, 0xaa][..], "end inside a block"),
        (&[0x05], "missing price book"),
        (&[0x05, 0x01, 0xaa, 0xbb], "bytes behind the price book"),
        (&[0x04], "stream kind"),
    ] {
        let mut send = tunnel.hub.open_uni().await.unwrap();
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
        let stream = tunnel.agent.accept_uni().await.unwrap();
        let received = tokio::time::timeout(PATIENCE, prices::receive(stream)).await.unwrap();
        assert_eq!(received, Err(StreamError::Malformed(Malformed(what))));
    }
}
