//! Which account serves a request: a pure choice among candidates.
//!
//! It knows patterns, permissions and load, and nothing of tunnels, keys or bytes. What it is given
//! it neither keeps nor changes.
//!
//! # Invariants
//! - An account is chosen only for users inside its permitted use.
//! - A model that the key may not use is never routed, under whatever name a deployment gives it.

use weft_proto::entropy::Entropy;
use weft_proto::ids::OwnerId;
use weft_proto::model::ModelPatterns;
use weft_proto::provider::Provider;
use weft_proto::wire::control::{Account, PermittedUse};

/// What a request wants.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Whose API.
    pub provider: Provider,
    /// The model or, on Azure, the deployment that the request names; `None` where it names none.
    pub model: Option<&'a str>,
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

/// The accounts that may serve `wish`, the least loaded first; equals in random order, so that
/// nodes that see the same load do not all choose the same one.
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
                let choice = Choice { value: candidate.value, model };
                found.push((load, entropy.next_u64(), choice));
            }
            Err(why) => nearest = nearest.max_telling(why),
        }
    }
    if found.is_empty() {
        return Err(nearest);
    }
    found.sort_by_key(|(load, chance, _)| (*load, *chance));
    Ok(found.into_iter().map(|(_, _, choice)| choice).collect())
}

impl NoRoute {
    /// The more telling of two causes: the nearer a candidate came to serving, the more.
    fn max_telling(self, other: Self) -> Self {
        const fn rank(cause: NoRoute) -> u8 {
            match cause {
                NoRoute::NoAgent => 0,
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
    let model = match wish.model {
        Some(asked) => {
            let declared = declared(account, asked).ok_or(NoRoute::NoSuchModel)?;
            if !account.models.allows(declared) {
                return Err(NoRoute::NoSuchModel);
            }
            if !wish.allowed.is_none_or(|allowed| allowed.allows(declared)) {
                return Err(NoRoute::ModelNotAllowed);
            }
            Some(declared.to_owned())
        }
        // Whatever the body turns out to name must be served and allowed.
        None => {
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
