//! How the daemon is: whether it answers, how far the tables are behind, what is at risk, what an
//! operator should look at.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::clock::{Clock, Stopwatch};
use crate::domain::call::CallState;
use crate::domain::id::CallId;
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;
use crate::metrics::{Histogram, Metrics, Port, Queue};
use crate::service::engine_loop::EngineStatus;
use crate::service::instant::format_instant;
use crate::service::registry::RegistryReader;
use crate::store::{Projector, ProjectorHealth};

/// Tables that are further behind than this make the daemon not ready, milliseconds.
const LAG_MILLIS_MAX: u64 = 5_000;
/// What has to be added up over all parties is not added up more often than this, milliseconds.
const TOTALS_KEPT_MILLIS: u64 = 1_000;
/// So many instants of the journal are remembered; a sample is taken with every report, and every
/// second by [`Health::sample`].
const SAMPLES_MAX: usize = 600;

/// Where the daemon can be reached: the ports taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Authorization, UDP.
    pub auth: Vec<SocketAddr>,
    /// Accounting, UDP.
    pub acct: Vec<SocketAddr>,
    /// Monitoring, TCP.
    pub status: Option<SocketAddr>,
    /// Pages and API, TCP.
    pub admin: Option<SocketAddr>,
    /// The command line's socket.
    pub socket: String,
}

/// All that health is read from.
pub struct HealthParts {
    /// How the engine is.
    pub engine: Arc<EngineStatus>,
    /// Calls and money.
    pub registry: RegistryReader,
    /// How the tables are.
    pub projector: Arc<dyn Projector>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    /// Where it listens.
    pub addresses: Addresses,
}

/// Tells how the daemon is.
pub struct Health {
    parts: HealthParts,
    started_at: Timestamp,
    running: Stopwatch,
    samples: Mutex<VecDeque<(Timestamp, u64)>>,
    totals: Mutex<Option<(Timestamp, Totals)>>,
}

/// What is added up over all parties.
#[derive(Clone, Debug, Default)]
struct Totals {
    money: Vec<MoneyOfCurrency>,
    oldest: Option<(CallId, Timestamp)>,
}

/// Money in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoneyOfCurrency {
    /// The currency.
    pub currency: Currency,
    /// Held for calls.
    pub reserved: Money,
    /// What the seconds told to NASes would cost beyond what is held.
    pub exposure: Money,
    /// What may still be reserved.
    pub available: Money,
}

impl Health {
    /// Health of a daemon that starts now.
    pub fn new(parts: HealthParts) -> Health {
        Health {
            started_at: parts.clock.wall_now(),
            running: Stopwatch::start(),
            samples: Mutex::default(),
            totals: Mutex::default(),
            parts,
        }
    }

    /// Whether requests are answered and the tables follow.
    pub fn is_ready(&self) -> bool {
        self.parts.engine.is_serving(self.parts.clock.now())
            && self.lag_millis(&self.parts.projector.health()) < LAG_MILLIS_MAX
    }

    /// Whether the engine runs at all.
    pub fn is_alive(&self) -> bool {
        self.parts.engine.is_alive()
    }

    /// What was counted.
    pub fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// How many calls are in a state.
    pub fn calls_in(&self, state: CallState) -> u64 {
        self.parts.registry.calls_in(state)
    }

    /// When the process started, wall time, and how many seconds ago.
    pub fn started(&self) -> (Timestamp, u64) {
        (self.started_at, self.running.elapsed().as_secs())
    }

    /// The last record of the journal, the last one in the tables, and how far behind those are,
    /// milliseconds.
    pub fn progress(&self) -> (u64, u64, u64) {
        let tables = self.parts.projector.health();
        (self.parts.engine.sequence(), tables.projected, self.lag_millis(&tables))
    }

    /// The money of all parties and calls, each currency once.
    pub fn money(&self) -> Vec<MoneyOfCurrency> {
        self.totals().money
    }

    /// Remembers how far the journal is, so that it is known how old what the tables lack is. To be
    /// called every second or so.
    pub fn sample(&self) {
        self.sample_of(self.parts.engine.sequence());
    }

    fn sample_of(&self, appended: u64) {
        let now = self.parts.clock.now();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.back().is_none_or(|(_, sequence)| *sequence < appended) {
            samples.push_back((now, appended));
            if samples.len() > SAMPLES_MAX {
                samples.pop_front();
            }
        }
    }

    /// How old the first record is that the tables lack, to the nearest sample.
    fn lag_millis(&self, tables: &ProjectorHealth) -> u64 {
        let appended = self.parts.engine.sequence();
        self.sample_of(appended);
        let now = self.parts.clock.now();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.front().is_some_and(|(_, sequence)| *sequence <= tables.projected) {
            samples.pop_front();
        }
        samples.front().map_or(0, |(at, _)| now.millis_since(*at))
    }

    fn totals(&self) -> Totals {
        let now = self.parts.clock.now();
        let mut kept = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((at, totals)) if now.millis_since(*at) < TOTALS_KEPT_MILLIS && now >= *at => totals.clone(),
            _ => {
                let totals = self.add_up();
                *kept = Some((now, totals.clone()));
                totals
            }
        }
    }

    fn add_up(&self) -> Totals {
        let registry = &self.parts.registry;
        let book = registry.book();
        let mut money: BTreeMap<Currency, MoneyOfCurrency> = BTreeMap::new();
        let none = |currency| MoneyOfCurrency {
            currency,
            reserved: Money::ZERO,
            exposure: Money::ZERO,
            available: Money::ZERO,
        };
        for party in book.parties() {
            let (purse, sum) = (registry.purse(party.key), money.entry(party.currency).or_insert(none(party.currency)));
            sum.reserved = sum.reserved.plus(purse.reserved);
            sum.exposure = sum.exposure.plus(registry.exposure(party.key));
            sum.available = sum.available.plus(purse.available(party.credit_limit));
        }
        let oldest = registry.oldest_call().map(|call| (call.id, call.opened_at));
        Totals { money: money.into_values().collect(), oldest }
    }

    // ---------------------------------------------------------------- the report

    /// All of it at once, for a person or a program.
    pub fn report(&self) -> HealthReport {
        let parts = &self.parts;
        let tables = parts.projector.health();
        let lag_millis = self.lag_millis(&tables);
        let totals = self.totals();
        let failure = parts.engine.failure();
        let (started_at, uptime_seconds) = self.started();
        let nases = self.nases();
        let mut report = HealthReport {
            ready: false,
            problems: Vec::new(),
            warnings: warnings(&nases),
            version: env!("CARGO_PKG_VERSION"),
            started_at: format_instant(started_at),
            uptime_seconds,
            listening: parts.addresses.clone(),
            engine: EngineReport {
                alive: parts.engine.is_alive(),
                journal_writable: parts.engine.journal_is_writable(),
                failing_since: failure.as_ref().map(|(since, _)| format_instant(*since)),
                failure: failure.map(|(_, why)| why),
                queue_depth: parts.metrics.queue_depth(Queue::Engine).value(),
                journal_sequence: parts.engine.sequence(),
                last_commit_at: parts.engine.last_commit_at().map(format_instant),
                commits: parts.metrics.commit_micros.cumulative().1,
                commit_micros_median: quantile(&parts.metrics.commit_micros, 50),
                commit_micros_p99: quantile(&parts.metrics.commit_micros, 99),
                stuck_deadlines: parts.engine.stuck_deadlines(),
            },
            tables: TablesReport {
                sequence: tables.projected,
                lag_millis,
                snapshot_sequence: tables.snapshot,
                rejections_dropped: tables.rejections_dropped,
                journal_wal_bytes: tables.journal_wal_bytes,
                failure: tables.error,
            },
            calls: CallsReport {
                trying: self.calls_in(CallState::Trying),
                early: self.calls_in(CallState::Early),
                confirmed: self.calls_in(CallState::Confirmed),
                disconnecting: self.calls_in(CallState::Disconnecting),
                ended_and_remembered: self.calls_in(CallState::Terminated),
                oldest: totals.oldest.map(|(call, at)| OldestCall {
                    id: call.to_string(),
                    opened_at: format_instant(at),
                    seconds: parts.clock.now().millis_since(at) / 1_000,
                }),
            },
            money: totals.money.iter().map(MoneyReport::from).collect(),
            packets: Port::ALL.iter().map(|port| packets(&parts.metrics, *port)).collect(),
            nases,
        };
        report.problems = problems(&report);
        report.ready = report.problems.is_empty();
        report
    }

    fn nases(&self) -> Vec<NasReport> {
        let (book, metrics) = (self.parts.registry.book(), &self.parts.metrics);
        let report = |nas: &Arc<crate::domain::nas::Nas>| {
            let counters = metrics.nas(&nas.id);
            let sum = |of: fn(&crate::metrics::PacketCounters) -> u64| {
                Port::ALL.iter().map(|port| of(counters.port(*port))).sum()
            };
            NasReport {
                id: nas.id.to_string(),
                address: nas.address.to_string(),
                dialect: nas.dialect.as_str(),
                guard: nas.abilities().guard.as_str(),
                guard_lacks_address: nas.guard_lacks_address(),
                message_authenticator_required: nas.require_message_authenticator,
                without_message_authenticator: counters.without_message_authenticator.count(),
                calls: self.parts.registry.calls_of_nas(nas.key),
                calls_max: nas.calls_max,
                requests: sum(|port| port.requests.total()),
                drops: sum(|port| port.drops.total()),
                last_packet_at: counters.last_packet_at().map(format_instant),
            }
        };
        book.nases().map(report).collect()
    }
}

/// The bound that so many of a hundred values do not exceed; `None` where there are none, or where
/// they exceed all bounds.
fn quantile(histogram: &Histogram, percent: u64) -> Option<u64> {
    let (below, all) = histogram.cumulative();
    let enough = |count: u64| all > 0 && count.saturating_mul(100) >= all.saturating_mul(percent);
    below.into_iter().find(|(_, count)| enough(*count)).map(|(bound, _)| bound)
}

fn packets(metrics: &Metrics, port: Port) -> PacketsReport {
    let counters = metrics.port(port);
    PacketsReport {
        port: port.label(),
        requests: counters.requests.total(),
        replies: counters.replies.total(),
        duplicates: counters.duplicates.count(),
        drops: counters.drops.iter().filter(|(_, count)| *count > 0).collect(),
    }
}

fn problems(report: &HealthReport) -> Vec<String> {
    let mut problems = Vec::new();
    if !report.engine.alive {
        problems.push("the engine does not run".to_owned());
    }
    if let (Some(since), Some(why)) = (&report.engine.failing_since, &report.engine.failure) {
        problems.push(format!("nothing is answered since {since}, because the journal cannot be written: {why}"));
    }
    if report.tables.lag_millis >= LAG_MILLIS_MAX {
        let why = report.tables.failure.as_deref().unwrap_or("no error is known");
        problems.push(format!("the tables are {} s behind: {why}", report.tables.lag_millis / 1_000));
    }
    problems
}

fn warnings(nases: &[NasReport]) -> Vec<String> {
    let mut warnings = Vec::new();
    for nas in nases {
        if !nas.message_authenticator_required {
            warnings.push(format!(
                "nas {} may send Access-Requests without Message-Authenticator, which can be forged on the way \
                 ({} came)",
                nas.id, nas.without_message_authenticator
            ));
        }
        if nas.guard_lacks_address {
            warnings.push(format!(
                "nas {} is guarded by chunk and has no disconnect address: a call can outrun its reservation",
                nas.id
            ));
        }
    }
    warnings
}

/// How the daemon is; what `/status` shows. Times are RFC 3339, money is decimal text.
#[derive(Clone, Debug, Serialize)]
pub struct HealthReport {
    /// Whether requests are answered and the tables follow.
    pub ready: bool,
    /// Why not.
    pub problems: Vec<String>,
    /// What an operator should look at.
    pub warnings: Vec<String>,
    /// The version that runs.
    pub version: &'static str,
    /// When the process started.
    pub started_at: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// Where it listens.
    pub listening: Addresses,
    /// The engine.
    pub engine: EngineReport,
    /// The tables.
    pub tables: TablesReport,
    /// Calls by state.
    pub calls: CallsReport,
    /// Money by currency.
    pub money: Vec<MoneyReport>,
    /// Packets by port.
    pub packets: Vec<PacketsReport>,
    /// Every NAS.
    pub nases: Vec<NasReport>,
}

/// How the engine is.
#[derive(Clone, Debug, Serialize)]
pub struct EngineReport {
    /// It runs.
    pub alive: bool,
    /// The journal takes what it is given.
    pub journal_writable: bool,
    /// Since when it does not.
    pub failing_since: Option<String>,
    /// Why.
    pub failure: Option<String>,
    /// Commands that wait.
    pub queue_depth: u64,
    /// The last record of the journal.
    pub journal_sequence: u64,
    /// When it was written.
    pub last_commit_at: Option<String>,
    /// How many commits there were.
    pub commits: u64,
    /// Half of them took at most this long, microseconds.
    pub commit_micros_median: Option<u64>,
    /// 99 of 100 took at most this long, microseconds.
    pub commit_micros_p99: Option<u64>,
    /// Faults of the program that were seen in time; not 0: tell the makers.
    pub stuck_deadlines: u64,
}

/// How the tables are.
#[derive(Clone, Debug, Serialize)]
pub struct TablesReport {
    /// The record that they have reached.
    pub sequence: u64,
    /// How far they are behind.
    pub lag_millis: u64,
    /// The record that the last snapshot has.
    pub snapshot_sequence: u64,
    /// Rejections that were not kept, because there were too many.
    pub rejections_dropped: u64,
    /// The journal's write-ahead log.
    pub journal_wal_bytes: u64,
    /// What holds them up.
    pub failure: Option<String>,
}

/// Calls by state (RFC 4235 3.7.1).
#[derive(Clone, Debug, Serialize)]
pub struct CallsReport {
    /// Authorized, not ringing yet.
    pub trying: u64,
    /// Ringing.
    pub early: u64,
    /// Answered.
    pub confirmed: u64,
    /// Told to end.
    pub disconnecting: u64,
    /// Over, and still known.
    pub ended_and_remembered: u64,
    /// The one that has been up the longest.
    pub oldest: Option<OldestCall>,
}

/// The call that has been up the longest.
#[derive(Clone, Debug, Serialize)]
pub struct OldestCall {
    /// Its number.
    pub id: String,
    /// When it began.
    pub opened_at: String,
    /// How long ago.
    pub seconds: u64,
}

/// Money in one currency, as decimal text.
#[derive(Clone, Debug, Serialize)]
pub struct MoneyReport {
    /// The currency.
    pub currency: String,
    /// Held for calls.
    pub reserved: String,
    /// What the seconds told to NASes would cost beyond what is held.
    pub exposure: String,
    /// What may still be reserved.
    pub available: String,
}

impl From<&MoneyOfCurrency> for MoneyReport {
    fn from(money: &MoneyOfCurrency) -> MoneyReport {
        MoneyReport {
            currency: money.currency.code().to_owned(),
            reserved: money.reserved.to_string(),
            exposure: money.exposure.to_string(),
            available: money.available.to_string(),
        }
    }
}

/// The packets of one port.
#[derive(Clone, Debug, Serialize)]
pub struct PacketsReport {
    /// Which.
    pub port: &'static str,
    /// Datagrams that came.
    pub requests: u64,
    /// Replies that went.
    pub replies: u64,
    /// Requests that came again.
    pub duplicates: u64,
    /// What was dropped, by cause, where anything was.
    pub drops: BTreeMap<&'static str, u64>,
}

/// One NAS.
#[derive(Clone, Debug, Serialize)]
pub struct NasReport {
    /// Its id.
    pub id: String,
    /// Where it sends from.
    pub address: String,
    /// How it means its attributes.
    pub dialect: &'static str,
    /// How its calls are guarded.
    pub guard: &'static str,
    /// That guard needs a disconnect address, and there is none.
    pub guard_lacks_address: bool,
    /// Access-Requests without Message-Authenticator are dropped.
    pub message_authenticator_required: bool,
    /// How many came without one and were let in.
    pub without_message_authenticator: u64,
    /// Calls at once.
    pub calls: u32,
    /// At most.
    pub calls_max: Option<u32>,
    /// Datagrams that came from it.
    pub requests: u64,
    /// Of these, dropped.
    pub drops: u64,
    /// When the last packet came that was proven to be its own.
    pub last_packet_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_that_enough_values_keep() {
        let histogram = Histogram::new(&[10, 100, 1_000]);
        assert_eq!(quantile(&histogram, 50), None);
        for value in [5, 5, 50, 500] {
            histogram.observe(value);
        }
        assert_eq!(
            (quantile(&histogram, 50), quantile(&histogram, 75), quantile(&histogram, 99)),
            (Some(10), Some(100), Some(1_000))
        );
        histogram.observe(5_000);
        assert_eq!(quantile(&histogram, 99), None, "beyond all bounds");
    }
}
