//! The one door to the time: wall and monotonic.
//!
//! Decisions are made at the *world's time*: wall time when the process started plus the monotonic
//! time since, and never before the last instant that the journal holds. So a wall clock that is
//! set while the daemon runs neither cuts nor prolongs a call. Wall time itself is for records and
//! for asking which rate is effective.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// Tells the world's time. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { base: Timestamp, since: Stopwatch },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that runs from the wall time of this moment, or from `not_before` where that is
    /// later: the last instant of the journal, after the wall clock was set back between two runs.
    pub fn start(not_before: Timestamp) -> Clock {
        Clock(Source::System { base: wall_now().max(not_before), since: Stopwatch::start() })
    }

    /// A clock for tests: it stands at the milliseconds since 1970 that are stored in `millis`, and
    /// moves when the test stores others.
    pub fn manual(millis: Arc<AtomicI64>) -> Clock {
        Clock(Source::Manual(millis))
    }

    /// The world's time; it never goes back.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { base, since } => {
                base.plus_millis(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX))
            }
            Source::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// The wall's time, for records and tariffs; it may jump. A clock of tests has but one time.
    pub fn wall_now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => wall_now(),
            Source::Manual(_) => self.now(),
        }
    }

    /// How long to wait for an instant of the world's time; nothing where it has come.
    ///
    /// Rounded up, so that who waits as long wakes when it has come and not just before.
    pub fn until(&self, instant: Timestamp) -> Duration {
        match instant.millis_since(self.now()) {
            0 => Duration::ZERO,
            millis => Duration::from_millis(millis.saturating_add(1)),
        }
    }
}

/// The time by the machine's wall clock.
pub fn wall_now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the one door to the wall clock")]
    let now = SystemTime::now();
    // Before 1970 only where nobody ever set the clock; the sign is all that matters then.
    let millis = match now.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, i64::saturating_neg),
    };
    Timestamp::from_millis(millis)
}

/// Measures how long something takes, for the metrics.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Stopwatch {
        #[expect(clippy::disallowed_methods, reason = "this is the one door to the monotonic clock")]
        let now = Instant::now();
        Stopwatch(now)
    }

    /// The monotonic time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_the_wall_and_goes_on() {
        let before = wall_now();
        let clock = Clock::start(Timestamp::from_millis(0));
        let first = clock.now();
        assert!(first >= before);
        while clock.now() == first {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(clock.clone().now() > first);
    }

    #[test]
    fn it_never_starts_before_the_last_instant_of_the_journal() {
        let ahead = wall_now().plus_seconds(1_000_000);
        let clock = Clock::start(ahead);
        assert!(clock.now() >= ahead);
        assert!(clock.wall_now() < ahead);
    }

    #[test]
    fn a_test_moves_it_by_hand() {
        let hand = Arc::new(AtomicI64::new(5_000));
        let clock = Clock::manual(hand.clone());
        assert_eq!((clock.now(), clock.wall_now()), (Timestamp::from_seconds(5), Timestamp::from_seconds(5)));
        hand.store(6_000, Ordering::SeqCst);
        assert_eq!(clock.now(), Timestamp::from_seconds(6));
    }

    #[test]
    fn the_wait_for_an_instant_does_not_end_before_it() {
        let clock = Clock::manual(Arc::new(AtomicI64::new(5_000)));
        assert_eq!(clock.until(Timestamp::from_millis(5_000)), Duration::ZERO);
        assert_eq!(clock.until(Timestamp::from_millis(4_000)), Duration::ZERO);
        assert_eq!(clock.until(Timestamp::from_millis(5_250)), Duration::from_millis(251));
    }
}
