//! Posts user legs: all of a batch in one transaction.

use super::super::many::runs;
use super::accounts::{self, Changes};
use super::rows;
use super::{Connection, leases, transfers};
use crate::ledger::money::{self, Pocket};
use crate::{
    Agreed, House, Lease, LedgerAccount, Posting, Settled, Settlement, StoreError, Transfer,
};
use std::collections::{BTreeMap, BTreeSet};
use weft_proto::ids::{ExchangeId, LeaseId};
use weft_proto::money::NanoUsd;

/// What a batch writes.
#[derive(Default)]
struct Batch {
    rows: Vec<Agreed>,
    transfers: Vec<Transfer>,
    changes: Changes,
    drawn: BTreeMap<LeaseId, NanoUsd>,
}

pub(super) async fn post(
    connection: &mut Connection,
    postings: Vec<Posting>,
) -> Result<Vec<Settled>, StoreError> {
    let mut settled_before = found(connection, &postings).await?;
    let wanted: BTreeSet<_> =
        postings.iter().flat_map(|posting| &posting.draws).map(|draw| draw.lease).collect();
    let mut held = leases::lock(connection, wanted).await?;
    let mut batch = Batch::default();
    let mut answers = Vec::with_capacity(postings.len());
    for posting in postings {
        money::check(&posting)?;
        if let Some(before) = settled_before.get(&posting.settlement.exchange) {
            answers.push(match before.is_same_act(&posting.settlement) {
                true => Settled::Already,
                false => Settled::Conflict,
            });
            continue;
        }
        answers.push(batch.add(connection, &mut held, &posting).await?);
        settled_before.insert(posting.settlement.exchange, posting.settlement);
    }
    batch.write(connection).await?;
    Ok(answers)
}

/// The settlements of these exchanges that there are.
async fn found(
    connection: &mut Connection,
    postings: &[Posting],
) -> Result<BTreeMap<ExchangeId, Settlement>, StoreError> {
    let mut found = BTreeMap::new();
    let exchanges: Vec<_> = postings.iter().map(|posting| posting.settlement.exchange).collect();
    for run in runs(&exchanges) {
        for Agreed { settlement, .. } in rows::of(&mut *connection, &rows::OF, run).await? {
            found.insert(settlement.exchange, settlement);
        }
    }
    Ok(found)
}

impl Batch {
    /// Adds one posting: from where its charge comes, and what that makes.
    async fn add(
        &mut self,
        connection: &mut Connection,
        held: &mut BTreeMap<LeaseId, Lease>,
        posting: &Posting,
    ) -> Result<Settled, StoreError> {
        let settlement = &posting.settlement;
        let (mut pockets, mut missing) = draw(held, posting);
        let mut promo = NanoUsd::ZERO;
        for Pocket { account, amount, lease } in &pockets {
            if let Some(lease) = lease {
                let drawn = self.drawn.entry(*lease).or_default();
                *drawn = drawn.saturating_add(*amount);
            }
            if matches!(account, LedgerAccount::Promo(_)) {
                promo = promo.saturating_add(*amount);
            }
        }
        let payer = LedgerAccount::Paid(settlement.user);
        let (mut overrun, mut owed) = (NanoUsd::ZERO, NanoUsd::ZERO);
        if missing.is_positive() {
            (overrun, owed) =
                accounts::take(connection, payer, missing, posting.overdraft_max).await?;
            self.changes.taken(payer, overrun)?;
            pockets.push(Pocket { account: payer, amount: overrun, lease: None });
            missing = missing.saturating_sub(overrun);
        }
        pockets.push(Pocket {
            account: LedgerAccount::House(House::Loss),
            amount: missing,
            lease: None,
        });
        for transfer in money::user_leg(settlement, &pockets) {
            self.changes.add(&transfer)?;
            self.transfers.push(transfer);
        }
        self.rows.push(Agreed {
            settlement: settlement.clone(),
            promo,
            loss: missing,
            owed,
            leg: money::begun(settlement),
        });
        Ok(Settled::Fresh { loss: missing, overrun })
    }

    async fn write(self, connection: &mut Connection) -> Result<(), StoreError> {
        for (lease, amount) in self.drawn {
            leases::draw(connection, lease, amount).await?;
        }
        rows::insert(connection, &self.rows).await?;
        transfers::insert(connection, &self.transfers).await?;
        self.changes.write(connection).await
    }
}

/// What the leases still have of the draws, and what of the charge they do not cover.
fn draw(held: &mut BTreeMap<LeaseId, Lease>, posting: &Posting) -> (Vec<Pocket>, NanoUsd) {
    let Settlement { user, outlay, .. } = &posting.settlement;
    let (mut pockets, mut missing) = (Vec::with_capacity(posting.draws.len() + 2), outlay.charge);
    for draw in &posting.draws {
        let Some(lease) = held.get_mut(&draw.lease) else { continue };
        let is_the_users = [LedgerAccount::Paid(*user), LedgerAccount::Promo(*user)];
        if !lease.open || !is_the_users.contains(&lease.account) {
            continue;
        }
        let amount = draw.amount.min(lease.rest());
        if amount.is_positive() {
            lease.used = lease.used.saturating_add(amount);
            missing = missing.saturating_sub(amount);
            pockets.push(Pocket { account: lease.account, amount, lease: Some(lease.id) });
        }
    }
    (pockets, missing)
}
