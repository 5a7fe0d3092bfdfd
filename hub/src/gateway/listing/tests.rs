//! The parts that queries ask for, and the shapes of both dialects.

use super::*;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::{AccountId, OwnerId, UserId};
use weft_proto::time::{ManualClock, Timestamp};
use weft_store::Home;

const fn listing(provider: Provider, kind: ObjectKind, dialect: Dialect) -> Listing {
    Listing { provider, kind, dialect }
}

const FILES: Listing = listing(Provider::OpenAi, ObjectKind::File, Dialect::OpenAi);
const CONTAINERS: Listing = listing(Provider::Azure, ObjectKind::Container, Dialect::OpenAi);
const ANTHROPIC: Listing = listing(Provider::Anthropic, ObjectKind::File, Dialect::Anthropic);

fn part(listing: Listing, query: &str) -> Result<Part, (u16, &'static str)> {
    let target = Target::parse(&format!("/v1/files{query}")).unwrap();
    listing.part(&target).map_err(|refusal| (refusal.status().as_u16(), refusal.cause()))
}

fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

#[test]
fn a_batch_is_listed_as_one_that_runs_or_has_ended() {
    let listing = listing(Provider::Anthropic, ObjectKind::Batch, Dialect::Anthropic);
    let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
    let entropy = SeededEntropy::new(1);
    let object = Object {
        home: Home {
            account: AccountId::generate(&clock, &entropy),
            owner: OwnerId::generate(&clock, &entropy),
        },
        provider: Provider::Anthropic,
        kind: ObjectKind::Batch,
        id: id("msgbatch_1"),
        user: UserId::generate(&clock, &entropy),
        parent: None,
        bytes: None,
        made_at: Timestamp::from_secs(1_800_000_000),
    };
    let ended = listing.entry(&object, false);
    assert_eq!(ended["processing_status"], "ended");
    let openai = self::listing(Provider::OpenAi, ObjectKind::Batch, Dialect::OpenAi);
    let states = [true, false].map(|runs| openai.entry(&object, runs)["status"].clone());
    assert_eq!(states, ["in_progress", "completed"]);
    let shown = listing.entry(&object, true);
    assert_eq!(shown["processing_status"], "in_progress");
    assert_eq!(shown["type"], "message_batch");
    assert_eq!(shown["created_at"], "2027-01-15T08:00:00Z");
    assert_eq!(shown["expires_at"], "2027-01-16T08:00:00Z");
}

#[test]
fn a_query_asks_for_a_part_in_the_words_of_its_dialect() {
    use ObjectOrder::{NewestFirst, OldestFirst};
    let plain = |order, after: Option<&str>, size| {
        Ok(Part { order, after: after.map(id), size, backwards: false })
    };
    for (listing, query, expected) in [
        (FILES, "", plain(NewestFirst, None, 10_000)),
        (FILES, "?limit=3&order=asc&purpose=x", plain(OldestFirst, None, 3)),
        (FILES, "?after=file-1&order=desc&limit=", plain(NewestFirst, Some("file-1"), 10_000)),
        (CONTAINERS, "", plain(NewestFirst, None, 20)),
        (CONTAINERS, "?limit=100", plain(NewestFirst, None, 100)),
        (ANTHROPIC, "?after_id=file_1&limit=1000", plain(NewestFirst, Some("file_1"), 1_000)),
    ] {
        assert_eq!(part(listing, query), expected, "{query}");
    }
    let before = Part { order: OldestFirst, after: Some(id("file_1")), size: 20, backwards: true };
    assert_eq!(part(ANTHROPIC, "?before_id=file_1&after_id="), Ok(before));
    for (listing, query) in [
        (FILES, "?limit=0"),
        (FILES, "?limit=10001"),
        (FILES, "?limit=-1"),
        (FILES, "?limit=x"),
        (FILES, "?order=up"),
        (FILES, "?after=a%20b"),
        (CONTAINERS, "?limit=101"),
        (ANTHROPIC, "?limit=1001"),
        (ANTHROPIC, "?after_id=a&before_id=b"),
        (ANTHROPIC, "?before_id=a,b"),
    ] {
        assert_eq!(part(listing, query), Err((400, "list_query")), "{query}");
    }
}

#[test]
fn an_entry_says_what_is_known_and_its_id_for_a_name() {
    let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
    let entropy = SeededEntropy::new(1);
    let object = |kind, text| Object {
        home: Home {
            account: AccountId::generate(&clock, &entropy),
            owner: OwnerId::generate(&clock, &entropy),
        },
        id: id(text),
        kind,
        provider: Provider::OpenAi,
        user: UserId::generate(&clock, &entropy),
        parent: None,
        bytes: Some(12),
        made_at: Timestamp::from_micros(1_800_000_000_999_999),
    };
    let files = [object(ObjectKind::File, "file-1"), object(ObjectKind::File, "file-2")];
    let body = FILES.body(&files, true, |_| false);
    assert_eq!(body["object"], "list");
    assert_eq!(
        (&body["first_id"], &body["last_id"], &body["has_more"]),
        (&json!("file-1"), &json!("file-2"), &json!(true))
    );
    assert_eq!(
        body["data"][0],
        json!({
            "id": "file-1", "object": "file", "bytes": 12, "created_at": 1_800_000_000_u64,
            "filename": "file-1", "purpose": "user_data", "status": "processed",
        })
    );
    let containers = CONTAINERS.body(&[object(ObjectKind::Container, "cntr_1")], false, |_| false);
    assert_eq!(containers["data"][0]["object"], "container");
    let anthropic = ANTHROPIC.body(&files[..1], false, |_| false);
    assert!(anthropic.get("object").is_none());
    assert_eq!(anthropic["data"][0]["type"], "file");
    assert_eq!(anthropic["data"][0]["size_bytes"], 12);
    assert_eq!(anthropic["data"][0]["created_at"], "2027-01-15T08:00:00Z");
    let empty = FILES.body(&[], false, |_| false);
    assert_eq!((&empty["data"], &empty["first_id"]), (&json!([]), &Value::Null));
    for body in [body, containers, anthropic] {
        let text = body.to_string();
        for hidden in ["account", "owner", "user\"", "home"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
}
