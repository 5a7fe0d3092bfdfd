//! The hub's own record of an exchange: what a claim is held against, and nothing else of it.

use weft_proto::ids::{AccountId, AgentId};
use weft_proto::money::NanoUsd;
use weft_proto::usage::{Basis, Class, Usage};
use weft_store::{Agreed, Bearer, ClaimRef, LegState, Settlement};

/// The layout's version.
const VERSION: u8 = 1;

/// The version of a record whose exchange another one bills; otherwise the same.
const VERSION_ELSEWHERE: u8 = 2;

/// The version of a record whose user has not covered all of the income: what it has comes first.
const VERSION_UNCOVERED: u8 = 3;

/// How the agent leg stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Its state.
    pub state: LegState,
    /// What was paid.
    pub paid: NanoUsd,
    /// The entry that claimed it.
    pub claim: Option<ClaimRef>,
}

/// What the hub knows of an exchange that it has settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who served it: agent, account, attempt.
    pub served: Option<(AgentId, AccountId, u8)>,
    /// Whether the answer came to its proper end at the hub.
    pub proper: bool,
    /// Units by class, as the hub's own meter read them.
    pub usage: Usage,
    /// How far they can be trusted.
    pub basis: Basis,
    /// The stored number of the service tier.
    pub service: u8,
    /// The stored number of the region.
    pub geo: u8,
    /// What the owner is to get.
    pub income: NanoUsd,
    /// How the agent leg stands.
    pub stand: Stand,
    /// Whether another exchange bills what it brought: it was given up, and earns nothing.
    pub elsewhere: bool,
    /// What of the income the user has covered; `None` where that is all of it.
    pub covered: Option<NanoUsd>,
}

impl Record {
    /// The record of a settlement that nobody has claimed, and whose user has covered all of it.
    #[must_use]
    pub fn fresh(settlement: &Settlement) -> Self {
        let state = if settlement.served.is_some() { LegState::Open } else { LegState::Absent };
        Self {
            served: settlement.served.map(|served| (served.agent, served.account, served.attempt)),
            proper: settlement.end.is_whole(),
            usage: settlement.metered.usage,
            basis: settlement.metered.basis,
            service: settlement.metered.service,
            geo: settlement.metered.geo,
            income: settlement.outlay.income,
            stand: Stand { state, paid: NanoUsd::ZERO, claim: None },
            elsewhere: settlement.outlay.bearer == Bearer::Elsewhere,
            covered: None,
        }
    }
}

impl From<&Agreed> for Record {
    fn from(agreed: &Agreed) -> Self {
        let Agreed { settlement, leg, .. } = agreed;
        let covered = agreed.covered(false);
        Self {
            stand: Stand { state: leg.state, paid: leg.paid, claim: leg.claim },
            covered: Some(covered).filter(|covered| *covered < settlement.outlay.income),
            ..Self::fresh(settlement)
        }
    }
}

impl Record {
    /// The form in which evidence keeps it. Integers are big-endian; a flag says what follows.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = match self.covered {
            Some(covered) => {
                let mut out = vec![VERSION_UNCOVERED];
                out.extend_from_slice(&covered.nanos().to_be_bytes());
                out
            }
            None => vec![if self.elsewhere { VERSION_ELSEWHERE } else { VERSION }],
        };
        match self.served {
            None => out.push(0),
            Some((agent, account, attempt)) => {
                out.push(1);
                out.extend_from_slice(agent.as_bytes());
                out.extend_from_slice(account.as_bytes());
                out.push(attempt);
            }
        }
        out.extend_from_slice(&[u8::from(self.proper), self.basis as u8, self.service, self.geo]);
        out.extend_from_slice(&self.income.nanos().to_be_bytes());
        out.push(self.stand.state.number());
        out.extend_from_slice(&self.stand.paid.nanos().to_be_bytes());
        match self.stand.claim {
            None => out.push(0),
            Some(claim) => {
                out.push(1);
                out.extend_from_slice(&claim.epoch.to_be_bytes());
                out.extend_from_slice(&claim.seq.to_be_bytes());
                out.extend_from_slice(&claim.hash);
            }
        }
        for (class, units) in self.usage.iter() {
            out.push(class.number());
            out.extend_from_slice(&units.to_be_bytes());
        }
        out
    }

    /// Reads what [`Record::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut take = |count: usize| {
            let (taken, behind) = rest.split_at_checked(count)?;
            rest = behind;
            Some(taken)
        };
        let (elsewhere, covered) = match take(1)? {
            [VERSION] => (false, None),
            [VERSION_ELSEWHERE] => (true, None),
            [VERSION_UNCOVERED] => {
                let covered = i64::from_be_bytes(take(8)?.try_into().ok()?);
                (false, Some(NanoUsd::new(covered)))
            }
            _ => return None,
        };
        let served = match take(1)? {
            [0] => None,
            [1] => Some((
                AgentId::from_slice(take(16)?).ok()?,
                AccountId::from_slice(take(16)?).ok()?,
                *take(1)?.first()?,
            )),
            _ => return None,
        };
        let &[proper @ 0..=1, basis, service, geo] = take(4)? else {
            return None;
        };
        let income = NanoUsd::new(i64::from_be_bytes(take(8)?.try_into().ok()?));
        let state = LegState::from_number(*take(1)?.first()?)?;
        let paid = NanoUsd::new(i64::from_be_bytes(take(8)?.try_into().ok()?));
        let claim = match take(1)? {
            [0] => None,
            [1] => Some(ClaimRef {
                epoch: u64::from_be_bytes(take(8)?.try_into().ok()?),
                seq: u64::from_be_bytes(take(8)?.try_into().ok()?),
                hash: take(32)?.try_into().ok()?,
            }),
            _ => return None,
        };
        let (units, []) = rest.as_chunks::<9>() else {
            return None;
        };
        let mut usage = Usage::NONE;
        for [class, units @ ..] in units {
            usage.set(Class::from_number(*class)?, u64::from_be_bytes(*units));
        }
        Some(Self {
            served,
            proper: proper == 1,
            usage,
            basis: Basis::from_number(basis)?,
            service,
            geo,
            income,
            stand: Stand { state, paid, claim },
            elsewhere,
            covered,
        })
    }
}
