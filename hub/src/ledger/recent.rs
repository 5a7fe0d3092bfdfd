//! What this node has settled a moment ago, kept for the claim that comes next.
//!
//! An agent claims an exchange within a second, mostly at the node that settled it: its record need
//! not be read back from the store. Only what never changes is taken from here; how the leg stands
//! is for the store to say when it is answered, whatever was kept.

use super::claims::Record;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use weft_proto::ids::ExchangeId;
use weft_proto::money::NanoUsd;
use weft_store::{Bearer, Settled, Settlement};

/// Records that are kept at most; the oldest give way.
const RECORDS_MAX: usize = 16_384;

/// Records by exchange.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<ExchangeId, Record>,
    /// In the order in which they came, those that were taken included.
    order: VecDeque<ExchangeId>,
}

impl Recent {
    /// Keeps what the store has just taken, where its user covered all of it: of anything else the
    /// store knows more than the settlement says.
    pub(super) fn settled(&self, settlement: &Settlement, settled: Settled) {
        let plain = settled == (Settled::Fresh { loss: NanoUsd::ZERO, overrun: NanoUsd::ZERO })
            && settlement.served.is_some()
            && settlement.outlay.bearer == Bearer::User;
        if !plain {
            return;
        }
        let mut kept = self.kept();
        if kept.order.len() >= RECORDS_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.records.remove(&oldest);
        }
        kept.order.push_back(settlement.exchange);
        kept.records.insert(settlement.exchange, Record::fresh(settlement));
    }

    /// The record of an exchange, once: who asks again asks the store.
    pub(super) fn take(&self, exchange: ExchangeId) -> Option<Record> {
        self.kept().records.remove(&exchange)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::codes::EndReason;
    use weft_proto::entropy::SeededEntropy;
    use weft_proto::ids::{AccountId, AgentId, KeyId, NodeId, OwnerId, UserId};
    use weft_proto::money::Ratio;
    use weft_proto::time::{Clock, ManualClock, Timestamp};
    use weft_proto::usage::{Basis, Usage};
    use weft_store::{Metered, Outlay, Served};

    const PLAIN: Settled = Settled::Fresh { loss: NanoUsd::ZERO, overrun: NanoUsd::ZERO };

    fn settlement(clock: &ManualClock, entropy: &SeededEntropy) -> Settlement {
        Settlement {
            exchange: ExchangeId::generate(clock, entropy),
            user: UserId::generate(clock, entropy),
            key: KeyId::generate(clock, entropy),
            served: Some(Served {
                agent: AgentId::generate(clock, entropy),
                owner: OwnerId::generate(clock, entropy),
                account: AccountId::generate(clock, entropy),
                attempt: 1,
            }),
            metered: Metered {
                provider: None,
                model: None,
                usage: Usage::NONE,
                basis: Basis::Reported,
                service: 0,
                geo: 0,
                book: None,
                priced_at: clock.now(),
                zone: Ratio::ONE,
                tier: Ratio::ONE,
            },
            end: EndReason::Complete,
            outlay: Outlay { charge: NanoUsd::new(9), income: NanoUsd::new(7), ..Outlay::NONE },
            node: NodeId::generate(clock, entropy),
            hold: None,
            held: NanoUsd::new(9),
            settled_at: clock.now(),
            claim_until: clock.now(),
        }
    }

    #[test]
    fn only_what_its_user_covered_is_kept_and_given_out_once() {
        let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
        let entropy = SeededEntropy::new(3);
        let recent = Recent::default();
        let plain = settlement(&clock, &entropy);
        recent.settled(&plain, PLAIN);
        assert_eq!(recent.take(plain.exchange), Some(Record::fresh(&plain)));
        assert_eq!(recent.take(plain.exchange), None);

        let lost = Settled::Fresh { loss: NanoUsd::new(1), overrun: NanoUsd::ZERO };
        let owed = Settled::Fresh { loss: NanoUsd::ZERO, overrun: NanoUsd::new(1) };
        for settled in [lost, owed, Settled::Already, Settled::Conflict] {
            let other = settlement(&clock, &entropy);
            recent.settled(&other, settled);
            assert_eq!(recent.take(other.exchange), None, "{settled:?}");
        }
        let mut elsewhere = settlement(&clock, &entropy);
        elsewhere.outlay.bearer = Bearer::Elsewhere;
        let mut unserved = settlement(&clock, &entropy);
        unserved.served = None;
        for other in [elsewhere, unserved] {
            recent.settled(&other, PLAIN);
            assert_eq!(recent.take(other.exchange), None);
        }
    }

    #[test]
    fn the_oldest_give_way() {
        let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
        let entropy = SeededEntropy::new(4);
        let recent = Recent::default();
        let first = settlement(&clock, &entropy);
        recent.settled(&first, PLAIN);
        let second = settlement(&clock, &entropy);
        recent.settled(&second, PLAIN);
        for _ in 1..RECORDS_MAX {
            recent.settled(&settlement(&clock, &entropy), PLAIN);
        }
        assert_eq!(recent.take(first.exchange), None);
        assert!(recent.take(second.exchange).is_some());
        assert!(recent.kept().records.len() <= RECORDS_MAX);
        assert_eq!(recent.kept().order.len(), RECORDS_MAX);
    }
}
