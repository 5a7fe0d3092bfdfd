//! The proof of having passed the door, and what its bearer may ask for.

use super::{AuthRefused, Known};
use std::net::IpAddr;
use weft_proto::ids::{KeyId, OwnerId, UserId};
use weft_proto::model::ModelName;
use weft_proto::time::Timestamp;
use weft_store::{ModelAllowList, Name, SpendLimits};

/// A user who was admitted with one key. Made by [`Auth::admit`](super::Auth::admit) alone, for one
/// request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller(Known);

impl Caller {
    /// Judges what the store says of a key, at `now` and for `peer`.
    pub(super) fn judge(known: Known, peer: IpAddr, now: Timestamp) -> Result<Self, AuthRefused> {
        let (key, user) = known.as_ref();
        if key.revoked_at.is_some() {
            return Err(AuthRefused::Revoked);
        }
        if key.expires_at.is_some_and(|end| end <= now) {
            return Err(AuthRefused::Expired);
        }
        if user.disabled {
            return Err(AuthRefused::UserDisabled);
        }
        if !key.networks.allow(peer) {
            return Err(AuthRefused::Network);
        }
        Ok(Self(known))
    }

    /// Who asks.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.0.1.id
    }

    /// The owner whose house the user belongs to, where they belong to one.
    #[must_use]
    pub fn member_of(&self) -> Option<OwnerId> {
        self.0.1.owner
    }

    /// With which key.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.0.0.id
    }

    /// The price zone: the key's, or else the user's; `None` for the standard one.
    #[must_use]
    pub fn zone(&self) -> Option<&Name> {
        self.0.0.zone.as_ref().or(self.0.1.zone.as_ref())
    }

    /// The most that the key may spend.
    #[must_use]
    pub fn limits(&self) -> SpendLimits {
        self.0.0.limits
    }

    /// Which models the key may ask for.
    #[must_use]
    pub fn models(&self) -> &ModelAllowList {
        &self.0.0.models
    }

    /// Whether the key may ask for `model`.
    #[must_use]
    pub fn allows(&self, model: &ModelName) -> bool {
        self.models().allows(model.as_str())
    }
}
