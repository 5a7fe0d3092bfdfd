//! A request's body out of shared parts: sending it copies nothing and allocates nothing.
//!
//! It is sent in pieces, so that a body of many MiB never holds an event loop for long.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The longest piece that is handed over at a time, in bytes.
const PIECE_BYTES_MAX: usize = 128 * 1_024;
/// Parts of a body: what stands before the bulk, the bulk, what stands behind it.
const PARTS: usize = 3;

/// A body whose length is known. A clone shares its bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    parts: [Bytes; PARTS],
}

impl Load {
    /// A body of one part.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { parts: [bytes.into(), Bytes::new(), Bytes::new()] }
    }

    /// `bulk` between two others.
    pub(super) const fn around(before: Bytes, bulk: Bytes, behind: Bytes) -> Self {
        Self { parts: [before, bulk, behind] }
    }

    /// Bytes that are still to be sent.
    pub(super) fn left(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }

    /// The next piece; nothing at the end.
    pub(super) fn piece(&mut self) -> Option<Bytes> {
        let part = self.parts.iter_mut().find(|part| !part.is_empty())?;
        Some(part.split_to(part.len().min(PIECE_BYTES_MAX)))
    }
}

impl Body for Load {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_body_are_its_bytes_and_share_them() {
        let bulk = Bytes::from(vec![7; 3 * PIECE_BYTES_MAX + 5]);
        let mut load = Load::around("a".into(), bulk.clone(), "z".into());
        assert_eq!(load.left(), bulk.len() as u64 + 2);
        let mut whole = Vec::new();
        while let Some(piece) = load.piece() {
            assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES_MAX);
            let within = bulk.as_ptr_range().contains(&piece.as_ptr());
            assert!(within || piece.len() == 1, "a piece of the bulk is not a copy");
            whole.extend_from_slice(&piece);
        }
        assert_eq!(whole, [b"a", &bulk[..], b"z"].concat());
        assert!(load.is_end_stream());
    }
}
