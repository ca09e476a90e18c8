//! From records back to World and book: a start, the projector and the check all do it here.

use std::collections::BTreeMap;

use super::error::StoreError;
use super::record::{self, Snapshot, WrittenSnapshot};
use crate::domain::book::Book;
use crate::domain::cdr::{Cdr, Entry};
use crate::domain::decision::{Event, Fact};
use crate::domain::id::PartyKey;
use crate::domain::invariant;
use crate::domain::money::Money;
use crate::domain::policy::Policy;
use crate::domain::world::World;

/// World and book as of a record.
#[derive(Debug)]
pub struct Replay {
    /// What is.
    pub world: World,
    /// What operators wrote; without rates.
    pub book: Book,
    /// The record.
    pub sequence: u64,
}

impl Replay {
    /// Nothing has happened.
    pub fn from_nothing(policy: Policy) -> Replay {
        Replay { world: World::new(policy), book: Book::default(), sequence: 0 }
    }

    /// As a snapshot shows it.
    pub fn from_snapshot(policy: Policy, sequence: u64, snapshot: Snapshot) -> Result<Replay, StoreError> {
        let mut book = Book::default();
        for change in &snapshot.book {
            book.apply(change).map_err(|why| StoreError::Book { sequence, why })?;
        }
        book.keep_used(snapshot.last_key);
        Ok(Replay { world: World::from_image(policy, snapshot.world), book, sequence })
    }

    /// Goes on by one record.
    pub fn record(&mut self, sequence: u64, facts: &[Fact]) -> Result<(), StoreError> {
        self.begin(sequence)?;
        for fact in facts {
            self.fact(fact)?;
        }
        Ok(())
    }

    /// Goes on to a record; its facts are to follow one by one.
    pub fn begin(&mut self, sequence: u64) -> Result<(), StoreError> {
        if sequence != self.sequence.saturating_add(1) {
            return Err(StoreError::Gap { before: self.sequence, after: sequence });
        }
        self.sequence = sequence;
        Ok(())
    }

    /// Makes one fact of the present record true.
    pub fn fact(&mut self, fact: &Fact) -> Result<(), StoreError> {
        if let Event::BookChanged { changes, .. } = &fact.event {
            for change in changes {
                self.book.apply(change).map_err(|why| StoreError::Book { sequence: self.sequence, why })?;
            }
        }
        self.world.apply(fact.at, &fact.event);
        Ok(())
    }

    /// What a snapshot here is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { last_key: self.book.last_key(), book: self.book.as_changes(), world: self.world.image() }
    }

    /// The same as it is written.
    pub fn written_snapshot(&self) -> Result<WrittenSnapshot, StoreError> {
        let sequence = self.sequence;
        record::write_snapshot(sequence, &self.book, &self.world).map_err(|why| StoreError::Snapshot { sequence, why })
    }

    /// Holds what was replayed against the laws.
    pub fn check_laws(&self) -> Result<(), StoreError> {
        let violations: Vec<String> =
            invariant::check(&self.world, &self.book).iter().map(ToString::to_string).collect();
        if violations.is_empty() { Ok(()) } else { Err(StoreError::Law { sequence: self.sequence, violations }) }
    }
}

/// For each party the sum and number of its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals(pub BTreeMap<PartyKey, (Money, u64)>);

impl Totals {
    /// Adds one entry.
    pub fn add(&mut self, party: PartyKey, amount: Money) {
        let (sum, count) = self.0.entry(party).or_default();
        *sum = sum.plus(amount);
        *count = count.saturating_add(1);
    }

    /// Adds the entries of some facts.
    pub fn add_facts(&mut self, facts: &[Fact]) {
        for entry in facts.iter().flat_map(|fact| entries_of(&fact.event)) {
            self.add(entry.party, entry.amount);
        }
    }

    /// Law 1: each balance is the sum of its entries.
    pub fn check(&self, world: &World) -> Result<(), StoreError> {
        let ledger = world.ledger();
        let parties = ledger.purses().map(|(party, _)| party).chain(self.0.keys().copied());
        for party in parties {
            let purse = ledger.purse(party);
            let (entries_sum, entries_count) = self.0.get(&party).copied().unwrap_or_default();
            if (purse.balance, purse.entries) != (entries_sum, entries_count) {
                let (balance, count) = (purse.balance, purse.entries);
                return Err(StoreError::Balance { party, balance, count, entries_sum, entries_count });
            }
        }
        Ok(())
    }
}

/// The entries that an event made.
pub fn entries_of(event: &Event) -> &[Entry] {
    match event {
        Event::EntryPosted(entry) => std::slice::from_ref(&**entry),
        Event::Settled(settled) => &settled.entries,
        Event::Corrected(corrected) => &corrected.entries,
        _ => &[],
    }
}

/// The record that an event made.
pub fn cdr_of(event: &Event) -> Option<&Cdr> {
    match event {
        Event::Settled(settled) => Some(&settled.cdr),
        Event::Corrected(corrected) => Some(&corrected.cdr),
        _ => None,
    }
}
