//! What NASes are asked to do about calls that are up (RFC 5176), and what follows from their answers.

use super::book::Book;
use super::call::{CallState, DisconnectAnswer, EndReason};
use super::command::{NasAnswered, NasAsked};
use super::decision::{Alarm, Decision, Effect, Event, Reply};
use super::draft::Draft;
use super::due;
use super::nas::Guard;
use super::time::Timestamp;
use super::world::World;

/// Effects that may have been lost with the process: a disconnect that was not answered, a grant
/// that is shorter than what is reserved. To be carried out again at every start. A disconnect that is
/// to be asked again by now is asked by its deadline, and not twice.
pub fn pending(world: &World, now: Timestamp) -> Vec<Effect> {
    let of_call = |call: &super::call::Call| {
        if !call.abilities.has_disconnect_address {
            return None;
        }
        let id = call.id;
        match (call.state, call.disconnect, call.reservation) {
            (CallState::Disconnecting, Some(asked), _) if asked.answer.is_none() && asked.again_at > now => {
                Some(Effect::Disconnect { call: id, why: asked.why })
            }
            (CallState::Confirmed, _, Some(held)) if call.abilities.guard == Guard::Extend => {
                let is_told = call.told_seconds >= Some(held.seconds);
                (!is_told).then_some(Effect::Prolong { call: id, seconds: held.seconds })
            }
            _ => None,
        }
    };
    world.calls().filter_map(of_call).collect()
}

/// A NAS has answered, or has not. A disconnect that it took leaves the call up until its Stop; one
/// of a call that it does not know ends the call by evidence; anything else is tried again.
pub(super) fn nas_answered(world: &World, book: &Book, now: Timestamp, answered: &NasAnswered) -> Decision {
    let none = Decision { reply: Reply::None, events: Vec::new(), effects: Vec::new() };
    let Some(call) = world.call(answered.call).filter(|call| call.is_alive()) else { return none };
    let (id, answer) = (call.id, answered.answer);
    let mut draft = Draft::new(world, book, now, call.clone());
    match answered.asked {
        NasAsked::Disconnect if call.state != CallState::Disconnecting => return none,
        NasAsked::Disconnect => draft.record(Event::DisconnectAnswered { call: id, answer }),
        NasAsked::Prolong { seconds } => draft.record(Event::ProlongAnswered { call: id, seconds, answer }),
    }
    // That it will end a call tells once that the call is up; a NAS may say so of a call that is long over.
    let said_so_before = answered.asked == NasAsked::Disconnect
        && answer == DisconnectAnswer::Acknowledged
        && call.disconnect.is_some_and(|asked| asked.was_acknowledged);
    if answer.is_gone() {
        due::close_by_evidence(&mut draft, EndReason::UnknownToNas);
    } else if answer.shows_call_up() && !said_so_before {
        draft.record(Event::SeenUp { call: id, at: now, interim: false });
    }
    match answer {
        DisconnectAnswer::Refused(_) | DisconnectAnswer::Unanswered | DisconnectAnswer::NotSent
            if !answer.is_gone() =>
        {
            draft.effects.push(Effect::Alarm(Alarm::NotObeyed { call: id, nas: draft.call.nas, answer }));
        }
        _ => {}
    }
    let (events, effects, _) = draft.finish();
    Decision { reply: Reply::None, events, effects }
}
