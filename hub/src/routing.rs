//! Which account serves a request: a pure choice among candidates.
//!
//! It knows patterns, permissions and load, and nothing of tunnels, keys or bytes. What it is given
//! it neither keeps nor changes.
//!
//! # Invariants
//! - An account is chosen only for users inside its permitted use.
//! - A model that the key may not use is never routed, under whatever name a deployment gives it.
//! - A request that names objects goes to the account that has them, and to no other.

use weft_proto::entropy::Entropy;
use weft_proto::ids::OwnerId;
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::wire::control::{Account, PermittedUse};
use weft_store::Home;

/// What a request says of its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The model or, on Azure, the deployment that it names.
    Model(&'a str),
    /// Nothing yet, or nothing at all: it may turn out to name any.
    Unknown,
    /// It wants none.
    NotNeeded,
}

/// What a request wants.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Whose API.
    pub provider: Provider,
    /// The model.
    pub asked: Asked<'a>,
    /// Where the objects live that the request names, where it names any.
    pub home: Option<Home>,
    /// Where the user's other objects live: tried first, so that one request can name old and new.
    pub prefers: Option<Home>,
    /// The owner whose house the user belongs to, where they belong to one.
    pub member_of: Option<OwnerId>,
    /// The models that the user's key may use; `None` means any.
    pub allowed: Option<&'a ModelPatterns>,
}

/// An account that might serve it, with whatever the caller wants back.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a, T> {
    /// What its agent announced.
    pub account: &'a Account,
    /// Who owns it.
    pub owner: OwnerId,
    /// Whether it takes a request now.
    pub open: bool,
    /// Exchanges that run on it.
    pub in_flight: u32,
    /// The caller's own.
    pub value: T,
}

/// Why no account can serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// No account of the provider is connected that this user may use.
    #[error("no agent with an account for this provider is connected")]
    NoAgent,
    /// The account that has the objects which the request names is not connected, or may not serve
    /// this user any more.
    #[error("the account that has these objects is not connected")]
    HomeAway,
    /// Accounts are connected, but none serves the model.
    #[error("no connected account serves this model")]
    NoSuchModel,
    /// The key may not use the model.
    #[error("this key may not use this model")]
    ModelNotAllowed,
    /// The request names no model in time, and no account serves every model for this key.
    #[error("the request names no model within its first 256 KiB")]
    ModelUnknown,
    /// All accounts that serve it are full, paused or silent.
    #[error("all accounts that serve this model are busy")]
    Busy,
}

/// A chosen account, with the model that it is taken to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<T> {
    /// The caller's own.
    pub value: T,
    /// The model that counts for limits and prices: on Azure the one that the deployment's owner
    /// declared, elsewhere the one that was asked for.
    pub model: Option<String>,
}

/// The accounts that may serve `wish`: the one that it prefers, then the least loaded first; equals
/// in random order, so that nodes that see the same load do not all choose the same one.
///
/// # Errors
/// [`NoRoute`], the most telling cause of all candidates.
pub fn choose<T: Copy>(
    wish: &Wish<'_>,
    candidates: &[Candidate<'_, T>],
    entropy: &dyn Entropy,
) -> Result<Vec<Choice<T>>, NoRoute> {
    let mut found = Vec::new();
    let mut nearest = NoRoute::NoAgent;
    for candidate in candidates {
        match judge(wish, candidate) {
            Ok(model) => {
                // Parts per million of the account's own limit: accounts of unlike size compare.
                let load = u64::from(candidate.in_flight) * 1_000_000
                    / u64::from(candidate.account.concurrency_max.max(1));
                let far = wish.prefers.is_some_and(|home| home != home_of(candidate));
                let choice = Choice { value: candidate.value, model };
                found.push(((far, load, entropy.next_u64()), choice));
            }
            Err(why) => nearest = nearest.max_telling(why),
        }
    }
    if found.is_empty() {
        return Err(match (nearest, wish.home) {
            (NoRoute::NoAgent, Some(_)) => NoRoute::HomeAway,
            (nearest, _) => nearest,
        });
    }
    found.sort_by_key(|(order, _)| *order);
    Ok(found.into_iter().map(|(_, choice)| choice).collect())
}

impl NoRoute {
    /// The more telling of two causes: the nearer a candidate came to serving, the more.
    fn max_telling(self, other: Self) -> Self {
        const fn rank(cause: NoRoute) -> u8 {
            match cause {
                NoRoute::NoAgent | NoRoute::HomeAway => 0,
                NoRoute::NoSuchModel => 1,
                NoRoute::ModelUnknown => 2,
                NoRoute::ModelNotAllowed => 3,
                NoRoute::Busy => 4,
            }
        }
        if rank(other) > rank(self) { other } else { self }
    }
}

fn judge<T>(wish: &Wish<'_>, candidate: &Candidate<'_, T>) -> Result<Option<String>, NoRoute> {
    let account = candidate.account;
    if account.provider != wish.provider || !permits(account, candidate.owner, wish.member_of) {
        return Err(NoRoute::NoAgent);
    }
    if wish.home.is_some_and(|home| home != home_of(candidate)) {
        return Err(NoRoute::NoAgent);
    }
    let model = match wish.asked {
        Asked::Model(asked) => {
            let declared = declared(account, asked).ok_or(NoRoute::NoSuchModel)?;
            if !account.models.allows(declared) {
                return Err(NoRoute::NoSuchModel);
            }
            if !wish.allowed.is_none_or(|allowed| allowed.allows(declared)) {
                return Err(NoRoute::ModelNotAllowed);
            }
            Some(declared.to_owned())
        }
        Asked::NotNeeded => None,
        // Whatever the body turns out to name must be served and allowed.
        Asked::Unknown => {
            let any = account.models.allows_all()
                && account.provider != Provider::Azure
                && wish.allowed.is_none_or(ModelPatterns::allows_all);
            if !any {
                return Err(NoRoute::ModelUnknown);
            }
            None
        }
    };
    if candidate.open { Ok(model) } else { Err(NoRoute::Busy) }
}

/// Where objects live that are made by the candidate.
fn home_of<T>(candidate: &Candidate<'_, T>) -> Home {
    Home { account: candidate.account.id, owner: candidate.owner }
}

/// The model that `asked` means on the account. An Azure deployment's name is its owner's own
/// choice: without a declaration it means nothing.
fn declared<'a>(account: &'a Account, asked: &'a str) -> Option<&'a str> {
    if account.provider != Provider::Azure {
        return Some(asked);
    }
    account
        .deployments
        .iter()
        .find(|deployment| deployment.name == asked)
        .map(|deployment| deployment.model.as_str())
}

/// Whether the account's owner has attested a use that the user falls under: a user of the house
/// `member_of`, where they belong to one.
#[must_use]
pub fn permits(account: &Account, owner: OwnerId, member_of: Option<OwnerId>) -> bool {
    match &account.permitted_use {
        PermittedUse::Own | PermittedUse::Organisation => member_of == Some(owner),
        PermittedUse::Application | PermittedUse::Licensed { .. } => true,
    }
}

#[cfg(test)]
mod tests;
