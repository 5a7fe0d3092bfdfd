//! The vault's file, version 1. Integers are big-endian.
//!
//! ```text
//! magic        8   "weftvlt" 0x01      the last byte is the version
//! count        4   number of entries, at most 1,024
//! entry × count
//!   id        16   the account's id
//!   meta_len   2   at most 16,384
//!   meta           the account without its secret, JSON
//!   nonce     12   fresh chance at every sealing
//!   sealed_len 2   at most 4,112
//!   sealed         AES-256-GCM of the secret; additional data is
//!                  "weft vault 1" 0x00 ‖ id ‖ meta. The secret is the key, and where
//!                  the meta names a proxy 0x0a and the proxy's password (or nothing)
//! end              nothing may follow
//! ```
//!
//! The additional data binds a secret to everything the file says about it: a key that was sealed
//! for one site cannot be lent to another by editing the readable half. The readable half is kept
//! as the bytes that were sealed, so that an older build that rewrites the file loses no field that
//! a newer one added. This file never sees a secret in the clear.

use super::key::{NONCE_BYTES, TAG_BYTES};
use weft_proto::ids::AccountId;

/// Magic bytes and version.
const MAGIC: [u8; 8] = *b"weftvlt\x01";
/// Domain separation of the additional data.
const AAD_PREFIX: &[u8] = b"weft vault 1\0";
/// Accounts of one agent at most.
pub(super) const ENTRIES_MAX: usize = 1_024;
/// Bytes of one account's readable half at most.
pub(super) const META_BYTES_MAX: usize = 16_384;
/// Bytes of one secret at most.
pub(super) const SECRET_BYTES_MAX: usize = 4_096;
/// Bytes of a whole file at most: what a reader is ready to load.
pub(super) const FILE_BYTES_MAX: u64 = 32 << 20;

/// One entry as it stands in the file: the secret is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedEntry {
    pub(super) id: AccountId,
    pub(super) meta: Vec<u8>,
    pub(super) nonce: [u8; NONCE_BYTES],
    pub(super) sealed: Vec<u8>,
}

/// What is wrong with a file, for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The additional data that a secret is sealed with.
pub(super) fn additional_data(id: AccountId, meta: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(AAD_PREFIX.len() + 16 + meta.len());
    data.extend_from_slice(AAD_PREFIX);
    data.extend_from_slice(id.as_bytes());
    data.extend_from_slice(meta);
    data
}

/// Writes a file. Lengths are within their limits by construction: see [`super::Vault::add`].
pub(super) fn encode(entries: &[SealedEntry]) -> Result<Vec<u8>, Malformed> {
    if entries.len() > ENTRIES_MAX {
        return Err(Malformed("too many accounts"));
    }
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
    for entry in entries {
        bytes.extend_from_slice(entry.id.as_bytes());
        put_block(&mut bytes, &entry.meta, META_BYTES_MAX)?;
        bytes.extend_from_slice(&entry.nonce);
        put_block(&mut bytes, &entry.sealed, SECRET_BYTES_MAX + TAG_BYTES)?;
    }
    Ok(bytes)
}

fn put_block(bytes: &mut Vec<u8>, block: &[u8], max: usize) -> Result<(), Malformed> {
    let length = u16::try_from(block.len())
        .ok()
        .filter(|_| block.len() <= max)
        .ok_or(Malformed("an entry is too long"))?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(block);
    Ok(())
}

/// Reads a file; every length is checked before anything is taken.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<SealedEntry>, Malformed> {
    let mut rest = Reader(bytes);
    let magic = rest.take(MAGIC.len())?;
    if magic[..7] != MAGIC[..7] {
        return Err(Malformed("it does not begin like a vault"));
    }
    if magic[7] != MAGIC[7] {
        return Err(Malformed("it was written by another version of weft-agent"));
    }
    let count = u32::from_be_bytes(rest.array()?) as usize;
    if count > ENTRIES_MAX {
        return Err(Malformed("it claims too many accounts"));
    }
    let mut entries: Vec<SealedEntry> = Vec::new();
    for _ in 0..count {
        let id = AccountId::from_slice(rest.take(16)?).map_err(|_| Malformed("an id is no id"))?;
        if entries.iter().any(|entry| entry.id == id) {
            return Err(Malformed("one account stands in it twice"));
        }
        let meta = rest.block(META_BYTES_MAX)?.to_vec();
        let nonce = rest.array()?;
        let sealed = rest.block(SECRET_BYTES_MAX + TAG_BYTES)?.to_vec();
        entries.push(SealedEntry { id, meta, nonce, sealed });
    }
    if rest.0.is_empty() { Ok(entries) } else { Err(Malformed("bytes follow its end")) }
}

/// Takes from the front of what is left, never past the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) =
            self.0.split_at_checked(length).ok_or(Malformed("it ends before its end"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("it ends before its end"))
    }

    fn block(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length > max {
            return Err(Malformed("an entry is too long"));
        }
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<SealedEntry>> {
        let entry = (
            any::<[u8; 16]>(),
            proptest::collection::vec(any::<u8>(), 0..200),
            any::<[u8; NONCE_BYTES]>(),
            proptest::collection::vec(any::<u8>(), 0..200),
        );
        proptest::collection::vec(entry, 0..6).prop_map(|list| {
            let mut entries: Vec<SealedEntry> = Vec::new();
            for (id, meta, nonce, sealed) in list {
                let id = AccountId::from_slice(&id).expect("sixteen bytes");
                if entries.iter().all(|entry| entry.id != id) {
                    entries.push(SealedEntry { id, meta, nonce, sealed });
                }
            }
            entries
        })
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(entries in entries()) {
            let bytes = encode(&entries).expect("within limits");
            prop_assert_eq!(decode(&bytes), Ok(entries));
        }

        #[test]
        fn a_shortened_or_lengthened_file_is_refused(entries in entries(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&entries).expect("within limits");
            let short = &bytes[..cut.index(bytes.len())];
            prop_assert!(decode(short).is_err());
            let mut long = bytes;
            long.push(0);
            prop_assert!(decode(&long).is_err());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(decode(&bytes));
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend_from_slice(&bytes);
            drop(decode(&with_magic));
        }
    }
}
