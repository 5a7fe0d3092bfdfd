//! How much of everything.

use serde::{Deserialize, Serialize};

/// How thorough a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// Seconds each, for what is exact alone.
    Smoke,
    /// Ten minutes for all, to see where things stand.
    Quick,
    /// Two hours for all.
    Full,
}

impl Level {
    /// As it is written in settings.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    /// One of three.
    pub(crate) const fn of<T: Copy>(self, smoke: T, quick: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}
