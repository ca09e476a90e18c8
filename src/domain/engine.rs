//! `decide`: the one function that says what follows from a command.
//!
//! It looks at the world, at the book that operators write and at the time it is given; it changes
//! nothing. The one who asks applies the events of the decision to the world and keeps them; then
//! the next command can be decided.

use super::accounting;
use super::authorize;
use super::book::Book;
use super::command::Command;
use super::control;
use super::decision::{Decision, Event};
use super::due;
use super::operate;
use super::time::Timestamp;
use super::world::World;

/// Decides about a command at an instant.
///
/// The same world, book, instant and command make the same decision, always. Time that runs
/// backwards is taken for the latest instant that the world has seen.
///
/// A [`Command::Tick`] decides about one call: the one that is due first. It is to be asked again
/// while [`World::next_deadline`] is not later than now.
pub fn decide(world: &World, book: &Book, now: Timestamp, command: &Command) -> Decision {
    let now = now.max(world.last_instant());
    let mut decision = match command {
        Command::Authorize(request) => authorize::authorize(world, book, now, request),
        Command::Account(told) => accounting::account(world, book, now, told),
        Command::RestartNas(told) => operate::restart_nas(world, book, now, told),
        Command::Tick => due::tick(world, book, now),
        Command::ChangeBook(change) => operate::change_book(world, book, now, change),
        Command::PostEntry(post) => operate::post_entry(world, book, post),
        Command::RemoveCall { call, by } => operate::remove_call(world, book, now, *call, by),
        Command::DisconnectCall { call, by } => operate::disconnect_call(world, *call, by),
        Command::NasAnswered(answered) => control::nas_answered(world, book, now, answered),
        Command::Quote(asked) => authorize::quote(world, book, now, asked),
    };
    if decision.events.iter().any(|event| matches!(event, Event::Settled(_))) {
        decision.events.extend(due::forget_too_many(world));
    }
    decision
}
