//! What an operator should know at once: counted and logged.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::domain::book::Book;
use crate::domain::decision::{Alarm, Effect};
use crate::domain::id::NasKey;
use crate::metrics::Metrics;
use crate::service::explain::answered;
use crate::service::log_pace::LogPace;

/// Carries out effects.
pub struct Alarms {
    metrics: Arc<Metrics>,
    clock: Clock,
    /// For each NAS: one that refuses all must not hide that another one refuses too.
    not_obeyed: Mutex<HashMap<NasKey, LogPace>>,
    not_chargeable: LogPace,
    overruns: LogPace,
}

impl Alarms {
    /// Counts in `metrics`.
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Alarms {
        Alarms {
            metrics,
            clock,
            not_obeyed: Mutex::default(),
            not_chargeable: LogPace::default(),
            overruns: LogPace::default(),
        }
    }

    /// Carries out what a batch asked for.
    pub fn carry_out(&self, book: &Book, effects: Vec<Effect>) {
        // An overrun is told for each payer, and counted for each call.
        let mut overrun = BTreeSet::new();
        let now = self.clock.now();
        for effect in effects {
            match effect {
                Effect::Disconnect { .. } | Effect::Prolong { .. } => {}
                Effect::Alarm(Alarm::NotObeyed { call, nas, answer }) => {
                    let mut paces = self.not_obeyed.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(times) = paces.entry(nas).or_default().count(now) {
                        let nas = name(book.nas(nas).map(|nas| &*nas.id));
                        let answer = answered(answer);
                        tracing::warn!(%call, nas, times, "asked about a call, a gateway {answer}");
                    }
                }
                Effect::Alarm(Alarm::NotChargeable { call, nas }) => {
                    if let Some(times) = self.not_chargeable.count(now) {
                        let nas = name(book.nas(nas).map(|nas| &*nas.id));
                        tracing::error!(%call, nas, times, "a call that nobody can be charged for");
                    }
                }
                Effect::Alarm(Alarm::Overrun { call, party, amount }) => {
                    if overrun.insert(call) {
                        self.metrics.overruns.increment();
                    }
                    if let Some(times) = self.overruns.count(now) {
                        let party = name(book.party(party).map(|party| &*party.id));
                        tracing::warn!(%call, party, %amount, times, "a call cost more than was held for it");
                    }
                }
            }
        }
    }
}

fn name(id: Option<&str>) -> &str {
    id.unwrap_or("(removed)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{CallId, PartyKey};
    use crate::domain::money::Money;
    use crate::domain::time::Timestamp;

    #[test]
    fn an_overrun_is_counted_once_a_call() {
        let metrics = Arc::new(Metrics::new());
        let alarms = Alarms::new(metrics.clone(), Clock::start(Timestamp::from_seconds(0)));
        let overrun = |call, party| {
            let amount = Money::from_micros(1);
            Effect::Alarm(Alarm::Overrun { call: CallId(call), party: PartyKey(party), amount })
        };
        alarms.carry_out(&Book::default(), vec![overrun(1, 1), overrun(1, 2), overrun(2, 1)]);
        assert_eq!(metrics.overruns.count(), 2);
    }
}
