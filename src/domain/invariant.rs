//! The laws of calls and money, as far as they can be seen in a world at rest.
//!
//! Checked after every step of a simulation, and at every start: a world that breaks one is not
//! served. What can only be seen over time (a reservation is resolved once, a balance is the sum of
//! all entries) is checked by those who see it: the auditor of the simulation and `db verify`.

use std::collections::BTreeMap;
use std::fmt;

use super::book::Book;
use super::call::{Call, CallState};
use super::id::{CallId, PartyKey};
use super::limit::{Entity, Slots};
use super::money::Money;
use super::world::World;

/// A law that is broken, with the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// What is reserved is not the sum of the open reservations.
    Reserved {
        /// Whose.
        party: PartyKey,
        /// By the ledger.
        ledger: Money,
        /// By the calls.
        calls: Money,
    },
    /// Slots taken are not the calls alive.
    Slots {
        /// Of what.
        entity: Entity,
        /// Slots taken.
        taken: u32,
        /// Calls alive.
        calls: u32,
    },
    /// Something is held below zero.
    Negative {
        /// For which call.
        call: CallId,
        /// Whose.
        party: PartyKey,
        /// How much.
        amount: Money,
    },
    /// A call that is over holds something, or one that is up has ended.
    Over {
        /// Which.
        call: CallId,
        /// What it is said to be.
        state: CallState,
    },
    /// What is held for a call does not pay for the seconds that are said to be paid.
    Unpaid {
        /// Which.
        call: CallId,
        /// Seconds that are said to be paid.
        seconds: u64,
    },
    /// A call is up that nothing will ever end: it has no deadline.
    Endless {
        /// Which.
        call: CallId,
    },
    /// A party has reservations but nobody knows it.
    Unknown {
        /// Which.
        party: PartyKey,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Reserved { party, ledger, calls } => {
                write!(f, "party {party}: {ledger} reserved by the ledger, {calls} by its calls")
            }
            Violation::Slots { entity, taken, calls } => {
                write!(f, "{entity}: {taken} slots taken, {calls} calls alive")
            }
            Violation::Negative { call, party, amount } => write!(f, "call {call}: {amount} held of party {party}"),
            Violation::Over { call, state } => write!(f, "call {call}: {state}, but not so in what it holds"),
            Violation::Unpaid { call, seconds } => write!(f, "call {call}: {seconds} s reserved, but not paid for"),
            Violation::Endless { call } => write!(f, "call {call}: nothing will ever end it"),
            Violation::Unknown { party } => write!(f, "party {party}: has reservations, but is not known"),
        }
    }
}

/// All laws that a world breaks.
pub fn check(world: &World, book: &Book) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut reserved: BTreeMap<PartyKey, Money> = BTreeMap::new();
    let mut slots = Slots::default();
    for call in world.calls() {
        check_call(world, call, &mut violations);
        for payer in &call.payers {
            let sum = reserved.entry(payer.party).or_default();
            *sum = sum.plus(payer.reserved);
        }
        if call.is_alive() {
            call.entities().for_each(|entity| slots.take(entity));
        }
    }
    for (party, purse) in world.ledger().purses() {
        let calls = reserved.remove(&party).unwrap_or_default();
        if purse.reserved != calls {
            violations.push(Violation::Reserved { party, ledger: purse.reserved, calls });
        }
    }
    violations.extend(
        reserved
            .into_iter()
            .filter(|(_, amount)| *amount != Money::ZERO)
            .map(|(party, _)| Violation::Unknown { party }),
    );
    let entities = slots.iter().chain(world.slots().iter()).map(|(entity, _)| entity);
    let mut entities: Vec<Entity> = entities.collect();
    entities.sort_unstable();
    entities.dedup();
    for entity in entities {
        let (taken, calls) = (world.slots().taken(entity), slots.taken(entity));
        if taken != calls {
            violations.push(Violation::Slots { entity, taken, calls });
        }
    }
    let unknown =
        world.ledger().purses().filter(|(party, purse)| purse.reserved != Money::ZERO && book.party(*party).is_none());
    violations.extend(unknown.map(|(party, _)| Violation::Unknown { party }));
    violations
}

fn check_call(world: &World, call: &Call, violations: &mut Vec<Violation>) {
    for payer in call.payers.iter().filter(|payer| payer.reserved.is_negative()) {
        violations.push(Violation::Negative { call: call.id, party: payer.party, amount: payer.reserved });
    }
    let holds = call.reservation.is_some() || call.payers.iter().any(|payer| payer.reserved != Money::ZERO);
    let is_over = call.ending.is_some();
    if call.is_alive() == is_over || (is_over && (holds || call.holds_slots)) || (!is_over && !call.holds_slots) {
        violations.push(Violation::Over { call: call.id, state: call.state });
    }
    if let Some(reservation) = call.reservation
        && call.seconds_covered().is_some_and(|covered| covered < reservation.seconds)
    {
        violations.push(Violation::Unpaid { call: call.id, seconds: reservation.seconds });
    }
    if super::deadline::next_due(call, world.policy(), world.last_instant()).is_none() {
        violations.push(Violation::Endless { call: call.id });
    }
}
