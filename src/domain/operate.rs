//! What operators ask for: changes of the book, movements of money, calls removed or ended.

use super::authorize;
use super::book::{Book, BookChange};
use super::boot;
use super::call::{Call, CallState, DisconnectReason, EndReason};
use super::cdr::EntryKind;
use super::command::{ChangeBook, PostEntry, PostKind, Restart};
use super::decision::{Decision, Done, Effect, Event, Refusal, Reply};
use super::draft::{Draft, Ids};
use super::due;
use super::id::CallId;
use super::limit::Entity;
use super::money::Money;
use super::time::Timestamp;
use super::world::World;

fn done(done: Done, events: Vec<Event>) -> Decision {
    Decision { reply: Reply::Done(done), events, effects: Vec::new() }
}

fn refused(refusal: Refusal) -> Decision {
    Decision { reply: Reply::Refused(refusal), events: Vec::new(), effects: Vec::new() }
}

pub(super) fn change_book(world: &World, book: &Book, now: Timestamp, change: &ChangeBook) -> Decision {
    for change in &change.changes {
        if let Err(refusal) = may_be_removed(world, book, change) {
            return refused(refusal);
        }
    }
    let changed = Event::BookChanged { changes: change.changes.clone(), by: change.by.clone() };
    let mut events = vec![changed];
    let mut ids = Ids::of(world);
    for (party, amount) in change.opening.iter().filter(|(_, amount)| *amount != Money::ZERO) {
        let entry = ids.entry(world, *party, EntryKind::Opening, *amount, |entry| entry.by.clone_from(&change.by));
        events.push(Event::EntryPosted(Box::new(entry)));
    }
    let mut decision = done(Done::Changed, events);
    if change.changes.iter().any(|change| blocks(book, change)) {
        for call in world.calls().filter(|call| call.is_alive()) {
            if authorize::is_blocked(&change.book, call) {
                let mut draft = Draft::new(world, &change.book, now, call.clone());
                due::end_with_what_is_reserved(&mut draft);
                decision.events.extend(draft.finish().0);
            }
        }
    }
    decision
}

/// Whether a change blocks somebody who was not.
fn blocks(book: &Book, change: &BookChange) -> bool {
    match change {
        BookChange::PutParty(party) => party.blocked && book.party(party.key).is_some_and(|before| !before.blocked),
        BookChange::PutAccount(account) => {
            account.blocked && book.account(account.key).is_some_and(|before| !before.blocked)
        }
        _ => false,
    }
}

/// What has calls or money stays.
fn may_be_removed(world: &World, book: &Book, change: &BookChange) -> Result<(), Refusal> {
    let (entity, what) = match change {
        BookChange::RemoveParty(key) => {
            let what = book.party(*key).map(|party| format!("{:?} {}", party.kind, party.id).to_lowercase());
            (Entity::Party(*key), what)
        }
        BookChange::RemoveAccount(key) => {
            (Entity::Account(*key), book.account(*key).map(|account| format!("account {}", account.id)))
        }
        BookChange::RemoveNas(key) => (Entity::Nas(*key), book.nas(*key).map(|nas| format!("nas {}", nas.id))),
        BookChange::RemoveCarrier(key) => {
            (Entity::Carrier(*key), book.carrier(*key).map(|carrier| format!("carrier {}", carrier.id)))
        }
        _ => return Ok(()),
    };
    let what = what.unwrap_or_else(|| entity.to_string());
    let calls = world.slots().taken(entity);
    if calls > 0 {
        return Err(Refusal::HasCalls { what, calls });
    }
    if let BookChange::RemoveParty(key) = change {
        let balance = world.ledger().purse(*key).balance;
        if balance != Money::ZERO {
            return Err(Refusal::HasBalance { what, balance });
        }
    }
    Ok(())
}

pub(super) fn post_entry(world: &World, book: &Book, post: &PostEntry) -> Decision {
    let balance = world.ledger().purse(post.party).balance;
    if book.party(post.party).is_none() {
        return refused(Refusal::NoSuchParty);
    }
    let before = post.idempotency_key.as_deref().and_then(|key| world.posted(post.party, key));
    match (before, post.known) {
        (Some(before), _) if before.amount != post.amount => return refused(Refusal::KeyReused(before.entry)),
        (Some(before), _) => return done(Done::Posted { entry: before.entry, balance, known: true }, Vec::new()),
        (None, Some(entry)) => return done(Done::Posted { entry, balance, known: true }, Vec::new()),
        (None, None) => {}
    }
    let kind = match post.kind {
        PostKind::TopUp if post.amount <= Money::ZERO => {
            return refused(Refusal::BadAmount("a top-up must be above zero; use an adjustment to take money away"));
        }
        PostKind::TopUp => EntryKind::TopUp,
        PostKind::Adjustment if post.amount == Money::ZERO => {
            return refused(Refusal::BadAmount("an adjustment of zero changes nothing"));
        }
        PostKind::Adjustment => EntryKind::Adjustment,
    };
    if balance.checked_plus(post.amount).is_none() {
        return refused(Refusal::BadAmount("the balance would be too large"));
    }
    let entry = Ids::of(world).entry(world, post.party, kind, post.amount, |entry| {
        entry.note.clone_from(&post.note);
        entry.idempotency_key.clone_from(&post.idempotency_key);
        entry.by.clone_from(&post.by);
    });
    let posted = Done::Posted { entry: entry.id, balance: entry.balance, known: false };
    done(posted, vec![Event::EntryPosted(Box::new(entry))])
}

/// Out of the registry only: the NAS is not told, and what was evident is charged.
pub(super) fn remove_call(world: &World, book: &Book, now: Timestamp, call: CallId, by: &str) -> Decision {
    let Some(call) = world.call(call).filter(|call| call.is_alive()) else { return refused(Refusal::NoSuchCall) };
    let mut draft = Draft::new(world, book, now, call.clone());
    draft.record(Event::RemovalAsked { call: draft.call.id, by: by.into() });
    due::close_by_evidence(&mut draft, EndReason::Removed);
    let (events, effects, _) = draft.finish();
    Decision { reply: Reply::Done(Done::Removed), events, effects }
}

/// Asks the NAS to end a call; once more where it has not obeyed.
pub(super) fn disconnect_call(world: &World, call: CallId, by: &str) -> Decision {
    let Some(call) = world.call(call).filter(|call| call.is_alive()) else { return refused(Refusal::NoSuchCall) };
    let (id, why) = (call.id, DisconnectReason::Operator);
    let event = match call.disconnect.filter(|_| call.state == CallState::Disconnecting) {
        Some(asked) if asked.answer.is_none() => return done(Done::Disconnecting, Vec::new()),
        Some(_) => Event::DisconnectRepeated { call: id },
        None => Event::DisconnectAsked { call: id, why, by: Some(by.into()) },
    };
    Decision {
        reply: Reply::Done(Done::Disconnecting),
        events: vec![event],
        effects: vec![Effect::Disconnect { call: id, why }],
    }
}

/// Accounting-On or -Off: all calls of its box that began before it are over. Word of an older start
/// than the one that is known changes nothing.
pub(super) fn restart_nas(world: &World, book: &Book, now: Timestamp, told: &Restart) -> Decision {
    let mut decision = Decision { reply: Reply::Recorded, events: Vec::new(), effects: Vec::new() };
    let Restart { nas, sender, word, .. } = told;
    let Some(at) = boot::begins(world.boot(*nas, sender), told, now) else { return decision };
    decision.events.push(Event::Booted { nas: *nas, sender: sender.clone(), at, word: *word });
    let mut ids = Ids::of(world);
    // A time that a NAS tells has whole seconds: what began in the same one began before it.
    let ends = |call: &&Call| {
        call.is_alive()
            && call.nas == *nas
            && call.opened_at.floor_second() <= at
            && boot::may_be_of(&call.identification, sender)
    };
    for call in world.calls().filter(ends) {
        let mut draft = Draft::with_ids(world, book, now, call.clone(), ids);
        due::close_by_evidence(&mut draft, EndReason::NasRestarted);
        let (events, effects, used) = draft.finish();
        decision.events.extend(events);
        decision.effects.extend(effects);
        ids = used;
    }
    decision
}
