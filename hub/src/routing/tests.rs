//! Who may be chosen, in which order, and what a caller hears where nobody can be.

use super::*;
use weft_proto::entropy::SeededEntropy;
use weft_proto::ids::AccountId;
use weft_proto::model::ModelPattern;
use weft_proto::time::{ManualClock, Timestamp};
use weft_proto::wire::control::Deployment;

struct World(ManualClock, SeededEntropy);

impl World {
    fn new() -> Self {
        Self(ManualClock::new(Timestamp::from_secs(1)), SeededEntropy::new(9))
    }

    fn owner(&self) -> OwnerId {
        OwnerId::generate(&self.0, &self.1)
    }

    fn account(&self, provider: Provider, models: &str, permitted_use: PermittedUse) -> Account {
        let patterns = models.split(',').map(|text| ModelPattern::parse(text).unwrap());
        Account {
            id: AccountId::generate(&self.0, &self.1),
            provider,
            label: "test".to_owned(),
            models: ModelPatterns::new(patterns).unwrap(),
            deployments: Vec::new(),
            concurrency_max: 10,
            permitted_use,
            place: None,
        }
    }
}

const fn candidate(account: &Account, owner: OwnerId, in_flight: u32) -> Candidate<'_, u32> {
    Candidate { account, owner, open: in_flight < 10, in_flight, value: in_flight }
}

const fn wish(model: Option<&str>) -> Wish<'_> {
    let asked = match model {
        Some(model) => Asked::Model(model),
        None => Asked::Unknown,
    };
    let provider = Provider::OpenAi;
    Wish { provider, asked, home: None, prefers: None, member_of: None, allowed: None }
}

#[test]
fn the_least_loaded_account_that_serves_the_model_comes_first() {
    let world = World::new();
    let owner = world.owner();
    let serves = world.account(Provider::OpenAi, "gpt-*", PermittedUse::Application);
    let other = world.account(Provider::OpenAi, "o3", PermittedUse::Application);
    let candidates =
        [candidate(&serves, owner, 5), candidate(&serves, owner, 2), candidate(&other, owner, 0)];
    let chosen = choose(&wish(Some("gpt-5.4")), &candidates, &world.1).unwrap();
    assert_eq!(chosen.iter().map(|choice| choice.value).collect::<Vec<_>>(), [2, 5]);
    assert_eq!(chosen[0].model.as_deref(), Some("gpt-5.4"));
}

#[test]
fn an_account_for_own_use_serves_its_owners_house_and_nobody_else() {
    let world = World::new();
    let (owner, stranger) = (world.owner(), world.owner());
    for permitted_use in [PermittedUse::Own, PermittedUse::Organisation] {
        let account = world.account(Provider::OpenAi, "*", permitted_use);
        let candidates = [candidate(&account, owner, 0)];
        let with = |member_of| Wish { member_of, ..wish(Some("gpt-5.4")) };
        assert!(choose(&with(Some(owner)), &candidates, &world.1).is_ok());
        assert_eq!(choose(&with(Some(stranger)), &candidates, &world.1), Err(NoRoute::NoAgent));
        assert_eq!(choose(&with(None), &candidates, &world.1), Err(NoRoute::NoAgent));
    }
}

#[test]
fn a_deployment_counts_as_the_model_that_its_owner_declared() {
    let world = World::new();
    let owner = world.owner();
    let mut account = world.account(Provider::Azure, "gpt-5.4", PermittedUse::Application);
    account.deployments = vec![Deployment { name: "prod".to_owned(), model: "gpt-5.4".to_owned() }];
    let candidates = [candidate(&account, owner, 0)];
    let azure = |model| Wish { provider: Provider::Azure, ..wish(model) };
    let chosen = choose(&azure(Some("prod")), &candidates, &world.1).unwrap();
    assert_eq!(chosen[0].model.as_deref(), Some("gpt-5.4"));
    assert_eq!(choose(&azure(Some("gpt-5.4")), &candidates, &world.1), Err(NoRoute::NoSuchModel));

    // The key's allow-list is held against the declared model, not against the deployment's name.
    let allowed = ModelPatterns::new([ModelPattern::parse("prod").unwrap()]).unwrap();
    let narrow = Wish { allowed: Some(&allowed), ..azure(Some("prod")) };
    assert_eq!(choose(&narrow, &candidates, &world.1), Err(NoRoute::ModelNotAllowed));
}

#[test]
fn a_body_that_names_no_model_goes_only_where_every_model_is_served_and_allowed() {
    let world = World::new();
    let owner = world.owner();
    let all = world.account(Provider::OpenAi, "*", PermittedUse::Application);
    let some = world.account(Provider::OpenAi, "gpt-*", PermittedUse::Application);
    assert!(choose(&wish(None), &[candidate(&all, owner, 0)], &world.1).is_ok());
    assert_eq!(
        choose(&wish(None), &[candidate(&some, owner, 0)], &world.1),
        Err(NoRoute::ModelUnknown)
    );
    let allowed = ModelPatterns::new([ModelPattern::parse("gpt-*").unwrap()]).unwrap();
    let narrow = Wish { allowed: Some(&allowed), ..wish(None) };
    assert_eq!(choose(&narrow, &[candidate(&all, owner, 0)], &world.1), Err(NoRoute::ModelUnknown));
}

#[test]
fn what_names_objects_goes_to_their_account_and_to_no_other() {
    let world = World::new();
    let (owner, stranger) = (world.owner(), world.owner());
    let has = world.account(Provider::OpenAi, "gpt-*", PermittedUse::Application);
    let other = world.account(Provider::OpenAi, "*", PermittedUse::Application);
    let home = Home { account: has.id, owner };
    let candidates = [candidate(&other, owner, 0), candidate(&has, owner, 9)];
    let at = |home, asked| Wish { home: Some(home), asked, ..wish(None) };
    for asked in [Asked::NotNeeded, Asked::Model("gpt-5.4")] {
        let chosen = choose(&at(home, asked), &candidates, &world.1).unwrap();
        assert_eq!(chosen.iter().map(|choice| choice.value).collect::<Vec<_>>(), [9]);
    }
    // An account of the same name with another owner is another account.
    let posing = [candidate(&has, stranger, 0)];
    for (home, candidates, asked, cause) in [
        (home, &candidates[..1], Asked::NotNeeded, NoRoute::HomeAway),
        (home, &posing[..], Asked::NotNeeded, NoRoute::HomeAway),
        (home, &candidates[..], Asked::Model("o3"), NoRoute::NoSuchModel),
        (home, &[candidate(&has, owner, 10)][..], Asked::NotNeeded, NoRoute::Busy),
    ] {
        assert_eq!(choose(&at(home, asked), candidates, &world.1), Err(cause));
    }
}

#[test]
fn what_wants_no_model_goes_anywhere_and_first_to_where_the_user_has_objects() {
    let world = World::new();
    let owner = world.owner();
    let narrow = world.account(Provider::OpenAi, "gpt-5.4", PermittedUse::Application);
    let idle = world.account(Provider::OpenAi, "o3", PermittedUse::Application);
    let house = world.account(Provider::OpenAi, "*", PermittedUse::Own);
    let allowed = ModelPatterns::new([ModelPattern::parse("gpt-*").unwrap()]).unwrap();
    let any = Wish { asked: Asked::NotNeeded, allowed: Some(&allowed), ..wish(None) };
    let candidates =
        [candidate(&narrow, owner, 5), candidate(&idle, owner, 0), candidate(&house, owner, 1)];
    let values = |wish: &Wish<'_>, candidates: &[Candidate<'_, u32>]| {
        let chosen = choose(wish, candidates, &world.1).unwrap();
        assert!(chosen.iter().all(|choice| choice.model.is_none()));
        chosen.iter().map(|choice| choice.value).collect::<Vec<_>>()
    };
    assert_eq!(values(&any, &candidates), [0, 5]);
    let prefers = Some(Home { account: narrow.id, owner });
    assert_eq!(values(&Wish { prefers, ..any }, &candidates), [5, 0]);
    // A full account is passed over.
    let full = [candidate(&narrow, owner, 10), candidate(&idle, owner, 0)];
    let prefers = Some(Home { account: narrow.id, owner });
    let any = Wish { asked: Asked::NotNeeded, prefers, ..wish(None) };
    assert_eq!(values(&any, &full), [0]);
}

#[test]
fn the_most_telling_cause_is_told() {
    let world = World::new();
    let owner = world.owner();
    let full = world.account(Provider::OpenAi, "gpt-*", PermittedUse::Application);
    let other = world.account(Provider::OpenAi, "o3", PermittedUse::Application);
    let candidates = [candidate(&full, owner, 10), candidate(&other, owner, 0)];
    assert_eq!(choose(&wish(Some("gpt-5.4")), &candidates, &world.1), Err(NoRoute::Busy));
    assert_eq!(choose(&wish(Some("none")), &candidates, &world.1), Err(NoRoute::NoSuchModel));
    assert_eq!(choose::<u32>(&wish(Some("none")), &[], &world.1), Err(NoRoute::NoAgent));
}
