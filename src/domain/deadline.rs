//! When something must happen to a call though no packet comes, and what.

use super::call::{Call, CallState};
use super::nas::{Guard, Interims};
use super::policy::Policy;
use super::time::Timestamp;

/// What is due for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// What is reserved ends soon: reserve the next chunk.
    NextChunk,
    /// The last that could be reserved ends: have the call ended.
    CreditEnds,
    /// Money may have come for a call whose last reservation runs.
    MoneyMoved,
    /// Its NAS has not ended it yet: ask again.
    DisconnectAgain,
    /// No leg came that pays: charge by the longest of the others.
    LegWaitOver,
    /// Nobody told of an answer in time.
    SetupOver,
    /// Periodic interims stayed away.
    InterimsMissed,
    /// The grant is long over.
    GrantOverdue,
    /// It ended long ago.
    Forget,
}

/// The earliest thing that is due for a call, and when. Nobody listened before `resumed_at`, so no
/// silence counts from before it.
pub fn next_due(call: &Call, policy: &Policy, resumed_at: Timestamp) -> Option<(Timestamp, Due)> {
    match call.state {
        CallState::Terminated => {
            call.remembered_since().map(|since| (since.plus_seconds(policy.ended_kept_seconds), Due::Forget))
        }
        CallState::Trying | CallState::Early => {
            // Who has talked is not waited for to be answered, however long ago the call began.
            leg_wait(call, policy).or_else(|| Some(setup_over(call, policy)))
        }
        CallState::Confirmed | CallState::Disconnecting => {
            let Some(connected) = call.connected_at else {
                return earlier_of(disconnect_again(call), Some(setup_over(call, policy)));
            };
            let waits = [
                chunk(call, connected, policy),
                disconnect_again(call),
                leg_wait(call, policy),
                interims_missed(call, policy, resumed_at),
                Some(grant_overdue(call, connected, policy, resumed_at)),
            ];
            waits.into_iter().fold(None, earlier_of)
        }
    }
}

type At = Option<(Timestamp, Due)>;

fn earlier_of(a: At, b: At) -> At {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// A NAS that sends nothing but Stops may be in the call for as long as it was granted.
fn setup_over(call: &Call, policy: &Policy) -> (Timestamp, Due) {
    let in_call = if call.abilities.stop_only { call.told_seconds.unwrap_or(0) } else { 0 };
    let waited = policy.setup_seconds_max.saturating_add(in_call);
    (call.opened_at.plus_seconds(waited), Due::SetupOver)
}

/// Whether more is reserved for a call while it is up without being asked for. Guard `full` has
/// reserved all that the NAS was told, and a NAS that is prolonged by asking again asks; but where
/// the NAS was told nothing, somebody else must end the call.
fn is_extended(call: &Call) -> bool {
    let by_itself = match call.abilities.guard {
        Guard::Chunk => true,
        Guard::Extend => call.abilities.has_disconnect_address,
        Guard::Full => false,
    };
    by_itself || call.told_seconds.is_none()
}

fn chunk(call: &Call, connected: Timestamp, policy: &Policy) -> At {
    let reservation = call.reservation?;
    if call.state != CallState::Confirmed || !is_extended(call) {
        return None;
    }
    let (ahead, due) = if reservation.is_last {
        (policy.margin_seconds, Due::CreditEnds)
    } else {
        (policy.lead_seconds.max(policy.margin_seconds), Due::NextChunk)
    };
    Some((connected.plus_seconds(reservation.seconds.saturating_sub(ahead)), due))
}

/// A NAS that cannot be asked is not asked again.
fn disconnect_again(call: &Call) -> At {
    let asked = call.disconnect.filter(|_| call.abilities.has_disconnect_address)?;
    (call.state == CallState::Disconnecting).then_some((asked.again_at, Due::DisconnectAgain))
}

/// Where no leg was seen that pays: only after all known legs ended, and where one of them was answered:
/// as long as none was, the gateway may be hunting on.
fn leg_wait(call: &Call, policy: &Policy) -> At {
    let (_, end) = call.charging_end()?;
    let answered = end.seconds > 0 || call.connected_at.is_some();
    let waits = answered && !call.has_paying_leg() && !call.has_open_leg();
    waits.then(|| (call.heard_at.plus_seconds(policy.leg_wait_seconds), Due::LegWaitOver))
}

fn interims_missed(call: &Call, policy: &Policy, resumed_at: Timestamp) -> At {
    let silent_from = call.heard_at.max(resumed_at);
    silence_seconds(call, policy).map(|silence| (silent_from.plus_seconds(silence), Due::InterimsMissed))
}

/// How long a call may be silent that periodic interims are known of.
fn silence_seconds(call: &Call, policy: &Policy) -> Option<u64> {
    let periodic = match call.abilities.interims {
        Interims::None => false,
        Interims::Periodic => true,
        Interims::Auto => call.interims_seen,
    };
    periodic.then(|| policy.interim_seconds.saturating_mul(policy.interims_missed_max))
}

/// Past the larger of what the NAS was told and what is reserved, and past the last sign of life. A
/// NAS that hears nothing of us but sends its interims is not silent between two of them: its call
/// would be closed and revived with each.
fn grant_overdue(call: &Call, connected: Timestamp, policy: &Policy, resumed_at: Timestamp) -> (Timestamp, Due) {
    let reserved = call.reservation.map(|reservation| reservation.seconds);
    // Of a call that nobody pays nothing is at stake: it is not waited for.
    let longest = if call.payers.is_empty() { 0 } else { policy.call_seconds_max };
    let granted = call.told_seconds.max(reserved).unwrap_or(longest);
    let silent_from = call.heard_at.plus_seconds(silence_seconds(call, policy).unwrap_or(0));
    // Whose time was over while nobody listened may be sending his Stop again.
    let end = connected.plus_seconds(granted).max(silent_from).max(resumed_at);
    (end.plus_seconds(policy.grant_overdue_seconds), Due::GrantOverdue)
}
