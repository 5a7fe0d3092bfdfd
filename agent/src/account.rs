//! One provider account as its owner declared it: everything but the secret.
//!
//! An [`Account`] can only be had through [`AccountDraft::check`], so that whoever holds one holds
//! a provider and site that belong together, labels and lists within their limits, and an owner's
//! statement of what the account may be used for.

mod egress;

pub use egress::{
    Egress, EgressRefused, PROXY_HOST_BYTES_MAX, PROXY_USER_BYTES_MAX, Proxy, ProxyKind,
};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use weft_proto::ids::AccountId;
use weft_proto::limits::{MESSAGE_BYTES_MAX, MODELS_PER_ACCOUNT_MAX, TEXT_BYTES_MAX};
use weft_proto::model::{ModelName, ModelPatterns};
use weft_proto::prices::Label;
use weft_proto::provider::Provider;
use weft_proto::tables::hosts::{HostRefused, Site};
use weft_proto::wire::control::{self, Deployment, PermittedUse};

/// Exchanges at a time on one account, where its owner says nothing else.
pub const DEFAULT_CONCURRENCY: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// Most exchanges at a time that an owner may allow on one account.
pub const CONCURRENCY_MAX: u32 = 10_000;
/// Longest label in bytes.
pub const LABEL_BYTES_MAX: usize = 64;

/// Why a declaration is not an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefused {
    /// The label is empty, too long, or holds control characters.
    #[error("a label must have 1 to {LABEL_BYTES_MAX} bytes and no control characters")]
    Label,
    /// The site does not belong to the provider.
    #[error(transparent)]
    Site(#[from] HostRefused),
    /// A deployment is malformed, or stands at a provider that has none.
    #[error(
        "deployments are for azure: at most {MODELS_PER_ACCOUNT_MAX}, each DEPLOYMENT=MODEL, \
         the deployment of 1 to {TEXT_BYTES_MAX} visible characters"
    )]
    Deployments,
    /// The place is malformed, or is declared where the site says it or no price depends on it.
    #[error(
        "a place is for azure, as price books name it: a data zone or region such as eu, of \
         lower-case letters, digits, dots and hyphens"
    )]
    Place,
    /// The concurrency is out of range.
    #[error("concurrency must be from 1 to {CONCURRENCY_MAX}")]
    Concurrency,
    /// The text names no permitted use.
    #[error("unknown use: want own, organisation, application or licensed:REFERENCE")]
    Use,
    /// The reference of a licence is missing, too long, or holds control characters.
    #[error("licensed use needs a reference of at most {TEXT_BYTES_MAX} bytes: licensed:REFERENCE")]
    Reference,
    /// The announcement fits no message to the hub.
    #[error(
        "the account is too large to be told to a hub: its models and deployments together must \
         stay below {MESSAGE_BYTES_MAX} bytes; make two accounts of it"
    )]
    TooLarge,
}

/// Reads a permitted use as an owner types it.
///
/// # Errors
/// [`AccountRefused::Use`] for any other text, [`AccountRefused::Reference`] for a licence without
/// a usable reference.
pub fn parse_use(text: &str) -> Result<PermittedUse, AccountRefused> {
    match text {
        "own" => Ok(PermittedUse::Own),
        "organisation" => Ok(PermittedUse::Organisation),
        "application" => Ok(PermittedUse::Application),
        other => match other.strip_prefix("licensed:") {
            Some(reference) if is_text(reference, TEXT_BYTES_MAX) => {
                Ok(PermittedUse::Licensed { reference: reference.to_owned() })
            }
            Some(_) => Err(AccountRefused::Reference),
            None => Err(AccountRefused::Use),
        },
    }
}

/// The text that [`parse_use`] reads back.
#[must_use]
pub fn use_text(permitted_use: &PermittedUse) -> String {
    match permitted_use {
        PermittedUse::Own => "own".to_owned(),
        PermittedUse::Organisation => "organisation".to_owned(),
        PermittedUse::Application => "application".to_owned(),
        PermittedUse::Licensed { reference } => format!("licensed:{reference}"),
    }
}

/// An account as it is written down or typed in: nothing is checked yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDraft {
    /// Whose endpoint it is for.
    pub provider: Provider,
    /// The owner's name for it.
    pub label: String,
    /// The provider's site: empty, a region, or an Azure resource.
    #[serde(default)]
    pub site: String,
    /// Azure: the data zone or region that its deployments are billed for, as price books name it;
    /// empty for worldwide ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// Patterns of the models it serves.
    #[serde(default = "ModelPatterns::any")]
    pub models: ModelPatterns,
    /// Azure: which model stands behind each deployment.
    #[serde(default)]
    pub deployments: BTreeMap<String, ModelName>,
    /// Exchanges at a time.
    pub max_concurrency: u32,
    /// What its owner attests that it may be used for: `own`, `organisation`, `application` or
    /// `licensed:REFERENCE`.
    pub permitted_use: String,
    /// Whether the provider is called over HTTP/2 rather than pooled HTTP/1.1 connections.
    #[serde(default)]
    pub http2: bool,
    /// How its requests leave the machine. The proxy's password is not here: it is sealed.
    #[serde(default, skip_serializing_if = "Egress::is_direct")]
    pub egress: Egress,
}

/// One provider account without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    id: AccountId,
    provider: Provider,
    label: String,
    site: Site,
    place: Option<Label>,
    models: ModelPatterns,
    deployments: BTreeMap<String, ModelName>,
    max_concurrency: NonZeroU32,
    permitted_use: PermittedUse,
    http2: bool,
    egress: Egress,
}

impl AccountDraft {
    /// Checks the declaration and gives it its id.
    ///
    /// # Errors
    /// [`AccountRefused`] names the first thing that is wrong.
    pub fn check(self, id: AccountId) -> Result<Account, AccountRefused> {
        if !is_text(&self.label, LABEL_BYTES_MAX) {
            return Err(AccountRefused::Label);
        }
        let site = Site::parse(self.provider, &self.site)?;
        let place = place(self.provider, &site, &self.place)?;
        let deployments_fit = self.deployments.len() <= MODELS_PER_ACCOUNT_MAX
            && (self.provider == Provider::Azure || self.deployments.is_empty())
            && self
                .deployments
                .keys()
                .all(|name| is_text(name, TEXT_BYTES_MAX) && !name.contains(['/', ' ']));
        if !deployments_fit {
            return Err(AccountRefused::Deployments);
        }
        let max_concurrency = NonZeroU32::new(self.max_concurrency)
            .filter(|count| count.get() <= CONCURRENCY_MAX)
            .ok_or(AccountRefused::Concurrency)?;
        Ok(Account {
            id,
            provider: self.provider,
            label: self.label,
            site,
            place,
            models: self.models,
            deployments: self.deployments,
            max_concurrency,
            permitted_use: parse_use(&self.permitted_use)?,
            http2: self.http2,
            egress: self.egress,
        })
    }
}

impl Account {
    /// Its name, on the wire and in every log.
    #[must_use]
    pub const fn id(&self) -> AccountId {
        self.id
    }

    /// Whose endpoint it is for.
    #[must_use]
    pub const fn provider(&self) -> Provider {
        self.provider
    }

    /// The owner's name for it; never sent to a user.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Which of the provider's hosts it belongs to.
    #[must_use]
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Where it is served, as far as its prices depend on it: an OpenAI account's region, or what an
    /// Azure account declares. `None` is the provider's global host.
    #[must_use]
    pub const fn place(&self) -> Option<&Label> {
        self.place.as_ref()
    }

    /// The models it serves.
    #[must_use]
    pub const fn models(&self) -> &ModelPatterns {
        &self.models
    }

    /// Azure: which model stands behind each deployment.
    #[must_use]
    pub const fn deployments(&self) -> &BTreeMap<String, ModelName> {
        &self.deployments
    }

    /// Exchanges at a time.
    #[must_use]
    pub const fn max_concurrency(&self) -> NonZeroU32 {
        self.max_concurrency
    }

    /// What its owner attests that it may be used for.
    #[must_use]
    pub const fn permitted_use(&self) -> &PermittedUse {
        &self.permitted_use
    }

    /// Whether the provider is called over HTTP/2.
    #[must_use]
    pub const fn http2(&self) -> bool {
        self.http2
    }

    /// How its requests leave the machine.
    #[must_use]
    pub const fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Refuses an account that no message to a hub has room for. Asked where an account is written
    /// down, not where it is read: one that an older build let in stays usable beside it.
    ///
    /// # Errors
    /// [`AccountRefused::TooLarge`].
    pub fn check_announcement(&self) -> Result<(), AccountRefused> {
        match control::pages(&[self.announcement()]) {
            Ok(_) => Ok(()),
            Err(_) => Err(AccountRefused::TooLarge),
        }
    }

    /// The account as the hub hears of it: no host and no secret.
    #[must_use]
    pub fn announcement(&self) -> control::Account {
        control::Account {
            id: self.id,
            provider: self.provider,
            label: self.label.clone(),
            models: self.models.clone(),
            deployments: self
                .deployments
                .iter()
                .map(|(name, model)| Deployment {
                    name: name.clone(),
                    model: model.as_str().to_owned(),
                })
                .collect(),
            concurrency_max: self.max_concurrency.get(),
            permitted_use: self.permitted_use.clone(),
            place: self.place.clone(),
        }
    }

    /// The declaration that makes this account again.
    #[must_use]
    pub fn draft(&self) -> AccountDraft {
        AccountDraft {
            provider: self.provider,
            label: self.label.clone(),
            site: self.site.to_string(),
            place: match (self.provider, &self.place) {
                (Provider::Azure, Some(place)) => place.to_string(),
                // Their site says it, or nothing does.
                (Provider::OpenAi | Provider::Anthropic | Provider::DeepSeek, _)
                | (Provider::Azure, None) => String::new(),
            },
            models: self.models.clone(),
            deployments: self.deployments.clone(),
            max_concurrency: self.max_concurrency.get(),
            permitted_use: use_text(&self.permitted_use),
            http2: self.http2,
            egress: self.egress.clone(),
        }
    }
}

/// The place of an account that declares this one, empty where it declares none.
fn place(provider: Provider, site: &Site, declared: &str) -> Result<Option<Label>, AccountRefused> {
    let named = match (provider, site) {
        (Provider::Azure, _) => declared.to_owned(),
        (_, _) if !declared.is_empty() => return Err(AccountRefused::Place),
        (Provider::OpenAi, Site::Region(_)) => site.to_string(),
        (Provider::OpenAi | Provider::Anthropic | Provider::DeepSeek, _) => String::new(),
    };
    if named.is_empty() {
        return Ok(None);
    }
    Label::parse(&named).map(Some).map_err(|_| AccountRefused::Place)
}

fn is_text(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AccountId {
        AccountId::from_slice(&[7; 16]).expect("sixteen bytes")
    }

    fn draft(provider: Provider, site: &str) -> AccountDraft {
        AccountDraft {
            provider,
            label: "main".to_owned(),
            site: site.to_owned(),
            place: String::new(),
            models: ModelPatterns::any(),
            deployments: BTreeMap::new(),
            max_concurrency: 4,
            permitted_use: "own".into(),
            http2: false,
            egress: Egress::Direct,
        }
    }

    #[test]
    fn a_declaration_round_trips_through_its_account_and_json() {
        let mut azure = draft(Provider::Azure, "myres.openai.azure.com");
        azure.deployments.insert("prod".into(), ModelName::parse("gpt-4o").expect("model"));
        azure.permitted_use = "licensed:C-1".into();
        azure.place = "eu".into();
        azure.egress = "socks5://me@proxy.example:1080".parse().expect("egress");
        let account = azure.clone().check(id()).expect("valid");
        assert_eq!(account.draft(), azure);
        let json = serde_json::to_string(&azure).expect("json");
        assert_eq!(serde_json::from_str::<AccountDraft>(&json).expect("json"), azure);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        assert!(matches!(
            draft(Provider::Anthropic, "eu").check(id()),
            Err(AccountRefused::Site(_))
        ));
        assert!(matches!(draft(Provider::Azure, "").check(id()), Err(AccountRefused::Site(_))));
        let mut bad = draft(Provider::OpenAi, "");
        bad.deployments.insert("prod".into(), ModelName::parse("gpt-4o").expect("model"));
        assert_eq!(bad.check(id()), Err(AccountRefused::Deployments));
        let mut bad = draft(Provider::OpenAi, "");
        bad.label = "two\nlines".into();
        assert_eq!(bad.check(id()), Err(AccountRefused::Label));
        let mut bad = draft(Provider::OpenAi, "");
        bad.max_concurrency = 0;
        assert_eq!(bad.check(id()), Err(AccountRefused::Concurrency));
        let mut bad = draft(Provider::OpenAi, "");
        bad.permitted_use = "licensed:".into();
        assert_eq!(bad.check(id()), Err(AccountRefused::Reference));
    }

    #[test]
    fn the_place_of_an_account_is_its_region_or_what_azure_declares_and_reaches_the_hub() {
        let announced = |draft: AccountDraft| {
            let place = draft.check(id()).map(|account| account.announcement().place);
            place.map(|place| place.map(|place| place.to_string()))
        };
        assert_eq!(announced(draft(Provider::OpenAi, "")), Ok(None));
        assert_eq!(announced(draft(Provider::OpenAi, "eu")), Ok(Some("eu".to_owned())));
        assert_eq!(announced(draft(Provider::Azure, "myres")), Ok(None));
        let at = |provider, site, place: &str| AccountDraft {
            place: place.to_owned(),
            ..draft(provider, site)
        };
        assert_eq!(announced(at(Provider::Azure, "myres", "us")), Ok(Some("us".to_owned())));
        assert_eq!(announced(at(Provider::Azure, "myres", "E U")), Err(AccountRefused::Place));
        assert_eq!(announced(at(Provider::OpenAi, "eu", "us")), Err(AccountRefused::Place));
        assert_eq!(announced(at(Provider::DeepSeek, "", "us")), Err(AccountRefused::Place));
        let older = serde_json::to_string(&draft(Provider::Azure, "myres")).expect("json");
        assert!(!older.contains("place"), "what declares none is written as before: {older}");
    }

    #[test]
    fn permitted_use_round_trips_as_text() {
        for text in ["own", "organisation", "application", "licensed:contract 7"] {
            assert_eq!(use_text(&parse_use(text).expect("use")), text);
        }
        assert_eq!(parse_use("resale"), Err(AccountRefused::Use));
    }

    #[test]
    fn an_account_that_no_message_has_room_for_is_refused_before_it_is_written_down() {
        let mut large = draft(Provider::Azure, "myres");
        for at in 0..MODELS_PER_ACCOUNT_MAX {
            let model = ModelName::parse(&format!("m{at}-{}", "x".repeat(200))).expect("model");
            large.deployments.insert(format!("d{at}-{}", "y".repeat(200)), model);
        }
        let large = large.check(id()).expect("each part is within its limit");
        assert_eq!(large.check_announcement(), Err(AccountRefused::TooLarge));
        let small = draft(Provider::OpenAi, "").check(id()).expect("valid");
        assert_eq!(small.check_announcement(), Ok(()));
    }
}
