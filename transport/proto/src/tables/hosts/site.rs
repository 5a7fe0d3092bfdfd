//! The setting of an account that picks one of its provider's hosts.

use std::fmt;

use super::{HostRefused, excerpt};
use crate::provider::Provider;

/// The longest text that is looked at as a site, in bytes.
pub const MAX_SITE_BYTES: usize = 128;
/// The longest Azure resource name: one DNS label, in bytes.
pub const MAX_RESOURCE_BYTES: usize = 63;

/// OpenAI's residency regions, each a label before `api.openai.com`.
pub(super) const OPENAI_REGIONS: [&str; 10] =
    ["us", "eu", "au", "ca", "jp", "in", "sg", "kr", "gb", "ae"];

/// One of OpenAI's residency regions. Only [`Site::parse`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(&'static str);

impl Region {
    /// The label, such as `eu`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The four domains under which an Azure OpenAI resource may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AzureSuffix {
    /// `openai.azure.com`, the default.
    OpenAi,
    /// `cognitiveservices.azure.com`.
    CognitiveServices,
    /// `services.ai.azure.com`.
    AiServices,
    /// `openai.azure.us`, the US government cloud.
    Government,
}

impl AzureSuffix {
    /// All four, the default first.
    pub const ALL: [Self; 4] =
        [Self::OpenAi, Self::CognitiveServices, Self::AiServices, Self::Government];

    /// The domain, without a leading dot.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai.azure.com",
            Self::CognitiveServices => "cognitiveservices.azure.com",
            Self::AiServices => "services.ai.azure.com",
            Self::Government => "openai.azure.us",
        }
    }
}

/// An Azure resource: one label and one pinned suffix. Only [`Site::parse`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AzureResource {
    label: String,
    suffix: AzureSuffix,
}

impl AzureResource {
    /// The resource's name: `^[a-z0-9][a-z0-9-]{0,62}$`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The domain it lives under.
    #[must_use]
    pub const fn suffix(&self) -> AzureSuffix {
        self.suffix
    }
}

/// Which of a provider's hosts an account uses: the account's setting, parsed.
///
/// `Display` writes the text that [`Site::parse`] reads back to the same value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// The provider's one global host.
    Default,
    /// One of OpenAI's regional hosts.
    Region(Region),
    /// One Azure resource.
    AzureResource(AzureResource),
}

impl Site {
    /// Reads the setting of an account: empty, an OpenAI region (`eu`), an Azure resource
    /// (`myres`) or an Azure host (`myres.cognitiveservices.azure.com`).
    ///
    /// # Errors
    /// [`HostRefused`] where the text does not have the form that `provider` allows; there is no
    /// trimming and no folding of case.
    pub fn parse(provider: Provider, text: &str) -> Result<Self, HostRefused> {
        match provider {
            Provider::OpenAi if text.is_empty() => Ok(Self::Default),
            Provider::OpenAi => OPENAI_REGIONS
                .into_iter()
                .find(|region| *region == text)
                .map(|region| Self::Region(Region(region)))
                .ok_or_else(|| HostRefused::UnknownRegion { site: excerpt(text, MAX_SITE_BYTES) }),
            Provider::Azure if text.is_empty() => Err(HostRefused::ResourceMissing),
            Provider::Azure => azure_resource(text)
                .map(Self::AzureResource)
                .ok_or_else(|| HostRefused::NotAResource { site: excerpt(text, MAX_SITE_BYTES) }),
            Provider::Anthropic | Provider::DeepSeek if text.is_empty() => Ok(Self::Default),
            Provider::Anthropic | Provider::DeepSeek => {
                Err(HostRefused::NoSites { provider, site: excerpt(text, MAX_SITE_BYTES) })
            }
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Region(region) => f.write_str(region.as_str()),
            Self::AzureResource(AzureResource { label, suffix }) => {
                write!(f, "{label}.{}", suffix.as_str())
            }
        }
    }
}

fn azure_resource(text: &str) -> Option<AzureResource> {
    let (label, suffix) = match text.split_once('.') {
        None => (text, AzureSuffix::OpenAi),
        Some((label, domain)) => {
            (label, AzureSuffix::ALL.into_iter().find(|suffix| suffix.as_str() == domain)?)
        }
    };
    let bytes = label.as_bytes();
    let free = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let well_formed = bytes.len() <= MAX_RESOURCE_BYTES
        && bytes.first().is_some_and(free)
        && bytes.iter().all(|byte| free(byte) || *byte == b'-');
    well_formed.then(|| AzureResource { label: label.to_owned(), suffix })
}
