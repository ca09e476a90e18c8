//! What the engine wants done outside, as far as it can be done: counted and logged. Requests to NASes
//! (RFC 5176) are asked for here and not sent yet; the call's log and its state say that it was asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::decision::{Alarm, Effect};
use crate::metrics::Metrics;
use crate::service::log_pace::LogPace;

/// Carries out effects.
pub struct Alarms {
    metrics: Arc<Metrics>,
    clock: Clock,
    disconnects: LogPace,
    prolongs: LogPace,
    not_chargeable: LogPace,
    overruns: LogPace,
}

impl Alarms {
    /// Counts in `metrics`.
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Alarms {
        Alarms {
            metrics,
            clock,
            disconnects: LogPace::default(),
            prolongs: LogPace::default(),
            not_chargeable: LogPace::default(),
            overruns: LogPace::default(),
        }
    }

    /// Carries out what a batch asked for.
    pub fn carry_out(&self, effects: Vec<Effect>) {
        // An overrun is told for each payer, and counted for each call.
        let mut overrun = BTreeSet::new();
        let now = self.clock.now();
        for effect in effects {
            match effect {
                Effect::Disconnect { call, why } => {
                    if let Some(times) = self.disconnects.count(now) {
                        tracing::warn!(%call, why = why.as_str(), times, "a call is to be ended; its NAS must do it by its grant");
                    }
                }
                Effect::Prolong { call, seconds } => {
                    if let Some(times) = self.prolongs.count(now) {
                        tracing::info!(%call, seconds, times, "a call may last longer; its NAS learns it when it asks again");
                    }
                }
                Effect::Alarm(Alarm::NotChargeable { call, nas }) => {
                    if let Some(times) = self.not_chargeable.count(now) {
                        tracing::error!(%call, nas_key = nas.0, times, "a call that nobody can be charged for");
                    }
                }
                Effect::Alarm(Alarm::Overrun { call, party, amount }) => {
                    if overrun.insert(call) {
                        self.metrics.overruns.increment();
                    }
                    if let Some(times) = self.overruns.count(now) {
                        tracing::warn!(%call, party_key = party.0, %amount, times, "a call cost more than was held for it");
                    }
                }
            }
        }
    }
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
        alarms.carry_out(vec![overrun(1, 1), overrun(1, 2), overrun(2, 1)]);
        assert_eq!(metrics.overruns.count(), 2);
    }
}
