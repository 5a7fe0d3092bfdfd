//! The protobuf shapes of the control messages, and the way between them and the domain values.

use super::{
    Account, AccountsPage, AgentMessage, ControlMessage, Deployment, Drain, Features, Health,
    Hello, HubMessage, PermittedUse, Refuse, RefuseCause, Welcome, bounded_slot, label,
};
use crate::ids::{AccountId, AgentId, InstanceId, NodeId, SessionId};
use crate::limits::{ACCOUNTS_PER_PAGE_MAX, MESSAGE_BYTES_MAX, MODELS_PER_ACCOUNT_MAX};
use crate::model::{InvalidModel, ModelPattern, ModelPatterns};
use crate::provider::Provider;
use crate::wire::receipts::{
    AckBatchMessage, AgentLedgerMessage, CosignedMessage, FaultMessage, HubLedgerMessage,
    PricesMessage,
};
use crate::wire::{Malformed, bounded_message, place, place_text};
use prost::Message as _;
use std::time::Duration;

impl ControlMessage for AgentMessage {
    fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let kind = match self {
            Self::Hello(hello) => Some(agent_envelope::Kind::Hello(hello.try_into()?)),
            Self::Accounts(page) => Some(agent_envelope::Kind::Accounts(page.try_into()?)),
            Self::Health(health) => Some(agent_envelope::Kind::Health(HealthMessage {
                account: health.account.as_bytes().to_vec(),
                paused_for_ms: millis(health.paused_for),
            })),
            Self::Pong(nonce) => Some(agent_envelope::Kind::Pong(*nonce)),
            Self::Drain(drain) => Some(agent_envelope::Kind::Drain(drain.into())),
            Self::Ledger(ledger) => Some(agent_envelope::Kind::Ledger(ledger.try_into()?)),
            Self::Unknown => None,
        };
        bounded_message(AgentEnvelope { kind }.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Malformed("message length"));
        }
        let envelope = AgentEnvelope::decode(bytes).map_err(|_| Malformed("agent message"))?;
        Ok(match envelope.kind {
            None => Self::Unknown,
            Some(agent_envelope::Kind::Hello(hello)) => Self::Hello(hello.try_into()?),
            Some(agent_envelope::Kind::Accounts(page)) => Self::Accounts(page.try_into()?),
            Some(agent_envelope::Kind::Health(health)) => Self::Health(Health {
                account: AccountId::from_slice(&health.account)
                    .map_err(|_| Malformed("account id"))?,
                paused_for: Duration::from_millis(u64::from(health.paused_for_ms)),
            }),
            Some(agent_envelope::Kind::Pong(nonce)) => Self::Pong(nonce),
            Some(agent_envelope::Kind::Drain(drain)) => Self::Drain(drain.into()),
            Some(agent_envelope::Kind::Ledger(ledger)) => Self::Ledger(ledger.try_into()?),
        })
    }
}

impl ControlMessage for HubMessage {
    fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let kind = match self {
            Self::Welcome(welcome) => Some(hub_envelope::Kind::Welcome(WelcomeMessage {
                node: welcome.node.as_bytes().to_vec(),
                session: welcome.session.as_bytes().to_vec(),
                features: welcome.features.0,
                build: label(&welcome.build)?,
            })),
            Self::Refuse(refuse) => Some(hub_envelope::Kind::Refuse(RefuseMessage {
                cause: refuse.cause as u32,
                retry_after_ms: millis(refuse.retry_after),
                permanent: refuse.permanent,
            })),
            Self::Ping(nonce) => Some(hub_envelope::Kind::Ping(*nonce)),
            Self::Drain(drain) => Some(hub_envelope::Kind::Drain(drain.into())),
            Self::Revoked => Some(hub_envelope::Kind::Revoked(EmptyMessage {})),
            Self::Ledger(ledger) => Some(hub_envelope::Kind::Ledger(ledger.try_into()?)),
            Self::Prices(offer) => Some(hub_envelope::Kind::Prices(offer.try_into()?)),
            Self::Ack(batch) => Some(hub_envelope::Kind::Ack(batch.try_into()?)),
            Self::Cosigned(cosigned) => Some(hub_envelope::Kind::Cosigned(cosigned.try_into()?)),
            Self::LedgerFault(fault) => Some(hub_envelope::Kind::LedgerFault(fault.into())),
            Self::Unknown => None,
        };
        bounded_message(HubEnvelope { kind }.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Malformed("message length"));
        }
        let envelope = HubEnvelope::decode(bytes).map_err(|_| Malformed("hub message"))?;
        Ok(match envelope.kind {
            None => Self::Unknown,
            Some(hub_envelope::Kind::Welcome(welcome)) => Self::Welcome(Welcome {
                node: NodeId::from_slice(&welcome.node).map_err(|_| Malformed("node id"))?,
                session: SessionId::from_slice(&welcome.session)
                    .map_err(|_| Malformed("session id"))?,
                features: Features(welcome.features),
                build: label(&welcome.build)?,
            }),
            Some(hub_envelope::Kind::Refuse(refuse)) => Self::Refuse(Refuse {
                cause: RefuseCause::ALL
                    .into_iter()
                    .find(|cause| *cause as u32 == refuse.cause)
                    .ok_or(Malformed("refuse cause"))?,
                retry_after: Duration::from_millis(u64::from(refuse.retry_after_ms)),
                permanent: refuse.permanent,
            }),
            Some(hub_envelope::Kind::Ping(nonce)) => Self::Ping(nonce),
            Some(hub_envelope::Kind::Drain(drain)) => Self::Drain(drain.into()),
            Some(hub_envelope::Kind::Revoked(EmptyMessage {})) => Self::Revoked,
            Some(hub_envelope::Kind::Ledger(ledger)) => Self::Ledger(ledger.try_into()?),
            Some(hub_envelope::Kind::Prices(offer)) => Self::Prices(offer.try_into()?),
            Some(hub_envelope::Kind::Ack(batch)) => Self::Ack(batch.try_into()?),
            Some(hub_envelope::Kind::Cosigned(cosigned)) => Self::Cosigned(cosigned.try_into()?),
            Some(hub_envelope::Kind::LedgerFault(fault)) => Self::LedgerFault(fault.try_into()?),
        })
    }
}

impl TryFrom<&Hello> for HelloMessage {
    type Error = Malformed;

    fn try_from(hello: &Hello) -> Result<Self, Malformed> {
        Ok(Self {
            agent: hello.agent.as_bytes().to_vec(),
            instance: hello.instance.as_bytes().to_vec(),
            slot: bounded_slot(hello.slot)?,
            generation: hello.generation,
            features: hello.features.0,
            build: label(&hello.build)?,
        })
    }
}

impl TryFrom<HelloMessage> for Hello {
    type Error = Malformed;

    fn try_from(hello: HelloMessage) -> Result<Self, Malformed> {
        Ok(Self {
            agent: AgentId::from_slice(&hello.agent).map_err(|_| Malformed("agent id"))?,
            instance: InstanceId::from_slice(&hello.instance)
                .map_err(|_| Malformed("instance id"))?,
            slot: bounded_slot(hello.slot)?,
            generation: hello.generation,
            features: Features(hello.features),
            build: label(&hello.build)?,
        })
    }
}

impl TryFrom<&AccountsPage> for AccountsMessage {
    type Error = Malformed;

    fn try_from(page: &AccountsPage) -> Result<Self, Malformed> {
        if page.accounts.len() > ACCOUNTS_PER_PAGE_MAX {
            return Err(Malformed("accounts on a page"));
        }
        let accounts = page.accounts.iter().map(TryInto::try_into);
        Ok(Self { accounts: accounts.collect::<Result<_, _>>()?, last: page.last })
    }
}

impl TryFrom<AccountsMessage> for AccountsPage {
    type Error = Malformed;

    fn try_from(page: AccountsMessage) -> Result<Self, Malformed> {
        if page.accounts.len() > ACCOUNTS_PER_PAGE_MAX {
            return Err(Malformed("accounts on a page"));
        }
        let accounts =
            page.accounts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { accounts, last: page.last })
    }
}

impl TryFrom<&Account> for AccountMessage {
    type Error = Malformed;

    fn try_from(account: &Account) -> Result<Self, Malformed> {
        if account.deployments.len() > MODELS_PER_ACCOUNT_MAX {
            return Err(Malformed("models of an account"));
        }
        let deployments = account.deployments.iter().map(|deployment| {
            Ok(DeploymentMessage {
                name: label(&deployment.name)?,
                model: label(&deployment.model)?,
            })
        });
        let (permitted_use, reference) = match &account.permitted_use {
            PermittedUse::Own => (1, String::new()),
            PermittedUse::Organisation => (2, String::new()),
            PermittedUse::Application => (3, String::new()),
            PermittedUse::Licensed { reference } => (4, label(reference)?),
        };
        Ok(Self {
            id: account.id.as_bytes().to_vec(),
            provider: account.provider.number(),
            label: label(&account.label)?,
            models: account.models.iter().map(ToString::to_string).collect(),
            deployments: deployments.collect::<Result<_, Malformed>>()?,
            concurrency_max: account.concurrency_max,
            permitted_use,
            reference,
            place: place_text(account.place.as_ref()),
        })
    }
}

impl TryFrom<AccountMessage> for Account {
    type Error = Malformed;

    fn try_from(account: AccountMessage) -> Result<Self, Malformed> {
        if account.models.len() > MODELS_PER_ACCOUNT_MAX
            || account.deployments.len() > MODELS_PER_ACCOUNT_MAX
        {
            return Err(Malformed("models of an account"));
        }
        let deployments = account
            .deployments
            .into_iter()
            .map(|deployment| {
                Ok(Deployment { name: label(&deployment.name)?, model: label(&deployment.model)? })
            })
            .collect::<Result<_, Malformed>>()?;
        Ok(Self {
            id: AccountId::from_slice(&account.id).map_err(|_| Malformed("account id"))?,
            provider: Provider::from_number(account.provider).map_err(|_| Malformed("provider"))?,
            label: label(&account.label)?,
            models: patterns(&account.models).map_err(|_| Malformed("model pattern"))?,
            deployments,
            concurrency_max: account.concurrency_max,
            permitted_use: match account.permitted_use {
                1 => PermittedUse::Own,
                2 => PermittedUse::Organisation,
                3 => PermittedUse::Application,
                4 => PermittedUse::Licensed { reference: label(&account.reference)? },
                _ => return Err(Malformed("permitted use")),
            },
            place: place(&account.place)?,
        })
    }
}

impl From<&Drain> for DrainMessage {
    fn from(drain: &Drain) -> Self {
        Self { deadline_ms: millis(drain.deadline), reconnect_in_ms: millis(drain.reconnect_in) }
    }
}

impl From<DrainMessage> for Drain {
    fn from(drain: DrainMessage) -> Self {
        Self {
            deadline: Duration::from_millis(u64::from(drain.deadline_ms)),
            reconnect_in: Duration::from_millis(u64::from(drain.reconnect_in_ms)),
        }
    }
}

fn patterns(texts: &[String]) -> Result<ModelPatterns, InvalidModel> {
    let patterns = texts.iter().map(|text| ModelPattern::parse(text));
    ModelPatterns::new(patterns.collect::<Result<Vec<_>, _>>()?)
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[derive(Clone, PartialEq, prost::Message)]
struct AgentEnvelope {
    #[prost(oneof = "agent_envelope::Kind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<agent_envelope::Kind>,
}

mod agent_envelope {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Kind {
        #[prost(message, tag = "1")]
        Hello(super::HelloMessage),
        #[prost(message, tag = "2")]
        Accounts(super::AccountsMessage),
        #[prost(message, tag = "3")]
        Health(super::HealthMessage),
        #[prost(fixed64, tag = "4")]
        Pong(u64),
        #[prost(message, tag = "5")]
        Drain(super::DrainMessage),
        #[prost(message, tag = "6")]
        Ledger(super::AgentLedgerMessage),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct HubEnvelope {
    #[prost(oneof = "hub_envelope::Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    kind: Option<hub_envelope::Kind>,
}

mod hub_envelope {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Kind {
        #[prost(message, tag = "1")]
        Welcome(super::WelcomeMessage),
        #[prost(message, tag = "2")]
        Refuse(super::RefuseMessage),
        #[prost(fixed64, tag = "3")]
        Ping(u64),
        #[prost(message, tag = "4")]
        Drain(super::DrainMessage),
        #[prost(message, tag = "5")]
        Revoked(super::EmptyMessage),
        #[prost(message, tag = "6")]
        Ledger(super::HubLedgerMessage),
        #[prost(message, tag = "7")]
        Prices(super::PricesMessage),
        #[prost(message, tag = "8")]
        Ack(super::AckBatchMessage),
        #[prost(message, tag = "9")]
        Cosigned(super::CosignedMessage),
        #[prost(message, tag = "10")]
        LedgerFault(super::FaultMessage),
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct EmptyMessage {}

#[derive(Clone, PartialEq, prost::Message)]
struct HelloMessage {
    #[prost(bytes = "vec", tag = "1")]
    agent: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    instance: Vec<u8>,
    #[prost(uint32, tag = "3")]
    slot: u32,
    #[prost(uint64, tag = "4")]
    generation: u64,
    #[prost(uint64, tag = "5")]
    features: u64,
    #[prost(string, tag = "6")]
    build: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WelcomeMessage {
    #[prost(bytes = "vec", tag = "1")]
    node: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    session: Vec<u8>,
    #[prost(uint64, tag = "3")]
    features: u64,
    #[prost(string, tag = "4")]
    build: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RefuseMessage {
    #[prost(uint32, tag = "1")]
    cause: u32,
    #[prost(uint32, tag = "2")]
    retry_after_ms: u32,
    #[prost(bool, tag = "3")]
    permanent: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AccountsMessage {
    #[prost(message, repeated, tag = "1")]
    accounts: Vec<AccountMessage>,
    #[prost(bool, tag = "2")]
    last: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AccountMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint32, tag = "2")]
    provider: u32,
    #[prost(string, tag = "3")]
    label: String,
    #[prost(string, repeated, tag = "4")]
    models: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    deployments: Vec<DeploymentMessage>,
    #[prost(uint32, tag = "6")]
    concurrency_max: u32,
    #[prost(uint32, tag = "7")]
    permitted_use: u32,
    #[prost(string, tag = "8")]
    reference: String,
    #[prost(string, tag = "9")]
    place: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DeploymentMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    model: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthMessage {
    #[prost(bytes = "vec", tag = "1")]
    account: Vec<u8>,
    #[prost(uint32, tag = "2")]
    paused_for_ms: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct DrainMessage {
    #[prost(uint32, tag = "1")]
    deadline_ms: u32,
    #[prost(uint32, tag = "2")]
    reconnect_in_ms: u32,
}
