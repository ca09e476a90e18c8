//! RADIUS over UDP: a datagram in, a decision, a datagram out.
//!
//! One thread receives for each listening socket, one sends for all. What a datagram goes through, in
//! this order, and each way out is counted: size; the NAS by its source address; structure (RFC 2865
//! 3 and 5); whether the port serves its code; whether it came before (RFC 5080 2.2.2); proof of the
//! secret; the bounded queue of the engine. A request is remembered as in flight only after its proof,
//! so nobody without a secret can fill that memory, and is forgotten wherever no answer comes of it, so
//! that the NAS's next try is a new one.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::clock::Clock;
use crate::domain::decision::Reply;
use crate::domain::time::Timestamp;
use crate::metrics::{CodeLabel, DROP_CAUSES, DropCause, Label as _, Metrics, PacketCounters, Port};
use crate::service::account::{self, PendingAccounting};
use crate::service::answers::Answers;
use crate::service::authorize::{self, AccessRead, PendingAccess};
use crate::service::engine_loop::EngineStatus;
use crate::service::engine_queue::{EngineHandle, SubmitError};
use crate::service::log_pace::LogPace;
use crate::service::nas_table::{NasEntry, NasTable};
use crate::service::nonces::Nonces;
use crate::service::registry::RegistryReader;
use crate::service::sessions::Sessions;
use crate::service::sightings;
use crate::transport::reply_cache::{CacheLimits, ReplyCache, RequestKey, Seen};
use crate::transport::udp::{self, Endpoint, Peer};
use crate::wire::authenticator::{MessageAuthenticatorRule, Verified, verify_request};
use crate::wire::error::{EncodeError, VerifyError};
use crate::wire::packet::{Code, PACKET_BYTES_MAX, Packet};
use crate::wire::reply::ReplyBuilder;

/// Most replies that wait to be sent; more than the engine can hand over while the sender sleeps.
const OUTBOX_MAX: usize = 65_536;

/// What the server works with.
#[derive(Clone)]
pub struct RadiusParts {
    /// Who decides.
    pub engine: EngineHandle,
    /// Whether anything is answered.
    pub status: Arc<EngineStatus>,
    /// Who may ask.
    pub registry: RegistryReader,
    /// The random number of the database, for our Class.
    pub instance: u32,
    /// The nonces of Digest that we make.
    pub nonces: Arc<Nonces>,
    /// The right answers of Digest that callers gave.
    pub answers: Arc<Answers>,
    /// The calls that clients' faults are seen by.
    pub sessions: Arc<Sessions>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    /// What is kept of replies.
    pub cache: CacheLimits,
}

/// Why the ports cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (UDP, {}): {why}", port.label())]
pub struct ListenError {
    /// Which address.
    pub address: SocketAddr,
    /// For what.
    pub port: Port,
    /// What the system says.
    #[source]
    pub why: io::Error,
}

/// Sockets that are taken and not served yet: what comes waits in the kernel.
#[derive(Debug)]
pub struct RadiusSockets(Vec<(Port, Endpoint)>);

impl RadiusSockets {
    /// Takes all addresses, or none.
    ///
    /// # Errors
    /// One of them cannot be taken.
    pub fn listen(auth: &[SocketAddr], acct: &[SocketAddr], receive_buffer_bytes: usize) -> Result<Self, ListenError> {
        let auth = auth.iter().map(|address| (Port::Auth, *address));
        let acct = acct.iter().map(|address| (Port::Acct, *address));
        let open = |(port, address)| {
            let taken = Endpoint::listen(address, receive_buffer_bytes);
            taken.map(|taken| (port, taken)).map_err(|why| ListenError { address, port, why })
        };
        auth.chain(acct).map(open).collect::<Result<_, _>>().map(RadiusSockets)
    }

    /// The addresses taken for a port.
    pub fn addresses(&self, port: Port) -> Vec<SocketAddr> {
        self.0.iter().filter(|(of, _)| *of == port).map(|(_, endpoint)| endpoint.address()).collect()
    }
}

/// The running server.
pub struct RadiusServer {
    stop: Arc<AtomicBool>,
    receivers: Vec<JoinHandle<()>>,
    outbox: Arc<Outbox>,
    sender: JoinHandle<()>,
}

impl RadiusServer {
    /// Starts to serve.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(sockets: RadiusSockets, parts: &RadiusParts) -> io::Result<RadiusServer> {
        let stop = Arc::new(AtomicBool::new(false));
        let outbox = Arc::new(Outbox::new(parts.clock.clone()));
        let paces = Arc::new(Paces::default());
        let sender = std::thread::Builder::new().name("radius-send".into()).spawn({
            let (outbox, parts) = (outbox.clone(), parts.clone());
            move || outbox.send_all(&parts)
        })?;
        let mut receivers = Vec::new();
        for (port, endpoint) in sockets.0 {
            let listener = Arc::new(Listener {
                port,
                endpoint,
                cache: ReplyCache::new(parts.cache),
                metrics: parts.metrics.clone(),
                paces: paces.clone(),
            });
            let receiver = Receiver { listener, parts: parts.clone(), outbox: outbox.clone() };
            let stop = stop.clone();
            let name = format!("radius-{}", port.label());
            receivers.push(std::thread::Builder::new().name(name).spawn(move || receiver.run(&stop))?);
        }
        Ok(RadiusServer { stop, receivers, outbox, sender })
    }

    /// Takes nothing any more. What was taken is still answered.
    pub fn stop_receiving(&mut self) {
        self.stop.store(true, Ordering::Release);
        for receiver in self.receivers.drain(..) {
            if receiver.join().is_err() {
                tracing::error!("a receiver failed: a fault of this program");
            }
        }
    }

    /// Sends what the engine has answered, and ends. To be called when the engine has ended.
    pub fn finish(mut self) {
        self.stop_receiving();
        self.outbox.close();
        if self.sender.join().is_err() {
            tracing::error!("the sender failed: a fault of this program");
        }
    }

    /// Whether one of its threads has ended, which none does by itself.
    pub fn has_failed(&self) -> bool {
        self.sender.is_finished() || self.receivers.iter().any(JoinHandle::is_finished)
    }
}

/// A socket with what is known of its requests.
struct Listener {
    port: Port,
    endpoint: Endpoint,
    cache: ReplyCache,
    metrics: Arc<Metrics>,
    paces: Arc<Paces>,
}

/// One line a second for each cause.
#[derive(Default)]
struct Paces {
    drops: [LogPace; DROP_CAUSES.len()],
    receiving: LogPace,
    sending: LogPace,
    writing: LogPace,
    not_a_call: LogPace,
    faults: LogPace,
}

impl Listener {
    fn counters(&self) -> &PacketCounters {
        self.metrics.port(self.port)
    }

    fn drop_packet(
        &self,
        cause: DropCause,
        nas: Option<&NasEntry>,
        source: Peer,
        why: &dyn std::fmt::Display,
        now: Timestamp,
    ) {
        self.counters().drops.increment(cause);
        if let Some(nas) = nas {
            nas.counters.port(self.port).drops.increment(cause);
        }
        let times = self.paces.drops.get(cause.index()).and_then(|pace| pace.count(now));
        if let Some(times) = times {
            let (port, source) = (self.port.label(), udp::canonical(source.address));
            let nas = nas.map_or("", |nas| &nas.nas.id);
            tracing::warn!(cause = DROP_CAUSES[cause.index()], port, %source, nas, times, "dropped: {why}");
        }
    }

    fn send(&self, nas: &NasEntry, to: Peer, code: Code, bytes: &[u8], now: Timestamp) {
        match self.endpoint.reply(bytes, to) {
            Ok(()) => {
                self.counters().replies.increment(CodeLabel::of(code.0));
                nas.counters.port(self.port).replies.increment(CodeLabel::of(code.0));
            }
            // As if it was lost on the way: the NAS asks again, and gets the same.
            Err(error) => {
                if let Some(times) = self.paces.sending.count(now) {
                    tracing::warn!(times, to = %udp::canonical(to.address), %error, "a reply cannot be sent");
                }
            }
        }
    }

    /// Does the work for one packet. A fault of the program in it costs this packet its answer, and not
    /// all others theirs.
    fn contained(&self, now: Timestamp, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err()
            && let Some(times) = self.paces.faults.count(now)
        {
            tracing::error!(times, port = self.port.label(), "a packet could not be handled: a fault of this program");
        }
    }

    fn cannot_write(&self, nas: &NasEntry, why: &dyn std::fmt::Display, now: Timestamp) {
        if let Some(times) = self.paces.writing.count(now) {
            tracing::warn!(times, nas = &*nas.nas.id, "a reply cannot be written: {why}");
        }
    }
}

// -------------------------------------------------------------------------------- receiving

struct Receiver {
    listener: Arc<Listener>,
    parts: RadiusParts,
    outbox: Arc<Outbox>,
}

impl Receiver {
    fn run(self, stop: &AtomicBool) {
        // One byte more than a packet may have shows that there was more.
        let mut buffer = [0; PACKET_BYTES_MAX + 1];
        let mut table = NasTable::new(self.parts.registry.book(), &self.parts.metrics, self.parts.instance);
        while !stop.load(Ordering::Acquire) {
            match self.listener.endpoint.receive(&mut buffer) {
                Ok((length, source)) => {
                    self.listener.counters().overflows.add(self.listener.endpoint.new_overflows());
                    let book = self.parts.registry.book();
                    if !Arc::ptr_eq(table.book(), &book) {
                        table = NasTable::new(book, &self.parts.metrics, self.parts.instance);
                    }
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.listener.contained(self.parts.clock.now(), || self.receive(&table, source, datagram));
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
        if let Some(times) = self.listener.paces.receiving.count(self.parts.clock.now()) {
            tracing::error!(times, port = self.listener.port.label(), %error, "cannot receive");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }

    fn receive(&self, table: &NasTable, source: Peer, datagram: &[u8]) {
        let listener = &*self.listener;
        let now = self.parts.clock.now();
        let label = CodeLabel::of(datagram.first().copied());
        listener.counters().requests.increment(label);
        let Some(nas) = table.find(source.address.ip()) else {
            return listener.drop_packet(DropCause::UnknownNas, None, source, &"no NAS has this address", now);
        };
        let counters = nas.counters.port(listener.port);
        counters.requests.increment(label);
        if datagram.len() > PACKET_BYTES_MAX {
            return listener.drop_packet(DropCause::Malformed, Some(nas), source, &"longer than 4096 bytes", now);
        }
        let packet = match Packet::decode(datagram) {
            Ok(packet) => packet,
            Err(error) => return listener.drop_packet(DropCause::Malformed, Some(nas), source, &error, now),
        };
        if !serves(listener.port, packet.code()) {
            listener.counters().unknown_types.increment();
            counters.unknown_types.increment();
            return;
        }
        let key = RequestKey::new(source.address, &packet);
        match listener.cache.look_up(&key, now) {
            Seen::Never => {}
            Seen::InFlight => {
                listener.counters().duplicates.increment();
                counters.duplicates.increment();
                return listener.drop_packet(DropCause::InFlight, Some(nas), source, &"is being worked on", now);
            }
            Seen::Answered(reply) => {
                listener.counters().duplicates.increment();
                counters.duplicates.increment();
                let code = reply.first().map_or(packet.code(), |code| Code(*code));
                return listener.send(nas, source, code, &reply, now);
            }
        }
        match verify_request(packet, &nas.secret, nas.rule) {
            Ok(verified) => self.take(table, nas, source, key, &verified, now),
            Err(error) => listener.drop_packet(drop_cause(&error), Some(nas), source, &error, now),
        }
    }

    /// Takes a request that was proven to be the NAS's.
    fn take(
        &self,
        table: &NasTable,
        nas: &Arc<NasEntry>,
        source: Peer,
        key: RequestKey,
        packet: &Verified<'_>,
        now: Timestamp,
    ) {
        nas.counters.saw_packet(now);
        sightings::note(packet, &nas.counters);
        match packet.code() {
            Code::ACCESS_REQUEST => {
                if nas.rule == MessageAuthenticatorRule::IfPresent && !packet.message_authenticator_present() {
                    nas.counters.without_message_authenticator.increment();
                }
                let RadiusParts { nonces, answers, sessions, .. } = &self.parts;
                let (read, pending) = authorize::read(packet, nas, table.book(), nonces, answers, sessions, now);
                match read {
                    AccessRead::Decide(command) => {
                        self.submit(*command, Pending::Access(pending), source, key, now);
                    }
                    AccessRead::Challenge(challenge) => {
                        self.answer_written(nas, pending.write_challenge(&challenge), source, key, now);
                    }
                }
            }
            Code::ACCOUNTING_REQUEST => {
                let RadiusParts { answers, sessions, .. } = &self.parts;
                let (command, pending) = account::read(packet, nas, table.book(), answers, sessions, now);
                match command {
                    Ok(command) => self.submit(command, Pending::Accounting(pending), source, key, now),
                    Err(why) => self.answer_at_once(&pending, &why, source, key, now),
                }
            }
            // Not kept: how we are now is what is asked (RFC 5997 3).
            _ => self.answer_status(nas, source, packet, now),
        }
    }

    fn submit(
        &self,
        command: crate::domain::command::Command,
        pending: Pending,
        source: Peer,
        key: RequestKey,
        now: Timestamp,
    ) {
        let nas = pending.nas().clone();
        self.listener.cache.begin(key);
        let taken = Taken { listener: self.listener.clone(), pending, source, key };
        let outbox = self.outbox.clone();
        match self.parts.engine.try_submit(command, move |reply| outbox.put(taken, reply)) {
            Ok(()) => {}
            Err(error @ (SubmitError::Full | SubmitError::Stopped)) => {
                self.listener.drop_packet(DropCause::QueueFull, Some(&nas), source, &error, now);
            }
        }
    }

    fn answer_at_once(
        &self,
        pending: &PendingAccounting,
        why: &dyn std::fmt::Display,
        source: Peer,
        key: RequestKey,
        now: Timestamp,
    ) {
        if !self.parts.status.is_serving(now) {
            return;
        }
        let (listener, nas) = (&*self.listener, pending.nas());
        listener.metrics.accounting_without_call.increment();
        nas.counters.accounting_without_call.increment();
        if let Some(times) = listener.paces.not_a_call.count(now) {
            tracing::warn!(times, nas = &*nas.nas.id, "answered and not recorded: {why}");
        }
        self.answer_written(nas, pending.write_recorded(), source, key, now);
    }

    /// Sends a reply that needs no decision, unless nothing could be recorded.
    fn answer_written(
        &self,
        nas: &NasEntry,
        written: Result<(Code, Vec<u8>), EncodeError>,
        source: Peer,
        key: RequestKey,
        now: Timestamp,
    ) {
        if !self.parts.status.is_serving(now) {
            return;
        }
        match written {
            Ok((code, bytes)) => {
                let bytes: Arc<[u8]> = bytes.into();
                self.listener.cache.answer(key, bytes.clone(), now);
                self.listener.send(nas, source, code, &bytes, now);
            }
            Err(error) => self.listener.cannot_write(nas, &error, now),
        }
    }

    /// Says that we are there, unless nothing could be recorded: then NASes are to turn elsewhere.
    fn answer_status(&self, nas: &NasEntry, source: Peer, packet: &Verified<'_>, now: Timestamp) {
        if !self.parts.status.is_serving(now) {
            return;
        }
        let code = match self.listener.port {
            Port::Auth => Code::ACCESS_ACCEPT,
            Port::Acct => Code::ACCOUNTING_RESPONSE,
        };
        match ReplyBuilder::new(code, packet).finish(&nas.secret) {
            Ok(bytes) => self.listener.send(nas, source, code, &bytes, now),
            Err(error) => self.listener.cannot_write(nas, &error, now),
        }
    }
}

fn serves(port: Port, code: Code) -> bool {
    let request = match port {
        Port::Auth => Code::ACCESS_REQUEST,
        Port::Acct => Code::ACCOUNTING_REQUEST,
    };
    code == request || code == Code::STATUS_SERVER
}

fn drop_cause(error: &VerifyError) -> DropCause {
    match error {
        VerifyError::BadAuthenticator => DropCause::BadAuthenticator,
        VerifyError::MissingMessageAuthenticator => DropCause::MissingMessageAuthenticator,
        VerifyError::BadMessageAuthenticator => DropCause::BadMessageAuthenticator,
        VerifyError::UnexpectedCode(_) => DropCause::Malformed,
    }
}

// -------------------------------------------------------------------------------- sending

/// A request that was taken: answered once, or forgotten when it is dropped.
struct Taken {
    listener: Arc<Listener>,
    pending: Pending,
    source: Peer,
    key: RequestKey,
}

enum Pending {
    Access(PendingAccess),
    Accounting(PendingAccounting),
}

impl Pending {
    fn nas(&self) -> &Arc<NasEntry> {
        match self {
            Pending::Access(pending) => pending.nas(),
            Pending::Accounting(pending) => pending.nas(),
        }
    }

    fn write(&self, reply: &Reply) -> Result<Option<(Code, Vec<u8>)>, EncodeError> {
        match self {
            Pending::Access(pending) => pending.write(reply),
            Pending::Accounting(pending) => pending.write(reply),
        }
    }
}

impl Taken {
    fn answer(self, reply: &Reply, parts: &RadiusParts) {
        let now = parts.clock.now();
        if let Reply::Reject(rejected) = reply {
            parts.metrics.rejections.increment(rejected.reason as usize);
        }
        let nas = self.pending.nas();
        if let Pending::Access(pending) = &self.pending {
            // Before the NAS hears of it, and asks again.
            pending.note(reply, &parts.sessions);
        }
        match self.pending.write(reply) {
            Ok(Some((code, bytes))) => {
                if code == Code::ACCESS_REJECT && matches!(reply, Reply::Accept(_)) {
                    self.listener.cannot_write(nas, &"an Access-Accept does not fit beside its Proxy-State", now);
                }
                let bytes: Arc<[u8]> = bytes.into();
                // Kept first: the same request may come again before we are back here.
                self.listener.cache.answer(self.key, bytes.clone(), now);
                self.listener.send(nas, self.source, code, &bytes, now);
            }
            Ok(None) => {}
            Err(error) => self.listener.cannot_write(nas, &error, now),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.listener.cache.forget(&self.key);
    }
}

/// Replies on their way out of the engine, so that writing, signing and sending them is not on its
/// thread.
struct Outbox {
    clock: Clock,
    state: Mutex<OutboxState>,
    wake: Condvar,
}

#[derive(Default)]
struct OutboxState {
    waiting: Vec<(Taken, Reply)>,
    sender_waits: bool,
    closed: bool,
}

impl Outbox {
    fn new(clock: Clock) -> Outbox {
        Outbox { clock, state: Mutex::default(), wake: Condvar::new() }
    }

    fn put(&self, taken: Taken, reply: Reply) {
        let mut state = self.lock();
        if state.waiting.len() >= OUTBOX_MAX {
            // It is recorded; when the NAS asks again it is told so.
            drop(state);
            let (nas, why) = (Some(&**taken.pending.nas()), "replies pile up");
            return taken.listener.drop_packet(DropCause::QueueFull, nas, taken.source, &why, self.clock.now());
        }
        state.waiting.push((taken, reply));
        let sleeps = std::mem::take(&mut state.sender_waits);
        drop(state);
        if sleeps {
            self.wake.notify_one();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Sends until it is closed and empty.
    fn send_all(&self, parts: &RadiusParts) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() {
                if state.closed {
                    return;
                }
                state.sender_waits = true;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut batch, &mut state.waiting);
            drop(state);
            for (taken, reply) in batch.drain(..) {
                let listener = taken.listener.clone();
                listener.contained(parts.clock.now(), || taken.answer(&reply, parts));
            }
        }
    }

    /// Nothing panics while it is locked; if it did, what is there would still be whole.
    fn lock(&self) -> MutexGuard<'_, OutboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
