//! Tick: what time alone makes happen to a call.

use super::accounting::disconnect;
use super::book::Book;
use super::call::{Call, DisconnectReason, EndReason};
use super::deadline::{Due, next_due};
use super::decision::{Decision, Effect, Event, Reply};
use super::draft::Draft;
use super::nas::{Guard, MissingStop};
use super::reserve;
use super::settle::{self, Closing};
use super::time::Timestamp;
use super::world::World;

/// Most calls that are forgotten in one decision.
const FORGOTTEN_AT_ONCE_MAX: usize = 256;

/// Decides about the one call that is due first; nothing where none is due yet.
pub(super) fn tick(world: &World, book: &Book, now: Timestamp) -> Decision {
    let due = world.next_due_call().and_then(|call| Some((call, next_due(call, world.policy())?)));
    let Some((call, (_, due))) = due.filter(|(_, (at, _))| *at <= now) else {
        return Decision { reply: Reply::None, events: Vec::new(), effects: Vec::new() };
    };
    if due == Due::Forget {
        let events = vec![Event::Forgotten { calls: vec![call.id] }];
        return Decision { reply: Reply::None, events, effects: Vec::new() };
    }
    let mut draft = Draft::new(world, book, now, call.clone());
    match due {
        Due::NextChunk => next_chunk(&mut draft, false),
        Due::CreditEnds => next_chunk(&mut draft, true),
        Due::LegWaitOver => settle_by_originate_leg(&mut draft),
        Due::SetupOver => close(&mut draft, EndReason::SetupExpired, 0),
        Due::InterimsMissed => close_by_evidence(&mut draft, EndReason::InterimsMissed),
        Due::GrantOverdue => close_by_evidence(&mut draft, EndReason::GrantOverdue),
        Due::Forget => {}
    }
    let (events, effects, _) = draft.finish();
    Decision { reply: Reply::None, events, effects }
}

/// Calls beyond as many as are remembered, where a decision has just ended one.
pub(super) fn forget_too_many(world: &World) -> Option<Event> {
    let calls: Vec<_> = world.ended_too_many().take(FORGOTTEN_AT_ONCE_MAX).collect();
    (!calls.is_empty()).then_some(Event::Forgotten { calls })
}

fn next_chunk(draft: &mut Draft<'_>, is_last: bool) {
    let Some(reservation) = draft.call.reservation else { return };
    let so_far = draft.call.seconds_so_far(draft.now);
    let ask = reserve::ask(draft.world, &draft.call, so_far);
    let call = draft.call.id;
    let affordable = match reserve::plan(draft.world, draft.book, &draft.call, so_far, ask) {
        Ok(plan) if plan.seconds > reservation.seconds => {
            let seconds = plan.seconds;
            let extended = plan.into_event(&draft.call);
            draft.record(Event::Extended(extended));
            if draft.call.abilities.guard == Guard::Extend && draft.call.abilities.has_disconnect_address {
                draft.effects.push(Effect::Prolong { call, seconds });
            }
            return;
        }
        Ok(plan) => {
            let affordable = plan.affordable;
            if !is_last {
                let refused = reserve::Plan { amounts: Vec::new(), seconds: reservation.seconds, ..plan };
                let refused = refused.into_event(&draft.call);
                draft.record(Event::ExtensionRefused(refused));
                return;
            }
            affordable
        }
        Err(shortage) if !is_last => {
            let means = shortage.means;
            let affordable = shortage.affordable;
            let refused = reserve::Plan { amounts: Vec::new(), seconds: reservation.seconds, affordable, means };
            let refused = refused.into_event(&draft.call);
            draft.record(Event::ExtensionRefused(refused));
            return;
        }
        Err(shortage) => shortage.affordable,
    };
    let longest = affordable >= draft.world.policy().call_seconds_max;
    disconnect(draft, if longest { DisconnectReason::LongestCall } else { DisconnectReason::CreditEnds });
}

fn settle_by_originate_leg(draft: &mut Draft<'_>) {
    let Some((leg, end)) = draft.call.longest_originate_leg() else { return };
    let (connected, call) = (leg.connected_at, draft.call.id);
    if let (Some(at), None) = (connected, draft.call.connected_at) {
        draft.record(Event::Connected { call, at });
    }
    let closing = Closing {
        reason: if end.seconds == 0 { EndReason::NotAnswered } else { EndReason::Stopped },
        seconds: end.seconds,
        estimated: false,
        by_originate_leg: true,
        ended_at: end.at,
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
    let seen = call.seconds_seen_up();
    let by_grant = reason == EndReason::GrantOverdue && call.abilities.missing_stop == MissingStop::Grant;
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
