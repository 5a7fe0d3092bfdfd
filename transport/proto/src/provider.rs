//! The four providers, and the dialects their errors are written in.

use std::fmt;
use std::str::FromStr;

/// Whose official endpoint an account belongs to. The number is the wire's; it is never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// `api.openai.com` and its regional hosts.
    OpenAi = 1,
    /// Azure OpenAI resources.
    Azure = 2,
    /// `api.anthropic.com`.
    Anthropic = 3,
    /// `api.deepseek.com`.
    DeepSeek = 4,
}

/// A name or number that is none of the four providers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown provider {0:?}: want openai, azure, anthropic or deepseek")]
pub struct UnknownProvider(String);

impl Provider {
    /// All four, in the order of their wire numbers.
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Azure, Self::Anthropic, Self::DeepSeek];

    /// The lower-case name used in settings, prefixes, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
            Self::DeepSeek => "deepseek",
        }
    }

    /// The number that stands for the provider on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The provider with the wire's `number`.
    ///
    /// # Errors
    /// [`UnknownProvider`] for a number that none of the four has.
    pub fn from_number(number: u32) -> Result<Self, UnknownProvider> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.number() == number)
            .ok_or_else(|| UnknownProvider(number.to_string()))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.name() == text)
            .ok_or_else(|| UnknownProvider(text.chars().take(64).collect()))
    }
}

/// The shape in which a caller expects errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `{"error":{"message","type","param","code"}}`: OpenAI, Azure, DeepSeek.
    OpenAi,
    /// `{"type":"error","error":{"type","message"},"request_id"}`.
    Anthropic,
}
