//! Settlement: who pays for an exchange that ended, wherever and for whatever reason it did.
//!
//! One pure function over everything that decides it. `hub/docs/settlement.md` is the same table for
//! people; a test walks every row and fails when the two differ. A verdict says which figures count,
//! never how much: amounts are the price book's, and the verdict of a drain that reads on is asked
//! for again at the stage that it reached.

use crate::config::OnAbort;

/// How far an exchange had come when it ended. Each stage includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No agent was asked.
    BeforeDispatch,
    /// An agent was asked, and vouches or has proven that it did not call the provider.
    BeforeOpen,
    /// The provider may have been called; nothing of a good answer has come.
    BeforeFirstByte,
    /// Something of the answer has come, not its last content.
    BetweenEvents,
    /// The answer has said that its content is over; the last figures may still come.
    AfterFinish,
    /// The provider's last figures have come.
    AfterUsage,
    /// The answer ended properly.
    AfterFin,
}

/// Why an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nothing went wrong.
    Nothing,
    /// The user went away, broke its upload off, or took no bytes for the stall limit.
    UserGone,
    /// The provider answered with an error, in place of an answer or inside of one.
    ProviderError,
    /// The provider could not be reached any more, or broke its answer off.
    ProviderCut,
    /// The agent died, or has a fault of its own.
    AgentKilled,
    /// This node died: nobody was left to settle.
    NodeKilled,
    /// The tunnel was lost.
    TunnelLost,
    /// A limit of time passed.
    Deadline,
    /// The node or the agent was told to stop, and the time for it ran out.
    Drain,
    /// The user's balance did not carry it any further.
    BalanceExhausted,
    /// The gate refused what the body held.
    GateClosed,
}

/// An end, as the table sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// How far it had come.
    pub stage: Stage,
    /// Why it ended.
    pub cause: Cause,
    /// The provider has told figures, though perhaps not its last.
    pub usage_seen: bool,
    /// What is done at its provider where the user goes away.
    pub on_abort: OnAbort,
}

/// What the user is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// Nothing: the whole hold returns.
    Nothing,
    /// The provider's last figures.
    Metered,
    /// For each kind of unit, the larger of the last figures and what was counted here.
    Estimated,
    /// What the agent's receipt proves, at most the hold; nothing where none comes in the claim
    /// window.
    Bound,
}

/// What the agent may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nothing.
    Nothing,
    /// What its own meter says, which must be what the hub's says, to the nano-dollar.
    Exact,
    /// What the hub settled, where the agent has seen at least that much.
    Settled,
    /// What its own meter says, at most the ticket's cap, once.
    Capped,
}

/// What becomes of the call at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// It was never made.
    NotCalled,
    /// The agent is told to cancel it at once.
    Cancel,
    /// It is read on without a reader, for the longest drain, and then cancelled.
    Drain,
    /// It is over by itself.
    Over,
    /// The agent, or what is left of its connection, cancels it by itself: it cannot be told.
    Gone,
}

/// Who bears what the provider bills beyond the charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// There is none.
    Nobody,
    /// The account's owner, whose provider it is.
    Owner,
    /// The hub, as a loss.
    Hub,
}

/// What an end comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What the user is charged.
    pub charge: Charge,
    /// What the agent may claim.
    pub claim: Claim,
    /// What becomes of the call at the provider.
    pub upstream: Upstream,
    /// Who bears the rest.
    pub rest: Rest,
}

impl End {
    /// Whether there can be such an end: figures come from an answer, and the last ones are figures.
    #[must_use]
    pub fn is_possible(self) -> bool {
        let Self { stage, cause, usage_seen, .. } = self;
        let figures = match stage {
            Stage::BeforeDispatch | Stage::BeforeOpen => !usage_seen,
            // An error may come with figures of its own: a filtered request that is billed.
            Stage::BeforeFirstByte => !usage_seen || cause == Cause::ProviderError,
            Stage::AfterUsage => usage_seen,
            Stage::BetweenEvents | Stage::AfterFinish | Stage::AfterFin => true,
        };
        figures && (cause != Cause::Nothing || stage == Stage::AfterFin)
    }

    /// What this end comes to.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        let (node_died, usage_seen) = (self.cause == Cause::NodeKilled, self.usage_seen);
        match self.stage {
            Stage::BeforeDispatch | Stage::BeforeOpen => Verdict {
                charge: Charge::Nothing,
                claim: Claim::Nothing,
                upstream: Upstream::NotCalled,
                rest: Rest::Nobody,
            },
            stage @ (Stage::BeforeFirstByte
            | Stage::BetweenEvents
            | Stage::AfterFinish
            | Stage::AfterUsage
            | Stage::AfterFin)
                if node_died =>
            {
                Verdict {
                    charge: Charge::Bound,
                    claim: Claim::Capped,
                    upstream: if stage == Stage::AfterFin {
                        Upstream::Over
                    } else {
                        Upstream::Gone
                    },
                    rest: Rest::Hub,
                }
            }
            Stage::BeforeFirstByte => self.unanswered(),
            Stage::BetweenEvents | Stage::AfterFinish => self.cut(Charge::Estimated),
            Stage::AfterUsage => self.cut(Charge::Metered),
            Stage::AfterFin => Verdict {
                charge: if usage_seen { Charge::Metered } else { Charge::Estimated },
                claim: match self.cause {
                    // Its last entry may be missing what it had seen.
                    Cause::AgentKilled => Claim::Settled,
                    Cause::Nothing
                    | Cause::UserGone
                    | Cause::ProviderError
                    | Cause::ProviderCut
                    | Cause::NodeKilled
                    | Cause::TunnelLost
                    | Cause::Deadline
                    | Cause::Drain
                    | Cause::BalanceExhausted
                    | Cause::GateClosed => Claim::Exact,
                },
                upstream: Upstream::Over,
                rest: self.rest(usage_seen),
            },
        }
    }

    /// The provider may have been called, and the user has nothing of it.
    fn unanswered(self) -> Verdict {
        let (charge, claim) = match self.cause {
            // Else nobody would pay for what was read of request after request that is given up.
            Cause::UserGone => (Charge::Estimated, Claim::Settled),
            Cause::ProviderError if self.usage_seen => (Charge::Metered, Claim::Exact),
            Cause::Nothing
            | Cause::ProviderError
            | Cause::ProviderCut
            | Cause::AgentKilled
            | Cause::NodeKilled
            | Cause::TunnelLost
            | Cause::Deadline
            | Cause::Drain
            | Cause::BalanceExhausted
            | Cause::GateClosed => (Charge::Nothing, Claim::Nothing),
        };
        let rest = if charge == Charge::Metered { Rest::Nobody } else { Rest::Owner };
        Verdict { charge, claim, upstream: self.upstream(), rest }
    }

    /// Something of the answer has come, and not its proper end.
    fn cut(self, charge: Charge) -> Verdict {
        Verdict {
            charge,
            // An error that the provider tells comes whole through both hands.
            claim: match self.cause == Cause::ProviderError {
                true => Claim::Exact,
                false => Claim::Settled,
            },
            upstream: self.upstream(),
            rest: self.rest(charge == Charge::Metered),
        }
    }

    /// Who bears what is beyond the charge of an answer that has begun.
    fn rest(self, metered: bool) -> Rest {
        match (self.cause == Cause::BalanceExhausted, metered) {
            (true, _) => Rest::Hub,
            (false, true) => Rest::Nobody,
            (false, false) => Rest::Owner,
        }
    }

    /// What becomes of a call that may run.
    fn upstream(self) -> Upstream {
        let finished = self.stage == Stage::AfterFinish;
        match self.cause {
            Cause::ProviderError | Cause::ProviderCut | Cause::Nothing => Upstream::Over,
            Cause::AgentKilled | Cause::NodeKilled | Cause::TunnelLost => Upstream::Gone,
            // Its content is over: the last figures cost nothing more, and are worth the wait.
            Cause::UserGone | Cause::Deadline | Cause::BalanceExhausted if finished => {
                Upstream::Drain
            }
            Cause::UserGone if self.stage == Stage::BetweenEvents => match self.on_abort {
                OnAbort::Cancel => Upstream::Cancel,
                OnAbort::Drain => Upstream::Drain,
            },
            Cause::UserGone
            | Cause::Deadline
            | Cause::BalanceExhausted
            | Cause::Drain
            | Cause::GateClosed => Upstream::Cancel,
        }
    }
}

#[cfg(test)]
mod tests;
