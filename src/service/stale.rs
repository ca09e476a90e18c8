//! Whether a call in the registry may be over without anybody having told of it, and what speaks for it.
//!
//! Nothing is decided here: the engine closes such calls by its own deadlines. This is what a person
//! is shown before, who may know that a gateway lost its power.

use std::fmt;

use crate::domain::call::{Call, DisconnectReason};
use crate::domain::nas::Interims;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

/// How long a gateway that is to end a call has for its Stop, seconds.
const DISCONNECT_SECONDS: u64 = 30;
/// How long nothing may be heard of a call that nobody has answered, seconds: most callers have given
/// up by then.
const UNANSWERED_SECONDS: u64 = 60;
/// How long after the end of a grant its Stop may still be on the way, seconds.
const STOP_SECONDS: u64 = 5;

/// One thing that speaks for a call being over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Its gateway is to end it, and no Stop has come.
    Disconnecting {
        /// Why it is to end.
        why: DisconnectReason,
        /// Seconds since that was decided.
        seconds: u64,
    },
    /// Its grant ended, and no Stop has come.
    GrantOver {
        /// Seconds that its gateway was told, or that are reserved, whichever is more.
        granted: u64,
        /// Seconds since they ended.
        seconds: u64,
    },
    /// It sends periodic interims, and more than one stayed away.
    Silent {
        /// Seconds since its gateway told of it.
        seconds: u64,
        /// Seconds from one interim to the next.
        interval: u64,
    },
    /// Nobody has answered, and nothing more was heard.
    Unanswered {
        /// Seconds since its gateway told of it.
        seconds: u64,
    },
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Sign::Disconnecting { why, seconds } => {
                write!(f, "to be ended for {seconds} s ({}), no Stop has come", why.as_str())
            }
            Sign::GrantOver { granted, seconds } => {
                write!(f, "its grant of {granted} s ended {seconds} s ago, no Stop has come")
            }
            Sign::Silent { seconds, interval } => {
                let missed = seconds.checked_div(interval).unwrap_or(0);
                write!(f, "silent for {seconds} s, {missed} interims of every {interval} s have stayed away")
            }
            Sign::Unanswered { seconds } => write!(f, "not answered, and nothing heard for {seconds} s"),
        }
    }
}

/// What speaks for a call being over though it stands in the registry, the strongest first; nothing for
/// a call of which nothing is overdue, or that is over.
pub fn evidence(call: &Call, policy: &Policy, now: Timestamp) -> Vec<Sign> {
    if !call.is_alive() {
        return Vec::new();
    }
    let signs =
        [disconnecting(call, now), grant_over(call, policy, now), silent(call, policy, now), unanswered(call, now)];
    signs.into_iter().flatten().collect()
}

fn disconnecting(call: &Call, now: Timestamp) -> Option<Sign> {
    let asked = call.disconnect.as_ref()?;
    let seconds = now.seconds_since(asked.at);
    (seconds > DISCONNECT_SECONDS).then_some(Sign::Disconnecting { why: asked.why, seconds })
}

/// A gateway that sends nothing but Stops says nothing of the answer: its grant counts from the
/// authorization at the earliest.
fn grant_over(call: &Call, policy: &Policy, now: Timestamp) -> Option<Sign> {
    let from = match call.connected_at {
        Some(connected) => connected,
        None if call.abilities.stop_only => call.opened_at,
        None => return None,
    };
    let reserved = call.reservation.map(|reservation| reservation.seconds);
    let granted = call.told_seconds.max(reserved)?;
    let end = from.plus_seconds(granted);
    let last_stop = end.plus_seconds(STOP_SECONDS);
    // Told of after its grant: the gateway does not obey the grant, and the call is up. It is a suspect
    // only when the next news is overdue too.
    let is_told_of_since = call.heard_at > last_stop;
    let due = if is_told_of_since { call.heard_at.plus_seconds(policy.interim_seconds) } else { last_stop };
    (now > due).then(|| Sign::GrantOver { granted, seconds: now.seconds_since(end) })
}

fn silent(call: &Call, policy: &Policy, now: Timestamp) -> Option<Sign> {
    let is_periodic = match call.abilities.interims {
        Interims::None => false,
        Interims::Periodic => true,
        Interims::Auto => call.interims_seen,
    };
    let (seconds, interval) = (now.seconds_since(call.heard_at), policy.interim_seconds);
    let is_silent = seconds > interval.saturating_mul(2);
    (call.connected_at.is_some() && is_periodic && is_silent).then_some(Sign::Silent { seconds, interval })
}

fn unanswered(call: &Call, now: Timestamp) -> Option<Sign> {
    let seconds = now.seconds_since(call.heard_at);
    let waits_for_an_answer = call.connected_at.is_none() && !call.abilities.stop_only;
    (waits_for_an_answer && seconds > UNANSWERED_SECONDS).then_some(Sign::Unanswered { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::{CallState, DisconnectAsked, EndReason, Ending, Flags, Reservation};
    use crate::domain::id::{CallId, CdrId, NasKey};
    use crate::domain::money::Money;
    use crate::domain::nas::{Guard, MissingStop, NasAbilities, SessionTimeoutFrom};

    const OPENED: i64 = 1_000;

    /// Authorized at 1000, answered at 1005, heard of then, told and reserved 600 s.
    fn call() -> Call {
        Call {
            id: CallId(1),
            nas: NasKey(1),
            abilities: NasAbilities {
                guard: Guard::Full,
                grant_seconds_max: 3_600,
                stop_only: false,
                interims: Interims::Auto,
                missing_stop: MissingStop::LastSeen,
                session_timeout_from: SessionTimeoutFrom::Now,
                has_disconnect_address: false,
                paying_leg: Default::default(),
            },
            key: None,
            conf_id: None,
            session_id: Box::default(),
            identification: Box::default(),
            user_name: Box::default(),
            account: None,
            caller: "".into(),
            called: "".into(),
            payers: Vec::new(),
            carrier: None,
            connection: None,
            state: CallState::Confirmed,
            authorized: true,
            opened_at: at(0),
            connected_at: Some(at(5)),
            holds_slots: true,
            reservation: Some(Reservation { number: 1, seconds: 600, is_last: true }),
            reservations_made: 1,
            told_seconds: Some(600),
            legs: Vec::new(),
            seen_up_at: Some(at(5)),
            heard_at: at(5),
            interims_seen: false,
            interim_at: None,
            disconnect: None,
            cost: Money::ZERO,
            flags: Flags::none(),
            ending: None,
        }
    }

    fn trying() -> Call {
        Call { state: CallState::Trying, connected_at: None, seen_up_at: None, heard_at: at(0), ..call() }
    }

    /// So many seconds after the authorization.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(OPENED + seconds)
    }

    fn signs(call: &Call, seconds: i64) -> Vec<Sign> {
        evidence(call, &Policy::default(), at(seconds))
    }

    #[test]
    fn of_a_call_in_its_grant_nothing_is_expected_where_no_interims_are_known() {
        assert_eq!(signs(&call(), 605), []);
    }

    #[test]
    fn a_grant_that_ended_without_a_stop_is_a_sign() {
        assert_eq!(signs(&call(), 610), []);
        assert_eq!(signs(&call(), 611), [Sign::GrantOver { granted: 600, seconds: 6 }]);
    }

    #[test]
    fn the_grant_is_the_larger_of_what_was_told_and_what_is_reserved() {
        let told = Call { told_seconds: Some(900), ..call() };
        assert_eq!(signs(&told, 905), []);
        let reserved = Call { told_seconds: Some(60), ..call() };
        assert_eq!(signs(&reserved, 600), []);
        let neither = Call { told_seconds: None, reservation: None, ..call() };
        assert_eq!(signs(&neither, 10_000), [], "nothing is known to be over");
    }

    #[test]
    fn a_call_that_is_told_of_after_its_grant_is_up() {
        let heard = Call { heard_at: at(640), ..call() };
        assert_eq!(signs(&heard, 700), []);
        assert_eq!(signs(&heard, 701), [Sign::GrantOver { granted: 600, seconds: 96 }]);
    }

    #[test]
    fn more_than_one_missed_interim_is_a_sign() {
        let periodic = Call { interims_seen: true, heard_at: at(100), ..call() };
        assert_eq!(signs(&periodic, 220), []);
        assert_eq!(signs(&periodic, 221), [Sign::Silent { seconds: 121, interval: 60 }]);
    }

    #[test]
    fn interims_are_missed_only_where_they_are_known() {
        let with = |interims, interims_seen| {
            let abilities = NasAbilities { interims, ..call().abilities };
            signs(&Call { abilities, interims_seen, ..call() }, 300).len()
        };
        assert_eq!([with(Interims::Auto, false), with(Interims::Auto, true)], [0, 1]);
        assert_eq!([with(Interims::Periodic, false), with(Interims::None, true)], [1, 0]);
    }

    #[test]
    fn a_disconnect_without_its_stop_is_a_sign() {
        let asked = DisconnectAsked {
            why: DisconnectReason::Operator,
            at: at(100),
            attempts: 1,
            answer: None,
            again_at: at(160),
            was_acknowledged: false,
        };
        let call = Call { state: CallState::Disconnecting, disconnect: Some(asked), ..call() };
        assert_eq!(signs(&call, 130), []);
        assert_eq!(signs(&call, 131), [Sign::Disconnecting { why: DisconnectReason::Operator, seconds: 31 }]);
    }

    #[test]
    fn an_attempt_that_nobody_tells_of_is_a_sign() {
        assert_eq!(signs(&trying(), 60), []);
        assert_eq!(signs(&trying(), 61), [Sign::Unanswered { seconds: 61 }]);
        let rings = Call { state: CallState::Early, heard_at: at(30), ..trying() };
        assert_eq!(signs(&rings, 90), []);
    }

    #[test]
    fn a_gateway_that_sends_only_stops_is_silent_until_its_grant_is_over() {
        let abilities = NasAbilities { stop_only: true, ..call().abilities };
        let call = Call { abilities, ..trying() };
        assert_eq!(signs(&call, 605), []);
        assert_eq!(signs(&call, 606), [Sign::GrantOver { granted: 600, seconds: 6 }]);
    }

    #[test]
    fn of_a_call_that_is_over_nothing_is_expected() {
        let ending = Ending {
            at: at(50),
            reason: EndReason::Stopped,
            seconds: 45,
            estimated: false,
            by_originate_leg: false,
            corrected: false,
            cdr: CdrId(1),
        };
        assert_eq!(signs(&Call { state: CallState::Terminated, ending: Some(ending), ..call() }, 9_000), []);
    }

    #[test]
    fn the_strongest_sign_comes_first() {
        let asked = DisconnectAsked {
            why: DisconnectReason::CreditEnds,
            at: at(600),
            attempts: 1,
            answer: None,
            again_at: at(660),
            was_acknowledged: false,
        };
        let all = Call { disconnect: Some(asked), interims_seen: true, ..call() };
        let told: Vec<String> = signs(&all, 700).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "to be ended for 100 s (credit_ends), no Stop has come",
                "its grant of 600 s ended 95 s ago, no Stop has come",
                "silent for 695 s, 11 interims of every 60 s have stayed away",
            ]
        );
    }

    #[test]
    fn a_clock_behind_the_call_and_an_interval_of_nothing_are_no_harm() {
        assert_eq!(signs(&call(), -500), []);
        let policy = Policy { interim_seconds: 0, ..Policy::default() };
        let periodic = Call { interims_seen: true, ..call() };
        let told: Vec<String> = evidence(&periodic, &policy, at(6)).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["silent for 1 s, 0 interims of every 0 s have stayed away"]);
    }
}
