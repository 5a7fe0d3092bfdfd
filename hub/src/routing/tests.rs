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
        }
    }
}

const fn candidate(account: &Account, owner: OwnerId, in_flight: u32) -> Candidate<'_, u32> {
    Candidate { account, owner, open: in_flight < 10, in_flight, value: in_flight }
}

const fn wish(model: Option<&str>) -> Wish<'_> {
    Wish { provider: Provider::OpenAi, model, member_of: None, allowed: None }
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
