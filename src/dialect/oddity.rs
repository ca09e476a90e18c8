//! What clients are known to get wrong, by name: seen in one packet, or in several of a call. None of
//! it is believed; it is counted, so that an operator learns which gateway is set up or built wrongly.

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
}

/// The words for [`Oddity`], in its order.
pub const ODDITIES: [&str; 9] = [
    "delay_is_a_date",
    "session_time_impossible",
    "session_time_in_start",
    "time_unreadable",
    "clock_not_set",
    "access_request_doubled",
    "tags_swapped",
    "start_missing",
    "failed_after_stop",
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
    ];
}

/// The oddities of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities(u16);

impl Oddities {
    /// Adds one, where it is so.
    #[must_use]
    pub fn with(self, oddity: Oddity, is_so: bool) -> Oddities {
        Oddities(self.0 | (u16::from(is_so) << oddity as u16))
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
}
