//! Invites, and how agents come of them.

use crate::fixture::{World, named};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use weft_proto::time::Timestamp;
use weft_store::{Agent, Invite, Page, Redeemed, Redemption, Store, StoreError, TokenHash};

async fn redeem(store: &Arc<dyn Store>, redemption: &Redemption) -> Redeemed {
    store.invites().redeem(redemption).await.expect("an answer")
}

/// The agent that a redemption should make.
fn agent(invite: &Invite, redemption: &Redemption) -> Agent {
    Agent {
        id: redemption.agent,
        owner: invite.owner,
        spki: redemption.spki,
        name: redemption.name.clone(),
        joined_at: redemption.now,
        revoked_at: None,
        last_seen_at: None,
    }
}

pub(crate) async fn an_invite_begins_unredeemed_under_an_owner_that_exists(store: Arc<dyn Store>) {
    let world = World::new(1);
    let orphan = world.invite(&world.owner("nobody"));
    let refused = store.invites().create(&orphan).await.expect_err("no owner");
    assert!(matches!(refused, StoreError::NotFound { what: "owner" }), "{refused:?}");

    let kept = world.kept_invite(&store).await;
    let owner = store.owners().list(Page::first()).await.expect("listed").remove(0);
    let twin = Invite { token_hash: kept.token_hash, ..world.invite(&owner) };
    let refused = store.invites().create(&twin).await.expect_err("taken");
    assert!(matches!(refused, StoreError::Conflict { what: "invite" }), "{refused:?}");

    let redeemed = Some((world.agent_id(), world.bytes().into()));
    let claiming = Invite { redeemed, ..world.invite(&owner) };
    store.invites().create(&claiming).await.expect("created");
    let listed = store.invites().list(Page::first()).await.expect("listed");
    assert_eq!(listed, [kept, Invite { redeemed: None, ..claiming }]);
}

pub(crate) async fn a_token_makes_one_agent_and_the_same_key_gets_it_again(store: Arc<dyn Store>) {
    let world = World::new(2);
    let invite = world.kept_invite(&store).await;
    let first = world.redemption(&invite);
    let joined = agent(&invite, &first);
    assert_eq!(redeem(&store, &first).await, Redeemed::Joined(joined.clone()));
    let again =
        Redemption { spki: first.spki, name: named("renamed"), ..world.redemption(&invite) };
    assert_eq!(redeem(&store, &again).await, Redeemed::Joined(joined.clone()));
    assert_eq!(
        store.agents().list(Page::first()).await.expect("listed"),
        std::slice::from_ref(&joined)
    );
    let listed = store.invites().list(Page::first()).await.expect("listed");
    assert_eq!(listed[0].redeemed, Some((joined.id, joined.spki)));
}

pub(crate) async fn another_key_is_refused_whatever_it_brings(store: Arc<dyn Store>) {
    let world = World::new(3);
    let invite = world.kept_invite(&store).await;
    let first = world.redemption(&invite);
    assert_eq!(redeem(&store, &first).await, Redeemed::Joined(agent(&invite, &first)));
    let thief = Redemption { agent: first.agent, ..world.redemption(&invite) };
    assert_eq!(redeem(&store, &thief).await, Redeemed::Taken);
    assert_eq!(redeem(&store, &world.redemption(&invite)).await, Redeemed::Taken);
    assert_eq!(store.agents().list(Page::first()).await.expect("listed").len(), 1);
    assert_eq!(redeem(&store, &first).await, Redeemed::Joined(agent(&invite, &first)));
}

pub(crate) async fn after_its_time_a_token_is_worthless_even_for_its_own_key(
    store: Arc<dyn Store>,
) {
    let world = World::new(4);
    let invite = world.kept_invite(&store).await;
    let at = |now: Timestamp| Redemption { now, ..world.redemption(&invite) };
    assert_eq!(redeem(&store, &at(invite.expires_at)).await, Redeemed::Expired);
    let last_moment = Timestamp::from_micros(invite.expires_at.as_micros() - 1);
    let own = at(last_moment);
    assert_eq!(redeem(&store, &own).await, Redeemed::Joined(agent(&invite, &own)));
    let late = invite.expires_at.after(Duration::from_secs(9));
    let own_late = Redemption { now: late, ..own.clone() };
    assert_eq!(redeem(&store, &own_late).await, Redeemed::Expired);
    assert_eq!(redeem(&store, &at(late)).await, Redeemed::Expired);
}

pub(crate) async fn an_unknown_token_lets_nobody_in(store: Arc<dyn Store>) {
    let world = World::new(5);
    let invite = world.kept_invite(&store).await;
    let guess =
        Redemption { token_hash: TokenHash::new(world.bytes()), ..world.redemption(&invite) };
    assert_eq!(redeem(&store, &guess).await, Redeemed::Unknown);
    assert!(store.agents().list(Page::first()).await.expect("listed").is_empty());
}

pub(crate) async fn a_public_key_is_one_agent_only(store: Arc<dyn Store>) {
    let world = World::new(6);
    let agent = world.joined(&store).await;
    let invite = world.kept_invite(&store).await;
    let same_key = Redemption { spki: agent.spki, ..world.redemption(&invite) };
    assert_eq!(redeem(&store, &same_key).await, Redeemed::KeyInUse);
    let fresh = world.redemption(&invite);
    assert!(matches!(redeem(&store, &fresh).await, Redeemed::Joined(_)), "the invite was spent");
}

pub(crate) async fn a_revoked_agent_does_not_come_back_by_its_token(store: Arc<dyn Store>) {
    let world = World::new(7);
    let invite = world.kept_invite(&store).await;
    let own = world.redemption(&invite);
    assert!(matches!(redeem(&store, &own).await, Redeemed::Joined(_)));
    store.agents().revoke(own.agent, world.now()).await.expect("revoked");
    assert_eq!(redeem(&store, &own).await, Redeemed::Revoked);
    let second = world.kept_invite(&store).await;
    let same_key = Redemption { spki: own.spki, ..world.redemption(&second) };
    assert_eq!(redeem(&store, &same_key).await, Redeemed::KeyInUse);
}

pub(crate) async fn a_taken_agent_id_leaves_the_invite_as_it_was(store: Arc<dyn Store>) {
    let world = World::new(8);
    let agent = world.joined(&store).await;
    let invite = world.kept_invite(&store).await;
    let clash = Redemption { agent: agent.id, ..world.redemption(&invite) };
    let refused = store.invites().redeem(&clash).await.expect_err("taken");
    assert!(matches!(refused, StoreError::Conflict { what: "agent id" }), "{refused:?}");
    let retried = Redemption { agent: world.agent_id(), ..clash };
    assert!(matches!(redeem(&store, &retried).await, Redeemed::Joined(_)));
}

pub(crate) async fn of_many_keys_at_once_exactly_one_gets_in(store: Arc<dyn Store>) {
    let world = World::new(9);
    let invite = world.kept_invite(&store).await;
    let rivals: Vec<_> = (0..20).map(|_| world.redemption(&invite)).collect();
    let answers = join_all(rivals.iter().map(|rival| redeem(&store, rival))).await;
    let joined = answers.iter().filter(|answer| matches!(answer, Redeemed::Joined(_))).count();
    let taken = answers.iter().filter(|answer| **answer == Redeemed::Taken).count();
    assert_eq!((joined, taken), (1, 19), "{answers:?}");
    assert_eq!(store.agents().list(Page::first()).await.expect("listed").len(), 1);
}
