//! What clients are known to get wrong, by name: seen in one packet, or in several of a call. None of
//! it is believed; it is counted, so that an operator learns which gateway is set up or built wrongly.

use crate::domain::time::Timestamp;

/// Something that a client got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Oddity {
    /// Acct-Delay-Time is a date: seconds since 1970.
    DelayIsADate,
    /// Acct-Session-Time is longer than any call.
    SessionTimeImpossible,
    /// A Start tells how long the call was.
    SessionTimeInStart,
    /// A time that cannot be read.
    TimeUnreadable,
    /// A time by a clock that the gateway says is not set.
    ClockNotSet,
    /// The same call asked for again, and nothing told of it between: another packet each time.
    AccessRequestDoubled,
    /// The tags of the two sides changed places.
    TagsSwapped,
    /// A Stop of an answered call that was asked for, without a Start.
    StartMissing,
    /// A call that failed after it had stopped.
    FailedAfterStop,
    /// Event-Timestamp is long past.
    EventTimeOld,
    /// Event-Timestamp is yet to come.
    EventTimeAhead,
    /// A call was accepted, and nothing was told of it.
    NeverToldOf,
}

/// The words for [`Oddity`], in its order.
pub const ODDITIES: [&str; 12] = [
    "delay_is_a_date",
    "session_time_impossible",
    "session_time_in_start",
    "time_unreadable",
    "clock_not_set",
    "access_request_doubled",
    "tags_swapped",
    "start_missing",
    "failed_after_stop",
    "event_time_old",
    "event_time_ahead",
    "never_told_of",
];

impl Oddity {
    /// All, in order.
    pub const ALL: [Oddity; ODDITIES.len()] = [
        Oddity::DelayIsADate,
        Oddity::SessionTimeImpossible,
        Oddity::SessionTimeInStart,
        Oddity::TimeUnreadable,
        Oddity::ClockNotSet,
        Oddity::AccessRequestDoubled,
        Oddity::TagsSwapped,
        Oddity::StartMissing,
        Oddity::FailedAfterStop,
        Oddity::EventTimeOld,
        Oddity::EventTimeAhead,
        Oddity::NeverToldOf,
    ];
}

/// How long a packet may be on its way, seconds: gateways keep what nobody answers for hours.
const EVENT_OLD_SECONDS: u64 = 86_400;
/// How far ahead of ours the clock of a gateway may be, seconds: as RFC 5176, 3 has it for what is asked of one.
const EVENT_AHEAD_SECONDS: u64 = 300;
/// The year 2000: clocks that were never set are before it, whatever ours says.
const EVENTS_SINCE: Timestamp = Timestamp::from_seconds(946_684_800);

/// The oddities of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities(u16);

impl Oddities {
    /// Adds one, where it is so.
    #[must_use]
    pub fn with(self, oddity: Oddity, is_so: bool) -> Oddities {
        Oddities(self.0 | (u16::from(is_so) << oddity as u16))
    }

    /// Adds those of an Event-Timestamp in a packet that came `now`.
    #[must_use]
    pub fn with_event_time(self, event_at: Option<Timestamp>, now: Timestamp) -> Oddities {
        let is_old = |at: Timestamp| at < EVENTS_SINCE || at < now.minus_seconds(EVENT_OLD_SECONDS);
        self.with(Oddity::EventTimeOld, event_at.is_some_and(is_old))
            .with(Oddity::EventTimeAhead, event_at.is_some_and(|at| at > now.plus_seconds(EVENT_AHEAD_SECONDS)))
    }

    /// Those that are there.
    pub fn iter(self) -> impl Iterator<Item = Oddity> {
        Oddity::ALL.into_iter().filter(move |oddity| self.0 & (1 << *oddity as u16) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_place() {
        for (place, oddity) in Oddity::ALL.into_iter().enumerate() {
            assert_eq!(oddity as usize, place);
            let alone = Oddities::default().with(oddity, true);
            assert_eq!(alone.iter().collect::<Vec<_>>(), [oddity]);
            assert_eq!(alone.with(Oddity::DelayIsADate, false), alone);
        }
        assert_eq!(Oddities::default().iter().count(), 0);
    }

    #[test]
    fn an_event_is_of_the_last_day_and_not_of_the_next() {
        let now = Timestamp::from_seconds(1_795_437_736);
        let found = |at: Option<Timestamp>, now: Timestamp| {
            Oddities::default().with_event_time(at, now).iter().collect::<Vec<_>>()
        };
        let (old, ahead) = (vec![Oddity::EventTimeOld], vec![Oddity::EventTimeAhead]);
        for (at, expected) in [
            (now, vec![]),
            (now.minus_seconds(86_400), vec![]),
            (now.minus_seconds(86_401), old.clone()),
            (now.plus_seconds(300), vec![]),
            (now.plus_seconds(301), ahead),
            (Timestamp::from_seconds(0), old.clone()),
        ] {
            assert_eq!(found(Some(at), now), expected, "{at:?}");
        }
        assert_eq!(found(None, now), []);
        // Ours was never set either.
        let (last_of_1999, first) = (Timestamp::from_seconds(946_684_799), Timestamp::from_seconds(946_684_800));
        assert_eq!((found(Some(last_of_1999), last_of_1999), found(Some(first), first)), (old, vec![]));
    }
}
