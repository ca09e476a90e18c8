//! How far the tables have surely come: whether a call that World has forgotten must be in them.
//!
//! World remembers a call for a time after its end, and the tables learn of it within a second. When
//! they are stuck for longer than World remembers, a call may be in neither, and a late packet about
//! it would be taken for the first of a new one.

use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;
use crate::domain::world::World;

/// An instant of the journal, and how many records of calls had been made by then.
#[derive(Clone, Copy, Debug)]
struct Mark {
    sequence: u64,
    at: Timestamp,
    cdrs: u64,
}

/// What the tables have surely come to.
#[derive(Debug)]
pub struct TablesReach {
    /// They have all that was committed before; `None` until they have what was there at the start.
    reached: Option<Mark>,
    /// Where they must come to next to be known to have come further.
    awaited: Mark,
}

impl TablesReach {
    /// At a start, when the journal ends at a record.
    pub fn new(sequence: u64, now: Timestamp, world: &World) -> TablesReach {
        TablesReach { reached: None, awaited: Mark { sequence, at: now, cdrs: world.cdrs_made() } }
    }

    /// Takes note of how far they are; the journal ends at `sequence`.
    pub fn look(&mut self, projected: u64, sequence: u64, now: Timestamp, world: &World) {
        if projected >= self.awaited.sequence {
            self.reached = Some(self.awaited);
            self.awaited = Mark { sequence, at: now, cdrs: world.cdrs_made() };
        }
    }

    /// Whether a call that World does not know any more is in them.
    pub fn covers_the_forgotten(&self, now: Timestamp, world: &World) -> bool {
        let Policy { ended_kept_seconds, ended_kept_max, .. } = world.policy();
        self.reached.is_some_and(|reached| {
            let ended_since = world.cdrs_made().saturating_sub(reached.cdrs);
            now < reached.at.plus_seconds(*ended_kept_seconds)
                && usize::try_from(ended_since).is_ok_and(|ended| ended < *ended_kept_max)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn world() -> World {
        World::new(Policy { ended_kept_seconds: 60, ended_kept_max: 10, ..Policy::default() })
    }

    #[test]
    fn at_a_start_they_must_come_to_what_was_there() {
        let mut reach = TablesReach::new(5, at(0), &world());
        reach.look(4, 5, at(1), &world());
        assert!(!reach.covers_the_forgotten(at(1), &world()));
        reach.look(5, 5, at(2), &world());
        assert!(reach.covers_the_forgotten(at(2), &world()));
    }

    #[test]
    fn being_a_little_behind_is_no_harm() {
        let mut reach = TablesReach::new(0, at(0), &world());
        for second in 0..1_000_u32 {
            let sequence = u64::from(second) * 10;
            reach.look(sequence.saturating_sub(5), sequence, at(second.into()), &world());
            assert!(reach.covers_the_forgotten(at(second.into()), &world()) || second < 2, "second {second}");
        }
    }

    #[test]
    fn stuck_for_longer_than_calls_are_remembered_they_may_lack_one() {
        let mut reach = TablesReach::new(0, at(0), &world());
        reach.look(0, 1, at(0), &world());
        for second in 1..60 {
            reach.look(0, 9, at(second), &world());
        }
        assert!(reach.covers_the_forgotten(at(59), &world()));
        assert!(!reach.covers_the_forgotten(at(60), &world()));
        reach.look(1, 9, at(61), &world());
        reach.look(9, 9, at(61), &world());
        assert!(reach.covers_the_forgotten(at(61), &world()));
    }

    #[test]
    fn more_ends_than_are_remembered_count_as_well() {
        let busy = World::from_image(
            *world().policy(),
            crate::domain::world::WorldImage { next: (1, 1, 11), ..Default::default() },
        );
        let mut reach = TablesReach::new(0, at(0), &world());
        reach.look(0, 1, at(0), &world());
        assert!(reach.covers_the_forgotten(at(1), &world()));
        assert!(!reach.covers_the_forgotten(at(1), &busy));
    }
}
