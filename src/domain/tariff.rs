//! A tariff: rates by prefix, each with its increments, fee and the time it is effective in.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::destination::PrefixIndex;
use super::id::TariffKey;
use super::money::Currency;
use super::rating::PriceRule;
use super::time::Timestamp;

/// The name and currency of a rate plan, and which version of its table is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tariff {
    /// Its number.
    pub key: TariffKey,
    /// What people call it.
    pub id: Box<str>,
    /// The currency of all its prices.
    pub currency: Currency,
    /// The version of its [`RateTable`]; every import makes the next one. 0: no rates yet.
    pub version: u64,
}

/// One price row of a tariff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// The digits that a number must begin with; empty is the rest of the world.
    pub prefix: Box<str>,
    /// What people call the destination.
    pub destination: Arc<str>,
    /// What a call costs.
    pub price: PriceRule,
    /// Calls are not let through.
    pub forbidden: bool,
    /// First instant that it holds, if it has one.
    pub effective_from: Option<Timestamp>,
    /// First instant that it no longer holds, if it has one.
    pub effective_until: Option<Timestamp>,
}

impl Rate {
    /// Whether the rate holds at an instant.
    pub fn is_effective_at(&self, at: Timestamp) -> bool {
        self.effective_from.is_none_or(|from| from <= at) && self.effective_until.is_none_or(|until| at < until)
    }
}

/// All rates of one version of a tariff, ready to be searched; never changed once built.
#[derive(Clone, Debug, Default)]
pub struct RateTable {
    rates: Vec<Rate>,
    index: PrefixIndex,
}

impl RateTable {
    /// A table of these rates. Rows of one prefix may follow each other in time.
    pub fn new(mut rates: Vec<Rate>) -> RateTable {
        rates.sort_by(|a, b| a.prefix.cmp(&b.prefix).then(a.effective_from.cmp(&b.effective_from)));
        let index = PrefixIndex::new(rates.iter().map(|rate| rate.prefix.as_ref()));
        RateTable { rates, index }
    }

    /// The rate for a number at an instant: of those that are effective then, the one with the
    /// longest prefix; of two with one prefix, the one that began later.
    pub fn rate_for(&self, number: &str, at: Timestamp) -> Option<&Rate> {
        self.index
            .matches_longest_first(number)
            .find_map(|rows| self.rates.get(rows)?.iter().rev().find(|rate| rate.is_effective_at(at)))
    }

    /// All rates, by prefix and time.
    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::{Money, RatePerMinute};

    fn rate(prefix: &str, name: &str, from: Option<i64>, until: Option<i64>) -> Rate {
        Rate {
            prefix: prefix.into(),
            destination: name.into(),
            price: PriceRule::new(RatePerMinute::default(), Money::ZERO, 1, 1, 0),
            forbidden: false,
            effective_from: from.map(Timestamp::from_seconds),
            effective_until: until.map(Timestamp::from_seconds),
        }
    }

    fn name(table: &RateTable, number: &str, at: i64) -> Option<String> {
        table.rate_for(number, Timestamp::from_seconds(at)).map(|rate| rate.destination.to_string())
    }

    #[test]
    fn the_longest_prefix_that_is_effective_wins() {
        let table = RateTable::new(vec![
            rate("49", "Germany", None, None),
            rate("4930", "Berlin, from 100 to 200", Some(100), Some(200)),
            rate("", "World", None, None),
        ]);
        assert_eq!(name(&table, "4930123", 150).as_deref(), Some("Berlin, from 100 to 200"));
        assert_eq!(name(&table, "4930123", 99).as_deref(), Some("Germany"), "a future prefix hides nothing");
        assert_eq!(name(&table, "4930123", 200).as_deref(), Some("Germany"), "an expired prefix hides nothing");
        assert_eq!(name(&table, "1555", 150).as_deref(), Some("World"));
    }

    #[test]
    fn of_two_rates_with_one_prefix_the_later_one_holds() {
        let table = RateTable::new(vec![rate("49", "old", None, None), rate("49", "new", Some(100), None)]);
        assert_eq!(name(&table, "491", 99).as_deref(), Some("old"));
        assert_eq!(name(&table, "491", 100).as_deref(), Some("new"));
        assert_eq!(name(&table, "1", 100), None);
    }
}
