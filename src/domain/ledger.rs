//! The money of each party, and the five verbs on what is held for calls.
//!
//! *reserve* and *extend* hold money; *settle*, *release* and *expire* let it go again. A balance
//! changes only by an entry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cdr::EntryKind;
use super::id::PartyKey;
use super::money::Money;
use super::time::Day;

/// The money of one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purse {
    /// The sum of its entries.
    pub balance: Money,
    /// The sum of its open reservations.
    pub reserved: Money,
    /// How many entries it has.
    pub entries: u64,
}

impl Purse {
    /// What may still be reserved: balance + credit limit - reserved. Below zero after an overrun
    /// or an operator's act.
    pub fn available(&self, credit_limit: Money) -> Money {
        self.balance.plus(credit_limit).minus(self.reserved)
    }
}

/// How a reservation of one payer is resolved: settled + released = what was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Charged out of what was reserved.
    pub settled: Money,
    /// Let go.
    pub released: Money,
    /// Charged beyond what was reserved.
    pub overrun: Money,
}

impl Settlement {
    /// What becomes of money held when the price is known.
    pub fn of(reserved: Money, price: Money) -> Settlement {
        let settled = price.min(reserved);
        Settlement { settled, released: reserved.minus(settled), overrun: price.minus(settled) }
    }
}

/// All parties' money, and what each has spent on the calls of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    purses: BTreeMap<PartyKey, Purse>,
    spent: BTreeMap<(Day, PartyKey), Money>,
}

impl Ledger {
    /// The money of a party; nothing where it is not known.
    pub fn purse(&self, party: PartyKey) -> Purse {
        self.purses.get(&party).copied().unwrap_or_default()
    }

    /// All parties' money, in the order of their keys.
    pub fn purses(&self) -> impl Iterator<Item = (PartyKey, &Purse)> {
        self.purses.iter().map(|(party, purse)| (*party, purse))
    }

    /// Charges and reservations of the calls that belong to a day.
    pub fn spent_on(&self, day: Day, party: PartyKey) -> Money {
        self.spent.get(&(day, party)).copied().unwrap_or_default()
    }

    /// All that is kept of days, for the laws.
    pub fn spent(&self) -> impl Iterator<Item = ((Day, PartyKey), Money)> {
        self.spent.iter().map(|(key, spent)| (*key, *spent))
    }

    /// A party that has a purse from now on.
    pub(super) fn open(&mut self, party: PartyKey) {
        self.purses.entry(party).or_default();
    }

    /// Holds money for a call of a day.
    pub(super) fn reserve(&mut self, day: Day, party: PartyKey, amount: Money) {
        let purse = self.purses.entry(party).or_default();
        purse.reserved = purse.reserved.plus(amount);
        self.spend(day, party, amount);
    }

    /// Holds more money for a call: the same movement, another reason.
    pub(super) fn extend(&mut self, day: Day, party: PartyKey, amount: Money) {
        self.reserve(day, party, amount);
    }

    /// Lets money go that is not needed.
    pub(super) fn release(&mut self, day: Day, party: PartyKey, amount: Money) {
        let purse = self.purses.entry(party).or_default();
        purse.reserved = purse.reserved.minus(amount);
        self.spend(day, party, amount.negated());
    }

    /// Lets money go because its time is over.
    pub(super) fn expire(&mut self, day: Day, party: PartyKey, amount: Money) {
        self.release(day, party, amount);
    }

    /// Resolves what was held for a call. The charge itself is an entry of its own.
    pub(super) fn settle(&mut self, day: Day, party: PartyKey, settlement: Settlement) {
        self.release(day, party, settlement.settled.plus(settlement.released));
    }

    /// Adds an entry to a balance. What a call costs also counts for its day.
    pub(super) fn post(&mut self, party: PartyKey, kind: EntryKind, amount: Money, day_of_call: Option<Day>) {
        let purse = self.purses.entry(party).or_default();
        purse.balance = purse.balance.plus(amount);
        purse.entries = purse.entries.saturating_add(1);
        let for_a_call = matches!(kind, EntryKind::Charge | EntryKind::Overrun | EntryKind::Correction);
        if let (true, Some(day)) = (for_a_call, day_of_call) {
            self.spend(day, party, amount.negated());
        }
    }

    /// Forgets days that no call can belong to any more.
    pub(super) fn forget_days_before(&mut self, day: Day) {
        self.spent = self.spent.split_off(&(day, PartyKey(0)));
    }

    fn spend(&mut self, day: Day, party: PartyKey, amount: Money) {
        let spent = self.spent.entry((day, party)).or_default();
        *spent = spent.plus(amount);
        if *spent == Money::ZERO {
            self.spent.remove(&(day, party));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn micros(amount: i64) -> Money {
        Money::from_micros(amount)
    }

    #[test]
    fn settled_and_released_are_what_was_reserved() {
        for (reserved, price) in [(100, 30), (100, 100), (100, 130), (0, 7), (100, 0)] {
            let settlement = Settlement::of(micros(reserved), micros(price));
            assert_eq!(settlement.settled.plus(settlement.released), micros(reserved));
            assert_eq!(settlement.settled.plus(settlement.overrun), micros(price));
            assert!(!settlement.overrun.is_negative() && !settlement.released.is_negative());
        }
    }

    #[test]
    fn a_call_is_held_settled_and_counted_for_its_day() {
        let (party, day) = (PartyKey(1), Timestamp::from_seconds(0).day());
        let mut ledger = Ledger::default();
        ledger.post(party, EntryKind::TopUp, micros(1000), None);
        ledger.reserve(day, party, micros(300));
        ledger.extend(day, party, micros(200));
        assert_eq!(ledger.purse(party).available(Money::ZERO), micros(500));
        assert_eq!(ledger.spent_on(day, party), micros(500));
        let settlement = Settlement::of(micros(500), micros(420));
        ledger.settle(day, party, settlement);
        ledger.post(party, EntryKind::Charge, settlement.settled.negated(), Some(day));
        let purse = ledger.purse(party);
        assert_eq!((purse.balance, purse.reserved, purse.entries), (micros(580), Money::ZERO, 2));
        assert_eq!(ledger.spent_on(day, party), micros(420));
    }
}
