//! The session on the control stream, as two state machines without I/O: one for each end.
//!
//! The first message decides: the agent's HELLO, the hub's WELCOME or REFUSE. A message out of
//! order is [`Malformed`]: the connection is closed.

use crate::ids::AgentId;
use crate::limits::ACCOUNTS_MAX;
use crate::wire::Malformed;
use crate::wire::control::{
    Account, AgentMessage, Drain, Health, Hello, HubMessage, Refuse, Welcome,
};
use crate::wire::receipts::{AckBatch, AgentLedger, Cosigned, HubLedger, LedgerFault, PricesOffer};

/// What the hub learns from an agent's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubEvent {
    /// The agent asks for a session; the shell answers with WELCOME or REFUSE.
    Hello(Hello),
    /// These accounts, and no others, are the agent's.
    Accounts(Vec<Account>),
    /// An account pauses or serves again.
    Health(Health),
    /// A PING was answered.
    Pong(u64),
    /// The agent is going away.
    Drain(Drain),
    /// The agent's ledger greets.
    Ledger(AgentLedger),
    /// Nothing to do.
    Nothing,
}

/// The hub's end of one session.
#[derive(Debug)]
pub struct HubSession {
    agent: AgentId,
    greeted: bool,
    ledger_greeted: bool,
    pages: Vec<Account>,
}

impl HubSession {
    /// A session with the agent whose certificate names `agent`.
    #[must_use]
    pub const fn new(agent: AgentId) -> Self {
        Self { agent, greeted: false, ledger_greeted: false, pages: Vec::new() }
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// [`Malformed`] for a message out of order, a HELLO in another agent's name, or more accounts
    /// than an agent may have.
    pub fn receive(&mut self, message: AgentMessage) -> Result<HubEvent, Malformed> {
        if !self.greeted {
            let AgentMessage::Hello(hello) = message else {
                return Err(Malformed("message before HELLO"));
            };
            if hello.agent != self.agent {
                return Err(Malformed("agent in HELLO"));
            }
            self.greeted = true;
            return Ok(HubEvent::Hello(hello));
        }
        Ok(match message {
            AgentMessage::Hello(_) => return Err(Malformed("second HELLO")),
            AgentMessage::Accounts(page) => {
                if self.pages.len() + page.accounts.len() > ACCOUNTS_MAX {
                    return Err(Malformed("number of accounts"));
                }
                self.pages.extend(page.accounts);
                if page.last {
                    HubEvent::Accounts(std::mem::take(&mut self.pages))
                } else {
                    HubEvent::Nothing
                }
            }
            AgentMessage::Health(health) => HubEvent::Health(health),
            AgentMessage::Pong(nonce) => HubEvent::Pong(nonce),
            AgentMessage::Drain(drain) => HubEvent::Drain(drain),
            AgentMessage::Ledger(_) if self.ledger_greeted => {
                return Err(Malformed("second LEDGER"));
            }
            AgentMessage::Ledger(ledger) => {
                self.ledger_greeted = true;
                HubEvent::Ledger(ledger)
            }
            AgentMessage::Unknown => HubEvent::Nothing,
        })
    }
}

/// What the agent learns from a hub's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// The session is in force; the shell announces its accounts.
    Welcome(Welcome),
    /// No session; the connection is of no more use.
    Refused(Refuse),
    /// To be answered by a PONG with this number, at once.
    Ping(u64),
    /// The node is going away.
    Drain(Drain),
    /// The agent must not come back.
    Revoked,
    /// A word of the hub's ledger.
    Ledger(LedgerWord),
    /// Nothing to do.
    Nothing,
}

/// What the hub's ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerWord {
    /// Who it is, and what it has of the agent's chain.
    Greeting(HubLedger),
    /// A price book comes.
    Prices(PricesOffer),
    /// What became of receipts.
    Ack(AckBatch),
    /// A checkpoint, cosigned.
    Cosigned(Cosigned),
    /// It takes no more receipts on this session.
    Fault(LedgerFault),
}

/// The agent's end of one session.
#[derive(Debug, Default)]
pub struct AgentSession {
    welcomed: bool,
}

impl AgentSession {
    /// Takes the next message.
    ///
    /// # Errors
    /// [`Malformed`] for a message out of order.
    pub fn receive(&mut self, message: HubMessage) -> Result<AgentEvent, Malformed> {
        Ok(match message {
            HubMessage::Welcome(_) if self.welcomed => return Err(Malformed("second WELCOME")),
            HubMessage::Welcome(welcome) => {
                self.welcomed = true;
                AgentEvent::Welcome(welcome)
            }
            HubMessage::Refuse(_) if self.welcomed => {
                return Err(Malformed("REFUSE after WELCOME"));
            }
            HubMessage::Refuse(refuse) => AgentEvent::Refused(refuse),
            HubMessage::Revoked => AgentEvent::Revoked,
            HubMessage::Ping(_)
            | HubMessage::Drain(_)
            | HubMessage::Ledger(_)
            | HubMessage::Prices(_)
            | HubMessage::Ack(_)
            | HubMessage::Cosigned(_)
            | HubMessage::LedgerFault(_)
                if !self.welcomed =>
            {
                return Err(Malformed("message before WELCOME"));
            }
            HubMessage::Ping(nonce) => AgentEvent::Ping(nonce),
            HubMessage::Drain(drain) => AgentEvent::Drain(drain),
            HubMessage::Ledger(ledger) => AgentEvent::Ledger(LedgerWord::Greeting(ledger)),
            HubMessage::Prices(offer) => AgentEvent::Ledger(LedgerWord::Prices(offer)),
            HubMessage::Ack(batch) => AgentEvent::Ledger(LedgerWord::Ack(batch)),
            HubMessage::Cosigned(note) => AgentEvent::Ledger(LedgerWord::Cosigned(note)),
            HubMessage::LedgerFault(fault) => AgentEvent::Ledger(LedgerWord::Fault(fault)),
            HubMessage::Unknown => AgentEvent::Nothing,
        })
    }
}

#[cfg(test)]
mod tests;
