//! What the daemon counts: plain counters that any thread raises and that one reader prints.
//!
//! Counting is an addition to an atomic number, never a look-up by text, so it can stand on the path
//! of every packet; how it looks to a monitoring system is in `transport::http::metrics`. Numbers
//! start at 0 with the process.
//!
//! What the MIBs of RADIUS servers ask for, and where it is. Each object is in both columns of the
//! table of its RFC, for the port ([`Metrics::port`]) and for each NAS ([`Metrics::nas`]):
//!
//! | RFC 4669 (authorization) | RFC 4671 (accounting) | here |
//! | --- | --- | --- |
//! | AccessRequests | Requests | `requests`, by code |
//! | InvalidRequests | InvalidRequests | `drops`, [`DropCause::UnknownNas`] |
//! | DupAccessRequests | DupRequests | `duplicates` |
//! | AccessAccepts, AccessRejects, AccessChallenges | Responses | `replies`, by code |
//! | MalformedAccessRequests | MalformedRequests | `drops`, [`DropCause::Malformed`] |
//! | BadAuthenticators | BadAuthenticators | `drops`, the three causes with an authenticator |
//! | PacketsDropped | PacketsDropped | `drops`, [`DropCause::QueueFull`] and [`DropCause::InFlight`] |
//! | UnknownTypes | UnknownTypes | `unknown_types` |
//! | | NoRecords | `accounting_without_call`: what tells nothing of a call is answered, all else recorded |

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use crate::dialect::oddity::{ODDITIES, Oddity};
use crate::domain::time::Timestamp;

/// All that is counted since the process started.
#[derive(Debug)]
pub struct Metrics {
    ports: [PacketCounters; 2],
    nases: DashMap<Box<str>, Arc<NasCounters>>,
    /// Calls and authentications refused, by [`REJECTION_REASONS`].
    pub rejections: CounterSet,
    /// Accounting-Requests that tell nothing of a call or of the NAS: answered, not recorded.
    pub accounting_without_call: Counter,
    /// Calls that lasted longer than what was reserved for them.
    pub overruns: Counter,
    /// Disconnect-Requests by how they ended ([`DisconnectOutcome`]).
    pub disconnects: CounterSet,
    /// CoA-Requests by how they ended ([`DisconnectOutcome`]).
    pub prolongations: CounterSet,
    /// What went to NASes at our own wish and came back, by [`ControlPacket`].
    pub control_packets: CounterSet,
    /// How long the commit of a batch took, in microseconds.
    pub commit_micros: Histogram,
    /// How many commands were in a batch.
    pub commit_batch_size: Histogram,
    queue_depths: [Gauge; QUEUES.len()],
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            ports: Default::default(),
            nases: DashMap::new(),
            rejections: CounterSet::new(&REJECTION_REASONS),
            accounting_without_call: Counter::default(),
            overruns: Counter::default(),
            disconnects: CounterSet::new(&DISCONNECT_OUTCOMES),
            prolongations: CounterSet::new(&DISCONNECT_OUTCOMES),
            control_packets: CounterSet::new(&CONTROL_PACKETS),
            commit_micros: Histogram::new(&COMMIT_MICROS_BOUNDS),
            commit_batch_size: Histogram::new(&BATCH_SIZE_BOUNDS),
            queue_depths: Default::default(),
        }
    }
}

impl Metrics {
    /// All at 0.
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// What came in and went out through a port.
    pub fn port(&self, port: Port) -> &PacketCounters {
        let [auth, acct] = &self.ports;
        match port {
            Port::Auth => auth,
            Port::Acct => acct,
        }
    }

    /// The counters of a NAS by its id. Who answers packets keeps them beside the NAS's secret; only
    /// NASes that the operator has set up have any, so no sender can make this grow.
    pub fn nas(&self, id: &str) -> Arc<NasCounters> {
        if let Some(counters) = self.nases.get(id) {
            return counters.clone();
        }
        self.nases.entry(id.into()).or_default().clone()
    }

    /// Forgets the NASes that the operator has removed.
    pub fn retain_nases(&self, mut is_known: impl FnMut(&str) -> bool) {
        self.nases.retain(|id, _| is_known(id));
    }

    /// Every NAS with its counters, by id.
    pub fn nases(&self) -> Vec<(Box<str>, Arc<NasCounters>)> {
        let mut nases: Vec<_> = self.nases.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        nases.sort_by(|(a, _), (b, _)| a.cmp(b));
        nases
    }

    /// How many wait in a queue.
    pub fn queue_depth(&self, queue: Queue) -> &Gauge {
        let [engine, control, call_log] = &self.queue_depths;
        match queue {
            Queue::Engine => engine,
            Queue::Control => control,
            Queue::CallLog => call_log,
        }
    }

    /// Packets dropped for a cause, on both ports.
    pub fn drops(&self, cause: DropCause) -> u64 {
        self.ports.iter().map(|port| port.drops.count(cause)).sum()
    }

    /// Requests that were answered with the reply kept for them, or dropped as still being worked
    /// on, on both ports.
    pub fn duplicates(&self) -> u64 {
        self.ports.iter().map(|port| port.duplicates.count()).sum()
    }

    /// Counts a committed batch.
    pub fn count_commit(&self, commands: usize, took: Duration) {
        self.commit_batch_size.observe(commands as u64);
        self.commit_micros.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

/// The two ports of a RADIUS server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// Authorization (RFC 2865 3).
    Auth,
    /// Accounting (RFC 2866 3).
    Acct,
}

impl Port {
    /// Both.
    pub const ALL: [Port; 2] = [Port::Auth, Port::Acct];

    /// Its name as a label.
    pub const fn label(self) -> &'static str {
        match self {
            Port::Auth => "auth",
            Port::Acct => "acct",
        }
    }
}

/// The packets of one port, of all NASes or of one.
#[derive(Debug)]
pub struct PacketCounters {
    /// Datagrams received, by the code in them ([`CodeLabel`]).
    pub requests: CounterSet,
    /// Replies sent, the repeated ones too, by code ([`CodeLabel`]).
    pub replies: CounterSet,
    /// Packets dropped, by [`DropCause`].
    pub drops: CounterSet,
    /// Requests that came again while their reply was kept or being made.
    pub duplicates: Counter,
    /// Packets of a code that this port does not serve.
    pub unknown_types: Counter,
    /// Datagrams that the kernel dropped because nobody took them fast enough; of the ports only, since
    /// nobody knows whose they were.
    pub overflows: Counter,
}

impl Default for PacketCounters {
    fn default() -> PacketCounters {
        PacketCounters {
            requests: CounterSet::new(&CODE_NAMES),
            replies: CounterSet::new(&CODE_NAMES),
            drops: CounterSet::new(&DROP_CAUSES),
            duplicates: Counter::default(),
            unknown_types: Counter::default(),
            overflows: Counter::default(),
        }
    }
}

/// What came from one NAS and went to it.
#[derive(Debug)]
pub struct NasCounters {
    ports: [PacketCounters; 2],
    /// Access-Requests without Message-Authenticator: each could have been forged on the way.
    pub without_message_authenticator: Counter,
    /// Accounting-Requests that tell nothing of a call or of the NAS: answered, not recorded.
    pub accounting_without_call: Counter,
    /// What its packets show of its make and habits, by [`Sighting`].
    pub sightings: CounterSet,
    /// What it got wrong, by [`ODDITIES`].
    pub oddities: CounterSet,
    last_packet_millis: AtomicI64,
}

impl Default for NasCounters {
    fn default() -> NasCounters {
        NasCounters {
            ports: Default::default(),
            without_message_authenticator: Counter::default(),
            accounting_without_call: Counter::default(),
            sightings: CounterSet::new(&SIGHTINGS),
            oddities: CounterSet::new(&ODDITIES),
            last_packet_millis: AtomicI64::default(),
        }
    }
}

impl NasCounters {
    /// What came in and went out through a port.
    pub fn port(&self, port: Port) -> &PacketCounters {
        let [auth, acct] = &self.ports;
        match port {
            Port::Auth => auth,
            Port::Acct => acct,
        }
    }

    /// Remembers when a packet that was verified came.
    pub fn saw_packet(&self, at: Timestamp) {
        self.last_packet_millis.fetch_max(at.millis(), Ordering::Relaxed);
    }

    /// When the last verified packet came.
    pub fn last_packet_at(&self) -> Option<Timestamp> {
        match self.last_packet_millis.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Timestamp::from_millis(millis)),
        }
    }
}

/// A number of a fixed set of labels: what a [`CounterSet`] counts by. An enumeration, in the order
/// of its set, or the place itself.
pub trait Label: Copy {
    /// The place in the set.
    fn index(self) -> usize;
}

impl Label for usize {
    fn index(self) -> usize {
        self
    }
}

impl Label for Oddity {
    fn index(self) -> usize {
        self as usize
    }
}

impl Label for crate::domain::decision::RejectReason {
    fn index(self) -> usize {
        self as usize
    }
}

/// What a packet shows of the make and the habits of its NAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sighting {
    /// An Access-Request with Message-Authenticator.
    SignedAccess,
    /// One without.
    UnsignedAccess,
    /// Acct-Status-Type Start.
    Start,
    /// Stop.
    Stop,
    /// Failed (15).
    Failed,
    /// Interim-Update that a clock may have made.
    ClockInterim,
    /// Interim-Update with a SIP method: an event made it.
    EventInterim,
    /// An attribute under Cisco's vendor id.
    CiscoLayout,
    /// Under Quintum's.
    QuintumLayout,
    /// Under AudioCodes'.
    AudiocodesLayout,
    /// Sip-Method with Kamailio's number.
    SerMethod,
    /// Sip-Method with OpenSIPS' number.
    OpensipsMethod,
    /// Digest as before RFC 5090.
    OldDigest,
}

/// The names of [`Sighting`], in its order.
pub const SIGHTINGS: [&str; 13] = [
    "signed_access",
    "unsigned_access",
    "start",
    "stop",
    "failed",
    "clock_interim",
    "event_interim",
    "cisco_layout",
    "quintum_layout",
    "audiocodes_layout",
    "ser_method",
    "opensips_method",
    "old_digest",
];

impl Label for Sighting {
    fn index(self) -> usize {
        self as usize
    }
}

/// Why a packet was dropped without a reply; in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropCause {
    /// From an address that is no NAS.
    UnknownNas,
    /// Breaks the rules of RFC 2865 3 or 5.
    Malformed,
    /// Request Authenticator not made with the secret (RFC 2866 3).
    BadAuthenticator,
    /// No Message-Authenticator where one is required.
    MissingMessageAuthenticator,
    /// Message-Authenticator not made with the secret (RFC 3579 3.2).
    BadMessageAuthenticator,
    /// More wait than are taken.
    QueueFull,
    /// The same request is being worked on (RFC 5080 2.2.2).
    InFlight,
}

/// The labels of [`DropCause`], in its order.
pub const DROP_CAUSES: [&str; 7] = [
    "unknown_nas",
    "malformed",
    "bad_authenticator",
    "missing_message_authenticator",
    "bad_message_authenticator",
    "queue_full",
    "in_flight",
];

impl DropCause {
    /// All, in order.
    pub const ALL: [DropCause; DROP_CAUSES.len()] = [
        DropCause::UnknownNas,
        DropCause::Malformed,
        DropCause::BadAuthenticator,
        DropCause::MissingMessageAuthenticator,
        DropCause::BadMessageAuthenticator,
        DropCause::QueueFull,
        DropCause::InFlight,
    ];
}

impl Label for DropCause {
    fn index(self) -> usize {
        self as usize
    }
}

/// The reasons for which a call is refused, in the order of the checks.
pub const REJECTION_REASONS: [&str; 10] = [
    "unknown_account",
    "attempts_limit",
    "bad_credentials",
    "blocked",
    "id_in_use",
    "forbidden_number",
    "no_rate",
    "calls_limit",
    "spend_limit",
    "no_credit",
];

/// How a Disconnect-Request or a CoA-Request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisconnectOutcome {
    /// The NAS did as it was asked: ACK (RFC 5176 2.1).
    Acknowledged,
    /// The NAS does not know the call: NAK with Error-Cause 503, ACK with 201 (RFC 5176 3.5).
    Gone,
    /// Any other NAK.
    Refused,
    /// No answer, though it was sent again and again.
    Unanswered,
    /// The NAS could not be asked.
    NotSent,
    /// The call had ended, or was given more, before there was an answer.
    NotWanted,
}

/// The labels of [`DisconnectOutcome`], in its order.
pub const DISCONNECT_OUTCOMES: [&str; 6] = ["acknowledged", "gone", "refused", "unanswered", "not_sent", "not_wanted"];

impl Label for DisconnectOutcome {
    fn index(self) -> usize {
        self as usize
    }
}

/// A datagram of the Disconnect and CoA client (RFC 5176): what it sent, and what it took for an
/// answer or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlPacket {
    /// A request sent for the first time.
    Sent,
    /// The same request sent again.
    SentAgain,
    /// A request that the system did not take.
    SendFailed,
    /// A true answer.
    Answered,
    /// A datagram that answers no request under way, such as a late or a second answer.
    NotAsked,
    /// A datagram that is no RADIUS packet.
    Malformed,
    /// An answer of the wrong code or not made with the secret.
    NotBelieved,
}

/// The labels of [`ControlPacket`], in its order.
pub const CONTROL_PACKETS: [&str; 7] =
    ["sent", "sent_again", "send_failed", "answered", "not_asked", "malformed", "not_believed"];

impl Label for ControlPacket {
    fn index(self) -> usize {
        self as usize
    }
}

/// A bounded queue that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Commands that wait to be decided.
    Engine,
    /// Disconnects that wait to be sent or answered.
    Control,
    /// Records of call logs that wait to be written.
    CallLog,
}

/// The queues with their labels.
pub const QUEUES: [(Queue, &str); 3] =
    [(Queue::Engine, "engine"), (Queue::Control, "control"), (Queue::CallLog, "call_log")];

/// The code of a packet as a label: its name, or `other` where it is none that RADIUS servers see,
/// so that what a sender makes up adds no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeLabel(usize);

/// The labels of [`CodeLabel`], in its order.
pub const CODE_NAMES: [&str; 14] = [
    "Access-Request",
    "Access-Accept",
    "Access-Reject",
    "Accounting-Request",
    "Accounting-Response",
    "Access-Challenge",
    "Status-Server",
    "Disconnect-Request",
    "Disconnect-ACK",
    "Disconnect-NAK",
    "CoA-Request",
    "CoA-ACK",
    "CoA-NAK",
    "other",
];
/// The codes of [`CODE_NAMES`] but the last (RFC 2865 3, RFC 5176 2.1, RFC 5997 3).
const CODES: [u8; CODE_NAMES.len() - 1] = [1, 2, 3, 4, 5, 11, 12, 40, 41, 42, 43, 44, 45];

impl CodeLabel {
    /// The label of a code, the first byte of a packet; `None`: an empty datagram.
    pub fn of(code: impl Into<Option<u8>>) -> CodeLabel {
        let known = code.into().and_then(|code| CODES.iter().position(|known| *known == code));
        CodeLabel(known.unwrap_or(CODES.len()))
    }
}

impl Label for CodeLabel {
    fn index(self) -> usize {
        self.0
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// It is now so much.
    pub fn set(&self, value: usize) {
        self.0.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How much it is; not below 0, though who takes may be counted before who puts.
    pub fn value(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// One counter for each of a fixed set of labels.
#[derive(Debug)]
pub struct CounterSet {
    labels: &'static [&'static str],
    counters: Box<[Counter]>,
}

impl CounterSet {
    /// All at 0.
    pub fn new(labels: &'static [&'static str]) -> CounterSet {
        CounterSet { labels, counters: labels.iter().map(|_| Counter::default()).collect() }
    }

    /// One more of these. A place outside the set is not counted.
    pub fn increment(&self, label: impl Label) {
        if let Some(counter) = self.counters.get(label.index()) {
            counter.increment();
        }
    }

    /// How many of these so far.
    pub fn count(&self, label: impl Label) -> u64 {
        self.counters.get(label.index()).map_or(0, Counter::count)
    }

    /// How many of all so far.
    pub fn total(&self) -> u64 {
        self.counters.iter().map(Counter::count).sum()
    }

    /// Every label with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.labels.iter().copied().zip(self.counters.iter().map(Counter::count))
    }
}

/// How often values of each size were seen, and their sum; in whole units.
#[derive(Debug)]
pub struct Histogram {
    /// The largest value of each bucket, ascending.
    bounds: &'static [u64],
    /// One more than there are bounds: the last is for what is larger than all.
    buckets: Box<[Counter]>,
    sum: Counter,
}

/// 0.1 ms to 10 s: from what a fast disk takes to one that has failed.
const COMMIT_MICROS_BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
const BATCH_SIZE_BOUNDS: [u64; 13] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096];

impl Histogram {
    /// Nothing seen yet. `bounds` ascend.
    pub fn new(bounds: &'static [u64]) -> Histogram {
        Histogram { bounds, buckets: (0..=bounds.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.increment();
        }
        self.sum.add(value);
    }

    /// For each bound, how many values were no larger; then how many there were at all.
    pub fn cumulative(&self) -> (Vec<(u64, u64)>, u64) {
        let mut so_far = 0;
        let mut counts = self.buckets.iter().map(|bucket| {
            so_far += bucket.count();
            so_far
        });
        let below = self.bounds.iter().copied().zip(counts.by_ref()).collect();
        let all = counts.next().unwrap_or(0);
        (below, all)
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_label() {
        let counters = PacketCounters::default();
        for cause in DropCause::ALL {
            counters.drops.increment(cause);
        }
        assert!(counters.drops.iter().all(|(_, count)| count == 1));
        assert_eq!(counters.drops.iter().nth(DropCause::QueueFull.index()), Some(("queue_full", 1)));
        assert_eq!(counters.drops.iter().last(), Some(("in_flight", 1)));
    }

    #[test]
    fn drops_and_duplicates_are_those_of_both_ports() {
        let metrics = Metrics::new();
        for port in Port::ALL {
            metrics.port(port).drops.increment(DropCause::Malformed);
            metrics.port(port).duplicates.increment();
        }
        assert_eq!((metrics.drops(DropCause::Malformed), metrics.duplicates()), (2, 2));
        assert_eq!(metrics.drops(DropCause::UnknownNas), 0);
    }

    #[test]
    fn a_made_up_code_adds_no_label() {
        let counters = PacketCounters::default();
        for code in 0..=u8::MAX {
            counters.requests.increment(CodeLabel::of(code));
        }
        counters.requests.increment(CodeLabel::of(None));
        assert_eq!(counters.requests.count(CodeLabel::of(4)), 1);
        assert_eq!(counters.requests.iter().nth(CodeLabel::of(12).index()), Some(("Status-Server", 1)));
        assert_eq!(counters.requests.iter().last(), Some(("other", 257 - 13)));
    }

    #[test]
    fn a_place_outside_a_set_is_not_counted() {
        let set = CounterSet::new(&REJECTION_REASONS);
        set.increment(9_usize);
        set.increment(10_usize);
        assert_eq!((set.total(), set.count(10_usize)), (1, 0));
    }

    #[test]
    fn a_value_is_in_the_bucket_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1_000] {
            histogram.observe(value);
        }
        assert_eq!(histogram.cumulative(), (vec![(10, 2), (20, 4)], 6));
        assert_eq!(histogram.sum(), 1_062);
    }

    #[test]
    fn the_counters_of_a_nas_last_until_it_is_removed() {
        let metrics = Metrics::new();
        metrics.nas("gw1").port(Port::Acct).requests.increment(CodeLabel::of(4));
        metrics.nas("gw0");
        assert_eq!(metrics.nas("gw1").port(Port::Acct).requests.total(), 1);
        assert_eq!(metrics.nases().iter().map(|(id, _)| id.as_ref()).collect::<Vec<_>>(), ["gw0", "gw1"]);
        metrics.retain_nases(|id| id == "gw0");
        assert_eq!(metrics.nases().len(), 1);
    }

    #[test]
    fn the_last_packet_is_the_latest() {
        let nas = NasCounters::default();
        assert_eq!(nas.last_packet_at(), None);
        nas.saw_packet(Timestamp::from_seconds(7));
        nas.saw_packet(Timestamp::from_seconds(5));
        assert_eq!(nas.last_packet_at(), Some(Timestamp::from_seconds(7)));
    }

    #[test]
    fn what_is_taken_before_it_is_put_is_no_large_number() {
        let gauge = Gauge::default();
        gauge.decrement();
        assert_eq!(gauge.value(), 0);
    }
}
