//! The stage that scenarios play on: a world and a book, time, and the laws that hold after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::Call;
use ringfence::domain::cdr::{Cdr, Entry, EntryKind};
use ringfence::domain::command::{CallIdentity, Command};
use ringfence::domain::control;
use ringfence::domain::decision::{Effect, Event, Fact, Reply};
use ringfence::domain::engine::decide;
use ringfence::domain::id::{CallId, NasKey, PartyKey};
use ringfence::domain::invariant;
use ringfence::domain::money::Money;
use ringfence::domain::policy::Policy;
use ringfence::domain::recall::recall;
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::World;

/// More than any story needs; reaching it means that time stands still.
const TICKS_MAX: usize = 20_000;

pub struct Stage {
    pub book: Arc<Book>,
    pub world: World,
    pub now: Timestamp,
    /// What the last command was answered.
    pub reply: Reply,
    /// What was to be done outside and no line has mentioned yet.
    pub effects: Vec<(Timestamp, Effect)>,
    pub cdrs: Vec<Cdr>,
    pub entries: Vec<Entry>,
    /// Calls that the last command opened or was about.
    pub touched: Vec<CallId>,
    facts: Vec<Fact>,
    /// Calls that left World, as the tables keep them.
    forgotten: BTreeMap<CallId, Call>,
    /// Who may be below zero: an overrun, a correction or an operator's act brought it there.
    may_be_negative: BTreeSet<PartyKey>,
    origin: Policy,
}

impl Stage {
    pub fn new(policy: Policy, now: Timestamp) -> Stage {
        Stage {
            book: Arc::new(Book::default()),
            world: World::new(policy),
            now,
            reply: Reply::None,
            effects: Vec::new(),
            cdrs: Vec::new(),
            entries: Vec::new(),
            touched: Vec::new(),
            facts: Vec::new(),
            forgotten: BTreeMap::new(),
            may_be_negative: BTreeSet::new(),
            origin: policy,
        }
    }

    /// Lets time pass: all that is due until then happens when it is due.
    pub fn pass_until(&mut self, until: Timestamp) -> Result<(), String> {
        for _ in 0..TICKS_MAX {
            match self.world.next_deadline().filter(|due| *due <= until) {
                Some(due) => {
                    self.now = self.now.max(due);
                    self.submit(&Command::Tick)?;
                }
                None => {
                    self.now = self.now.max(until);
                    return Ok(());
                }
            }
        }
        Err("time stands still: something stays due though it was decided about".into())
    }

    /// Decides about a command, makes its facts true, and holds the laws against what is then.
    pub fn submit(&mut self, command: &Command) -> Result<(), String> {
        let decision = decide(&self.world, &self.book, self.now, command);
        if decision != decide(&self.world, &self.book, self.now, command) {
            return Err("the same question was answered in two ways".into());
        }
        let at = self.now.max(self.world.last_instant());
        self.touched.clear();
        for event in &decision.events {
            self.note(event);
            self.world.apply(at, event);
            if event.is_durable() {
                self.facts.push(Fact { at, event: event.clone() });
            }
        }
        if let (Command::ChangeBook(change), Reply::Done(_)) = (command, &decision.reply) {
            self.book = Arc::clone(&change.book);
        }
        self.effects.extend(decision.effects.into_iter().map(|effect| (at, effect)));
        self.reply = decision.reply;
        self.check_laws()
    }

    /// The call of a packet as the tables have it, where World no longer does.
    pub fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Option<Box<Call>> {
        if self.world.remembers(nas, identity) {
            return None;
        }
        let found = recall::<Infallible>(nas, identity, |name| {
            let of_name = self.forgotten.values().rev().filter(|call| name.is_of(call));
            Ok(of_name.cloned().collect())
        });
        found.unwrap_or_else(|never| match never {})
    }

    /// The process ends here and starts again from what it kept, so many seconds later.
    pub fn restart(&mut self, down_seconds: u64) -> Result<(), String> {
        let image = self.world.image();
        let world = World::from_image(*self.world.policy(), image.clone());
        // It looks at once for money that may have come.
        if world.image() != image || world.next_deadline() > self.world.next_deadline() {
            return Err("a restart comes to another world".into());
        }
        self.world = world;
        self.now = self.now.plus_seconds(down_seconds);
        self.world.resume(self.now);
        let pending = control::pending(&self.world, self.now);
        self.effects.extend(pending.into_iter().map(|effect| (self.now, effect)));
        self.check_laws()
    }

    /// What must hold when the story is told: a replay comes to the same world, and when time goes
    /// on without traffic everything drains.
    pub fn finish(mut self) -> Result<(), String> {
        let mut replayed = World::new(self.origin);
        for fact in &self.facts {
            replayed.apply(fact.at, &fact.event);
        }
        if replayed.image().calls != self.world.image().calls || replayed.ledger() != self.world.ledger() {
            return Err("replaying the journal comes to another world".into());
        }
        self.restart(0)?;
        self.pass_until(self.now.plus_seconds(10 * 86_400))?;
        if self.world.calls().next().is_some() {
            return Err("a call is still there ten days after the last packet".into());
        }
        if let Some((party, purse)) = self.world.ledger().purses().find(|(_, purse)| purse.reserved != Money::ZERO) {
            return Err(format!("party {party} still has {} reserved when all is over", purse.reserved));
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        if let Some(call) = event.call()
            && !self.touched.contains(&call)
        {
            self.touched.push(call);
        }
        match event {
            Event::Settled(settled) => {
                self.cdrs.push(settled.cdr.clone());
                settled.entries.iter().for_each(|entry| self.note_entry(entry));
            }
            Event::Corrected(corrected) => {
                self.cdrs.push(corrected.cdr.clone());
                corrected.entries.iter().for_each(|entry| self.note_entry(entry));
            }
            Event::EntryPosted(entry) => self.note_entry(entry),
            Event::BookChanged { changes, .. } => {
                let parties = changes.iter().filter_map(|change| match change {
                    BookChange::PutParty(party) => Some(party.key),
                    _ => None,
                });
                self.may_be_negative.extend(parties);
            }
            Event::Forgotten { calls } => {
                let known = calls.iter().filter_map(|id| self.world.call(*id));
                self.forgotten.extend(known.map(|call| (call.id, call.clone())));
            }
            _ => {}
        }
    }

    fn note_entry(&mut self, entry: &Entry) {
        let beyond_reserved = matches!(entry.kind, EntryKind::Overrun | EntryKind::Correction | EntryKind::Adjustment);
        if beyond_reserved && entry.amount.is_negative() {
            self.may_be_negative.insert(entry.party);
        }
        self.entries.push(entry.clone());
    }

    fn check_laws(&mut self) -> Result<(), String> {
        if let Some(broken) = invariant::check(&self.world, &self.book).first() {
            return Err(format!("a law is broken: {broken}"));
        }
        for (party, purse) in self.world.ledger().purses() {
            let entries: Money =
                self.entries.iter().filter(|entry| entry.party == party).map(|entry| entry.amount).sum();
            if entries != purse.balance {
                return Err(format!("party {party}: balance {} but entries of {entries}", purse.balance));
            }
            let limit = self.book.party(party).map_or(Money::ZERO, |party| party.credit_limit);
            let available = purse.available(limit);
            if !available.is_negative() {
                self.may_be_negative.remove(&party);
            } else if !self.may_be_negative.contains(&party) {
                return Err(format!("party {party}: a decision of ours made available {available}"));
            }
        }
        let mut charged: BTreeMap<(CallId, PartyKey), Money> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(call) = entry.call {
                let sum = charged.entry((call, entry.party)).or_default();
                *sum = sum.minus(entry.amount);
            }
        }
        for call in self.world.calls() {
            for payer in &call.payers {
                let entries = charged.get(&(call.id, payer.party)).copied().unwrap_or_default();
                if entries != payer.charged {
                    return Err(format!("call {}: charged {} but entries of {entries}", call.id, payer.charged));
                }
            }
        }
        Ok(())
    }
}
