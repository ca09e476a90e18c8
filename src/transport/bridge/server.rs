//! Disconnect-Requests over UDP: a datagram in, a call ended, a datagram out (RFC 5176).
//!
//! One thread receives and a few obey, since ending a call waits for the proxy. What a datagram goes
//! through, in this order: its source; structure; code; whether it came before (RFC 5080 2.2.2); proof
//! of the secret; its time. Whoever does not pass gets no answer, is counted, and is told of once a
//! second for each cause. A request that is proven is remembered as in flight until it is answered, so
//! that a repetition ends nothing a second time and later gets the same bytes, from whatever address it
//! comes; that is kept for as long as its Event-Timestamp could be believed, so that nobody can play it
//! again. What was obeyed before a restart is not known any more, so that a request from before it is not
//! taken.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{fmt, io};

use ipnet::IpNet;

use super::Door;
use crate::clock::Clock;
use crate::domain::error_cause::RESOURCES_UNAVAILABLE;
use crate::domain::time::Timestamp;
use crate::service::escape::escape;
use crate::service::log_pace::LogPace;
use crate::service::session_request::{CallToEnd, Refusal, call_to_end};
use crate::transport::reply_cache::{CacheLimits, ReplyCache, RequestKey, Seen};
use crate::transport::udp::{self, Endpoint, Peer};
use crate::wire::authenticator::{MessageAuthenticatorRule, Secret, Verified, verify_request};
use crate::wire::error::VerifyError;
use crate::wire::kind;
use crate::wire::packet::{Code, PACKET_BYTES_MAX, Packet};
use crate::wire::reply::{ReplyBuilder, ReplyTo};
use crate::wire::value;

/// How many calls are ended at a time.
const WORKERS: usize = 16;
/// Most requests that wait to be obeyed; one more is dropped, and comes again.
const QUEUE_MAX: usize = 4_096;
/// Who waited longer than this is told that the proxy is overtaxed: the one who asked is about to give
/// up, and a call must not end long after anybody wanted it.
const QUEUE_PATIENCE_MILLIS: u64 = 10_000;
/// Most replies that are kept to be sent again.
const REPLIES_MAX: usize = 65_536;

/// Who may ask, and what is asked of a request.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Addresses and networks that requests may come from.
    pub from: Vec<IpNet>,
    /// The secret that they share with us.
    pub secret: Secret,
    /// Whether a request may lack its Message-Authenticator.
    pub rule: MessageAuthenticatorRule,
    /// Whether a request must carry an Event-Timestamp.
    pub timestamp_required: bool,
    /// How far an Event-Timestamp may be from now, seconds (RFC 5176, 6.3).
    pub window_seconds: u32,
}

/// The running server.
pub struct BridgeServer {
    shared: Arc<Shared>,
    receiver: Option<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl BridgeServer {
    /// Starts to obey what comes to a socket.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(endpoint: Endpoint, terms: Terms, door: Box<dyn Door>, clock: Clock) -> io::Result<BridgeServer> {
        // As far into the future as into the past.
        let seconds = terms.window_seconds.saturating_mul(2).saturating_add(1);
        let shared = Arc::new(Shared {
            endpoint,
            cache: ReplyCache::new(CacheLimits { seconds, replies_max: REPLIES_MAX }),
            terms,
            door,
            started_seconds: clock.wall_now().millis().div_euclid(1_000),
            clock,
            stop: AtomicBool::new(false),
            counts: Counts::default(),
            paces: Paces::default(),
        });
        let (jobs, taken) = sync_channel(QUEUE_MAX);
        let taken = Arc::new(Mutex::new(taken));
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let taken = taken.clone();
            workers.push(std::thread::Builder::new().name("bridge-obey".into()).spawn(move || obey_all(&taken))?);
        }
        let receiver = std::thread::Builder::new().name("bridge-hear".into()).spawn({
            let shared = shared.clone();
            move || shared.receive_all(&jobs)
        })?;
        Ok(BridgeServer { shared, receiver: Some(receiver), workers })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.endpoint.address()
    }

    /// Whether one of its threads has ended, which none does by itself.
    pub fn has_failed(&self) -> bool {
        self.receiver.as_ref().is_none_or(JoinHandle::is_finished) || self.workers.iter().any(JoinHandle::is_finished)
    }

    /// Takes nothing any more, answers what was taken, and says what was done.
    pub fn stop(mut self) -> Summary {
        self.shared.stop.store(true, Ordering::Release);
        // The queue ends with the receiver, and the workers with the queue.
        for thread in self.receiver.take().into_iter().chain(self.workers.drain(..)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the bridge failed: a fault of this program");
            }
        }
        self.shared.counts.summary()
    }
}

/// Why a datagram gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ignored {
    Stranger,
    Malformed,
    UnknownCode,
    BadAuthenticator,
    NoMessageAuthenticator,
    NoTimestamp,
    Stale,
    InFlight,
    QueueFull,
}

/// Their names, in their order.
const IGNORED: [&str; 9] = [
    "unknown_source",
    "malformed",
    "unknown_code",
    "bad_authenticator",
    "missing_message_authenticator",
    "missing_event_timestamp",
    "stale_event_timestamp",
    "in_flight",
    "queue_full",
];

/// What was done since the start.
#[derive(Debug, Default)]
struct Counts {
    received: AtomicU64,
    repeated: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    ignored: [AtomicU64; IGNORED.len()],
}

impl Counts {
    fn summary(&self) -> Summary {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let named = IGNORED.into_iter().zip(&self.ignored);
        Summary {
            received: read(&self.received),
            repeated: read(&self.repeated),
            acknowledged: read(&self.acknowledged),
            refused: read(&self.refused),
            ignored: named.map(|(name, number)| (name, read(number))).filter(|(_, number)| *number > 0).collect(),
        }
    }
}

/// What was done, in numbers of datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// All that came.
    pub received: u64,
    /// Those that came again and got the same answer again.
    pub repeated: u64,
    /// Those that were obeyed.
    pub acknowledged: u64,
    /// Those that got a NAK.
    pub refused: u64,
    /// Those that got no answer, by cause; only what occurred.
    pub ignored: Vec<(&'static str, u64)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { received, repeated, acknowledged, refused, ignored } = self;
        write!(f, "received={received} acknowledged={acknowledged} refused={refused} repeated={repeated}")?;
        ignored.iter().try_for_each(|(name, number)| write!(f, " {name}={number}"))
    }
}

/// One line a second for each cause.
#[derive(Default)]
struct Paces {
    ignored: [LogPace; IGNORED.len()],
    receiving: LogPace,
    sending: LogPace,
    writing: LogPace,
    faults: LogPace,
}

struct Shared {
    endpoint: Endpoint,
    cache: ReplyCache,
    terms: Terms,
    door: Box<dyn Door>,
    clock: Clock,
    /// The second of the start, by the wall.
    started_seconds: i64,
    stop: AtomicBool,
    counts: Counts,
    paces: Paces,
}

impl Shared {
    fn ignore(&self, cause: Ignored, source: Peer, why: &dyn fmt::Display, now: Timestamp) {
        let place = cause as usize;
        if let Some(count) = self.counts.ignored.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(times) = self.paces.ignored.get(place).and_then(|pace| pace.count(now)) {
            tracing::warn!(cause = IGNORED[place], source = %udp::canonical(source.address), times, "dropped: {why}");
        }
    }

    fn send(&self, bytes: &[u8], to: Peer, now: Timestamp) {
        // As if it was lost on the way: who asked asks again, and gets the same.
        if let Err(error) = self.endpoint.reply(bytes, to)
            && let Some(times) = self.paces.sending.count(now)
        {
            tracing::warn!(times, to = %udp::canonical(to.address), %error, "a reply cannot be sent");
        }
    }

    /// Does the work for one packet. A fault of the program in it costs this packet its answer alone.
    fn contained(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err()
            && let Some(times) = self.paces.faults.count(self.clock.now())
        {
            tracing::error!(times, "a packet could not be handled: a fault of this program");
        }
    }
}

// -------------------------------------------------------------------------------- receiving

impl Shared {
    fn receive_all(self: &Arc<Shared>, jobs: &SyncSender<Job>) {
        // One byte more than a packet may have shows that there was more.
        let mut buffer = [0; PACKET_BYTES_MAX + 1];
        while !self.stop.load(Ordering::Acquire) {
            match self.endpoint.receive(&mut buffer) {
                Ok((length, source)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.contained(|| self.receive(jobs, source, datagram));
                }
                Err(error) => self.not_received(&error),
            }
        }
    }

    /// Nobody sent anything, or an earlier reply could not be delivered; anything else is told of and
    /// waited for, so that a broken socket does not take a whole processor.
    fn not_received(&self, error: &io::Error) {
        let expected = [
            io::ErrorKind::WouldBlock,
            io::ErrorKind::TimedOut,
            io::ErrorKind::Interrupted,
            io::ErrorKind::ConnectionRefused,
        ];
        if expected.contains(&error.kind()) {
            return;
        }
        if let Some(times) = self.paces.receiving.count(self.clock.now()) {
            tracing::error!(times, %error, "cannot receive");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }

    fn receive(self: &Arc<Shared>, jobs: &SyncSender<Job>, source: Peer, datagram: &[u8]) {
        let now = self.clock.now();
        self.counts.received.fetch_add(1, Ordering::Relaxed);
        if !may_ask(&self.terms.from, source.address.ip()) {
            return self.ignore(Ignored::Stranger, source, &"--from does not have this address", now);
        }
        if datagram.len() > PACKET_BYTES_MAX {
            return self.ignore(Ignored::Malformed, source, &"longer than 4096 bytes", now);
        }
        let packet = match Packet::decode(datagram) {
            Ok(packet) => packet,
            Err(error) => return self.ignore(Ignored::Malformed, source, &error, now),
        };
        if !matches!(packet.code(), Code::DISCONNECT_REQUEST | Code::COA_REQUEST) {
            return self.ignore(Ignored::UnknownCode, source, &packet.code(), now);
        }
        let key = RequestKey::from_anywhere(&packet);
        match self.cache.look_up(&key, now) {
            Seen::Never => {}
            Seen::InFlight => return self.ignore(Ignored::InFlight, source, &"is being worked on", now),
            Seen::Answered(reply) => {
                self.counts.repeated.fetch_add(1, Ordering::Relaxed);
                return self.send(&reply, source, now);
            }
        }
        match self.prove(packet) {
            Ok(packet) => self.take(jobs, source, key, &packet, now),
            Err((cause, why)) => self.ignore(cause, source, &why, now),
        }
    }

    /// Whether somebody who knows the secret made it, just now.
    fn prove<'a>(&self, packet: Packet<'a>) -> Result<Verified<'a>, (Ignored, String)> {
        let terms = &self.terms;
        let packet = verify_request(packet, &terms.secret, terms.rule).map_err(|error| {
            let cause = match error {
                VerifyError::MissingMessageAuthenticator => Ignored::NoMessageAuthenticator,
                _ => Ignored::BadAuthenticator,
            };
            (cause, error.to_string())
        })?;
        if terms.rule == MessageAuthenticatorRule::Required && !packet.message_authenticator_present() {
            let why = VerifyError::MissingMessageAuthenticator.to_string();
            return Err((Ignored::NoMessageAuthenticator, why));
        }
        let Some(written) = packet.first(kind::EVENT_TIMESTAMP) else {
            let missing = (Ignored::NoTimestamp, "it has no Event-Timestamp".to_owned());
            return if terms.timestamp_required { Err(missing) } else { Ok(packet) };
        };
        // The wall's time: both clocks are set by people.
        let seconds = self.clock.wall_now().millis().div_euclid(1_000);
        let Some(made) = value::time(written).map(i64::from) else {
            return Err((Ignored::Malformed, "its Event-Timestamp is no time".to_owned()));
        };
        let distance = made.abs_diff(seconds);
        if distance > u64::from(terms.window_seconds) {
            return Err((Ignored::Stale, format!("its Event-Timestamp is {distance} s from our clock")));
        }
        if made < self.started_seconds {
            return Err((
                Ignored::Stale,
                "it was made before this bridge started, and may have been obeyed".to_owned(),
            ));
        }
        Ok(packet)
    }

    /// Takes a request that was proven.
    fn take(
        self: &Arc<Shared>,
        jobs: &SyncSender<Job>,
        source: Peer,
        key: RequestKey,
        packet: &Verified<'_>,
        now: Timestamp,
    ) {
        let asked = call_to_end(packet);
        self.cache.begin(key);
        let exchange = Exchange { shared: self.clone(), source, key, request: packet.into() };
        match asked {
            Err(refusal) => exchange.answer(&[], Err(refusal)),
            Ok(call) => {
                let job = Job { exchange, call, since: now };
                match jobs.try_send(job) {
                    Ok(()) => {}
                    // Dropping the job forgets the request.
                    Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                        self.ignore(Ignored::QueueFull, source, &"too many requests wait for the proxy", now);
                    }
                }
            }
        }
    }
}

/// Whether requests may come from an address; IPv4 is not taken for IPv6.
fn may_ask(from: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    from.iter().any(|network| network.contains(&address))
}

// -------------------------------------------------------------------------------- obeying

/// A request under way, and all that its answer takes. Without an answer it is forgotten, so that its
/// next try is a new one.
struct Exchange {
    shared: Arc<Shared>,
    source: Peer,
    key: RequestKey,
    request: ReplyTo,
}

impl Exchange {
    fn answer(self, call: &[u8], outcome: Result<(), Refusal>) {
        let shared = &self.shared;
        let now = shared.clock.now();
        let (source, call) = (udp::canonical(self.source.address), escape(call));
        let asked = self.request.code();
        let (code, count) = match (&outcome, asked) {
            (Ok(()), _) => (Code::DISCONNECT_ACK, &shared.counts.acknowledged),
            (Err(_), Code::COA_REQUEST) => (Code::COA_NAK, &shared.counts.refused),
            (Err(_), _) => (Code::DISCONNECT_NAK, &shared.counts.refused),
        };
        let mut reply = ReplyBuilder::new(code, &self.request);
        if let Err(refusal) = &outcome {
            reply.integer(kind::ERROR_CAUSE, refusal.cause);
        }
        match reply.finish(&shared.terms.secret) {
            Ok(bytes) => {
                let bytes: Arc<[u8]> = bytes.into();
                // Kept first: the same request may come again before we are back here.
                shared.cache.answer(self.key, bytes.clone(), now);
                count.fetch_add(1, Ordering::Relaxed);
                shared.send(&bytes, self.source, now);
            }
            Err(error) => {
                if let Some(times) = shared.paces.writing.count(now) {
                    tracing::warn!(times, %source, %error, "a reply cannot be written");
                }
            }
        }
        match outcome {
            Ok(()) => tracing::info!(%source, call, "ended"),
            Err(refusal) => tracing::warn!(%source, call, %asked, "not done: {refusal}"),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.cache.forget(&self.key);
    }
}

/// A call that is to end.
struct Job {
    exchange: Exchange,
    call: CallToEnd,
    since: Timestamp,
}

fn obey_all(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Nothing panics while it is locked.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { exchange, call, since }) = next else { return };
        let shared = exchange.shared.clone();
        shared.contained(|| {
            let waited = shared.clock.now().millis_since(since);
            let outcome = if waited > QUEUE_PATIENCE_MILLIS {
                Err(Refusal::new(RESOURCES_UNAVAILABLE, format!("it waited {waited} ms for others to be obeyed")))
            } else {
                shared.door.end(&call)
            };
            exchange.answer(&call.call_id, outcome);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_same_in_both_families() {
        let from: Vec<IpNet> = ["192.0.2.1/32", "2001:db8::/32"].map(|net| net.parse().unwrap()).into();
        let may = |address: &str| may_ask(&from, address.parse().unwrap());
        assert!(may("192.0.2.1") && may("::ffff:192.0.2.1") && may("2001:db8::7"));
        assert!(!may("192.0.2.2") && !may("::1") && !may("::192.0.2.1"));
    }

    #[test]
    fn a_summary_names_what_occurred() {
        let counts = Counts::default();
        counts.received.fetch_add(3, Ordering::Relaxed);
        counts.ignored[Ignored::QueueFull as usize].fetch_add(2, Ordering::Relaxed);
        counts.ignored[Ignored::Stranger as usize].fetch_add(1, Ordering::Relaxed);
        let summary = "received=3 acknowledged=0 refused=0 repeated=0 unknown_source=1 queue_full=2";
        assert_eq!(counts.summary().to_string(), summary);
    }
}
