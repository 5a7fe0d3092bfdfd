//! Every code with which a stream or a connection ends. The numbers are the wire's and never reused.
//!
//! A stream that ends with FIN ended properly; anything else carries one of [`AbortCode`]. A code
//! that this build does not know reads as [`AbortCode::Internal`], so that a newer peer can add
//! codes without breaking an older one.

use std::fmt;

/// Why a stream was reset or stopped before its proper end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AbortCode {
    /// The user went away.
    UserAbort = 0x01,
    /// A deadline of the exchange passed.
    Deadline = 0x02,
    /// The agent is draining and has not called the provider.
    Draining = 0x03,
    /// A limit of the agent or the account is full; the provider was not called.
    RefusedBusy = 0x04,
    /// The provider was not called, for a reason of the agent's own (no such account, no route).
    NotSent = 0x05,
    /// The provider's answer broke off after it had begun.
    UpstreamTruncated = 0x06,
    /// The provider could not be reached, or went away before it answered; it may have been called.
    UpstreamUnreachable = 0x07,
    /// The user took no bytes for the stall limit.
    SlowReader = 0x08,
    /// The gate refused the request's body.
    Gate = 0x09,
    /// The peer broke the rules of the wire.
    Malformed = 0x0a,
    /// A fault of the end that says so.
    Internal = 0x0b,
    /// The session was replaced by a newer one.
    Replaced = 0x0c,
    /// The answer is complete although the request was not read to its end (only on STOP_SENDING).
    Enough = 0x0d,
    /// The user's balance does not carry the exchange any further.
    BalanceExhausted = 0x0e,
}

impl AbortCode {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::UserAbort,
        Self::Deadline,
        Self::Draining,
        Self::RefusedBusy,
        Self::NotSent,
        Self::UpstreamTruncated,
        Self::UpstreamUnreachable,
        Self::SlowReader,
        Self::Gate,
        Self::Malformed,
        Self::Internal,
        Self::Replaced,
        Self::Enough,
        Self::BalanceExhausted,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The code with this number; an unknown number reads as [`Self::Internal`].
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| u64::from(code.number()) == number)
            .unwrap_or(Self::Internal)
    }

    /// Whether the agent vouches with this code that nothing reached the provider, so that the
    /// request may be tried on another account.
    #[must_use]
    pub const fn proves_unsent(self) -> bool {
        matches!(self, Self::NotSent | Self::RefusedBusy | Self::Draining)
    }

    /// The name in logs and outcome rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserAbort => "user_abort",
            Self::Deadline => "deadline",
            Self::Draining => "draining",
            Self::RefusedBusy => "refused_busy",
            Self::NotSent => "not_sent",
            Self::UpstreamTruncated => "upstream_truncated",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::SlowReader => "slow_reader",
            Self::Gate => "gate",
            Self::Malformed => "malformed",
            Self::Internal => "internal",
            Self::Replaced => "replaced",
            Self::Enough => "enough",
            Self::BalanceExhausted => "balance_exhausted",
        }
    }

    /// The code with this name, where there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}

impl fmt::Display for AbortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The end that closes is done: a drain has finished, or the operator stopped it.
    Done = 0x00,
    /// A newer session of the same agent took over.
    Replaced = 0x01,
    /// The agent was revoked; it must not come back.
    Revoked = 0x02,
    /// `weft/1` was spoken without a client certificate.
    NoCertificate = 0x03,
    /// The peer broke the rules of the wire.
    Malformed = 0x04,
    /// The handshake of the session took too long.
    Timeout = 0x05,
    /// A fault of the end that closes.
    Internal = 0x06,
    /// The hub refused the session; the control stream says why.
    Refused = 0x07,
    /// The peer answered no PING: it is taken for dead.
    Unresponsive = 0x08,
}

impl CloseCode {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Replaced,
        Self::Revoked,
        Self::NoCertificate,
        Self::Malformed,
        Self::Timeout,
        Self::Internal,
        Self::Refused,
        Self::Unresponsive,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The code with this number; an unknown number reads as [`Self::Internal`].
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| u64::from(code.number()) == number)
            .unwrap_or(Self::Internal)
    }

    /// The sentence fragment sent beside the number, for people who read a capture.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Replaced => "replaced by a newer session",
            Self::Revoked => "revoked",
            Self::NoCertificate => "client certificate required",
            Self::Malformed => "malformed",
            Self::Timeout => "handshake timeout",
            Self::Internal => "internal fault",
            Self::Refused => "refused",
            Self::Unresponsive => "unresponsive",
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// How an exchange ended, as its one outcome row says it. The text is the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndReason {
    /// The provider's answer, whatever its status, reached the user whole.
    Complete,
    /// The hub refused after admission (gate, no account, limit); the provider was not called.
    Refused,
    /// The user went away before the end.
    UserAbort,
    /// The user took no bytes for the stall limit.
    SlowReader,
    /// The provider could not be reached, or went away before it answered.
    UpstreamUnreachable,
    /// The provider's answer broke off after it had begun.
    UpstreamTruncated,
    /// A provider answer about the account was replaced by the hub's own.
    AccountFault,
    /// The tunnel to the agent was lost after dispatch.
    TunnelLost,
    /// The agent broke the rules of the wire or had a fault of its own.
    AgentFault,
    /// The deadline passed.
    Deadline,
    /// The node was stopped by force while the exchange ran.
    Shutdown,
    /// A fault of the hub: the task ended without saying how.
    Internal,
    /// The user's balance did not carry the answer to its end.
    BalanceExhausted,
    /// The node's process died while the exchange ran: all that is left of it is its ticket.
    NodeLost,
}

impl EndReason {
    /// All reasons.
    pub const ALL: [Self; 14] = [
        Self::Complete,
        Self::Refused,
        Self::UserAbort,
        Self::SlowReader,
        Self::UpstreamUnreachable,
        Self::UpstreamTruncated,
        Self::AccountFault,
        Self::TunnelLost,
        Self::AgentFault,
        Self::Deadline,
        Self::Shutdown,
        Self::Internal,
        Self::BalanceExhausted,
        Self::NodeLost,
    ];

    /// Whether the provider's answer came to the hub whole, whatever the user got of it.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        match self {
            Self::Complete | Self::AccountFault => true,
            Self::Refused
            | Self::UserAbort
            | Self::SlowReader
            | Self::UpstreamUnreachable
            | Self::UpstreamTruncated
            | Self::TunnelLost
            | Self::AgentFault
            | Self::Deadline
            | Self::Shutdown
            | Self::Internal
            | Self::BalanceExhausted
            | Self::NodeLost => false,
        }
    }

    /// The stored and logged form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::UserAbort => "user_abort",
            Self::SlowReader => "slow_reader",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTruncated => "upstream_truncated",
            Self::AccountFault => "account_fault",
            Self::TunnelLost => "tunnel_lost",
            Self::AgentFault => "agent_fault",
            Self::Deadline => "deadline",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
            Self::BalanceExhausted => "balance_exhausted",
            Self::NodeLost => "node_lost",
        }
    }

    /// The reason with this stored form, where there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_unknown_ones_read_as_internal() {
        for code in AbortCode::ALL {
            assert_eq!(AbortCode::from_number(u64::from(code.number())), code);
            assert_eq!(AbortCode::from_name(code.name()), Some(code));
        }
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(u64::from(code.number())), code);
        }
        for reason in EndReason::ALL {
            assert_eq!(EndReason::from_name(reason.name()), Some(reason));
        }
        assert_eq!(AbortCode::from_number(0xffff_ffff), AbortCode::Internal);
        assert_eq!(CloseCode::from_number(1 << 60), CloseCode::Internal);
    }
}
