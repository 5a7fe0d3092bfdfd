//! Places: a bounded queue to one writer, in which what is taken out keeps its place until it is
//! written.
//!
//! The writer takes a batch out and tries it for as long as the store is away. Were the batch's
//! places free meanwhile, what waits in memory would be bounded by the queue and a batch more.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Gives out the places of one queue.
#[derive(Debug)]
pub(crate) struct Places<T> {
    free: Arc<Semaphore>,
    sender: mpsc::Sender<T>,
}

impl<T> Clone for Places<T> {
    fn clone(&self) -> Self {
        Self { free: Arc::clone(&self.free), sender: self.sender.clone() }
    }
}

/// A place for one thing. Dropped unused, it is free again.
#[derive(Debug)]
pub(crate) struct Place<T> {
    taken: OwnedSemaphorePermit,
    sender: mpsc::Sender<T>,
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    free: Arc<Semaphore>,
    receiver: mpsc::Receiver<T>,
}

/// A queue of so many places, at least one.
pub(crate) fn queue<T>(places: usize) -> (Places<T>, Queue<T>) {
    let places = places.clamp(1, Semaphore::MAX_PERMITS);
    let (sender, receiver) = mpsc::channel(places);
    let free = Arc::new(Semaphore::new(places));
    (Places { free: Arc::clone(&free), sender }, Queue { free, receiver })
}

impl<T> Places<T> {
    /// Takes a place; `None` where none is free, or nobody writes any more.
    pub(crate) fn reserve(&self) -> Option<Place<T>> {
        let taken = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let sender = self.sender.clone();
        (!sender.is_closed()).then_some(Place { taken, sender })
    }
}

impl<T> Place<T> {
    /// Puts `item` there, without waiting. The place is taken until the writer says that it is
    /// [`written`](Queue::written).
    pub(crate) fn send(self, item: T) {
        // The channel is as long as there are places, so only a writer that has ended refuses.
        if self.sender.try_send(item).is_ok() {
            self.taken.forget();
        }
    }
}

impl<T> Queue<T> {
    /// Waits for something, and appends what is there to `batch`, at most `limit`. Nothing is
    /// appended where nothing can come any more.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not appended is still queued.
    pub(crate) async fn take(&mut self, batch: &mut Vec<T>, limit: usize) {
        self.receiver.recv_many(batch, limit).await;
    }

    /// The next one, where it is there.
    pub(crate) fn take_now(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// So many of what was taken out are written: their places are free.
    pub(crate) fn written(&self, count: usize) {
        self.free.add_permits(count);
    }

    /// Whether nothing can be sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.receiver.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_out_keeps_its_place_until_it_is_written() {
        let (places, mut queue) = queue(3);
        for item in 0..3 {
            places.reserve().expect("a place").send(item);
        }
        assert!(places.reserve().is_none());
        let mut batch = Vec::new();
        queue.take(&mut batch, 2).await;
        assert_eq!((batch, queue.take_now(), queue.take_now()), (vec![0, 1], Some(2), None));
        assert!(places.reserve().is_none(), "none of the three is written");
        queue.written(2);
        let (first, second) = (places.reserve(), places.reserve().expect("a second"));
        assert!(first.is_some() && places.reserve().is_none());
        drop(first);
        second.send(3);
        assert!(places.reserve().is_some(), "a place that was not used is free again");
        drop(queue);
        assert!(places.reserve().is_none(), "nobody writes any more");
    }

    #[tokio::test]
    async fn a_queue_has_one_place_at_least_and_ends_with_the_last_of_its_places() {
        let (places, mut queue) = queue::<u8>(0);
        let place = places.reserve().expect("one");
        drop(places);
        assert!(!queue.is_closed());
        place.send(7);
        let mut batch = Vec::new();
        queue.take(&mut batch, 9).await;
        assert_eq!(batch, [7]);
        assert!(queue.is_closed());
        queue.take(&mut batch, 9).await;
        assert_eq!(batch, [7]);
    }
}
