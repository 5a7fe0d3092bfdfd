//! Joining and renewal, on `weft-join/1`: one request and one answer on one stream.
//!
//! The signing request proves the agent's key. A key that the hub knows already gets the same
//! agent's certificate anew, with or without a token: that is how an agent renews.

use super::{Malformed, bounded_message, bounded_text};
use crate::ids::AgentId;
use crate::limits::MESSAGE_BYTES_MAX;
use prost::Message as _;

/// Bytes of an invitation's token.
pub const TOKEN_BYTES: usize = 32;

/// Longest certificate in a chain, in bytes of DER.
const CERTIFICATE_BYTES_MAX: usize = 4 * 1024;

/// Most certificates in a chain.
const CHAIN_MAX: usize = 4;

/// What a joining agent asks.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The token of the invitation; none where a known agent renews.
    pub token: Option<[u8; TOKEN_BYTES]>,
    /// A certificate signing request, DER: proof of the agent's own key.
    pub csr: Vec<u8>,
    /// The agent's name for itself, for people.
    pub name: String,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a hub does not take an agent in. The number is the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinRefusal {
    /// No invitation has this token.
    UnknownToken = 1,
    /// The invitation has run out.
    Expired = 2,
    /// Another key has used the invitation.
    Used = 3,
    /// The signing request does not hold.
    BadRequest = 4,
    /// The agent was revoked.
    Revoked = 5,
    /// The hub cannot answer now.
    Unavailable = 6,
    /// No token was sent, and the hub does not know the key.
    UnknownKey = 7,
    /// The agent's certificate ran out too long ago to be renewed without an invitation.
    Lapsed = 8,
}

impl JoinRefusal {
    /// All refusals, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::UnknownToken,
        Self::Expired,
        Self::Used,
        Self::BadRequest,
        Self::Revoked,
        Self::Unavailable,
        Self::UnknownKey,
        Self::Lapsed,
    ];

    /// What a person reads.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownToken => "the hub does not know this invite",
            Self::Expired => "the invite has expired; ask for a new one",
            Self::Used => "the invite was already used by another agent; ask for a new one",
            Self::BadRequest => "the hub could not accept the certificate request",
            Self::Revoked => "the agent was revoked",
            Self::Unavailable => "the hub cannot take in agents right now; try again",
            Self::UnknownKey => "the hub does not know this agent; join with a fresh invite",
            Self::Lapsed => "the agent was away for too long; join again with a fresh invite",
        }
    }
}

/// What the hub answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinAnswer {
    /// Taken in.
    Joined {
        /// The identity given.
        agent: AgentId,
        /// The certificate chain, DER, leaf first.
        chain: Vec<Vec<u8>>,
    },
    /// Not taken in.
    Refused(JoinRefusal),
}

impl JoinRequest {
    /// The request as it stands on the wire, its length prefix not included.
    ///
    /// # Errors
    /// [`Malformed`] for what `decode` would refuse, so where it is longer than
    /// [`MESSAGE_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let message = JoinRequestMessage {
            token: self.token.map(Vec::from).unwrap_or_default(),
            csr: self.csr.clone(),
            name: bounded_text(&self.name, "name")?,
        };
        bounded_message(message.encode_to_vec())
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not a request within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Malformed("message length"));
        }
        let message = JoinRequestMessage::decode(bytes).map_err(|_| Malformed("join request"))?;
        let token = match message.token {
            none if none.is_empty() => None,
            token => Some(token.try_into().map_err(|_| Malformed("token"))?),
        };
        Ok(Self { token, csr: message.csr, name: bounded_text(&message.name, "name")? })
    }
}

impl JoinAnswer {
    /// The answer as it stands on the wire, its length prefix not included.
    ///
    /// # Errors
    /// [`Malformed`] for what `decode` would refuse, so where it is longer than
    /// [`MESSAGE_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let message = match self {
            Self::Joined { agent, chain } => JoinAnswerMessage {
                agent: agent.as_bytes().to_vec(),
                chain: bounded_chain(chain.clone())?,
                refusal: 0,
            },
            Self::Refused(refusal) => {
                JoinAnswerMessage { refusal: *refusal as u32, ..JoinAnswerMessage::default() }
            }
        };
        bounded_message(message.encode_to_vec())
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not an answer within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Malformed("message length"));
        }
        let message = JoinAnswerMessage::decode(bytes).map_err(|_| Malformed("join answer"))?;
        if message.refusal != 0 {
            return JoinRefusal::ALL
                .into_iter()
                .find(|refusal| *refusal as u32 == message.refusal)
                .map(Self::Refused)
                .ok_or(Malformed("join refusal"));
        }
        let agent = AgentId::from_slice(&message.agent).map_err(|_| Malformed("agent id"))?;
        Ok(Self::Joined { agent, chain: bounded_chain(message.chain)? })
    }
}

fn bounded_chain(chain: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Malformed> {
    let fits = |certificate: &Vec<u8>| {
        !certificate.is_empty() && certificate.len() <= CERTIFICATE_BYTES_MAX
    };
    if chain.is_empty() || chain.len() > CHAIN_MAX || !chain.iter().all(fits) {
        return Err(Malformed("certificate chain"));
    }
    Ok(chain)
}

#[derive(Clone, PartialEq, prost::Message)]
struct JoinRequestMessage {
    #[prost(bytes = "vec", tag = "1")]
    token: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    csr: Vec<u8>,
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct JoinAnswerMessage {
    #[prost(bytes = "vec", tag = "1")]
    agent: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    chain: Vec<Vec<u8>>,
    #[prost(uint32, tag = "3")]
    refusal: u32,
}
