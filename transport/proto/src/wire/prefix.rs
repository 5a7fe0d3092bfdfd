//! Length-prefixed blocks: `varint length | bytes`, with the limit known before the bytes are read.

use super::{Malformed, varint};
use bytes::{Buf, Bytes, BytesMut};

/// Prefixes `block` with its length.
///
/// # Errors
/// [`Malformed`] where the block is longer than `max` bytes: it could not be read at the other end.
pub fn encode(block: &[u8], max: usize, out: &mut BytesMut) -> Result<(), Malformed> {
    if block.len() > max {
        return Err(Malformed("block length"));
    }
    out.reserve(block.len() + 8);
    varint::encode(block.len() as u64, out)?;
    out.extend_from_slice(block);
    Ok(())
}

/// Takes one whole block from the front of `input`, or `None` where more bytes are needed.
/// Bytes behind the block stay.
///
/// # Errors
/// [`Malformed`] as soon as the announced length exceeds `max` bytes: nothing is buffered for it.
pub fn decode(input: &mut BytesMut, max: usize) -> Result<Option<Bytes>, Malformed> {
    decode_behind(0, input, max)
}

/// Takes one whole block from behind the first `skip` bytes of `input`, and those bytes with it.
/// Where there is none (yet), `input` stays as it is.
///
/// # Errors
/// [`Malformed`] as [`decode`]; again by each further call.
pub fn decode_behind(
    skip: usize,
    input: &mut BytesMut,
    max: usize,
) -> Result<Option<Bytes>, Malformed> {
    let Some((length, prefix)) = input.get(skip..).and_then(varint::decode) else {
        return Ok(None);
    };
    let length = usize::try_from(length).map_err(|_| Malformed("block length"))?;
    if length > max {
        return Err(Malformed("block length"));
    }
    let begin = skip + prefix;
    if input.len() < begin + length {
        return Ok(None);
    }
    input.advance(begin);
    Ok(Some(input.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_come_out_whole_however_the_bytes_are_split(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            step in 1usize..70,
        ) {
            let mut wire = BytesMut::new();
            for block in &blocks {
                encode(block, 300, &mut wire).unwrap();
            }
            let (mut input, mut read) = (BytesMut::new(), Vec::new());
            for part in wire.chunks(step) {
                input.extend_from_slice(part);
                while let Some(block) = decode(&mut input, 300).unwrap() {
                    read.push(block.to_vec());
                }
            }
            prop_assert_eq!(read, blocks);
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let mut wire = BytesMut::from(&[0x41, 0x2d][..]);
        assert_eq!(decode(&mut wire, 300), Err(Malformed("block length")));
    }
}
