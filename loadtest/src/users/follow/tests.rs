//! Frames that are lost, swapped, repeated and altered, in whatever pieces an answer comes.

use super::*;

const HEAD: &str = "data: {\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}\n\n";
const TAIL: &str = "data: {\"finish_reason\":\"stop\"}\n\ndata: [DONE]\n\n";

fn delta(text: &str) -> String {
    format!("data: {{\"id\":\"one\",\"delta\":{{\"content\":\"{text}\"}}}}\n\n")
}

fn answer(texts: &[&str]) -> String {
    let deltas: String = texts.iter().map(|text| delta(text)).collect();
    format!("{HEAD}{deltas}{TAIL}")
}

fn followed(expected: &Expected, came: &str, size: usize) -> (Followed, u64) {
    let reader = Reader::new();
    let mut follower = Follower::new(expected, &reader);
    let deltas = came.as_bytes().chunks(size).map(|piece| follower.take(piece)).sum();
    (follower.end(true), deltas)
}

fn both() -> [(Expected, u64); 2] {
    let (reader, whole) = (Reader::new(), answer(&["a", "b", "c", "d", "e"]));
    // The second leaves what is no delta out of its count.
    [
        (Expected::exact(Bytes::from(whole.clone()), &reader), 3),
        (Expected::texts(whole.as_bytes(), &reader), 0),
    ]
}

#[test]
fn an_answer_that_came_as_it_should_is_sound_in_any_pieces() {
    let whole = answer(&["a", "b", "c", "d", "e"]);
    for (expected, more) in both() {
        for size in 1..=whole.len() {
            let (followed, deltas) = followed(&expected, &whole, size);
            let sound = Frames { expected: 5 + more, arrived: 5 + more, ..Frames::default() };
            assert_eq!((followed.frames, followed.is_whole, deltas), (sound, true, 5), "{size}");
        }
    }
}

#[test]
fn lost_swapped_repeated_and_altered_frames_are_told_apart() {
    let none = Frames::default();
    let cases: [(&[&str], Frames); 8] = [
        (&["a", "b", "d", "e"], Frames { lost: 1, ..none }),
        (&["d", "e"], Frames { lost: 3, ..none }),
        (&["a", "b", "c"], Frames { lost: 2, ..none }),
        (&["a", "c", "b", "d", "e"], Frames { reordered: 1, ..none }),
        (&["a", "b", "b", "c", "d", "e"], Frames { duplicated: 1, ..none }),
        (&["a", "b", "c", "d", "e", "b"], Frames { duplicated: 1, ..none }),
        (&["a", "X", "c", "d", "e"], Frames { altered: 1, ..none }),
        (&["a", "X", "b", "c", "d", "e"], Frames { altered: 1, ..none }),
    ];
    for (texts, wanted) in cases {
        let came = answer(texts);
        for (expected, more) in both() {
            for size in [1, 7, 50, came.len()] {
                let (followed, _) = followed(&expected, &came, size);
                let Frames { lost, reordered, duplicated, altered, .. } = followed.frames;
                let told = Frames { lost, reordered, duplicated, altered, ..none };
                assert_eq!(told, wanted, "{texts:?} in pieces of {size}");
                assert_eq!(followed.frames.arrived, texts.len() as u64 + more, "{texts:?}");
                assert_eq!(followed.frames.expected, 5 + more);
                assert!(followed.is_whole, "{texts:?}");
                assert!(!followed.frames.are_sound());
            }
        }
    }
}

#[test]
fn an_answer_that_breaks_off_is_not_whole_and_has_lost_nothing() {
    let whole = answer(&["a", "b", "c", "d", "e"]);
    let cut = &whole[..whole.len() - TAIL.len() - 10];
    for (expected, more) in both() {
        let (followed, _) = followed(&expected, cut, 9);
        assert!(!followed.is_whole);
        assert!(followed.frames.are_sound(), "{:?}", followed.frames);
        assert_eq!(followed.frames.arrived, 4 + more.min(1));
    }
}

#[test]
fn an_error_event_in_place_of_the_end_is_no_end() {
    let came = format!("{HEAD}{}data: {{\"error\":{{}}}}\n\n", delta("a"));
    for (expected, _) in both() {
        assert!(!followed(&expected, &came, 11).0.is_whole);
    }
}

#[test]
fn where_nothing_is_known_frames_are_counted() {
    let came = answer(&["x", "y", "z"]);
    for (deltas, lost) in [(None, 0), (Some(3), 0), (Some(5), 2)] {
        let (followed, seen) = followed(&Expected::Deltas(deltas), &came, 10);
        assert_eq!((followed.frames.lost, followed.frames.arrived, seen), (lost, 6, 3));
        assert!(followed.is_whole);
    }
}

#[test]
fn documents_are_compared_or_at_least_closed() {
    let document = Expected::Document(Bytes::from_static(b"{\"a\":1}"));
    for size in 1..8 {
        let (same, _) = followed(&document, "{\"a\":1}", size);
        assert!(same.is_whole && same.frames.are_sound() && same.frames.arrived == 1);
        let (other, _) = followed(&document, "{\"a\":2}", size);
        assert!(other.is_whole && other.frames.altered == 1, "{other:?}");
        let (long, _) = followed(&document, "{\"a\":1}}", size);
        assert!(!long.frames.are_sound(), "{long:?}");
        assert!(!followed(&document, "{\"a\"", size).0.is_whole);
    }
    assert!(followed(&Expected::AnyDocument, " {\"a\": 1}\n", 3).0.is_whole);
    assert!(!followed(&Expected::AnyDocument, "{\"a\": 1", 3).0.is_whole);
}
