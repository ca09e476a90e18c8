//! Instants and days. There is no "now" here: time is an argument of every decision.

use serde::{Deserialize, Serialize};

const MILLIS_A_SECOND: i64 = 1_000;
const MILLIS_A_DAY: i64 = 86_400_000;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant given in milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// The instant given in seconds since the epoch, as Event-Timestamp has it (RFC 2869 5.3).
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(MILLIS_A_SECOND))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The instant so many seconds later.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Timestamp {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(seconds.saturating_mul(MILLIS_A_SECOND)))
    }

    /// The instant so many seconds earlier.
    #[must_use]
    pub fn minus_seconds(self, seconds: u64) -> Timestamp {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_sub(seconds.saturating_mul(MILLIS_A_SECOND)))
    }

    /// The instant so many milliseconds later.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis))
    }

    /// Whole seconds since an earlier instant, rounded to the nearest; 0 where it is not earlier.
    ///
    /// NASes tell whole seconds and measure both ends on one clock, so the nearest second is what
    /// they would have told.
    pub fn seconds_since(self, earlier: Timestamp) -> u64 {
        let millis = self.0.saturating_sub(earlier.0).saturating_add(MILLIS_A_SECOND / 2);
        u64::try_from(millis.div_euclid(MILLIS_A_SECOND)).unwrap_or(0)
    }

    /// Seconds since an earlier instant, an unfinished one counted whole; 0 where not earlier.
    pub fn seconds_since_rounded_up(self, earlier: Timestamp) -> u64 {
        let millis = self.0.saturating_sub(earlier.0).saturating_add(MILLIS_A_SECOND.saturating_sub(1));
        u64::try_from(millis.div_euclid(MILLIS_A_SECOND)).unwrap_or(0)
    }

    /// Milliseconds since an earlier instant; 0 where it is not earlier.
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// The start of the second that the instant is in.
    #[must_use]
    pub const fn floor_second(self) -> Timestamp {
        Timestamp(self.0.saturating_sub(self.0.rem_euclid(MILLIS_A_SECOND)))
    }

    /// The UTC day that the instant is in.
    pub fn day(self) -> Day {
        Day(i32::try_from(self.0.div_euclid(MILLIS_A_DAY)).unwrap_or(i32::MAX))
    }
}

/// A day of the UTC calendar, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(i32);

impl Day {
    /// The day so many days earlier.
    #[must_use]
    pub const fn minus_days(self, days: i32) -> Day {
        Day(self.0.saturating_sub(days))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_between_two_instants_round_to_the_nearest() {
        let start = Timestamp::from_millis(10_700);
        assert_eq!(Timestamp::from_millis(70_700).seconds_since(start), 60);
        assert_eq!(Timestamp::from_millis(71_199).seconds_since(start), 60);
        assert_eq!(Timestamp::from_millis(71_200).seconds_since(start), 61);
        assert_eq!(start.seconds_since(Timestamp::from_millis(70_700)), 0);
        assert_eq!(Timestamp::from_millis(10_701).seconds_since_rounded_up(start), 1);
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let midnight = Timestamp::from_seconds(86_400);
        assert!(midnight.plus_millis(-1).day() < midnight.day());
        assert_eq!(midnight.day().minus_days(1), midnight.plus_millis(-1).day());
    }
}
