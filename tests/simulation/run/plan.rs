//! What is not a consequence of a call: when people call, when things break, when operators work.

use super::{Happening, Simulation};
use crate::scene::BEGINNING;

/// How much is called in each hour of a day, UTC.
const RHYTHM: [u8; 24] = [1, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 10, 11, 12, 12, 11, 10, 9, 8, 6, 4, 3, 2];
const RHYTHM_MAX: u8 = 12;
const DAY_MILLIS: u64 = 86_400_000;

/// A time of much traffic, from the beginning of a day on.
struct Rush {
    from: u64,
    length: u64,
}

impl Simulation {
    /// A day's calls with the rhythm of a day, and a rush or two in which they are as dense as
    /// interleavings need; breakdowns and operators come in the rushes as often as at other times.
    pub(super) fn new_day(&mut self) {
        let day = DAY_MILLIS.min(self.until.millis_since(self.now));
        if day == 0 {
            return;
        }
        let part = |times: usize| times * usize::try_from(day / 60_000).expect("a day") / 1_440;
        if day == DAY_MILLIS {
            self.schedule_in(DAY_MILLIS, Happening::NewDay);
        }
        let calls = self.rng.usize(30..120);
        for _ in 0..part(calls) {
            let at = self.by_rhythm(day);
            self.schedule_in(at, Happening::NewCall);
        }
        let mut rushes = Vec::new();
        let is_first_day = self.now == BEGINNING;
        for index in 0..self.rng.usize(1..=2) {
            let length = self.rng.u64(900_000..3_000_000).min(day);
            let from = if is_first_day && index == 0 { 0 } else { self.rng.u64(0..=day - length) };
            let calls = self.rng.usize(40..180);
            for _ in 0..if length < day { calls } else { 0 } {
                let at = from + self.rng.u64(0..length);
                self.schedule_in(at, Happening::NewCall);
            }
            rushes.push(Rush { from, length });
        }
        if self.setting.is_calm {
            return;
        }
        let gateways = self.gateways.len();
        for (happening, times) in [
            (Happening::Operator, self.rng.usize(0..40)),
            (Happening::TopUp, self.rng.usize(4..24)),
            (Happening::Unblocks, self.rng.usize(4..24)),
            (Happening::Crash, self.rng.usize(0..7)),
            (Happening::StoreFails, self.rng.usize(0..4)),
            (Happening::Reboot { gateway: 4 }, self.rng.usize(0..4)),
            (Happening::Reboot { gateway: self.rng.usize(..gateways) }, self.rng.usize(0..3)),
            (Happening::Partition { gateway: self.rng.usize(..gateways) }, self.rng.usize(0..3)),
            (Happening::Partition { gateway: self.rng.usize(..gateways) }, self.rng.usize(0..3)),
            (Happening::OtherServerFails, self.rng.usize(0..4)),
        ] {
            for _ in 0..part(times.max(1)).min(times) {
                let at = self.some_time(day, &rushes);
                self.schedule_in(at, happening.clone());
            }
        }
    }

    fn by_rhythm(&mut self, day: u64) -> u64 {
        loop {
            let at = self.rng.u64(0..day);
            let of_day = self.now.plus_millis(i64::try_from(at).expect("a day")).millis().rem_euclid(86_400_000);
            let hour = usize::try_from(of_day / 3_600_000).expect("an hour of a day");
            if self.rng.u8(..RHYTHM_MAX) < RHYTHM[hour] {
                return at;
            }
        }
    }

    fn some_time(&mut self, day: u64, rushes: &[Rush]) -> u64 {
        if self.rng.u8(..3) == 0 {
            return self.by_rhythm(day);
        }
        let rush = &rushes[self.rng.usize(..rushes.len())];
        rush.from + self.rng.u64(0..rush.length.max(1))
    }

    /// From now on nothing is lost, nothing breaks, and nobody new calls: what is left must end well.
    pub(super) fn faults_stop(&mut self) {
        self.is_healed = true;
        self.crash_at_commit = false;
        self.failing_appends = 0;
        for gateway in 0..self.gateways.len() {
            self.unreachable_until[gateway] = self.now;
            self.elsewhere_until[gateway] = self.now;
            self.send_backlog(gateway);
        }
    }
}
