use std::io::Write;

use ::brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// Encodes the parts, each flushed as a provider flushes events.
pub(crate) fn encode(coding: &str, parts: &[&[u8]]) -> Vec<u8> {
    fn all(mut to: impl Write, parts: &[&[u8]]) {
        for part in parts {
            to.write_all(part).expect("memory");
            to.flush().expect("memory");
        }
    }
    let mut out = Vec::new();
    match coding {
        "identity" => all(&mut out, parts),
        "gzip" => all(GzEncoder::new(&mut out, Compression::fast()), parts),
        "deflate" => all(ZlibEncoder::new(&mut out, Compression::fast()), parts),
        "bare deflate" => all(DeflateEncoder::new(&mut out, Compression::fast()), parts),
        "br" => all(CompressorWriter::new(&mut out, 4096, 5, 22), parts),
        "zstd" => {
            let mut to = ::zstd::stream::write::Encoder::new(&mut out, 1).expect("an encoder");
            all(&mut to, parts);
            to.finish().expect("memory");
        }
        other => panic!("no encoder for {other}"),
    }
    out
}

fn decode(coding: &str, splits: &[&[u8]]) -> (Vec<u8>, Result<(), DecodeError>) {
    let name = if coding == "bare deflate" { "deflate" } else { coding };
    let mut decoder = Decoder::for_coding(name).expect("a known coding");
    let mut out = Vec::new();
    for split in splits {
        if let Err(error) = decoder.feed(split, |plain| out.extend_from_slice(plain)) {
            assert_eq!(decoder.feed(b"x", |_| panic!("after an error")), Err(error));
            return (out, Err(error));
        }
    }
    (out, Ok(()))
}

#[test]
fn every_coding_is_undone_part_by_part() {
    let parts: [&[u8]; 3] = [b"data: {\"a\":1}\n\n", &[b'x'; 100_000], "data: é\n\n".as_bytes()];
    let plain = parts.concat();
    for coding in CODINGS.iter().copied().chain(["identity", "bare deflate"]) {
        let coded = encode(coding, &parts);
        assert_eq!(decode(coding, &[&coded]), (plain.clone(), Ok(())), "{coding}");
        let bytes: Vec<&[u8]> = coded.chunks(1).collect();
        assert_eq!(decode(coding, &bytes), (plain.clone(), Ok(())), "{coding} in single bytes");
    }
}

#[test]
fn a_flushed_part_is_handed_on_before_the_next_comes() {
    let first = b"data: {\"id\":\"resp_1\"}\n\n";
    for coding in CODINGS {
        let mut coded = encode(coding, &[first, b"data: more\n\n"]);
        // Cut right after the flush: what the second part adds is longer than the tail of the coding.
        let alone = match coding {
            "zstd" => {
                let mut out = Vec::new();
                let mut to = ::zstd::stream::write::Encoder::new(&mut out, 1).expect("an encoder");
                to.write_all(first).expect("memory");
                to.flush().expect("memory");
                to.get_ref().len()
            }
            "br" => {
                let mut to = CompressorWriter::new(Vec::new(), 4096, 5, 22);
                to.write_all(first).expect("memory");
                to.flush().expect("memory");
                to.get_ref().len()
            }
            "gzip" => {
                let mut to = GzEncoder::new(Vec::new(), Compression::fast());
                to.write_all(first).expect("memory");
                to.flush().expect("memory");
                to.get_ref().len()
            }
            _ => {
                let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
                to.write_all(first).expect("memory");
                to.flush().expect("memory");
                to.get_ref().len()
            }
        };
        coded.truncate(alone);
        assert_eq!(decode(coding, &[&coded]), (first.to_vec(), Ok(())), "{coding}");
    }
}

#[test]
fn several_members_and_frames_are_one_body() {
    for coding in ["gzip", "zstd"] {
        let coded = [encode(coding, &[b"one "]), encode(coding, &[b"two"])].concat();
        assert_eq!(decode(coding, &[&coded]), (b"one two".to_vec(), Ok(())), "{coding}");
    }
}

#[test]
fn a_gzip_header_may_hold_anything_that_it_may_hold() {
    let plain = encode("gzip", &[b"hello"]);
    let body = &plain[10..];
    let fixed = |flags: u8| vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    for (flags, fields) in [
        (0, &b""[..]),
        (4, b"\x03\x00abc"),
        (4, b"\x00\x00"),
        (8, b"name\0"),
        (8 | 16, b"\0comment\0"),
        (2, b"\xff\xff"),
        (1 | 2 | 4 | 8 | 16, b"\x01\x00anb\0c\0\0\0"),
    ] {
        let coded = [fixed(flags), fields.to_vec(), body.to_vec()].concat();
        let bytes: Vec<&[u8]> = coded.chunks(1).collect();
        assert_eq!(decode("gzip", &bytes), (b"hello".to_vec(), Ok(())), "flags {flags}");
    }
    for bad in [&b"\x1f\x8c"[..], b"{}", b"\x1f\x8b\x07", b"\x1f\x8b\x08\x20"] {
        assert_eq!(decode("gzip", &[bad]).1, Err(DecodeError::Malformed), "{bad:x?}");
    }
}

#[test]
fn what_is_no_coding_ends_the_reading() {
    for coding in CODINGS {
        let garbage = b"{\"id\":\"resp_1\"} and some more bytes that are no coding at all";
        assert_eq!(decode(coding, &[garbage]).1, Err(DecodeError::Malformed), "{coding}");
        let mut tail = encode(coding, &[b"hello"]);
        tail.extend_from_slice(b"trailing bytes");
        let (plain, ended) = decode(coding, &[&tail]);
        assert_eq!((plain.as_slice(), ended), (&b"hello"[..], Err(DecodeError::Malformed)));
    }
}

#[test]
fn a_body_that_decodes_to_too_much_is_left() {
    let zeros = vec![0; 1 << 20];
    for coding in CODINGS {
        let parts = vec![&zeros[..]; 65];
        let bomb = encode(coding, &parts);
        let mut decoder = Decoder::for_coding(coding).expect("a known coding");
        let mut made = 0u64;
        let ended = decoder.feed(&bomb, |plain| made += plain.len() as u64);
        assert_eq!((made, ended), (DECODED_BYTES_MAX, Err(DecodeError::TooLarge)), "{coding}");
    }
}

#[test]
fn windows_above_the_limits_are_refused() {
    let mut wide = Vec::new();
    let mut to = ::zstd::stream::write::Encoder::new(&mut wide, 1).expect("an encoder");
    to.set_parameter(::zstd::stream::raw::CParameter::WindowLog(ZSTD_WINDOW_LOG_MAX + 1))
        .expect("a parameter");
    // Without a size up front the frame says its window.
    to.include_contentsize(false).expect("a parameter");
    to.write_all(b"hello").expect("memory");
    to.finish().expect("memory");
    assert_eq!(decode("zstd", &[&wide]).1, Err(DecodeError::Malformed));
    // The first bytes of a brotli stream with a large window.
    assert_eq!(decode("br", &[b"\x11\x1e\x00\x00\x00"]).1, Err(DecodeError::Malformed));
}

#[test]
fn the_coding_is_read_from_the_headers() {
    let of = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Decoder::of(&headers).map(|decoder| format!("{decoder:?}").contains("identity"))
    };
    for (values, identity) in [
        (&[][..], true),
        (&["identity"], true),
        (&["identity, , identity"], true),
        (&["gzip"], false),
        (&["X-GZIP"], false),
        (&["identity", "br"], false),
    ] {
        assert_eq!(of(values), Ok(identity), "{values:?}");
    }
    for values in [&["gzip, br"][..], &["gzip", "gzip"], &["compress"], &["gzip;q=1"]] {
        assert_eq!(of(values), Err(DecodeError::UnknownCoding), "{values:?}");
    }
}

#[test]
fn a_decoder_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Decoder>();
}

proptest! {
    #[test]
    fn any_split_of_any_coding_decodes_to_the_whole(
        parts in prop::collection::vec(prop::collection::vec("[a-c]{0,40}", 0..20), 0..4),
        coding in prop::sample::select(vec!["gzip", "deflate", "bare deflate", "br", "zstd"]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let parts: Vec<String> = parts.into_iter().map(|part| part.concat()).collect();
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        let coded = encode(coding, &parts);
        let splits = crate::scan::json::tests::split_at(&coded, &cuts);
        prop_assert_eq!(decode(coding, &splits), (parts.concat(), Ok(())));
    }

    #[test]
    fn a_cut_or_bent_body_is_read_without_a_panic(
        coding in prop::sample::select(vec!["gzip", "deflate", "bare deflate", "br", "zstd"]),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        end in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut coded = encode(coding, &[&b"{\"id\":\"resp_1\",\"output\":[]}".repeat(40)]);
        let at = at.index(coded.len());
        coded[at] = to;
        coded.truncate(end.index(coded.len() + 1));
        drop(decode(coding, &crate::scan::json::tests::split_at(&coded, &cuts)));
    }
}
