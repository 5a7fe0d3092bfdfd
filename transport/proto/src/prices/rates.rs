//! What everything costs for one question.

use super::{Fallback, Prices, Row, fallback};
use crate::money::{ListPrice, UnitPrice};
use crate::usage::{Class, ServiceTier, Usage};

/// The prices for one question, by total input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    tier: ServiceTier,
    /// With the lowest threshold, zero, first; each is whole.
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    above: u64,
    prices: Prices,
}

impl Rates {
    /// The rates of a row and its thresholds; `None` where a factor does not give whole prices,
    /// which the check of the book excludes.
    pub(super) fn of<'a>(base: &Row, steps: impl Iterator<Item = &'a Row>) -> Option<Self> {
        let mut rows: Vec<&Row> = steps.collect();
        rows.sort_by_key(|row| row.above);
        let mut below = base.prices.times(base.factor)?;
        let mut steps = vec![Step { above: 0, prices: below }];
        for row in rows {
            below = row.prices.times(row.factor)?.or(&below);
            steps.push(Step { above: row.above, prices: below });
        }
        Some(Self { tier: base.tier, steps })
    }

    /// The service tier of the row that was found: the one that was asked for, or
    /// [`ServiceTier::Standard`] in its place.
    #[must_use]
    pub const fn tier(&self) -> ServiceTier {
        self.tier
    }

    /// The thresholds: totals of input above which other prices hold.
    pub fn thresholds(&self) -> impl Iterator<Item = u64> + '_ {
        self.steps.iter().map(|step| step.above).filter(|above| *above > 0)
    }

    /// The price of one unit of `class` at a total input of so many tokens; `None` where it has
    /// none.
    #[must_use]
    pub fn price(&self, class: Class, input_total: u64) -> Option<UnitPrice> {
        resolve(&self.step(input_total).prices, class)
    }

    /// The highest price of one unit of `class` at any total input; `None` where it has none.
    #[must_use]
    pub fn dearest(&self, class: Class) -> Option<UnitPrice> {
        self.steps.iter().filter_map(|step| resolve(&step.prices, class)).max()
    }

    /// The exact price of `usage`: each class at the prices that hold for the usage's total input.
    /// `None` where a class that was used has no price, or the sum is out of range.
    #[must_use]
    pub fn list(&self, usage: &Usage) -> Option<ListPrice> {
        let input = usage.input_total();
        usage.iter().try_fold(ListPrice::ZERO, |sum, (class, units)| {
            sum.plus(units, self.price(class, input)?)
        })
    }

    /// The same, without the classes that have no price. `None` only where it is out of range.
    #[must_use]
    pub fn list_priced(&self, usage: &Usage) -> Option<ListPrice> {
        self.list_priced_at(usage, usage.input_total())
    }

    /// The same for the sum of requests none of which read more than `input` in all, where the
    /// prices of that total hold for each of them.
    #[must_use]
    pub fn list_priced_at(&self, usage: &Usage, input: u64) -> Option<ListPrice> {
        usage.iter().try_fold(ListPrice::ZERO, |sum, (class, units)| {
            sum.plus(units, self.price(class, input).unwrap_or(UnitPrice::FREE))
        })
    }

    /// The classes of `usage` that have no price.
    pub fn unpriced(&self, usage: &Usage) -> Vec<Class> {
        let input = usage.input_total();
        let bare = |class: &Class| self.price(*class, input).is_none();
        usage.iter().map(|(class, _)| class).filter(bare).collect()
    }

    /// A price that no usage exceeds which has at most `usage` of each class: every class at its
    /// dearest. For holds, before the total input is known. `None` as for [`list`](Self::list).
    #[must_use]
    pub fn bound(&self, usage: &Usage) -> Option<ListPrice> {
        usage
            .iter()
            .try_fold(ListPrice::ZERO, |sum, (class, units)| sum.plus(units, self.dearest(class)?))
    }

    /// The highest price of a token read, whatever its kind: for holds whose input is only known as
    /// a number of tokens. `None` where no class of input has a price.
    #[must_use]
    pub fn dearest_input(&self) -> Option<UnitPrice> {
        Class::READ.into_iter().filter_map(|class| self.dearest(class)).max()
    }

    /// The same at one total input.
    #[must_use]
    pub fn dearest_input_at(&self, input_total: u64) -> Option<UnitPrice> {
        Class::READ.into_iter().filter_map(|class| self.price(class, input_total)).max()
    }

    /// The step that holds at a total input. There is always one: the first begins at zero.
    fn step(&self, input_total: u64) -> &Step {
        let above = self.steps.iter().rev().find(|step| input_total > step.above);
        above.unwrap_or(&self.steps[0])
    }
}

fn resolve(prices: &Prices, class: Class) -> Option<UnitPrice> {
    if let Some(price) = prices.get(class) {
        return Some(price);
    }
    match fallback(class) {
        Fallback::As(other) => resolve(prices, other),
        Fallback::Free => Some(UnitPrice::FREE),
        Fallback::Unpriced => None,
    }
}
