//! The provider itself: what everything else adds to.

use super::{Contestant, Door, Ground, Name};

/// Nothing has to be started.
pub(crate) fn bring_up(ground: &Ground<'_>) -> Contestant {
    let door = Door::plain(ground.provider.port());
    Contestant { name: Name::Direct, door, members: Vec::new() }
}
