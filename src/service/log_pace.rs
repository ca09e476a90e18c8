//! Log lines about what outsiders can make happen as often as they like: one a second for each
//! cause, with how many it stands for.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::domain::time::Timestamp;

/// Milliseconds between two lines.
const MILLIS_BETWEEN: i64 = 1_000;

/// Paces the lines of one cause.
#[derive(Debug)]
pub struct LogPace {
    silent_until: AtomicI64,
    unsaid: AtomicU64,
}

impl Default for LogPace {
    fn default() -> LogPace {
        LogPace { silent_until: AtomicI64::new(i64::MIN), unsaid: AtomicU64::new(0) }
    }
}

impl LogPace {
    /// Counts one more. Where it is time for a line, gives how many it stands for.
    pub fn count(&self, now: Timestamp) -> Option<u64> {
        let unsaid = self.unsaid.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let until = self.silent_until.load(Ordering::Relaxed);
        if now.millis() < until {
            return None;
        }
        let next = now.plus_millis(MILLIS_BETWEEN).millis();
        // Of several threads that come at once, one says it.
        self.silent_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        self.unsaid.fetch_sub(unsaid, Ordering::Relaxed);
        Some(unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_stands_for_all_since() {
        let pace = LogPace::default();
        let at = Timestamp::from_millis;
        assert_eq!(pace.count(at(5_000)), Some(1));
        assert_eq!(pace.count(at(5_001)), None);
        assert_eq!(pace.count(at(5_999)), None);
        assert_eq!(pace.count(at(6_000)), Some(3));
        assert_eq!(pace.count(at(6_500)), None);
    }
}
