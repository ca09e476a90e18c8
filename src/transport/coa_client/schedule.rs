//! When a request that is not answered is sent again, and when it is given up (RFC 5080 2.2.1).

use std::time::Duration;

/// Most that a wait is longer or shorter than planned, so that requests of one moment, and servers of
/// one outage, do not all come again at once; in thousandths.
const JITTER: u32 = 100;

/// When a request is sent again. The defaults give five sends in about fifteen seconds, and an end
/// after at most 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From the first send to the second.
    pub initial: Duration,
    /// Each wait is twice the one before, up to this.
    pub longest: Duration,
    /// How often a request is sent at most, the first time too.
    pub sends_max: u32,
    /// An answer is waited for no longer than this in all.
    pub duration: Duration,
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule {
            initial: Duration::from_secs(1),
            longest: Duration::from_secs(8),
            sends_max: 5,
            duration: Duration::from_secs(24),
        }
    }
}

impl Schedule {
    /// How long to wait after a send, given the wait before it; `None`: it was the first send.
    pub(super) fn wait(&self, before: Option<Duration>, random: &mut fastrand::Rng) -> Duration {
        let planned = match before {
            None => blurred(self.initial, self.initial, random),
            Some(before) => blurred(before.saturating_mul(2), before, random),
        };
        if planned > self.longest { blurred(self.longest, self.longest, random) } else { planned }
    }
}

/// `length`, give or take up to a tenth of `by`.
pub(super) fn blurred(length: Duration, by: Duration, random: &mut fastrand::Rng) -> Duration {
    let tenth = by.saturating_mul(JITTER) / 1000;
    let shift = by.saturating_mul(random.u32(0..=2 * JITTER)) / 1000;
    length.saturating_add(shift).saturating_sub(tenth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(schedule: &Schedule, seed: u64) -> Vec<Duration> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut before = None;
        let mut waits = Vec::new();
        for _ in 0..schedule.sends_max {
            let wait = schedule.wait(before, &mut random);
            waits.push(wait);
            before = Some(wait);
        }
        waits
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let seconds = |tenths: u64| Duration::from_millis(tenths * 100);
        for seed in 0..1_000 {
            let waits = waits(&Schedule::default(), seed);
            assert!(waits.iter().all(|wait| *wait <= seconds(88)), "{waits:?}");
            assert!((seconds(9)..=seconds(11)).contains(&waits[0]), "{waits:?}");
            for pair in waits[..3].windows(2) {
                assert!(pair[1] >= pair[0] * 19 / 10 && pair[1] <= pair[0] * 21 / 10, "{waits:?}");
            }
        }
    }

    #[test]
    fn waits_of_two_requests_differ() {
        assert_ne!(waits(&Schedule::default(), 1), waits(&Schedule::default(), 2));
    }

    #[test]
    fn a_schedule_without_bounds_is_no_fault() {
        let forever = Schedule { initial: Duration::MAX, longest: Duration::MAX, ..Schedule::default() };
        assert!(waits(&forever, 1).iter().all(|wait| *wait > Duration::from_secs(1)));
    }
}
