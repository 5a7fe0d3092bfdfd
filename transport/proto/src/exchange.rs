//! The life of one exchange, as two state machines without I/O: what each end may still do.
//!
//! The hub's machine decides what a broken attempt leads to: another attempt, a refusal in the
//! caller's dialect, or a cut of the answer that has begun. The agent's machine decides which code
//! it may answer with: once bytes may have reached the provider, no code that proves the contrary.

use crate::codes::{AbortCode, EndReason};
use crate::limits::ATTEMPTS_MAX;

/// Why an attempt broke, as the hub sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The agent reset the stream with this code.
    Agent(AbortCode),
    /// The tunnel was lost: the provider may have been called.
    TunnelLost,
    /// No stream could be opened on the tunnel: nothing was sent.
    NotOpened,
    /// The user went away.
    UserGone,
    /// The user took no bytes for the stall limit.
    SlowReader,
    /// The gate refused what the body held.
    Gate,
    /// The user's upload broke off or broke the rules of HTTP.
    BadUpload,
    /// A deadline passed.
    Deadline,
    /// The agent broke the rules of the wire.
    Malformed,
    /// The node is being stopped by force.
    Shutdown,
    /// The user's balance does not carry it any further.
    Exhausted,
}

impl Break {
    /// Whether it is sure that the provider was not called.
    #[must_use]
    pub const fn is_unsent(self) -> bool {
        match self {
            Self::Agent(code) => code.proves_unsent(),
            Self::NotOpened => true,
            Self::TunnelLost
            | Self::UserGone
            | Self::SlowReader
            | Self::Gate
            | Self::BadUpload
            | Self::Deadline
            | Self::Malformed
            | Self::Shutdown
            | Self::Exhausted => false,
        }
    }

    /// What the agent is told of a break that is not its own: it stops with this code. `None` where
    /// it said so itself, or is not there to be told.
    #[must_use]
    pub const fn code(self) -> Option<AbortCode> {
        match self {
            Self::SlowReader => Some(AbortCode::SlowReader),
            Self::Deadline => Some(AbortCode::Deadline),
            Self::Gate => Some(AbortCode::Gate),
            Self::Shutdown => Some(AbortCode::Draining),
            Self::UserGone | Self::BadUpload => Some(AbortCode::UserAbort),
            Self::Malformed => Some(AbortCode::Malformed),
            Self::Exhausted => Some(AbortCode::BalanceExhausted),
            Self::Agent(_) | Self::TunnelLost | Self::NotOpened => None,
        }
    }
}

/// What a break leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing reached a provider and the whole request is still at hand: try another account.
    Retry,
    /// The answer has not begun: the hub answers itself.
    Refuse(EndReason),
    /// The answer has begun: it must not look whole.
    Cut(EndReason),
    /// The exchange has ended already; nothing is left to do.
    Ended,
}

impl Next {
    /// The reason for which an exchange that goes no further has ended.
    #[must_use]
    pub const fn reason(self) -> EndReason {
        match self {
            Self::Refuse(reason) | Self::Cut(reason) => reason,
            Self::Retry | Self::Ended => EndReason::Internal,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HubPhase {
    Planned,
    Dispatched,
    Answering,
    Ended(EndReason),
}

/// The hub's end of one exchange, over all its attempts.
#[derive(Debug)]
pub struct HubExchange {
    phase: HubPhase,
    attempts: u8,
    replay_whole: bool,
}

impl Default for HubExchange {
    fn default() -> Self {
        Self { phase: HubPhase::Planned, attempts: 0, replay_whole: true }
    }
}

impl HubExchange {
    /// Starts the next attempt and says its number, from 1; `None` where no more are allowed.
    pub fn dispatch(&mut self) -> Option<u8> {
        if self.phase != HubPhase::Planned || self.attempts >= ATTEMPTS_MAX {
            return None;
        }
        self.phase = HubPhase::Dispatched;
        self.attempts += 1;
        Some(self.attempts)
    }

    /// Bytes were forwarded that are not kept: the request can be sent only this once.
    pub const fn replay_lost(&mut self) {
        self.replay_whole = false;
    }

    /// The answer's head arrived. Says whether it counts: a head after the end does not.
    pub fn answer(&mut self) -> bool {
        let counts = self.phase == HubPhase::Dispatched;
        if counts {
            self.phase = HubPhase::Answering;
        }
        counts
    }

    /// The answer ended properly and whole. Says whether that counts.
    pub fn complete(&mut self) -> bool {
        let counts = self.phase == HubPhase::Answering;
        if counts {
            self.phase = HubPhase::Ended(EndReason::Complete);
        }
        counts
    }

    /// The exchange ended by a refusal of the hub's own, before or between attempts.
    pub const fn refused(&mut self, reason: EndReason) {
        if !matches!(self.phase, HubPhase::Ended(_)) {
            self.phase = HubPhase::Ended(reason);
        }
    }

    /// Something broke: says what that leads to.
    pub fn broke(&mut self, why: Break) -> Next {
        let reason = match why {
            Break::Agent(code) => reason_of(code),
            Break::TunnelLost => EndReason::TunnelLost,
            Break::NotOpened => EndReason::Refused,
            Break::UserGone | Break::BadUpload => EndReason::UserAbort,
            Break::SlowReader => EndReason::SlowReader,
            Break::Gate => EndReason::Refused,
            Break::Deadline => EndReason::Deadline,
            Break::Malformed => EndReason::AgentFault,
            Break::Shutdown => EndReason::Shutdown,
            Break::Exhausted => EndReason::BalanceExhausted,
        };
        match self.phase {
            HubPhase::Ended(_) => return Next::Ended,
            HubPhase::Answering => {
                self.phase = HubPhase::Ended(reason);
                return Next::Cut(reason);
            }
            HubPhase::Dispatched
                if why.is_unsent() && self.replay_whole && self.attempts < ATTEMPTS_MAX =>
            {
                self.phase = HubPhase::Planned;
                return Next::Retry;
            }
            HubPhase::Planned | HubPhase::Dispatched => self.phase = HubPhase::Ended(reason),
        }
        Next::Refuse(reason)
    }

    /// Attempts started so far.
    #[must_use]
    pub const fn attempts(&self) -> u8 {
        self.attempts
    }

    /// How the exchange ended, once it has.
    #[must_use]
    pub const fn ended(&self) -> Option<EndReason> {
        match self.phase {
            HubPhase::Ended(reason) => Some(reason),
            HubPhase::Planned | HubPhase::Dispatched | HubPhase::Answering => None,
        }
    }
}

const fn reason_of(code: AbortCode) -> EndReason {
    match code {
        AbortCode::Deadline => EndReason::Deadline,
        AbortCode::Draining | AbortCode::RefusedBusy | AbortCode::NotSent => EndReason::Refused,
        AbortCode::UpstreamTruncated => EndReason::UpstreamTruncated,
        AbortCode::UpstreamUnreachable => EndReason::UpstreamUnreachable,
        AbortCode::Replaced => EndReason::TunnelLost,
        // What only the hub can know is, in an agent's mouth, a fault of the agent's.
        AbortCode::UserAbort
        | AbortCode::SlowReader
        | AbortCode::Gate
        | AbortCode::Malformed
        | AbortCode::Internal
        | AbortCode::Enough
        | AbortCode::BalanceExhausted => EndReason::AgentFault,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AgentPhase {
    Accepted,
    Calling,
    Answering,
    Ended,
}

/// Why the agent breaks an exchange off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The agent's own tables or settings refuse the request.
    NotAllowed,
    /// The account or the agent is full.
    Busy,
    /// The agent is draining.
    Draining,
    /// No byte of the request reached the provider: no connection, no TLS.
    NotConnected,
    /// The provider went away, or broke the rules of HTTP.
    Upstream,
    /// The provider's answer head took too long.
    Deadline,
    /// The hub broke the rules of the wire.
    Malformed,
    /// A fault of the agent's own.
    Internal,
}

/// The agent's end of one exchange.
#[derive(Debug)]
pub struct AgentExchange(AgentPhase);

impl Default for AgentExchange {
    fn default() -> Self {
        Self(AgentPhase::Accepted)
    }
}

impl AgentExchange {
    /// From here on bytes may reach the provider. Says whether the call may be made: at most once.
    pub fn call(&mut self) -> bool {
        let may = self.0 == AgentPhase::Accepted;
        if may {
            self.0 = AgentPhase::Calling;
        }
        may
    }

    /// The provider's answer head is about to be passed on. Says whether it may be: at most once.
    pub fn answer(&mut self) -> bool {
        let may = self.0 == AgentPhase::Calling;
        if may {
            self.0 = AgentPhase::Answering;
        }
        may
    }

    /// The provider's answer ended properly. Says whether FIN may be sent.
    pub fn complete(&mut self) -> bool {
        let may = self.0 == AgentPhase::Answering;
        if may {
            self.0 = AgentPhase::Ended;
        }
        may
    }

    /// Ends the exchange and says the code to reset its stream with.
    pub fn broke(&mut self, fault: Fault) -> AbortCode {
        let phase = std::mem::replace(&mut self.0, AgentPhase::Ended);
        match (phase, fault) {
            (_, Fault::Malformed) => AbortCode::Malformed,
            (_, Fault::Internal) => AbortCode::Internal,
            (AgentPhase::Accepted, Fault::Busy) => AbortCode::RefusedBusy,
            (AgentPhase::Accepted, Fault::Draining) => AbortCode::Draining,
            (AgentPhase::Accepted, Fault::NotAllowed | Fault::Upstream | Fault::Deadline)
            | (AgentPhase::Accepted | AgentPhase::Calling, Fault::NotConnected) => {
                AbortCode::NotSent
            }
            (AgentPhase::Calling, Fault::Deadline) => AbortCode::Deadline,
            (
                AgentPhase::Calling,
                Fault::Upstream | Fault::NotAllowed | Fault::Busy | Fault::Draining,
            ) => AbortCode::UpstreamUnreachable,
            (
                AgentPhase::Answering | AgentPhase::Ended,
                Fault::Upstream
                | Fault::NotAllowed
                | Fault::Busy
                | Fault::Draining
                | Fault::NotConnected
                | Fault::Deadline,
            ) => AbortCode::UpstreamTruncated,
        }
    }
}

#[cfg(test)]
mod tests;
