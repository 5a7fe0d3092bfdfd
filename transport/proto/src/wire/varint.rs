//! Variable-length integers as in RFC 9000 section 16: two bits of length, 6 to 62 bits of value.

use super::Malformed;
use bytes::BufMut;

/// Largest value that fits.
pub const MAX: u64 = (1 << 62) - 1;

/// Appends `value` in its shortest form.
///
/// # Errors
/// [`Malformed`] for a value above [`MAX`].
pub fn encode(value: u64, out: &mut impl BufMut) -> Result<(), Malformed> {
    match value {
        0..=0x3f => out.put_u8(value as u8),
        0x40..=0x3fff => out.put_u16(value as u16 | 0x4000),
        0x4000..=0x3fff_ffff => out.put_u32(value as u32 | 0x8000_0000),
        0x4000_0000..=MAX => out.put_u64(value | 0xc000_0000_0000_0000),
        _ => return Err(Malformed("varint")),
    }
    Ok(())
}

/// How many bytes the varint takes whose first byte is `first`: 1, 2, 4 or 8.
#[must_use]
pub const fn encoded_len(first: u8) -> usize {
    1 << (first >> 6)
}

/// Reads a varint from the front of `input`: its value and its length in bytes, or `None` where
/// more bytes are needed. Longer forms than needed are taken, as in QUIC.
#[must_use]
pub fn decode(input: &[u8]) -> Option<(u64, usize)> {
    let first = *input.first()?;
    let len = encoded_len(first);
    let bytes = input.get(..len)?;
    let value = bytes[1..]
        .iter()
        .fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_9000_decode() {
        let examples: [(&[u8], u64); 4] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ];
        for (bytes, value) in examples {
            assert_eq!(decode(bytes), Some((value, bytes.len())));
        }
        assert_eq!(decode(&[0x40, 0x25]), Some((37, 2)));
        assert_eq!(decode(&[0x9d, 0x7f]), None);
    }

    proptest! {
        #[test]
        fn every_value_round_trips(value in 0..=MAX) {
            let mut out = Vec::new();
            encode(value, &mut out).unwrap();
            prop_assert_eq!(decode(&out), Some((value, out.len())));
        }

        #[test]
        fn values_above_the_limit_are_refused(value in MAX + 1..) {
            prop_assert!(encode(value, &mut Vec::new()).is_err());
        }
    }
}
