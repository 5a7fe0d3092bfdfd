use proptest::prelude::*;

use super::*;

/// The events of a stream: name and data. The last may be unfinished.
fn events(splits: &[&[u8]]) -> Vec<(Option<String>, Vec<u8>, bool)> {
    let mut splitter = Splitter::new();
    let mut events = vec![(None, Vec::new(), false)];
    for split in splits {
        splitter.feed(split, |part| {
            let last = events.last_mut().expect("one event at least");
            match part {
                Part::Name(name) => last.0 = Some(name.to_owned()),
                Part::Data(data) => last.1.extend_from_slice(data),
                Part::End => {
                    last.2 = true;
                    events.push((None, Vec::new(), false));
                }
            }
        });
    }
    events
}

/// The finished events that have data, as their readers see them.
fn seen(stream: &str) -> Vec<(String, String)> {
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    let slowly = events(&bytes);
    assert_eq!(slowly, events(&[stream.as_bytes()]), "{stream:?} differs in single bytes");
    slowly
        .into_iter()
        .filter(|(_, data, finished)| *finished && !data.is_empty())
        .map(|(name, data, _)| {
            (name.unwrap_or_default(), String::from_utf8(data).expect("whole characters"))
        })
        .collect()
}

fn event(name: &str, data: &str) -> (String, String) {
    (name.to_owned(), data.to_owned())
}

#[test]
fn an_event_is_its_name_and_its_data() {
    let one = vec![event("a", "x")];
    for stream in [
        "event: a\ndata: x\n\n",
        "event:a\r\ndata:x\r\n\r\n",
        "event: a\rdata: x\r\r",
        "\u{feff}event: a\ndata: x\n\n",
        ": keep-alive\n\nevent: a\n: c\nid: 7\nretry: 5\nunknown: z\ndata: x\n\n",
        "event: b\nevent: a\ndata: x\n\ndata: unfinished",
        "\n\n\nevent: a\r\ndata: x\n\r\n",
        "data:\u{20}x\nevent: a\n\n",
    ] {
        assert_eq!(seen(stream), one, "{stream:?}");
    }
    assert_eq!(
        seen("data: one\ndata:two\ndata\ndata:  three \n\ndata: [DONE]\n\n"),
        [event("", "one\ntwo\n\n three "), event("", "[DONE]")]
    );
    assert_eq!(seen("data: é😀\n\n"), [event("", "é😀")]);
    for nothing in
        ["", "data", "data: x", "data: x\n", "datax: y\n\n", "event: a\n\n", "DATA: x\n\n"]
    {
        assert_eq!(seen(nothing), [], "{nothing:?}");
    }
    // A mark that breaks off, or stands elsewhere, is part of a name.
    assert_eq!(events(&[b"\xef\xbbdata: x\n\n"])[0].1, b"");
    assert_eq!(seen("\u{feff}\u{feff}data: x\n\n"), []);
}

#[test]
fn nothing_but_names_is_held() {
    let long = "n".repeat(EVENT_NAME_MAX + 1);
    assert_eq!(seen(&format!("event: {long}\ndata: x\n\n")), [event("", "x")]);
    let most = "n".repeat(EVENT_NAME_MAX);
    assert_eq!(seen(&format!("event: {most}\ndata: x\n\n")), [event(&most, "x")]);
    let mut splitter = Splitter::new();
    for _ in 0..1000 {
        splitter.feed(&[b'x'; 1000], |part| panic!("{part:?} of an endless name"));
    }
    assert!(splitter.field_name.capacity() < 64);
}

#[test]
fn data_is_handed_on_before_its_line_ends() {
    let mut got = Vec::new();
    let mut splitter = Splitter::new();
    splitter.feed(b"data: abc", |part| match part {
        Part::Data(data) => got.extend_from_slice(data),
        Part::Name(_) | Part::End => panic!("nothing else yet"),
    });
    assert_eq!(got, b"abc");
}

/// The standard's own description, on the whole stream at once.
fn by_the_book(stream: &str) -> Vec<(String, String)> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let text = stream.replace("\r\n", "\n").replace('\r', "\n");
    let Some((lines, _unfinished)) = text.rsplit_once('\n') else { return Vec::new() };
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), None::<String>);
    for line in lines.split('\n') {
        if line.is_empty() {
            if let Some(data) = data.take().filter(|data| !data.is_empty()) {
                events.push((std::mem::take(&mut name), data));
            }
            name.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    events
}

proptest! {
    #[test]
    fn any_split_reads_as_the_standard_says(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data", "event", ":", ": ", " ", "\n", "\r", "\r\n", "x", "é", "\u{feff}", "data: y\n",
            "\n\n", "id: 1\n", ":c\n", "{\"a\":1}",
        ]), 0..24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream = pieces.concat();
        let splits = crate::scan::json::tests::split_at(stream.as_bytes(), &cuts);
        prop_assert_eq!(events(&splits), events(&[stream.as_bytes()]));
        prop_assert_eq!(seen(&stream), by_the_book(&stream));
    }
}
