//! What the packets of a call, one after the other, show of a client's faults: a bounded memory of
//! calls, for [`Oddity`]. What a call is and costs, the engine decides without it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::dialect::LegReport;
use crate::dialect::oddity::{Oddities, Oddity};
use crate::domain::call::{CallKey, Dialog, LegOrigin};
use crate::domain::command::{AccountingKind, Authorize, Proof};
use crate::domain::id::NasKey;
use crate::domain::time::Timestamp;

/// Most calls that are remembered; the oldest go first.
const SESSIONS_MAX: usize = 65_536;
/// So long after an Access-Request another one for a call that nothing is told of is the same one
/// doubled, milliseconds: proxies repeat an INVITE for half a minute.
const DOUBLED_MILLIS: u64 = 32_000;

/// The calls that are remembered.
#[derive(Debug, Default)]
pub struct Sessions {
    memory: Mutex<Memory>,
    /// Callers choose the names of calls: without a key of its own they could choose two that are one here.
    places: RandomState,
}

#[derive(Debug, Default)]
struct Memory {
    by_call: HashMap<u64, Session>,
    /// In the order in which they came.
    order: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Session {
    asked_at: Option<Timestamp>,
    started: bool,
    stopped: bool,
    dialog: Option<Dialog>,
}

impl Sessions {
    /// An Access-Request for a call. One that proves nobody says nothing of the call that it names.
    pub fn asked(&self, request: &Authorize, now: Timestamp) -> Oddities {
        let is_meant = request.called.is_some() && request.proof == Proof::Right;
        let Some(key) = request.identity.key.as_ref().filter(|_| is_meant) else {
            return Oddities::default();
        };
        self.with(request.nas, key, |session| {
            let lately = session.asked_at.is_some_and(|at| now.millis_since(at) < DOUBLED_MILLIS);
            let is_doubled = lately && !session.started && !session.stopped;
            let is_up = session.started && !session.stopped;
            if !is_up {
                *session = Session { asked_at: Some(now), ..Session::default() };
            }
            Oddities::default().with(Oddity::AccessRequestDoubled, is_doubled)
        })
    }

    /// The last Access-Request for a call was rejected: another one is meant, as that of a proxy which first
    /// asks for the caller's address and then for what he answers to a challenge.
    pub fn rejected(&self, nas: NasKey, key: &CallKey) {
        self.known(nas, key, |session| session.asked_at = None);
    }

    /// What was told of a leg. `sends_starts`: the NAS is not one that sends Stops alone.
    pub fn told(&self, report: &LegReport, sends_starts: bool) -> Oddities {
        let told = &report.accounting;
        let Some(key) = told.identity.key.as_ref().filter(|_| told.origin == LegOrigin::Answer) else {
            return report.oddities;
        };
        self.with(told.nas, key, |session| {
            let swapped = |before: Dialog, now: Dialog| {
                before.to.is_some() && now.to.is_some() && before != now && before.agrees_with(&now)
            };
            let are_swapped =
                session.dialog.zip(told.identity.dialog).is_some_and(|(before, now)| swapped(before, now));
            let found = report.oddities.with(Oddity::TagsSwapped, are_swapped);
            match report.status {
                AccountingKind::Start | AccountingKind::Interim => {
                    session.started |= !told.rings;
                    session.dialog = session.dialog.or(told.identity.dialog);
                    found
                }
                AccountingKind::Stop => {
                    let answered = told.kind == AccountingKind::Stop && told.session_seconds != Some(0);
                    let first = !std::mem::replace(&mut session.stopped, true);
                    let missing = sends_starts && first && answered && session.asked_at.is_some() && !session.started;
                    found.with(Oddity::StartMissing, missing)
                }
                AccountingKind::Failed => found.with(Oddity::FailedAfterStop, session.stopped),
            }
        })
    }

    /// Of a call that is remembered.
    fn known<T>(&self, nas: NasKey, key: &CallKey, work: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.by_call.get_mut(&self.place(nas, key)).map(work)
    }

    fn with<T>(&self, nas: NasKey, key: &CallKey, work: impl FnOnce(&mut Session) -> T) -> T {
        let place = self.place(nas, key);
        let Memory { by_call, order } = &mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if !by_call.contains_key(&place) {
            if order.len() >= SESSIONS_MAX
                && let Some(oldest) = order.pop_front()
            {
                by_call.remove(&oldest);
            }
            order.push_back(place);
        }
        work(by_call.entry(place).or_default())
    }

    fn place(&self, nas: NasKey, key: &CallKey) -> u64 {
        self.places.hash_one((nas, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{AccountingRequest, ClassMark, dialect_for};
    use crate::domain::nas::DialectName;
    use crate::service::nas_table::tests::nas;
    use crate::wire::authenticator::Secret;
    use crate::wire::kind;
    use crate::wire::packet::{Code, Packet};
    use crate::wire::request::RequestBuilder;

    const NOON: Timestamp = Timestamp::from_seconds(1_795_437_736);

    fn asked(sessions: &Sessions, call: &str, seconds: u64) -> Vec<Oddity> {
        asked_with(sessions, call, seconds, Proof::Right)
    }

    fn asked_with(sessions: &Sessions, call: &str, seconds: u64, proof: Proof) -> Vec<Oddity> {
        let mut request = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
        request.text(kind::ACCT_SESSION_ID, call).text(kind::CALLED_STATION_ID, "4930123");
        let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
        let request = dialect_for(DialectName::Kamailio).read_access(
            &Packet::decode(&bytes).unwrap(),
            &nas(DialectName::Kamailio),
            ClassMark::new(1),
        );
        let command = request.into_command(NasKey(1), None, proof, None, None);
        sessions.asked(&command, NOON.plus_seconds(seconds)).iter().collect()
    }

    fn told(sessions: &Sessions, call: &str, status: u32, build: impl FnOnce(&mut RequestBuilder)) -> Vec<Oddity> {
        let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        build(request.text(kind::ACCT_SESSION_ID, call).integer(kind::ACCT_STATUS_TYPE, status));
        let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
        let nas = nas(DialectName::Kamailio);
        let read = dialect_for(nas.dialect).read_accounting(&Packet::decode(&bytes).unwrap(), &nas, ClassMark::new(1));
        let Ok(AccountingRequest::Leg(report)) = read else { panic!("of a leg") };
        sessions.told(&report, true).iter().collect()
    }

    fn plain(_: &mut RequestBuilder) {}

    fn tags(from: &'static str, to: &'static str) -> impl FnOnce(&mut RequestBuilder) {
        move |request| {
            request.text(105, from).text(104, to);
        }
    }

    fn session_time(seconds: u32) -> impl FnOnce(&mut RequestBuilder) {
        move |request| {
            request.integer(kind::ACCT_SESSION_TIME, seconds);
        }
    }

    #[test]
    fn a_call_that_is_asked_for_twice_is_seen() {
        let sessions = Sessions::default();
        assert_eq!(asked(&sessions, "a", 0), []);
        assert_eq!(asked(&sessions, "b", 0), [], "another call");
        assert_eq!(asked(&sessions, "a", 1), [Oddity::AccessRequestDoubled]);
        assert_eq!(asked(&sessions, "a", 40), [], "so much later it is meant");
        assert_eq!(told(&sessions, "a", 1, plain), []);
        assert_eq!(asked(&sessions, "a", 41), [], "a call that is up is prolonged");
        assert_eq!(told(&sessions, "a", 2, session_time(9)), []);
        assert_eq!(asked(&sessions, "a", 42), [], "the same name again");
    }

    #[test]
    fn a_call_that_is_asked_for_again_after_a_rejection_is_meant() {
        let sessions = Sessions::default();
        let key = CallKey(b"a"[..].into());
        assert_eq!(asked(&sessions, "a", 0), []);
        sessions.rejected(NasKey(1), &key);
        assert_eq!(asked(&sessions, "a", 1), [], "by address, and then by digest");
        assert_eq!(asked(&sessions, "a", 1), [Oddity::AccessRequestDoubled]);
        sessions.rejected(NasKey(1), &CallKey(b"b"[..].into()));
        assert_eq!(sessions.memory.lock().unwrap().by_call.len(), 1, "nothing is remembered for it");
    }

    #[test]
    fn one_who_proves_nothing_changes_nothing_of_a_call() {
        let sessions = Sessions::default();
        asked(&sessions, "a", 0);
        told(&sessions, "a", 2, session_time(0));
        assert_eq!(asked_with(&sessions, "a", 1, Proof::Wrong), []);
        assert_eq!(told(&sessions, "a", 15, plain), [Oddity::FailedAfterStop]);
        asked_with(&sessions, "b", 0, Proof::Wrong);
        assert_eq!(sessions.memory.lock().unwrap().by_call.len(), 1);
    }

    #[test]
    fn nobody_can_reckon_which_calls_have_one_place() {
        let key = CallKey(b"a"[..].into());
        let place = |sessions: &Sessions| sessions.place(NasKey(1), &key);
        let (one, other) = (Sessions::default(), Sessions::default());
        assert_eq!(place(&one), place(&one));
        assert_ne!(place(&one), place(&other));
    }

    #[test]
    fn tags_that_change_places_are_seen() {
        let sessions = Sessions::default();
        told(&sessions, "a", 1, tags("f", "t"));
        assert_eq!(told(&sessions, "a", 3, tags("f", "t")), []);
        assert_eq!(told(&sessions, "a", 2, tags("t", "f")), [Oddity::TagsSwapped]);
        told(&sessions, "b", 1, tags("f", "t"));
        assert_eq!(told(&sessions, "b", 2, tags("f", "u")), []);
    }

    #[test]
    fn a_start_that_is_missing_and_a_failure_too_late_are_seen() {
        let sessions = Sessions::default();
        asked(&sessions, "a", 0);
        assert_eq!(told(&sessions, "a", 2, session_time(5)), [Oddity::StartMissing]);
        assert_eq!(told(&sessions, "a", 2, session_time(5)), [], "told once");
        asked(&sessions, "b", 0);
        assert_eq!(told(&sessions, "b", 2, session_time(0)), [], "it was not answered");
        assert_eq!(told(&sessions, "b", 15, plain), [Oddity::FailedAfterStop]);
        assert_eq!(told(&sessions, "c", 2, session_time(5)), [], "asked for before our time");
        assert_eq!(told(&sessions, "d", 15, plain), []);
        asked(&sessions, "e", 0);
        let rings = |request: &mut RequestBuilder| {
            request.integer(102, 180);
        };
        assert_eq!(told(&sessions, "e", 3, rings), [], "no answer yet");
        assert_eq!(told(&sessions, "e", 2, session_time(5)), [Oddity::StartMissing]);
    }

    #[test]
    fn memory_has_a_bound() {
        let sessions = Sessions::default();
        asked(&sessions, "first", 0);
        for call in 0..SESSIONS_MAX {
            sessions.with(NasKey(1), &CallKey(call.to_string().into_bytes().into()), |_| ());
        }
        assert_eq!(asked(&sessions, "first", 1), [], "it is forgotten");
        let memory = sessions.memory.lock().unwrap();
        assert_eq!((memory.by_call.len(), memory.order.len()), (SESSIONS_MAX, SESSIONS_MAX));
    }
}
