//! A decision in the making: the facts so far, and the call as they leave it.

use std::collections::BTreeMap;

use super::book::Book;
use super::call::Call;
use super::cdr::{Entry, EntryKind};
use super::decision::{Effect, Event};
use super::id::{CdrId, EntryId, PartyKey};
use super::money::Money;
use super::time::Timestamp;
use super::world::{World, advance};

/// Facts about one call, each made true of a copy of it as soon as it is recorded.
///
/// What is reserved is planned against World as it was, so a call is reserved for at most once in a
/// draft.
pub(super) struct Draft<'a> {
    pub world: &'a World,
    pub book: &'a Book,
    pub now: Timestamp,
    pub call: Call,
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    ids: Ids,
}

/// Numbers and balances that this decision has used up.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    next_entry: EntryId,
    next_cdr: CdrId,
    balances: BTreeMap<PartyKey, Money>,
}

impl Ids {
    pub fn of(world: &World) -> Ids {
        Ids { next_entry: world.next_entry_id(), next_cdr: world.next_cdr_id(), balances: BTreeMap::new() }
    }

    /// A new entry, with what `say` adds to it.
    pub fn entry(
        &mut self,
        world: &World,
        party: PartyKey,
        kind: EntryKind,
        amount: Money,
        say: impl FnOnce(&mut Entry),
    ) -> Entry {
        let id = self.next_entry;
        self.next_entry = EntryId(id.0.saturating_add(1));
        let balance = self.balances.entry(party).or_insert_with(|| world.ledger().purse(party).balance);
        *balance = balance.plus(amount);
        let mut entry = Entry {
            id,
            party,
            kind,
            amount,
            balance: *balance,
            call: None,
            cdr: None,
            note: "".into(),
            idempotency_key: None,
            by: "".into(),
        };
        say(&mut entry);
        entry
    }
}

impl<'a> Draft<'a> {
    pub fn new(world: &'a World, book: &'a Book, now: Timestamp, call: Call) -> Draft<'a> {
        Draft::with_ids(world, book, now, call, Ids::of(world))
    }

    /// A draft about another call in the same decision.
    pub fn with_ids(world: &'a World, book: &'a Book, now: Timestamp, call: Call, ids: Ids) -> Draft<'a> {
        Draft { world, book, now, call, events: Vec::new(), effects: Vec::new(), ids }
    }

    /// Records a fact about the call.
    pub fn record(&mut self, event: Event) {
        advance(&mut self.call, self.world.policy(), self.now, &event);
        self.events.push(event);
    }

    pub fn entry(&mut self, party: PartyKey, kind: EntryKind, amount: Money, say: impl FnOnce(&mut Entry)) -> Entry {
        self.ids.entry(self.world, party, kind, amount, say)
    }

    pub fn take_cdr_id(&mut self) -> CdrId {
        let id = self.ids.next_cdr;
        self.ids.next_cdr = CdrId(id.0.saturating_add(1));
        id
    }

    /// What is left: facts, effects, and the numbers that are used up.
    pub fn finish(self) -> (Vec<Event>, Vec<Effect>, Ids) {
        (self.events, self.effects, self.ids)
    }
}
