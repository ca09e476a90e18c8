//! Tick: what time alone makes happen to a call.

use super::accounting::{SESSION_SLACK_SECONDS, disconnect};
use super::authorize;
use super::book::Book;
use super::call::{Call, CallState, DisconnectReason, EndReason, Reservation};
use super::deadline::Due;
use super::decision::{Decision, Effect, Event, Reply};
use super::draft::Draft;
use super::nas::{Guard, MissingStop};
use super::reserve::{self, Plan};
use super::settle::{self, Closing};
use super::time::Timestamp;
use super::world::World;

/// Most calls that are forgotten in one decision.
const FORGOTTEN_AT_ONCE_MAX: usize = 256;

/// Decides about the one call that is due first; nothing where none is due yet.
pub(super) fn tick(world: &World, book: &Book, now: Timestamp) -> Decision {
    let Some((call, _, due)) = world.next_due().filter(|(_, at, _)| *at <= now) else {
        return Decision { reply: Reply::None, events: Vec::new(), effects: Vec::new() };
    };
    if due == Due::Forget {
        let events = vec![Event::Forgotten { calls: vec![call.id] }];
        return Decision { reply: Reply::None, events, effects: Vec::new() };
    }
    if due == Due::NextChunk {
        return next_chunk(world, book, now, call);
    }
    let mut draft = Draft::new(world, book, now, call.clone());
    match due {
        Due::CreditEnds => credit_ends(&mut draft),
        Due::MoneyMoved => money_moved(&mut draft),
        Due::DisconnectAgain => disconnect_again(&mut draft),
        Due::LegWaitOver => settle_by_other_leg(&mut draft),
        Due::SetupOver => close(&mut draft, EndReason::SetupExpired, 0),
        Due::InterimsMissed => close_by_evidence(&mut draft, EndReason::InterimsMissed),
        Due::GrantOverdue => close_by_evidence(&mut draft, EndReason::GrantOverdue),
        Due::NextChunk | Due::Forget => {}
    }
    let (events, effects, _) = draft.finish();
    Decision { reply: Reply::None, events, effects }
}

/// Calls beyond as many as are remembered, where a decision has just ended one.
pub(super) fn forget_too_many(world: &World) -> Option<Event> {
    let calls: Vec<_> = world.ended_too_many().take(FORGOTTEN_AT_ONCE_MAX).collect();
    (!calls.is_empty()).then_some(Event::Forgotten { calls })
}

/// The next part of a call, or that there is none.
enum Next {
    /// So much more can be reserved.
    More(Plan),
    /// Nothing more now; the plan tells what there is.
    Nothing(Plan),
    /// Less than may be reserved.
    Short(Plan),
}

fn next_of(world: &World, book: &Book, now: Timestamp, call: &Call, held: Reservation) -> Next {
    let so_far = call.seconds_so_far(now);
    let as_it_is = |affordable, means| Plan { amounts: Vec::new(), seconds: held.seconds, affordable, means };
    let nothing = |affordable, means| Next::Nothing(as_it_is(affordable, means));
    match reserve::plan(world, book, call, so_far, reserve::ask(world, call, so_far)) {
        Ok(plan) if authorize::is_blocked(book, call) => nothing(held.seconds, plan.means),
        Ok(plan) if plan.seconds > held.seconds => Next::More(plan),
        Ok(plan) => nothing(plan.affordable, plan.means),
        Err(shortage) => Next::Short(as_it_is(shortage.affordable, shortage.means)),
    }
}

fn next_of_draft(draft: &Draft<'_>, held: Reservation) -> Next {
    next_of(draft.world, draft.book, draft.now, &draft.call, held)
}

/// It says one thing about the call and needs no draft, which is a copy of the call: every call comes
/// by here every minute.
fn next_chunk(world: &World, book: &Book, now: Timestamp, call: &Call) -> Decision {
    let (mut events, mut effects) = (Vec::new(), Vec::new());
    match call.reservation.map(|held| next_of(world, book, now, call, held)) {
        Some(Next::More(plan)) => {
            effects.extend(prolong(call, plan.seconds));
            events.push(Event::Extended(plan.into_event(call)));
        }
        Some(Next::Nothing(plan) | Next::Short(plan)) => events.push(Event::ExtensionRefused(plan.into_event(call))),
        None => {}
    }
    Decision { reply: Reply::None, events, effects }
}

/// The last that is reserved is about to be used up.
fn credit_ends(draft: &mut Draft<'_>) {
    let Some(held) = draft.call.reservation else { return };
    match next_of_draft(draft, held) {
        Next::More(plan) => extend(draft, plan),
        Next::Nothing(plan) | Next::Short(plan) => {
            let longest = plan.affordable >= draft.world.policy().call_seconds_max;
            let why = match longest {
                _ if authorize::is_blocked(draft.book, &draft.call) => DisconnectReason::Blocked,
                true => DisconnectReason::LongestCall,
                false => DisconnectReason::CreditEnds,
            };
            disconnect(draft, why);
        }
    }
}

/// Somebody's money grew: does the call go on?
fn money_moved(draft: &mut Draft<'_>) {
    let call = draft.call.id;
    let Some(held) = draft.call.reservation else { return draft.record(Event::Reconsidered { call }) };
    match next_of_draft(draft, held) {
        Next::More(plan) => extend(draft, plan),
        // It has more than the next chunk ahead of it already.
        Next::Nothing(plan) if plan.affordable > held.seconds => draft.record(Event::ExtensionAwaited { call }),
        Next::Nothing(_) | Next::Short(_) => draft.record(Event::Reconsidered { call }),
    }
}

fn extend(draft: &mut Draft<'_>, plan: Plan) {
    draft.effects.extend(prolong(&draft.call, plan.seconds));
    let extended = plan.into_event(&draft.call);
    draft.record(Event::Extended(extended));
}

/// A NAS that goes by what it was told and can be told more is.
fn prolong(call: &Call, seconds: u64) -> Option<Effect> {
    let told_more = call.abilities.guard == Guard::Extend && call.abilities.has_disconnect_address;
    told_more.then_some(Effect::Prolong { call: call.id, seconds })
}

fn refuse_extension(draft: &mut Draft<'_>, plan: Plan) {
    let refused = plan.into_event(&draft.call);
    draft.record(Event::ExtensionRefused(refused));
}

/// A call that was blocked while it is up ends with what is reserved for it.
pub(super) fn end_with_what_is_reserved(draft: &mut Draft<'_>) {
    let Some(held) = draft.call.reservation.filter(|held| !held.is_last) else { return };
    if draft.call.state == CallState::Confirmed
        && let Next::Nothing(plan) | Next::Short(plan) = next_of_draft(draft, held)
    {
        refuse_extension(draft, plan);
    }
}

fn disconnect_again(draft: &mut Draft<'_>) {
    let Some(asked) = draft.call.disconnect else { return };
    let call = draft.call.id;
    draft.record(Event::DisconnectRepeated { call });
    draft.effects.push(Effect::Disconnect { call, why: asked.why });
}

fn settle_by_other_leg(draft: &mut Draft<'_>) {
    let Some((leg, end)) = draft.call.charging_end() else { return };
    let (connected, call) = (leg.connected_at, draft.call.id);
    if let (Some(at), None) = (connected, draft.call.connected_at) {
        draft.record(Event::Connected { call, at });
    }
    // As of any other end: believed between the call's beginning and the word of it.
    let began = draft.call.connected_at.or(draft.call.authorized.then(|| draft.call.opened_at.floor_second()));
    let longest = draft.world.policy().call_seconds_max.saturating_add(SESSION_SLACK_SECONDS);
    let heard = draft.call.heard_at;
    let earliest = began.unwrap_or(heard.minus_seconds(longest.saturating_add(end.seconds)));
    let ended_at = if end.at < earliest { heard } else { end.at };
    let closing = Closing {
        reason: if end.seconds == 0 { EndReason::NotAnswered } else { EndReason::Stopped },
        seconds: end.seconds,
        estimated: false,
        by_originate_leg: true,
        ended_at,
        cause: end.cause,
    };
    settle::close(draft, closing);
}

/// Closes a call that its NAS says no more of: charged up to the latest evidence, never up to now.
pub(super) fn close_by_evidence(draft: &mut Draft<'_>, reason: EndReason) {
    let seconds = seconds_in_evidence(&draft.call, reason);
    close(draft, reason, seconds);
}

fn seconds_in_evidence(call: &Call, reason: EndReason) -> u64 {
    if call.connected_at.is_none() {
        return 0;
    }
    // One side's Stop has told how long it was, though another side's has not come.
    let ended = call.charging_end().map_or(0, |(_, end)| end.seconds);
    let seen = call.seconds_seen_up().max(ended);
    let by_grant = reason == EndReason::GrantOverdue && call.abilities.missing_stop == MissingStop::Grant && ended == 0;
    let granted = call.told_seconds.filter(|_| by_grant).map_or(0, |told| {
        let reserved = call.reservation.map_or(0, |reservation| reservation.seconds);
        told.min(reserved)
    });
    seen.max(granted)
}

fn close(draft: &mut Draft<'_>, reason: EndReason, seconds: u64) {
    let ended_at = draft.call.connected_at.map_or(draft.now, |connected| connected.plus_seconds(seconds));
    let estimated = draft.call.connected_at.is_some();
    settle::close(draft, Closing { reason, seconds, estimated, by_originate_leg: false, ended_at, cause: None });
}
