//! Two accounts: an object is asked for where it lives, and nowhere else.

use super::tenant::{Api, Kind, Tenant};
use super::{cause, last_seq, nothing_whole_after, shown};
use crate::talk::*;
use http::Method;
use serde_json::json;
use std::time::Duration;
use weft_loadtest::mesh::world::{Plan, World, secret_of};
use weft_loadtest::provider::Record;
use weft_proto::provider::Provider;

const PROVIDERS: usize = Provider::ALL.len();

async fn two_accounts() -> World {
    begin(Plan { agents: 2, apart: true, ..Plan::default() }).await
}

/// The agent whose account was called.
#[track_caller]
fn agent_of(record: &Record) -> usize {
    let presented = received(record, "authorization").expect("a credential");
    let digest =
        |index| format!("sha256:{}", sha256(secret_of(Provider::OpenAi, index).as_bytes()));
    (0..2).find(|&index| presented == digest(index)).expect("an agent's own key")
}

async fn stop(world: &mut World, index: usize) {
    world.agents[index].process.end(Duration::from_secs(10)).await.unwrap();
    world.hub.offers(PROVIDERS).await.unwrap();
}

async fn start(world: &mut World, index: usize) {
    world.restart_agent(index).unwrap();
    world.hub.offers(2 * PROVIDERS).await.unwrap();
}

fn user(world: &World) -> Tenant<'_> {
    Tenant { world, key: &world.key.secret, api: Api::OpenAi }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_is_asked_for_at_the_account_that_has_it() {
    let mut world = two_accounts().await;
    stop(&mut world, 1).await;
    let first = user(&world).make(Kind::Response).await;
    let first_file = user(&world).make(Kind::File).await;
    start(&mut world, 1).await;
    stop(&mut world, 0).await;
    let ask = user(&world).ask(Method::GET, &format!("responses/{first}"), None);
    let refused = user(&world).say(&ask).await;
    assert_eq!(refused.status, 503, "the account's agent is away: {}", shown(&refused));
    assert!(refused.header("retry-after").is_some());
    let second = user(&world).make(Kind::Response).await;
    let second_file = user(&world).make(Kind::File).await;
    start(&mut world, 0).await;

    let user = user(&world);
    for (agent, kind, id) in [
        (0, Kind::Response, &first),
        (1, Kind::Response, &second),
        (0, Kind::File, &first_file),
        (1, Kind::File, &second_file),
    ] {
        for one in user.uses(kind, id, None) {
            let mut ask = one.ask.clone();
            if one.place == "beyond the peek" {
                ask = ask.with("weft-object", id);
            }
            let answer = user.say(&ask).await;
            assert_eq!(answer.status, 200, "{kind:?} {}: {}", one.place, shown(&answer));
            assert_eq!(agent_of(&last(&world).await), agent, "{kind:?} {}", one.place);
        }
    }
    let seq = last_seq(&world);
    let both = json!({"model": "gpt-4o", "previous_response_id": first, "input": [{"role": "user",
        "content": [{"type": "input_file", "file_id": second_file}]}]});
    let refused = user.say(&user.ask(Method::POST, "responses", Some(&both))).await;
    assert_eq!(
        (refused.status, cause(&refused).as_str()),
        (400, "objects_apart"),
        "{}",
        shown(&refused)
    );
    nothing_whole_after(&world, seq, "objects of two accounts").await;
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_reference_to_the_other_account_is_refused_and_told_how_to_be_named_ahead() {
    let mut world = two_accounts().await;
    stop(&mut world, 1).await;
    let first = user(&world).make(Kind::Response).await;
    start(&mut world, 1).await;
    stop(&mut world, 0).await;
    let second = user(&world).make(Kind::Response).await;
    start(&mut world, 0).await;
    let user = user(&world);
    for (ahead, late) in [(&first, &second), (&second, &first)] {
        let seq = last_seq(&world);
        let uses = user.uses(Kind::Response, late, None);
        let one = uses.iter().find(|one| one.place == "beyond the peek").unwrap();
        let refused = user.say(&one.ask.clone().with("weft-object", ahead)).await;
        assert_eq!(refused.status, 400, "{}", shown(&refused));
        assert_eq!(cause(&refused), "objects_apart");
        assert!(refused.text().contains("weft-object"), "{}", shown(&refused));
        nothing_whole_after(&world, seq, "late").await;
        user.say(&one.ask.clone().with("weft-object", late)).await.whole(200);
    }
    let other = world.add_user("other").unwrap();
    let other = Tenant { key: &other.secret, ..user };
    let ask = other.ask(Method::POST, "responses", Some(&json!({"model": "gpt-4o", "input": "x"})));
    other.say(&ask.with("weft-object", &first)).await.whole(404);
    world.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wants_no_model_goes_to_the_account_where_the_user_has_objects_already() {
    let world = two_accounts().await;
    let user = user(&world);
    user.make(Kind::File).await;
    let home = agent_of(&last(&world).await);
    for _ in 0..6 {
        user.make(Kind::File).await;
        assert_eq!(agent_of(&last(&world).await), home);
        user.make(Kind::Container).await;
        assert_eq!(agent_of(&last(&world).await), home);
    }
    world.end().await.unwrap();
}
