//! Limits: calls at once, and attempts in a second.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{AccountKey, CarrierKey, NasKey, PartyKey};
use super::time::Timestamp;

/// Something that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entity {
    /// An account.
    Account(AccountKey),
    /// A customer or reseller.
    Party(PartyKey),
    /// A NAS.
    Nas(NasKey),
    /// A carrier.
    Carrier(CarrierKey),
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entity::Account(key) => write!(f, "account {key}"),
            Entity::Party(key) => write!(f, "party {key}"),
            Entity::Nas(key) => write!(f, "nas {key}"),
            Entity::Carrier(key) => write!(f, "carrier {key}"),
        }
    }
}

/// How many calls are alive for each entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots(BTreeMap<Entity, u32>);

impl Slots {
    /// Slots taken.
    pub fn taken(&self, entity: Entity) -> u32 {
        self.0.get(&entity).copied().unwrap_or(0)
    }

    /// All that are taken.
    pub fn iter(&self) -> impl Iterator<Item = (Entity, u32)> {
        self.0.iter().map(|(entity, taken)| (*entity, *taken))
    }

    pub(super) fn take(&mut self, entity: Entity) {
        let taken = self.0.entry(entity).or_insert(0);
        *taken = taken.saturating_add(1);
    }

    pub(super) fn release(&mut self, entity: Entity) {
        if let Some(taken) = self.0.get_mut(&entity) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.0.remove(&entity);
            }
        }
    }
}

/// One attempt costs a thousand of what fills up at the limit's rate a millisecond.
const ATTEMPT_COST: i64 = 1_000;

/// Attempts in a second: for each entity a bucket of one second's worth that fills up steadily.
///
/// Not kept across a restart: the worst that comes of it is one more second's worth.
#[derive(Clone, Debug, Default)]
pub struct Attempts(BTreeMap<Entity, Bucket>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: i64,
    at: Timestamp,
}

impl Attempts {
    /// Whether one more attempt is within so many a second.
    pub fn allows(&self, entity: Entity, per_second_max: u32, now: Timestamp) -> bool {
        self.level(entity, per_second_max, now) >= ATTEMPT_COST
    }

    pub(super) fn count(&mut self, entity: Entity, per_second_max: u32, now: Timestamp) {
        let level = self.level(entity, per_second_max, now).saturating_sub(ATTEMPT_COST).max(0);
        self.0.insert(entity, Bucket { level, at: now });
    }

    fn level(&self, entity: Entity, per_second_max: u32, now: Timestamp) -> i64 {
        let full = i64::from(per_second_max).saturating_mul(ATTEMPT_COST);
        self.0.get(&entity).map_or(full, |bucket| {
            let millis = i64::try_from(now.millis_since(bucket.at)).unwrap_or(i64::MAX);
            bucket.level.saturating_add(millis.saturating_mul(i64::from(per_second_max))).min(full)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAS: Entity = Entity::Nas(NasKey(1));

    #[test]
    fn a_second_holds_so_many_attempts_and_fills_up_again() {
        let mut attempts = Attempts::default();
        let now = Timestamp::from_seconds(100);
        for _ in 0..3 {
            assert!(attempts.allows(NAS, 3, now));
            attempts.count(NAS, 3, now);
        }
        assert!(!attempts.allows(NAS, 3, now));
        assert!(!attempts.allows(NAS, 3, now.plus_millis(333)));
        assert!(attempts.allows(NAS, 3, now.plus_millis(334)));
        assert!(!attempts.allows(NAS, 0, now.plus_seconds(9)), "none a second is none");
    }

    #[test]
    fn slots_are_given_back() {
        let mut slots = Slots::default();
        slots.take(NAS);
        slots.take(NAS);
        slots.release(NAS);
        assert_eq!(slots.taken(NAS), 1);
        slots.release(NAS);
        slots.release(NAS);
        assert_eq!(slots.iter().count(), 0);
    }
}
